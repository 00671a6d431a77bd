package catalog

import "fmt"

// Model is the shape of a language model: what its arithmetic and its memory
// follow from. Vision and audio encoders and extra prediction heads are left
// out; the note of an entry says so.
type Model struct {
	Name    string   `yaml:"-" json:"name"`
	Title   string   `yaml:"title" json:"title"`
	Family  string   `yaml:"family" json:"family"`
	Aliases []string `yaml:"aliases" json:"aliases,omitempty"` // such as the Hugging Face name
	// Released is the day of publication.
	Released Date `yaml:"released" json:"released,omitzero"`

	Layers int `yaml:"layers" json:"layers"`
	Hidden int `yaml:"hidden" json:"hidden"`
	Heads  int `yaml:"heads" json:"heads"` // query heads
	// KVHeads is the number of key and value heads: Heads for multi-head
	// attention, fewer for grouped, 1 for multi-query. Without meaning under MLA.
	KVHeads int `yaml:"kv_heads" json:"kv_heads,omitempty"`
	// HeadDim is the size of one head; Hidden / Heads when the file has none.
	HeadDim int  `yaml:"head_dim" json:"head_dim,omitempty"`
	MLA     *MLA `yaml:"mla" json:"mla,omitempty"`
	// FFN is the inner size of a dense feed-forward layer. MoE models whose
	// layers are all sparse have none.
	FFN int `yaml:"ffn" json:"ffn,omitempty"`
	// MLP is gated (three matrices, as in SwiGLU) or plain (two).
	MLP   string `yaml:"mlp" json:"mlp"`
	MoE   *MoE   `yaml:"moe" json:"moe,omitempty"`
	Vocab int    `yaml:"vocab" json:"vocab"` // rows of the embedding, padding included
	// Tied means that the output matrix is the embedding.
	Tied bool `yaml:"tied" json:"tied"`
	// Positions is the number of learned position vectors; 0 for rotary or ALiBi.
	Positions int `yaml:"positions" json:"positions,omitempty"`
	// Context is the longest sequence in tokens that the maker supports.
	Context int            `yaml:"context" json:"context"`
	Window  *SlidingWindow `yaml:"sliding_window" json:"sliding_window,omitempty"`
	// Bias lists what has bias vectors: qkv, out, ffn, head, router, experts.
	Bias []string `yaml:"bias" json:"bias,omitempty"`
	// Norm is rms (one vector), layer (two) or none (no parameters).
	Norm string `yaml:"norm" json:"norm"`
	// Norms is the number of normalisations per layer: 2 when not given.
	Norms int `yaml:"norms" json:"norms,omitempty"`
	// QKNorm says that queries and keys are normalised: head (one vector of a
	// head's size each) or full (one of all heads' size each).
	QKNorm string `yaml:"qk_norm" json:"qk_norm,omitempty"`
	// Stated is what the maker says, to be compared with what the shape gives.
	Stated     StatedParams `yaml:"params" json:"params"`
	Provenance `yaml:",inline"`
}

// MLA is multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and
// values are made from one compressed vector, which alone is cached.
type MLA struct {
	QLoraRank  int `yaml:"q_lora_rank" json:"q_lora_rank"` // 0: queries are not compressed
	KVLoraRank int `yaml:"kv_lora_rank" json:"kv_lora_rank"`
	QKRopeDim  int `yaml:"qk_rope_head_dim" json:"qk_rope_head_dim"`
	QKNopeDim  int `yaml:"qk_nope_head_dim" json:"qk_nope_head_dim"`
	VHeadDim   int `yaml:"v_head_dim" json:"v_head_dim"`
}

// MoE is a mixture of experts in the place of the feed-forward layer.
type MoE struct {
	Experts int `yaml:"experts" json:"experts"` // routed experts per layer
	Active  int `yaml:"active" json:"active"`   // of them used by a token
	FFN     int `yaml:"expert_ffn" json:"expert_ffn"`
	// Shared is the number of experts that every token uses, each of the size
	// SharedFFN (FFN when not given).
	Shared    int `yaml:"shared" json:"shared,omitempty"`
	SharedFFN int `yaml:"shared_ffn" json:"shared_ffn,omitempty"`
	// DenseLayers is how many layers keep a dense feed-forward layer of the
	// size Model.FFN, first ones or interleaved.
	DenseLayers int `yaml:"dense_layers" json:"dense_layers,omitempty"`
	// SharedGate: one gate vector weighs the shared expert (Qwen1.5/2 MoE).
	SharedGate bool `yaml:"shared_gate" json:"shared_gate,omitempty"`
}

// SlidingWindow says which attention layers see only the nearest tokens.
type SlidingWindow struct {
	Tokens int `yaml:"tokens" json:"tokens"`
	Layers int `yaml:"layers" json:"layers"` // how many layers are so; the others see all
}

// StatedParams are the parameter counts that the maker publishes.
type StatedParams struct {
	Total  float64 `yaml:"total" json:"total"`
	Active float64 `yaml:"active" json:"active,omitempty"` // per token; 0 for dense models
}

// Params is the number of parameters by place, computed from the shape.
type Params struct {
	Embedding float64 `json:"embedding"` // tokens and learned positions
	Head      float64 `json:"head"`      // output matrix; 0 when tied
	Attention float64 `json:"attention"`
	FFN       float64 `json:"ffn"` // dense layers, shared and all routed experts
	Router    float64 `json:"router"`
	Norm      float64 `json:"norm"`
	// Inactive is the part of FFN that a token does not use.
	Inactive float64 `json:"inactive"`
}

// Total is every parameter.
func (p Params) Total() float64 {
	return p.Embedding + p.Head + p.Attention + p.FFN + p.Router + p.Norm
}

// Active is what one token uses, by the usual count: all but idle experts.
func (p Params) Active() float64 { return p.Total() - p.Inactive }

// Matmul is the number of parameters that a token multiplies with: active ones
// without embedding look-ups, but with the output matrix, tied or not. Two FLOP
// each make the forward pass.
func (p Params) Matmul(m *Model) float64 {
	out := p.Head
	if m.Tied {
		out = float64(m.Vocab) * float64(m.Hidden)
	}
	return p.Attention + p.FFN - p.Inactive + p.Router + out
}

// headDim is the size of a head.
func (m *Model) headDim() int {
	if m.HeadDim > 0 {
		return m.HeadDim
	}
	if m.Heads == 0 {
		return 0
	}
	return m.Hidden / m.Heads
}

func (m *Model) has(bias string) bool {
	for _, b := range m.Bias {
		if b == bias {
			return true
		}
	}
	return false
}

// matrices is how many matrices a feed-forward layer has.
func (m *Model) matrices() float64 {
	if m.MLP == "gated" {
		return 3
	}
	return 2
}

// ffnParams is one feed-forward block of an inner size.
func (m *Model) ffnParams(inner int, bias bool) float64 {
	p := m.matrices() * float64(m.Hidden) * float64(inner)
	if bias {
		p += (m.matrices()-1)*float64(inner) + float64(m.Hidden)
	}
	return p
}

// Params counts parameters from the shape.
func (m *Model) Params() Params {
	h, layers := float64(m.Hidden), float64(m.Layers)
	p := Params{Embedding: float64(m.Vocab)*h + float64(m.Positions)*h}
	if !m.Tied {
		p.Head = float64(m.Vocab) * h
	}
	if m.has("head") {
		p.Head += float64(m.Vocab)
	}
	p.Attention = layers * m.attentionParams()

	dense := m.Layers
	if m.MoE != nil {
		dense = m.MoE.DenseLayers
		sparse := float64(m.Layers - dense)
		one := m.ffnParams(m.MoE.FFN, m.has("experts"))
		shared := float64(m.MoE.Shared) * m.ffnParams(m.sharedFFN(), m.has("experts"))
		p.FFN = sparse * (float64(m.MoE.Experts)*one + shared)
		p.Inactive = sparse * float64(m.MoE.Experts-m.MoE.Active) * one
		p.Router = sparse * h * float64(m.MoE.Experts)
		if m.has("router") {
			p.Router += sparse * float64(m.MoE.Experts)
		}
		if m.MoE.SharedGate {
			p.Router += sparse * h
		}
	}
	p.FFN += float64(dense) * m.ffnParams(m.FFN, m.has("ffn"))

	per := 0.0
	switch m.Norm {
	case "rms":
		per = 1
	case "layer":
		per = 2
	}
	norms := m.Norms
	if norms == 0 {
		norms = 2
	}
	p.Norm = per * h * (layers*float64(norms) + 1)
	switch m.QKNorm {
	case "head":
		p.Norm += per * layers * 2 * float64(m.headDim())
	case "full":
		p.Norm += per * layers * float64((m.Heads+m.KVHeads)*m.headDim())
	}
	if a := m.MLA; a != nil {
		p.Norm += per * layers * float64(a.QLoraRank+a.KVLoraRank)
	}
	return p
}

func (m *Model) sharedFFN() int {
	if m.MoE.SharedFFN > 0 {
		return m.MoE.SharedFFN
	}
	return m.MoE.FFN
}

// attentionParams is one layer's attention.
func (m *Model) attentionParams() float64 {
	h, heads := float64(m.Hidden), float64(m.Heads)
	if a := m.MLA; a != nil {
		qk := float64(a.QKNopeDim + a.QKRopeDim)
		q := h * heads * qk
		if a.QLoraRank > 0 {
			q = h*float64(a.QLoraRank) + float64(a.QLoraRank)*heads*qk
		}
		down := h * float64(a.KVLoraRank+a.QKRopeDim)
		up := float64(a.KVLoraRank) * heads * float64(a.QKNopeDim+a.VHeadDim)
		return q + down + up + heads*float64(a.VHeadDim)*h
	}
	d := float64(m.headDim())
	qkv := (heads + 2*float64(m.KVHeads)) * d
	p := h*qkv + heads*d*h
	if m.has("qkv") {
		p += qkv
	}
	if m.has("out") {
		p += h
	}
	return p
}

// KVPerTokenLayer is how many numbers one layer caches for one token.
func (m *Model) KVPerTokenLayer() float64 {
	if m.MLA != nil {
		return float64(m.MLA.KVLoraRank + m.MLA.QKRopeDim)
	}
	return 2 * float64(m.KVHeads) * float64(m.headDim())
}

// KVBytesPerToken is how much cache one more token takes while no layer's
// window is full, in bytes, with numbers of a format.
func (m *Model) KVBytesPerToken(d DType) float64 {
	return float64(m.Layers) * m.KVPerTokenLayer() * d.Bytes()
}

// KVBytes is the cache of one sequence of a length in tokens, in bytes: layers
// with a sliding window keep only the window.
func (m *Model) KVBytes(tokens float64, d DType) float64 {
	full, windowed := float64(m.Layers), 0.0
	if m.Window != nil {
		windowed = float64(m.Window.Layers)
		full -= windowed
		return m.KVPerTokenLayer() * d.Bytes() * (full*tokens + windowed*min(tokens, float64(m.Window.Tokens)))
	}
	return full * tokens * m.KVPerTokenLayer() * d.Bytes()
}

// WeightBytes is the memory of the weights, all in one format, in bytes.
func (m *Model) WeightBytes(d DType) float64 { return m.Params().Total() * d.Bytes() }

// agrees says by how much the count from the shape differs from the stated one,
// as a share of it.
func (m *Model) agrees() (float64, error) {
	got := m.Params().Total()
	diff := got/m.Stated.Total - 1
	if diff < -0.02 || diff > 0.02 {
		return diff, fmt.Errorf("the shape makes %.4gB parameters, %.1f%% off the stated %.4gB; a shape and its stated total must agree within 2%%", got/1e9, 100*diff, m.Stated.Total/1e9)
	}
	return diff, nil
}

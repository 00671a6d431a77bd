// Package training predicts what training a language model takes: arithmetic,
// memory per GPU, time of a step from its parallel layout, failures, wall time
// and cost, the best layout of a cluster, the best cluster for a deadline, and
// the sizes that are optimal for a budget.
//
// What is fitted on what is said in docs/validate-training.md and can be
// recomputed with [Fit] and [Validate]; `strata validate training` does so.
package training

import (
	"fmt"
)

// Shape is the architecture of a transformer, as far as it costs anything.
type Shape struct {
	Name           string
	Layers, Hidden int
	FFN            int // inner width of a dense MLP
	Heads, KVHeads int
	HeadDim        int
	Vocab          int
	Gated          bool // SwiGLU: three matrices instead of two, rotary positions
	Tied           bool // the input embedding is also the output layer
	Positions      int  // learned position embeddings; 0 means none
	MoE            *MoE
	MLA            *MLA
	Source         string
}

// MoE describes layers whose MLP is a choice of experts.
type MoE struct {
	Experts, Active, Shared int
	FFN                     int // inner width of one expert
	Dense                   int // first layers that keep a dense MLP
}

// MLA describes DeepSeek's multi-head latent attention by its ranks and head
// widths; Q is 0 where queries are not compressed.
type MLA struct{ Q, KV, Rope, Nope, V int }

// Validate refuses a shape that cannot be.
func (s *Shape) Validate() error {
	switch {
	case s.Layers <= 0 || s.Hidden <= 0 || s.Heads <= 0 || s.HeadDim <= 0 || s.FFN <= 0 && s.MoE == nil:
		return fmt.Errorf("model %q: layers, hidden width, heads, head width and MLP width must be above zero", s.Name)
	case s.KVHeads <= 0 || s.Heads%s.KVHeads != 0:
		return fmt.Errorf("model %q: %d KV heads do not divide %d heads", s.Name, s.KVHeads, s.Heads)
	case s.Vocab < 0:
		return fmt.Errorf("model %q: the vocabulary cannot be negative", s.Name)
	}
	if m := s.MoE; m != nil && (m.Active <= 0 || m.Active > m.Experts || m.FFN <= 0 || m.Dense > s.Layers) {
		return fmt.Errorf("model %q: %d of %d experts active, expert width %d, %d dense layers: not possible", s.Name, m.Active, m.Experts, m.FFN, m.Dense)
	}
	return nil
}

// matrix is one weight matrix of a layer: every token is multiplied by in by
// out numbers. split is 1 where tensor parallelism divides the output (column
// parallel), 2 where it divides the input (row parallel), 0 where every rank
// keeps it whole.
type matrix struct {
	in, out int
	split   int
}

func (s *Shape) attention() []matrix {
	if a := s.MLA; a != nil {
		queries := []matrix{{s.Hidden, a.Q, 0}, {a.Q, s.Heads * (a.Nope + a.Rope), 1}}
		if a.Q == 0 { // queries are not compressed
			queries = []matrix{{s.Hidden, s.Heads * (a.Nope + a.Rope), 1}}
		}
		return append(queries, []matrix{
			{s.Hidden, a.KV + a.Rope, 0}, {a.KV, s.Heads * (a.Nope + a.V), 1},
			{s.Heads * a.V, s.Hidden, 2},
		}...)
	}
	return []matrix{{s.Hidden, (s.Heads + 2*s.KVHeads) * s.HeadDim, 1}, {s.Heads * s.HeadDim, s.Hidden, 2}}
}

func (s *Shape) mlp(width int) []matrix {
	first := width
	if s.Gated {
		first *= 2
	}
	return []matrix{{s.Hidden, first, 1}, {width, s.Hidden, 2}}
}

func numbers(list []matrix) float64 {
	n := 0.0
	for _, m := range list {
		n += float64(m.in) * float64(m.out)
	}
	return n
}

func (s *Shape) moeLayers() int {
	if s.MoE == nil {
		return 0
	}
	return s.Layers - s.MoE.Dense
}

// Params counts all parameters, and those that one token passes through
// (active), both with embeddings.
func (s *Shape) Params() (total, active float64) {
	dense := float64(s.Layers - s.moeLayers())
	total = float64(s.Layers)*(numbers(s.attention())+4*float64(s.Hidden)) + dense*numbers(s.mlp(s.FFN))
	active = total
	if m := s.MoE; m != nil {
		one := numbers(s.mlp(m.FFN))
		router := float64(s.Hidden * m.Experts)
		total += float64(s.moeLayers()) * (one*float64(m.Experts+m.Shared) + router)
		active += float64(s.moeLayers()) * (one*float64(m.Active+m.Shared) + router)
	}
	embedding := s.embedding()
	return total + embedding, active + embedding
}

func (s *Shape) embedding() float64 {
	n := float64(s.Vocab) * float64(s.Hidden)
	if !s.Tied {
		n *= 2
	}
	return n + float64(s.Positions)*float64(s.Hidden)
}

// FLOPs is the arithmetic of training on tokens in sequences of seq, forward
// and backward without recomputation, in FLOP: six per token for every number of
// every matrix that the token meets (6ND, without the input embedding, with the
// output layer, and with active experts only), and the attention products over
// the sequence, 12·layers·heads·width·seq per token; half of that when causal
// says that the kernel skips what is masked.
func (s *Shape) FLOPs(tokens, seq float64, causal bool) float64 {
	per := float64(s.Layers)*numbers(s.attention()) + float64(s.Layers-s.moeLayers())*numbers(s.mlp(s.FFN))
	if m := s.MoE; m != nil {
		per += float64(s.moeLayers()) * (numbers(s.mlp(m.FFN))*float64(m.Active+m.Shared) + float64(s.Hidden*m.Experts))
	}
	per += float64(s.Vocab) * float64(s.Hidden)
	core := 12 * float64(s.Layers) * s.coreWidth() * seq
	if causal {
		core /= 2
	}
	return tokens * (6*per + core)
}

// coreWidth is heads times the mean width of the two attention products.
func (s *Shape) coreWidth() float64 {
	if a := s.MLA; a != nil {
		return float64(s.Heads) * float64(a.Nope+a.Rope+a.V) / 2
	}
	return float64(s.Heads * s.HeadDim)
}

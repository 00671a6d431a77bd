package openai

import (
	"encoding/base64"
	"encoding/binary"
	"math"

	"github.com/stratahq/strata/model"
)

// logprobs reads the chat form {"content": […]} or the older completions form
// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}.
func (d *Decoder) logprobs(ev *model.Event) {
	if d.kind() != '{' {
		d.skip()
		return
	}
	d.open('{')
	var tokens []string
	var probs []float64
	var tops [][]model.TopLogprob
	for n := 0; d.key(&n); {
		name := string(d.name)
		if d.kind() != '[' {
			d.skip()
			continue
		}
		switch name {
		case "content":
			d.open('[')
			for i := -1; d.elem(&i); {
				var t model.TokenLogprob
				t.Token, t.Bytes, t.Logprob = d.tokenLogprob(&t.Top)
				ev.Logprobs = append(ev.Logprobs, t)
			}
		case "tokens":
			d.open('[')
			for i := -1; d.elem(&i); {
				tokens = append(tokens, d.text())
			}
		case "token_logprobs":
			d.open('[')
			for i := -1; d.elem(&i); {
				if d.null() { // the first token of an echoed prompt has none
					probs = append(probs, math.NaN())
					continue
				}
				probs = append(probs, d.float())
			}
		case "top_logprobs":
			d.open('[')
			for i := -1; d.elem(&i); {
				var top []model.TopLogprob
				if !d.null() && d.open('{') {
					for n := 0; d.key(&n); {
						token := string(d.name)
						top = append(top, model.TopLogprob{Token: token, Bytes: []byte(token), Logprob: d.float()})
					}
				}
				tops = append(tops, top)
			}
		default:
			d.skip()
		}
	}
	for i, token := range tokens {
		t := model.TokenLogprob{Token: token, Bytes: []byte(token), Logprob: math.NaN()}
		if i < len(probs) {
			t.Logprob = probs[i]
		}
		if i < len(tops) {
			t.Top = tops[i]
		}
		ev.Logprobs = append(ev.Logprobs, t)
	}
}

func (d *Decoder) tokenLogprob(top *[]model.TopLogprob) (token string, raw []byte, logprob float64) {
	if !d.open('{') {
		return
	}
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "token":
			token = d.text()
		case "logprob":
			if !d.null() {
				logprob = d.float()
			}
		case "bytes":
			if d.null() || !d.open('[') {
				continue
			}
			raw = make([]byte, 0, 8)
			for i := -1; d.elem(&i); {
				raw = append(raw, byte(d.integer()))
			}
		case "top_logprobs":
			if top == nil || d.kind() != '[' {
				d.skip()
				continue
			}
			d.open('[')
			for i := -1; d.elem(&i); {
				var t model.TopLogprob
				t.Token, t.Bytes, t.Logprob = d.tokenLogprob(nil)
				*top = append(*top, t)
			}
		default:
			d.skip()
		}
	}
	return
}

// embedding reads one vector: numbers, or base64 of little-endian 32-bit floats.
func (d *Decoder) embedding(index int) {
	if d.kind() != '{' {
		d.skip()
		return
	}
	d.open('{')
	var vector []float32
	found := false
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "index":
			if d.kind() == '0' {
				index = int(min(whole(d.number()), maxPrompts))
				continue
			}
			d.skip()
		case "embedding":
			found = true
			switch d.kind() {
			case '"':
				vector = d.packed()
			case '[':
				d.open('[')
				if len(d.embeddings) > 0 {
					vector = make([]float32, 0, len(d.embeddings[0]))
				}
				for i := -1; d.elem(&i); {
					vector = append(vector, float32(d.float()))
				}
			default:
				d.expect('[', "an array of numbers or base64")
			}
		default:
			d.skip()
		}
	}
	if !found || index > maxPrompts {
		return
	}
	for len(d.embeddings) <= index {
		d.embeddings = append(d.embeddings, nil)
	}
	d.embeddings[index] = vector
}

func (d *Decoder) packed() []float32 {
	b, err := base64.StdEncoding.AppendDecode(nil, d.bytes())
	if err != nil || len(b)%4 != 0 {
		d.fail("must be base64 of 32-bit floats")
		return nil
	}
	vector := make([]float32, len(b)/4)
	for i := range vector {
		vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return vector
}

package engine

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/stratahq/strata/model/local/proto"
)

// The decoding parameters of a request that states none. Temperature and top-p
// may be replaced by the model file's own (general.sampling.*) or by LoadSpec.
// They are llama.cpp's customary ones.
const (
	defaultTemperature = 0.8
	defaultTopP        = 0.95
	defaultTopK        = 40
	defaultMinP        = 0.05
	// repeatWindow is how many of the last tokens, prompt included, the repeat
	// penalty looks at. Presence and frequency penalties look at all output.
	repeatWindow = 64
)

// params are decoding parameters with defaults applied.
type params struct {
	temperature, topP, minP     float64
	topK                        int
	repeat, presence, frequency float64
	bias                        []tokenBias
	logprobs                    bool
	top                         int
}

type tokenBias struct {
	token int32
	bias  float32
}

// Hook changes the logits of one sequence before a token is drawn from them:
// the seam for watermarks and constrained output. Tokens are prompt and output
// so far, of which the first prompt are the prompt; logits has one entry per
// token of the vocabulary, in natural-log units, after logit_bias and penalties
// and before truncation and temperature. A hook is used by one sequence only.
type Hook interface {
	Logits(tokens []int32, prompt int, logits []float32)
}

// sampler draws the tokens of one sequence. Its results depend only on the
// logits, its parameters and its seed.
type sampler struct {
	params
	rng   *rand.Rand
	hooks []Hook

	counts map[int32]int // of output tokens, for presence and frequency
	buf    []float32     // the changed logits
	cand   []candidate   // the candidates after truncation
}

type candidate struct {
	token int32
	logit float32
	p     float64
}

// newSampler seeds the draw with the request's seed and the choice's index.
func newSampler(p params, seed uint64, choice int, hooks []Hook) *sampler {
	return &sampler{params: p, rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15*uint64(choice+1))), hooks: hooks, counts: map[int32]int{}}
}

// adjust applies everything that changes logits, and returns either the given
// slice itself (which it never writes) or a changed copy.
func (s *sampler) adjust(logits []float32, tokens []int32, prompt int) []float32 {
	penal := s.repeat != 1 || (s.presence != 0 || s.frequency != 0) && len(s.counts) > 0
	if len(s.bias) == 0 && !penal && len(s.hooks) == 0 {
		return logits
	}
	s.buf = append(s.buf[:0], logits...)
	for _, b := range s.bias {
		s.buf[b.token] += b.bias
	}
	if s.repeat != 1 {
		window := tokens[max(0, len(tokens)-repeatWindow):]
		for i, t := range window {
			if slices.Contains(window[:i], t) {
				continue // once per token
			}
			if l := &s.buf[t]; *l > 0 {
				*l /= float32(s.repeat)
			} else {
				*l *= float32(s.repeat)
			}
		}
	}
	if s.presence != 0 || s.frequency != 0 {
		for t, n := range s.counts {
			s.buf[t] -= float32(s.presence + s.frequency*float64(n))
		}
	}
	for _, h := range s.hooks {
		h.Logits(tokens, prompt, s.buf)
	}
	return s.buf
}

// draw picks a token from adjusted logits; ok is false when no token is
// possible (all are -Inf or NaN).
func (s *sampler) draw(logits []float32) (token int32, ok bool) {
	if s.temperature <= 0 {
		best, at := float32(math.Inf(-1)), -1
		for i, l := range logits {
			if l > best {
				best, at = l, i
			}
		}
		return int32(at), at >= 0
	}
	s.truncate(logits)
	if len(s.cand) == 0 {
		return 0, false
	}
	top := s.cand[0].logit
	var total float64
	for i := range s.cand {
		c := &s.cand[i]
		c.p = math.Exp(float64(c.logit-top) / s.temperature)
		total += c.p
	}
	r := s.rng.Float64() * total
	for i := range s.cand {
		if r -= s.cand[i].p; r < 0 {
			return s.cand[i].token, true
		}
	}
	return s.cand[len(s.cand)-1].token, true
}

// truncate fills cand with the candidates that top-k, top-p and min-p leave,
// best first. Probabilities for top-p are those of what top-k left.
func (s *sampler) truncate(logits []float32) {
	k := s.topK
	if k <= 0 || k > len(logits) {
		k = len(logits)
	}
	if k == len(logits) && (s.topP < 1 || s.minP > 0) {
		// With min-p, everything below a known logit is out anyway; with top-p
		// the first few hundred nearly always suffice. Widen until they do.
		var norm float64
		best := maxLogit(logits)
		if math.IsInf(float64(best), -1) {
			s.cand = s.cand[:0]
			return
		}
		for _, l := range logits {
			norm += math.Exp(float64(l - best))
		}
		for k = 256; ; k *= 8 {
			s.topCandidates(logits, min(k, len(logits)))
			if s.cut(norm) || k >= len(logits) {
				return
			}
		}
	}
	s.topCandidates(logits, k)
	if len(s.cand) == 0 {
		return
	}
	var norm float64
	for i := range s.cand {
		norm += math.Exp(float64(s.cand[i].logit - s.cand[0].logit))
	}
	s.cut(norm)
}

// cut applies top-p and min-p to the sorted candidates, given the sum of
// exp(logit-best) over all that count. It reports whether it cut anything off,
// that is, whether more candidates could not have changed the result.
func (s *sampler) cut(norm float64) bool {
	var sum float64
	for i := range s.cand {
		p := math.Exp(float64(s.cand[i].logit-s.cand[0].logit)) / norm
		if i > 0 && p < s.minP*(1/norm) {
			s.cand = s.cand[:i]
			return true
		}
		sum += p
		if sum >= s.topP && s.topP < 1 {
			s.cand = s.cand[:i+1]
			return true
		}
	}
	return false
}

func maxLogit(logits []float32) float32 {
	best := float32(math.Inf(-1))
	for _, l := range logits {
		if l > best {
			best = l
		}
	}
	return best
}

// topCandidates fills cand with the k largest logits, best first; equal logits
// keep the order of their tokens, so that results do not depend on the sort.
func (s *sampler) topCandidates(logits []float32, k int) {
	c := s.cand[:0]
	ninf := float32(math.Inf(-1))
	if k >= len(logits) {
		for i, l := range logits {
			if l > ninf {
				c = append(c, candidate{token: int32(i), logit: l})
			}
		}
	} else {
		// A heap whose root is the worst of the best k so far.
		for i, l := range logits {
			if len(c) < k {
				if l > ninf {
					c = append(c, candidate{token: int32(i), logit: l})
					up(c)
				}
				continue
			}
			if l > c[0].logit {
				c[0] = candidate{token: int32(i), logit: l}
				down(c)
			}
		}
	}
	slices.SortFunc(c, func(a, b candidate) int {
		switch {
		case a.logit > b.logit:
			return -1
		case a.logit < b.logit:
			return 1
		}
		return int(a.token - b.token)
	})
	s.cand = c
}

// worse orders the heap: the lower logit, and of equals the later token.
func worse(a, b candidate) bool {
	return a.logit < b.logit || a.logit == b.logit && a.token > b.token
}

func up(h []candidate) {
	for i := len(h) - 1; i > 0; {
		p := (i - 1) / 2
		if !worse(h[i], h[p]) {
			return
		}
		h[i], h[p] = h[p], h[i]
		i = p
	}
}

func down(h []candidate) {
	for i := 0; ; {
		l := 2*i + 1
		if l >= len(h) {
			return
		}
		if r := l + 1; r < len(h) && worse(h[r], h[l]) {
			l = r
		}
		if !worse(h[l], h[i]) {
			return
		}
		h[i], h[l] = h[l], h[i]
		i = l
	}
}

// logprob is the natural-log probability of a token under the model's own
// distribution: the softmax of its raw logits, before bias, penalties, hooks,
// truncation and temperature; with the n most likely alternatives.
func logprob(logits []float32, token int32, n int, piece func(int32) []byte) proto.Logprob {
	best := maxLogit(logits)
	var sum float64
	for _, l := range logits {
		sum += math.Exp(float64(l - best))
	}
	lse := float64(best) + math.Log(sum)
	out := proto.Logprob{Bytes: piece(token), Logprob: clampLog(float64(logits[token]) - lse)}
	if n > 0 {
		var s sampler
		s.topCandidates(logits, n)
		for _, c := range s.cand {
			out.Top = append(out.Top, proto.Logprob{Bytes: piece(c.token), Logprob: clampLog(float64(c.logit) - lse)})
		}
	}
	return out
}

// clampLog keeps -Inf out of JSON; OpenAI uses -9999.0 for the same.
func clampLog(x float64) float64 {
	if math.IsNaN(x) || x < -9999 {
		return -9999
	}
	return min(x, 0)
}

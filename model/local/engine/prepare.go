//go:build !noengine && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package engine

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/proto"
)

// job is one request.
type job struct {
	id        uint64
	cancelled atomic.Bool

	runs []*run // one per choice, in the order of their index
	next int    // the first run that has not started
	left int    // runs that have not ended

	embed   [][]int32 // texts to embed
	vectors [][]byte
	at      int // text and token that are next
	pos     int
	sum     []float64

	usage proto.Usage
	// rate is that of the longest choice.
	rate    float64
	longest int
}

// run is one choice of a generation.
type run struct {
	job    *job
	choice int
	// counted says that this choice's prompt is counted in the usage: the first
	// of the choices that share it.
	counted bool
	prompt  []int32
	echo    string
	max     int // output tokens

	slot    *slot
	tokens  []int32 // prompt and output
	done    int     // how many of tokens the slot holds
	out     int
	sampler *sampler
	gbnf    string
	grammar *grammar
	stream  streamer
	stops   []string

	watch, forced bool
	inTool        bool
	toolText      string
	tool          streamer
	calls         int

	first, last time.Time // of output tokens
}

// prepare turns a message into a job, or says why it cannot be answered. It
// runs beside the loop.
func (l *loop) prepare(j *job, m *proto.ToChild) error {
	if m.Kind == proto.Embed {
		return l.prepareEmbed(j, m)
	}
	p, err := l.params(&m.Sampling)
	if err != nil {
		return err
	}
	stops := slices.DeleteFunc(slices.Clone(m.Sampling.Stop), func(s string) bool { return s == "" })
	var prompts [][]int32
	var echo []string
	var pl plan
	if m.Chat != nil {
		if pl, err = planChat(m.Chat); err != nil {
			return err
		}
		chat := *m.Chat
		chat.Tools = pl.tools
		segs, err := l.r.render(&chat)
		if err != nil {
			return err
		}
		if pl.forced {
			segs = append(segs, segment{text: toolOpen + "\n"})
		}
		if l.r.kind == "plain" {
			stops = append(stops, plainStop)
		}
		toks, err := l.tokenizeSegments(segs)
		if err != nil {
			return err
		}
		prompts, echo = [][]int32{toks}, []string{""}
	} else {
		for i, pr := range m.Prompts {
			toks, err := l.promptTokens(pr, true)
			if err != nil {
				return err
			}
			if len(toks) == 0 {
				if l.n.bos < 0 {
					return badParam("prompt", "prompt %d is empty, and this model has no token to begin with", i)
				}
				toks = []int32{l.n.bos}
			}
			text := ""
			if m.Echo {
				if text = pr.Text; text == "" {
					text = l.text(toks)
				}
			}
			prompts, echo = append(prompts, toks), append(echo, text)
		}
	}
	n := max(m.Sampling.N, 1)
	if n > 128 || n*len(prompts) > 2048 {
		return badParam("n", "n is %d for %d prompts; at most 128 choices per prompt and 2048 in all", n, len(prompts))
	}
	seed := rand.Uint64()
	if m.Sampling.Seed != nil {
		seed = uint64(*m.Sampling.Seed)
	}
	for i, toks := range prompts {
		if len(toks) >= l.n.nCtx {
			return contextError(len(toks), l.n.nCtx)
		}
		room := l.n.nCtx - len(toks)
		if m.Sampling.MaxTokens != nil {
			room = min(room, *m.Sampling.MaxTokens)
		}
		for c := range n {
			hooks := make([]Hook, len(m.Hooks))
			for k, h := range m.Hooks {
				if hooks[k], err = newHook(h.Name, h.Params); err != nil {
					return badParam("", "%v", err)
				}
			}
			r := &run{job: j, choice: i*n + c, counted: c == 0, prompt: toks, echo: echo[i], max: room, gbnf: pl.grammar,
				watch: pl.watch, forced: pl.forced, inTool: pl.forced, stops: stops, tool: streamer{stops: []string{toolClose}}}
			r.sampler = newSampler(p, seed, c, hooks)
			r.stream = r.newStream()
			j.runs = append(j.runs, r)
		}
	}
	j.left = len(j.runs)
	return nil
}

func (r *run) newStream() streamer {
	if r.watch {
		return streamer{stops: append(slices.Clone(r.stops), toolOpen)}
	}
	return streamer{stops: r.stops}
}

func (l *loop) prepareEmbed(j *job, m *proto.ToChild) error {
	for i, pr := range m.Prompts {
		if pr.Text == "" && len(pr.Tokens) == 0 {
			return badParam("input", "input %d is empty", i)
		}
		toks, err := l.promptTokens(pr, false)
		switch {
		case err != nil:
			var e *model.Error
			if errors.As(err, &e) {
				e.Param = "input"
			}
			return err
		case len(toks) == 0:
			return badParam("input", "input %d is empty", i)
		case len(toks) > l.n.nCtx:
			return contextError(len(toks), l.n.nCtx)
		}
		j.embed = append(j.embed, toks)
	}
	return nil
}

func contextError(have, limit int) *model.Error {
	e := model.Errorf(400, model.CodeContextLength, "the prompt has %d tokens; the context of the local engine is %d tokens, of which an answer needs at least one", have, limit)
	e.Param = "messages"
	return e
}

// promptTokens are the tokens of a raw prompt.
func (l *loop) promptTokens(p proto.Prompt, parse bool) ([]int32, error) {
	if p.Tokens == nil {
		return l.tokenizeText(p.Text, true, parse)
	}
	out := make([]int32, len(p.Tokens))
	for i, t := range p.Tokens {
		if t < 0 || t >= l.n.nVocab {
			return nil, badParam("prompt", "token %d at position %d is outside the vocabulary of %d tokens", t, i, l.n.nVocab)
		}
		out[i] = int32(t)
	}
	return out, nil
}

func (l *loop) tokenizeSegments(segs []segment) ([]int32, error) {
	var out []int32
	for i, s := range segs {
		// A template that writes the begin token itself must not get it twice.
		special := i == 0 && !(l.r.bos != "" && strings.HasPrefix(s.text, l.r.bos))
		toks, err := l.tokenizeText(s.text, special, !s.literal)
		if err != nil {
			return nil, err
		}
		out = append(out, toks...)
	}
	return out, nil
}

// tokenizeText checks the text first: native code must not see a NUL, and a
// text that cannot fit is refused without the work of tokenizing it.
func (l *loop) tokenizeText(text string, special, parse bool) ([]int32, error) {
	if strings.ContainsRune(text, 0) {
		return nil, badParam("", "the prompt holds a NUL character (U+0000), which the model cannot read")
	}
	if least := len(text) / max(l.n.longest, 1); least > l.n.nCtx {
		return nil, contextError(least, l.n.nCtx)
	}
	return l.n.tokenize(text, special, parse), nil
}

func (l *loop) text(toks []int32) string {
	var b []byte
	for _, t := range toks {
		b = append(b, l.n.piece(t)...)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// params applies defaults and checks ranges.
func (l *loop) params(s *proto.Sampling) (params, error) {
	p := params{temperature: l.temperature, topP: l.topP, topK: defaultTopK, minP: defaultMinP, repeat: 1, logprobs: s.Logprobs, top: s.TopLogprobs}
	type field struct {
		name   string
		given  *float64
		into   *float64
		lo, hi float64
	}
	for _, f := range []field{
		{"temperature", s.Temperature, &p.temperature, 0, 100},
		{"top_p", s.TopP, &p.topP, 0, 1},
		{"min_p", s.MinP, &p.minP, 0, 1},
		{"repeat_penalty", s.RepeatPenalty, &p.repeat, 0.01, 100},
		{"presence_penalty", s.PresencePenalty, &p.presence, -2, 2},
		{"frequency_penalty", s.FrequencyPenalty, &p.frequency, -2, 2},
	} {
		if f.given == nil {
			continue
		}
		if v := *f.given; math.IsNaN(v) || v < f.lo || v > f.hi {
			return p, badParam(f.name, "%s is %v; it must be between %v and %v", f.name, v, f.lo, f.hi)
		}
		*f.into = *f.given
	}
	if s.TopK != nil {
		if *s.TopK < -1 {
			return p, badParam("top_k", "top_k is %d; it must be at least 1, or 0 for no limit", *s.TopK)
		}
		p.topK = max(*s.TopK, 0)
	}
	if s.MaxTokens != nil && *s.MaxTokens < 0 {
		return p, badParam("max_tokens", "max_tokens is %d; it must not be negative", *s.MaxTokens)
	}
	if s.TopLogprobs < 0 || s.TopLogprobs > 20 {
		return p, badParam("top_logprobs", "top_logprobs is %d; it must be between 0 and 20", s.TopLogprobs)
	}
	for key, bias := range s.LogitBias {
		t, err := strconv.Atoi(key)
		if err != nil || t < 0 || t >= l.n.nVocab {
			return p, badParam("logit_bias", "logit_bias names the token %q; tokens are numbers from 0 to %d", key, l.n.nVocab-1)
		}
		if math.IsNaN(bias) || bias < -100 || bias > 100 {
			return p, badParam("logit_bias", "logit_bias of token %d is %v; it must be between -100 and 100", t, bias)
		}
		p.bias = append(p.bias, tokenBias{int32(t), float32(bias)})
	}
	return p, nil
}

//go:build !noengine && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/proto"
)

// Serve loads the model that the first message names and answers requests until
// in ends. It then ends the process at once, even in the midst of native work:
// a parent that is gone must not leave a child behind.
func Serve(in io.Reader, out io.Writer) error {
	w := proto.NewWriter(out)
	r := proto.NewReader(in)
	var first proto.ToChild
	if err := r.Read(&first); err != nil {
		return fmt.Errorf("engine: reading what to serve: %w", err)
	}
	if first.Kind != proto.Load || first.Load == nil {
		return errors.New("engine: the first message does not say what to serve; this command is started by strata itself")
	}
	// Requests are read while the model loads, to notice the parent's end.
	messages := make(chan *proto.ToChild, 16)
	go func() {
		for {
			m := new(proto.ToChild)
			if err := r.Read(m); err != nil {
				if errors.Is(err, io.EOF) {
					os.Exit(0)
				}
				fmt.Fprintln(os.Stderr, "engine:", err)
				os.Exit(1)
			}
			messages <- m
		}
	}()
	n, err := load(first.Load)
	if err != nil {
		w.Write(&proto.FromChild{Kind: proto.Failed, Error: &proto.Error{Message: err.Error()}})
		return err
	}
	s := &server{w: w, jobs: map[uint64]*job{}, limit: first.Load.Parallel + first.Load.Queue}
	render := newRenderer(llama.ModelChatTemplate(n.model, ""), n.tokenText(n.bos), n.tokenText(int32(llama.VocabEOS(n.vocab))), n.specials, builtinTemplate)
	s.loop = newLoop(n, render, w, first.Load.Queue, s.ended)
	s.loop.temperature, s.loop.topP = defaults(n, first.Load)
	rate, err := warmUp(n, s.loop.pace)
	if err != nil {
		w.Write(&proto.FromChild{Kind: proto.Failed, Error: &proto.Error{Message: "the model loads but cannot compute: " + err.Error()}})
		return err
	}
	err = w.Write(&proto.FromChild{Kind: proto.Ready, Info: &proto.Info{
		Description: llama.ModelDesc(n.model), Context: n.nCtx, ContextTrained: n.nCtxTrain, Parallel: n.parallel, Threads: n.threads,
		Vocabulary: n.nVocab, Embedding: n.nEmbd, Template: render.kind, TemplateNote: render.note, Rate: rate, System: llama.PrintSystemInfo(),
	}})
	if err != nil {
		return err
	}
	go s.loop.run()
	for m := range messages {
		s.handle(m)
	}
	return nil
}

// defaults are the temperature and top-p of requests that state none: those
// of the configuration, else those that the model file recommends, else ours.
func defaults(n *native, spec *proto.LoadSpec) (temperature, topP float64) {
	temperature, topP = defaultTemperature, defaultTopP
	meta := func(key string, into *float64) {
		if s, ok := llama.ModelMetaValStr(n.model, key); ok {
			if v, err := strconv.ParseFloat(s, 64); err == nil && v >= 0 && v <= 100 {
				*into = v
			}
		}
	}
	meta("general.sampling.temp", &temperature)
	meta("general.sampling.top_p", &topP)
	if spec.Temperature > 0 {
		temperature = spec.Temperature
	}
	if spec.TopP > 0 {
		topP = spec.TopP
	}
	return temperature, topP
}

// The warm-up decodes warmTokens to touch all weights and to measure the speed,
// or fewer when they take longer than warmTime: on a busy machine being ready
// soon matters more than the measurement.
const (
	warmTokens = 24
	warmLeast  = 6
	warmTime   = 500 * time.Millisecond
)

// warmUp decodes a few tokens and returns tokens per second. The first tokens,
// which wait for the file, are not timed.
func warmUp(n *native, p *pace) (float64, error) {
	tok := max(n.bos, 0)
	var timed []time.Duration
	began := time.Now()
	for i := range min(warmTokens, n.nCtx-1) {
		if i >= warmLeast && time.Since(began) > warmTime {
			break
		}
		n.batch.Clear()
		if err := n.batch.Add(llama.Token(tok), llama.Pos(i), []llama.SeqId{0}, true); err != nil {
			return 0, err
		}
		level, threads := p.next(1)
		if i < warmLeast/2 {
			level, threads = 0, n.threads
		}
		n.setThreads(threads)
		start := time.Now()
		if err := n.decode(n.ctx, n.batch); err != nil {
			return 0, err
		}
		if _, err := n.logits(0); err != nil {
			return 0, err
		}
		if i >= warmLeast/2 {
			timed = append(timed, time.Since(start))
			p.observe(level, 1, timed[len(timed)-1])
		}
	}
	// The median: on a busy machine a few rounds take many times as long.
	slices.Sort(timed)
	rate := 0.0
	if len(timed) > 0 {
		rate = 1 / max(timed[len(timed)/2].Seconds(), 1e-9)
	}
	return rate, llama.MemoryClear(n.mem, false)
}

// server takes messages and hands jobs to the loop.
type server struct {
	w     *proto.Writer
	loop  *loop
	limit int

	mu   sync.Mutex
	jobs map[uint64]*job // that have not ended
}

func (s *server) ended(j *job) {
	s.mu.Lock()
	delete(s.jobs, j.id)
	s.mu.Unlock()
}

func (s *server) fail(id uint64, err error) {
	s.w.Write(&proto.FromChild{Kind: proto.Fail, ID: id, Error: asError(err), Usage: &proto.Usage{}})
}

func (s *server) handle(m *proto.ToChild) {
	switch m.Kind {
	case proto.Cancel:
		s.mu.Lock()
		j := s.jobs[m.ID]
		s.mu.Unlock()
		if j == nil {
			return
		}
		j.cancelled.Store(true)
		select {
		case s.loop.wake <- struct{}{}:
		default:
		}
	case proto.Count:
		go func() {
			toks, err := s.loop.countable(m)
			if err != nil {
				s.fail(m.ID, err)
				return
			}
			s.w.Write(&proto.FromChild{Kind: proto.End, ID: m.ID, Count: toks})
		}()
	case proto.Generate, proto.Embed:
		j := &job{id: m.ID}
		s.mu.Lock()
		full := len(s.jobs) >= s.limit
		if !full {
			s.jobs[m.ID] = j
		}
		s.mu.Unlock()
		if full {
			e := model.Errorf(503, model.CodeUnavailable, "the local engine's queue of %d requests is full", s.limit)
			e.Retryable = true
			s.fail(m.ID, e)
			return
		}
		go func() {
			if err := s.loop.prepare(j, m); err != nil {
				s.ended(j)
				s.fail(m.ID, err)
				return
			}
			s.loop.in <- j
		}()
	default:
		s.fail(m.ID, fmt.Errorf("unknown message %q", m.Kind))
	}
}

// countable counts the tokens of a text, without a begin token.
func (l *loop) countable(m *proto.ToChild) (int, error) {
	if len(m.Prompts) != 1 {
		return 0, errors.New("one text to count is wanted")
	}
	total := 0
	for part := range splitText(m.Prompts[0].Text, 1<<16) {
		total += len(l.n.tokenize(part, false, true))
	}
	return total, nil
}

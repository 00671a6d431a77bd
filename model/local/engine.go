package local

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/proto"
)

// Engine is the embedded model. It is a model.Model for OpChat, OpComplete and
// OpEmbed, safe for concurrent use.
//
// Where a request states no temperature, top_p, top_k or min_p, the model
// file's own recommendations hold, else 0.8, 0.95, 40 and 0.05. Log
// probabilities are natural logarithms of the model's own distribution, before
// bias, penalties, truncation and temperature. A seed makes an answer
// repeatable; beside other requests in a batch the last bits of native
// arithmetic may differ. Usage counts every token of the rendered prompt and
// every token that was drawn, without the end mark; prompt tokens that were
// still held from an earlier request are cache_read.
type Engine struct {
	cfg  Config
	deps Deps

	mu      sync.Mutex
	status  Status
	child   *child // when ready
	lastErr error
	cancel  context.CancelFunc
	done    chan struct{} // closed when the supervisor has ended
	rated   bool          // TokensPerSecond is from traffic
}

var _ model.Model = (*Engine)(nil)

// New checks the configuration. It neither blocks nor starts anything.
func New(cfg Config, deps Deps) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := deps.fill(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, deps: deps}
	e.status = Status{State: StateOff, Model: cfg.Name(), File: cfg.Path}
	return e, nil
}

// Name is the served name of the model.
func (e *Engine) Name() string { return e.cfg.Name() }

// Start begins to fetch what is missing and to run the child, in the
// background, until ctx ends or Close is called. A second call does nothing.
func (e *Engine) Start(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done != nil {
		return
	}
	ctx, e.cancel = context.WithCancel(ctx)
	e.done = make(chan struct{})
	e.status.State = StateStarting
	go e.supervise(ctx)
}

// Close stops the child and waits for it. Requests that run fail.
func (e *Engine) Close() error {
	e.mu.Lock()
	cancel, done := e.cancel, e.done
	e.mu.Unlock()
	if done == nil {
		return nil
	}
	cancel()
	<-done
	return nil
}

// WaitReady waits until the engine answers. It returns early when the engine
// cannot serve (states missing, failed, off), with the reason.
func (e *Engine) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		switch s := e.Status(); s.State {
		case StateReady:
			return nil
		case StateMissing, StateFailed, StateOff:
			return errors.New(s.Detail)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Status is a snapshot.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	if e.child != nil {
		s.Active, s.Queued = e.child.load(s.Parallel)
	}
	return s
}

func (e *Engine) update(f func(s *Status)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.status)
}

// observe takes a measured rate of traffic into the status: a mean that forgets
// slowly, since single answers differ with the load beside them.
func (e *Engine) observe(rate float64) {
	if rate <= 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.rated {
		e.rated, e.status.TokensPerSecond = true, rate
		return
	}
	e.status.TokensPerSecond += (rate - e.status.TokensPerSecond) / 8
}

// ready returns the child, or the error that tells a client to come back.
func (e *Engine) ready() (*child, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child != nil {
		return e.child, nil
	}
	return nil, e.unavailable()
}

// unavailable is the error while the engine cannot answer; mu is held.
func (e *Engine) unavailable() *model.Error {
	s := &e.status
	err := model.Errorf(503, model.CodeUnavailable, "the local model %s is not available: %s", s.Model, explain(s))
	err.Retryable = s.State == StateStarting || s.State == StateRestarting || s.State == StateFetching
	if err.Retryable {
		err.RetryAfter = time.Second
		if s.State == StateFetching {
			err.RetryAfter = 10 * time.Second
		}
	}
	return err.Wrap(e.lastErr)
}

// explain says in a few words, fit for clients, why a state cannot answer.
func explain(s *Status) string {
	switch s.State {
	case StateOff:
		return "it is switched off"
	case StateMissing:
		return `its files could not be fetched; on the server run "strata model pull"`
	case StateFetching:
		if s.Total > 0 {
			return fmt.Sprintf("its files are being fetched (%d of %d MB); try again soon", s.Fetched>>20, s.Total>>20)
		}
		return "its files are being fetched; try again soon"
	case StateStarting:
		return "it is being loaded; try again in a moment"
	case StateRestarting:
		return "its process ended unexpectedly and is being restarted; try again in a moment"
	case StateFailed:
		return `it cannot be served; on the server "strata doctor" says why`
	}
	return string(s.State)
}

// Tokens counts the tokens of a text exactly, with the model's own tokenizer.
// It fails with a *model.Error while the engine is not ready.
func (e *Engine) Tokens(text string) (int, error) {
	c, err := e.ready()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	call, err := c.send(&proto.ToChild{Kind: proto.Count, Prompts: []proto.Prompt{{Text: text}}})
	if err != nil {
		return 0, err
	}
	defer c.drop(call)
	m, err := call.next(ctx)
	if err != nil {
		return 0, model.AsError(err)
	}
	if m.Kind == proto.Fail {
		return 0, clientError(m.Error, nil)
	}
	return m.Count, nil
}

// Generate answers a chat, completion or embedding request.
func (e *Engine) Generate(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		m, err := toChild(ctx, req)
		if err != nil {
			yield(model.Event{}, err)
			return
		}
		c, err := e.ready()
		if err != nil {
			yield(model.Event{}, err)
			return
		}
		call, err := c.send(m)
		if err != nil {
			yield(model.Event{}, err)
			return
		}
		e.answer(ctx, c, call, req, yield)
	}
}

// cancelWait is how long a cancelled call waits for the child to say what was
// consumed: about two rounds of its loop.
const cancelWait = 500 * time.Millisecond

func (e *Engine) answer(ctx context.Context, c *child, call *call, req *model.Request, yield func(model.Event, error) bool) {
	defer c.drop(call) // also when the range is left, which then cancels
	id, created := replyID(req.Op), e.deps.Now().Unix()
	var usage *model.Usage
	for {
		m, err := call.next(ctx)
		if err != nil {
			me := model.AsError(err)
			if ctx.Err() != nil {
				if u := c.settle(call, cancelWait); u != nil {
					usage = toUsage(u)
				}
				me = model.AsError(ctx.Err())
			}
			me.Usage = usage
			yield(model.Event{}, me)
			return
		}
		if m.Usage != nil {
			usage = toUsage(m.Usage)
		}
		switch m.Kind {
		case proto.Fail:
			yield(model.Event{}, clientError(m.Error, usage))
			return
		case proto.End:
			e.observe(m.Rate)
			ev := model.Event{Kind: model.KindEnd, ID: id, Model: e.Name(), Created: created, Usage: usage}
			if req.Op == model.OpEmbed {
				ev.Embeddings = vectors(m.Vectors, req.Embedding.Dimensions)
			}
			yield(ev, nil)
			return
		case proto.Delta:
			ev := model.Event{Choice: m.Choice, Text: m.Text, FinishReason: m.Finish, ID: id, Model: e.Name(), Created: created,
				Logprobs: toLogprobs(m.Logprobs), ToolCalls: toToolCalls(m.ToolCalls)}
			if !yield(ev, nil) {
				return
			}
		}
	}
}

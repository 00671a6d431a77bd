package meter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"runtime/debug"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
)

// call is one call on its way through the meter.
type call struct {
	m   *meter
	ctx context.Context
	req *model.Request // what the inner model is asked; a clone when it was limited
	row *ledger.Call

	start  time.Time
	card   *price.Card
	limits price.Limits
	capped bool // a hard budget limited the output

	held      bool // a hold is open
	heldKnown bool
	called    bool // the inner model was asked
	written   bool // the outcome was given to the ledger, or could not be

	first, last time.Time // first and last content
	content     bool
	usage       *model.Usage
	hashes      []hash.Hash // of the text of each choice
	scratch     []byte      // the text being hashed
	sample      []byte      // the output so far, for estimates; at most maxSample
	outputBytes int64
	reply       []byte // the text of the reply, for the content log
}

// begin prepares the row of a call.
func (m *meter) begin(ctx context.Context, req *model.Request) *call {
	now := m.Now()
	a := &req.Attribution
	c := &call{m: m, ctx: ctx, req: req, start: now}
	c.row = &ledger.Call{
		ID: req.Call.ID, Parent: req.Call.Parent, Root: req.Call.Root, Time: now.UTC(),
		KeyID: a.KeyID, Customer: a.Customer, Feature: a.Feature, EndUser: a.EndUser, Tags: a.Tags,
		Op: req.Op, Model: req.Model, ServedModel: m.ServedModel, Provider: m.Provider, Stream: req.Stream,
	}
	if c.row.ID == "" {
		c.row.ID = m.NewID(now)
	}
	if c.row.Root == "" {
		c.row.Root = c.row.ID
	}
	return c
}

func (c *call) decide(by, what, detail string) {
	c.row.Decisions = append(c.row.Decisions, ledger.Decision{By: by, What: what, Detail: detail})
}

// run answers the call.
func (c *call) run(yield func(model.Event, error) bool) {
	if err := c.ctx.Err(); err != nil {
		c.fail(yield, model.AsError(err))
		return
	}
	if e := c.admit(); e != nil {
		c.fail(yield, e)
		return
	}
	if c.capped {
		n := *c.req.Sampling().MaxTokens
		c.decide("meter", "max_tokens_capped", fmt.Sprintf("a hard budget applies and the request sets no limit: max_tokens was set to %d", n))
		if notes, ok := c.ctx.Value(notesKey{}).(*Notes); ok && c.row.Parent == "" {
			notes.MaxTokens = n
		}
	}
	c.row.Upstream = c.m.Upstream
	ctx, stop := c.innerContext()
	defer stop()
	c.answer(ctx, yield)
}

// innerContext is the context of the inner model. It ends with the range, and
// with the client unless the answer is to be drained.
func (c *call) innerContext() (context.Context, func()) {
	if !c.m.DrainOnDisconnect {
		return context.WithCancel(c.ctx)
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.ctx))
	var timer *time.Timer
	armed := make(chan struct{})
	unhook := context.AfterFunc(c.ctx, func() {
		timer = time.AfterFunc(c.m.DrainLimit, func() { cancel(context.Canceled) })
		close(armed)
	})
	return ctx, func() {
		if !unhook() {
			<-armed
			timer.Stop()
		}
		cancel(nil)
	}
}

// answer ranges over the inner model. A panic of the inner model becomes an
// error; a panic of the consumer passes through after the call is settled.
func (c *call) answer(ctx context.Context, yield func(model.Event, error) bool) {
	var (
		failure  *model.Error
		ended    bool
		left     bool // the consumer stopped the range
		inYield  bool
		terminal model.Event
	)
	func() {
		defer func() {
			if inYield {
				return // the consumer's own panic goes on; close settles the call
			}
			if cause := recover(); cause != nil {
				c.m.Log.Error("a model panicked", "call", c.row.ID, "module", c.m.Module, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
				failure = model.Errorf(500, model.CodeInternal, "the model failed with an internal error; the log has the details").
					Wrap(fmt.Errorf("panic: %v", cause))
				failure.MayHaveBeenCharged = c.content
			}
		}()
		c.called = true
		for ev, err := range c.m.next.Generate(ctx, c.req) {
			if err != nil {
				failure = model.AsError(err)
				return
			}
			c.observe(&ev)
			if ev.Kind == model.KindEnd {
				// The terminal event's bytes are valid only inside the range, so
				// it is delivered there.
				ended = true
				terminal = ev
				inYield = true
				left = !c.deliverEnd(yield, &terminal, left)
				inYield = false
				return
			}
			if left {
				continue // draining
			}
			inYield = true
			ok := yield(ev, nil)
			inYield = false
			if !ok {
				left = true
				if !c.m.DrainOnDisconnect {
					return
				}
				c.drainFrom(ctx)
			}
		}
	}()
	switch {
	case ended:
	case failure != nil && left:
		c.settle(c.cancelled(failure))
	case failure != nil:
		c.fail(yield, failure)
	case left:
		c.settle(c.cancelled(nil))
	default:
		c.fail(yield, &model.Error{Status: 502, Code: model.CodeUpstreamProtocol, Retryable: !c.content, MayHaveBeenCharged: true,
			Message: "the model's answer ended without its end marker"})
	}
}

// drainFrom notes that an answer is read on for the books alone.
func (c *call) drainFrom(context.Context) {
	c.decide("meter", "drained", "the client left; the answer was read to its end so that its usage is known")
}

// cancelled is the error of a call whose client left, or that was cut off when
// the server stopped: then the cause of its context says so.
func (c *call) cancelled(cause *model.Error) *model.Error {
	e := &model.Error{Status: 499, Code: model.CodeCanceled, Message: "the client closed the request", MayHaveBeenCharged: true}
	var cut *model.Error
	if errors.As(context.Cause(c.ctx), &cut) {
		e.Status, e.Code, e.Message, e.Retryable, e.RetryAfter = cut.Status, cut.Code, cut.Message, cut.Retryable, cut.RetryAfter
	}
	if cause != nil {
		e.Usage, e.Err = cause.Usage, cause
	}
	return e
}

// deliverEnd settles the call and hands over the terminal event. It returns
// whether the consumer is still there.
func (c *call) deliverEnd(yield func(model.Event, error) bool, ev *model.Event, left bool) bool {
	if left {
		c.settle(c.cancelled(nil))
		return false
	}
	if e := c.settle(nil); e != nil {
		return yield(model.Event{}, e)
	}
	ev.Usage = c.row.Usage
	ev.Receipt = c.receipt()
	return yield(*ev, nil)
}

// fail settles a call that failed and reports the error.
func (c *call) fail(yield func(model.Event, error) bool, e *model.Error) {
	var cut *model.Error
	stopped := errors.As(context.Cause(c.ctx), &cut)
	if (e.Code != model.CodeCanceled || stopped) && errors.Is(c.ctx.Err(), context.Canceled) && c.called {
		e = c.cancelled(e)
	}
	c.settle(e)
	if c.called && e.Usage == nil && c.row.Usage != nil {
		d := *e
		d.Usage = c.row.Usage
		e = &d
	}
	yield(model.Event{}, e)
}

// close is the last resort: it settles a call whose consumer panicked or ended
// its goroutine inside the range.
func (c *call) close() {
	if !c.written {
		c.settle(c.cancelled(nil))
	}
}

// observe measures one event.
func (c *call) observe(ev *model.Event) {
	if ev.Usage != nil {
		u := *ev.Usage
		c.usage = &u
	}
	if ev.Model != "" {
		c.row.ServedModel = ev.Model
	}
	if ev.Kind == model.KindOther {
		return
	}
	n := len(ev.Text) + len(ev.Reasoning) + len(ev.Refusal)
	for i := range ev.ToolCalls {
		n += len(ev.ToolCalls[i].Name) + len(ev.ToolCalls[i].Arguments)
	}
	if n == 0 && len(ev.ToolCalls) == 0 {
		if len(ev.Embeddings) > 0 && c.first.IsZero() {
			c.first = c.m.Now()
			c.last = c.first
		}
		return
	}
	c.last = c.m.Now()
	if c.first.IsZero() {
		c.first = c.last
	}
	c.content = true
	c.outputBytes += int64(n)
	if room := maxSample - len(c.sample); room > 0 {
		if c.sample == nil {
			c.sample = make([]byte, 0, 512)
		}
		c.sample = append(append(append(c.sample, ev.Reasoning...), ev.Text...), ev.Refusal...)
		for i := range ev.ToolCalls {
			c.sample = append(append(c.sample, ev.ToolCalls[i].Name...), ev.ToolCalls[i].Arguments...)
		}
	}
	if ev.Text != "" && ev.Choice >= 0 && ev.Choice < 4096 {
		for len(c.hashes) <= ev.Choice {
			c.hashes = append(c.hashes, sha256.New())
		}
		c.scratch = append(c.scratch[:0], ev.Text...)
		c.hashes[ev.Choice].Write(c.scratch)
	}
	if c.req.Attribution.LogContent && len(c.reply) < maxContent {
		c.reply = append(append(c.reply, ev.Text...), ev.Refusal...)
		for i := range ev.ToolCalls {
			c.reply = append(append(c.reply, ev.ToolCalls[i].Name...), ev.ToolCalls[i].Arguments...)
		}
	}
}

// outputHash is the SHA-256 of the text of the only choice, or of the choices'
// hashes one after the other when there are several; nil without text.
func (c *call) outputHash() []byte {
	switch len(c.hashes) {
	case 0:
		return nil
	case 1:
		return c.hashes[0].Sum(nil)
	}
	all := sha256.New()
	for _, h := range c.hashes {
		all.Write(h.Sum(nil))
	}
	return all.Sum(nil)
}

// Rough tokens of what a tokenizer cannot count, for estimates only.
const (
	// imageEstimate is a 1024×1024 image in high detail for GPT-4o's kind of
	// models: 85 + 4 tiles × 170 (OpenAI's vision guide, "Calculating costs", as
	// quoted in public threads; the guide itself was not at hand). Models that
	// count patches, and other makers' models, count differently.
	imageEstimate = 765
	// mediaEstimate is an audio part or a file: chosen, without a source.
	mediaEstimate = 1000
	// messageEstimate is role and separators: 4 for gpt-3.5-turbo-0301 and 3 for
	// later models in num_tokens_from_messages of OpenAI's cookbook, as quoted in
	// public threads; the larger is taken.
	messageEstimate = 4
)

// impliedTokens is how many output tokens an answer can have without a byte of
// text: markers of turns and tool calls.
const impliedTokens = 64

// promptTokens estimates the prompt.
func (c *call) promptTokens() int64 {
	n := int64(c.m.Tokens(c.m.ServedModel, c.req.PromptText()))
	switch {
	case c.req.Chat != nil:
		n += messageEstimate * int64(len(c.req.Chat.Messages))
		for i := range c.req.Chat.Tools {
			n += int64(c.m.Tokens(c.m.ServedModel, string(c.req.Chat.Tools[i].Raw)))
		}
	case c.req.Completion != nil:
		for _, p := range c.req.Completion.PromptTokens {
			n += int64(len(p))
		}
	case c.req.Embedding != nil:
		for _, p := range c.req.Embedding.InputTokens {
			n += int64(len(p))
		}
	}
	images, audio, files := c.req.Media()
	return n + imageEstimate*int64(images) + mediaEstimate*int64(audio+files)
}

// completionTokens estimates the output that has arrived.
func (c *call) completionTokens() int64 {
	if c.outputBytes == 0 {
		return 0
	}
	n := max(int64(c.m.Tokens(c.m.ServedModel, string(c.sample))), 1)
	if kept := int64(len(c.sample)); kept < c.outputBytes {
		n = n * c.outputBytes / kept
	}
	return n
}

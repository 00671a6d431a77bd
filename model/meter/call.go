package meter

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"runtime/debug"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/redact"
	"github.com/stratahq/strata/model/usage"
	"github.com/stratahq/strata/money"
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

// cancelled is the error of a call whose client left.
func (c *call) cancelled(cause *model.Error) *model.Error {
	e := &model.Error{Status: 499, Code: model.CodeCanceled, Message: "the client closed the request", MayHaveBeenCharged: true}
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
	if e.Code != model.CodeCanceled && errors.Is(c.ctx.Err(), context.Canceled) && c.called {
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
	imageEstimate   = 765  // a 1024×1024 image in high detail (OpenAI, "Images and vision", November 2026)
	mediaEstimate   = 1000 // an audio part or a file
	messageEstimate = 4    // role and separators (OpenAI's guide to counting tokens, November 2026)
)

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

// settle writes the outcome of the call. failure is nil for a whole reply. The
// error it returns is for the client: the call could not be recorded.
func (c *call) settle(failure *model.Error) *model.Error {
	if c.written {
		return nil
	}
	c.written = true
	now := c.m.Now()
	row := c.row
	row.Duration = max(now.Sub(c.start), 0)
	if !c.first.IsZero() {
		row.TTFT = max(c.first.Sub(c.start), 1)
	}
	row.OutputHash = c.outputHash()
	c.outcome(failure)
	c.consumption(failure)
	if out := c.tokensAfterFirst(); out > 0 {
		row.TPOT = max(c.last.Sub(c.first), 0) / time.Duration(out)
	}
	c.rate()
	if c.req.Attribution.LogContent {
		row.Content = c.logged()
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.m.SettleTimeout)
	defer cancel()
	var err error
	if c.held {
		err = c.m.Ledger.Settle(ctx, row)
	} else {
		err = c.m.Ledger.Record(ctx, row)
	}
	if err == nil {
		c.m.retryUnsettled(ctx)
		return nil
	}
	c.m.Log.Error("a call could not be recorded; it is kept in memory and written when the ledger can be written again",
		"call", row.ID, "error", err)
	e := model.Errorf(503, model.CodeLedgerUnavailable,
		"the model answered, but the call could not be recorded, so the end of the reply is withheld; see strata doctor").Wrap(err)
	e.MayHaveBeenCharged, e.Usage = true, row.Usage
	if failure == nil {
		row.Outcome, row.Status, row.ErrorCode, row.ErrorText = ledger.OutcomeError, e.Status, e.Code, e.Message
	}
	if c.held {
		c.m.keepUnsettled(row)
	}
	return e
}

// tokensAfterFirst is how many output tokens came after the first.
func (c *call) tokensAfterFirst() int64 {
	if c.row.Usage == nil || c.first.IsZero() {
		return 0
	}
	return c.row.Usage.Completion() - 1
}

func (c *call) outcome(failure *model.Error) {
	row := c.row
	if failure == nil {
		row.Outcome, row.Status = ledger.OutcomeOK, 200
		return
	}
	row.Status, row.ErrorCode, row.ErrorText = failure.Status, failure.Code, failure.Message
	switch {
	case failure.Code == model.CodeCanceled:
		row.Outcome = ledger.OutcomeCanceled
	case !c.called && failure.Status == 402:
		row.Outcome = ledger.OutcomeRefused
	default:
		row.Outcome = ledger.OutcomeError
	}
}

// consumption sets the usage. It stays nil when nothing was consumed.
func (c *call) consumption(failure *model.Error) {
	u := c.usage
	if failure != nil {
		if failure.Usage != nil {
			u = failure.Usage
		}
		if u == nil && !c.content && !failure.MayHaveBeenCharged {
			return
		}
		if !c.called {
			return
		}
	}
	k := usage.Known{
		Text: c.content, Cut: failure != nil, NoOutput: c.req.Op == model.OpEmbed,
		Prompt: c.promptTokens, Completion: c.completionTokens,
	}
	switch s := c.req.Sampling(); {
	case s == nil:
	case s.MaxTokens != nil && *s.MaxTokens > 0:
		k.MaxOutput = int64(*s.MaxTokens) * int64(choices(c.req))
	case s.MaxTokens == nil:
		k.MaxOutput = c.modelMaximum() * int64(choices(c.req))
	}
	c.row.Usage = usage.Reconcile(u, k)
}

// rate prices the usage on both sides of the books.
func (c *call) rate() {
	row := c.row
	if row.Usage == nil {
		// Nothing was consumed, which costs nothing.
		row.CostKnown, row.ChargeKnown = true, true
		return
	}
	if c.card == nil {
		if row.Usage.IsZero() {
			row.CostKnown, row.ChargeKnown = true, true
		}
		return
	}
	c.card.Complete(row.Usage)
	cost, err := c.card.Rate(row.Usage, price.Query{At: c.start, Surface: surface(c.req.Op), SearchContext: searchContext(c.req)})
	row.PriceVersion, row.PriceSource = cost.Version, cost.Source
	if err != nil {
		c.m.Log.Error("a call could not be priced", "call", row.ID, "card", c.card.Version, "error", err)
		return
	}
	row.Unpriced = cost.UnpricedNames()
	row.CostLines = cost.Lines
	if row.Cost, row.CostKnown = total(cost.Lines); !cost.Known {
		row.CostKnown = false
	}
	charge := cost
	if c.m.Charge != nil {
		row.Tariff, charge, err = c.m.Charge(row, &cost)
		if err != nil {
			c.m.Log.Error("a call could not be charged", "call", row.ID, "tariff", row.Tariff, "error", err)
			return
		}
	}
	row.ChargeLines = charge.Lines
	if row.Charge, row.ChargeKnown = total(charge.Lines); !charge.Known {
		row.ChargeKnown = false
	}
	row.Overrun = row.CostKnown && c.held && c.heldKnown && row.Cost > row.Held
}

func total(lines []money.Line) (sum money.Pico, ok bool) {
	var err error
	for i := range lines {
		if sum, err = sum.Add(lines[i].Amount); err != nil {
			return 0, false
		}
	}
	return sum, true
}

// surface is the price book's name of the endpoint.
func surface(op model.Op) string {
	switch op {
	case model.OpChat:
		return "chat.completions"
	case model.OpComplete:
		return "completions"
	case model.OpEmbed:
		return "embeddings"
	}
	return string(op)
}

// searchContext is web_search_options.search_context_size of the request.
func searchContext(req *model.Request) string {
	if req.Chat == nil || req.Chat.Extra["web_search_options"] == nil {
		return ""
	}
	var o struct {
		Size string `json:"search_context_size"`
	}
	if json.Unmarshal(req.Chat.Extra["web_search_options"], &o) != nil {
		return ""
	}
	return o.Size
}

// receipt says what the settled call came to.
func (c *call) receipt() *model.Receipt {
	r := &model.Receipt{CallID: c.row.ID, Estimated: c.row.Estimated()}
	if c.row.CostKnown {
		r.CostUSD = c.row.Cost.String()
	}
	if c.row.ChargeKnown {
		r.ChargeUSD = c.row.Charge.String()
	}
	return r
}

// logged is the content of the call without what looks like a secret.
func (c *call) logged() *ledger.Content {
	request := c.req.Raw.Data
	if len(request) == 0 {
		request = []byte(c.req.PromptText())
	}
	return &ledger.Content{Request: redact.Secrets(clip(request)), Reply: redact.Secrets(clip(c.reply))}
}

func clip(b []byte) []byte { return b[:min(len(b), maxContent)] }

// maxUnsettled bounds the rows kept in memory while the ledger cannot be written.
const maxUnsettled = 10_000

func (m *meter) keepUnsettled(row *ledger.Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.unsettled) >= maxUnsettled {
		m.Log.Error("too many calls wait for the ledger; this one is resolved from its hold at the next start", "call", row.ID)
		return
	}
	m.unsettled = append(m.unsettled, row)
}

// retryUnsettled writes rows that the ledger could not take before. Settle is
// idempotent by id, so a row that did get through is not doubled.
func (m *meter) retryUnsettled(ctx context.Context) {
	m.mu.Lock()
	rows := m.unsettled
	m.unsettled = nil
	m.mu.Unlock()
	for i, row := range rows {
		if err := m.Ledger.Settle(ctx, row); err != nil {
			m.mu.Lock()
			m.unsettled = append(m.unsettled, rows[i:]...)
			m.mu.Unlock()
			return
		}
	}
}

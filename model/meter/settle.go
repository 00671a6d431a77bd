package meter

import (
	"context"
	"encoding/json"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/redact"
	"github.com/stratahq/strata/model/usage"
	"github.com/stratahq/strata/money"
)

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
	// What the caller is told of a call that failed anyway stays what it was.
	e := failure
	if failure == nil {
		e = model.Errorf(503, model.CodeLedgerUnavailable,
			"the model answered, but the call could not be recorded, so the end of the reply is withheld; see strata doctor").Wrap(err)
		e.MayHaveBeenCharged, e.Usage = true, row.Usage
		row.Outcome, row.Status, row.ErrorCode, row.ErrorText = ledger.OutcomeError, e.Status, e.Code, e.Message
	}
	c.m.keepUnsettled(row)
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
	case failure.Code == model.CodeCanceled, failure.Code == model.CodeStopping:
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
		Text: c.content, Cut: failure != nil, NoOutput: c.req.Op == model.OpEmbed, Provider: c.row.Provider,
		Prompt: c.promptTokens, Completion: c.completionTokens,
	}
	switch s := c.req.Sampling(); {
	case s == nil:
	case s.MaxTokens != nil && *s.MaxTokens > 0:
		k.MaxOutput = c.bindingLimit(u, int64(*s.MaxTokens)*int64(choices(c.req)))
	case s.MaxTokens == nil && (u == nil || u.Count[model.Output] > c.outputBytes+impliedTokens):
		k.MaxOutput = c.modelMaximum() * int64(choices(c.req))
		// Otherwise a book that is behind the model must not make a true number
		// look absurd: a token is at least a byte, and the bytes have arrived.
	}
	if most := believableOutput * int64(choices(c.req)); k.MaxOutput <= 0 || k.MaxOutput > most {
		k.MaxOutput = most
	}
	c.row.Usage = usage.Reconcile(believed(u), k)
}

// bindingLimit is the most output tokens that a reply to a limited request is
// believed to have. It is the limit, unless the text that arrived shows that the
// upstream did not keep to it: then what it states is believed as far as a token
// is at least a byte, so that the excess is charged and the call is an overrun.
// A quarter is allowed for vocabularies that differ from the tokenizer's.
func (c *call) bindingLimit(u *model.Usage, limit int64) int64 {
	if u == nil || u.Completion() <= limit || c.outputBytes <= limit {
		return limit
	}
	if arrived := c.completionTokens(); arrived <= limit+limit/4 {
		return limit
	}
	return c.outputBytes
}

// Where neither the request nor the price book states a limit, these do. They
// are chosen, far above what any call can consume, so that a number which is
// none does not reach a customer's bill, and no sum over calls overflows.
const (
	// believableOutput is the most output tokens of one choice: the context
	// window of the largest models that were known in 2026, 10 million tokens.
	believableOutput = 10_000_000
	// believablePrompt is the most prompt tokens of a request, which for
	// embeddings may hold some 2,000 texts.
	believablePrompt = 100_000_000
)

// believed is a stated usage without a prompt, or thinking, that no call can
// have; what is left out is estimated.
func believed(u *model.Usage) *model.Usage {
	if u == nil || u.Prompt() <= believablePrompt && u.Count[model.Reasoning] <= believableOutput {
		return u
	}
	v := *u
	v.Flag(usage.FlagAboveMax)
	if u.Prompt() > believablePrompt {
		for b := range model.NumBuckets {
			if b.IsPrompt() {
				v.Count[b] = 0
			}
		}
		v.Estimated = v.Estimated.With(model.Input)
	}
	if u.Count[model.Reasoning] > believableOutput {
		v.Count[model.Reasoning] = 0
		v.Estimated = v.Estimated.With(model.Reasoning)
	}
	return &v
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

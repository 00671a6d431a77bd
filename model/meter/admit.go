package meter

import (
	"errors"
	"fmt"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

const (
	// searchesPerCall bounds the server-side web searches of one call that asks
	// for them. No provider states a bound; a call that makes more is marked as
	// an overrun and charged in full.
	searchesPerCall = 10
	// maxAdmissions is how often a call without a limit of its own asks again
	// when other calls took what the budget still allowed.
	maxAdmissions = 4
)

// admit holds an upper bound of the call's cost, and limits the output when a
// hard budget demands it. Its error is ready for the client.
func (c *call) admit() *model.Error {
	c.card = c.m.priceCard(c.start)
	c.limits = c.requestLimits()
	tokenized := false
	for attempt := 1; ; attempt++ {
		if e := c.limitOutput(&tokenized); e != nil {
			return e
		}
		amount, known := c.bound()
		c.row.Held = amount
		c.heldKnown = known
		warnings, err := c.m.Ledger.Hold(c.ctx, ledger.Hold{
			CallID: c.row.ID, Time: c.start, KeyID: c.row.KeyID, Customer: c.row.Customer,
			Amount: amount, Known: known, Call: c.row,
		})
		if err == nil {
			c.held = true
			for i := range warnings {
				b := &warnings[i]
				c.decide("budget", "budget_warning", fmt.Sprintf("the %s budget %s of %s USD is used up: %s USD spent, %s USD held",
					b.Period, b.ID, b.Limit, b.Spent, b.Held))
			}
			return nil
		}
		if !errors.Is(err, ledger.ErrBudgetExceeded) {
			return c.holdFailed(err)
		}
		if known && !tokenized {
			// The bound by bytes is coarse: a count may fit where it does not.
			tokenized = true
			if c.countPrompt() {
				continue
			}
		}
		if known && c.capped && attempt < maxAdmissions {
			continue
		}
		return c.refusedByBudget(err, known)
	}
}

// holdFailed words a failure of the ledger itself.
func (c *call) holdFailed(err error) *model.Error {
	if ctxErr := c.ctx.Err(); ctxErr != nil {
		return model.AsError(ctxErr)
	}
	c.m.Log.Error("a call could not be admitted: the ledger cannot be written", "call", c.row.ID, "error", err)
	e := model.Errorf(503, model.CodeLedgerUnavailable,
		"the ledger cannot be written, so the model was not called; try again, and see strata doctor").Wrap(err)
	e.Retryable = true
	return e
}

// refusedByBudget words a refusal so that its reader knows what to change.
func (c *call) refusedByBudget(err error, known bool) *model.Error {
	if known {
		message := "a budget is used up"
		var b *ledger.BudgetError
		if errors.As(err, &b) {
			message = b.Error()
		}
		return model.Errorf(402, model.CodeBudgetExceeded, "%s; raise the limit, or lower max_tokens", message).Wrap(err)
	}
	missing := "has no price"
	if c.card != nil {
		missing = "has no known upper bound of its cost"
	}
	return model.Errorf(402, model.CodeBudgetExceeded,
		"model %s %s, so a call to it cannot be kept within a hard budget; give it a price under prices: in the configuration (strata price show %s says what is known), or make the budget a warning",
		c.row.Model, missing, c.m.ServedModel).Wrap(err)
}

// requestLimits is what the request can consume at most, as far as it says.
func (c *call) requestLimits() price.Limits {
	req := c.req
	l := price.Limits{Prompt: promptBytes(req), MaxOutput: -1, Choices: choices(req)}
	l.Images, l.Audio, l.Files = req.Media()
	switch s := req.Sampling(); {
	case s == nil:
		l.MaxOutput = 0
	case s.MaxTokens != nil:
		l.MaxOutput = int64(*s.MaxTokens)
	}
	if searches(req) && c.card != nil {
		for _, b := range []model.Bucket{model.WebSearch, model.SearchQuery} {
			if c.card.Priced().Has(b) {
				l.Units = map[model.Bucket]money.Decimal{b: money.Int(searchesPerCall)}
				break
			}
		}
	}
	return l
}

// promptBytes bounds the prompt's text tokens: a token is at least a byte. What
// the request keeps without understanding it can be part of the prompt too.
func promptBytes(req *model.Request) int64 {
	n := req.PromptBytes()
	switch {
	case req.Chat != nil:
		for _, v := range req.Chat.Extra {
			n += len(v)
		}
		for i := range req.Chat.Messages {
			for _, v := range req.Chat.Messages[i].Extra {
				n += len(v)
			}
		}
	case req.Completion != nil:
		for _, v := range req.Completion.Extra {
			n += len(v)
		}
	}
	return int64(n)
}

// choices is how many answers the upstream makes and bills.
func choices(req *model.Request) int {
	switch {
	case req.Chat != nil:
		return req.Chat.Choices()
	case req.Completion != nil:
		p := req.Completion
		return max(len(p.Prompts)+len(p.PromptTokens), 1) * max(p.Choices(), p.BestOf)
	}
	return 1
}

// searches says that the request asks for server-side web search.
func searches(req *model.Request) bool {
	if req.Chat == nil {
		return false
	}
	for _, name := range [...]string{"web_search_options", "search_parameters", "plugins", "enable_search", "web_search"} {
		if _, ok := req.Chat.Extra[name]; ok {
			return true
		}
	}
	for i := range req.Chat.Tools {
		if t := req.Chat.Tools[i].Type; t != "function" && t != "custom" && t != "" {
			return true
		}
	}
	return false
}

// modelMaximum is the most output of one choice that the model can make.
func (c *call) modelMaximum() int64 {
	if c.card != nil && c.card.Facts.MaxOutput > 0 {
		return c.card.Facts.MaxOutput
	}
	return c.m.MaxOutput
}

// limitOutput gives a request without a limit of its own one that a hard budget
// can bear. It looks at the budgets only for such requests.
func (c *call) limitOutput(tokenized *bool) *model.Error {
	s := c.req.Sampling()
	if s == nil || (s.MaxTokens != nil && !c.capped) {
		return nil
	}
	left, limited, err := c.m.Ledger.Allowance(c.ctx, c.row.KeyID, c.row.Customer)
	if err != nil {
		return c.holdFailed(err)
	}
	maximum := c.modelMaximum()
	if maximum <= 0 {
		maximum = DefaultMaxOutput
	}
	if !limited || c.card == nil {
		// Nothing to keep to, or nothing to compute with: Hold decides.
		c.limits.MaxOutput = maximum
		return nil
	}
	l := &c.limits
	n := c.affordable(left, maximum)
	if n < maximum && !*tokenized {
		*tokenized = true
		if c.countPrompt() {
			n = c.affordable(left, maximum)
		}
	}
	// With nothing left, ask for the least, so that the refusal names the budget.
	// The limit is set all the same: another call may end in between, and then
	// the hold succeeds.
	n = max(n, 1)
	if c.card.Facts.MaxInput > 0 && l.Prompt+n > c.card.Facts.MaxInput && !*tokenized {
		*tokenized = true
		c.countPrompt()
	}
	if room := c.card.Facts.MaxInput - l.Prompt; c.card.Facts.MaxInput > 0 && room > 0 {
		// Some servers refuse a limit that does not fit into the window.
		n = min(n, room)
	}
	l.MaxOutput = n
	if !c.capped {
		c.capped = true
		c.req = c.req.Clone()
	}
	limit := int(min(n, 1<<31-1))
	c.req.Sampling().MaxTokens = &limit
	return nil
}

func (c *call) affordable(left money.Pico, maximum int64) int64 {
	l := &c.limits
	n, ok := c.card.MaxOutputFor(left, l.Prompt, l.Choices, l.Images, l.Audio, l.Files)
	if !ok {
		return maximum // output is free, or has no bound: Hold decides
	}
	return min(n, maximum)
}

// countPrompt replaces the bound by bytes with one by tokenizer when that is
// lower, and says whether it was. The tokenizer may not be the model's own, so a
// quarter is added, and the fixed tokens of each message.
func (c *call) countPrompt() bool {
	n := c.promptTokens()
	n += n/4 + 64
	if c.req.Chat != nil {
		n += 16 * int64(len(c.req.Chat.Messages))
	}
	if n >= c.limits.Prompt {
		return false
	}
	c.limits.Prompt = n
	return true
}

// bound is the upper bound of the cost. known is false without a price.
func (c *call) bound() (amount money.Pico, known bool) {
	if c.card == nil {
		return 0, false
	}
	l := c.limits
	if l.MaxOutput < 0 {
		if l.MaxOutput = c.modelMaximum(); l.MaxOutput <= 0 {
			l.MaxOutput = DefaultMaxOutput
		}
	}
	usd, ok := c.card.BoundOf(l)
	if !ok {
		return 0, false
	}
	p, exact, err := usd.Pico()
	if err != nil {
		return 0, false
	}
	if exact && p == 0 {
		return 0, true
	}
	// Each line is rounded half to even on its own, so a sum of lines can exceed
	// the exact bound by half a picodollar a line.
	p, err = p.Add(money.Pico(model.NumBuckets))
	return p, err == nil
}

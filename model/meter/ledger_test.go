package meter_test

import (
	"context"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/meter"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// Many calls at once against the real ledger: all are in it once, their lines
// sum to what spend says, no hold is left, and a hard budget holds.
func TestWithTheRealLedger(t *testing.T) {
	ctx := t.Context()
	db, err := store.Open(ctx, store.Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l, err := ledger.New(ctx, db, ledger.Options{TimeZone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	limit, err := money.ParsePico("0.02")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.SetBudget(ctx, ledger.Budget{Customer: "acme", Limit: limit, Period: ledger.PeriodTotal, Mode: ledger.ModeHard}); err != nil {
		t.Fatal(err)
	}
	card, err := price.ParseCard([]byte(`{"per_million":{"input":"1.5","output":"9.7"}}`))
	if err != nil {
		t.Fatal(err)
	}
	card.Provider, card.Model, card.Version = "lab", "m", "test/lab/m"
	book := price.NewBook("test", []*price.Card{card})
	inner := model.Func(func(_ context.Context, r *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			u := &model.Usage{}
			u.Count[model.Input], u.Count[model.Output] = 7, int64(*r.Chat.MaxTokens)
			if yield(model.Event{Text: "hello", FinishReason: "length"}, nil) {
				yield(model.Event{Kind: model.KindEnd, Usage: u}, nil)
			}
		}
	})
	m := meter.New(inner, meter.Options{Ledger: l, Book: func() *price.Book { return book }, Provider: "lab", Upstream: "lab", ServedModel: "m", MaxOutput: 64})

	const calls = 200
	var wg sync.WaitGroup
	var mu sync.Mutex
	outcomes := map[ledger.Outcome]int{}
	for i := range calls {
		wg.Go(func() {
			n := 20
			req := &model.Request{Op: model.OpChat, Model: "served", Attribution: model.Attribution{Customer: "acme"},
				Chat: &model.Chat{Messages: []model.Message{model.UserMessage("hi")}, Sampling: model.Sampling{MaxTokens: &n}}}
			if i%3 == 0 {
				req.Chat.MaxTokens = nil
			}
			outcome := ledger.OutcomeCanceled
			for ev, err := range m.Generate(ctx, req) {
				if err != nil {
					outcome = ledger.OutcomeRefused
					if model.AsError(err).Status != 402 {
						t.Errorf("call failed: %v", err)
					}
					break
				}
				if i%10 == 1 {
					break // leaves half-way
				}
				if ev.Kind == model.KindEnd {
					outcome = ledger.OutcomeOK
				}
			}
			mu.Lock()
			outcomes[outcome]++
			mu.Unlock()
		})
	}
	wg.Wait()

	rows, err := l.Calls(ctx, ledger.Filter{Limit: calls + 1})
	if err != nil {
		t.Fatal(err)
	}
	var sum money.Sum
	for i := range rows {
		c, err := l.Call(ctx, rows[i].ID)
		if err != nil {
			t.Fatal(err)
		}
		outcomes[c.Outcome]--
		var lines money.Sum
		for _, line := range c.CostLines {
			lines = lines.Add(line.Amount)
		}
		if !lines.Sub(money.SumOf(c.Cost)).IsZero() || !c.CostKnown {
			t.Errorf("lines sum to %s, the call cost %s", lines, c.Cost)
		}
		sum = sum.Add(c.Cost)
	}
	for outcome, n := range outcomes {
		if n != 0 {
			t.Errorf("%s: the clients saw %d more than the ledger has", outcome, n)
		}
	}
	total, err := l.Totals(ctx, ledger.Filter{})
	if err != nil || total.Calls != calls || !total.Cost.Sub(sum).IsZero() {
		t.Errorf("totals say %d calls and %s; the calls cost %s, %v", total.Calls, total.Cost, sum, err)
	}
	if sum.Cmp(money.SumOf(limit)) > 0 {
		t.Errorf("%s was spent of %s", sum, limit)
	}
	v, err := l.Verify(ctx, nil)
	if err != nil || !v.OK || v.OpenHolds != 0 || v.Calls != calls {
		t.Errorf("verification: %+v, %v", v, err)
	}
}

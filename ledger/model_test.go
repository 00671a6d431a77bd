package ledger

import (
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stratahq/strata/money"
)

// The model of a budget: what it counts is the sum over calls of its current
// window, each with its state. It is written without regard to how the ledger
// does it.
type modelBudget struct {
	id      string
	subject string // customer
	limit   int64
	period  Period
	hard    bool
	window  string // name of the current window; windows have ascending names
	entries map[string]*modelEntry
}

type modelEntry struct {
	window      string
	held, spent int64
}

func windowName(p Period, at time.Time) string {
	switch p {
	case PeriodDay:
		return at.Format("2006-01-02")
	case PeriodMonth:
		return at.Format("2006-01")
	}
	return "all"
}

func (b *modelBudget) windowAt(at time.Time) string { return max(b.window, windowName(b.period, at)) }

func (b *modelBudget) used(window string) (spent, held int64) {
	for _, e := range b.entries {
		if e.window == window {
			spent += e.spent
			held += e.held
		}
	}
	return
}

type modelCall struct {
	id, customer string
	at           time.Time
	bound        int64
	cost         int64
	known, done  bool
}

func TestBudgetsBehaveLikeTheModel(t *testing.T) {
	// Each check opens databases and waits for fsyncs, so the default of 100
	// would take a minute; -rapid.checks sets another number.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		checks.Value.Set("15")
		defer checks.Value.Set(checks.DefValue)
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		budgets := map[string]*modelBudget{}
		calls := map[string]*modelCall{}
		var order []string
		customers := rapid.SampledFrom([]string{"a", "b"})
		open := func() (ids []string) {
			for _, id := range order {
				if !calls[id].done {
					ids = append(ids, id)
				}
			}
			return
		}
		settled := func() (ids []string) {
			for _, id := range order {
				if calls[id].done {
					ids = append(ids, id)
				}
			}
			return
		}
		// count moves a call from held to spent in the budgets that hold it.
		count := func(c *modelCall, spent int64) {
			for _, b := range budgets {
				if e := b.entries[c.id]; e != nil {
					e.held, e.spent = 0, spent
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"set budget": func(rt *rapid.T) {
				b := &modelBudget{subject: customers.Draw(rt, "customer"), limit: rapid.Int64Range(0, 500).Draw(rt, "limit"),
					period: rapid.SampledFrom([]Period{PeriodDay, PeriodMonth, PeriodTotal}).Draw(rt, "period"), hard: rapid.Bool().Draw(rt, "hard"), entries: map[string]*modelEntry{}}
				mode := ModeWarn
				if b.hard {
					mode = ModeHard
				}
				got, err := f.SetBudget(ctx, Budget{Customer: b.subject, Limit: money.Pico(b.limit), Period: b.period, Mode: mode})
				if err != nil {
					rt.Fatal(err)
				}
				b.id, b.window = got.ID, windowName(b.period, f.now)
				for _, c := range calls {
					if c.customer != b.subject {
						continue
					}
					e := &modelEntry{window: b.window}
					switch {
					case !c.done: // running calls count in the window of the setting
						e.held = c.bound
					case windowName(b.period, c.at) < b.window:
						continue
					case c.known:
						e.spent = c.cost
					default:
						e.spent = c.bound
					}
					b.entries[c.id] = e
				}
				budgets[b.subject+string(b.period)] = b
			},
			"hold": func(rt *rapid.T) {
				c := &modelCall{id: NewID(f.now), customer: customers.Draw(rt, "customer"), at: f.now, bound: rapid.Int64Range(0, 120).Draw(rt, "bound")}
				refuse := false
				for _, b := range budgets {
					spent, held := b.used(b.windowAt(f.now))
					refuse = refuse || b.subject == c.customer && b.hard && spent+held+c.bound > b.limit
				}
				call := makeCall(f.now, c.customer, 0)
				call.ID = c.id
				err := f.hold(call, money.Pico(c.bound))
				if refuse != errors.Is(err, ErrBudgetExceeded) || !refuse && err != nil {
					rt.Fatalf("hold of %d for %s: %v; the model refuses: %v", c.bound, c.customer, err, refuse)
				}
				if refuse {
					return
				}
				calls[c.id] = c
				order = append(order, c.id)
				for _, b := range budgets {
					if b.subject == c.customer {
						b.window = b.windowAt(f.now)
						b.entries[c.id] = &modelEntry{window: b.window, held: c.bound}
					}
				}
			},
			"settle": func(rt *rapid.T) {
				ids := open()
				if len(ids) == 0 {
					rt.Skip("nothing is open")
				}
				c := calls[rapid.SampledFrom(ids).Draw(rt, "id")]
				c.known, c.done = rapid.Bool().Draw(rt, "known"), true
				if c.known {
					c.cost = rapid.Int64Range(0, c.bound).Draw(rt, "cost")
				}
				call := makeCall(c.at, c.customer, money.Pico(c.cost))
				call.ID = c.id
				if !c.known {
					call.CostKnown, call.CostLines = false, nil
				}
				if err := f.Settle(ctx, call); err != nil {
					rt.Fatal(err)
				}
				if c.known {
					count(c, c.cost)
				} else {
					count(c, c.bound)
				}
			},
			"correct": func(rt *rapid.T) {
				ids := settled()
				if len(ids) == 0 {
					rt.Skip("nothing is settled")
				}
				c := calls[rapid.SampledFrom(ids).Draw(rt, "id")]
				c.cost, c.known = rapid.Int64Range(0, 50).Draw(rt, "cost"), true
				f.correct(c.id, money.Pico(c.cost))
				count(c, c.cost)
			},
			"clock": func(rt *rapid.T) {
				f.now = f.now.Add(time.Duration(rapid.IntRange(-40, 60).Draw(rt, "hours")) * time.Hour)
			},
			"restart": func(rt *rapid.T) {
				f.reopen()
				for _, id := range open() {
					c := calls[id]
					c.done = true
					count(c, c.bound)
				}
			},
			"": func(rt *rapid.T) {
				list, err := f.Budgets(ctx)
				if err != nil {
					rt.Fatal(err)
				}
				if len(list) != len(budgets) {
					rt.Fatalf("%d budgets, want %d", len(list), len(budgets))
				}
				for _, got := range list {
					b := budgets[got.Customer+string(got.Period)]
					spent, held := b.used(b.windowAt(f.now))
					if got.Spent != money.SumOf(money.Pico(spent)) || got.Held != money.SumOf(money.Pico(held)) {
						rt.Fatalf("%s budget of %s: spent %s, held %s; the model says %d and %d", got.Period, got.Customer, got.Spent, got.Held, spent, held)
					}
				}
			},
		})
		total, err := f.Totals(ctx, Filter{})
		if err != nil {
			rt.Fatal(err)
		}
		var want Spend
		for _, id := range settled() {
			want.Calls++
			want.Cost = want.Cost.Add(money.Pico(calls[id].cost))
			want.UnknownCostCalls += flag64(!calls[id].known)
		}
		if got, want := fmt.Sprint(total.Calls, total.Cost, total.UnknownCostCalls), fmt.Sprint(want.Calls, want.Cost, want.UnknownCostCalls); got != want {
			rt.Fatalf("totals %s, want %s", got, want)
		}
		if v, err := f.Verify(ctx, nil); err != nil || !v.OK {
			rt.Fatalf("verification: %+v, %v", v, err)
		}
	})
}

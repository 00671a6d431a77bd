package ledger

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratahq/strata/money"
)

func (f *fixture) hold(c *Call, amount money.Pico) error {
	_, err := f.Hold(ctx, Hold{CallID: c.ID, Time: f.now, KeyID: c.KeyID, Customer: c.Customer, Amount: amount, Known: true, Call: c})
	return err
}

func (f *fixture) budget(b Budget) Budget {
	f.t.Helper()
	b, err := f.SetBudget(ctx, b)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *fixture) only() Budget {
	f.t.Helper()
	list, err := f.Budgets(ctx)
	if err != nil || len(list) != 1 {
		f.t.Fatalf("budgets = %v, %v", list, err)
	}
	return list[0]
}

func TestAHardBudgetIsNeverExceededByConcurrentCalls(t *testing.T) {
	f := newFixture(t)
	const limit, bound, cost, workers, each = 10_000, 100, 60, 64, 20
	f.budget(Budget{Customer: "acme", Limit: limit, Period: PeriodMonth, Mode: ModeHard})
	f.budget(Budget{KeyID: "key_1", Limit: limit * 2, Period: PeriodTotal, Mode: ModeHard})
	var admitted, refused atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				c := makeCall(at, "acme", cost)
				_, err := f.Hold(ctx, Hold{CallID: c.ID, Time: at, KeyID: c.KeyID, Customer: c.Customer, Amount: bound, Known: true, Call: c})
				if errors.Is(err, ErrBudgetExceeded) {
					refused.Add(1)
					continue
				}
				if err == nil {
					admitted.Add(1)
					err = f.Settle(ctx, c)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total, err := f.Totals(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if want := money.SumOf(money.Pico(admitted.Load() * cost)); total.Cost != want {
		t.Errorf("spent %s, want %s", total.Cost, want)
	}
	if total.Cost.Cmp(money.SumOf(limit)) > 0 {
		t.Errorf("spent %s USD of a limit of %d picodollars", total.Cost, limit)
	}
	// Room for another bound would have been used.
	if left := money.SumOf(limit).Sub(total.Cost); left.Cmp(money.SumOf(bound)) >= 0 && refused.Load() > 0 && admitted.Load() < (limit-bound)/cost {
		t.Errorf("calls were refused although %s USD were left", left)
	}
	if refused.Load() == 0 {
		t.Error("nothing was refused: the test tests nothing")
	}
	f.verify()
}

func TestAnExhaustedBudgetSaysWhy(t *testing.T) {
	f := newFixture(t)
	b := f.budget(Budget{Customer: "acme", Limit: money.PicoPerUSD, Period: PeriodDay})
	c := f.call("acme", money.PicoPerUSD)
	if err := f.hold(c, money.PicoPerUSD); err != nil {
		t.Fatal(err)
	}
	if left, limited, err := f.Allowance(ctx, "key_1", "acme"); left != 0 || !limited || err != nil {
		t.Errorf("allowance = %s, %v, %v", left, limited, err)
	}
	err := f.hold(f.call("acme", 1), 1)
	var be *BudgetError
	if !errors.As(err, &be) || be.Budget.ID != b.ID {
		t.Fatalf("err = %v", err)
	}
	if want := "the day budget of customer acme is 1 USD: 0 spent, 1 held by running calls; this call may cost up to 0.000000000001"; be.Error() != want {
		t.Errorf("message %q\nwant    %q", be.Error(), want)
	}
	if err := f.hold(f.call("other", 1), 1); err != nil {
		t.Errorf("another customer is refused too: %v", err)
	}
	f.settle(c)
	if b := f.only(); b.Spent.String() != "1" || !b.Held.IsZero() {
		t.Errorf("budget = %+v", b)
	}
}

func TestUnknownCostNeedsPermissionUnderAHardBudget(t *testing.T) {
	f := newFixture(t)
	f.budget(Budget{KeyID: "key_1", Limit: 100, Period: PeriodTotal})
	c := f.call("acme", 0)
	h := Hold{CallID: c.ID, KeyID: "key_1", Customer: "acme"}
	var be *BudgetError
	if _, err := f.Hold(ctx, h); !errors.As(err, &be) || !be.Unknown {
		t.Fatalf("err = %v, want a BudgetError about an unknown cost", err)
	}
	h.AllowUnknown = true
	if _, err := f.Hold(ctx, h); err != nil {
		t.Fatal(err)
	}
}

func TestAWarnBudgetWarnsAndGoesOn(t *testing.T) {
	f := newFixture(t)
	b := f.budget(Budget{KeyID: "key_1", Limit: 10, Period: PeriodTotal, Mode: ModeWarn})
	w, err := f.Hold(ctx, Hold{CallID: NewID(f.now), KeyID: "key_1", Amount: 11, Known: true})
	if err != nil || len(w) != 1 || w[0].ID != b.ID {
		t.Fatalf("warnings = %v, %v", w, err)
	}
}

func TestAWindowOpensAtMidnightAndNeverAgain(t *testing.T) {
	f := newFixture(t)
	f.budget(Budget{Customer: "acme", Limit: 100, Period: PeriodDay})
	spend := func(cost money.Pico) error {
		c := f.call("acme", cost)
		if err := f.hold(c, cost); err != nil {
			return err
		}
		return f.Settle(ctx, c)
	}
	if err := spend(100); err != nil {
		t.Fatal(err)
	}
	today := f.now
	running := f.call("acme", 0)
	if err := f.hold(running, 0); err != nil {
		t.Fatal(err)
	}
	f.now = today.AddDate(0, 0, 1)
	if err := spend(60); err != nil {
		t.Fatalf("a new day: %v", err)
	}
	// The clock jumps back: neither day may be spent again.
	for _, back := range []time.Time{today, today.Add(-48 * time.Hour), today.AddDate(0, 0, 1)} {
		f.now = back
		if err := spend(41); !errors.Is(err, ErrBudgetExceeded) {
			t.Errorf("at %s: %v, want a refusal", back, err)
		}
	}
	f.reopen()
	if err := spend(41); !errors.Is(err, ErrBudgetExceeded) {
		t.Errorf("after a restart: %v, want a refusal", err)
	}
	if b := f.only(); b.Spent.String() != "0.00000000006" {
		t.Errorf("spent = %s", b.Spent)
	}
	f.verify()
}

func TestABudgetSetLaterCountsWhatWasSpentAndHeld(t *testing.T) {
	f := newFixture(t)
	f.settle(f.call("acme", 40))
	f.settle(f.call("other", 7))
	yesterday := f.call("acme", 3)
	yesterday.Time = f.now.AddDate(0, 0, -1)
	f.settle(yesterday)
	running := f.call("acme", 5)
	if err := f.hold(running, 20); err != nil {
		t.Fatal(err)
	}
	b := f.budget(Budget{Customer: "acme", Limit: 100, Period: PeriodDay})
	if b.Spent != money.SumOf(40) || b.Held != money.SumOf(20) {
		t.Fatalf("spent %s, held %s", b.Spent, b.Held)
	}
	f.settle(running)
	f.verify()
	b = f.budget(Budget{Customer: "acme", Limit: 90, Period: PeriodDay, Mode: ModeWarn})
	if b.Spent != money.SumOf(45) || !b.Held.IsZero() || len(f.Ledger.bud.byNum) != 1 {
		t.Fatalf("after setting it again: %+v", b)
	}
	if err := f.DeleteBudget(ctx, b.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteBudget(ctx, b.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleting twice: %v", err)
	}
	f.verify()
}

func TestWindowsFollowTheBusinessTimeZone(t *testing.T) {
	for _, c := range []struct {
		zone, at, start, end string
		period               Period
	}{
		{"Asia/Shanghai", "2026-11-24T15:59:59Z", "2026-11-23T16:00:00Z", "2026-11-24T16:00:00Z", PeriodDay},
		{"Asia/Shanghai", "2026-11-24T16:00:00Z", "2026-11-24T16:00:00Z", "2026-11-25T16:00:00Z", PeriodDay},
		{"Asia/Kathmandu", "2026-11-24T18:14:59Z", "2026-11-23T18:15:00Z", "2026-11-24T18:15:00Z", PeriodDay},
		// 25 and 23 hours where clocks change.
		{"Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", PeriodDay},
		{"Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", PeriodDay},
		{"America/New_York", "2026-11-24T12:00:00Z", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z", PeriodMonth},
		// In Chile clocks go from 24:00 to 01:00: that midnight does not exist.
		{"America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z", PeriodDay},
		{"America/Santiago", "2026-09-06T03:59:59Z", "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z", PeriodDay},
		{"UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", PeriodMonth},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Skipf("no time zone data: %v", err)
		}
		at, _ := time.Parse(time.RFC3339, c.at)
		start := windowStart(c.period, at, loc)
		end := windowEnd(c.period, start, loc)
		if got, want := fmt.Sprint(start.Format(time.RFC3339), " ", end.Format(time.RFC3339)), c.start+" "+c.end; got != want {
			t.Errorf("%s %s %s: %s, want %s", c.zone, c.period, c.at, got, want)
		}
	}
}

package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

func TestSpendSeriesAndTotalsAgreeWithTheCalls(t *testing.T) {
	for _, zone := range []string{"UTC", "Asia/Kolkata", "Europe/Berlin"} {
		t.Run(zone, func(t *testing.T) {
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Skip(err)
			}
			f := newFixture(t)
			f.Ledger.loc = loc
			rng := rand.New(rand.NewPCG(4, 4))
			var all []*Call
			for i := range 400 {
				c := f.call([]string{"a", "b", "c"}[rng.IntN(3)], money.Pico(rng.IntN(1_000_000)))
				c.Time = at.Add(-time.Duration(rng.Int64N(int64(80 * time.Hour))))
				c.Model, c.Feature = []string{"m1", "m2"}[rng.IntN(2)], []string{"f1", "f2"}[rng.IntN(2)]
				c.Usage = &model.Usage{Seconds: money.MustDecimal("0.25")}
				c.Usage.Count[model.Input] = rng.Int64N(1000)
				c.Duration = time.Duration(rng.IntN(5_000_000)) * time.Microsecond
				switch rng.IntN(6) {
				case 0:
					c.Outcome = OutcomeError
				case 1:
					c.CostKnown, c.ChargeKnown, c.Cost, c.Charge, c.CostLines, c.ChargeLines = false, false, 0, 0, nil, nil
				}
				f.settle(c)
				if i%40 == 7 {
					f.correct(c.ID, 12345)
					c.Cost, c.Charge, c.CostKnown, c.ChargeKnown = 12345, 12345, true, true
				}
				all = append(all, c)
			}
			for _, flt := range []Filter{
				{},
				{Customer: "a"}, {Model: "m1", Feature: "f2"}, {Customer: "nobody"},
				{Since: at.Add(-50*time.Hour - 17*time.Minute), Until: at.Add(-3*time.Hour + 11*time.Second)},
				{Since: at.Add(-50 * time.Hour), Customer: "b"},
				{Since: at.Add(-10 * time.Minute), Until: at.Add(-5 * time.Minute)},
				{Outcome: OutcomeError}, {UnknownCost: true}, {Text: "M2"}, {Upstream: "up", Since: at.Add(-30*time.Hour - time.Second)},
			} {
				match := func(c *Call) bool {
					return (flt.Since.IsZero() || !c.Time.Before(flt.Since)) && (flt.Until.IsZero() || c.Time.Before(flt.Until)) &&
						(flt.Customer == "" || c.Customer == flt.Customer) && (flt.Model == "" || c.Model == flt.Model) && (flt.Feature == "" || c.Feature == flt.Feature) &&
						(flt.Outcome == "" || c.Outcome == flt.Outcome) && (!flt.UnknownCost || !c.CostKnown) && (flt.Text == "" || c.Model == "m2")
				}
				want := map[string]map[string]string{"total": {}, "customer": {}, "day": {}, "hour": {}}
				sums := map[string]*Spend{}
				for _, c := range all {
					if !match(c) {
						continue
					}
					for by, g := range map[string]string{"total": "", "customer": c.Customer, "day": c.Time.In(loc).Format("2006-01-02"), "hour": c.Time.In(loc).Format("2006-01-02T15:00Z07:00")} {
						s := sums[by+g]
						if s == nil {
							s = &Spend{Group: g}
							sums[by+g] = s
						}
						s.Calls++
						s.Errors += flag64(c.Outcome == OutcomeError)
						s.UnknownCostCalls += flag64(!c.CostKnown)
						s.Cost, s.Charge = s.Cost.Add(c.Cost), s.Charge.Add(c.Charge)
						s.Usage.Add(c.Usage)
						want[by][g] = show(*s)
					}
				}
				total, err := f.Totals(ctx, flt)
				if err != nil {
					t.Fatal(err)
				}
				if want["total"][""] == "" {
					want["total"][""] = show(Spend{})
				}
				if show(total) != want["total"][""] {
					t.Errorf("%+v: totals %s\nwant %s", flt, show(total), want["total"][""])
				}
				for _, by := range []GroupBy{ByCustomer, ByDay, ByHour} {
					got, err := f.Spend(ctx, by, flt)
					if err != nil {
						t.Fatal(err)
					}
					have := map[string]string{}
					for _, s := range got {
						have[s.Group] = show(s)
					}
					if fmt.Sprint(have) != fmt.Sprint(want[string(by)]) {
						t.Errorf("%+v by %s:\n got %v\nwant %v", flt, by, have, want[string(by)])
					}
				}
				for _, step := range []GroupBy{ByHour, ByDay} {
					points, err := f.Series(ctx, step, flt)
					if err != nil {
						t.Fatal(err)
					}
					var sum Spend
					for _, p := range points {
						sum.Calls, sum.Errors, sum.UnknownCostCalls = sum.Calls+p.Calls, sum.Errors+p.Errors, sum.UnknownCostCalls+p.UnknownCostCalls
						sum.Cost, sum.Charge = sum.Cost.AddSum(p.Cost), sum.Charge.AddSum(p.Charge)
						sum.Usage.Add(&p.Usage)
					}
					if show(sum) != show(total) {
						t.Errorf("%+v: the %s series sums to %s\nwant %s", flt, step, show(sum), show(total))
					}
				}
			}
			f.verify()
		})
	}
}

func show(s Spend) string {
	u, _ := s.Usage.MarshalJSON()
	return fmt.Sprintf("%d calls, %d errors, %d unknown, cost %s, charge %s, usage %s", s.Calls, s.Errors, s.UnknownCostCalls, s.Cost, s.Charge, u)
}

func TestQuantilesAreWithinTheirStatedError(t *testing.T) {
	f := newFixture(t)
	rng := rand.New(rand.NewPCG(9, 9))
	var all []time.Duration
	for range 300 {
		c := f.call("a", 1)
		c.Duration = time.Duration(1000+rng.ExpFloat64()*1e6) * time.Microsecond
		f.settle(c)
		all = append(all, c.Duration)
	}
	bad := f.call("a", 1)
	bad.Outcome, bad.Duration = OutcomeError, 24*time.Hour // not a latency
	f.settle(bad)
	slices.Sort(all)
	points, err := f.Series(ctx, ByHour, Filter{Since: at.Add(-3 * time.Hour), Until: at.Add(time.Hour)})
	if err != nil || len(points) != 5 {
		t.Fatalf("%d points, %v; want 5", len(points), err)
	}
	if p := points[0]; p.Calls != 0 || p.DurationP50 != -1 || p.TTFTp95 != -1 {
		t.Errorf("an empty step is %+v", p)
	}
	for p, got := range map[float64]time.Duration{0.5: points[3].DurationP50, 0.95: points[3].DurationP95} {
		exact := all[int(p*float64(len(all)))-1]
		if r := float64(got) / float64(exact); r < 1/1.022 || r > 1.022 {
			t.Errorf("quantile %v is %s, exactly %s", p, got, exact)
		}
	}
	heat, err := f.Latency(ctx, Filter{Since: at.Add(-3 * time.Hour), Until: at.Add(time.Hour)}, ByHour, MetricDuration)
	if err != nil || len(heat.Starts) != 5 {
		t.Fatal(heat, err)
	}
	for i, upper := range heat.Bounds {
		lower := time.Duration(0)
		if i > 0 {
			lower = heat.Bounds[i-1]
		}
		want := int64(0)
		for _, d := range all {
			if d >= lower && d < upper {
				want++
			}
		}
		if heat.Counts[3][i] != want {
			t.Errorf("range below %s: %d calls, want %d", upper, heat.Counts[3][i], want)
		}
	}
}

func TestCallsPageByNumberAndFilter(t *testing.T) {
	f := newFixture(t)
	var ids []string
	for i := range 10 {
		c := f.call(fmt.Sprint("cust", i%2), 1)
		c.Time = at.Add(-time.Duration(i) * time.Hour) // the clock runs backwards; order is Seq
		if i == 4 {
			c.ErrorCode, c.ErrorText, c.Outcome = "x", "a 100% failure", OutcomeError
		}
		ids = append(ids, f.settle(c).ID)
	}
	list := func(flt Filter) (got []string) {
		t.Helper()
		calls, err := f.Calls(ctx, flt)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			got = append(got, c.ID)
		}
		return got
	}
	for _, c := range []struct {
		name string
		f    Filter
		want []int
	}{
		{"newest", Filter{Limit: 3}, []int{9, 8, 7}},
		{"page", Filter{Limit: 2, BeforeSeq: 8}, []int{6, 5}},
		{"after", Filter{Limit: 2, AfterSeq: 3}, []int{3, 4}},
		{"customer", Filter{Customer: "cust1", Limit: 2}, []int{9, 7}},
		{"since", Filter{Since: at.Add(-90 * time.Minute)}, []int{1, 0}},
		{"outcome", Filter{Outcome: OutcomeError}, []int{4}},
		{"text of an error", Filter{Text: "100% fail"}, []int{4}},
		{"text is no pattern", Filter{Text: "1_0%"}, nil},
		{"id", Filter{Text: ids[2][20:]}, []int{2}},
		{"root", Filter{Root: ids[5]}, []int{5}},
		{"unknown", Filter{Model: "never"}, nil},
	} {
		var want []string
		for _, i := range c.want {
			want = append(want, ids[i])
		}
		if got := list(c.f); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
	if _, err := f.Calls(ctx, Filter{Outcome: "odd"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown outcome: %v", err)
	}
	if _, err := f.Call(ctx, "nonsense"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an id that is none: %v", err)
	}
}

func TestCorrectionsReplaceAmountsEverywhere(t *testing.T) {
	f := newFixture(t)
	f.budget(Budget{Customer: "acme", Limit: 1000, Period: PeriodTotal})
	c := f.call("acme", 0)
	c.CostKnown, c.ChargeKnown, c.CostLines, c.ChargeLines, c.Unpriced = false, false, nil, nil, []string{"input"}
	if err := f.hold(c, 300); err != nil {
		t.Fatal(err)
	}
	f.settle(c)
	if b := f.only(); b.Spent != money.SumOf(300) {
		t.Errorf("a call of unknown cost counts %s, want its bound", b.Spent)
	}
	f.correct(c.ID, 120)
	f.correct(c.ID, 110)
	if b := f.only(); b.Spent != money.SumOf(110) {
		t.Errorf("corrected, it counts %s", b.Spent)
	}
	got, err := f.Call(ctx, c.ID)
	if err != nil || got.Cost != 110 || !got.CostKnown || got.PriceVersion != "v2" || got.Unpriced != nil || len(got.CostLines) != 1 {
		t.Errorf("call = %+v, %v", got, err)
	}
	list, err := f.Corrections(ctx, c.ID)
	if err != nil || len(list) != 2 || list[0].WasCostKnown || list[1].WasCost != 120 || list[1].Cost != 110 || list[1].Reason != "repriced" {
		t.Errorf("corrections = %+v, %v", list, err)
	}
	if calls, _ := f.Calls(ctx, Filter{UnknownCost: true}); len(calls) != 0 {
		t.Error("it is still listed as unknown")
	}
	err = f.Correct(ctx, []Correction{{CallID: c.ID, CostKnown: true, Cost: 1}})
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("a correction without lines: %v", err)
	}
	if err := f.Correct(ctx, []Correction{{CallID: NewID(at)}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a correction of nothing: %v", err)
	}
	f.verify()
}

func TestSubscribersSeeCallsInOrder(t *testing.T) {
	f := newFixture(t)
	sub, cancel := contextWithCancel()
	ch := f.Subscribe(sub)
	for range 5 {
		f.settle(f.call("a", 1))
	}
	for i := range int64(5) {
		if c := <-ch; c.Seq != i+1 {
			t.Errorf("seq %d, want %d", c.Seq, i+1)
		}
	}
	cancel()
	for range ch { // must be closed
	}
	f.settle(f.call("a", 1))
}

// The promise to be shown: 20,000 calls at 64 at once are 20,000 rows, and the
// sum of lines is the balance is what spend says, to the picodollar.
func TestTwentyThousandCallsAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	f := newFixture(t)
	f.budget(Budget{Customer: "c1", Limit: money.MaxPico, Period: PeriodMonth})
	const calls, workers = 20_000, 64
	var mu sync.Mutex
	var lines money.Sum
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			var mine money.Sum
			for i := w; i < calls; i += workers {
				c := makeCall(at, fmt.Sprint("c", i%5), money.Pico(rng.Int64N(5_000_000_000_000)))
				_, err := f.Hold(ctx, Hold{CallID: c.ID, Time: at, KeyID: c.KeyID, Customer: c.Customer, Amount: 5_000_000_000_000, Known: true, Call: c})
				if err == nil {
					err = f.Settle(ctx, c)
				}
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range c.CostLines {
					mine = mine.Add(l.Amount)
				}
			}
			mu.Lock()
			lines = lines.AddSum(mine)
			mu.Unlock()
		})
	}
	start := time.Now()
	wg.Wait()
	t.Logf("%d calls at %d at once: %s a call", calls, workers, time.Since(start)/calls)
	v := f.verify()
	total, err := f.Totals(ctx, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var balance money.Sum
	err = f.db.Read(ctx, func(q store.Querier) error {
		var usd, pico int64
		err := q.QueryRow("SELECT usd, pico FROM accounts WHERE kind = ?", accountCost).Scan(&usd, &pico)
		balance = money.SumFromParts(usd, pico)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.Calls != calls || total.Calls != calls || lines != balance || lines != total.Cost || v.OpenHolds != 0 {
		t.Errorf("%d calls verified, %d in spend, %d open holds\nlines   %s\nbalance %s\nspend   %s", v.Calls, total.Calls, v.OpenHolds, lines, balance, total.Cost)
	}
}

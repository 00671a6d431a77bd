package ledger

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratahq/strata/money"
)

func (f *fixture) size() int64 {
	f.t.Helper()
	if err := f.db.EmptyLog(ctx); err != nil {
		f.t.Fatal(err)
	}
	info, err := os.Stat(f.db.Path())
	if err != nil {
		f.t.Fatal(err)
	}
	return info.Size()
}

func benchCall(rng *rand.Rand, at time.Time, i int) *Call {
	c := makeCall(at, fmt.Sprint("customer-", i%20), money.Pico(1_000_000+rng.Int64N(500_000_000)))
	c.Model, c.Feature, c.KeyID = fmt.Sprint("model-", i%7), fmt.Sprint("feature-", i%5), fmt.Sprint("key-", i%20)
	c.TTFT, c.Duration = time.Duration(rng.IntN(900_000))*time.Microsecond, time.Duration(rng.IntN(9_000_000))*time.Microsecond
	c.Usage.Count[0], c.Usage.Count[8] = rng.Int64N(4000), rng.Int64N(900)
	c.OutputHash = make([]byte, 32)
	return c
}

// BenchmarkHold measures admission at 64 at once, with two budgets.
func BenchmarkHold(b *testing.B) {
	f := newFixture(b)
	f.budget(Budget{Customer: "acme", Limit: money.MaxPico, Period: PeriodMonth})
	f.budget(Budget{KeyID: "key_1", Limit: money.MaxPico, Period: PeriodDay})
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c := makeCall(at, "acme", 5)
			if _, err := f.Hold(ctx, Hold{CallID: c.ID, Time: at, KeyID: c.KeyID, Customer: c.Customer, Amount: 5, Known: true, Call: c}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkSettle measures hold and durable settlement at 64 at once, and the
// growth of the database per call.
func BenchmarkSettle(b *testing.B) { benchSettle(b, 32) }

// BenchmarkSettleAlone is the same for one call at a time (two, on two cores).
func BenchmarkSettleAlone(b *testing.B) { benchSettle(b, 1) }

func benchSettle(b *testing.B, parallelism int) {
	f := newFixture(b)
	f.budget(Budget{Customer: "customer-1", Limit: money.MaxPico, Period: PeriodMonth})
	before := f.size()
	var n atomic.Int64
	b.SetParallelism(parallelism)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(uint64(n.Add(1)), 0))
		for pb.Next() {
			i := int(n.Add(1))
			c := benchCall(rng, at.Add(time.Duration(i)*100*time.Millisecond), i)
			if _, err := f.Hold(ctx, Hold{CallID: c.ID, Time: at, KeyID: c.KeyID, Customer: c.Customer, Amount: c.Cost, Known: true, Call: c}); err != nil {
				b.Error(err)
				return
			}
			if err := f.Settle(ctx, c); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(f.size()-before)/float64(b.N), "diskB/call")
}

// big is a ledger with 200,000 calls over 30 days, shared by the benchmarks of
// reading.
var big = sync.OnceValue(func() *fixture {
	dir, err := os.MkdirTemp("", "strata-bench")
	if err != nil {
		panic(err)
	}
	f := &fixture{t: nopTB{}, dir: dir, now: at}
	f.open()
	closeBig = func() {
		f.close()
		os.RemoveAll(dir)
	}
	const calls, workers = 200_000, 256
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(w)))
			for i := w; i < calls; i += workers {
				c := benchCall(rng, at.Add(-time.Duration(float64(calls-i)/calls*30*24*float64(time.Hour))), i)
				if err := f.Record(ctx, c); err != nil {
					panic(err)
				}
			}
		})
	}
	wg.Wait()
	return f
})

// closeBig ends it, if it was made.
var closeBig = func() {}

// nopTB stands in for a test in the shared fixture, whose failures panic.
type nopTB struct{ testing.TB }

func (nopTB) Helper()        {}
func (nopTB) Fatal(a ...any) { panic(fmt.Sprint(a...)) }
func (nopTB) Error(a ...any) { panic(fmt.Sprint(a...)) }

func benchRead(b *testing.B, read func(f *fixture) error) {
	f := big()
	b.ResetTimer()
	for range b.N {
		if err := read(f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify200k(b *testing.B) {
	benchRead(b, func(f *fixture) error {
		v, err := f.Verify(ctx, nil)
		if err == nil && !v.OK {
			err = fmt.Errorf("%+v", v)
		}
		return err
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200_000, "ns/call")
	b.ReportMetric(float64(big().size())/200_000, "diskB/call")
}

func BenchmarkSpend200k(b *testing.B) {
	benchRead(b, func(f *fixture) error { _, err := f.Spend(ctx, ByModel, Filter{}); return err })
}

func BenchmarkSpendRange200k(b *testing.B) {
	benchRead(b, func(f *fixture) error {
		_, err := f.Spend(ctx, ByCustomer, Filter{Since: at.Add(-150*time.Hour - 7*time.Minute), Until: at.Add(-2*time.Hour - time.Minute)})
		return err
	})
}

func BenchmarkSpendByDay200k(b *testing.B) {
	benchRead(b, func(f *fixture) error { _, err := f.Spend(ctx, ByDay, Filter{}); return err })
}

func BenchmarkSeriesHour200k(b *testing.B) {
	benchRead(b, func(f *fixture) error {
		_, err := f.Series(ctx, ByHour, Filter{Since: at.Add(-7 * 24 * time.Hour)})
		return err
	})
}

func BenchmarkTotalsOfErrors200k(b *testing.B) {
	benchRead(b, func(f *fixture) error { _, err := f.Totals(ctx, Filter{Upstream: "up"}); return err })
}

func BenchmarkCalls200k(b *testing.B) {
	benchRead(b, func(f *fixture) error {
		_, err := f.Calls(ctx, Filter{Since: at.Add(-20 * 24 * time.Hour), Until: at.Add(-19 * 24 * time.Hour), Customer: "customer-3"})
		return err
	})
}

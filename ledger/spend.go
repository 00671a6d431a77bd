package ledger

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stratahq/strata/store"
)

// maxSteps bounds a series: two years of hours.
const maxSteps = 20000

// Totals sums the calls of a filter (Limit and pages apart), exactly, with
// corrections applied.
func (l *Ledger) Totals(ctx context.Context, f Filter) (s Spend, err error) {
	err = l.db.Read(ctx, func(q store.Querier) (err error) { s, err = l.totals(q, f); return err })
	return s, unavailable(err)
}

func (l *Ledger) totals(q store.Querier, f Filter) (Spend, error) {
	var sum rollup
	err := l.collect(q, f, want{}, func(p *part) error { sum.merge(&p.rollup); return nil })
	return sum.spend(""), err
}

// Spend sums the calls of a filter by a dimension, exactly, with corrections
// applied: by cost, dearest first; days and hours by time. Days are named
// 2026-11-24 and hours 2026-11-24T15:00+08:00, in the business time zone;
// without calls they are left out.
func (l *Ledger) Spend(ctx context.Context, by GroupBy, f Filter) ([]Spend, error) {
	dim := map[GroupBy]string{ByCustomer: "customer", ByFeature: "feature", ByModel: "model", ByKey: "key", ByDay: "hour", ByHour: "hour"}[by]
	if dim == "" {
		return nil, fmt.Errorf("%w: group %.20q is not customer, feature, model, key, day or hour", ErrInvalid, by)
	}
	var out []Spend
	err := l.db.Read(ctx, func(q store.Querier) error {
		out = nil
		w := want{dims: []string{dim}}
		var steps []time.Time
		if dim == "hour" {
			var err error
			if steps, err = l.steps(q, by, &f); err != nil {
				return err
			}
			w.cuts = cuts(steps)
		}
		groups := map[int64]*rollup{}
		var order []int64
		err := l.collect(q, f, w, func(p *part) error {
			var id int64
			switch by {
			case ByCustomer:
				id = p.customer
			case ByFeature:
				id = p.feature
			case ByModel:
				id = p.model
			case ByKey:
				id = p.key
			default:
				id = int64(stepOf(w.cuts, p.at))
			}
			u := groups[id]
			if u == nil {
				u = &rollup{}
				groups[id] = u
				order = append(order, id)
			}
			u.merge(&p.rollup)
			return nil
		})
		if err != nil {
			return err
		}
		slices.Sort(order)
		res := newResolver(q)
		for _, id := range order {
			var name string
			switch by {
			case ByDay:
				name = steps[id].In(l.loc).Format("2006-01-02")
			case ByHour:
				name = steps[id].In(l.loc).Format("2006-01-02T15:04Z07:00")
			case ByCustomer:
				t, err := res.tenant(id)
				if err != nil {
					return err
				}
				name = t.name
			default:
				if name, err = res.name(id); err != nil {
					return err
				}
			}
			out = append(out, groups[id].spend(name))
		}
		if dim != "hour" {
			slices.SortStableFunc(out, func(a, b Spend) int {
				if c := b.Cost.Cmp(a.Cost); c != 0 {
					return c
				}
				return strings.Compare(a.Group, b.Group)
			})
		}
		return nil
	})
	return out, unavailable(err)
}

// Series sums the calls of a filter by hour or by day of the business time zone.
// Every step of the range is there, also without calls; the range is from Since,
// or the first call, to Until, or now.
//
// Latency quantiles are by nearest rank over logarithmic buckets, 16 to the
// doubling, of the calls with outcome ok: each is the middle of its bucket, and
// so within 2.2 % of the exact quantile.
func (l *Ledger) Series(ctx context.Context, step GroupBy, f Filter) ([]Point, error) {
	var out []Point
	err := l.db.Read(ctx, func(q store.Querier) error {
		steps, sums, err := l.stepped(q, step, f)
		if err != nil {
			return err
		}
		out = make([]Point, len(steps))
		for i := range out {
			u := &sums[i]
			out[i] = Point{Start: steps[i], Spend: u.spend(""),
				TTFTp50: u.ttft.quantile(0.50), TTFTp95: u.ttft.quantile(0.95),
				DurationP50: u.duration.quantile(0.50), DurationP95: u.duration.quantile(0.95)}
		}
		return nil
	})
	return out, unavailable(err)
}

// Latency counts the calls with outcome ok of a filter by time and by how long
// they took: a heat map. The ranges double, from 1.024 ms to 4.5 minutes; a
// time to first token is only counted where there was a token.
func (l *Ledger) Latency(ctx context.Context, f Filter, step GroupBy, m Metric) (Heat, error) {
	if m != MetricDuration && m != MetricTTFT {
		return Heat{}, fmt.Errorf("%w: metric %.20q is not duration or ttft", ErrInvalid, m)
	}
	const lo, hi = 10, 28 // powers of two microseconds
	var heat Heat
	for k := lo; k <= hi; k++ {
		heat.Bounds = append(heat.Bounds, time.Duration(1<<k)*time.Microsecond)
	}
	err := l.db.Read(ctx, func(q store.Querier) error {
		steps, sums, err := l.stepped(q, step, f)
		if err != nil {
			return err
		}
		heat.Starts, heat.Counts = steps, make([][]int64, len(steps))
		for i := range sums {
			h := sums[i].duration
			if m == MetricTTFT {
				h = sums[i].ttft
			}
			heat.Counts[i] = make([]int64, len(heat.Bounds)+1)
			for b, n := range h {
				heat.Counts[i][min(max(b/bucketsPerDoubling-lo+1, 0), len(heat.Bounds))] += n
			}
		}
		return nil
	})
	return heat, unavailable(err)
}

// stepped sums by steps, with histograms.
func (l *Ledger) stepped(q store.Querier, step GroupBy, f Filter) ([]time.Time, []rollup, error) {
	if step != ByHour && step != ByDay {
		return nil, nil, fmt.Errorf("%w: step %.20q is not hour or day", ErrInvalid, step)
	}
	steps, err := l.steps(q, step, &f)
	if err != nil {
		return nil, nil, err
	}
	sums := make([]rollup, len(steps))
	w := want{dims: []string{"hour"}, hists: true, cuts: cuts(steps)}
	err = l.collect(q, f, w, func(p *part) error {
		sums[stepOf(w.cuts, p.at)].merge(&p.rollup)
		return nil
	})
	return steps, sums, err
}

// steps are the beginnings of the steps that cover a filter's range, whose open
// ends are set: Since to the first call, Until to just after the present or the
// last call.
func (l *Ledger) steps(q store.Querier, by GroupBy, f *Filter) ([]time.Time, error) {
	if f.Since.IsZero() || f.Until.IsZero() {
		var first, last nullInt
		if err := q.QueryRow("SELECT min(hour), max(hour) FROM hours").Scan(&first, &last); err != nil {
			return nil, err
		}
		if f.Until.IsZero() {
			f.Until = l.now()
			if end := time.Unix((last.v+1)*3600, 0); last.ok && end.After(f.Until) {
				f.Until = end
			}
		}
		if f.Since.IsZero() {
			f.Since = windowStart(PeriodDay, f.Until, l.loc)
			if start := time.Unix(first.v*3600, 0); first.ok && start.Before(f.Since) {
				f.Since = start
			}
		}
	}
	var steps []time.Time
	at := l.stepStart(by, f.Since)
	for at.Before(f.Until) {
		if len(steps) == maxSteps {
			return nil, fmt.Errorf("%w: the range has more than %d steps; choose a shorter range or longer steps", ErrInvalid, maxSteps)
		}
		steps = append(steps, at)
		if by == ByDay {
			at = windowEnd(PeriodDay, at, l.loc)
		} else if next := l.stepStart(by, at.Add(time.Hour)); next.After(at) {
			at = next
		} else {
			at = at.Add(time.Hour)
		}
	}
	return steps, nil
}

func (l *Ledger) stepStart(by GroupBy, t time.Time) time.Time {
	if by == ByDay {
		return windowStart(PeriodDay, t, l.loc)
	}
	local := t.In(l.loc)
	return t.Add(-time.Duration(local.Minute())*time.Minute - time.Duration(local.Second())*time.Second - time.Duration(local.Nanosecond())).UTC()
}

func cuts(steps []time.Time) []int64 {
	list := make([]int64, len(steps))
	for i, t := range steps {
		list[i] = t.UnixNano()
	}
	return list
}

// stepOf is the index of the step that holds t. A part before the first step
// is of the first step's own hour.
func stepOf(starts []int64, t int64) int {
	i, found := slices.BinarySearch(starts, t)
	if !found {
		i--
	}
	return max(0, i)
}

// quantile is by nearest rank; -1 when nothing was counted.
func (h histogram) quantile(p float64) time.Duration {
	var n int64
	for _, c := range h {
		n += c
	}
	if n == 0 {
		return -1
	}
	rank := int64(math.Ceil(p * float64(n)))
	for _, b := range h.buckets() {
		if rank -= h[b]; rank <= 0 {
			us := math.Exp2((float64(b) + 0.5) / bucketsPerDoubling)
			return time.Duration(us * float64(time.Microsecond))
		}
	}
	return -1
}

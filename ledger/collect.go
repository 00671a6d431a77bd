package ledger

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// Sums over time come from the hourly roll-ups. Where an hour must be split, at
// the ends of a range and at days that begin within an hour of UTC, and for
// filters on what roll-ups do not know, the calls themselves are read. Both ways
// give the same numbers.

// part is a sum over calls that share an hour, or of one call, with the
// attributes that were asked for.
type part struct {
	at int64 // ns: the call's time, or the beginning of its hour
	rollupKey
	rollup
}

// want says what collect is to find out.
type want struct {
	dims  []string // of rollupKeyColumns; the others are zero in the parts
	hists bool     // fill in the histograms
	// cuts are times at which parts must not be summed across, ascending, ns.
	cuts []int64
}

// rollupsKnow says that the roll-ups can answer the filter.
func (f *Filter) rollupsKnow() bool {
	return f.ServedModel == "" && f.Upstream == "" && f.Outcome == "" && f.Root == "" && f.Text == "" &&
		!f.UnknownCost && f.BeforeSeq == 0 && f.AfterSeq == 0
}

func (l *Ledger) collect(q store.Querier, f Filter, w want, emit func(*part) error) error {
	since, until := f.timeRange()
	if since >= until {
		return nil
	}
	if !f.rollupsKnow() {
		return l.collectCalls(q, f, w, emit)
	}
	const hour = int64(3600 * 1e9)
	// The hours that must be read call by call.
	var split []int64
	for _, t := range append(slices.Clone(w.cuts), since, until) {
		if t != math.MinInt64 && t != math.MaxInt64 && t >= since && t <= until && t != hourOf(t)*hour {
			split = append(split, hourOf(t))
		}
	}
	slices.Sort(split)
	split = slices.Compact(split)
	if err := l.collectRollups(q, f, w, split, emit); err != nil {
		return err
	}
	for _, h := range split {
		g := f
		g.Since, g.Until = fromNanosExact(max(since, h*hour)), fromNanosExact(min(until, (h+1)*hour))
		if err := l.collectCalls(q, g, w, emit); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) collectRollups(q store.Querier, f Filter, w want, split []int64, emit func(*part) error) error {
	v, ok, err := lookup(q, &f)
	if err != nil || !ok {
		return err
	}
	var where []string
	var args []any
	and := func(sql string, arg any) { where = append(where, sql); args = append(args, arg) }
	since, until := f.timeRange()
	if since != math.MinInt64 {
		and("hour >= ?", hourOf(since))
	}
	if until != math.MaxInt64 {
		and("hour <= ?", hourOf(until-1))
	}
	for _, x := range []struct {
		column string
		id     int64
	}{{"customer", v.customer}, {"key", v.key}, {"feature", v.feature}, {"model", v.model}} {
		if x.id >= 0 {
			and(x.column+" = ?", x.id)
		}
	}
	if f.Sample != nil {
		and("sample = ?", flag64(*f.Sample))
	}
	if len(split) > 0 {
		list := make([]string, len(split))
		for i, h := range split {
			list[i] = strconv.FormatInt(h, 10)
		}
		where = append(where, "hour NOT IN ("+strings.Join(list, ",")+")")
	}
	cond := ""
	if len(where) > 0 {
		cond = " WHERE " + strings.Join(where, " AND ")
	}
	group, dims := "", "0"
	if len(w.dims) > 0 {
		dims = strings.Join(w.dims, ", ")
		group = " GROUP BY " + dims
	}
	if w.hists {
		return readRollups(q, "SELECT "+dims+", "+rollupValues+" FROM rollups"+cond, args, w, emit)
	}
	sums := []string{dims, "sum(calls)", "sum(errors)", "sum(unknown)", "sum(cost_usd)", "sum(cost_pico)", "sum(charge_usd)", "sum(charge_pico)", "group_concat(DISTINCT estimated)"}
	for b := range int(model.NumBuckets) {
		sums = append(sums, fmt.Sprintf("sum(u%d)", b))
	}
	rows, err := q.Query("SELECT "+strings.Join(sums, ", ")+" FROM rollups"+cond+group, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	n := max(1, len(w.dims))
	for rows.Next() {
		if rows.IsNull(n) {
			continue // the sum over no rows
		}
		p := part{}
		p.read(rows, w)
		p.calls, p.errors, p.unknown = rows.Int64(n), rows.Int64(n+1), rows.Int64(n+2)
		p.cost = money.SumFromParts(rows.Int64(n+3), rows.Int64(n+4))
		p.charge = money.SumFromParts(rows.Int64(n+5), rows.Int64(n+6))
		for _, s := range strings.Split(string(rows.RawBytes(n+7)), ",") {
			set, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return fmt.Errorf("a roll-up is damaged; run `strata ledger verify`: %w", err)
			}
			p.estimated |= model.BucketSet(set)
		}
		for b := range p.count {
			p.count[b] = rows.Int64(n + 8 + b)
		}
		if err := emit(&p); err != nil {
			return err
		}
	}
	return rows.Err()
}

func readRollups(q store.Querier, query string, args []any, w want, emit func(*part) error) error {
	rows, err := q.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		p := part{}
		p.read(rows, w)
		if err := scanRollup(rows, max(1, len(w.dims)), &p.rollup); err != nil {
			return err
		}
		if err := emit(&p); err != nil {
			return err
		}
	}
	return rows.Err()
}

// read takes the dimensions from the first columns.
func (p *part) read(rows *store.Rows, w want) {
	for i, d := range w.dims {
		v := rows.Int64(i)
		switch d {
		case "hour":
			p.hour, p.at = v, v*3600*1e9
		case "sample":
			p.sample = v
		case "customer":
			p.customer = v
		case "key":
			p.key = v
		case "feature":
			p.feature = v
		case "model":
			p.model = v
		}
	}
}

// collectCalls reads the calls of a filter one by one.
func (l *Ledger) collectCalls(q store.Querier, f Filter, w want, emit func(*part) error) error {
	c, err := l.condition(q, &f)
	if err != nil || c.none {
		return err
	}
	rows, err := q.Query(`SELECT c.time, c.customer, c.key, c.feature, c.model, c.flags, c.outcome, c.ttft, c.duration,
 c.cost, c.charge, c.usage, c.corrected, k.cost, k.charge`+rowFrom+c.String(), c.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	get := func(i int) nullInt {
		if rows.IsNull(i) {
			return nullInt{}
		}
		return nullInt{rows.Int64(i), true}
	}
	for rows.Next() {
		r := row{time: rows.Int64(0), outcome: rows.Int64(6), corrected: rows.Int64(12)}
		if w.hists {
			r.ttft, r.duration = rows.Int64(7), rows.Int64(8)
		}
		cost, charge, kcost, kcharge := get(9), get(10), get(13), get(14)
		r.cost, r.costKnown, r.charge, r.chargeKnown = cost.v, cost.ok, charge.v, charge.ok
		r.corrCost, r.corrCostKnown, r.corrCharge, r.corrChargeOK = kcost.v, kcost.ok, kcharge.v, kcharge.ok
		var u *model.Usage
		if !rows.IsNull(11) {
			if u, err = unpackUsage(rows.RawBytes(11)); err != nil {
				return err
			}
		}
		p := part{at: r.time}
		p.hour, p.sample = hourOf(r.time), flag64(rows.Int64(5)&flagSample != 0)
		p.customer, p.key, p.feature, p.model = rows.Int64(1), rows.Int64(2), rows.Int64(3), rows.Int64(4)
		p.add(&r, u)
		if err := emit(&p); err != nil {
			return err
		}
	}
	return rows.Err()
}

package ledger

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// hourOf is the hour since 1970 UTC of a time in nanoseconds.
func hourOf(ns int64) int64 {
	const hour = 3600 * 1e9
	h := ns / hour
	if ns%hour < 0 {
		h--
	}
	return h
}

type rollupKey struct{ hour, sample, customer, key, feature, model int64 }

// rollup is the sum of the calls of one hour with the same attributes. It can
// also hold a change, with negative parts.
type rollup struct {
	calls, errors, unknown int64
	cost, charge           money.Sum
	estimated              model.BucketSet
	count                  [model.NumBuckets]int64 // AudioSecond in nanoseconds
	ttft, duration         histogram
}

func (u *rollup) add(r *row, usage *model.Usage) {
	u.calls++
	cost, charge := r.current()
	if o := outcomeOf(r.outcome); o == OutcomeError || o == OutcomeRefused {
		u.errors++
	} else if o == OutcomeOK {
		u.duration.add(r.duration)
		if r.ttft > 0 {
			u.ttft.add(r.ttft)
		}
	}
	if !cost.ok {
		u.unknown++
	} else {
		u.cost = u.cost.Add(money.Pico(cost.v))
	}
	if charge.ok {
		u.charge = u.charge.Add(money.Pico(charge.v))
	}
	if usage != nil {
		u.estimated |= usage.Estimated
		for b := range model.NumBuckets {
			u.count[b] += usage.Count[b]
		}
		u.count[model.AudioSecond] = addSat(u.count[model.AudioSecond]-usage.Count[model.AudioSecond], nanoseconds(usage.Seconds))
	}
}

// nanoseconds rounds seconds of audio half to even; roll-ups sum no finer.
func nanoseconds(s money.Decimal) int64 {
	p, _, err := s.Shift(-3).Pico() // seconds × 1e9 = (seconds / 1000) × 1e12
	if err != nil {
		return math.MaxInt64
	}
	return int64(p)
}

func addSat(a, b int64) int64 {
	if s := a + b; (s > a) == (b > 0) {
		return s
	}
	return math.MaxInt64
}

// merge adds v to u.
func (u *rollup) merge(v *rollup) {
	u.calls += v.calls
	u.errors += v.errors
	u.unknown += v.unknown
	u.cost, u.charge = u.cost.AddSum(v.cost), u.charge.AddSum(v.charge)
	u.estimated |= v.estimated
	for b := range u.count {
		u.count[b] += v.count[b]
	}
	u.ttft.merge(&v.ttft)
	u.duration.merge(&v.duration)
}

func (u *rollup) spend(group string) Spend {
	s := Spend{Group: group, Calls: u.calls, Errors: u.errors, UnknownCostCalls: u.unknown, Cost: u.cost, Charge: u.charge}
	s.Usage.Count = u.count
	s.Usage.Count[model.AudioSecond] = 0
	s.Usage.Seconds = money.Int(u.count[model.AudioSecond]).Shift(-9)
	s.Usage.Estimated = u.estimated
	return s
}

// rollupValues are the columns after the key, in the order of args and scan.
var rollupValues = func() string {
	cols := []string{"calls", "errors", "unknown", "cost_usd", "cost_pico", "charge_usd", "charge_pico", "estimated"}
	for b := range int(model.NumBuckets) {
		cols = append(cols, fmt.Sprintf("u%d", b))
	}
	return strings.Join(append(cols, "ttft", "duration"), ", ")
}()

const rollupKeyColumns = "hour, sample, customer, key, feature, model"

var (
	rollupSelect = "SELECT " + rollupValues + " FROM rollups WHERE hour = ? AND sample = ? AND customer = ? AND key = ? AND feature = ? AND model = ?"
	rollupUpsert = "REPLACE INTO rollups (" + rollupKeyColumns + ", " + rollupValues + ") VALUES (?" + strings.Repeat(",?", 5+8+int(model.NumBuckets)+2) + ")"
)

// scanRollup reads the value columns, after skip others.
func scanRollup(rows *store.Rows, skip int, u *rollup) error {
	u.calls, u.errors, u.unknown = rows.Int64(skip), rows.Int64(skip+1), rows.Int64(skip+2)
	u.cost = money.SumFromParts(rows.Int64(skip+3), rows.Int64(skip+4))
	u.charge = money.SumFromParts(rows.Int64(skip+5), rows.Int64(skip+6))
	u.estimated = model.BucketSet(rows.Int64(skip + 7))
	for b := range u.count {
		u.count[b] = rows.Int64(skip + 8 + b)
	}
	n := skip + 8 + len(u.count)
	if err := u.ttft.unpack(rows.RawBytes(n)); err != nil {
		return err
	}
	return u.duration.unpack(rows.RawBytes(n + 1))
}

// write adds u to the stored roll-up.
func (u *rollup) write(tx *store.Tx, k rollupKey) error {
	args := []any{k.hour, k.sample, k.customer, k.key, k.feature, k.model}
	var have rollup
	rows, err := tx.Query(rollupSelect, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := scanRollup(rows, 0, &have); err != nil {
			rows.Close()
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	have.merge(u)
	if have.calls == 0 && have.cost.IsZero() && have.charge.IsZero() {
		_, err := tx.Exec("DELETE FROM rollups WHERE hour = ? AND sample = ? AND customer = ? AND key = ? AND feature = ? AND model = ?", args...)
		return err
	}
	cu, cp := have.cost.Parts()
	hu, hp := have.charge.Parts()
	args = append(args, have.calls, have.errors, have.unknown, cu, cp, hu, hp, int64(have.estimated))
	for b := range have.count {
		args = append(args, have.count[b])
	}
	args = append(args, have.ttft.pack(), have.duration.pack())
	_, err = tx.Exec(rollupUpsert, args...)
	return err
}

// bucketsPerDoubling is the resolution of histograms: bounds grow by 2^(1/16),
// 4.4 %, so that the middle of a bucket is within 2.2 % of every value in it.
const bucketsPerDoubling = 16

// histogram counts durations in logarithmic buckets: index → count.
type histogram map[int]int64

func bucketOf(us int64) int {
	if us < 1 {
		us = 1
	}
	return int(math.Floor(math.Log2(float64(us)) * bucketsPerDoubling))
}

func (h *histogram) add(us int64) { h.addTo(bucketOf(us), 1) }

func (h *histogram) addTo(bucket int, n int64) {
	if *h == nil {
		*h = histogram{}
	}
	(*h)[bucket] += n
}

func (h *histogram) merge(v *histogram) {
	for b, n := range *v {
		h.addTo(b, n)
	}
}

func (h histogram) buckets() []int {
	list := make([]int, 0, len(h))
	for b := range h {
		list = append(list, b)
	}
	slices.Sort(list)
	return list
}

func (h histogram) pack() []byte {
	if len(h) == 0 {
		return nil
	}
	p := &packer{b: make([]byte, 0, 3*len(h))}
	last := 0
	for _, b := range h.buckets() {
		p.uint(uint64(b - last))
		p.uint(uint64(h[b]))
		last = b
	}
	return p.b
}

var errHistogram = errors.New("a stored histogram is damaged")

func (h *histogram) unpack(b []byte) error {
	u := &unpacker{b: b}
	last := 0
	for len(u.b) > 0 && u.err == nil {
		last += int(u.uint())
		h.addTo(last, int64(u.uint()))
	}
	if u.err != nil {
		return errHistogram
	}
	return nil
}

package ledger

import (
	"context"
	"fmt"
	"hash/maphash"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

func readSpans(q store.Querier) (map[hourKey]span, error) {
	rows, err := q.Query("SELECT hour, sample, first, last FROM hours")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m := map[hourKey]span{}
	for rows.Next() {
		m[hourKey{rows.Int64(0), rows.Int64(1)}] = span{rows.Int64(2), rows.Int64(3)}
	}
	return m, rows.Err()
}

func (v *verifier) hour(k hourKey) *hourSums {
	h := v.byHour[k]
	if h == nil {
		h = &hourSums{}
		v.byHour[k] = h
	}
	return h
}

// weight is a random but constant number for a set of attributes.
func (v *verifier) weight(k rollupKey) uint64 { return maphash.Comparable(v.seed, k) | 1 }

func (h *hourSums) add(u *rollup, weight uint64) { h.fold(u, weight, false) }
func (h *hourSums) sub(u *rollup, weight uint64) { h.fold(u, weight, true) }

func (h *hourSums) fold(u *rollup, weight uint64, minus bool) {
	var units, timed uint64
	for b := range u.count {
		units += uint64(u.count[b]) * uint64(2*b+1)
	}
	for _, n := range u.duration {
		timed += uint64(n)
	}
	usd, pico := u.cost.Parts()
	cost := uint64(usd)*money.PicoPerUSD + uint64(pico)
	charge := u.charge
	sum := u.cost
	sign := uint64(1)
	if minus {
		sign = ^uint64(0)
		charge, sum = charge.Neg(), sum.Neg()
	}
	h.calls += int64(sign) * u.calls
	h.errors += int64(sign) * u.errors
	h.unknown += int64(sign) * u.unknown
	h.timed += int64(sign * timed)
	h.cost, h.charge = h.cost.AddSum(sum), h.charge.AddSum(charge)
	h.units[0] += sign * units
	h.units[1] += sign * units * weight
	h.weighed[0] += sign * uint64(u.calls) * weight
	h.weighed[1] += sign * cost * weight
}

// projections compares balances, roll-ups and budgets with the record.
func (v *verifier) projections() error {
	rows, err := v.q.Query("SELECT kind, ref, usd, pico FROM accounts")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		a := account{rows.Int64(0), rows.Int64(1)}
		s := money.SumFromParts(rows.Int64(2), rows.Int64(3))
		if s != v.balances[a] {
			v.wrong("the balance of %s is %s USD where its postings sum to %s", v.label(a), s, v.balances[a])
		}
		delete(v.balances, a)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for a, s := range v.balances {
		v.wrong("the account %s is missing; its postings sum to %s USD", v.label(a), s)
	}
	if err := v.rollups(); err != nil {
		return err
	}
	var contents int64
	if err := v.q.QueryRow("SELECT count(*) FROM content WHERE seq NOT IN (SELECT c.seq FROM tenants t JOIN calls c ON c.customer = t.id WHERE t.key IS NULL)").Scan(&contents); err != nil {
		return err
	}
	if contents != v.contents {
		v.wrong("%d stored contents belong to no call that commits to one", contents-v.contents)
	}
	return v.budgets()
}

func (v *verifier) rollups() error {
	err := readRollups(v.q, "SELECT "+rollupKeyColumns+", "+rollupValues+" FROM rollups", nil,
		want{dims: []string{"hour", "sample", "customer", "key", "feature", "model"}}, func(p *part) error {
			v.hour(hourKey{p.hour, p.sample}).sub(&p.rollup, v.weight(p.rollupKey))
			return nil
		})
	if err != nil {
		return err
	}
	for k, h := range v.byHour {
		if *h != (hourSums{}) {
			v.wrong("the roll-ups of hour %d (sample %d) differ from its calls by %d calls and %s USD, or in their attributes", k.hour, k.sample, h.calls, h.cost)
		}
	}
	return nil
}

func (v *verifier) budgets() error {
	list, err := readBudgets(v.q)
	if err != nil {
		return err
	}
	held := map[charged]money.Sum{}
	err = eachHold(v.q, func(_ []byte, o *openHold) error {
		for _, c := range o.charged {
			held[c] = held[c].Add(o.amount)
		}
		return nil
	})
	if err != nil {
		v.wrong("%v", err)
	}
	for _, b := range list {
		c := charged{b.num, b.win, b.anchor}
		if want := b.base.AddSum(v.counted[c]); want != b.Spent {
			v.wrong("budget %s says %s USD are spent where the record counts %s", b.ID, b.Spent, want)
		}
		if held[c] != b.Held {
			v.wrong("budget %s says %s USD are held where open holds come to %s", b.ID, b.Held, held[c])
		}
	}
	return nil
}

// Rebuild makes the projections anew from the record: balances, roll-ups, the
// table of hours, and what budgets have spent and hold. Nothing else is written
// meanwhile.
func (l *Ledger) Rebuild(ctx context.Context) error {
	return unavailable(l.db.WriteAlone(ctx, func(tx *store.Tx) error {
		if _, err := l.load(tx); err != nil {
			return err
		}
		for _, sql := range []string{
			"DELETE FROM rollups", "DELETE FROM hours", "UPDATE accounts SET usd = 0, pico = 0",
		} {
			if _, err := tx.Exec(sql); err != nil {
				return err
			}
		}
		if err := rebuildBalances(tx); err != nil {
			return err
		}
		counted, err := rebuildRollups(tx)
		if err != nil {
			return err
		}
		held := map[charged]money.Sum{}
		if err := eachHold(tx, func(_ []byte, o *openHold) error {
			for _, c := range o.charged {
				held[c] = held[c].Add(o.amount)
			}
			return nil
		}); err != nil {
			return err
		}
		tx.OnRelease(func() {
			l.bud.mu.Lock()
			defer l.bud.mu.Unlock()
			for _, b := range l.bud.byNum {
				c := charged{b.num, b.win, b.anchor}
				b.Spent, b.Held, b.dirty = b.base.AddSum(counted[c]), held[c], true
			}
		})
		return nil
	}))
}

func rebuildBalances(tx *store.Tx) error {
	rows, err := tx.Query("SELECT account, usd, pico FROM postings")
	if err != nil {
		return err
	}
	defer rows.Close()
	sums := map[int64]money.Sum{}
	for rows.Next() {
		sums[rows.Int64(0)] = sums[rows.Int64(0)].AddSum(money.SumFromParts(rows.Int64(1), rows.Int64(2)))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for id, s := range sums {
		usd, pico := s.Parts()
		if _, err := tx.Exec("UPDATE accounts SET usd = ?, pico = ? WHERE id = ?", usd, pico, id); err != nil {
			return err
		}
	}
	return nil
}

// rebuildRollups also returns what the calls count in budget windows.
func rebuildRollups(tx *store.Tx) (map[charged]money.Sum, error) {
	counted := map[charged]money.Sum{}
	var b batch
	b.reset()
	flush := func() error {
		for k, u := range b.rollups {
			if err := u.write(tx, k); err != nil {
				return err
			}
		}
		clear(b.rollups)
		return nil
	}
	rows, err := tx.Query("SELECT " + rowColumns + ", c.key, c.feature, c.model" + rowFrom + "ORDER BY c.seq")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	res := newResolver(tx)
	for rows.Next() {
		k := rollupKey{key: rows.Int64(34), feature: rows.Int64(35), model: rows.Int64(36)}
		var r row
		if err := scanRowExtra(rows, res, &r, 3); err != nil {
			return nil, err
		}
		usage, err := unpackUsage(r.usage)
		if err != nil {
			return nil, fmt.Errorf("call %d: %w", r.seq, err)
		}
		x, err := unpackExtra(r.body)
		if err != nil {
			return nil, fmt.Errorf("call %d: %w", r.seq, err)
		}
		k.hour, k.sample, k.customer = hourOf(r.time), flag64(r.flags&flagSample != 0), r.customer
		b.hour(k.hour, k.sample, r.seq)
		u := b.rollups[k]
		if u == nil {
			if len(b.rollups) >= maxCached {
				if err := flush(); err != nil {
					return nil, err
				}
			}
			u = &rollup{}
			b.rollups[k] = u
		}
		u.add(&r, usage)
		now := x.counted
		if cost, _ := r.current(); r.corrected != 0 && cost.ok {
			now = money.Pico(cost.v)
		}
		for _, c := range x.charged {
			counted[c] = counted[c].Add(now)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for k, s := range b.hours {
		if _, err := tx.Exec("INSERT INTO hours (hour, sample, first, last) VALUES (?,?,?,?)", k.hour, k.sample, s.first, s.last); err != nil {
			return nil, err
		}
	}
	return counted, flush()
}

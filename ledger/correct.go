package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// Correct records corrections of past calls, all or none: the new amounts take
// effect in every list and sum, the difference is posted, and the chain covers
// them. The call's row itself stays as it was. Budgets are adjusted in the
// windows that are still current. ErrNotFound for an unknown call, ErrInvalid
// when lines do not sum to their amount.
func (l *Ledger) Correct(ctx context.Context, list []Correction) error {
	for i := range list {
		k := &list[i]
		cost, err := sumLines(k.CostLines)
		if err == nil && k.CostKnown && cost != k.Cost {
			err = fmt.Errorf("the cost is %s USD but its lines sum to %s", k.Cost, cost)
		}
		charge, err2 := sumLines(k.ChargeLines)
		if err2 == nil && k.ChargeKnown && charge != k.Charge {
			err2 = fmt.Errorf("the charge is %s USD but its lines sum to %s", k.Charge, charge)
		}
		if err := errors.Join(err, err2); err != nil {
			return fmt.Errorf("%w: correction of call %.40q: %w", ErrInvalid, k.CallID, err)
		}
	}
	return unavailable(l.db.WriteAlone(ctx, func(tx *store.Tx) error {
		w, err := l.load(tx)
		if err != nil {
			return err
		}
		at := l.now().UnixNano()
		for i := range list {
			if err := l.correct(tx, w, &list[i], w.nextCorrection+int64(i), at); err != nil {
				return fmt.Errorf("correction of call %.40q: %w", list[i].CallID, err)
			}
		}
		return nil
	}))
}

func (l *Ledger) correct(tx *store.Tx, w *writer, k *Correction, seq, at int64) error {
	id, err := parseID("call id", k.CallID)
	if err != nil {
		return err
	}
	rows, err := tx.Query("SELECT "+rowColumns+", c.op, c.key, c.feature, c.model, c.served, c.upstream"+rowFrom+"WHERE c.id = ?", id)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	var r row
	var names [11]int64
	for i := range 6 {
		names[i] = rows.Int64(34 + i)
	}
	if err := scanRowExtra(rows, newResolver(tx), &r, 6); err != nil {
		return err
	}
	rows.Close()
	if r.flags&flagSample != 0 {
		return fmt.Errorf("%w: it is a sample", ErrInvalid)
	}
	x, err := unpackExtra(r.body)
	if err != nil {
		return err
	}
	t, err := newResolver(tx).tenant(r.customer)
	if err != nil {
		return err
	}
	wasCost, wasCharge := r.current()
	counted := x.counted // what the call counts in the budgets so far
	if r.corrected != 0 && wasCost.ok {
		counted = money.Pico(wasCost.v)
	}
	cost, charge := nullInt{int64(k.Cost), k.CostKnown}, nullInt{int64(k.Charge), k.ChargeKnown}
	if !cost.ok {
		cost.v = 0
	}
	if !charge.ok {
		charge.v = 0
	}
	body := packCorrection(k, wasCost, wasCharge)
	if _, err := tx.Exec("INSERT INTO corrections (seq, call, time, cost, charge, body) VALUES (?,?,?,?,?,?)", seq, r.seq, at, cost.arg(), charge.arg(), body); err != nil {
		return err
	}
	if _, err := tx.Exec("UPDATE calls SET corrected = ? WHERE seq = ?", seq, r.seq); err != nil {
		return err
	}
	tx.OnRelease(func() {
		w.nextCorrection = seq + 1
		b := &w.batch
		b.corrections = append(b.corrections, hashCorrection(seq, r.seq, at, cost.v, charge.v, cost.ok, charge.ok, body))
		b.lastCorrection = seq
		dCost := money.SumOf(money.Pico(cost.v)).Sub(money.SumOf(money.Pico(wasCost.v)))
		dCharge := money.SumOf(money.Pico(charge.v)).Sub(money.SumOf(money.Pico(wasCharge.v)))
		b.post(names[5], r.upstream, r.customer, dCost, dCharge)
		key := rollupKey{hourOf(r.time), 0, r.customer, names[1], names[2], names[3]}
		u := b.rollups[key]
		if u == nil {
			u = &rollup{}
			b.rollups[key] = u
		}
		u.cost, u.charge = u.cost.AddSum(dCost), u.charge.AddSum(dCharge)
		u.unknown += flag64(!cost.ok) - flag64(!wasCost.ok)
		now := x.counted // unknown again: what it counted at first
		if cost.ok {
			now = money.Pico(cost.v)
		}
		l.bud.correct(r.key, t.name, r.time, x.charged, counted, now)
	})
	return nil
}

func packCorrection(k *Correction, wasCost, wasCharge nullInt) []byte {
	p := &packer{}
	p.byte(packVersion)
	p.linePair(k.CostLines, k.ChargeLines)
	p.string(k.PriceVersion)
	p.string(k.Tariff)
	p.string(k.Reason)
	p.amount(wasCost.v, wasCost.ok)
	p.amount(wasCharge.v, wasCharge.ok)
	return p.b
}

func (u *unpacker) amount() (v nullInt) {
	if u.byte() != 0 {
		v.v, v.ok = u.int(), true
	}
	return v
}

func unpackCorrection(b []byte) (*CorrectionRow, error) {
	u := &unpacker{b: b}
	u.version()
	k := &CorrectionRow{}
	k.CostLines, k.ChargeLines = u.linePair()
	k.PriceVersion, k.Tariff, k.Reason = u.string(), u.string(), u.string()
	cost, charge := u.amount(), u.amount()
	k.WasCost, k.WasCostKnown = money.Pico(cost.v), cost.ok
	k.WasCharge, k.WasChargeKnown = money.Pico(charge.v), charge.ok
	return k, u.err
}

// Corrections lists the corrections of a call, oldest first.
func (l *Ledger) Corrections(ctx context.Context, callID string) ([]CorrectionRow, error) {
	id, err := parseID("call id", callID)
	if err != nil {
		return nil, err
	}
	var out []CorrectionRow
	err = l.db.Read(ctx, func(q store.Querier) error {
		out = nil
		var call int64
		err := q.QueryRow("SELECT seq FROM calls WHERE id = ?", id).Scan(&call)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("call %s: %w", callID, ErrNotFound)
		}
		if err != nil {
			return err
		}
		rows, err := q.Query("SELECT seq, time, cost, charge, body FROM corrections WHERE call = ? ORDER BY seq", call)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var seq, at int64
			var cost, charge nullInt
			var body []byte
			if err := rows.Scan(&seq, &at, &cost, &charge, &body); err != nil {
				return err
			}
			k, err := unpackCorrection(body)
			if err != nil {
				return fmt.Errorf("correction %d: %w", seq, err)
			}
			k.Seq, k.Time, k.CallID = seq, time.Unix(0, at).UTC(), callID
			k.Cost, k.CostKnown = money.Pico(cost.v), cost.ok
			k.Charge, k.ChargeKnown = money.Pico(charge.v), charge.ok
			out = append(out, *k)
		}
		return rows.Err()
	})
	return out, unavailable(err)
}

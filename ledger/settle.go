package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// Settle records a call: one row, its hold released in the same transaction.
// It returns after an fsync that covers it, and sets c.Seq (and c.Held and
// c.Overrun from the hold). Settling an id that is in the ledger already
// changes nothing; it sets c.Seq and returns nil, also after an fsync, so that a
// caller may repeat a Settle that failed with ErrUnavailable. The error
// matches ErrInvalid when the call contradicts itself: an id that is no UUID,
// or lines that do not sum to the amount.
//
// The amounts of cost and charge are those of the lines; a cost that is not
// known is recorded as unknown whatever its lines sum to.
func (l *Ledger) Settle(ctx context.Context, c *Call) error { return l.record(ctx, c, true) }

// Record is Settle without waiting for the fsync, for outcomes that no client
// pays for, such as refusals.
func (l *Ledger) Record(ctx context.Context, c *Call) error { return l.record(ctx, c, false) }

func (l *Ledger) record(ctx context.Context, c *Call, durable bool) error {
	p, err := l.prepare(c)
	if err != nil {
		return err
	}
	if l.ackEarly {
		go l.db.Write(context.WithoutCancel(ctx), durable, func(tx *store.Tx) error { return l.insert(tx, p) })
		return nil
	}
	return unavailable(l.db.Write(ctx, durable, func(tx *store.Tx) error { return l.insert(tx, p) }))
}

// prepared is a call made ready outside the writer.
type prepared struct {
	c       *Call
	r       row
	x       extra
	content []byte // packed, in the clear
	// bound says that the hold's amount counts against budgets, the cost being unknown.
	bound bool
}

func sumLines(lines []money.Line) (s money.Pico, err error) {
	for i := range lines {
		if s, err = s.Add(lines[i].Amount); err != nil {
			return 0, err
		}
	}
	return s, nil
}

func (l *Ledger) prepare(c *Call) (*prepared, error) {
	p := &prepared{c: c}
	r := &p.r
	var err error
	if r.id, err = parseID("call id", c.ID); err != nil {
		return nil, err
	}
	if c.Root == "" {
		c.Root = c.ID
	}
	if c.Root != c.ID {
		if r.root, err = parseID("root", c.Root); err != nil {
			return nil, err
		}
	}
	if c.Parent != "" {
		if r.parent, err = parseID("parent", c.Parent); err != nil {
			return nil, err
		}
	}
	if c.Time.IsZero() {
		c.Time = l.now()
	}
	code, ok := outcomeCodes[c.Outcome]
	if !ok {
		return nil, fmt.Errorf("%w: call %s: outcome %.40q", ErrInvalid, c.ID, c.Outcome)
	}
	if c.Outcome == OutcomeRefused && c.Usage == nil && c.Upstream == "" && len(c.CostLines) == 0 {
		// No upstream was asked, so there is nothing unknown about what it cost.
		c.CostKnown, c.ChargeKnown, c.Cost, c.Charge = true, true, 0, 0
	}
	for _, side := range []struct {
		what  string
		known bool
		total money.Pico
		lines []money.Line
	}{{"cost", c.CostKnown, c.Cost, c.CostLines}, {"charge", c.ChargeKnown, c.Charge, c.ChargeLines}} {
		sum, err := sumLines(side.lines)
		if err != nil {
			return nil, fmt.Errorf("%w: call %s: %s lines: %w", ErrInvalid, c.ID, side.what, err)
		}
		if side.known && sum != side.total {
			return nil, fmt.Errorf("%w: call %s: its %s is %s USD but its lines sum to %s", ErrInvalid, c.ID, side.what, side.total, sum)
		}
	}
	r.time = c.Time.UnixNano()
	r.ttft, r.tpot, r.duration = micros(c.TTFT), micros(c.TPOT), micros(c.Duration)
	r.outcome, r.status = code, int64(c.Status)
	if c.Stream {
		r.flags |= flagStream
	}
	if c.Overrun {
		r.flags |= flagOverrun
	}
	if c.Sample {
		r.flags |= flagSample
	}
	r.op, r.key, r.feature, r.model = string(c.Op), clip(c.KeyID, maxName), clip(c.Feature, maxName), clip(c.Model, maxName)
	r.served, r.upstream, r.provider = clip(c.ServedModel, maxName), clip(c.Upstream, maxName), clip(c.Provider, maxName)
	r.code, r.version, r.source, r.tariff = clip(c.ErrorCode, maxName), clip(c.PriceVersion, maxName), clip(c.PriceSource, maxName), clip(c.Tariff, maxName)
	r.errText = clip(c.ErrorText, 2000)
	if c.CostKnown {
		r.cost, r.costKnown = int64(c.Cost), true
	}
	if c.ChargeKnown {
		r.charge, r.chargeKnown = int64(c.Charge), true
	}
	r.usage = packUsage(c.Usage)
	r.private = packPrivate(c.EndUser, c.Tags)
	p.x = extra{held: c.Held, costLines: c.CostLines, chargeLines: c.ChargeLines, unpriced: c.Unpriced,
		decisions: c.Decisions, outputHash: c.OutputHash, counted: c.Cost}
	if !c.CostKnown {
		p.x.counted = 0
		p.bound = c.Usage != nil || c.Outcome != OutcomeError && c.Outcome != OutcomeRefused
	}
	if c.Content != nil {
		p.content = packContent(c.Content)
	}
	return p, nil
}

func micros(d time.Duration) int64 { return max(0, d.Round(time.Microsecond).Microseconds()) }

// insert writes the call on the writer's goroutine.
func (l *Ledger) insert(tx *store.Tx, p *prepared) error {
	w, err := l.load(tx)
	if err != nil {
		return err
	}
	return l.insertAt(tx, w, p, w.nextCall)
}

// insertAt writes the call under a number: the next, or for several calls in one
// function, one of those after it.
func (l *Ledger) insertAt(tx *store.Tx, w *writer, p *prepared, seq int64) error {
	c, r := p.c, &p.r
	held, err := w.takeHold(tx, r.id)
	if err != nil {
		return err
	}
	if held != nil {
		p.x.charged = held.charged
		if c.Held == 0 {
			p.x.held = held.amount
		}
		if p.bound {
			p.x.counted = held.amount
		}
		if r.costKnown && held.known && money.Pico(r.cost) > held.amount {
			r.flags |= flagOverrun
		}
	} else if !c.Sample {
		p.x.charged = l.bud.windowsFor(c, l.loc)
	}
	t, err := w.tenant(tx, clip(c.Customer, maxName))
	if err != nil {
		return err
	}
	r.customer = t.id
	if p.content != nil {
		p.x.contentMAC = contentMAC(t, p.content)
	}
	r.body = p.x.pack()
	r.seal = sealOf(t, r.id, r.private, p.x.contentMAC)
	r.seq = seq

	var names [11]int64
	for i, s := range [...]string{r.op, r.key, r.feature, r.model, r.served, r.upstream, r.provider, r.code, r.version, r.source, r.tariff} {
		if names[i], err = w.intern(tx, s); err != nil {
			return err
		}
	}
	var errText any
	if r.errText != "" {
		errText = r.errText
	}
	done, err := tx.Exec(`INSERT INTO calls (seq, id, root, parent, time, ttft, tpot, duration, outcome, status, flags,
 customer, op, key, feature, model, served, upstream, provider, code, version, source, tariff,
 error, cost, charge, usage, body, private, seal)
 VALUES (?,?,?,?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?) ON CONFLICT (id) DO NOTHING`,
		r.seq, r.id, r.root, r.parent, r.time, r.ttft, r.tpot, r.duration, r.outcome, r.status, r.flags,
		r.customer, names[0], names[1], names[2], names[3], names[4], names[5], names[6], names[7], names[8], names[9], names[10],
		errText, nullInt{r.cost, r.costKnown}.arg(), nullInt{r.charge, r.chargeKnown}.arg(), r.usage, r.body, r.private, r.seal)
	if err != nil {
		return err
	}
	if done.RowsAffected == 0 {
		return tx.QueryRow("SELECT seq FROM calls WHERE id = ?", r.id).Scan(&c.Seq)
	}
	if p.content != nil {
		sealed, err := encrypt(t, r.id, p.content)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO content (seq, sealed) VALUES (?, ?)", r.seq, sealed); err != nil {
			return err
		}
	}
	tx.OnRelease(func() {
		w.nextCall = r.seq + 1
		c.Seq, c.Held, c.Overrun = r.seq, p.x.held, r.flags&flagOverrun != 0
		w.batch.addCall(r, &names, c)
		l.bud.settle(held, &p.x)
	})
	tx.AfterCommit(func() { l.sub.publish(c) })
	return nil
}

package ledger

import (
	"fmt"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// The flags of a row.
const (
	flagStream  = 1
	flagOverrun = 2
	flagSample  = 8
)

var outcomeCodes = map[Outcome]int64{OutcomeOK: 1, OutcomeRefused: 2, OutcomeError: 3, OutcomeCanceled: 4, OutcomeRecovered: 5}

func outcomeOf(code int64) Outcome {
	for o, c := range outcomeCodes {
		if c == code {
			return o
		}
	}
	return Outcome(fmt.Sprintf("outcome(%d)", code))
}

// row is a call as stored, with names as text.
type row struct {
	seq                         int64
	id, root, parent            []byte
	time, ttft, tpot, duration  int64 // ns; µs for the others
	outcome, status, flags      int64
	customer                    int64
	op, key, feature, model     string
	served, upstream, provider  string
	code, version, source       string
	tariff, errText             string
	cost, charge                int64
	costKnown, chargeKnown      bool
	usage, body, private, seal  []byte
	corrected                   int64 // 0: not corrected
	corrCost, corrCharge        int64
	corrCostKnown, corrChargeOK bool
	corrBody                    []byte
}

// rowColumns selects what scanRow reads, from calls c left-joined to corrections k.
const rowColumns = `c.seq, c.id, c.root, c.parent, c.time, c.ttft, c.tpot, c.duration, c.outcome, c.status, c.flags,
 c.customer, c.op, c.key, c.feature, c.model, c.served, c.upstream, c.provider, c.code, c.version, c.source, c.tariff,
 c.error, c.cost, c.charge, c.usage, c.body, c.private, c.seal, c.corrected, k.cost, k.charge, k.body`

const rowFrom = ` FROM calls c LEFT JOIN corrections k ON k.seq = c.corrected `

func scanRow(rows *store.Rows, res *resolver, r *row) error { return scanRowExtra(rows, res, r, 0) }

// scanRowExtra is scanRow for a query with more columns after rowColumns.
func scanRowExtra(rows *store.Rows, res *resolver, r *row, more int) error {
	var names [11]int64
	var cost, charge, kcost, kcharge nullInt
	dest := []any{&r.seq, &r.id, &r.root, &r.parent, &r.time, &r.ttft, &r.tpot, &r.duration, &r.outcome, &r.status, &r.flags,
		&r.customer, &names[0], &names[1], &names[2], &names[3], &names[4], &names[5], &names[6], &names[7], &names[8], &names[9], &names[10],
		&r.errText, &cost, &charge, &r.usage, &r.body, &r.private, &r.seal, &r.corrected, &kcost, &kcharge, &r.corrBody}
	for range more {
		dest = append(dest, new(any))
	}
	err := rows.Scan(dest...)
	if err != nil {
		return err
	}
	for i, dst := range [...]*string{&r.op, &r.key, &r.feature, &r.model, &r.served, &r.upstream, &r.provider, &r.code, &r.version, &r.source, &r.tariff} {
		if *dst, err = res.name(names[i]); err != nil {
			return fmt.Errorf("call %d: %w", r.seq, err)
		}
	}
	r.cost, r.costKnown = cost.v, cost.ok
	r.charge, r.chargeKnown = charge.v, charge.ok
	r.corrCost, r.corrCostKnown = kcost.v, kcost.ok
	r.corrCharge, r.corrChargeOK = kcharge.v, kcharge.ok
	return nil
}

// nullInt scans an integer that may be NULL, without allocation.
type nullInt struct {
	v  int64
	ok bool
}

// Scan implements sql.Scanner.
func (n *nullInt) Scan(v any) error {
	n.v, n.ok = v.(int64)
	if v != nil && !n.ok {
		return fmt.Errorf("column holds a %T where an integer belongs", v)
	}
	return nil
}

func (n nullInt) arg() any {
	if n.ok {
		return n.v
	}
	return nil
}

// current are the amounts after corrections.
func (r *row) current() (cost, charge nullInt) {
	if r.corrected != 0 {
		return nullInt{r.corrCost, r.corrCostKnown}, nullInt{r.corrCharge, r.corrChargeOK}
	}
	return nullInt{r.cost, r.costKnown}, nullInt{r.charge, r.chargeKnown}
}

// call turns the row into a Call. Amounts, lines and versions are the corrected
// ones. Lists need not unpack the lines.
func (r *row) call(res *resolver, whole bool) (Call, error) {
	t, err := res.tenant(r.customer)
	if err != nil {
		return Call{}, fmt.Errorf("call %d: %w", r.seq, err)
	}
	cost, charge := r.current()
	c := Call{
		Seq: r.seq, ID: idString(r.id), Time: time.Unix(0, r.time).UTC(),
		TTFT: time.Duration(r.ttft) * time.Microsecond, TPOT: time.Duration(r.tpot) * time.Microsecond, Duration: time.Duration(r.duration) * time.Microsecond,
		KeyID: r.key, Customer: t.name, Feature: r.feature,
		Op: model.Op(r.op), Model: r.model, ServedModel: r.served, Upstream: r.upstream, Provider: r.provider,
		Stream: r.flags&flagStream != 0, Overrun: r.flags&flagOverrun != 0, Sample: r.flags&flagSample != 0,
		Outcome: outcomeOf(r.outcome), Status: int(r.status), ErrorCode: r.code, ErrorText: r.errText,
		CostKnown: cost.ok, Cost: money.Pico(cost.v), ChargeKnown: charge.ok, Charge: money.Pico(charge.v),
		PriceVersion: r.version, PriceSource: r.source, Tariff: r.tariff,
	}
	c.Root = c.ID
	if r.root != nil {
		c.Root = idString(r.root)
	}
	if r.parent != nil {
		c.Parent = idString(r.parent)
	}
	if c.Usage, err = unpackUsage(r.usage); err != nil {
		return Call{}, fmt.Errorf("call %d: usage: %w", r.seq, err)
	}
	if c.EndUser, c.Tags, err = unpackPrivate(r.private); err != nil {
		return Call{}, fmt.Errorf("call %d: tags: %w", r.seq, err)
	}
	if !whole {
		return c, nil
	}
	x, err := unpackExtra(r.body)
	if err != nil {
		return Call{}, fmt.Errorf("call %d: %w", r.seq, err)
	}
	c.Held, c.CostLines, c.ChargeLines, c.Unpriced = x.held, x.costLines, x.chargeLines, x.unpriced
	c.Decisions, c.OutputHash = x.decisions, x.outputHash
	if r.corrected != 0 {
		k, err := unpackCorrection(r.corrBody)
		if err != nil {
			return Call{}, fmt.Errorf("call %d: correction: %w", r.seq, err)
		}
		c.CostLines, c.ChargeLines, c.PriceVersion, c.Tariff = k.CostLines, k.ChargeLines, k.PriceVersion, k.Tariff
		if c.CostKnown {
			c.Unpriced = nil
		}
	}
	return c, nil
}

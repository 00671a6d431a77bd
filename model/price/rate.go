package price

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Query is what a price can depend on besides the usage.
type Query struct {
	// At is when the call was made. The zero time is in no window.
	At time.Time
	// Batch says that the call was part of a provider's batch.
	Batch bool
	// Surface is the endpoint, such as "chat.completions"; informative.
	Surface string
	// SearchContext is the search context size, "low" when not stated; it
	// matters only for a card that has no price per request of its own.
	SearchContext string
}

// Basis says where a cost comes from.
type Basis string

// The bases.
const (
	BasisPriced   Basis = "priced"            // the card's prices
	BasisReported Basis = "provider_reported" // the reply's own statement
)

// Rating is what a usage comes to.
type Rating struct {
	// Lines are one line per bucket, in bucket order, each rounded once.
	Lines []money.Line
	// Total is the exact, unrounded sum.
	Total money.Decimal
	// Known is false when a bucket has no price. Lines and Total then hold only
	// what could be priced and must not be taken for the cost.
	Known    bool
	Unpriced []model.Bucket
	Basis    Basis
	// Version and Source are the card's.
	Version, Source string
}

// UnpricedNames are the names of the buckets without a price.
func (r *Rating) UnpricedNames() []string {
	names := make([]string, 0, len(r.Unpriced))
	for _, b := range r.Unpriced {
		names = append(names, b.String())
	}
	return names
}

// effective finds the rates that apply, in the order: base, cache mode, service
// tier, tier by prompt length, window, batch.
func (c *Card) effective(u *model.Usage, q Query) Rates {
	r := c.Base
	tiers := c.Tiers
	if len(c.CacheModes) > 0 {
		mode := "implicit"
		if strings.EqualFold(u.CacheType, "ephemeral") {
			mode = "explicit"
		}
		if v := c.CacheModes[mode]; v != nil {
			r.replace(&v.Rates)
			if len(v.Tiers) > 0 {
				tiers = v.Tiers
			}
		}
	}
	if len(c.ServiceTiers) > 0 && u.ServiceTier != "" {
		v := c.ServiceTiers[u.ServiceTier]
		if v == nil {
			v = c.ServiceTiers[strings.ToLower(u.ServiceTier)]
		}
		if v != nil && !strings.EqualFold(u.ServiceTier, "default") {
			r.replace(&v.Rates)
			if len(v.Tiers) > 0 {
				tiers = v.Tiers
			}
		}
	}
	if q.Batch && c.Batch != nil {
		r.replace(&c.Batch.Rates)
		if len(c.Batch.Tiers) > 0 {
			tiers = c.Batch.Tiers
		}
	}
	if len(tiers) > 0 {
		prompt := u.Prompt()
		for i := len(tiers) - 1; i >= 0; i-- {
			if prompt > tiers[i].Above {
				r.replace(&tiers[i].Rates)
				break
			}
		}
	}
	if !q.At.IsZero() {
		for i := range c.Windows {
			if c.Windows[i].holds(q.At) {
				r.replace(&c.Windows[i].Rates)
				break
			}
		}
	}
	if !r.Has.Has(model.RequestFee) && len(c.RequestFeeBySize) > 0 {
		size := strings.ToLower(q.SearchContext)
		if size == "" {
			size = "low"
		}
		if fee, ok := c.RequestFeeBySize[size]; ok {
			r.Set(model.RequestFee, fee)
		}
	}
	return r
}

// Complete adds to a usage what follows from the card alone: a call to a model
// that has a fee per request is one request. It changes u.
func (c *Card) Complete(u *model.Usage) {
	if u.Count[model.RequestFee] == 0 && !u.IsZero() &&
		(c.Base.Has.Has(model.RequestFee) || len(c.RequestFeeBySize) > 0) {
		u.Count[model.RequestFee] = 1
	}
}

// Rate prices a usage. The cost is exact: Total is never rounded, and each line
// is rounded once. A nil usage is unknown, so its cost is unknown too. The error
// is for amounts beyond the ledger's range of a line; Total is exact even then,
// but Lines is not whole.
func (c *Card) Rate(u *model.Usage, q Query) (Rating, error) {
	out := Rating{Version: c.Version, Source: c.Source, Basis: BasisPriced}
	if u == nil {
		return out, nil
	}
	if c.Reported != nil && u.ProviderCost != nil {
		line, err := money.NewLine("provider_reported", money.Int(1), *u.ProviderCost)
		if err != nil {
			return out, fmt.Errorf("price %s: %w", c.Version, err)
		}
		out.Lines, out.Total, out.Known, out.Basis = []money.Line{line}, *u.ProviderCost, true, BasisReported
		return out, nil
	}
	rates := c.effective(u, q)
	scale, scaled := c.multiplier(u, q)
	out.Known = true
	var whole money.Pico // the sum of the lines that are whole picodollars
	var failed error
	for b := range model.NumBuckets {
		if b.IsToken() && u.Count[b] == 0 {
			continue
		}
		quantity := c.billed(u, b, &rates)
		if quantity.IsZero() {
			continue
		}
		from, ok := c.fallback(&rates, b)
		if !ok {
			out.Known = false
			out.Unpriced = append(out.Unpriced, b)
			continue
		}
		unit := rates.USD[from]
		if out.Lines == nil {
			out.Lines = make([]money.Line, 0, 4)
		}
		if b.IsToken() && !scaled && rates.whole.Has(from) {
			if p, ok := times(rates.pico[from], u.Count[b]); ok {
				if sum, err := whole.Add(p); err == nil {
					whole = sum
					out.Lines = append(out.Lines, money.Line{Item: b.String(), Quantity: quantity, UnitPrice: unit, Amount: p})
					continue
				}
			}
		}
		if scaled && b.IsToken() {
			unit = unit.Mul(scale)
		}
		line, err := money.NewLine(b.String(), quantity, unit)
		if err != nil {
			failed = fmt.Errorf("price %s: %w", c.Version, err)
			out.Total = out.Total.Add(quantity.Mul(unit))
			continue
		}
		out.Lines = append(out.Lines, line)
		out.Total = out.Total.Add(amount(&line))
	}
	out.Total = out.Total.Add(whole.Decimal())
	return out, failed
}

// times is p × n when it fits and neither is negative.
func times(p money.Pico, n int64) (money.Pico, bool) {
	if p < 0 || n < 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(p), uint64(n))
	return money.Pico(lo), hi == 0 && lo <= math.MaxInt64
}

// amount is the exact amount of a line.
func amount(l *money.Line) money.Decimal {
	if l.Exact != nil {
		return *l.Exact
	}
	return l.Amount.Decimal()
}

// billed is the quantity of a bucket that is billed: at least the unit's
// minimum when any was used, and one request where requests have a fee.
func (c *Card) billed(u *model.Usage, b model.Bucket, r *Rates) money.Decimal {
	if b.IsToken() {
		return money.Int(u.Count[b])
	}
	q := u.Quantity(b)
	if b == model.RequestFee && q.IsZero() && r.Has.Has(b) && !u.IsZero() {
		q = money.Int(1)
	}
	if floor, ok := c.MinimumUnits[b]; ok && q.Sign() > 0 && q.Cmp(floor) < 0 {
		return floor
	}
	return q
}

// multiplier is what scales token prices: batch and inference geography.
func (c *Card) multiplier(u *model.Usage, q Query) (m money.Decimal, any bool) {
	m = money.Int(1)
	if q.Batch && c.BatchMultiplier != nil && c.Batch == nil {
		m, any = m.Mul(*c.BatchMultiplier), true
	}
	if len(c.GeoMultipliers) > 0 && u.Geography != "" {
		g, ok := c.GeoMultipliers[u.Geography]
		if !ok {
			g, ok = c.GeoMultipliers[strings.ToLower(u.Geography)]
		}
		if ok {
			m, any = m.Mul(g), true
		}
	}
	return m, any
}

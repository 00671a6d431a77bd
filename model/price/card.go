// Package price is the dated price book: usage goes in, exact line items come
// out.
//
// A [Card] is the price of one model. Its notation is the "prices" object of
// the metering and pricing cases (see docs), all amounts are exact decimals in
// USD, and nothing is ever priced at zero for want of a price: a bucket without
// a price makes the cost unknown, and is named. A [Book] holds the cards of many
// models with the dates from which they hold. A [Tariff] says what a customer is
// charged, which is a second, separate amount.
package price

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Rates are prices of single tokens or units, in USD.
type Rates struct {
	// Has are the buckets that are priced. A price of zero is a price.
	Has model.BucketSet
	// USD is the price of one token or unit of each priced bucket.
	USD [model.NumBuckets]money.Decimal

	// pico is the price of the buckets in whole, whose price is a whole number
	// of picodollars: nearly all. It spares the decimal arithmetic.
	pico  [model.NumBuckets]money.Pico
	whole model.BucketSet
}

// Set prices one token or unit of a bucket.
func (r *Rates) Set(b model.Bucket, usd money.Decimal) {
	r.Has = r.Has.With(b)
	r.USD[b] = usd
	r.whole &^= 1 << b
	if p, exact, err := usd.Pico(); err == nil && exact {
		r.pico[b], r.whole = p, r.whole.With(b)
	}
}

// Unset takes a bucket's price away.
func (r *Rates) Unset(b model.Bucket) {
	r.Has, r.whole = r.Has&^(1<<b), r.whole&^(1<<b)
	r.USD[b], r.pico[b] = money.Decimal{}, 0
}

// SetPerMillion prices a million tokens or units of a bucket.
func (r *Rates) SetPerMillion(b model.Bucket, usd money.Decimal) { r.Set(b, usd.Shift(-6)) }

// Get is the price of one token or unit; ok is false when there is none.
func (r *Rates) Get(b model.Bucket) (usd money.Decimal, ok bool) { return r.USD[b], r.Has.Has(b) }

// tokens and units of the price of a variant: a variant replaces the whole
// card of token prices, and only those unit prices that it names itself.
const tokenBuckets = model.BucketSet(1)<<model.WebSearch - 1

// replace puts v's token prices in the place of r's, and v's unit prices over r's.
func (r *Rates) replace(v *Rates) {
	for b := range model.NumBuckets {
		switch {
		case v.Has.Has(b):
			r.USD[b], r.pico[b] = v.USD[b], v.pico[b]
		case b.IsToken():
			r.USD[b] = money.Decimal{}
		}
	}
	r.Has = r.Has&^tokenBuckets | v.Has
	r.whole = r.whole&^(tokenBuckets|v.Has) | v.whole
}

// Tier is a card that applies to prompts above a length.
type Tier struct {
	// Above is the prompt total, in tokens, strictly above which the tier holds.
	Above int64
	Rates
}

// Variant is the card of a service tier or cache mode. Its own Tiers, when it
// has any, are used in place of the card's.
type Variant struct {
	Rates
	Tiers []Tier
}

// Window is a card that applies at certain times of the week, in UTC.
type Window struct {
	Name string
	// Weekdays on which the window holds, 0 = Monday; all when empty. The
	// weekday is that of the moment itself in UTC, also in a range that runs
	// across midnight.
	Weekdays []int
	// Spans are times of day, start included, end excluded. A span whose end is
	// not after its start runs across midnight.
	Spans []Span
	Rates
}

// Span is a range of the day as offsets from midnight UTC.
type Span struct{ Start, End time.Duration }

// holds says whether the window holds at a moment.
func (w *Window) holds(at time.Time) bool {
	at = at.UTC()
	if len(w.Weekdays) > 0 {
		today, ok := (int(at.Weekday())+6)%7, false
		for _, d := range w.Weekdays {
			ok = ok || d == today
		}
		if !ok {
			return false
		}
	}
	if len(w.Spans) == 0 {
		return true
	}
	t := at.Sub(time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC))
	for _, s := range w.Spans {
		if s.Start < s.End && s.Start <= t && t < s.End || s.Start >= s.End && (t >= s.Start || t < s.End) {
			return true
		}
	}
	return false
}

// ReportedCost says where a reply states its own cost.
type ReportedCost struct {
	// Path is the place in the reply, such as "usage.cost".
	Path string
	// DivideBy turns the number there into USD; 1 when not given.
	DivideBy money.Decimal
}

// Facts are what the price book knows of a model besides its prices. Zero means
// not known.
type Facts struct {
	Mode      string   `json:"mode,omitempty"` // chat, embedding, image_generation, …
	MaxInput  int64    `json:"max_input,omitempty"`
	MaxOutput int64    `json:"max_output,omitempty"`
	Supports  []string `json:"supports,omitempty"` // such as "vision", "function_calling"
	Endpoints []string `json:"endpoints,omitempty"`
	// Deprecated is the announced date of retirement, "2026-02-27".
	Deprecated string `json:"deprecated,omitempty"`
	// Unrepresented names prices of the source that a card cannot express, so
	// that nobody takes the card for the whole truth.
	Unrepresented []string `json:"unrepresented,omitempty"`
}

// Card is the price of one model from a date on. A Card is immutable once it is
// in a [Book].
type Card struct {
	Provider, Model string
	// From is the date from which the card holds; zero means always. Until is
	// the date of its successor; zero when there is none.
	From, Until time.Time
	// FromOnOrBefore says that the card was already in force on From and
	// possibly earlier: the source's first version shows it.
	FromOnOrBefore bool
	// Version names the card for good, and is recorded with each call.
	Version string
	// Source says where the price comes from, for people.
	Source string
	Facts  Facts

	Base         Rates
	CacheModes   map[string]*Variant
	ServiceTiers map[string]*Variant
	Tiers        []Tier // ascending by Above
	Windows      []Window
	// Batch, when set, replaces the token prices of calls made in a batch. It is
	// for providers whose batch prices are no single multiple of the others.
	Batch            *Variant
	BatchMultiplier  *money.Decimal
	GeoMultipliers   map[string]money.Decimal
	MinimumUnits     map[model.Bucket]money.Decimal
	Fallback         map[model.Bucket]model.Bucket
	RequestFeeBySize map[string]money.Decimal
	Reported         *ReportedCost

	// Notes are keys of the notation that were not understood; only a lenient
	// parse leaves any.
	Notes []string

	once   sync.Once
	limits bounds
}

// Digest is a short hash of everything in the card that can change a cost.
func (c *Card) Digest() string {
	h := sha256.Sum256(c.AppendJSON(nil))
	return hex.EncodeToString(h[:6])
}

// Priced is the set of buckets that the card can price in some situation.
func (c *Card) Priced() model.BucketSet {
	s := c.Base.Has
	c.variants(func(v *Rates) { s |= v.Has })
	for b := range c.Fallback {
		if _, ok := c.fallback(&Rates{Has: s}, b); ok {
			s = s.With(b)
		}
	}
	if len(c.RequestFeeBySize) > 0 {
		s = s.With(model.RequestFee)
	}
	return s
}

// PlainFallback is the fallback of a price list that names only the plain kinds:
// what it does not name is billed as the plain kind, at the full price where a
// discount is not known. Cache writes, audio and what is made in audio or images
// have no such rule. It is nil when nothing can fall back.
func PlainFallback(base *Rates) map[model.Bucket]model.Bucket {
	m := map[model.Bucket]model.Bucket{}
	if base.Has.Has(model.Output) {
		m[model.Reasoning] = model.Output
	}
	if base.Has.Has(model.Input) {
		m[model.CacheRead] = model.Input
		m[model.InputImage] = model.Input
		m[model.CacheReadImage] = model.CacheRead
	}
	if base.Has.Has(model.InputAudio) {
		m[model.CacheReadAudio] = model.InputAudio
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

// variants visits every set of rates that can replace the base.
func (c *Card) variants(visit func(*Rates)) {
	each := func(v *Variant) {
		visit(&v.Rates)
		for i := range v.Tiers {
			visit(&v.Tiers[i].Rates)
		}
	}
	for _, v := range c.CacheModes {
		each(v)
	}
	for _, v := range c.ServiceTiers {
		each(v)
	}
	for i := range c.Tiers {
		visit(&c.Tiers[i].Rates)
	}
	for i := range c.Windows {
		visit(&c.Windows[i].Rates)
	}
	if c.Batch != nil {
		each(c.Batch)
	}
}

// fallback follows the chain of fallbacks from b to a priced bucket. A chain
// is no longer than there are buckets, so a circle ends.
func (c *Card) fallback(r *Rates, b model.Bucket) (model.Bucket, bool) {
	for range model.NumBuckets {
		if r.Has.Has(b) {
			return b, true
		}
		next, ok := c.Fallback[b]
		if !ok {
			return b, false
		}
		b = next
	}
	return b, false
}

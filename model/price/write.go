package price

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// MarshalJSON writes the card in the notation that ParseCard reads, with keys in
// a fixed order, so that equal cards have equal text.
func (c *Card) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil), nil }

// writer appends one JSON object.
type writer struct {
	b    []byte
	more bool
}

func (w *writer) key(k string) {
	if w.more {
		w.b = append(w.b, ',')
	}
	w.more = true
	w.b = append(strconv.AppendQuote(w.b, k), ':')
}

func (w *writer) object(k string, fill func()) {
	w.key(k)
	w.open(fill)
}

func (w *writer) open(fill func()) {
	w.b = append(w.b, '{')
	w.more = false
	fill()
	w.b = append(w.b, '}')
	w.more = true
}

func (w *writer) amount(k string, d money.Decimal) {
	w.key(k)
	w.b = append(append(append(w.b, '"'), d.String()...), '"')
}

func (w *writer) amounts(k string, m map[string]money.Decimal) {
	if len(m) == 0 {
		return
	}
	w.object(k, func() {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			w.amount(name, m[name])
		}
	})
}

func (w *writer) rates(r *Rates) {
	part := func(k string, from, to model.Bucket, shift int32) {
		if r.Has&(1<<to-1)>>from == 0 {
			return
		}
		w.object(k, func() {
			for b := from; b < to; b++ {
				if r.Has.Has(b) {
					w.amount(b.String(), r.USD[b].Shift(shift))
				}
			}
		})
	}
	part("per_million", 0, model.WebSearch, 6)
	part("per_unit", model.WebSearch, model.NumBuckets, 0)
}

func (w *writer) tiers(tiers []Tier) {
	if len(tiers) == 0 {
		return
	}
	w.key("tiers")
	w.b = append(w.b, '[')
	for i := range tiers {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.open(func() {
			w.key("above_prompt_tokens")
			w.b = strconv.AppendInt(w.b, tiers[i].Above, 10)
			w.rates(&tiers[i].Rates)
		})
	}
	w.b = append(w.b, ']')
}

func (w *writer) variant(k string, v *Variant) {
	w.object(k, func() {
		w.rates(&v.Rates)
		w.tiers(v.Tiers)
	})
}

func (w *writer) variants(k string, m map[string]*Variant) {
	if len(m) == 0 {
		return
	}
	w.object(k, func() {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			w.variant(name, m[name])
		}
	})
}

// AppendJSON appends what MarshalJSON writes.
func (c *Card) AppendJSON(dst []byte) []byte {
	w := writer{b: dst}
	w.open(func() {
		w.rates(&c.Base)
		w.variants("cache_modes", c.CacheModes)
		w.variants("service_tiers", c.ServiceTiers)
		w.tiers(c.Tiers)
		w.windows(c.Windows)
		if c.Batch != nil {
			w.variant("batch", c.Batch)
		}
		if c.BatchMultiplier != nil {
			w.amount("batch_multiplier", *c.BatchMultiplier)
		}
		w.amounts("geo_multipliers", c.GeoMultipliers)
		if len(c.MinimumUnits) > 0 {
			w.object("minimum_units", func() {
				for _, b := range slices.Sorted(maps.Keys(c.MinimumUnits)) {
					w.amount(b.String(), c.MinimumUnits[b])
				}
			})
		}
		if len(c.Fallback) > 0 {
			w.object("fallback", func() {
				for _, b := range slices.Sorted(maps.Keys(c.Fallback)) {
					w.key(b.String())
					w.b = strconv.AppendQuote(w.b, c.Fallback[b].String())
				}
			})
		}
		w.amounts("request_fee_by_search_context", c.RequestFeeBySize)
		if c.Reported != nil {
			w.object("provider_reported_cost", func() {
				w.key("path")
				w.b = strconv.AppendQuote(w.b, c.Reported.Path)
				w.amount("divide_by", c.Reported.DivideBy)
			})
		}
	})
	return w.b
}

func (w *writer) windows(windows []Window) {
	if len(windows) == 0 {
		return
	}
	w.key("windows")
	w.b = append(w.b, '[')
	for i := range windows {
		win := &windows[i]
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.open(func() {
			if win.Name != "" {
				w.key("name")
				w.b = strconv.AppendQuote(w.b, win.Name)
			}
			if len(win.Weekdays) > 0 {
				w.key("weekdays")
				for j, d := range win.Weekdays {
					w.b = append(w.b, "[,"[min(j, 1)])
					w.b = strconv.AppendInt(w.b, int64(d), 10)
				}
				w.b = append(w.b, ']')
			}
			if len(win.Spans) > 0 {
				w.key("utc")
				for j, s := range win.Spans {
					w.b = append(w.b, "[,"[min(j, 1)])
					w.b = append(w.b, '[')
					w.b = append(strconv.AppendQuote(w.b, clockText(s.Start)), ',')
					w.b = append(strconv.AppendQuote(w.b, clockText(s.End)), ']')
				}
				w.b = append(w.b, ']')
			}
			w.rates(&win.Rates)
		})
	}
	w.b = append(w.b, ']')
}

func clockText(d time.Duration) string {
	two := func(n time.Duration) string { return string([]byte{'0' + byte(n/10), '0' + byte(n%10)}) }
	s := two(d/time.Hour) + ":" + two(d/time.Minute%60)
	if sec := d / time.Second % 60; sec != 0 {
		s += ":" + two(sec)
	}
	return s
}

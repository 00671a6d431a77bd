package litellm

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// change is one row of the derived history: the three prices that it follows,
// from the day of the map that first showed them.
type change struct {
	provider, mode      string
	seen                time.Time
	input, output, read *money.Decimal
}

// readHistory reads the table, oldest change of each model first.
func readHistory(r io.Reader) (map[string][]change, error) {
	out := map[string][]change{}
	if r == nil {
		return out, nil
	}
	rows := csv.NewReader(r)
	head, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("price history: %w", err)
	}
	if want := []string{"model", "provider", "mode", "first_seen", "input_usd_per_token", "output_usd_per_token", "cache_read_usd_per_token"}; !slices.Equal(head, want) {
		return nil, fmt.Errorf("price history: the columns are %v, not %v", head, want)
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("price history: %w", err)
		}
		seen, err := time.Parse(time.DateOnly, row[3])
		if err != nil {
			return nil, fmt.Errorf("price history: %s: %w", row[0], err)
		}
		c := change{provider: row[1], mode: row[2], seen: seen}
		for i, dst := range []**money.Decimal{&c.input, &c.output, &c.read} {
			if row[4+i] == "" {
				continue
			}
			d, err := money.ParseDecimal(row[4+i])
			if err != nil || d.Sign() < 0 {
				return nil, fmt.Errorf("price history: %s: %q is no price", row[0], row[4+i])
			}
			*dst = &d
		}
		out[row[0]] = append(out[row[0]], c)
	}
	for _, cs := range out {
		slices.SortStableFunc(cs, func(a, b change) int { return a.seen.Compare(b.seen) })
	}
	return out, nil
}

// agrees says that a change states the card's prices. The table went through
// floats, so the last digits may differ.
func (c change) agrees(card *price.Card) bool {
	same := func(d *money.Decimal, b model.Bucket) bool {
		have, ok := card.Base.Get(b)
		if d == nil || !ok {
			return d == nil && !ok || d != nil && d.IsZero() || d == nil && b == model.CacheRead
		}
		diff := d.Sub(have)
		if diff.Sign() < 0 {
			diff = diff.Neg()
		}
		return diff.Cmp(have.Mul(money.MustDecimal("0.00001"))) <= 0
	}
	return same(c.input, model.Input) && same(c.output, model.Output) && same(c.read, model.CacheRead)
}

// card makes a card of a change. The table follows three prices only: all others
// of that time are not known, and so are calls that need them.
func (c change) card(provider, name string) *price.Card {
	card := &price.Card{Provider: provider, Model: name, From: c.seen, Source: "LiteLLM price map, dated history of input, output and cache-read prices"}
	card.Facts.Mode = c.mode
	for _, p := range []struct {
		d *money.Decimal
		b model.Bucket
	}{{c.input, model.Input}, {c.output, model.Output}, {c.read, model.CacheRead}} {
		if p.d != nil {
			card.Base.Set(p.b, *p.d)
		}
	}
	if zero(card) {
		card.Base = price.Rates{}
	}
	card.Facts.Unrepresented = []string{"prices other than input, output and cache read at that time"}
	defaults(card)
	return card
}

// dated puts a model's card at the end of its history: the card holds from the
// last change on, and earlier changes become cards of their own.
func dated(c *price.Card, name string, changes []change, date time.Time, rep *Report) []*price.Card {
	var out []*price.Card
	c.From, c.FromOnOrBefore = date, true
	until := len(changes)
	for until > 0 && changes[until-1].seen.After(date) {
		until-- // the table may run past the map's day
	}
	if until > 0 {
		last := changes[until-1]
		if last.agrees(c) {
			c.From, c.FromOnOrBefore = last.seen, until == 1
		} else {
			rep.History = append(rep.History, name)
			c.FromOnOrBefore = false
			until++ // the map's price came after the table's last change
		}
		for i, ch := range changes[:min(until-1, len(changes))] {
			old := ch.card(c.Provider, c.Model)
			old.FromOnOrBefore = i == 0
			old.Facts.MaxInput, old.Facts.MaxOutput = c.Facts.MaxInput, c.Facts.MaxOutput
			if old.From.Before(c.From) {
				out = append(out, old)
			}
		}
	}
	out = append(out, c)
	for _, ch := range changes {
		if ch.seen.After(date) && !ch.agrees(c) {
			later := ch.card(c.Provider, c.Model)
			later.Facts = c.Facts
			later.Facts.Unrepresented = append([]string{"prices other than input, output and cache read from that day on"}, c.Facts.Unrepresented...)
			out = append(out, later)
		}
	}
	return out
}

// gone lists the models that only the history knows.
func gone(changes map[string][]change) []string { return slices.Sorted(maps.Keys(changes)) }

// retired makes the cards of a model that the map no longer has: what it last
// cost is still what a call of that time cost.
func retired(name string, changes []change, have map[string]*price.Card, date time.Time) []*price.Card {
	var out []*price.Card
	for i, ch := range changes {
		provider, m := names(name, ch.provider)
		if _, ok := have[provider+"/"+m]; ok {
			return nil
		}
		c := ch.card(provider, m)
		c.FromOnOrBefore = i == 0
		if c.Base.Has != 0 {
			out = append(out, c)
		}
	}
	return out
}

package price

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Book holds the cards of many models. It is immutable, and safe for use by
// many goroutines.
type Book struct {
	// Name is what the book is called in versions, such as "catalog-2026-07-24".
	Name string
	// Date is the day on which the prices were read; zero when not known.
	Date time.Time
	// Credit names the source of the data and its licence.
	Credit string

	once  sync.Once
	load  func() []*entry
	under *Book // what this book lies over
	// own says that the book was written by the user, whose model names may hold
	// slashes without naming a provider.
	own bool

	cards  map[string][]*entry // by provider + "/" + model, descending by date
	models map[string][]string // the keys of cards by model
	// providers are those that have cards.
	providers map[string]bool
}

// NewBook makes a book of cards.
func NewBook(name string, cards []*Card) *Book {
	return &Book{Name: name, load: func() []*entry {
		out := make([]*entry, len(cards))
		for i, c := range cards {
			out[i] = &entry{provider: c.Provider, model: c.Model, from: c.From, card: c}
		}
		return out
	}}
}

// With lays the cards of other books over b: where an override has a card for a
// model, it hides b's cards of that provider and model from its date on.
func (b *Book) With(overrides ...*Book) *Book {
	for _, o := range overrides {
		if o == nil {
			continue
		}
		b = &Book{Name: o.Name, Date: b.Date, Credit: b.Credit, load: o.all, under: b, own: o.own}
	}
	return b
}

// all lists the cards of this layer, loading them first.
func (b *Book) all() []*entry {
	b.open()
	var out []*entry
	for _, k := range slices.Sorted(maps.Keys(b.cards)) {
		out = append(out, b.cards[k]...)
	}
	return out
}

func (b *Book) open() {
	b.once.Do(func() {
		b.cards, b.models, b.providers = map[string][]*entry{}, map[string][]string{}, map[string]bool{}
		if b.load == nil {
			return
		}
		for _, c := range b.load() {
			k := key(c.provider, c.model)
			if _, ok := b.cards[k]; !ok {
				m := strings.ToLower(c.model)
				b.models[m] = append(b.models[m], k)
			}
			b.cards[k] = append(b.cards[k], c)
			b.providers[strings.ToLower(c.provider)] = true
		}
		for _, cs := range b.cards {
			slices.SortStableFunc(cs, func(x, y *entry) int { return y.from.Compare(x.from) })
		}
		for _, ks := range b.models {
			slices.SortFunc(ks, func(x, y string) int {
				return cmp.Or(rank(x)-rank(y), cmp.Compare(x, y))
			})
		}
	})
}

func key(provider, model string) string {
	return strings.ToLower(provider) + "/" + strings.ToLower(model)
}

// ListQuery selects cards.
type ListQuery struct {
	Provider string
	Text     string // substring of provider or model
	Mode     string // such as "chat"
	At       time.Time
	Offset   int
	Limit    int // 0 means 100, negative all
}

// List returns the cards in force at a time, now when zero, sorted by provider
// and model, and how many there are in all.
func (b *Book) List(q ListQuery) (page []*Card, total int) {
	seen := map[string]bool{}
	var found []*Card
	text := strings.ToLower(q.Text)
	for layer := b; layer != nil; layer = layer.under {
		layer.open()
		for k := range layer.cards {
			if seen[k] || text != "" && !strings.Contains(k, text) {
				continue
			}
			provider, name, _ := strings.Cut(k, "/")
			if q.Provider != "" && !strings.EqualFold(q.Provider, provider) {
				continue
			}
			c, ok := b.exact(provider, name, q.At)
			if !ok || q.Mode != "" && c.Facts.Mode != q.Mode {
				continue
			}
			seen[k] = true
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(x, y *Card) int {
		return cmp.Or(cmp.Compare(x.Provider, y.Provider), cmp.Compare(x.Model, y.Model))
	})
	total = len(found)
	from := min(max(q.Offset, 0), total)
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	if limit < 0 || limit > total-from {
		limit = total - from
	}
	return found[from : from+limit], total
}

// exact finds the card of one provider's model in the topmost layer that has
// one in force at the time.
func (b *Book) exact(provider, name string, at time.Time) (*Card, bool) {
	k := key(provider, name)
	for layer := b; layer != nil; layer = layer.under {
		layer.open()
		if c := inForce(layer.cards[k], at); c != nil {
			return c, true
		}
	}
	return nil, false
}

// inForce picks the newest card that has begun. A model whose first known price
// is only "on or before" a date has that price also before it, since nothing
// earlier is known and a price must not vanish.
func inForce(cards []*entry, at time.Time) *Card {
	if len(cards) == 0 {
		return nil
	}
	if at.IsZero() {
		return cards[0].get()
	}
	for _, e := range cards {
		if !e.from.After(at) {
			return e.get()
		}
	}
	if last := cards[len(cards)-1].get(); last.FromOnOrBefore {
		return last
	}
	return nil
}

// History lists the cards of a model, newest first.
func (b *Book) History(provider, model string) []*Card {
	k := key(provider, model)
	var out []*Card
	for layer := b; layer != nil; layer = layer.under {
		layer.open()
		for _, e := range layer.cards[k] {
			out = append(out, e.get())
		}
	}
	return out
}

// Find finds the card of a model at a time (the newest when zero). The provider
// may be "", and the model may then be "provider/model". A card without a
// provider, as in a file of overrides, holds for every provider. A name that is
// not in the book is looked for under its aliases: without a date or "-latest"
// at its end, without a region; and, when no provider is named, at its maker
// before its resellers. At last comes a provider's card for any model. A model
// "provider/model" is that provider's before it is a reseller's model of that
// whole name: "anthropic/m" is Anthropic's m, also where others sell an
// "anthropic/m".
func (b *Book) Find(provider, model string, at time.Time) (*Card, bool) {
	if p, rest, ok := strings.Cut(model, "/"); ok && provider == "" && b.knows(p) {
		if c := b.named(append(providerNames(p), ""), p, rest, at); c != nil {
			return c, true
		}
	}
	providers := append(providerNames(provider), "")
	if c := b.named(providers, provider, model, at); c != nil {
		return c, true
	}
	for _, name := range aliases(provider, model) {
		if c := b.named(providers, provider, name, at); c != nil {
			return c, true
		}
		if p, rest, ok := strings.Cut(name, "/"); ok && provider == "" && b.knows(p) {
			if c, ok := b.Find(p, rest, at); ok {
				return c, true
			}
		}
	}
	for _, p := range providerNames(provider) {
		if c, ok := b.exact(p, "*", at); ok {
			return c, true
		}
	}
	return nil, false
}

// named finds the card of exactly one name, the topmost layer first.
func (b *Book) named(providers []string, provider, name string, at time.Time) *Card {
	for layer := b; layer != nil; layer = layer.under {
		layer.open()
		for _, p := range providers {
			if c := inForce(layer.cards[key(p, name)], at); c != nil {
				return c
			}
		}
		if layer.own {
			if c := inForce(layer.cards[strings.ToLower(name)], at); c != nil {
				return c
			}
		}
		if provider != "" {
			continue
		}
		for _, k := range layer.models[strings.ToLower(name)] {
			if c := inForce(layer.cards[k], at); c != nil {
				return c
			}
		}
	}
	return nil
}

// knows says that some layer has cards of a provider, under any of its names.
func (b *Book) knows(provider string) bool {
	for _, p := range providerNames(provider) {
		for layer := b; layer != nil; layer = layer.under {
			layer.open()
			if layer.providers[p] {
				return true
			}
		}
	}
	return false
}

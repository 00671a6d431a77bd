// Package catalog holds what models run on and what they are made of:
// accelerators, dated offers to rent and to buy them, the shapes of published
// models, and prices of electricity. The data is embedded as YAML, one file a
// kind, and every entry names its source; an entry whose source is weak says
// `unverified: true`, and what has no source is not there. A user's own files
// of the same format replace or add entries.
//
// All figures are estimates in float64 and base units (FLOP/s, bytes, bytes/s,
// watts, USD), never money that is owed.
package catalog

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed data/*.yaml
var embedded embed.FS

// Provenance says where an entry's figures come from. It is part of every kind.
type Provenance struct {
	// Source is the paper, data sheet, page or file that gives the figures, with
	// its date where it has one.
	Source string `yaml:"source" json:"source,omitempty"`
	// Unverified marks an entry whose source is second hand, contradicted
	// elsewhere or not authoritative. Such entries are shown as such and are not
	// used by the shipped examples.
	Unverified bool `yaml:"unverified" json:"unverified,omitempty"`
	// Note says what to beware of.
	Note string `yaml:"note" json:"note,omitempty"`
	// File is the catalog file that holds the entry, and Line the line.
	File string `yaml:"-" json:"file,omitempty"`
	Line int    `yaml:"-" json:"line,omitempty"`
}

// Catalog is a set of entries that does not change after loading; it may be
// used from many goroutines.
type Catalog struct {
	accelerators map[string]*Accelerator
	models       map[string]*Model
	power        map[string]*Power
	alias        map[string]string // accelerator alias, folded -> name
	modelAlias   map[string]string
	powerAlias   map[string]string
	offers       []Offer
	purchases    []Purchase
}

var defaultCatalog = sync.OnceValues(func() (*Catalog, error) { return load(nil) })

// Load reads the embedded catalog and the user's files over it, in order. An
// entry of a later file replaces the whole entry of the same name; offers,
// purchases and power prices of a later file are added, and replace those with
// the same key and date. Every fault of every file is reported at once, as
// [Errors], with file, line and column.
//
// Without user files the catalog is decoded once and shared.
func Load(userFiles ...string) (*Catalog, error) {
	if len(userFiles) == 0 {
		return defaultCatalog()
	}
	return load(userFiles)
}

func load(userFiles []string) (*Catalog, error) {
	b := newBuilder()
	names, err := embedded.ReadDir("data")
	if err != nil {
		return nil, fmt.Errorf("reading the embedded catalog: %w", err)
	}
	for _, n := range names {
		data, err := embedded.ReadFile("data/" + n.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the embedded catalog: %w", err)
		}
		b.add("catalog/"+n.Name(), data)
	}
	for _, name := range userFiles {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading a catalog file: %w", err)
		}
		b.add(name, data)
	}
	return b.build()
}

// Parse reads one catalog over the embedded one, from bytes; name stands in
// messages.
func Parse(name string, data []byte) (*Catalog, error) {
	b := newBuilder()
	names, err := embedded.ReadDir("data")
	if err != nil {
		return nil, fmt.Errorf("reading the embedded catalog: %w", err)
	}
	for _, n := range names {
		own, err := embedded.ReadFile("data/" + n.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the embedded catalog: %w", err)
		}
		b.add("catalog/"+n.Name(), own)
	}
	b.add(name, data)
	return b.build()
}

// Kind names a kind of entry.
type Kind string

// The kinds of entries.
const (
	KindAccelerator Kind = "accelerator"
	KindModel       Kind = "model"
	KindPower       Kind = "power price"
)

// NotFoundError is a name that the catalog does not have; match it with
// errors.As for the nearest names, or with errors.Is(err, ErrNotFound).
type NotFoundError struct {
	Kind    Kind
	Name    string
	Nearest []string // at most three, the nearest first
}

// ErrNotFound matches every [NotFoundError] in errors.Is.
var ErrNotFound = errors.New("not in the catalog")

// Error names what is missing and what is near.
func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("no %s %q in the catalog", e.Kind, e.Name)
	if len(e.Nearest) > 0 {
		return s + "; did you mean " + strings.Join(e.Nearest, ", ") + "?"
	}
	return s
}

// Is makes errors.Is(err, ErrNotFound) hold.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// Accelerator finds an accelerator by name or alias, whatever the case and
// punctuation ("A100 SXM 80" is a100-sxm-80). The error is an [*NotFoundError].
func (c *Catalog) Accelerator(name string) (*Accelerator, error) {
	if n, ok := c.alias[fold(name)]; ok {
		return c.accelerators[n], nil
	}
	return nil, &NotFoundError{KindAccelerator, name, nearestNames(name, c.alias)}
}

// Model finds a model's shape by name or alias, also by its Hugging Face name.
// The error is an [*NotFoundError].
func (c *Catalog) Model(name string) (*Model, error) {
	if n, ok := c.modelAlias[fold(name)]; ok {
		return c.models[n], nil
	}
	return nil, &NotFoundError{KindModel, name, nearestNames(name, c.modelAlias)}
}

// Power finds the electricity prices of a place by name or alias. The error is
// an [*NotFoundError].
func (c *Catalog) Power(name string) (*Power, error) {
	if n, ok := c.powerAlias[fold(name)]; ok {
		return c.power[n], nil
	}
	return nil, &NotFoundError{KindPower, name, nearestNames(name, c.powerAlias)}
}

// Accelerators lists every accelerator, by vendor, then release, then name.
func (c *Catalog) Accelerators() []*Accelerator {
	return slices.SortedFunc(maps.Values(c.accelerators), func(a, b *Accelerator) int {
		return cmp.Or(cmp.Compare(a.Vendor, b.Vendor), a.Released.Compare(b.Released.Time), cmp.Compare(a.Name, b.Name))
	})
}

// Models lists every model shape, by family, then size, then name.
func (c *Catalog) Models() []*Model {
	return slices.SortedFunc(maps.Values(c.models), func(a, b *Model) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), a.Released.Compare(b.Released.Time), cmp.Compare(a.Stated.Total, b.Stated.Total), cmp.Compare(a.Name, b.Name))
	})
}

// PowerPrices lists the electricity prices, by name.
func (c *Catalog) PowerPrices() []*Power {
	return slices.SortedFunc(maps.Values(c.power), func(a, b *Power) int { return cmp.Compare(a.Name, b.Name) })
}

// Offers lists every rental price ever recorded, by accelerator, provider,
// instance, commitment and date.
func (c *Catalog) Offers() []Offer { return slices.Clone(c.offers) }

// OffersFor lists the rental prices of an accelerator that held at a time: of
// each provider, instance, region and commitment the latest recorded one that
// is not after it. A zero time means the latest of all. The cheapest comes
// first. An offer is an observation: see its Date for its age, which can be
// years. The error is an [*NotFoundError] for an unknown accelerator; no offers
// is no error.
func (c *Catalog) OffersFor(accelerator string, at time.Time) ([]Offer, error) {
	a, err := c.Accelerator(accelerator)
	if err != nil {
		return nil, err
	}
	latest := map[offerKey]Offer{}
	for _, o := range c.offers {
		if o.Accelerator != a.Name || (!at.IsZero() && o.Date.After(at)) {
			continue
		}
		if old, ok := latest[o.key()]; !ok || !o.Date.Before(old.Date.Time) {
			latest[o.key()] = o
		}
	}
	return slices.SortedFunc(maps.Values(latest), func(a, b Offer) int {
		return cmp.Or(cmp.Compare(a.Price, b.Price), compareOffers(a, b))
	}), nil
}

// Recent keeps the offers that were seen at most maxAge before a time, in their
// order: prices of rented accelerators fall, and an old one misleads.
func Recent(offers []Offer, at time.Time, maxAge time.Duration) []Offer {
	var list []Offer
	for _, o := range offers {
		if at.Sub(o.Date.Time) <= maxAge {
			list = append(list, o)
		}
	}
	return list
}

// Purchases lists what an accelerator sold for, oldest first; "" means all.
func (c *Catalog) Purchases(accelerator string) ([]Purchase, error) {
	if accelerator == "" {
		return slices.Clone(c.purchases), nil
	}
	a, err := c.Accelerator(accelerator)
	if err != nil {
		return nil, err
	}
	var list []Purchase
	for _, p := range c.purchases {
		if p.Accelerator == a.Name {
			list = append(list, p)
		}
	}
	return list, nil
}

// fold makes names comparable: lower case, without spaces and punctuation.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r > 0x7f:
			return r
		}
		return -1
	}, s)
}

// Lookup finds an entry of any kind by name or alias: an *Accelerator, a *Model
// or a *Power. The error is an [*NotFoundError] without a kind that suggests names
// of every kind.
func (c *Catalog) Lookup(name string) (any, error) {
	if a, err := c.Accelerator(name); err == nil {
		return a, nil
	}
	if m, err := c.Model(name); err == nil {
		return m, nil
	}
	if p, err := c.Power(name); err == nil {
		return p, nil
	}
	all := map[string]string{}
	for _, m := range []map[string]string{c.alias, c.modelAlias, c.powerAlias} {
		maps.Copy(all, m)
	}
	return nil, &NotFoundError{"entry", name, nearestNames(name, all)}
}

// Count is how many entries of a kind a catalog has.
type Count struct {
	Kind       string `json:"kind"`
	Entries    int    `json:"entries"`
	Unverified int    `json:"unverified"` // of them
}

// Counts counts the entries of every kind.
func (c *Catalog) Counts() []Count {
	count := func(kind string, n int, unverified func(i int) bool) Count {
		k := Count{Kind: kind, Entries: n}
		for i := range n {
			if unverified(i) {
				k.Unverified++
			}
		}
		return k
	}
	a, m, p := c.Accelerators(), c.Models(), c.PowerPrices()
	return []Count{
		count("accelerators", len(a), func(i int) bool { return a[i].Unverified }),
		count("models", len(m), func(i int) bool { return m[i].Unverified }),
		count("offers", len(c.offers), func(i int) bool { return c.offers[i].Unverified }),
		count("purchases", len(c.purchases), func(i int) bool { return c.purchases[i].Unverified }),
		count("power", len(p), func(i int) bool { return p[i].Unverified }),
	}
}

package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// sections are the top-level keys of a catalog file.
var sections = []string{"sources", "accelerators", "models", "offers", "purchases", "power"}

// builder collects the entries of files, later over earlier.
type builder struct {
	accelerators map[string]*Accelerator
	models       map[string]*Model
	power        map[string]*Power
	offers       map[string]located[offerEntry]
	purchases    map[string]located[Purchase]
	errs         Errors
}

// located is a list's entry with its place.
type located[T any] struct {
	value T
	file  string
	node  *yaml.Node
	path  string
}

func newBuilder() *builder {
	return &builder{
		accelerators: map[string]*Accelerator{}, models: map[string]*Model{}, power: map[string]*Power{},
		offers: map[string]located[offerEntry]{}, purchases: map[string]located[Purchase]{},
	}
}

// add reads one file.
func (b *builder) add(file string, data []byte) {
	d := &decoder{file: file, places: map[string]*yaml.Node{}}
	defer func() { b.errs = append(b.errs, d.errs...) }()
	root := d.document(data)
	if root == nil {
		return
	}
	nodes := map[string]*yaml.Node{}
	d.pairs(root, "", func(k, v *yaml.Node) {
		if !slices.Contains(sections, k.Value) {
			hint := suggest(k.Value, sections)
			if hint == "" {
				hint = "; expected one of " + strings.Join(sections, ", ")
			}
			d.fail(k, k.Value, "unknown key%s", hint)
			return
		}
		nodes[k.Value] = v
	})
	sources := map[string]string{}
	if n := nodes["sources"]; n != nil {
		d.decode(n, reflect.ValueOf(&sources).Elem(), "sources", "")
	}
	section(d, nodes["accelerators"], "accelerators", sources, func(name string, n *yaml.Node, a *Accelerator) {
		a.Name = name
		checkAccelerator(d, n, a)
		b.accelerators[name] = a
	})
	section(d, nodes["models"], "models", sources, func(name string, n *yaml.Node, m *Model) {
		m.Name = name
		checkModel(d, n, m)
		b.models[name] = m
	})
	section(d, nodes["power"], "power", sources, func(name string, n *yaml.Node, p *Power) {
		p.Name = name
		checkPower(d, n, p)
		b.power[name] = p
	})
	list(d, nodes["offers"], "offers", sources, func(n *yaml.Node, path string, o offerEntry) {
		checkOffer(d, n, path, &o)
		b.offers[o.id()] = located[offerEntry]{o, file, n, path}
	})
	list(d, nodes["purchases"], "purchases", sources, func(n *yaml.Node, path string, p Purchase) {
		checkPurchase(d, n, path, &p)
		b.purchases[p.id()] = located[Purchase]{p, file, n, path}
	})
}

// id tells observations apart; a later file's with the same replaces it.
func (o *offerEntry) id() string {
	return strings.Join([]string{o.Provider, o.Instance, o.Accelerator, o.Region, o.Date.String(), fmt.Sprint(o.Count)}, "\x00")
}

func (p *Purchase) id() string {
	return strings.Join([]string{p.Accelerator, p.System, p.Kind, p.Date.String(), p.Source}, "\x00")
}

// section decodes a mapping from names to entries.
func section[T any](d *decoder, n *yaml.Node, path string, sources map[string]string, each func(name string, n *yaml.Node, v *T)) {
	if n == nil {
		return
	}
	d.pairs(n, path, func(k, value *yaml.Node) {
		p := join(path, k.Value)
		if msg := badName(k.Value); msg != "" {
			d.fail(k, p, "%s", msg)
			return
		}
		v := new(T)
		before := len(d.errs)
		d.decode(value, reflect.ValueOf(v).Elem(), p, "")
		d.provenance(k, p, reflect.ValueOf(v).Elem(), sources)
		if len(d.errs) == before {
			// An entry that was not read whole would fail every range as well.
			each(k.Value, k, v)
		}
	})
}

// list decodes a list of entries.
func list[T any](d *decoder, n *yaml.Node, path string, sources map[string]string, each func(n *yaml.Node, path string, v T)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "expected a list, found %s", kindName(n))
		return
	}
	for i, c := range n.Content {
		p := fmt.Sprintf("%s[%d]", path, i)
		var v T
		before := len(d.errs)
		d.decode(c, reflect.ValueOf(&v).Elem(), p, "")
		d.provenance(c, p, reflect.ValueOf(&v).Elem(), sources)
		if len(d.errs) == before {
			each(c, p, v)
		}
	}
}

// badName says what is wrong with an entry's name.
func badName(s string) string {
	if fold(s) == "" || len(s) > 80 || strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
	}) {
		return "a name is made of small letters, digits, dots and dashes, such as a100-sxm-80"
	}
	return ""
}

// named is a use of a named source: "@epoch" in "@epoch techpowerup.com/…".
var named = regexp.MustCompile(`(^|[\s(])@([a-z0-9-]+)`)

// provenance expands each @name to the source of that name in this file, and
// demands that an entry has a source or says that it is unverified.
func (d *decoder) provenance(n *yaml.Node, path string, v reflect.Value, sources map[string]string) {
	p := v.FieldByName("Provenance").Addr().Interface().(*Provenance)
	p.Source = named.ReplaceAllStringFunc(p.Source, func(use string) string {
		before, name, _ := strings.Cut(use, "@")
		text, ok := sources[name]
		if !ok {
			known := slices.Sorted(maps.Keys(sources))
			d.fail(n, join(path, "source"), "no source %q under \"sources\" of this file%s", name, suggest(name, known))
		}
		return before + text
	})
	if strings.TrimSpace(p.Source) == "" && !p.Unverified {
		d.fail(n, path, "has no source; name the data sheet, paper, page or file with its date, or set unverified: true")
	}
}

// build checks what needs the whole catalog and makes it.
func (b *builder) build() (*Catalog, error) {
	c := &Catalog{
		accelerators: b.accelerators, models: b.models, power: b.power,
		alias: map[string]string{}, modelAlias: map[string]string{}, powerAlias: map[string]string{},
	}
	for _, a := range sortedValues(b.accelerators) {
		b.index(c.alias, a.Name, a.Aliases, a.Provenance, "accelerators."+a.Name)
	}
	for _, m := range sortedValues(b.models) {
		b.index(c.modelAlias, m.Name, m.Aliases, m.Provenance, "models."+m.Name)
	}
	for _, p := range sortedValues(b.power) {
		b.index(c.powerAlias, p.Name, p.Aliases, p.Provenance, "power."+p.Name)
	}
	resolve := func(name, file, path string, n *yaml.Node) (string, bool) {
		if a, err := c.Accelerator(name); err == nil {
			return a.Name, true
		} else {
			b.errs = append(b.errs, &Error{File: file, Line: n.Line, Column: n.Column, Path: path, Message: err.Error()})
			return "", false
		}
	}
	for _, o := range b.offers {
		name, ok := resolve(o.value.Accelerator, o.file, o.path+".accelerator", o.node)
		if !ok {
			continue
		}
		for _, k := range commitments {
			price, ok := o.value.Prices[k]
			if v, whole := o.value.InstancePrices[k]; whole && o.value.Count > 0 {
				price, ok = v/float64(o.value.Count), true
			}
			if !ok {
				continue
			}
			c.offers = append(c.offers, Offer{
				Provider: o.value.Provider, Instance: o.value.Instance, Accelerator: name, Count: o.value.Count,
				Region: o.value.Region, Commitment: k, Price: price, Date: o.value.Date, Provenance: o.value.Provenance,
			})
		}
	}
	slices.SortFunc(c.offers, compareOffers)
	for _, p := range b.purchases {
		name, ok := resolve(p.value.Accelerator, p.file, p.path+".accelerator", p.node)
		if !ok {
			continue
		}
		v := p.value
		v.Accelerator = name
		if v.Total > 0 && v.Count > 0 {
			v.Price = v.Total / float64(v.Count)
		}
		c.purchases = append(c.purchases, v)
	}
	slices.SortFunc(c.purchases, func(a, b Purchase) int {
		return cmp.Or(cmp.Compare(a.Accelerator, b.Accelerator), a.Date.Compare(b.Date.Time), cmp.Compare(a.Price, b.Price), cmp.Compare(a.Source, b.Source))
	})
	if len(b.errs) > 0 {
		slices.SortStableFunc(b.errs, func(x, y *Error) int {
			return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Line, y.Line))
		})
		return nil, b.errs
	}
	return c, nil
}

func sortedValues[V any](m map[string]V) []V {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	out := make([]V, len(keys))
	for i, k := range keys {
		out[i] = m[k]
	}
	return out
}

// index registers a name and its aliases; two entries may not share one.
func (b *builder) index(alias map[string]string, name string, aliases []string, p Provenance, path string) {
	for i, a := range append([]string{name}, aliases...) {
		f := fold(a)
		if other, taken := alias[f]; taken && other != name {
			at := path
			if i > 0 {
				at += ".aliases"
			}
			b.errs = append(b.errs, &Error{File: p.File, Line: p.Line, Column: 1, Path: at, Message: fmt.Sprintf("the name %q already means %s", a, other)})
			continue
		}
		if f == "" {
			b.errs = append(b.errs, &Error{File: p.File, Line: p.Line, Column: 1, Path: path + ".aliases", Message: fmt.Sprintf("the alias %q has no letters or digits", a)})
			continue
		}
		alias[f] = name
	}
}

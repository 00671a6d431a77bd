// Package scenario reads scenario files: strict YAML in which blocks of package
// block are used under names of one's own, joined by formulas, with variants. A
// loaded [Scenario] is one checked graph of quantities and the uncertain numbers
// of its inputs.
//
//	title: A server for rent
//	quantities:
//	  infra: {block: gpu_server, capital: 200000 USD, price: 20 to 28 USD/h}
//	  yearly: {formula: infra.profit * 12, unit: USD/year, doc: a dozen of them}
//	variants:
//	  cheap: {infra.price: 15 USD/h}
package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratahq/strata/econ/block"
	"github.com/stratahq/strata/econ/dist"
	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/infra/catalog"
	"github.com/stratahq/strata/unit"
)

// The defaults of a file, and the greatest values it may ask for.
const (
	DefaultSamples = 8192
	DefaultSeed    = 1
	DefaultMonths  = 60
	MaxSamples     = 1 << 20
	MaxMonths      = 600
)

// Options changes a scenario while it is loaded.
type Options struct {
	// Variant is the name of one of the file's variants, or "".
	Variant string
	// Set holds assignments "a.b=VALUE" over the file and the variant, in order.
	Set []string
	// Read reads the files named by include and empirical(); os.ReadFile when nil.
	Read func(path string) ([]byte, error)
	// Functions are further Go functions for formulas.
	Functions []formula.Function
}

// Scenario is a checked scenario. It does not change and may be used from many
// goroutines.
type Scenario struct {
	File    string
	Title   string
	About   string
	Source  string
	Seed    uint64
	Samples int
	Months  int
	// Show names the quantities that matter most, in order.
	Show    []string
	Variant string
	// Variants are the names of the file's variants with what they are about.
	Variants []Variant
	Graph    *formula.Graph
	// Dists are the uncertain numbers of the inputs by name, constants included.
	Dists map[string]dist.Dist
	// Values are the best guesses of all quantities by name, in base units; of a
	// series, the last month.
	Values map[string]float64
	// Like are the values with every figure that is not comparable replaced by the
	// comparable one; only quantities that differ are there.
	Like map[string]float64
	// Blocks are the blocks that may be used: embedded and the file's own.
	Blocks []*block.Block
}

// Variant is a named set of changes of a file.
type Variant struct {
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
}

// Load reads a file. Faults are [formula.Errors], each with file, line, column
// and path; a file that cannot be read is an error of package fs.
func Load(path string, o Options) (*Scenario, error) {
	if o.Read == nil {
		o.Read = os.ReadFile
	}
	data, err := o.Read(path)
	if err != nil {
		return nil, fmt.Errorf("reading the scenario: %w", err)
	}
	return Parse(path, data, o)
}

// Parse is Load for a file's content; name stands in messages, and what the file
// includes is looked for beside it.
func Parse(name string, data []byte, o Options) (*Scenario, error) {
	if o.Read == nil {
		o.Read = os.ReadFile
	}
	s := &Scenario{File: name, Seed: DefaultSeed, Samples: DefaultSamples, Months: DefaultMonths, Variant: o.Variant, Dists: map[string]dist.Dist{}, Values: map[string]float64{}, Like: map[string]float64{}}
	b := &builder{s: s, o: o, blocks: map[string]*block.Block{}, groups: map[string]*group{}, variants: map[string]*change{}}
	for _, k := range block.All() {
		b.blocks[k.Name] = k
	}
	b.file(name, data, nil)
	if err := b.errs.Sorted(); err != nil {
		return nil, err
	}
	b.apply()
	if err := b.errs.Sorted(); err != nil {
		return nil, err
	}
	quantities := b.quantities()
	if err := b.errs.Sorted(); err != nil {
		return nil, err
	}
	g, err := formula.Build(quantities, formula.Options{Months: s.Months, Functions: append(block.Functions(b.catalog), o.Functions...)})
	if err != nil {
		return nil, err
	}
	s.Graph = g
	for _, name := range slices.Sorted(maps.Keys(b.blocks)) {
		s.Blocks = append(s.Blocks, b.blocks[name])
	}
	for i, name := range s.Show {
		if _, ok := g.Quantity(name); !ok {
			b.fail(b.showPos[i], "show", "there is no quantity %q%s", name, formula.Suggest(name, g.Names()))
		}
	}
	for name, r := range b.reported {
		if q, _ := g.Quantity(name); q.Unit.Dim != r.Unit.Dim {
			b.fail(q.Pos, name, "the reported %s is not measured in %s, as the formula is", r, q.Unit.Dim)
		}
	}
	b.evaluate()
	if err := b.errs.Sorted(); err != nil {
		return nil, err
	}
	return s, nil
}

// builder gathers the parts of a scenario from its files.
type builder struct {
	s        *Scenario
	o        Options
	errs     formula.Errors
	blocks   map[string]*block.Block
	groups   map[string]*group // by full name; "" is the root
	order    []string
	variants map[string]*change
	showPos  []formula.Pos
	catalog  *catalog.Catalog // nil: the embedded one
	limits   map[string]limit
	reported map[string]unit.Quantity // of formulas whose unit was inferred
}

// limit says how to mend a formula whose value is not what it may be.
type limit struct {
	mend string // what to do when it is not
}

// group is a scope: an instance of a block, or names that belong together.
type group struct {
	name    string
	block   *block.Block
	pos     formula.Pos
	entries map[string]*entry
	order   []string
}

// entry is what a file says about one quantity.
type entry struct {
	pos   formula.Pos
	dir   string // of the file, for empirical()
	value string // a number, "= FORMULA", or a text
	long  dist.Long
	unit  string
	// formula is set for mappings with a formula, or scalars that begin with "=".
	formula           string
	doc, source, note string
	reported          string
	asReported        string
	likeForLike       string
	min, max          string
	// annotates says that the entry has no value of its own.
	annotates bool
}

// change is a variant: entries by full path.
type change struct {
	about   string
	entries map[string]*entry
	order   []string
}

func (b *builder) fail(pos formula.Pos, path, format string, args ...any) {
	b.errs = append(b.errs, &formula.Error{Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) group(name string, pos formula.Pos) *group {
	g := b.groups[name]
	if g == nil {
		g = &group{name: name, pos: pos, entries: map[string]*entry{}}
		b.groups[name] = g
		b.order = append(b.order, name)
	}
	return g
}

func (g *group) put(name string, e *entry) {
	old, ok := g.entries[name]
	if !ok {
		g.order = append(g.order, name)
	} else if e.annotates {
		// A later file may add a note to what an earlier one defined.
		merged := *old
		for _, f := range []struct{ dst, src *string }{{&merged.doc, &e.doc}, {&merged.source, &e.source}, {&merged.note, &e.note}, {&merged.reported, &e.reported}, {&merged.asReported, &e.asReported}, {&merged.likeForLike, &e.likeForLike}} {
			if *f.src != "" {
				*f.dst = *f.src
			}
		}
		e = &merged
	}
	g.entries[name] = e
}

// split cuts a full name into its group and its own name.
func split(name string) (group, own string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// apply puts the chosen variant and the assignments over the file.
func (b *builder) apply() {
	names := slices.Sorted(maps.Keys(b.variants))
	for _, n := range names {
		b.s.Variants = append(b.s.Variants, Variant{n, b.variants[n].about})
		if n != b.s.Variant {
			// A variant that nobody chose is still checked for its names.
			for _, path := range b.variants[n].order {
				b.target(path, b.variants[n].entries[path].pos, "variants."+n+"."+path)
			}
		}
	}
	if b.s.Variant != "" {
		v, ok := b.variants[b.s.Variant]
		if !ok {
			there := "the file has none"
			if len(names) > 0 {
				there = "there are: " + strings.Join(names, ", ")
			}
			b.fail(formula.Pos{File: b.s.File}, "", "there is no variant %q%s; %s", b.s.Variant, formula.Suggest(b.s.Variant, names), there)
			return
		}
		for _, path := range v.order {
			b.override(path, v.entries[path], "variants."+b.s.Variant+"."+path, "variant "+b.s.Variant)
		}
	}
	for _, assignment := range b.o.Set {
		path, value, ok := strings.Cut(assignment, "=")
		path, value = strings.TrimSpace(path), strings.TrimSpace(value)
		pos := formula.Pos{File: "--set"}
		if !ok || path == "" || value == "" {
			b.fail(pos, "", "%q is no assignment; write NAME=VALUE, such as infra.price=30 USD/h", assignment)
			continue
		}
		e := &entry{pos: pos, value: value}
		if f, ok := strings.CutPrefix(value, "="); ok {
			e.value, e.formula = "", strings.TrimSpace(f)
		}
		b.override(path, e, path, "--set")
	}
}

// target finds what a change is about, or records a fault.
func (b *builder) target(path string, pos formula.Pos, at string) *group {
	scope, own := split(path)
	g := b.groups[scope]
	if g != nil {
		if _, ok := g.entries[own]; ok {
			if g.block != nil && g.block.Output(own) != nil {
				b.fail(pos, at, "is computed by the block %s; change its inputs: %s", g.block.Name, inputNames(g.block))
				return nil
			}
			return g
		}
		if g.block != nil {
			if g.block.Input(own) != nil {
				return g
			}
			if g.block.Output(own) != nil {
				b.fail(pos, at, "is computed by the block %s; change its inputs: %s", g.block.Name, inputNames(g.block))
				return nil
			}
		}
	}
	b.fail(pos, at, "there is no quantity %q%s", path, formula.Suggest(path, b.changeable()))
	return nil
}

func inputNames(k *block.Block) string {
	names := make([]string, len(k.Inputs))
	for i := range k.Inputs {
		names[i] = k.Inputs[i].Name
	}
	return strings.Join(names, ", ")
}

// changeable lists what variants and --set may change.
func (b *builder) changeable() []string {
	var names []string
	for _, g := range b.groups {
		for own := range g.entries {
			names = append(names, block.Join(g.name, own))
		}
		if g.block != nil {
			for _, in := range g.block.Inputs {
				names = append(names, block.Join(g.name, in.Name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (b *builder) override(path string, e *entry, at, by string) {
	g := b.target(path, e.pos, at)
	if g == nil {
		return
	}
	_, own := split(path)
	n := *e
	if old, ok := g.entries[own]; ok {
		// The words stay; the source of the old figure says nothing of the new one.
		n.doc, n.reported = old.doc, old.reported
		input := g.block != nil && g.block.Input(own) != nil
		if n.unit == "" {
			n.unit = old.unit
		}
		n.min, n.max = old.min, old.max
		if n.unit == "" && !input && old.formula == "" && n.formula == "" {
			if d, err := dist.Parse(old.value, dist.Options{}); err == nil {
				n.unit = d.Unit().Text
			}
		}
	}
	if n.source == "" {
		n.source = by
	}
	g.put(own, &n)
}

// evaluate computes the best guesses, checks what is possible, and computes the
// like-for-like values.
func (b *builder) evaluate() {
	s := b.s
	var names []string
	for _, q := range s.Graph.Quantities() {
		if q.Text == nil {
			names = append(names, q.Name)
		}
	}
	p, err := s.Graph.Program(names, nil)
	if err != nil {
		b.fail(formula.Pos{File: s.File}, "", "%v", err)
		return
	}
	r := p.NewRunner()
	out := make([]float64, len(names))
	r.Eval(p.Base(), out)
	bad := map[string]bool{}
	for i, q := range p.Outputs() {
		s.Values[q.Name] = out[i]
		for _, u := range q.Uses() {
			bad[q.Name] = bad[q.Name] || bad[u.Name]
		}
		if bad[q.Name] {
			continue // told where it began
		}
		lo, hi := block.Limits(q.Min, q.Max)
		for month, v := range r.Series(i) {
			when := ""
			if q.IsSeries() {
				when = fmt.Sprintf(" in month %d", month+1)
			}
			if math.IsNaN(v) || math.IsInf(v, 0) {
				bad[q.Name] = true
				b.fail(q.Pos, q.Name, "has no value%s: %s = %s divides by zero or leaves the numbers", when, q.Formula, q.WithNumbers(func(q *formula.Quantity) float64 { return s.Values[q.Name] }))
				break
			}
			// Rounding may take a full 100 % a hair beyond it.
			slack := 1e-9 * math.Abs(v)
			if v < lo-slack || v > hi+slack {
				bad[q.Name] = true
				mend := b.limits[q.Name].mend
				if mend == "" {
					mend = "allowed is " + span(lo, hi, q.Unit)
				}
				b.fail(q.Pos, q.Name, "%s is impossible%s; %s", formula.Show(v, q.Unit), when, mend)
				break
			}
		}
	}
	in := p.Base()
	changed := false
	for i, q := range p.Inputs() {
		if q.LikeForLike != nil {
			in[i] = *q.LikeForLike
			changed = true
		}
	}
	if !changed {
		return
	}
	r.Eval(in, out)
	for i, q := range p.Outputs() {
		if out[i] != s.Values[q.Name] && !math.IsNaN(out[i]) && !math.IsInf(out[i], 0) {
			s.Like[q.Name] = out[i]
		}
	}
}

func span(lo, hi float64, u unit.Unit) string {
	switch {
	case math.IsInf(lo, -1):
		return "at most " + formula.Show(hi, u)
	case math.IsInf(hi, 1):
		return "at least " + formula.Show(lo, u)
	}
	return formula.Show(lo, u) + " to " + formula.Show(hi, u)
}

// Uncertain lists the inputs that are not constants, sorted.
func (s *Scenario) Uncertain() []string {
	var names []string
	for name, d := range s.Dists {
		if !d.Certain() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// IsInputError says that an error is about what a user wrote, in a file or a
// flag, or about a file that is not there.
func IsInputError(err error) bool {
	var errs formula.Errors
	var one *formula.Error
	var path *fs.PathError // not there, not readable, a directory
	return errors.As(err, &errs) || errors.As(err, &one) || errors.As(err, &path) || errors.Is(err, fs.ErrNotExist)
}

// beside is the path of a file named in another file.
func beside(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

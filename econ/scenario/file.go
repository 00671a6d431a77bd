package scenario

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/econ/block"
	"github.com/stratahq/strata/econ/dist"
	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/infra/catalog"
	"github.com/stratahq/strata/unit"
)

// leafKeys are the keys of a quantity's mapping.
var leafKeys = []string{"value", "formula", "unit", "p5", "p50", "p95", "shape", "doc", "source", "note", "reported", "as_reported", "like_for_like", "min", "max"}

// file reads one file and what it includes; above are the files that include it.
func (b *builder) file(name string, data []byte, above []string) {
	r := &block.Reader{File: name}
	defer func() { b.errs = append(b.errs, r.Errs...) }()
	root := r.Document(data)
	if root == nil {
		if len(r.Errs) == 0 {
			b.fail(formula.Pos{File: name}, "", "is empty; \"strata plan init\" writes a first scenario")
		}
		return
	}
	dir := filepath.Dir(name)
	fields := map[string]func(*yaml.Node){}
	if len(above) == 0 {
		fields["title"], fields["about"], fields["source"] = r.Into(&b.s.Title, "title"), r.Into(&b.s.About, "about"), r.Into(&b.s.Source, "source")
	} else {
		var ignored string // the words of an included file are its own
		fields["title"], fields["about"], fields["source"] = r.Into(&ignored, "title"), r.Into(&ignored, "about"), r.Into(&ignored, "source")
	}
	whole := func(key string, least, most int, set func(int)) {
		fields[key] = func(n *yaml.Node) {
			text, ok := r.Text(n, key)
			if !ok {
				return
			}
			v, err := strconv.Atoi(text)
			if err != nil || v < least || v > most || len(text) > 1 && text[0] == '0' {
				r.Fail(n, key, "expected a whole number from %d to %d, found %q", least, most, text)
				return
			}
			set(v)
		}
	}
	whole("seed", 0, math.MaxInt32, func(v int) { b.s.Seed = uint64(v) })
	whole("samples", 16, MaxSamples, func(v int) { b.s.Samples = v })
	whole("months", 1, MaxMonths, func(v int) { b.s.Months = v })
	var later []func()
	fields["include"] = func(n *yaml.Node) {
		for _, c := range list(n) {
			text, ok := r.Text(c, "include")
			if !ok {
				continue
			}
			path := beside(dir, text)
			if slices.Contains(above, path) || path == name {
				r.Fail(c, "include", "%s includes itself: %s", text, strings.Join(append(append(above, name), path), " -> "))
				continue
			}
			if len(above) > 20 {
				r.Fail(c, "include", "more than 20 files include one another")
				continue
			}
			data, err := b.o.Read(path)
			if err != nil {
				r.Fail(c, "include", "cannot read %s: %v", text, err)
				continue
			}
			b.file(path, data, append(above[:len(above):len(above)], name))
		}
	}
	fields["catalog"] = func(n *yaml.Node) {
		text, ok := r.Text(n, "catalog")
		if !ok {
			return
		}
		path := beside(dir, text)
		data, err := b.o.Read(path)
		if err != nil {
			r.Fail(n, "catalog", "cannot read %s: %v", text, err)
			return
		}
		c, err := catalog.Parse(path, data)
		if err != nil {
			r.Fail(n, "catalog", "%v", err)
			return
		}
		b.catalog = c
	}
	fields["blocks"] = func(n *yaml.Node) {
		for _, k := range r.Blocks(n, "blocks") {
			b.blocks[k.Name] = k
		}
	}
	// What is included, and the file's own blocks, come first wherever they stand.
	fields["quantities"] = func(n *yaml.Node) { later = append(later, func() { b.mapping(r, n, "", dir, "quantities") }) }
	fields["variants"] = func(n *yaml.Node) { later = append(later, func() { b.readVariants(r, n, dir) }) }
	fields["show"] = func(n *yaml.Node) {
		b.s.Show, b.showPos = nil, nil
		for _, c := range list(n) {
			if text, ok := r.Text(c, "show"); ok {
				b.s.Show = append(b.s.Show, text)
				b.showPos = append(b.showPos, r.Pos(c))
			}
		}
	}
	r.Fields(root, "", fields)
	for _, f := range later {
		f()
	}
}

// list is the items of a list, or the one value that stands for it.
func list(n *yaml.Node) []*yaml.Node {
	if n.Kind == yaml.SequenceNode {
		return n.Content
	}
	return []*yaml.Node{n}
}

// has says that a mapping has one of the keys.
func has(n *yaml.Node, keys ...string) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if slices.Contains(keys, n.Content[i].Value) {
			return true
		}
	}
	return false
}

// mapping reads the quantities of one scope.
func (b *builder) mapping(r *block.Reader, n *yaml.Node, scope, dir, at string) {
	g := b.group(scope, r.Pos(n))
	r.Pairs(n, at, func(k, v *yaml.Node) {
		path := block.Join(at, k.Value)
		if k.Value == "block" && scope != "" {
			b.instance(r, g, v, path)
			return
		}
		// train.v100_years in the root is v100_years in train.
		in, own := split(k.Value)
		target := g
		if in != "" {
			for part := range strings.SplitSeq(in, ".") {
				if !r.CheckName(k, path, part) {
					return
				}
			}
			target = b.group(block.Join(scope, in), r.Pos(k))
		}
		if !r.CheckName(k, path, own) {
			return
		}
		known := target.block != nil && (target.block.Input(own) != nil || target.block.Output(own) != nil)
		if v.Kind == yaml.MappingNode && (has(v, "block") || !known && !has(v, leafKeys...)) {
			if len(v.Content) == 0 {
				r.Fail(v, path, "is an empty mapping")
				return
			}
			b.mapping(r, v, block.Join(target.name, own), dir, path)
			return
		}
		target.put(own, b.leaf(r, k, v, dir, path))
	})
}

func (b *builder) instance(r *block.Reader, g *group, n *yaml.Node, path string) {
	name, ok := r.Text(n, path)
	if !ok {
		return
	}
	k, ok := b.blocks[name]
	if !ok {
		var known []string
		for n := range b.blocks {
			known = append(known, n)
		}
		r.Fail(n, path, "there is no block %q%s; \"strata plan blocks\" lists them", name, formula.Suggest(name, known))
		return
	}
	if g.block != nil && g.block != k {
		r.Fail(n, path, "%s is a %s already", g.name, g.block.Name)
		return
	}
	g.block, g.pos = k, r.Pos(n)
}

// leaf reads what stands for one quantity: a scalar or a mapping of leafKeys.
func (b *builder) leaf(r *block.Reader, k, v *yaml.Node, dir, path string) *entry {
	e := &entry{pos: r.Pos(k), dir: dir}
	switch v.Kind {
	case yaml.ScalarNode:
		e.pos = r.Pos(v)
		text, ok := r.Text(v, path)
		if !ok {
			return e
		}
		e.value = text
		if f, ok := strings.CutPrefix(text, "="); ok {
			e.value, e.formula = "", strings.TrimSpace(f)
			if e.formula == "" {
				r.Fail(v, path, "a formula is missing behind the =")
			}
		}
		return e
	case yaml.SequenceNode:
		r.Fail(v, path, "expected a value or a mapping, found a list")
		return e
	}
	into := func(dst *string) func(*yaml.Node) { return r.Into(dst, path) }
	r.Fields(v, path, map[string]func(*yaml.Node){
		"value": func(n *yaml.Node) { e.pos = r.Pos(n); into(&e.value)(n) },
		"formula": func(n *yaml.Node) {
			e.pos = r.Pos(n)
			into(&e.formula)(n)
			e.formula = strings.TrimSpace(strings.TrimPrefix(e.formula, "="))
		},
		"p5":    func(n *yaml.Node) { e.pos = r.Pos(n); into(&e.long.P5)(n) },
		"p50":   into(&e.long.P50),
		"p95":   into(&e.long.P95),
		"shape": into(&e.long.Shape), "unit": into(&e.unit), "doc": into(&e.doc), "source": into(&e.source), "note": into(&e.note),
		"reported": into(&e.reported), "as_reported": into(&e.asReported), "like_for_like": into(&e.likeForLike), "min": into(&e.min), "max": into(&e.max),
	})
	if f, ok := strings.CutPrefix(e.value, "="); ok {
		e.value, e.formula = "", strings.TrimSpace(f)
	}
	forms := 0
	for _, given := range []bool{e.value != "", e.formula != "", e.long != (dist.Long{})} {
		if given {
			forms++
		}
	}
	if forms > 1 {
		r.Fail(k, path, "has more than one of value, formula and p5/p95; keep one")
	}
	e.annotates = forms == 0
	return e
}

func (b *builder) readVariants(r *block.Reader, n *yaml.Node, dir string) {
	r.Pairs(n, "variants", func(k, v *yaml.Node) {
		at := block.Join("variants", k.Value)
		if !r.CheckName(k, at, k.Value) {
			return
		}
		c := &change{entries: map[string]*entry{}}
		r.Pairs(v, at, func(k, v *yaml.Node) {
			path := block.Join(at, k.Value)
			if k.Value == "about" {
				r.Into(&c.about, path)(v)
				return
			}
			e := b.leaf(r, k, v, dir, path)
			if e.annotates {
				r.Fail(k, path, "a variant gives a value, a formula or p5 and p95")
			}
			c.entries[k.Value] = e
			c.order = append(c.order, k.Value)
		})
		b.variants[k.Value] = c
	})
}

// quantities turns what the files say into quantities.
func (b *builder) quantities() []formula.Quantity {
	b.limits, b.reported = map[string]limit{}, map[string]unit.Quantity{}
	var out []formula.Quantity
	for _, name := range b.order {
		g := b.groups[name]
		if g.block != nil {
			out = append(out, b.ofBlock(g)...)
		}
		for _, own := range g.order {
			if g.block != nil && (g.block.Input(own) != nil || g.block.Output(own) != nil) {
				continue
			}
			full, e := block.Join(name, own), g.entries[own]
			if g.block != nil && e.formula == "" {
				b.fail(e.pos, full, "the block %s has no %q%s; a quantity of your own here needs a formula", g.block.Name, own, formula.Suggest(own, g.block.Names()))
				continue
			}
			out = append(out, b.own(full, name, e))
		}
	}
	return out
}

// own is a quantity that the file defines by itself.
func (b *builder) own(full, scope string, e *entry) formula.Quantity {
	q := formula.Quantity{Name: full, Scope: scope, Formula: e.formula, Doc: e.doc, Source: e.source, Pos: e.pos, Min: math.NaN(), Max: math.NaN()}
	var want *unit.Unit
	if e.unit != "" {
		u, err := unit.ParseUnit(e.unit)
		if err != nil {
			b.fail(e.pos, full, "%v", err)
			return q
		}
		want, q.Unit = &u, u
	}
	if e.annotates {
		b.fail(e.pos, full, "needs a value, a formula, or p5 and p95")
		return q
	}
	q.InferUnit = e.formula != "" && want == nil
	if e.formula == "" {
		d, ok := b.number(full, e, want)
		if !ok {
			return q
		}
		if want == nil {
			q.Unit = d.Unit()
		}
	}
	b.annotate(&q, e)
	q.Min, q.Max = b.figure(full, e, e.min, q.Unit, math.NaN()), b.figure(full, e, e.max, q.Unit, math.NaN())
	b.within(&q, e)
	return q
}

// within checks an input's distribution against its limits and takes it over.
func (b *builder) within(q *formula.Quantity, e *entry) {
	if !q.IsInput() {
		return
	}
	d, ok := b.number(q.Name, e, &q.Unit)
	if !ok {
		return
	}
	if err := d.Within(block.Limits(q.Min, q.Max)); err != nil {
		b.fail(e.pos, q.Name, "%v", err)
		return
	}
	q.Base = d.Median()
	b.s.Dists[q.Name] = d
}

// number reads the uncertain number of an entry. A fault is told once.
func (b *builder) number(full string, e *entry, want *unit.Unit) (dist.Dist, bool) {
	o := dist.Options{Unit: want, Read: func(name string) ([]byte, error) { return b.o.Read(beside(e.dir, name)) }}
	var d dist.Dist
	var err error
	if e.long != (dist.Long{}) {
		d, err = e.long.Dist(o)
	} else {
		d, err = dist.Parse(e.value, o)
	}
	if err != nil {
		for _, f := range b.errs {
			if f.Pos == e.pos && f.Path == full {
				return d, false
			}
		}
		b.fail(e.pos, full, "%v", err)
		return d, false
	}
	return d, true
}

// figure reads a plain figure beside a quantity, such as what was reported.
func (b *builder) figure(full string, e *entry, text string, u unit.Unit, missing float64) float64 {
	if text == "" {
		return missing
	}
	q, err := unit.ParseAs(text, u)
	if err != nil {
		b.fail(e.pos, full, "%v", err)
		return missing
	}
	return q.Base
}

// annotate takes over the words and the figures beside a quantity.
func (b *builder) annotate(q *formula.Quantity, e *entry) {
	for _, f := range []struct {
		dst *string
		src string
	}{{&q.Doc, e.doc}, {&q.Source, e.source}, {&q.AsReported, e.asReported}, {&q.Note, e.note}} {
		if f.src != "" {
			*f.dst = f.src
		}
	}
	if e.reported != "" && q.InferUnit {
		// The unit is known when the graph is built; it is compared there.
		r, err := unit.Parse(e.reported)
		if err != nil {
			b.fail(e.pos, q.Name, "%v", err)
		}
		q.Reported = &r.Base
		b.reported[q.Name] = r
	} else if e.reported != "" {
		v := b.figure(q.Name, e, e.reported, q.Unit, 0)
		q.Reported = &v
	}
	if e.likeForLike != "" {
		v := b.figure(q.Name, e, e.likeForLike, q.Unit, 0)
		q.LikeForLike = &v
	}
	if (e.likeForLike != "") != (e.asReported != "") {
		b.fail(e.pos, q.Name, "as_reported (why the figure is not comparable) and like_for_like (the comparable one) belong together")
	}
	if e.likeForLike != "" && !q.IsInput() {
		b.fail(e.pos, q.Name, "like_for_like stands at an input; this has a formula")
	}
}

// ofBlock is the quantities of an instance.
func (b *builder) ofBlock(g *group) []formula.Quantity {
	var out []formula.Quantity
	for i := range g.block.Inputs {
		in := &g.block.Inputs[i]
		full := block.Join(g.name, in.Name)
		q := formula.Quantity{Name: full, Scope: g.name, Unit: in.Unit, Min: in.Min, Max: in.Max, Doc: in.Doc, Source: in.Source, Block: g.block.Name, Pos: g.pos}
		e, given := g.entries[in.Name]
		switch {
		case !given || e.annotates && in.HasDefault:
			if !in.HasDefault {
				b.fail(g.pos, full, "is missing: the block %s needs %s%s", g.block.Name, in.Doc, example(in))
				continue
			}
			d := &entry{pos: g.pos, value: in.Default}
			if f, ok := strings.CutPrefix(in.Default, "="); ok {
				d.value, d.formula = "", strings.TrimSpace(f)
			}
			if given {
				d.pos, d.doc, d.source, d.note, d.reported = e.pos, e.doc, e.source, e.note, e.reported
			} else if q.Source == "" {
				q.Source = "default of the block " + g.block.Name
			}
			e = d
		case e.annotates:
			b.fail(e.pos, full, "needs a value, a formula, or p5 and p95%s", example(in))
			continue
		case e.unit != "":
			b.fail(e.pos, full, "the block sets the unit of its input: %s", or(in.Unit.Text, "a plain number"))
			continue
		default:
			q.Source = ""
			// A formula in the file sees the scopes around the instance first:
			// "price: = price" hands a price of the file on, and is no cycle.
			q.Scope, _ = split(g.name)
		}
		q.Pos = e.pos
		if in.Text {
			text := e.value
			q.Text = &text
			b.annotate(&q, e)
			out = append(out, q)
			continue
		}
		q.Formula = e.formula
		b.annotate(&q, e)
		plain := *e
		plain.value = in.WithoutCount(e.value)
		b.within(&q, &plain)
		out = append(out, q)
	}
	for i := range g.block.Outputs {
		o := &g.block.Outputs[i]
		full := block.Join(g.name, o.Name)
		q := formula.Quantity{Name: full, Scope: g.name, Unit: o.Unit, Formula: o.Formula, Min: o.Min, Max: o.Max, Doc: o.Doc, Source: or(o.Source, g.block.Source), Block: g.block.Name, Pos: g.pos}
		if e, ok := g.entries[o.Name]; ok {
			if !e.annotates {
				b.fail(e.pos, full, "is computed by the block %s; change its inputs: %s", g.block.Name, inputNames(g.block))
				continue
			}
			q.Pos = e.pos
			b.annotate(&q, e)
		}
		if o.Mend != "" {
			b.limits[full] = limit{mend: o.Mend}
		}
		out = append(out, q)
	}
	return out
}

func example(in *block.Input) string {
	if in.Text {
		return ""
	}
	return "; write for example " + in.Name + ": " + strings.TrimSpace("1 "+in.Unit.Text)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

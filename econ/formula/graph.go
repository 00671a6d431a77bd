package formula

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/stratahq/strata/unit"
)

// Quantity is a named, documented number of a graph. It is an input, whose value
// comes from outside, or has a Formula, or is a Text (such as the name of an
// accelerator) that formulas hand to Go functions.
type Quantity struct {
	Name string // "infra.price"
	// Scope is where the formula looks names up first; then come the scopes
	// around it. "infra.price" in scope "infra" is just "price".
	Scope string
	// Unit is what the value is shown in; a formula must have its dimension.
	Unit    unit.Unit
	Formula string
	Text    *string
	// Base is the value of an input in base units: its best guess.
	Base float64
	// Min and Max are the allowed range in base units; NaN is no limit.
	Min, Max float64

	Doc, Source string
	// AsReported says why a figure was taken over although it is not comparable,
	// and LikeForLike is the comparable one, in base units.
	AsReported  string
	LikeForLike *float64
	// Reported is the figure that the source states, in base units.
	Reported *float64
	// Note is what else there is to say.
	Note string
	// InferUnit takes the unit from the formula: that of the one quantity it
	// names, or else base units.
	InferUnit bool
	// Block is the block that the quantity comes from, or "".
	Block string
	Pos   Pos

	index  int
	root   *node
	series bool
}

// IsInput says that the value comes from outside.
func (q *Quantity) IsInput() bool { return q.Formula == "" && q.Text == nil }

// IsSeries says that the value is one number per month.
func (q *Quantity) IsSeries() bool { return q.series }

// Function is a Go function that formulas may call, for what a formula cannot
// express. Its first arguments are texts, the others numbers.
type Function struct {
	Name        string
	Texts       int
	Params      []Param
	Doc, Source string
	// Bind makes the function for these texts. It is called when a graph is
	// built, so that a wrong name is found then.
	Bind func(texts []string) (Bound, error)
}

// Bound is a [Function] made for its texts.
type Bound struct {
	Unit unit.Unit // of the result
	Call func(args []float64) float64
	// Source says where a figure that was looked up comes from; it may be "".
	Source string
}

// Param is a parameter of a [Function].
type Param struct {
	Name string
	Unit unit.Unit
}

// Options says what a graph can use beside its quantities.
type Options struct {
	// Months is the horizon of series; 0 means 60.
	Months    int
	Functions []Function
}

// Graph is a checked set of quantities. It does not change and may be used from
// many goroutines.
type Graph struct {
	months    int
	byName    map[string]*Quantity
	functions map[string]*Function
	order     []*Quantity // each after what it uses
}

// Build checks the quantities as a whole. The error is [Errors], with every
// fault.
func Build(quantities []Quantity, o Options) (*Graph, error) {
	g := &Graph{months: o.Months, byName: map[string]*Quantity{}, functions: map[string]*Function{}}
	if g.months == 0 {
		g.months = 60
	}
	for i := range o.Functions {
		g.functions[o.Functions[i].Name] = &o.Functions[i]
	}
	var errs Errors
	own := slices.Clone(quantities)
	for i := range own {
		q := &own[i]
		if first, twice := g.byName[q.Name]; twice {
			errs = append(errs, &Error{q.Pos, q.Name, fmt.Sprintf("is defined twice; the first is in line %d", first.Pos.Line)})
			continue
		}
		g.byName[q.Name] = q
		if q.Formula == "" {
			continue
		}
		root, err := parse(q.Formula)
		if err != nil {
			errs = append(errs, q.fault(err.(*syntaxError).pos, "%v", err))
			continue
		}
		q.root = root
	}
	if len(errs) > 0 {
		return nil, errs.Sorted()
	}
	c := &checker{g: g, state: map[*Quantity]int{}}
	for i := range own {
		c.visit(&own[i])
	}
	if len(c.errs) > 0 {
		return nil, c.errs.Sorted()
	}
	for i, q := range g.order {
		q.index = i
	}
	return g, nil
}

func (q *Quantity) fault(pos int, format string, args ...any) *Error {
	e := &Error{q.Pos, q.Name, fmt.Sprintf(format, args...)}
	if q.Formula != "" {
		shown := q.Formula
		if len(shown) > 200 {
			shown = strings.ToValidUTF8(shown[:200], "") + "..."
		}
		e.Message += fmt.Sprintf(" (in the formula %q, character %d)", shown, pos+1)
	}
	return e
}

// Quantity finds a quantity by its full name.
func (g *Graph) Quantity(name string) (*Quantity, bool) {
	q, ok := g.byName[name]
	return q, ok
}

// Names lists every quantity, sorted.
func (g *Graph) Names() []string { return slices.Sorted(maps.Keys(g.byName)) }

// Quantities lists every quantity, each after what it uses.
func (g *Graph) Quantities() []*Quantity { return g.order }

// Months is the horizon of series.
func (g *Graph) Months() int { return g.months }

// Uses lists what the formula of q names directly, in the order of the formula.
func (q *Quantity) Uses() []*Quantity {
	var out []*Quantity
	var walk func(*node)
	walk = func(n *node) {
		if n.ref != nil && !slices.Contains(out, n.ref) {
			out = append(out, n.ref)
		}
		for _, a := range n.args {
			walk(a)
		}
	}
	if q.root != nil {
		walk(q.root)
	}
	return out
}

// LookedUp says where the figures come from that the formula of q looks up
// through Go functions, in the order of the formula.
func (q *Quantity) LookedUp() []string {
	var out []string
	var walk func(*node)
	walk = func(n *node) {
		if n.fn != nil && n.fn.Source != "" && !slices.Contains(out, n.fn.Source) {
			out = append(out, n.fn.Source)
		}
		for _, a := range n.args {
			walk(a)
		}
	}
	if q.root != nil {
		walk(q.root)
	}
	return out
}

// InputsOf lists the inputs that a quantity depends on, directly or not, sorted.
func (g *Graph) InputsOf(name string) []*Quantity {
	seen := map[*Quantity]bool{}
	var out []*Quantity
	var walk func(*Quantity)
	walk = func(q *Quantity) {
		if seen[q] {
			return
		}
		seen[q] = true
		if q.IsInput() {
			out = append(out, q)
		}
		for _, u := range q.Uses() {
			walk(u)
		}
	}
	if q, ok := g.byName[name]; ok {
		walk(q)
	}
	slices.SortFunc(out, func(a, b *Quantity) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// resolve finds a name from a scope outwards.
func (g *Graph) resolve(scope, name string) *Quantity {
	for {
		full := name
		if scope != "" {
			full = scope + "." + name
		}
		if q, ok := g.byName[full]; ok {
			return q
		}
		if scope == "" {
			return nil
		}
		if i := strings.LastIndexByte(scope, '.'); i >= 0 {
			scope = scope[:i]
		} else {
			scope = ""
		}
	}
}

// typ is what a node's value is.
type typ struct {
	dim    unit.Dim
	zero   bool // the literal 0, which fits any unit
	truth  bool // true or false
	series bool
}

type checker struct {
	g     *Graph
	state map[*Quantity]int // 1 being visited, 2 done
	stack []*Quantity
	errs  Errors
}

func (c *checker) visit(q *Quantity) {
	switch c.state[q] {
	case 2:
		return
	case 1:
		from := slices.Index(c.stack, q)
		var loop []string
		for _, s := range append(c.stack[from:len(c.stack):len(c.stack)], q) {
			loop = append(loop, s.Name)
		}
		c.errs = append(c.errs, &Error{q.Pos, q.Name, "depends on itself: " + strings.Join(loop, " -> ") + "; give one of them a value; what grows from month to month is written with carry()"})
		return
	}
	c.state[q] = 1
	c.stack = append(c.stack, q)
	if q.root != nil {
		before := len(c.errs)
		t, err := c.check(q, q.root)
		switch {
		case err != nil:
			c.errs = append(c.errs, q.fault(err.pos, "%s", err.msg))
		case len(c.errs) > before: // of what it uses: told there
		case t.truth:
			c.errs = append(c.errs, q.fault(0, "is true or false; use if(condition, 1, 0) for a number"))
		case q.InferUnit && q.root.ref != nil:
			q.Unit = q.root.ref.Unit
		case q.InferUnit && q.root.fn != nil:
			q.Unit = q.root.fn.Unit
		case q.InferUnit:
			q.Unit = unit.Unit{Scale: 1, Dim: t.dim}
			if t.dim != (unit.Dim{}) {
				q.Unit.Text = t.dim.String()
			}
		case !t.zero && t.dim != q.Unit.Dim:
			c.errs = append(c.errs, q.fault(0, "the formula is measured in %s, but the unit %q is measured in %s", t.dim, q.Unit.Text, q.Unit.Dim))
		}
		q.series = t.series
	}
	c.stack = c.stack[:len(c.stack)-1]
	c.state[q] = 2
	c.g.order = append(c.g.order, q)
}

func bad(n *node, format string, args ...any) *syntaxError {
	return &syntaxError{n.pos, fmt.Sprintf(format, args...)}
}

// check finds the type of a node, visiting the quantities it names.
func (c *checker) check(q *Quantity, n *node) (typ, *syntaxError) {
	var err *syntaxError
	n.typ, err = c.checkNode(q, n)
	return n.typ, err
}

func (c *checker) checkNode(q *Quantity, n *node) (typ, *syntaxError) {
	switch n.kind {
	case numberNode:
		return typ{dim: n.unit.Dim, zero: n.value == 0 && n.unit.Text == ""}, nil
	case textNode:
		return typ{}, bad(n, "a text stands only where a function expects one")
	case nameNode:
		if n.text == "month" {
			return typ{series: true}, nil
		}
		ref := c.g.resolve(q.Scope, n.text)
		if ref == nil {
			return typ{}, bad(n, "there is no quantity %q%s", n.text, Suggest(n.text, c.near(q.Scope)))
		}
		if ref.Text != nil {
			return typ{}, bad(n, "%s is a text and stands only where a function expects one", ref.Name)
		}
		n.ref = ref
		c.visit(ref)
		return typ{dim: ref.Unit.Dim, series: ref.series}, nil
	}
	if n.kind == callNode {
		if f, ok := c.g.functions[n.text]; ok {
			return c.checkFunction(q, n, f)
		}
		if n.text == "if" && len(n.args) != 3 {
			return typ{}, bad(n, "write if(condition, then, otherwise)")
		}
	}
	args := make([]typ, len(n.args))
	for i, a := range n.args {
		t, err := c.check(q, a)
		if err != nil {
			return typ{}, err
		}
		args[i] = t
	}
	switch n.kind {
	case unaryNode:
		return c.checkUnary(n, args[0])
	case binaryNode:
		return c.checkBinary(n, args[0], args[1])
	}
	return c.checkCall(n, args)
}

// near are the names as they would be written in a scope.
func (c *checker) near(scope string) []string {
	var names []string
	for name := range c.g.byName {
		names = append(names, name)
		if short, ok := strings.CutPrefix(name, scope+"."); ok && scope != "" {
			names = append(names, short)
		}
	}
	slices.Sort(names)
	return names
}

func (c *checker) checkFunction(q *Quantity, n *node, f *Function) (typ, *syntaxError) {
	if len(n.args) != f.Texts+len(f.Params) {
		return typ{}, bad(n, "%s takes %d arguments, not %d", f.Name, f.Texts+len(f.Params), len(n.args))
	}
	var texts []string
	for _, a := range n.args[:f.Texts] {
		switch {
		case a.kind == textNode:
			texts = append(texts, a.text)
			continue
		case a.kind == nameNode:
			if ref := c.g.resolve(q.Scope, a.text); ref != nil && ref.Text != nil {
				c.visit(ref)
				a.ref = ref
				texts = append(texts, *ref.Text)
				continue
			}
		}
		return typ{}, bad(a, "%s expects a text here", f.Name)
	}
	var t typ
	for i, p := range f.Params {
		a := n.args[f.Texts+i]
		got, err := c.check(q, a)
		if err != nil {
			return typ{}, err
		}
		if got.truth || !got.zero && got.dim != p.Unit.Dim {
			return typ{}, bad(a, "%s of %s is measured in %s, not in %s", p.Name, f.Name, p.Unit.Dim, got.dim)
		}
		t.series = t.series || got.series
	}
	b, err := f.Bind(texts)
	if err != nil {
		return typ{}, bad(n, "%v", err)
	}
	n.fn = &bound{b, f.Texts}
	n.op = opFunc
	t.dim = b.Unit.Dim
	return t, nil
}

// bound is a Go function in a formula, with the number of its texts.
type bound struct {
	Bound
	texts int
}

func (c *checker) checkUnary(n *node, a typ) (typ, *syntaxError) {
	if n.text == "not" {
		if !a.truth {
			return typ{}, bad(n, "not needs a condition")
		}
		n.op = opNot
		return a, nil
	}
	if a.truth {
		return typ{}, bad(n, "a condition cannot be negated with -; write not")
	}
	n.op = opNeg
	return a, nil
}

// same is the common dimension of two values that are added or compared.
func same(n *node, verb string, a, b typ) (typ, *syntaxError) {
	out := typ{dim: a.dim, zero: a.zero && b.zero, series: a.series || b.series}
	switch {
	case a.truth || b.truth:
		return out, bad(n, "cannot %s a condition", verb)
	case a.zero:
		out.dim = b.dim
	case b.zero, a.dim == b.dim:
	default:
		return out, bad(n, "cannot %s %s and %s", verb, a.dim, b.dim)
	}
	return out, nil
}

var binaryOps = map[string]opcode{"+": opAdd, "-": opSub, "*": opMul, "/": opDiv, "^": opPow, "<": opLess, "<=": opLessEqual, ">": opLess, ">=": opLessEqual, "==": opEqual, "!=": opNotEqual, "and": opAnd, "or": opOr}

func (c *checker) checkBinary(n *node, a, b typ) (typ, *syntaxError) {
	n.op = binaryOps[n.text]
	series := a.series || b.series
	switch n.text {
	case "+", "-":
		return same(n, map[string]string{"+": "add", "-": "subtract"}[n.text], a, b)
	case "<", "<=", ">", ">=", "==", "!=":
		t, err := same(n, "compare", a, b)
		t.truth, t.dim, t.zero = true, unit.Dim{}, false
		return t, err
	case "and", "or":
		if !a.truth || !b.truth {
			return typ{}, bad(n, "%s joins two conditions", n.text)
		}
		return typ{truth: true, series: series}, nil
	}
	if a.truth || b.truth {
		return typ{}, bad(n, "cannot calculate with a condition; use if(condition, 1, 0)")
	}
	switch n.text {
	case "*", "/":
		d := a.dim.Mul(b.dim)
		if n.text == "/" {
			d = a.dim.Div(b.dim)
		}
		for i := range d {
			// The exponents are small integers of one byte: a product that would
			// overflow them is no quantity of this world.
			if d[i] > 60 || d[i] < -60 {
				return typ{}, bad(n, "the power of a unit is too high")
			}
		}
		return typ{dim: d, zero: n.text == "*" && (a.zero || b.zero), series: series}, nil
	}
	return c.checkPower(n, a, b)
}

func (c *checker) checkPower(n *node, a, b typ) (typ, *syntaxError) {
	if b.dim != (unit.Dim{}) {
		return typ{}, bad(n, "an exponent is a plain number, not %s", b.dim)
	}
	t := typ{series: a.series || b.series}
	if a.dim == (unit.Dim{}) {
		return t, nil
	}
	e := n.args[1]
	negative := e.kind == unaryNode && e.text == "-"
	if negative {
		e = e.args[0]
	}
	if e.kind != numberNode || e.value != math.Trunc(e.value) || e.value < 1 || e.value > 6 {
		return typ{}, bad(n, "a quantity in %s can be raised to a whole number from 1 to 6 only", a.dim)
	}
	for range int(e.value) {
		if negative {
			t.dim = t.dim.Div(a.dim)
		} else {
			t.dim = t.dim.Mul(a.dim)
		}
	}
	for i := range t.dim {
		if t.dim[i] > 60 || t.dim[i] < -60 || a.dim[i] > 10 || a.dim[i] < -10 {
			return typ{}, bad(n, "the power of a unit is too high")
		}
	}
	return t, nil
}

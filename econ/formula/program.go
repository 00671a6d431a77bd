package formula

import (
	"fmt"
	"slices"
)

// Program computes some quantities of a graph. It does not change; each
// goroutine makes a [Runner] of its own.
type Program struct {
	graph    *Graph
	inputs   []*Quantity // that vary
	outputs  []*Quantity
	inSlot   []int32
	outSlot  []int32
	once     []instruction // over constants only: run when a Runner is made
	each     []instruction
	scalars  int32
	serieses int32
	consts   []constant
	constBy  map[float64]ref
}

// ref names a column: scalar slots count up from 0, series slots down from -1.
type ref = int32

type constant struct {
	slot  ref
	value float64
}

type instruction struct {
	op      opcode
	dst     ref
	a, b, c ref
	more    []ref // further arguments of a Go function
	call    func([]float64) float64
}

// Program compiles the quantities named, with every input that they depend on
// varying, or only those in vary when it is not nil: what depends on no varying
// input is then computed once.
func (g *Graph) Program(outputs []string, vary []string) (*Program, error) {
	p := &Program{graph: g, constBy: map[float64]ref{}}
	for _, name := range outputs {
		q, ok := g.byName[name]
		if !ok || q.Text != nil {
			return nil, &Error{Path: name, Message: "there is no such quantity" + Suggest(name, g.Names())}
		}
		p.outputs = append(p.outputs, q)
	}
	for _, name := range vary {
		q, ok := g.byName[name]
		if !ok || !q.IsInput() {
			what := "there is no such input" + Suggest(name, g.Names())
			if ok {
				what = "has a formula, so it is no input"
			}
			return nil, &Error{Path: name, Message: what}
		}
	}
	needed := map[*Quantity]bool{}
	var need func(*Quantity)
	need = func(q *Quantity) {
		if !needed[q] {
			needed[q] = true
			for _, u := range q.Uses() {
				need(u)
			}
		}
	}
	for _, q := range p.outputs {
		need(q)
	}
	c := &compiler{p: p, where: map[*Quantity]value{}, uses: map[*Quantity]int{}}
	for q := range needed {
		c.countUses(q)
	}
	for _, q := range p.outputs {
		c.uses[q]++ // never the last use
	}
	for _, q := range g.order {
		if !needed[q] || q.Text != nil {
			continue
		}
		switch {
		case !q.IsInput():
			v := c.compile(q.root)
			v.kept = true
			c.where[q] = v
		case vary == nil || slices.Contains(vary, q.Name):
			slot := c.scalar()
			p.inputs = append(p.inputs, q)
			p.inSlot = append(p.inSlot, slot)
			c.where[q] = value{slot: slot, kept: true, varies: true}
		default:
			c.where[q] = c.constant(q.Base)
		}
	}
	for _, q := range p.outputs {
		p.outSlot = append(p.outSlot, c.where[q].slot)
	}
	return p, nil
}

// Inputs lists the varying inputs, in the order of the columns of [Runner.Run].
func (p *Program) Inputs() []*Quantity { return p.inputs }

// Outputs lists the quantities computed, in the order asked for.
func (p *Program) Outputs() []*Quantity { return p.outputs }

// Base is the best guess of each varying input, in order.
func (p *Program) Base() []float64 {
	b := make([]float64, len(p.inputs))
	for i, q := range p.inputs {
		b[i] = q.Base
	}
	return b
}

// value is where a node's value lies.
type value struct {
	slot   ref
	kept   bool // belongs to a quantity or a constant: must not be reused
	varies bool
}

type compiler struct {
	p     *Program
	where map[*Quantity]value
	// uses counts where the column of a quantity is still needed. After the last
	// one it is reused, so that few columns are in the processor's cache.
	uses        map[*Quantity]int
	freeScalars []ref
	freeSeries  []ref
}

// countUses counts the names in the formula of q.
func (c *compiler) countUses(q *Quantity) {
	if q.root == nil {
		return
	}
	if other := q.root.ref; other != nil {
		c.uses[other]++ // q is another name of the same column: both keep it
		c.uses[q]++
	}
	var walk func(*node)
	walk = func(n *node) {
		if n.ref != nil {
			c.uses[n.ref]++
		}
		for _, a := range n.args {
			walk(a)
		}
	}
	walk(q.root)
}

func (c *compiler) scalar() ref {
	c.p.scalars++
	return c.p.scalars - 1
}

func (c *compiler) constant(v float64) value {
	slot, ok := c.p.constBy[v]
	if !ok || v != v {
		slot = c.scalar()
		c.p.constBy[v] = slot
		c.p.consts = append(c.p.consts, constant{slot, v})
	}
	return value{slot: slot, kept: true}
}

// take finds a column for a result.
func (c *compiler) take(series, varies bool) value {
	free := &c.freeScalars
	if series {
		free = &c.freeSeries
	}
	// What is computed once must never be overwritten, so it reuses nothing.
	if n := len(*free); n > 0 && varies {
		slot := (*free)[n-1]
		*free = (*free)[:n-1]
		return value{slot: slot, varies: true}
	}
	if series {
		c.p.serieses++
		return value{slot: -c.p.serieses, varies: varies}
	}
	return value{slot: c.scalar(), varies: varies}
}

func (c *compiler) release(v value) {
	switch {
	case v.kept || !v.varies:
	case v.slot < 0:
		c.freeSeries = append(c.freeSeries, v.slot)
	default:
		c.freeScalars = append(c.freeScalars, v.slot)
	}
}

func (c *compiler) emit(op opcode, series bool, args ...value) value {
	varies := false
	for _, a := range args {
		varies = varies || a.varies
	}
	// The result takes its column before the arguments give theirs back: kernels
	// over months read other months than the one they write.
	out := c.take(series, varies)
	in := instruction{op: op, dst: out.slot}
	for i, a := range args {
		c.release(a)
		switch i {
		case 0:
			in.a = a.slot
		case 1:
			in.b = a.slot
		case 2:
			in.c = a.slot
		}
	}
	c.add(in, varies)
	return out
}

func (c *compiler) add(in instruction, varies bool) {
	if varies {
		c.p.each = append(c.p.each, in)
	} else {
		c.p.once = append(c.p.once, in)
	}
}

func (c *compiler) compile(n *node) value {
	switch n.kind {
	case numberNode:
		return c.constant(n.value)
	case nameNode:
		if n.ref == nil { // month
			return c.emit(opMonth, true)
		}
		v := c.where[n.ref]
		if c.uses[n.ref]--; c.uses[n.ref] == 0 {
			v.kept = false
		}
		return v
	}
	if n.fn != nil {
		return c.function(n)
	}
	args := make([]value, len(n.args))
	for i, a := range n.args {
		args[i] = c.compile(a)
	}
	switch {
	case n.text == ">" || n.text == ">=":
		args[0], args[1] = args[1], args[0]
	case (n.op == opMin || n.op == opMax) && len(args) > 2:
		v := args[0]
		for i, a := range args[1:] {
			series := n.args[0].typ.series
			for _, s := range n.args[1 : i+2] {
				series = series || s.typ.series
			}
			v = c.emit(n.op, series, v, a)
		}
		return v
	case (n.op == opMin || n.op == opMax) && len(args) == 1:
		return args[0]
	case n.op == opPow && n.args[1].kind == numberNode && n.args[1].value == 2:
		return c.square(args[0], n.typ.series)
	}
	return c.emit(n.op, n.typ.series, args...)
}

func (c *compiler) square(a value, series bool) value {
	out := c.take(series, a.varies)
	c.add(instruction{op: opMul, dst: out.slot, a: a.slot, b: a.slot}, a.varies)
	c.release(a)
	return out
}

func (c *compiler) function(n *node) value {
	in := instruction{op: opFunc, call: n.fn.Call}
	varies := false
	var args []value
	for _, a := range n.args[n.fn.texts:] {
		v := c.compile(a)
		varies = varies || v.varies
		args = append(args, v)
		in.more = append(in.more, v.slot)
	}
	out := c.take(n.typ.series, varies)
	in.dst = out.slot
	c.add(in, varies)
	for _, a := range args {
		c.release(a)
	}
	return out
}

// block is how many draws are computed at a time: the columns of a block stay in
// the processor's cache.
const block = 256

// Runner computes a program. It is for one goroutine.
type Runner struct {
	p       *Program
	size    int // draws a block
	scalars [][]float64
	series  [][]float64 // month-major: month t at [t*size, (t+1)*size)
	args    []float64
}

// NewRunner makes a runner and computes what is constant.
func (p *Program) NewRunner() *Runner {
	r := &Runner{p: p, size: block, scalars: make([][]float64, p.scalars), series: make([][]float64, p.serieses)}
	if p.serieses > 0 {
		r.size = block / 4
	}
	all := make([]float64, int(p.scalars)*r.size)
	for i := range r.scalars {
		r.scalars[i] = all[i*r.size : (i+1)*r.size : (i+1)*r.size]
	}
	for i := range r.series {
		r.series[i] = make([]float64, p.graph.months*r.size)
	}
	for _, c := range p.consts {
		col := r.scalars[c.slot]
		for i := range col {
			col[i] = c.value
		}
	}
	r.run(p.once, r.size)
	return r
}

// Eval computes the outputs for one set of inputs, in base units; a series gives
// its last month. See [Runner.Series] for whole series.
func (r *Runner) Eval(in, out []float64) {
	for i, slot := range r.p.inSlot {
		r.scalars[slot][0] = in[i]
	}
	r.run(r.p.each, 1)
	for i, slot := range r.p.outSlot {
		out[i] = r.column(slot, r.p.graph.months-1)[0]
	}
}

// Series is one value per month of output i after [Runner.Eval]; a quantity that
// is no series gives one value.
func (r *Runner) Series(i int) []float64 {
	slot := r.p.outSlot[i]
	if slot >= 0 {
		return []float64{r.scalars[slot][0]}
	}
	out := make([]float64, r.p.graph.months)
	for t := range out {
		out[t] = r.column(slot, t)[0]
	}
	return out
}

// Run computes columns: in holds a column for each varying input, out one for
// each output, all of the same length; a series gives its last month.
func (r *Runner) Run(in, out [][]float64) error {
	return r.RunMonths(in, out, nil)
}

// RunMonths is Run that also hands each block of draws of the series outputs to
// month: for output i, month t (from 0) and the draws from first on. The values
// are valid until it returns.
func (r *Runner) RunMonths(in, out [][]float64, month func(i, t, first int, values []float64)) error {
	if len(in) != len(r.p.inputs) || len(out) != len(r.p.outputs) {
		return fmt.Errorf("the program has %d inputs and %d outputs; %d and %d columns were given", len(r.p.inputs), len(r.p.outputs), len(in), len(out))
	}
	n := 0
	if len(out) > 0 {
		n = len(out[0])
	}
	for at := 0; at < n; at += r.size {
		size := min(r.size, n-at)
		for i, slot := range r.p.inSlot {
			copy(r.scalars[slot][:size], in[i][at:at+size])
		}
		r.run(r.p.each, size)
		for i, slot := range r.p.outSlot {
			copy(out[i][at:at+size], r.column(slot, r.p.graph.months-1))
			if month == nil || slot >= 0 {
				continue
			}
			for t := range r.p.graph.months {
				month(i, t, at, r.column(slot, t)[:size])
			}
		}
	}
	return nil
}

// column is the column of a slot in month t.
func (r *Runner) column(slot ref, t int) []float64 {
	if slot >= 0 {
		return r.scalars[slot]
	}
	return r.series[-slot-1][t*r.size : (t+1)*r.size]
}

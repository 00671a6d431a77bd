// Package block holds documented pieces of economics: a GPU server, a training
// run, inference, a product. A block is YAML: inputs with unit, default, allowed
// range and source, and outputs with a formula. A scenario uses a block under a
// name of its own; its quantities are then NAME.QUANTITY. Blocks are embedded;
// adding one is adding a file to blocks/, and a scenario may bring its own.
package block

import (
	"embed"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/econ/dist"
	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/unit"
)

//go:embed blocks/*.yaml
var embedded embed.FS

// Block is a piece of economics with documented inputs and outputs.
type Block struct {
	Name    string
	Doc     string
	Source  string
	Inputs  []Input
	Outputs []Output
	Pos     formula.Pos
}

// Input is what a user of a block gives.
type Input struct {
	Name string
	// Text says that the input is a text, such as the name of an accelerator.
	Text bool
	Unit unit.Unit
	// Default is an uncertain number, or "= FORMULA", or a text. When there is
	// none, the input must be given.
	Default    string
	HasDefault bool
	Min, Max   float64 // allowed, in base units; NaN is no limit
	// Count is what a plain number counts, such as GPU: the word may stand behind it.
	Count       string
	Doc, Source string
	Pos         formula.Pos
}

// WithoutCount is a number as written, without the word that says what it counts:
// "8 GPUs" is 8 where GPUs are counted.
func (in *Input) WithoutCount(text string) string {
	if in.Count == "" {
		return text
	}
	for _, word := range []string{in.Count + "s", in.Count, strings.ToLower(in.Count) + "s", strings.ToLower(in.Count)} {
		if rest, ok := strings.CutSuffix(text, " "+word); ok {
			return strings.TrimSpace(rest)
		}
	}
	return text
}

// Output is what a block computes.
type Output struct {
	Name    string
	Unit    unit.Unit
	Formula string
	// Min and Max are what is possible, in base units; NaN is no limit. Mend says
	// what to do when a value lies beyond.
	Min, Max    float64
	Mend        string
	Doc, Source string
	Pos         formula.Pos
}

// Input finds an input by name.
func (b *Block) Input(name string) *Input {
	for i := range b.Inputs {
		if b.Inputs[i].Name == name {
			return &b.Inputs[i]
		}
	}
	return nil
}

// Output finds an output by name.
func (b *Block) Output(name string) *Output {
	for i := range b.Outputs {
		if b.Outputs[i].Name == name {
			return &b.Outputs[i]
		}
	}
	return nil
}

// Names lists inputs and outputs.
func (b *Block) Names() []string {
	var names []string
	for _, in := range b.Inputs {
		names = append(names, in.Name)
	}
	for _, out := range b.Outputs {
		names = append(names, out.Name)
	}
	return names
}

var all = sync.OnceValues(func() ([]*Block, error) {
	files, err := embedded.ReadDir("blocks")
	if err != nil {
		return nil, err
	}
	var blocks []*Block
	for _, f := range files {
		data, err := embedded.ReadFile("blocks/" + f.Name())
		if err != nil {
			return nil, err
		}
		r := &Reader{File: "blocks/" + f.Name()}
		if root := r.Document(data); root != nil {
			blocks = append(blocks, r.Blocks(root, "")...)
		}
		if err := r.Errs.Sorted(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(blocks, func(a, b *Block) int { return strings.Compare(a.Name, b.Name) })
	return blocks, nil
})

// All lists the embedded blocks, sorted by name. It panics when they do not
// parse, which a test of this package excludes.
func All() []*Block {
	blocks, err := all()
	if err != nil {
		panic(fmt.Sprintf("block: the embedded blocks: %v", err))
	}
	return blocks
}

// Find finds an embedded block.
func Find(name string) (*Block, bool) {
	for _, b := range All() {
		if b.Name == name {
			return b, true
		}
	}
	return nil, false
}

// NamePattern is what a name of a quantity, a block or an instance looks like.
var NamePattern = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// reserved are names with a meaning of their own in formulas and files.
var reserved = []string{"month", "and", "or", "not", "if", "block", "value", "formula", "unit", "p5", "p50", "p95", "shape", "doc", "source", "note", "reported", "as_reported", "like_for_like", "min", "max"}

// CheckName records a fault when a name is not usable.
func (r *Reader) CheckName(n *yaml.Node, path, name string) bool {
	switch {
	case !NamePattern.MatchString(name):
		r.Fail(n, path, "%q is not a name: a small letter, then small letters, digits and _", name)
	case slices.Contains(reserved, name):
		r.Fail(n, path, "%q has a meaning of its own; choose another name", name)
	default:
		return true
	}
	return false
}

// Blocks reads a mapping of names to blocks.
func (r *Reader) Blocks(n *yaml.Node, path string) []*Block {
	var out []*Block
	r.Pairs(n, path, func(k, v *yaml.Node) {
		p := Join(path, k.Value)
		if !r.CheckName(k, p, k.Value) {
			return
		}
		b := &Block{Name: k.Value, Pos: r.Pos(k)}
		names := map[string]bool{}
		entries := func(what string, each func(k, v *yaml.Node, path string)) func(*yaml.Node) {
			return func(n *yaml.Node) {
				r.Pairs(n, Join(p, what), func(k, v *yaml.Node) {
					path := Join(Join(p, what), k.Value)
					if !r.CheckName(k, path, k.Value) {
						return
					}
					if names[k.Value] {
						r.Fail(k, path, "is an input and an output")
						return
					}
					names[k.Value] = true
					each(k, v, path)
				})
			}
		}
		r.Fields(v, p, map[string]func(*yaml.Node){
			"doc":     r.Into(&b.Doc, p),
			"source":  r.Into(&b.Source, p),
			"inputs":  entries("inputs", func(k, v *yaml.Node, path string) { b.Inputs = append(b.Inputs, r.input(k, v, path)) }),
			"outputs": entries("outputs", func(k, v *yaml.Node, path string) { b.Outputs = append(b.Outputs, r.output(k, v, path)) }),
		})
		if b.Doc == "" {
			r.Fail(k, p, "has no doc: say what the block computes")
		}
		out = append(out, b)
	})
	return out
}

func (r *Reader) unit(n *yaml.Node, path, text string) unit.Unit {
	u, err := unit.ParseUnit(text)
	if err != nil {
		r.Fail(n, path, "%v", err)
	}
	return u
}

// limit reads min or max, which may be without a unit when it is 0.
func (r *Reader) limit(n *yaml.Node, path, text string, u unit.Unit) float64 {
	if text == "" {
		return math.NaN()
	}
	if text == "0" {
		return 0
	}
	q, err := unit.ParseAs(text, u)
	if err != nil {
		r.Fail(n, path, "%v", err)
	}
	return q.Base
}

func (r *Reader) input(k, v *yaml.Node, path string) Input {
	in := Input{Name: k.Value, Pos: r.Pos(k), Min: math.NaN(), Max: math.NaN()}
	var unitText, least, most, kind string
	r.Fields(v, path, map[string]func(*yaml.Node){
		"unit": r.Into(&unitText, path), "doc": r.Into(&in.Doc, path), "source": r.Into(&in.Source, path),
		"min": r.Into(&least, path), "max": r.Into(&most, path), "kind": r.Into(&kind, path), "count": r.Into(&in.Count, path),
		"default": func(n *yaml.Node) {
			if s, ok := r.Text(n, path); ok {
				in.Default, in.HasDefault = s, true
			}
		},
	})
	if kind != "" && kind != "text" && kind != "number" {
		r.Fail(v, path, "kind %q; there are number and text", kind)
	}
	in.Text = kind == "text"
	in.Unit = r.unit(v, path, unitText)
	in.Min, in.Max = r.limit(v, path, least, in.Unit), r.limit(v, path, most, in.Unit)
	if in.Doc == "" {
		r.Fail(k, path, "has no doc")
	}
	if in.HasDefault && !in.Text && !strings.HasPrefix(in.Default, "=") {
		d, err := dist.Parse(in.Default, dist.Options{Unit: &in.Unit})
		if err == nil {
			err = d.Within(Limits(in.Min, in.Max))
		}
		if err != nil {
			r.Fail(v, path, "the default: %v", err)
		}
	}
	return in
}

func (r *Reader) output(k, v *yaml.Node, path string) Output {
	out := Output{Name: k.Value, Pos: r.Pos(k)}
	var unitText, least, most string
	r.Fields(v, path, map[string]func(*yaml.Node){
		"unit": r.Into(&unitText, path), "formula": r.Into(&out.Formula, path), "doc": r.Into(&out.Doc, path), "source": r.Into(&out.Source, path),
		"min": r.Into(&least, path), "max": r.Into(&most, path), "mend": r.Into(&out.Mend, path),
	})
	out.Unit = r.unit(v, path, unitText)
	out.Min, out.Max = r.limit(v, path, least, out.Unit), r.limit(v, path, most, out.Unit)
	if out.Doc == "" || out.Formula == "" {
		r.Fail(k, path, "needs a formula and a doc")
	}
	return out
}

// Limits turns missing limits into infinities.
func Limits(lo, hi float64) (float64, float64) {
	if math.IsNaN(lo) {
		lo = math.Inf(-1)
	}
	if math.IsNaN(hi) {
		hi = math.Inf(1)
	}
	return lo, hi
}

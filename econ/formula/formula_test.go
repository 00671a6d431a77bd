package formula

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratahq/strata/unit"
)

func u(s string) unit.Unit {
	p, err := unit.ParseUnit(s)
	if err != nil {
		panic(err)
	}
	return p
}

func input(name, value string) Quantity {
	q, err := unit.Parse(value)
	if err != nil {
		panic(err)
	}
	return Quantity{Name: name, Unit: q.Unit, Base: q.Base, Pos: Pos{"s.yaml", 1, 1}}
}

func calc(name, unit, formula string) Quantity {
	scope := ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		scope = name[:i]
	}
	return Quantity{Name: name, Scope: scope, Unit: u(unit), Formula: formula, Pos: Pos{"s.yaml", 2, 5}}
}

func evaluate(t *testing.T, unit, formula string, inputs ...Quantity) float64 {
	t.Helper()
	g, err := Build(append(inputs, calc("out", unit, formula)), Options{Months: 12})
	if err != nil {
		t.Fatalf("%s: %v", formula, err)
	}
	p, err := g.Program([]string{"out"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, 1)
	p.NewRunner().Eval(p.Base(), out)
	return out[0] / u(unit).Scale
}

func TestValues(t *testing.T) {
	inputs := []Quantity{input("capital", "200000 USD"), input("life", "5 years"), input("price", "24.21 USD/h"), input("gpus", "8")}
	for _, c := range []struct {
		formula, unit string
		want          float64
	}{
		{"1 + 2 * 3", "", 7},
		{"(1 + 2) * 3", "", 9},
		{"2 ^ 3 ^ 2", "", 512},
		{"-2 ^ 2", "", -4},
		{"10 - 4 - 3", "", 3},
		{"100 / 10 / 2", "", 5},
		{"2 * -3", "", -6},
		{"50% * 4", "", 2},
		{"175B / 1T", "", 0.175},
		{"capital / life", "USD/year", 40000},
		{"1 - capital / life / price", "%", 81.1391926},
		{"price / gpus * 1 [year]", "USD", 24.21 / 8 * 8760},
		{"5 [h] + 30 [min]", "min", 330},
		{"(3 [h]) ^ 2", "h^2", 9},
		{"sqrt((3 [h]) ^ 2)", "h", 3},
		{"max(0, price - 30 [USD/h])", "USD/h", 0},
		{"min(3, 1, 2)", "", 1},
		{"max(1, 4, 2, 3)", "", 4},
		{"clamp(7, 1, 5)", "", 5},
		{"if(price > 20 [USD/h], 1, 2)", "", 1},
		{"if(price >= 20 [USD/h] and not (gpus == 8), 1, 2)", "", 2},
		{"if(gpus != 8 or gpus <= 8, 1, 2)", "", 1},
		{"if(gpus < 8, 1, 2)", "", 2},
		{"exp(ln(5))", "", 5},
		{"log10(1000)", "", 3},
		{"floor(2.7) + ceil(2.2) + round(2.5) + abs(-1)", "", 9},
		{"sum(month)", "", 78},
		{"mean(month)", "", 6.5},
		{"first(month) + last(month)", "", 13},
		{"min(month * month) + max(month)", "", 13},
		{"last(running(month))", "", 78},
		{"last(lag(month, 0))", "", 11},
		{"first(lag(month, 7))", "", 7},
		{"last(carry(100, 0.5, 0)) * 4096", "", 100},
		{"last(carry(0 [USD], 1, month * 1 [USD]))", "USD", 78},
		{"first_month(running(month) > 20, 99)", "", 6},
		{"first_month(month > 20, 99)", "", 99},
		{"sum(if(month > 10, 1, 0))", "", 2},
	} {
		if got := evaluate(t, c.unit, c.formula, inputs...); math.Abs(got-c.want) > 1e-6*math.Abs(c.want) {
			t.Errorf("%s = %g %s, want %g", c.formula, got, c.unit, c.want)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	base := []Quantity{input("price", "24.21 USD/h"), input("life", "5 years"), input("infra.capital", "3 USD")}
	for _, c := range []struct{ formula, unit, says string }{
		{"price + life", "", "cannot add USD/s and s"},
		{"price - 1", "USD/h", "cannot subtract"},
		{"price < life", "", "cannot compare"},
		{"price", "USD", `the formula is measured in USD/s, but the unit "USD" is measured in USD`},
		{"prise * 2", "", `no quantity "prise"; did you mean "price"?`},
		{"capital", "USD", `did you mean "infra.capital"?`},
		{"sqroot(4)", "", `no function "sqroot"`},
		{"sqrt(life)", "", "square root of s"},
		{"exp(life)", "", "plain number"},
		{"life ^ 0.5", "", "whole number from 1 to 6"},
		{"2 ^ life", "", "an exponent is a plain number"},
		{"1 +", "", "ends where a number"},
		{"(1", "", "not closed"},
		{"1 2", "", `"2" is not expected`},
		{"5years", "", "brackets"},
		{"5 [yeers]", "", "unknown unit"},
		{"5 [years", "", "not closed by ]"},
		{"max(price)", "USD/h", "of one number"},
		{"sum(price)", "USD/h", "needs a series"},
		{"min()", "", "write min"},
		{"if(1, 2, 3)", "", "a condition is missing"},
		{"if(1 < 2, 2)", "", "write if"},
		{"1 < 2", "", "true or false"},
		{"(1 < 2) + 1", "", "cannot add a condition"},
		{"-(1 < 2)", "", "write not"},
		{"not 1", "", "needs a condition"},
		{"1 and 2", "", "joins two conditions"},
		{`"text" + 1`, "", "a text stands only"},
		{"1 & 2", "", "not expected"},
		{strings.Repeat("(", 500) + "1", "", "nested"},
		{strings.Repeat("-", 500) + "1", "", "nested"},
		{strings.Repeat("1 + ", 3000) + "1", "", "longer than"},
		{"((life ^ 6) ^ 6) ^ 6", "", "power of a unit is too high"},
	} {
		_, err := Build(append(base, calc("out", c.unit, c.formula)), Options{})
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), c.says) || errs[0].Path != "out" || errs[0].Line != 2 {
			t.Errorf("%q: %v; want %q", c.formula[:min(40, len(c.formula))], err, c.says)
		}
	}
}

func TestCycle(t *testing.T) {
	_, err := Build([]Quantity{calc("a.x", "", "y + 1"), calc("a.y", "", "b.z * 2"), calc("b.z", "", "a.x"), calc("free", "", "1")}, Options{})
	if err == nil || !strings.Contains(err.Error(), "a.x -> a.y -> b.z -> a.x") || strings.Contains(err.Error(), "free") {
		t.Errorf("a cycle: %v", err)
	}
	if _, err := Build([]Quantity{calc("x", "", "x")}, Options{}); err == nil || !strings.Contains(err.Error(), "x -> x") {
		t.Errorf("a quantity of itself: %v", err)
	}
	if _, err := Build([]Quantity{input("x", "1"), input("x", "2")}, Options{}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one name twice: %v", err)
	}
}

// A name is looked up in its own scope first, then in those around it.
func TestScopes(t *testing.T) {
	g, err := Build([]Quantity{input("n", "1"), input("a.n", "2"), calc("a.out", "", "n"), calc("b.out", "", "n"), calc("a.b.out", "", "n + a.out")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := g.Program([]string{"a.out", "b.out", "a.b.out"}, nil)
	out := make([]float64, 3)
	p.NewRunner().Eval(p.Base(), out)
	if out[0] != 2 || out[1] != 1 || out[2] != 4 {
		t.Errorf("a.out, b.out, a.b.out = %v, want 2, 1, 4", out)
	}
}

func TestFunction(t *testing.T) {
	twice := Function{Name: "peak", Texts: 1, Params: []Param{{"count", unit.One}}, Bind: func(texts []string) (Bound, error) {
		if texts[0] != "a100" {
			return Bound{}, errors.New(`no accelerator "` + texts[0] + `"`)
		}
		return Bound{u("TFLOP/s"), func(a []float64) float64 { return 312e12 * a[0] }, "data sheet"}, nil
	}}
	gpu := "a100"
	text := Quantity{Name: "gpu", Text: &gpu}
	o := Options{Functions: []Function{twice}}
	g, err := Build([]Quantity{text, input("n", "8"), calc("out", "TFLOP/s", "peak(gpu, n) + peak(\"a100\", month)")}, o)
	if err != nil {
		t.Fatal(err)
	}
	if q, _ := g.Quantity("out"); len(q.LookedUp()) != 1 || q.LookedUp()[0] != "data sheet" {
		t.Errorf("looked up in %q", q.LookedUp())
	}
	p, _ := g.Program([]string{"out"}, nil)
	out := make([]float64, 1)
	p.NewRunner().Eval(p.Base(), out)
	if out[0] != 312e12*68 {
		t.Errorf("out = %g", out[0])
	}
	for formula, says := range map[string]string{
		`peak("v100", 1)`:           `no accelerator "v100"`,
		`peak(n, 1)`:                "expects a text",
		`peak("a100")`:              "takes 2 arguments",
		`peak("a100", 1 [h])`:       "count of peak",
		`gpu * peak("a100", 1)`:     "is a text",
		`peak("a100", 1) + 1 [USD]`: "cannot add",
	} {
		if _, err := Build([]Quantity{text, input("n", "8"), calc("out", "TFLOP/s", formula)}, o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", formula, err, says)
		}
	}
}

// Columns of draws give the same as one evaluation at a time, whichever inputs vary.
func TestColumnsAgreeWithSingle(t *testing.T) {
	g, err := Build([]Quantity{
		input("a", "2"), input("b", "3"), input("c", "5"),
		calc("s", "", "a * month + carry(b, 0.9, c) - lag(month, a) + running(b * month)"),
		calc("d", "", "c ^ 2 + max(a, b, c) * (a - b) / (1 + c)"),
		calc("out", "", "sum(s) + d * last(s) + if(a > b, c, d)"),
	}, Options{Months: 24})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	const n = 700 // more than two blocks, and a part of one
	draws := map[string][]float64{}
	for _, name := range []string{"a", "b", "c"} {
		for range n {
			draws[name] = append(draws[name], r.Float64()*10)
		}
	}
	for _, vary := range [][]string{nil, {"a"}, {"b", "c"}} {
		p, err := g.Program([]string{"out", "s"}, vary)
		if err != nil {
			t.Fatal(err)
		}
		all, _ := g.Program([]string{"out", "s"}, nil)
		var in [][]float64
		for _, q := range p.Inputs() {
			in = append(in, draws[q.Name])
		}
		out := [][]float64{make([]float64, n), make([]float64, n)}
		months := 0
		run := p.NewRunner()
		if err := run.RunMonths(in, out, func(_, t, _ int, v []float64) { months += len(v) }); err != nil {
			t.Fatal(err)
		}
		if months != 24*n {
			t.Errorf("%d values of months, want %d", months, 24*n)
		}
		single := all.NewRunner()
		for i := range n {
			x := all.Base()
			for j, q := range all.Inputs() {
				for _, v := range p.Inputs() {
					if v == q {
						x[j] = draws[q.Name][i]
					}
				}
			}
			want := make([]float64, 2)
			single.Eval(x, want)
			if math.Abs(want[0]-out[0][i]) > 1e-9*math.Abs(want[0]) || want[1] != out[1][i] {
				t.Fatalf("draw %d of %v: %v and %v, want %v", i, vary, out[0][i], out[1][i], want)
			}
		}
		if s := single.Series(1); len(s) != 24 {
			t.Errorf("the series has %d months", len(s))
		}
	}
	if _, err := g.Program([]string{"oat"}, nil); err == nil || !strings.Contains(err.Error(), `"out"`) {
		t.Errorf("an unknown output: %v", err)
	}
	if _, err := g.Program([]string{"out"}, []string{"d"}); err == nil {
		t.Error("a formula is accepted as an input")
	}
}

func TestExplain(t *testing.T) {
	g, err := Build([]Quantity{input("capital", "200000 USD"), input("life", "5 years"), input("price", "24.21 USD/h"), calc("margin", "%", "1 - (capital / life) / (price * 50%)")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	q, _ := g.Quantity("margin")
	if got, want := q.WithNumbers(func(q *Quantity) float64 { return q.Base }), "1 - (200,000 USD) ÷ (5 years) ÷ ((24.21 USD/h) × 50%)"; got != want {
		t.Errorf("with numbers: %s, want %s", got, want)
	}
	if in := g.InputsOf("margin"); len(in) != 3 || in[0].Name != "capital" {
		t.Errorf("inputs: %v", in)
	}
	for v, want := range map[float64]string{0: "0", 212079.6: "212,080", 0.000511: "0.000511", 3.15e23: "3.15e+23", -1234.5: "-1,234.5", 14299345: "14,299,345", 81.13919: "81.1392", 1e-9: "1e-09"} {
		if got := ShowNumber(v); got != want {
			t.Errorf("ShowNumber(%g) = %s, want %s", v, got, want)
		}
	}
}

// What is written parses again and means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1 - capital / life", "max(a, 2 [USD/h]) ^ 2", "if(a < b and not c > d, 1, 2)", "5%", `f("x", 3)`, "-a ^ -2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parse(s)
		if err != nil {
			if e, ok := err.(*syntaxError); !ok || e.pos < 0 || e.pos > len(s) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		_, _ = Build([]Quantity{{Name: "a", Formula: s}, {Name: "b", Base: 1, Unit: u("USD")}}, Options{})
		_ = write(n, 0, func(n *node) string { return n.text })
	})
}

func BenchmarkColumns(b *testing.B) {
	g, err := Build([]Quantity{input("capital", "200000 USD"), input("life", "5 years"), input("price", "24.21 USD/h"), input("use", "50%"), calc("margin", "%", "1 - capital / life / (price * use)")}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, _ := g.Program([]string{"margin"}, nil)
	r := p.NewRunner()
	const n = 4096
	in := make([][]float64, len(p.Inputs()))
	for i, x := range p.Base() {
		in[i] = make([]float64, n)
		for j := range in[i] {
			in[i][j] = x
		}
	}
	out := [][]float64{make([]float64, n)}
	for b.Loop() {
		if err := r.Run(in, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "evaluations/s")
}

// Columns are reused after their last use. Asking for every quantity keeps every
// column, so both ways must agree on graphs of any shape.
func TestReusedColumnsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quantities := []Quantity{input("q0", "2"), input("q1", "3"), input("q2", "0.5")}
		for i := 3; i < 14; i++ {
			name := func() string { return fmt.Sprintf("q%d", rapid.IntRange(0, i-1).Draw(t, "of")) }
			f := rapid.SampledFrom([]string{"A", "A + B", "A * A - B", "max(A, B, A)", "if(A > B, A, B)", "A ^ 2 + A", "sum(A * month) / 100", "last(carry(A, 0.5, B * month))", "last(lag(A * month, B))", "clamp(A, B, B + 1) / 3"}).Draw(t, "formula")
			quantities = append(quantities, calc(fmt.Sprintf("q%d", i), "", strings.NewReplacer("A", name(), "B", name()).Replace(f)))
		}
		g, err := Build(quantities, Options{Months: 3})
		if err != nil {
			t.Fatal(err)
		}
		names := g.Names()
		all, err := g.Program(names, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(names))
		all.NewRunner().Eval(all.Base(), want)
		var vary []string
		if rapid.Bool().Draw(t, "one input") {
			vary = []string{"q1"}
		}
		for i, name := range names {
			p, err := g.Program([]string{name}, vary)
			if err != nil {
				t.Fatal(err)
			}
			r, got := p.NewRunner(), make([]float64, 1)
			for range 2 { // again: nothing of the first run may be left over
				r.Eval(p.Base(), got)
				if got[0] != want[i] && !(math.IsNaN(got[0]) && math.IsNaN(want[i])) {
					t.Fatalf("%s = %g, want %g", name, got[0], want[i])
				}
			}
		}
	})
}

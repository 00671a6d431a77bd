package sample

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stratahq/strata/econ/dist"
	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/unit"
)

// study makes a graph: inputs as name=number, formulas as name==formula.
func study(t *testing.T, samples int, lines ...string) *Study {
	t.Helper()
	s := &Study{Dists: map[string]dist.Dist{}, Seed: 1, Samples: samples}
	var quantities []formula.Quantity
	for _, l := range lines {
		name, text, _ := strings.Cut(l, "=")
		q := formula.Quantity{Name: name, Unit: unit.One, Min: math.NaN(), Max: math.NaN()}
		if f, ok := strings.CutPrefix(text, "="); ok {
			q.Formula = f
		} else {
			d, err := dist.Parse(text, dist.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s.Dists[name] = d
			q.Base, q.Unit = d.Median(), d.Unit()
		}
		quantities = append(quantities, q)
	}
	g, err := formula.Build(quantities, formula.Options{Months: 12})
	if err != nil {
		t.Fatal(err)
	}
	s.Graph = g
	return s
}

// A sum of normal numbers and a product of log-normal ones have known intervals.
func TestIntervals(t *testing.T) {
	s := study(t, 8192, "a=normal(mean=3, sd=3)", "b=normal(mean=1, sd=4)", "c=1 to 2", "d=3 to 5", "k=7", "sum==a + b", "product==c * d", "sure==k * 2", "same==c - c", "last==sum(month) * k")
	got, err := s.Intervals([]string{"sum", "product", "sure", "same", "last"})
	if err != nil {
		t.Fatal(err)
	}
	z := func(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
	near := func(what string, got, want, within float64) {
		t.Helper()
		if math.Abs(got-want) > within {
			t.Errorf("%s = %g, want %g", what, got, want)
		}
	}
	v := got[0]
	near("mean", v.Mean, 4, 0.01)
	near("p2.5", v.P2_5, 4+5*z(0.025), 0.1)
	near("p10", v.P10, 4+5*z(0.1), 0.05)
	near("p50", v.P50, 4, 0.03)
	near("p90", v.P90, 4+5*z(0.9), 0.05)
	near("p97.5", v.P97_5, 4+5*z(0.975), 0.1)
	near("positive", v.Positive, 0.5*(1+math.Erf(4/5.0/math.Sqrt2)), 0.002)
	sigma := math.Hypot(math.Log(2)/2/z(0.95), math.Log(5.0/3)/2/z(0.95))
	near("product p90", got[1].P90, math.Sqrt(2*15)*math.Exp(sigma*z(0.9)), 0.02)
	near("product value", got[1].Value, math.Sqrt(2*15), 1e-9)
	if v := got[2]; !v.Certain || v.P2_5 != 14 || v.P97_5 != 14 || v.Mean != 14 || v.Positive != 1 {
		t.Errorf("what is certain: %+v", v)
	}
	// Common draws: a quantity minus itself is 0 in every draw.
	if v := got[3]; v.P2_5 != 0 || v.P97_5 != 0 || v.Positive != 0 {
		t.Errorf("c - c: %+v", v)
	}
	again, _ := s.Intervals([]string{"sum"})
	if again[0] != got[0] {
		t.Error("the same seed and other outputs give other draws")
	}
	s.Seed = 2
	other, _ := s.Intervals([]string{"sum"})
	if other[0].P10 == got[0].P10 {
		t.Error("another seed gives the same draws")
	}
	near("p10 with another seed", other[0].P10, got[0].P10, 0.05)
}

// The last month of a fan is the interval of the series, and the band widens.
func TestFan(t *testing.T) {
	s := study(t, 2048, "g=1 to 5", "k=2", "users==k * carry(100, 1 + g / 100, 0)", "plain==g * 2", "sure==month * k")
	fan, err := s.Fan("users")
	if err != nil || len(fan) != 12 {
		t.Fatalf("%d months, %v", len(fan), err)
	}
	last, err := s.Intervals([]string{"users"})
	if err != nil || last[0] != fan[11] {
		t.Errorf("the last month %+v is not the interval %+v", fan[11], last[0])
	}
	g := s.Dists["g"]
	if want := 200 * math.Pow(1+g.Quantile(0.9)/100, 1); math.Abs(fan[0].P90-want) > 0.01 || fan[0].P90-fan[0].P10 >= fan[11].P90-fan[11].P10 {
		t.Errorf("first month %+v, want p90 %g", fan[0], want)
	}
	if one, err := s.Fan("plain"); err != nil || len(one) != 1 {
		t.Errorf("no series: %v, %v", one, err)
	}
	if sure, err := s.Fan("sure"); err != nil || !sure[3].Certain || sure[3].P90 != 8 {
		t.Errorf("a certain series: %v, %v", sure, err)
	}
}

func TestInvalidDrawsAreCounted(t *testing.T) {
	s := study(t, 1024, "a=normal(mean=0, sd=1)", "out==sqrt(a)")
	got, err := s.Intervals([]string{"out"})
	if err != nil || got[0].Invalid != 512 || math.IsNaN(got[0].P50) {
		t.Errorf("%+v, %v", got, err)
	}
}

// The indices of a polynomial are known.
func TestSobolIndices(t *testing.T) {
	// f = x + 2y + 3xz, all uniform on [-1, 1]: variances 1/3, 4/3, and 9/9 = 1 of
	// the product, which x and z share.
	s := study(t, 8192, "x=uniform(-1, 1)", "y=uniform(-1, 1)", "z=uniform(-1, 1)", "unused=uniform(0, 1)", "f==x + 2 * y + 3 * x * z")
	got, err := s.Sobol("f")
	if err != nil {
		t.Fatal(err)
	}
	total := 1.0/3 + 4.0/3 + 1
	want := map[string][2]float64{"x": {1 / 3.0 / total, (1/3.0 + 1) / total}, "y": {4 / 3.0 / total, 4 / 3.0 / total}, "z": {0, 1 / total}}
	if len(got) != 3 {
		t.Fatalf("indices of %v", got)
	}
	for _, i := range got {
		if w := want[i.Input]; math.Abs(i.First-w[0]) > 0.01 || math.Abs(i.Total-w[1]) > 0.01 {
			t.Errorf("%s: first %g, total %g; want %v", i.Input, i.First, i.Total, w)
		}
	}
	if none, err := s.Sobol("unused"); err != nil || len(none) != 1 || none[0].Total < 0.99 {
		t.Errorf("an input of itself: %v, %v", none, err)
	}
}

// Sorting the same draws, or any other order of them, does not change the indices.
func TestSobolDoesNotDependOnOrder(t *testing.T) {
	s := study(t, 2048, "x=1 to 3", "y=2 to 9", "f==x * y + x")
	p, err := s.Graph.Program([]string{"f"}, []string{"x", "y"})
	if err != nil {
		t.Fatal(err)
	}
	both := columns(4, 2048)
	points(both, 7)
	want, err := jansen(p, both[:2], both[2:])
	if err != nil {
		t.Fatal(err)
	}
	byFirst := make([]int, 2048)
	for i := range byFirst {
		byFirst[i] = i
	}
	orders := map[string][]int{"sorted": slices.SortedFunc(slices.Values(byFirst), func(a, b int) int {
		if both[0][a] < both[0][b] {
			return -1
		}
		return 1
	}), "shuffled": rand.New(rand.NewPCG(1, 1)).Perm(2048)}
	for name, order := range orders {
		moved := columns(4, 2048)
		for j := range moved {
			for i, from := range order {
				moved[j][i] = both[j][from]
			}
		}
		got, err := jansen(p, moved[:2], moved[2:])
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i].Input != want[i].Input || math.Abs(got[i].First-want[i].First) > 1e-9 || math.Abs(got[i].Total-want[i].Total) > 1e-9 {
				t.Errorf("%s: %+v, want %+v", name, got[i], want[i])
			}
		}
	}
}

func TestTornado(t *testing.T) {
	s := study(t, 64, "small=1 to 1.1", "large=1 to 3", "k=2", "f==k * small - large")
	got, err := s.Tornado("f")
	if err != nil || len(got) != 2 || got[0].Input != "large" || got[0].Low <= got[0].High {
		t.Fatalf("%+v, %v", got, err)
	}
	d := s.Dists["large"]
	if want := 2*s.Dists["small"].Median() - d.Quantile(0.9); math.Abs(got[0].High-want) > 1e-12 {
		t.Errorf("high = %g, want %g", got[0].High, want)
	}
}

func TestSeek(t *testing.T) {
	s := study(t, 2048, "price=10", "cost=4 to 6", "margin==1 - cost / price", "parabola==(price - 3) ^ 2", "free==cost * 2")
	f, err := s.Seek(Goal{Output: "margin", Target: 0.5, Input: "price"})
	if err != nil {
		t.Fatal(err)
	}
	cost := s.Dists["cost"]
	for _, c := range []struct{ got, want float64 }{{f.Value, 2 * cost.Median()}, {f.P10, 2 * cost.Quantile(0.1)}, {f.P90, 2 * cost.Quantile(0.9)}} {
		if math.Abs(c.got-c.want) > 0.01 {
			t.Errorf("price %g, want %g", c.got, c.want)
		}
	}
	if f, err = s.Seek(Goal{Output: "parabola", Target: 4, Input: "price", Low: 3, High: 10}); err != nil || math.Abs(f.Value-5) > 1e-9 || f.P2_5 != f.Value {
		t.Errorf("parabola: %+v, %v", f, err)
	}
	for _, c := range []struct {
		g    Goal
		says string
	}{
		{Goal{Output: "margin", Target: 2, Input: "price"}, "does not reach 2"},
		{Goal{Output: "margin", Target: 0.5, Input: "prise"}, `did you mean "price"`},
		{Goal{Output: "free", Target: 0.5, Input: "price"}, "does not depend on price"},
		{Goal{Output: "margin", Target: 0.5, Input: "free"}, "no input"},
		{Goal{Output: "margin", Target: 0.5, Input: "price", Low: 5, High: 1}, "reversed"},
	} {
		_, err := s.Seek(c.g)
		var fault *formula.Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v; want %q", c.g, err, c.says)
		}
	}
	// A price that cannot be found in some draws is said so.
	s = study(t, 1024, "price=10", "cost=normal(mean=5, sd=5)", "margin==1 - cost / price")
	if f, err = s.Seek(Goal{Output: "margin", Target: 0.5, Input: "price"}); err != nil || math.Abs(f.Unreached-0.159) > 0.01 {
		t.Errorf("unreached %g, %v", f.Unreached, err)
	}
}

// Every axis of a block of 2^k points has one point in each of 2^k intervals,
// scrambled or not, and neighbouring planes are even.
func TestPointsAreEven(t *testing.T) {
	const n = 1024
	cols := columns(60, n)
	points(cols, 42)
	for j, col := range cols {
		seen := [n]bool{}
		for _, x := range col {
			seen[int(x*n)] = true
		}
		for i, ok := range seen {
			if !ok {
				t.Fatalf("axis %d has no point in interval %d of %d", j, i, n)
			}
		}
	}
	for j := range cols[:59] {
		cells := [16 * 16]int{}
		for i := range n {
			cells[int(cols[j][i]*16)*16+int(cols[j+1][i]*16)]++
		}
		for c, count := range cells {
			if count > 16 { // 4 on average
				t.Errorf("axes %d and %d: cell %d has %d points", j, j+1, c, count)
			}
		}
	}
	if got := len(primitives(8)); got != 16 { // φ(255)/8
		t.Errorf("%d primitive polynomials of degree 8", got)
	}
	// The integral of a smooth function converges much faster than with random points.
	sum := 0.0
	for i := range n {
		f := 1.0
		for _, c := range cols[:5] {
			f *= 1 + (c[i] - 0.5)
		}
		sum += f / n
	}
	if math.Abs(sum-1) > 0.002 {
		t.Errorf("the integral is %g, want 1", sum)
	}
}

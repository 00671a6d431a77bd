package dist

import (
	"errors"
	"io/fs"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratahq/strata/unit"
)

func want(t *testing.T, u string) *unit.Unit {
	t.Helper()
	p, err := unit.ParseUnit(u)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestParse(t *testing.T) {
	files := func(name string) ([]byte, error) {
		if name != "seen.txt" {
			return nil, fs.ErrNotExist
		}
		return []byte("# seconds\n1\n3\n\n2\n"), nil
	}
	for _, c := range []struct {
		in, unit      string
		shape         Shape
		p5, p50, p95  float64 // in the unit
		lowest, upper float64
	}{
		{"24.21 USD/h", "USD/h", Constant, 24.21, 24.21, 24.21, 24.21, 24.21},
		{"2.10 to 2.60 USD/h", "USD/h", LogNormal, 2.10, math.Sqrt(2.1 * 2.6), 2.60, 0, math.Inf(1)},
		{"2.30 (2.10 to 2.60) USD/h", "USD/h", TwoPieceLogNormal, 2.10, 2.30, 2.60, 0, math.Inf(1)},
		{"40 to 60 %", "%", Beta, 40, 50, 60, 0, 100},
		{"40% to 60%", "%", Beta, 40, 50, 60, 0, 100},
		{"0.4 to 0.6", "%", Beta, 40, 50, 60, 0, 100},
		{"5 (1 to 30) %", "%", TwoPieceLogit, 1, 5, 30, 0, 100},
		{"-5 to 10 %", "%", Normal, -5, 2.5, 10, math.Inf(-1), math.Inf(1)},
		{"110 to 150 %", "%", LogNormal, 110, math.Sqrt(110 * 150), 150, 0, math.Inf(1)},
		{"-1 (-4 to 1) USD", "USD", TwoPieceNormal, -4, -1, 1, math.Inf(-1), math.Inf(1)},
		{"2M to 3M users", "users", LogNormal, 2e6, math.Sqrt(6e12), 3e6, 0, math.Inf(1)},
		{"30 s to 2 min", "s", LogNormal, 30, 60, 120, 0, math.Inf(1)},
		{"lognormal(p5=5, p95=10) USD", "USD", LogNormal, 5, math.Sqrt(50), 10, 0, math.Inf(1)},
		{"lognormal(p5=5 USD, p50=6 USD, p95=10 USD)", "USD", TwoPieceLogNormal, 5, 6, 10, 0, math.Inf(1)},
		{"normal(p5=5, p95=10) USD", "USD", Normal, 5, 7.5, 10, math.Inf(-1), math.Inf(1)},
		{"normal(mean=5, sd=1) h", "h", Normal, 5 - z95, 5, 5 + z95, math.Inf(-1), math.Inf(1)},
		{"uniform(0%, 100%)", "%", Uniform, 5, 50, 95, 0, 100},
		{"triangular(0, 1, 2)", "", Triangular, math.Sqrt(0.1), 1, 2 - math.Sqrt(0.1), 0, 2},
		{"pert(0, 5, 10) GB", "GB", Pert, 1.892, 5, 8.108, 0, 10},
		{"empirical(seen.txt)", "s", Empirical, 1.1, 2, 2.9, 1, 3},
	} {
		d, err := Parse(c.in, Options{Unit: want(t, c.unit), Read: files})
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		scale := want(t, c.unit).Scale
		if d.Shape() != c.shape {
			t.Errorf("%q is %s, want %s", c.in, d.Shape(), c.shape)
		}
		for p, x := range map[float64]float64{0.05: c.p5, 0.5: c.p50, 0.95: c.p95} {
			if got := d.Quantile(p) / scale; math.Abs(got-x) > 1e-3*math.Abs(x) {
				t.Errorf("%q: quantile %g = %g, want %g", c.in, p, got, x)
			}
		}
		lo, hi := d.Support()
		if !near(lo/scale, c.lowest) || !near(hi/scale, c.upper) {
			t.Errorf("%q: support %g to %g", c.in, lo/scale, hi/scale)
		}
		if c.shape != Constant && !strings.Contains(d.String(), string(c.shape)) {
			t.Errorf("%q is described as %q, without its shape", c.in, d)
		}
	}
}

func near(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9*math.Abs(b) }

func TestParseRefuses(t *testing.T) {
	for in, c := range map[string]struct {
		err  error
		unit string
		says string
	}{
		"2.6 to 2.1 USD/h":         {ErrReversed, "USD/h", "lower one first"},
		"2.0 (2.1 to 2.6) USD/h":   {ErrReversed, "USD/h", "not between"},
		"triangular(3, 2, 4)":      {ErrReversed, "", "least, likeliest"},
		"uniform(4, 3)":            {ErrReversed, "", "lower"},
		"2.3 ± 0.2 USD/h":          {ErrPlusMinus, "USD/h", "LOW to HIGH"},
		"2.3 +/- 0.2 USD/h":        {ErrPlusMinus, "USD/h", "LOW to HIGH"},
		"0 to 10 %":                {ErrShare, "%", "uniform"},
		"beta(p5=0.2, p95=1.4)":    {ErrShare, "%", "between 0 and 100"},
		"2 to 3":                   {unit.ErrDimension, "USD/h", "expected USD/h"},
		"2 to 3 USD":               {unit.ErrDimension, "USD/h", "expected USD/h"},
		"3 USD":                    {unit.ErrDimension, "USD/h", "expected USD/h"},
		"2 h to 3 USD":             {unit.ErrDimension, "USD", "not measured in"},
		"2 to 3M users":            {ErrSyntax, "users", "count suffix"},
		"5 to 5 h":                 {ErrSyntax, "h", "value alone"},
		"1 to 2 to 3 h":            {ErrSyntax, "h", "two ends"},
		"012":                      {ErrSyntax, "", "zero"},
		"200,000 USD":              {ErrSyntax, "USD", "write 200000"},
		"2026-11-01":               {ErrSyntax, "", "date"},
		"gauss(1,2)":               {ErrSyntax, "", "no form"},
		"lognormal(5, 10)":         {ErrSyntax, "", "name the arguments"},
		"lognormal(p5=5)":          {ErrSyntax, "", "p95 is missing"},
		"lognormal(p5=-5, p95=10)": {ErrSyntax, "", "above 0"},
		"normal(mean=1, sd=-2)":    {ErrSyntax, "", "above 0"},
		"pert(1, 2)":               {ErrSyntax, "", "greatest is missing"},
		"empirical(x)":             {ErrSyntax, "", "cannot be read"},
		"":                         {unit.ErrSyntax, "", "number"},
		"about 5":                  {unit.ErrSyntax, "", "number"},
	} {
		_, err := Parse(in, Options{Unit: want(t, c.unit)})
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("Parse(%q) = %v; want %v with %q", in, err, c.err, c.says)
		}
	}
}

func TestWithin(t *testing.T) {
	for in, ok := range map[string]bool{"50%": true, "140%": false, "90 to 120 %": false, "60 to 99 %": true, "50": false} {
		d, err := Parse(in, Options{Unit: &unit.Percent})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Within(0, 1); (err == nil) != ok {
			t.Errorf("%q within 0 to 100 %%: %v", in, err)
		}
	}
	d, _ := Parse("50", Options{Unit: &unit.Percent})
	if err := d.Within(0, 1); err == nil || !strings.Contains(err.Error(), "write 50%") {
		t.Errorf("a bare 50 for a share: %v", err)
	}
}

func TestLong(t *testing.T) {
	usdh := want(t, "USD/h")
	d, err := Long{P5: "2.10", P50: "2.30", P95: "2.60 USD/h"}.Dist(Options{Unit: usdh})
	if err != nil || d.Shape() != TwoPieceLogNormal || !near(d.Median(), 2.30/3600) {
		t.Errorf("long form: %v, %v", d, err)
	}
	if d, err = (Long{P5: "1 h", P95: "2 h", Shape: "normal"}).Dist(Options{}); err != nil || d.Shape() != Normal {
		t.Errorf("long form with a shape: %v, %v", d, err)
	}
	for _, l := range []Long{{P5: "1 h"}, {P5: "1 h", P95: "2 h", Shape: "triangle"}, {P5: "2 h", P95: "1 h"}} {
		if _, err := l.Dist(Options{}); err == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}

// Every range has the percentiles it was given, and quantiles never decrease.
func TestRangeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Bool().Draw(t, "share")
		lo := rapid.Float64Range(0.001, 0.98).Draw(t, "lo")
		hi := lo + (0.999-lo)*rapid.Float64Range(0.01, 1).Draw(t, "part")
		var best *float64
		if rapid.Bool().Draw(t, "guess") {
			b := lo + (hi-lo)*rapid.Float64Range(0.05, 0.95).Draw(t, "best")
			best = &b
		}
		d, err := rangeDist(lo, hi, best, share, "")
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(d.Quantile(0.05)-lo) > 1e-4 || math.Abs(d.Quantile(0.95)-hi) > 1e-4 || best != nil && math.Abs(d.Median()-*best) > 1e-9 {
			t.Fatalf("%v of %g to %g: %g, %g, %g", d.shape, lo, hi, d.Quantile(0.05), d.Median(), d.Quantile(0.95))
		}
		last := math.Inf(-1)
		for p := 0.0; p <= 1; p += 0.01 {
			x := d.Quantile(p)
			if x < last || math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("quantile %g = %g after %g", p, x, last)
			}
			last = x
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"24.21 USD/h", "2.10 to 2.60 USD/h", "2.30 (2.10 to 2.60) USD/h", "40 to 60 %", "lognormal(p5=5, p95=10)", "pert(1,2,3) GB", "1 ± 2", "normal(mean=1, sd=1e300)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s, Options{})
		if err != nil {
			return
		}
		a, b := d.Quantile(0.05), d.Quantile(0.95)
		if math.IsNaN(a) || math.IsNaN(b) || a > b {
			t.Fatalf("%q: quantiles %g and %g", s, a, b)
		}
	})
}

package unit

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]struct {
		base float64
		dim  string
	}{
		"24.21 USD/h":          {24.21 / 3600, "USD/s"},
		"312 TFLOP/s":          {312e12, "FLOP/s"},
		"312 TFLOPS":           {312e12, "FLOP/s"},
		"3.15e23 FLOP":         {3.15e23, "FLOP"},
		"300B tokens":          {300e9, "token"},
		"1.5K":                 {1500, "1"},
		"175B":                 {175e9, "1"},
		"50%":                  {0.5, "1"},
		"80 GB":                {80e9, "B"},
		"80 GiB":               {80 * (1 << 30), "B"},
		"3TB":                  {3e12, "B"},
		"2.039 TB/s":           {2.039e12, "B/s"},
		"400 Gbit/s":           {50e9, "B/s"},
		"0.0015 USD/1K tokens": {0.0015 / 1000, "USD/token"},
		"0.20 USD/Mtok":        {0.2e-6, "USD/token"},
		"0.08 USD/kWh":         {0.08 / 3.6e6, "USD/J"},
		"700 W":                {700, "J/s"},
		"2 USD/GPU/h":          {2.0 / 3600, "USD/s/GPU"},
		"5 years":              {5 * 365 * 86400, "s"},
		"-3 USD":               {-3, "USD"},
		"20 ms":                {0.02, "s"},
		"1M users":             {1e6, "person"},
		"10 USD/user/month":    {10.0 / (365 * 86400 / 12.0), "USD/s/person"},
	} {
		q, err := Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		if math.Abs(q.Base-want.base) > 1e-12*math.Abs(want.base) || q.Unit.Dim.String() != want.dim {
			t.Errorf("Parse(%q) = %g %s, want %g %s", in, q.Base, q.Unit.Dim, want.base, want.dim)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]error{
		"": ErrSyntax, "USD": ErrSyntax, "NaN": ErrSyntax, "Inf USD": ErrSyntax, "1e999 USD": ErrSyntax,
		"1_000 USD": ErrUnknownUnit, "3 USD/": ErrUnknownUnit, "3 foo": ErrUnknownUnit, "3 USD/0 h": ErrUnknownUnit,
		"3 kusers": ErrUnknownUnit, "0x10 B": ErrUnknownUnit,
	} {
		if q, err := Parse(in); !errors.Is(err, want) {
			t.Errorf("Parse(%q) = %v, %v; want %v", in, q, err, want)
		}
	}
	_, err := Parse("3 usd")
	if err == nil || err.Error() != `"3 usd": unknown unit: "usd"; did you mean "USD"?` {
		t.Errorf("a suggestion is missing: %v", err)
	}
}

func TestDimensionsDoNotMix(t *testing.T) {
	if _, err := Of(1, "USD").Add(Of(1, "h")); !errors.Is(err, ErrDimension) {
		t.Errorf("dollars plus hours: %v", err)
	}
	usdh, _ := ParseUnit("USD/h")
	if _, err := ParseAs("3 USD", usdh); !errors.Is(err, ErrDimension) {
		t.Errorf("a price without its hour: %v", err)
	}
	if _, err := ParseAs("3", usdh); !errors.Is(err, ErrDimension) {
		t.Errorf("a bare number where a unit is needed: %v", err)
	}
	if q := Of(24.21, "USD/h").Mul(Of(1, "year")); math.Abs(q.Base-24.21*8760) > 1e-6 || q.Unit.Dim.String() != "USD" {
		t.Errorf("a year of rent = %v", q)
	}
}

func TestStringRoundTrip(t *testing.T) {
	units := []string{"USD/h", "TFLOP/s", "tokens", "%", "GB", "USD/Mtok", "kWh", "", "USD/1K tokens"}
	rapid.Check(t, func(t *rapid.T) {
		q := Of(rapid.Float64Range(-1e6, 1e6).Draw(t, "v"), rapid.SampledFrom(units).Draw(t, "u"))
		back, err := Parse(q.String())
		if err != nil || back.Unit.Dim != q.Unit.Dim || math.Abs(back.Base-q.Base) > 1e-9*math.Abs(q.Base) {
			t.Fatalf("%s -> %v, %v", q, back, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"24.21 USD/h", "300B tokens", "50%", "1e", "3 USD/1K tokens", "2 m^2/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if q, err := Parse(s); err == nil && (math.IsNaN(q.Base) || q.Unit.Scale <= 0) {
			t.Fatalf("%q = %+v", s, q)
		}
	})
}

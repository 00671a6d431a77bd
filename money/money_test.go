package money

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestDecimalNotation(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "1.50": "1.5", "3e-06": "0.000003", "1e3": "1000", "-2.5E-1": "-0.25",
		"0.000033333333333333335": "0.000033333333333333335",
	} {
		d, err := ParseDecimal(in)
		if err != nil || d.String() != want {
			t.Errorf("ParseDecimal(%q) = %v, %v; want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"", "x", "NaN", "Inf", "-Infinity", "1_000", "0x10", "1e999999999", "1 2", "1,5"} {
		if d, err := ParseDecimal(in); err == nil {
			t.Errorf("ParseDecimal(%q) = %v, want an error", in, d)
		}
	}
}

func TestPicoRoundsHalfEvenOnce(t *testing.T) {
	for in, want := range map[string]Pico{
		"0.0000000000005": 0, "0.0000000000015": 2, "0.0000000000025": 2, "-0.0000000000015": -2,
		"0.00000000000050000001": 1, "9223372.036854775807": math.MaxInt64,
	} {
		p, _, err := MustDecimal(in).Pico()
		if err != nil || p != want {
			t.Errorf("%s USD = %d pico, %v; want %d", in, p, err, want)
		}
	}
	if _, _, err := MustDecimal("9223372.036854775808").Pico(); err == nil {
		t.Error("an amount beyond int64 picodollars must be refused")
	}
}

func TestSumAgreesWithBigInt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Sum
		want := new(big.Int)
		for _, p := range rapid.SliceOf(rapid.Int64()).Draw(t, "amounts") {
			s = s.Add(Pico(p))
			want.Add(want, big.NewInt(p))
		}
		d, err := ParseDecimal(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Shift(12).String(); got != want.String() {
			t.Fatalf("sum = %s pico, want %s", got, want)
		}
		b, _ := json.Marshal(s)
		var back Sum
		if err := json.Unmarshal(b, &back); err != nil || back != s {
			t.Fatalf("JSON round trip of %s gave %s, %v", s, back, err)
		}
		if !s.Sub(s).IsZero() || s.Cmp(s.Add(1)) != -1 {
			t.Fatal("subtraction or order is wrong")
		}
	})
}

func TestSumFromPartsIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, r := rapid.Int64().Draw(t, "dollars"), rapid.Int64().Draw(t, "pico")
		want := new(big.Int).Mul(big.NewInt(q), big.NewInt(PicoPerUSD))
		want.Add(want, big.NewInt(r))
		if got := SumFromParts(q, r).Decimal().Shift(12).String(); got != want.String() {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestLineKeepsTheExactAmount(t *testing.T) {
	l, err := NewLine("input", Int(1), MustDecimal("0.0000000000015"))
	if err != nil || l.Amount != 2 || l.Exact == nil || l.Exact.String() != "0.0000000000015" {
		t.Fatalf("line = %+v, %v", l, err)
	}
	l, _ = NewLine("input", Int(1000), MustDecimal("0.0000025"))
	if l.Amount.String() != "0.0025" || l.Exact != nil {
		t.Fatalf("line = %+v", l)
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "1.5", "-3e-6", "1e61", "..", "e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDecimal(s)
		if err != nil {
			return
		}
		back, err := ParseDecimal(d.String())
		if err != nil || back.Cmp(d) != 0 {
			t.Fatalf("%q -> %s -> %v, %v", s, d, back, err)
		}
	})
}

func TestSumPartsIsTheInverseOfSumFromParts(t *testing.T) {
	for _, c := range [][2]int64{{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {9_223_372, 36_854_775_807}, {-9_000_000_000_000, -999_999_999_999}, {math.MaxInt64, 999_999_999_999}} {
		d, p := SumFromParts(c[0], c[1]).Parts()
		if d != c[0] || p != c[1] {
			t.Errorf("parts of (%d, %d) = (%d, %d)", c[0], c[1], d, p)
		}
	}
}

// Package money holds exact amounts of money and exact decimal quantities.
//
// Rating is exact decimal arithmetic ([Decimal]). An amount that is written
// into a book is a [Pico]: a whole number of picodollars (1e-12 USD), rounded
// once, half to even. Sums over many amounts are 128-bit ([Sum]), because
// int64 picodollars end at about 9.2 million dollars.
//
// Nothing in this package is a float, and nothing converts from one.
package money

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// ErrSyntax is returned for text that is not a plain decimal number.
var ErrSyntax = errors.New("not a decimal number")

// ErrOverflow is returned when a result does not fit its type.
var ErrOverflow = errors.New("amount out of range")

// maxDigits bounds parsed input, so that hostile text such as 1e1000000000
// cannot make exact arithmetic allocate without limit.
const maxDigits = 60

// exact is the context for exact operations: its precision is far above what
// the product of two admissible inputs needs, and an inexact result is an error.
var exact = func() *apd.Context {
	c := apd.BaseContext.WithPrecision(400)
	c.Traps |= apd.Inexact
	return c
}()

// Decimal is an exact, immutable decimal number. The zero value is 0.
type Decimal struct{ d *apd.Decimal }

var zero = apd.New(0, 0)

func (a Decimal) apd() *apd.Decimal {
	if a.d == nil {
		return zero
	}
	return a.d
}

// Int returns n as a Decimal.
func Int(n int64) Decimal {
	if n == 0 {
		return Decimal{}
	}
	return Decimal{apd.New(n, 0)}
}

// ParseDecimal reads a plain or scientific decimal such as "0.003" or "3e-06".
// It refuses NaN, infinities, more than 60 digits and exponents beyond ±60.
func ParseDecimal(s string) (Decimal, error) {
	if s == "" || len(s) > 2*maxDigits+4 {
		return Decimal{}, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
	}
	for _, r := range s {
		if (r < '0' || r > '9') && !strings.ContainsRune("+-.eE", r) {
			return Decimal{}, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
		}
	}
	d, _, err := apd.NewFromString(s)
	if err != nil || d.Form != apd.Finite {
		return Decimal{}, fmt.Errorf("%w: %q", ErrSyntax, clip(s))
	}
	d.Reduce(d)
	if d.NumDigits() > maxDigits || d.Exponent > maxDigits || d.Exponent < -maxDigits {
		return Decimal{}, fmt.Errorf("%w: %q", ErrOverflow, clip(s))
	}
	if d.IsZero() {
		return Decimal{}, nil
	}
	return Decimal{d}, nil
}

// MustDecimal is ParseDecimal for constants in code; it panics on bad input.
func MustDecimal(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return d
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Add returns a + b.
func (a Decimal) Add(b Decimal) Decimal {
	if a.d == nil {
		return b
	}
	if b.d == nil {
		return a
	}
	return must(func(z *apd.Decimal) (apd.Condition, error) { return exact.Add(z, a.d, b.d) })
}

// Sub returns a - b.
func (a Decimal) Sub(b Decimal) Decimal { return a.Add(b.Neg()) }

// Neg returns -a.
func (a Decimal) Neg() Decimal {
	if a.d == nil {
		return a
	}
	return must(func(z *apd.Decimal) (apd.Condition, error) { return exact.Neg(z, a.d) })
}

// Mul returns a × b.
func (a Decimal) Mul(b Decimal) Decimal {
	if a.d == nil || b.d == nil {
		return Decimal{}
	}
	return must(func(z *apd.Decimal) (apd.Condition, error) { return exact.Mul(z, a.d, b.d) })
}

// Shift returns a × 10^n, exactly. Shift(-6) turns a price per million into a
// price per unit.
func (a Decimal) Shift(n int32) Decimal {
	if a.d == nil {
		return a
	}
	z := new(apd.Decimal).Set(a.d)
	z.Exponent += n
	return Decimal{z}
}

// Quo returns a / b when the quotient is a finite decimal of at most 400
// digits, and otherwise the quotient rounded half to even to 60 significant
// digits with exact = false. Dividing by zero is an error.
func (a Decimal) Quo(b Decimal) (q Decimal, isExact bool, err error) {
	if b.d == nil {
		return Decimal{}, false, fmt.Errorf("%w: division by zero", ErrOverflow)
	}
	if a.d == nil {
		return Decimal{}, true, nil
	}
	z := new(apd.Decimal)
	if _, err := exact.Quo(z, a.d, b.d); err == nil {
		z.Reduce(z)
		return Decimal{z}, true, nil
	}
	c := apd.BaseContext.WithPrecision(maxDigits)
	c.Rounding = apd.RoundHalfEven
	if _, err := c.Quo(z, a.d, b.d); err != nil {
		return Decimal{}, false, fmt.Errorf("%w: %v", ErrOverflow, err)
	}
	return Decimal{z}, false, nil
}

func must(f func(z *apd.Decimal) (apd.Condition, error)) Decimal {
	z := new(apd.Decimal)
	if _, err := f(z); err != nil {
		// Unreachable for numbers that ParseDecimal admits: products and sums
		// of 60-digit numbers stay far below 400 digits.
		panic(fmt.Errorf("money: exact arithmetic failed: %w", err))
	}
	z.Reduce(z)
	if z.IsZero() {
		return Decimal{}
	}
	return Decimal{z}
}

// Cmp is -1, 0 or +1 as a is less than, equal to or greater than b.
func (a Decimal) Cmp(b Decimal) int { return a.apd().Cmp(b.apd()) }

// Sign is -1, 0 or +1.
func (a Decimal) Sign() int { return a.apd().Sign() }

// IsZero reports whether a is 0.
func (a Decimal) IsZero() bool { return a.Sign() == 0 }

// Int64 returns a as an int64; ok is false when a is not a whole number or
// does not fit.
func (a Decimal) Int64() (n int64, ok bool) {
	n, err := a.apd().Int64()
	return n, err == nil
}

// String is the plain decimal notation: no exponent, no trailing zeros.
func (a Decimal) String() string {
	if a.d == nil {
		return "0"
	}
	z, _ := new(apd.Decimal).Reduce(a.d)
	if z.IsZero() {
		return "0"
	}
	return z.Text('f')
}

// MarshalJSON writes a decimal string, never a JSON number, so that no reader
// can turn it into a float by accident.
func (a Decimal) MarshalJSON() ([]byte, error) { return []byte(`"` + a.String() + `"`), nil }

// UnmarshalJSON reads a decimal string, or a JSON number taken as text.
func (a *Decimal) UnmarshalJSON(b []byte) error {
	return unmarshal(b, func(s string) (err error) { *a, err = ParseDecimal(s); return })
}

// UnmarshalText reads a decimal.
func (a *Decimal) UnmarshalText(b []byte) (err error) { *a, err = ParseDecimal(string(b)); return }

// MarshalText writes the plain decimal notation.
func (a Decimal) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func unmarshal(b []byte, set func(string) error) error {
	s := string(b)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	return set(s)
}

package money

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/cockroachdb/apd/v3"
)

// Pico is an amount of money in picodollars (1e-12 USD). It is the unit of
// every line, hold and budget in the ledger. Its range is ±9.2 million dollars:
// use [Sum] for balances.
type Pico int64

// PicoPerUSD is how many picodollars a dollar has.
const PicoPerUSD = 1_000_000_000_000

// MaxPico and MinPico bound a Pico.
const (
	MaxPico Pico = math.MaxInt64
	MinPico Pico = math.MinInt64
)

// roundHalfEven quantizes to whole numbers, the one rounding of a ledger line.
var roundHalfEven = func() *apd.Context {
	c := apd.BaseContext.WithPrecision(400)
	c.Rounding = apd.RoundHalfEven
	return c
}()

// Pico rounds an amount of dollars once, half to even, to picodollars. isExact
// is false when rounding changed the amount.
func (a Decimal) Pico() (p Pico, isExact bool, err error) {
	if a.d == nil {
		return 0, true, nil
	}
	z := new(apd.Decimal)
	if _, err := roundHalfEven.Quantize(z, a.Shift(12).d, 0); err != nil {
		return 0, false, fmt.Errorf("%w: %s USD", ErrOverflow, clip(a.String()))
	}
	n, err := z.Int64()
	if err != nil {
		return 0, false, fmt.Errorf("%w: %s USD", ErrOverflow, clip(a.String()))
	}
	return Pico(n), Pico(n).Decimal().Cmp(a) == 0, nil
}

// ParsePico reads an amount of dollars such as "1.00"; it refuses an amount
// finer than a picodollar.
func ParsePico(s string) (Pico, error) {
	d, err := ParseDecimal(s)
	if err != nil {
		return 0, err
	}
	p, ok, err := d.Pico()
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%w: %q has more than 12 decimals", ErrSyntax, clip(s))
	}
	return p, nil
}

// Decimal returns p in dollars.
func (p Pico) Decimal() Decimal {
	if p == 0 {
		return Decimal{}
	}
	return Decimal{apd.New(int64(p), -12)}
}

// Add returns p + q, or ErrOverflow.
func (p Pico) Add(q Pico) (Pico, error) {
	s := p + q
	if (q > 0 && s < p) || (q < 0 && s > p) {
		return 0, fmt.Errorf("%w: %s + %s", ErrOverflow, p, q)
	}
	return s, nil
}

// String is the amount in dollars in plain decimal notation, without trailing zeros.
func (p Pico) String() string { return p.Decimal().String() }

// MarshalJSON writes a decimal string in dollars.
func (p Pico) MarshalJSON() ([]byte, error) { return []byte(`"` + p.String() + `"`), nil }

// UnmarshalJSON reads a decimal string, or a JSON number taken as text.
func (p *Pico) UnmarshalJSON(b []byte) error {
	return unmarshal(b, func(s string) (err error) { *p, err = ParsePico(s); return })
}

// MarshalText and UnmarshalText use the same notation.
func (p Pico) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads an amount of dollars.
func (p *Pico) UnmarshalText(b []byte) (err error) { *p, err = ParsePico(string(b)); return }

// Sum is a 128-bit signed sum of picodollars. The zero value is 0.
type Sum struct {
	hi int64
	lo uint64
}

// SumOf returns p as a Sum.
func SumOf(p Pico) Sum { return Sum{}.Add(p) }

// SumFromParts rebuilds quotient × 1e12 + remainder, the two columns in which
// SQL keeps sums (whole dollars, and picodollars beyond them).
func SumFromParts(dollars, pico int64) Sum {
	hi, lo := bits.Mul64(abs(dollars), PicoPerUSD)
	s := Sum{hi: int64(hi), lo: lo}
	if dollars < 0 {
		s = s.Neg()
	}
	return s.Add(Pico(pico))
}

func abs(n int64) uint64 {
	if n < 0 {
		return uint64(-(n + 1)) + 1
	}
	return uint64(n)
}

// Add returns s + p.
func (s Sum) Add(p Pico) Sum { return s.AddSum(Sum{hi: int64(p) >> 63, lo: uint64(p)}) }

// AddSum returns s + t. A sum of 2^63 amounts cannot overflow 128 bits.
func (s Sum) AddSum(t Sum) Sum {
	lo, c := bits.Add64(s.lo, t.lo, 0)
	hi, _ := bits.Add64(uint64(s.hi), uint64(t.hi), c)
	return Sum{hi: int64(hi), lo: lo}
}

// Neg returns -s.
func (s Sum) Neg() Sum {
	lo, c := bits.Add64(^s.lo, 1, 0)
	hi, _ := bits.Add64(^uint64(s.hi), 0, c)
	return Sum{hi: int64(hi), lo: lo}
}

// Sub returns s - t.
func (s Sum) Sub(t Sum) Sum { return s.AddSum(t.Neg()) }

// Cmp is -1, 0 or +1 as s is less than, equal to or greater than t.
func (s Sum) Cmp(t Sum) int {
	switch {
	case s.hi < t.hi || (s.hi == t.hi && s.lo < t.lo):
		return -1
	case s == t:
		return 0
	}
	return 1
}

// Parts splits s into whole dollars and the picodollars beyond them, with the
// same sign: the inverse of [SumFromParts]. It is for sums below 9.2e18 dollars
// (2^63), which no sum of fewer than 10^12 amounts can reach.
func (s Sum) Parts() (dollars, pico int64) {
	neg := s.hi < 0
	if neg {
		s = s.Neg()
	}
	q, r := bits.Div64(uint64(s.hi), s.lo, PicoPerUSD)
	if neg {
		return -int64(q), -int64(r)
	}
	return int64(q), int64(r)
}

// IsZero reports whether s is 0.
func (s Sum) IsZero() bool { return s == Sum{} }

// Pico returns s as a Pico, or ErrOverflow.
func (s Sum) Pico() (Pico, error) {
	if (s.hi == 0 && s.lo <= math.MaxInt64) || (s.hi == -1 && s.lo > math.MaxInt64) {
		return Pico(s.lo), nil
	}
	return 0, fmt.Errorf("%w: %s USD", ErrOverflow, s)
}

// Decimal returns s in dollars.
func (s Sum) Decimal() Decimal {
	if s.IsZero() {
		return Decimal{}
	}
	neg := s.hi < 0
	if neg {
		s = s.Neg()
	}
	var c apd.BigInt
	c.SetUint64(uint64(s.hi))
	c.Lsh(&c, 64)
	c.Add(&c, new(apd.BigInt).SetUint64(s.lo))
	d := apd.NewWithBigInt(&c, -12)
	d.Negative = neg
	return Decimal{d}
}

// String is the sum in dollars in plain decimal notation.
func (s Sum) String() string { return s.Decimal().String() }

// MarshalJSON writes a decimal string in dollars.
func (s Sum) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// UnmarshalJSON reads a decimal string in dollars.
func (s *Sum) UnmarshalJSON(b []byte) error {
	return unmarshal(b, func(t string) error {
		d, err := ParseDecimal(t)
		if err != nil {
			return err
		}
		z := d.Shift(12).apd()
		if z.Exponent > 0 {
			z = Decimal{z}.Mul(Int(1)).apd()
		}
		var i apd.Decimal
		if c, err := roundHalfEven.Quantize(&i, z, 0); err != nil || c.Inexact() {
			return fmt.Errorf("%w: %q", ErrSyntax, clip(t))
		}
		mag := new(apd.BigInt).Abs(&i.Coeff)
		if mag.BitLen() > 126 {
			return fmt.Errorf("%w: %q", ErrOverflow, clip(t))
		}
		var hi, lo apd.BigInt
		hi.Rsh(mag, 64)
		lo.Sub(mag, new(apd.BigInt).Lsh(&hi, 64))
		r := Sum{hi: hi.Int64(), lo: lo.Uint64()}
		if i.Negative {
			r = r.Neg()
		}
		*s = r
		return nil
	})
}

// Line is one line of a bill: how much of what, at which price, and the amount.
// The same type serves cost lines (what a provider charges us) and charge lines
// (what we charge a customer).
type Line struct {
	// Item is the usage bucket billed, such as "input" or "web_search", or
	// "markup" and the like on a charge.
	Item string `json:"item"`
	// Quantity is the number of tokens or units billed.
	Quantity Decimal `json:"quantity"`
	// UnitPrice is USD for one unit, after all multipliers.
	UnitPrice Decimal `json:"unit_price_usd"`
	// Amount is the line rounded once, half to even, to a picodollar.
	Amount Pico `json:"amount_usd"`
	// Exact is the unrounded amount in USD when it differs from Amount.
	Exact *Decimal `json:"exact_usd,omitempty"`
}

// NewLine multiplies quantity by unit price and rounds once.
func NewLine(item string, quantity, unitPrice Decimal) (Line, error) {
	amount := quantity.Mul(unitPrice)
	p, ok, err := amount.Pico()
	if err != nil {
		return Line{}, fmt.Errorf("line %s: %w", item, err)
	}
	l := Line{Item: item, Quantity: quantity, UnitPrice: unitPrice, Amount: p}
	if !ok {
		l.Exact = &amount
	}
	return l, nil
}

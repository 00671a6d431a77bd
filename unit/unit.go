// Package unit reads and writes quantities with units, such as "24.21 USD/h",
// "312 TFLOP/s", "300B tokens" or "50%", and keeps their dimensions, so that
// dollars are never added to hours.
//
// Quantities are estimates (float64). Money that is owed lives in package money.
package unit

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Errors of this package; match them with errors.Is.
var (
	ErrSyntax      = errors.New("not a quantity")
	ErrUnknownUnit = errors.New("unknown unit")
	ErrDimension   = errors.New("wrong unit")
)

// base numbers the base dimensions.
type base uint8

const (
	dollar base = iota // USD
	second             // s
	flop               // FLOP: one floating-point operation
	byte_              // byte
	token              // token
	joule              // J
	person             // user, seat, employee
	gpu                // one accelerator
	call               // one request to a model
	numBases
)

// Dim is a dimension: the exponent of each base unit. The zero Dim is a pure
// number.
type Dim [numBases]int8

// Mul is the dimension of a product.
func (d Dim) Mul(e Dim) Dim {
	for i := range d {
		d[i] += e[i]
	}
	return d
}

// Div is the dimension of a quotient.
func (d Dim) Div(e Dim) Dim {
	for i := range d {
		d[i] -= e[i]
	}
	return d
}

var baseNames = [numBases]string{"USD", "s", "FLOP", "B", "token", "J", "person", "GPU", "call"}

// String writes the dimension in base units, such as "USD/s"; "1" for a pure number.
func (d Dim) String() string {
	var num, den []string
	for i, e := range d {
		name := baseNames[i]
		switch {
		case e == 1:
			num = append(num, name)
		case e > 1:
			num = append(num, name+"^"+strconv.Itoa(int(e)))
		case e == -1:
			den = append(den, name)
		case e < -1:
			den = append(den, name+"^"+strconv.Itoa(-int(e)))
		}
	}
	s := strings.Join(num, "·")
	if s == "" {
		s = "1"
	}
	if len(den) > 0 {
		s += "/" + strings.Join(den, "/")
	}
	return s
}

// Unit is a named scale of a dimension.
type Unit struct {
	// Text is the unit as written, such as "USD/h".
	Text string
	// Scale is how many base units one of it is: 1 h is 3600 s.
	Scale float64
	Dim   Dim
}

// One is the unit of pure numbers, and Percent a hundredth of it.
var (
	One     = Unit{Scale: 1}
	Percent = Unit{Text: "%", Scale: 0.01}
)

// Quantity is a value in base units, with the unit in which people wrote it.
type Quantity struct {
	// Base is the value in base units (USD, s, FLOP, bytes, tokens, J, ...).
	Base float64
	Unit Unit
}

// Of makes a quantity of v units; it panics when the unit does not parse, and is
// meant for constants in code.
func Of(v float64, u string) Quantity {
	p, err := ParseUnit(u)
	if err != nil {
		panic(err)
	}
	return Quantity{Base: v * p.Scale, Unit: p}
}

// Value is the number in the quantity's own unit.
func (q Quantity) Value() float64 { return q.Base / q.Unit.scale() }

func (u Unit) scale() float64 {
	if u.Scale == 0 {
		return 1
	}
	return u.Scale
}

// In converts to another unit of the same dimension, or says what is wrong.
func (q Quantity) In(u Unit) (float64, error) {
	if q.Unit.Dim != u.Dim {
		return 0, fmt.Errorf("%w: %s is measured in %s, not in %s", ErrDimension, q, q.Unit.Dim, u.Dim)
	}
	return q.Base / u.scale(), nil
}

// Add returns q + r in q's unit. Quantities of different dimensions do not add.
func (q Quantity) Add(r Quantity) (Quantity, error) {
	if q.Unit.Dim != r.Unit.Dim {
		return Quantity{}, fmt.Errorf("%w: cannot add %s to %s", ErrDimension, r, q)
	}
	return Quantity{Base: q.Base + r.Base, Unit: q.Unit}, nil
}

// Mul returns q × r, in base units.
func (q Quantity) Mul(r Quantity) Quantity { return inBase(q.Base*r.Base, q.Unit.Dim.Mul(r.Unit.Dim)) }

// Div returns q / r, in base units.
func (q Quantity) Div(r Quantity) Quantity { return inBase(q.Base/r.Base, q.Unit.Dim.Div(r.Unit.Dim)) }

func inBase(v float64, d Dim) Quantity {
	u := Unit{Scale: 1, Dim: d}
	if d != (Dim{}) {
		u.Text = d.String()
	}
	return Quantity{Base: v, Unit: u}
}

// String writes the value in the unit it was given in.
func (q Quantity) String() string {
	v := strconv.FormatFloat(q.Value(), 'g', 12, 64)
	switch q.Unit.Text {
	case "":
		return v
	case "%":
		return v + "%"
	}
	return v + " " + q.Unit.Text
}

// Parse reads a number with a unit. The number may carry a count suffix
// ("300B tokens", "1.5K"): K, M, B and T are thousand, million, billion and
// trillion, and stand directly behind the digits. Underscores and NaN,
// infinities and hexadecimal are refused.
func Parse(s string) (Quantity, error) {
	t := strings.TrimSpace(s)
	n := numberLen(t)
	if n == 0 {
		return Quantity{}, fmt.Errorf("%w: %q does not begin with a number", ErrSyntax, s)
	}
	v, err := strconv.ParseFloat(t[:n], 64)
	if err != nil || math.IsInf(v, 0) {
		return Quantity{}, fmt.Errorf("%w: %q is out of range", ErrSyntax, s)
	}
	rest := t[n:]
	if rest != "" {
		// A suffix counts only when no unit name begins there: "3TB" is bytes,
		// "3T tokens" is a count.
		if f, ok := countSuffix[rest[0]]; ok && (len(rest) == 1 || rest[1] == ' ') {
			v *= f
			rest = rest[1:]
		}
	}
	u, err := ParseUnit(strings.TrimSpace(rest))
	if err != nil {
		return Quantity{}, fmt.Errorf("%q: %w", s, err)
	}
	return Quantity{Base: v * u.Scale, Unit: u}, nil
}

var countSuffix = map[byte]float64{'K': 1e3, 'k': 1e3, 'M': 1e6, 'B': 1e9, 'T': 1e12}

// ParseAs is Parse for a field of a known unit: a bare number is taken in that
// unit, and a quantity of another dimension is refused with both named.
func ParseAs(s string, want Unit) (Quantity, error) {
	q, err := Parse(s)
	if err != nil {
		return Quantity{}, err
	}
	if q.Unit.Text == "" && want.Dim != (Dim{}) {
		return Quantity{}, fmt.Errorf("%w: %q has no unit; write for example %q", ErrDimension, s, s+" "+want.Text)
	}
	if q.Unit.Dim != want.Dim {
		return Quantity{}, fmt.Errorf("%w: %q is measured in %s; expected %s", ErrDimension, s, q.Unit.Dim, wantText(want))
	}
	return q, nil
}

func wantText(u Unit) string {
	if u.Text == "" {
		return "a plain number"
	}
	return u.Text
}

func numberLen(s string) int {
	i, digits := 0, 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	for ; i < len(s) && (s[i] == '.' || s[i] >= '0' && s[i] <= '9'); i++ {
		if s[i] != '.' {
			digits++
		}
	}
	if digits == 0 {
		return 0
	}
	// An exponent needs digits; otherwise the e belongs to a unit.
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		k := j
		for k < len(s) && s[k] >= '0' && s[k] <= '9' {
			k++
		}
		if k > j {
			i = k
		}
	}
	return i
}

// ParseUnit reads a unit expression: names joined by "/", "*" or "·" and raised
// by "^", each with an SI prefix where one makes sense. A denominator may carry
// a count, as in "USD/1K tokens" or "USD/Mtok". The empty text is [One].
func ParseUnit(s string) (Unit, error) {
	if s == "" {
		return One, nil
	}
	u := Unit{Text: s, Scale: 1}
	sign := int8(1)
	for part := range splitUnit(s) {
		switch part {
		case "/":
			sign = -1
			continue
		case "*", "·":
			continue
		}
		f, err := parseFactor(strings.TrimSpace(part))
		if err != nil {
			return Unit{}, err
		}
		if sign < 0 {
			u.Scale /= f.Scale
			u.Dim = u.Dim.Div(f.Dim)
		} else {
			u.Scale *= f.Scale
			u.Dim = u.Dim.Mul(f.Dim)
		}
		// "/" binds only the next factor, except that a chain a/b/c divides twice.
		sign = 1
	}
	if sign < 0 || u.Scale == 0 || math.IsInf(u.Scale, 0) || math.IsNaN(u.Scale) {
		return Unit{}, fmt.Errorf("%w: %q", ErrUnknownUnit, s)
	}
	return u, nil
}

func splitUnit(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i, r := range s {
			if r != '/' && r != '*' && r != '·' {
				continue
			}
			if t := s[start:i]; strings.TrimSpace(t) != "" && !yield(t) {
				return
			}
			if !yield(string(r)) {
				return
			}
			start = i + len(string(r))
		}
		if t := s[start:]; strings.TrimSpace(t) != "" {
			yield(t)
		}
	}
}

// parseFactor reads one factor: an optional count, a name, an optional power.
func parseFactor(s string) (Unit, error) {
	f := Unit{Scale: 1}
	if n := numberLen(s); n > 0 && s != "" && unicode.IsDigit(rune(s[0])) {
		v, err := strconv.ParseFloat(s[:n], 64)
		if err != nil || v <= 0 {
			return Unit{}, fmt.Errorf("%w: %q", ErrUnknownUnit, s)
		}
		f.Scale = v
		s = s[n:]
		if s != "" {
			if m, ok := countSuffix[s[0]]; ok && (len(s) == 1 || s[1] == ' ') {
				f.Scale *= m
				s = s[1:]
			}
		}
		s = strings.TrimSpace(s)
		if s == "" {
			return f, nil
		}
	}
	power := 1
	if name, p, ok := strings.Cut(s, "^"); ok {
		v, err := strconv.Atoi(p)
		if err != nil || v < 1 || v > 9 {
			return Unit{}, fmt.Errorf("%w: %q: a power is 1 to 9", ErrUnknownUnit, s)
		}
		s, power = name, v
	}
	n, err := lookup(s)
	if err != nil {
		return Unit{}, err
	}
	for range power {
		f.Scale *= n.Scale
		f.Dim = f.Dim.Mul(n.Dim)
	}
	return f, nil
}

func lookup(name string) (Unit, error) {
	if u, ok := names[name]; ok {
		return u.Unit, nil
	}
	for p, f := range prefixes {
		rest, ok := strings.CutPrefix(name, p)
		if !ok || rest == "" {
			continue
		}
		if u, ok := names[rest]; ok && u.prefix {
			u.Scale *= f
			return u.Unit, nil
		}
	}
	if near := nearest(name); near != "" {
		return Unit{}, fmt.Errorf("%w: %q; did you mean %q?", ErrUnknownUnit, name, near)
	}
	return Unit{}, fmt.Errorf("%w: %q", ErrUnknownUnit, name)
}

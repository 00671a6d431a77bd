package formula

import (
	"math"
	"strconv"
	"strings"

	"github.com/stratahq/strata/unit"
)

// Show writes a value in base units for people: in unit u, with up to six
// significant digits and separated thousands, such as "212,080 USD".
func Show(base float64, u unit.Unit) string {
	v := unit.Quantity{Base: base, Unit: u}.Value()
	s := ShowNumber(v)
	switch u.Text {
	case "":
		return s
	case "%":
		return s + "%"
	}
	return s + " " + u.Text
}

// ShowNumber writes a number with up to six significant digits, thousands
// separated; very large and very small ones in powers of ten.
func ShowNumber(v float64) string {
	abs := math.Abs(v)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "no number"
	}
	if abs >= 1e15 || abs != 0 && abs < 1e-6 {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	decimals := 0
	if abs != 0 {
		decimals = max(0, 5-int(math.Floor(math.Log10(abs))))
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	whole, fraction, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}

// WithNumbers writes the formula of q with each name replaced by its value, as
// values gives it (in base units).
func (q *Quantity) WithNumbers(values func(*Quantity) float64) string {
	if q.root == nil {
		return ""
	}
	return write(q.root, 0, func(n *node) string {
		if n.ref == nil {
			return n.text
		}
		if n.ref.Text != nil {
			return strconv.Quote(*n.ref.Text)
		}
		s := Show(values(n.ref), n.ref.Unit)
		if n.ref.series {
			s += " (last month)"
		}
		return s
	})
}

// precedence of the operators, in steps of two: the right side of one that groups
// to the left stands one higher.
var precedence = map[string]int{"or": 2, "and": 4, "<": 8, "<=": 8, ">": 8, ">=": 8, "==": 8, "!=": 8, "+": 10, "-": 10, "*": 12, "/": 12, "^": 16}

// product is the precedence in which a value with a unit needs parentheses: one
// that divides would read as a further division.
const product = 12

// write writes a formula; outer is the precedence of what stands around it.
func write(n *node, outer int, name func(*node) string) string {
	parens := func(s string, p int) string {
		if p < outer {
			return "(" + s + ")"
		}
		return s
	}
	switch n.kind {
	case nameNode:
		s := name(n)
		if outer >= product && strings.ContainsAny(s, "/ ") {
			return "(" + s + ")"
		}
		return s
	case numberNode:
		if outer >= product && strings.ContainsAny(n.text, "/ ") {
			return "(" + n.text + ")"
		}
		return n.text
	case textNode:
		return strconv.Quote(n.text)
	case unaryNode:
		if n.text == "not" {
			return parens("not "+write(n.args[0], 6, name), 6)
		}
		return parens("-"+write(n.args[0], 14, name), 14)
	case callNode:
		args := make([]string, len(n.args))
		for i, a := range n.args {
			args[i] = write(a, 0, name)
		}
		return n.text + "(" + strings.Join(args, ", ") + ")"
	}
	p := precedence[n.text]
	op := map[string]string{"*": "×", "/": "÷"}[n.text]
	if op == "" {
		op = n.text
	}
	left, right := p, p+1
	if n.text == "^" {
		left, right = p+1, p
	}
	return parens(write(n.args[0], left, name)+" "+op+" "+write(n.args[1], right, name), p)
}

// Round rounds to a number of significant digits.
func Round(v float64, digits int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	if err != nil {
		return v
	}
	return r
}

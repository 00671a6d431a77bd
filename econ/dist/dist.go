// Package dist reads and holds uncertain numbers in the one notation that
// Strata uses everywhere:
//
//	24.21 USD/h                     a value
//	2.10 to 2.60 USD/h              5th to 95th percentile
//	2.30 (2.10 to 2.60) USD/h       best guess (the median), 5th to 95th percentile
//	triangular(1, 2, 4) USD/h       a named form, see [Parse]
//
// A range is log-normal when both ends are above 0, a beta distribution when it
// is a share between 0 and 100 %, and normal otherwise. A best guess makes two
// half distributions that meet at the median, in the logarithm, the logit or the
// number itself by the same rule.
//
// A distribution is its quantile function, so that any sequence of points in
// (0,1), quasi-random ones included, can be turned into draws. All numbers are
// estimates in float64 and base units of package unit, never money that is owed.
package dist

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/mathext"

	"github.com/stratahq/strata/unit"
)

// Shape names the family of a distribution.
type Shape string

// The shapes. TwoPiece* are what a best guess makes.
const (
	Constant          Shape = "constant"
	LogNormal         Shape = "log-normal"
	Normal            Shape = "normal"
	Beta              Shape = "beta"
	Uniform           Shape = "uniform"
	Triangular        Shape = "triangular"
	Pert              Shape = "pert"
	Empirical         Shape = "empirical"
	TwoPieceLogNormal Shape = "two-piece log-normal"
	TwoPieceLogit     Shape = "two-piece logit-normal"
	TwoPieceNormal    Shape = "two-piece normal"
)

// Dist is an uncertain number. It does not change after it is made and may be
// used from many goroutines. The zero Dist is the constant 0.
type Dist struct {
	shape Shape
	// a, b, c are the parameters of the shape: location, lower and upper scale
	// of the normal family; α and β of a beta on [lo, hi]; the mode in c.
	a, b, c float64
	lo, hi  float64
	values  []float64 // sorted, of an empirical distribution
	unit    unit.Unit
	text    string
}

// z95 is the 95th percentile of the standard normal distribution.
var z95 = normalQuantile(0.95)

// Of is the constant q.
func Of(q unit.Quantity) Dist {
	return Dist{shape: Constant, a: q.Base, unit: q.Unit, text: q.String()}
}

// Shape is the family.
func (d Dist) Shape() Shape {
	if d.shape == "" {
		return Constant
	}
	return d.shape
}

// Unit is the unit in which the number was written.
func (d Dist) Unit() unit.Unit { return d.unit }

// Text is the number as it was written.
func (d Dist) Text() string { return d.text }

// Certain says that the number is a constant.
func (d Dist) Certain() bool { return d.Shape() == Constant }

// Median is the 50th percentile, in base units: the best guess.
func (d Dist) Median() float64 { return d.Quantile(0.5) }

// Quantile is the value below which the share p lies, in base units. p is held
// within 1e-12 and 1-1e-12, so that a draw is always finite.
func (d Dist) Quantile(p float64) float64 {
	p = min(max(p, 1e-12), 1-1e-12)
	switch d.Shape() {
	case Constant:
		return d.a
	case Normal:
		return d.a + d.b*normalQuantile(p)
	case LogNormal:
		return math.Exp(d.a + d.b*normalQuantile(p))
	case TwoPieceNormal:
		return d.twoPiece(p)
	case TwoPieceLogNormal:
		return math.Exp(d.twoPiece(p))
	case TwoPieceLogit:
		return 1 / (1 + math.Exp(-d.twoPiece(p)))
	case Uniform:
		return d.lo + p*(d.hi-d.lo)
	case Triangular:
		span, left := d.hi-d.lo, d.c-d.lo
		if p < left/span {
			return d.lo + math.Sqrt(p*span*left)
		}
		return d.hi - math.Sqrt((1-p)*span*(d.hi-d.c))
	case Beta, Pert:
		return d.lo + (d.hi-d.lo)*mathext.InvRegIncBeta(d.a, d.b, p)
	case Empirical:
		at := p * float64(len(d.values)-1)
		i := min(int(at), len(d.values)-2)
		return d.values[i] + (at-float64(i))*(d.values[i+1]-d.values[i])
	}
	panic("dist: no quantile function for " + string(d.shape))
}

func (d Dist) twoPiece(p float64) float64 {
	z := normalQuantile(p)
	if z < 0 {
		return d.a + d.b*z
	}
	return d.a + d.c*z
}

// Support is the least and the greatest possible value, in base units; they may
// be infinite.
func (d Dist) Support() (lo, hi float64) {
	switch d.Shape() {
	case Constant:
		return d.a, d.a
	case Normal, TwoPieceNormal:
		return math.Inf(-1), math.Inf(1)
	case LogNormal, TwoPieceLogNormal:
		return 0, math.Inf(1)
	case TwoPieceLogit:
		return 0, 1
	case Empirical:
		return d.values[0], d.values[len(d.values)-1]
	}
	return d.lo, d.hi
}

// String describes the number and says what is assumed, such as
// "2.1 to 2.6 USD/h (log-normal, 5th to 95th percentile)".
func (d Dist) String() string {
	if d.Certain() {
		return unit.Quantity{Base: d.a, Unit: d.unit}.String()
	}
	number := func(base float64) string {
		return strconv.FormatFloat(unit.Quantity{Base: base, Unit: d.unit}.Value(), 'g', 4, 64)
	}
	s := number(d.Quantile(0.05)) + " to " + number(d.Quantile(0.95))
	if strings.HasPrefix(string(d.shape), "two-piece") {
		s = number(d.Median()) + " (" + s + ")"
	}
	if d.unit.Text != "" {
		s += " " + d.unit.Text
	}
	return s + " (" + string(d.shape) + ", 5th to 95th percentile)"
}

// normalQuantile is the inverse of the standard normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// rangeDist is the distribution of a range, with or without a best guess, in
// base units. share says that the number is a share between 0 and 1.
func rangeDist(p5, p95 float64, best *float64, share bool, shape Shape) (Dist, error) {
	if shape == "" {
		switch {
		case share && p5 > 0 && p95 < 1:
			shape = Beta
		case share && p5 >= 0 && p95 <= 1:
			return Dist{}, fmt.Errorf("%w: 0 %% and 100 %% cannot be percentiles of a share, since nothing lies beyond them; write for example 1 to 99 %%, or uniform(0%%, 100%%)", ErrShare)
		case p5 > 0 && p95 > 0:
			shape = LogNormal
		default:
			shape = Normal
		}
	}
	var there func(float64) float64
	switch shape {
	case LogNormal:
		if p5 <= 0 {
			return Dist{}, fmt.Errorf("%w: a log-normal number is above 0 everywhere", ErrSyntax)
		}
		there = math.Log
	case Normal:
		there = func(x float64) float64 { return x }
	case Beta:
		if p5 <= 0 || p95 >= 1 {
			return Dist{}, fmt.Errorf("%w: a beta distribution lies between 0 and 100 %%", ErrShare)
		}
		if best == nil {
			a, b := fitBeta(p5, p95)
			return Dist{shape: Beta, a: a, b: b, lo: 0, hi: 1}, nil
		}
		there = func(x float64) float64 { return math.Log(x / (1 - x)) }
	default:
		return Dist{}, fmt.Errorf("%w: shape %q: a range is lognormal, normal or beta", ErrSyntax, shape)
	}
	low, high := there(p5), there(p95)
	if best == nil {
		return Dist{shape: shape, a: (low + high) / 2, b: (high - low) / (2 * z95)}, nil
	}
	mid := there(*best)
	two := map[Shape]Shape{LogNormal: TwoPieceLogNormal, Normal: TwoPieceNormal, Beta: TwoPieceLogit}[shape]
	return Dist{shape: two, a: mid, b: (mid - low) / z95, c: (high - mid) / z95}, nil
}

// fitBeta finds the beta distribution with the given 5th and 95th percentiles.
// For each α one β meets the lower one (the probability below a point grows with
// β); the α that meets the upper one too is found by bisection, since along that
// curve the distribution only narrows as α grows.
func fitBeta(p5, p95 float64) (a, b float64) {
	bisect := func(lo, hi float64, above func(float64) bool) float64 {
		for range 60 {
			mid := (lo + hi) / 2
			if above(mid) {
				hi = mid
			} else {
				lo = mid
			}
		}
		return (lo + hi) / 2
	}
	const least, most = -9, 28 // of the logarithm
	beta := func(logA float64) float64 {
		a := math.Exp(logA)
		return math.Exp(bisect(least, most, func(logB float64) bool {
			return mathext.RegIncBeta(a, math.Exp(logB), p5) > 0.05
		}))
	}
	logA := bisect(least, most, func(logA float64) bool {
		return mathext.RegIncBeta(math.Exp(logA), beta(logA), p95) > 0.95
	})
	return math.Exp(logA), beta(logA)
}

// sample makes an empirical distribution; its quantiles are interpolated
// linearly between the sorted values.
func sample(values []float64) Dist {
	sort.Float64s(values)
	return Dist{shape: Empirical, values: values, lo: values[0], hi: values[len(values)-1]}
}

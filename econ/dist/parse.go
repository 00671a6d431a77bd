package dist

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/stratahq/strata/unit"
)

// Errors of reading; match them with errors.Is. Faults of units are those of
// package unit.
var (
	ErrSyntax    = errors.New("not an uncertain number")
	ErrReversed  = errors.New("reversed range")
	ErrShare     = errors.New("not a share")
	ErrPlusMinus = errors.New("± has no one meaning")
)

// Options says what is expected of a number.
type Options struct {
	// Unit is the unit of the field; a number of another dimension is refused.
	// When nil, any unit is taken.
	Unit *unit.Unit
	// Read reads the file that empirical(FILE) names; nil refuses it.
	Read func(name string) ([]byte, error)
}

var (
	namedForm = regexp.MustCompile(`(?s)^([A-Za-z]+) *\((.*)\)(.*)$`)
	bestForm  = regexp.MustCompile(`^([^()]*)\(([^()]*)\)([^()]*)$`)
	rangeWord = regexp.MustCompile(`\s+to\s+`)
	suffixed  = regexp.MustCompile(`^[-+0-9.eE]+[KkMBT](\s|$)`)
	zeroes    = regexp.MustCompile(`^[-+]?0[0-9]`)
	commas    = regexp.MustCompile(`^[-+]?\d{1,3}(,\d{3})+`)
	dateLike  = regexp.MustCompile(`^\d{4}-\d{2}(-\d{2})?`)
)

// Parse reads an uncertain number. Beside a value, a range and a best guess it
// knows these named forms, with the unit behind the parenthesis or in it:
//
//	lognormal(p5=5, p95=10)          also normal, beta, with p50= for a best guess
//	normal(mean=5, sd=1)
//	uniform(5, 10)
//	triangular(least, likeliest, greatest)
//	pert(least, likeliest, greatest)
//	empirical(FILE)                  one number a line
//
// Both ends of a range share the unit behind the second: "2 to 3 h". A count
// suffix belongs to its own number: "2M to 3M users".
func Parse(text string, o Options) (Dist, error) {
	d, err := parse(strings.TrimSpace(text), o)
	if err != nil {
		return Dist{}, err
	}
	d.text = strings.TrimSpace(text)
	return d, nil
}

func parse(s string, o Options) (Dist, error) {
	if strings.Contains(s, "±") || strings.Contains(s, "+/-") || strings.Contains(s, "+-") {
		return Dist{}, fmt.Errorf("%w: in %q it may be a standard deviation or an interval; write LOW to HIGH, the 5th and the 95th percentile", ErrPlusMinus, s)
	}
	if m := namedForm.FindStringSubmatch(s); m != nil {
		return named(m[1], m[2], strings.TrimSpace(m[3]), o)
	}
	if m := bestForm.FindStringSubmatch(s); m != nil {
		ends := rangeWord.Split(strings.TrimSpace(m[2]), -1)
		if len(ends) != 2 {
			return Dist{}, fmt.Errorf("%w: %q: in the parenthesis stands LOW to HIGH", ErrSyntax, s)
		}
		return ranged([]string{m[1], ends[0], ends[1]}, strings.TrimSpace(m[3]), "", o)
	}
	if ends := rangeWord.Split(s, -1); len(ends) > 1 {
		if len(ends) != 2 {
			return Dist{}, fmt.Errorf("%w: %q has more than two ends", ErrSyntax, s)
		}
		return ranged([]string{"", ends[0], ends[1]}, "", "", o)
	}
	q, err := number(s, o.Unit)
	if err != nil {
		return Dist{}, err
	}
	return Of(q), nil
}

// number reads one quantity; want may be nil.
func number(s string, want *unit.Unit) (unit.Quantity, error) {
	s = strings.TrimSpace(s)
	switch {
	case zeroes.MatchString(s):
		return unit.Quantity{}, fmt.Errorf("%w: %q begins with a zero, which some readers take for octal; write it without", ErrSyntax, s)
	case commas.MatchString(s):
		number := commas.FindString(s)
		return unit.Quantity{}, fmt.Errorf("%w: %q has commas between its digits; write %s", ErrSyntax, s, strings.ReplaceAll(number, ",", ""))
	case dateLike.MatchString(s):
		return unit.Quantity{}, fmt.Errorf("%w: %q is a date, not a number", ErrSyntax, s)
	case want == nil:
		return unit.Parse(s)
	}
	return unit.ParseAs(s, *want)
}

// numbers reads several quantities of one dimension: a number without a unit of
// its own takes the unit given behind all, or else that of the last one that has one.
func numbers(texts []string, behind string, o Options) ([]float64, unit.Unit, error) {
	var common unit.Unit
	if behind != "" {
		u, err := unit.ParseUnit(behind)
		if err != nil {
			return nil, common, err
		}
		common = u
	}
	quantities := make([]unit.Quantity, len(texts))
	for i, t := range texts {
		if strings.TrimSpace(t) == "" {
			continue
		}
		q, err := number(t, nil)
		if err != nil {
			return nil, common, err
		}
		if q.Unit.Text != "" && behind == "" {
			common = q.Unit
		}
		quantities[i] = q
	}
	if o.Unit != nil {
		if common.Text == "" && o.Unit.Dim != (unit.Dim{}) {
			return nil, common, fmt.Errorf("%w: no unit; expected %s", unit.ErrDimension, o.Unit.Text)
		}
		if common.Dim != o.Unit.Dim {
			want := o.Unit.Text
			if want == "" {
				want = "a plain number"
			}
			return nil, common, fmt.Errorf("%w: measured in %s; expected %s", unit.ErrDimension, common.Dim, want)
		}
	}
	scale := common.Scale
	if scale == 0 {
		scale = 1
	}
	values := make([]float64, len(texts))
	for i, q := range quantities {
		switch {
		case strings.TrimSpace(texts[i]) == "":
			continue
		case q.Unit.Text == "":
			values[i] = q.Base * scale
		case q.Unit.Dim != common.Dim:
			return nil, common, fmt.Errorf("%w: %s is not measured in %s", unit.ErrDimension, q, common.Text)
		default:
			values[i] = q.Base
		}
	}
	return values, common, nil
}

// ranged makes the distribution of texts: best guess (may be empty), low, high.
func ranged(texts []string, behind string, shape Shape, o Options) (Dist, error) {
	low, high := strings.TrimSpace(texts[1]), strings.TrimSpace(texts[2])
	if !suffixed.MatchString(low) && suffixed.MatchString(high) && !strings.Contains(low, " ") {
		return Dist{}, fmt.Errorf("%w: %q to %q: repeat the count suffix on the first number, or write both in full", ErrSyntax, low, high)
	}
	values, u, err := numbers(texts, behind, o)
	if err != nil {
		return Dist{}, err
	}
	p5, p95 := values[1], values[2]
	show := func(x float64) string { return unit.Quantity{Base: x, Unit: u}.String() }
	switch {
	case p5 > p95:
		return Dist{}, fmt.Errorf("%w: %s is above %s; write the lower one first", ErrReversed, show(p5), show(p95))
	case p5 == p95:
		return Dist{}, fmt.Errorf("%w: both ends are %s; write the value alone", ErrSyntax, show(p5))
	}
	var best *float64
	if strings.TrimSpace(texts[0]) != "" {
		best = &values[0]
		if *best <= p5 || *best >= p95 {
			return Dist{}, fmt.Errorf("%w: the best guess %s is not between %s and %s", ErrReversed, show(*best), show(p5), show(p95))
		}
	}
	share := u.Dim == (unit.Dim{}) && (u.Text == "%" || o.Unit != nil && o.Unit.Text == "%")
	d, err := rangeDist(p5, p95, best, share, shape)
	d.unit = u
	return d, err
}

// argument is one argument of a named form.
type argument struct{ name, text string }

func arguments(s string) []argument {
	var args []argument
	for part := range strings.SplitSeq(s, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			name, value = "", part
		}
		args = append(args, argument{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return args
}

// pick finds arguments by name, or by position when none has a name. A name in
// optional may be absent.
func pick(form string, args []argument, names, optional []string) ([]string, error) {
	out := make([]string, len(names)+len(optional))
	all := append(append([]string{}, names...), optional...)
	usage := form + "(" + strings.Join(all, ", ") + ")"
	for i, a := range args {
		at := i
		if a.name != "" {
			at = -1
			for j, n := range all {
				if n == a.name {
					at = j
				}
			}
		}
		if at < 0 || at >= len(out) || a.text == "" || out[at] != "" {
			return nil, fmt.Errorf("%w: write %s", ErrSyntax, usage)
		}
		out[at] = a.text
	}
	for i := range names {
		if out[i] == "" {
			return nil, fmt.Errorf("%w: %s is missing; write %s", ErrSyntax, names[i], usage)
		}
	}
	return out, nil
}

func named(form, inside, behind string, o Options) (Dist, error) {
	args := arguments(inside)
	switch form {
	case "lognormal", "normal", "beta":
		shape := map[string]Shape{"lognormal": LogNormal, "normal": Normal, "beta": Beta}[form]
		if form == "normal" && strings.Contains(inside, "sd") {
			t, err := pick(form, args, []string{"mean", "sd"}, nil)
			if err != nil {
				return Dist{}, err
			}
			v, u, err := numbers(t, behind, o)
			if err != nil {
				return Dist{}, err
			}
			if v[1] <= 0 {
				return Dist{}, fmt.Errorf("%w: a standard deviation is above 0", ErrSyntax)
			}
			return Dist{shape: Normal, a: v[0], b: v[1], unit: u}, nil
		}
		for _, a := range args {
			if a.name == "" {
				return Dist{}, fmt.Errorf("%w: name the arguments: %s(p5=, p95=)", ErrSyntax, form)
			}
		}
		t, err := pick(form, args, []string{"p5", "p95"}, []string{"p50"})
		if err != nil {
			return Dist{}, err
		}
		return ranged([]string{t[2], t[0], t[1]}, behind, shape, o)
	case "uniform":
		t, err := pick(form, args, []string{"least", "greatest"}, nil)
		if err != nil {
			return Dist{}, err
		}
		v, u, err := numbers(t, behind, o)
		if err != nil {
			return Dist{}, err
		}
		if v[0] >= v[1] {
			return Dist{}, fmt.Errorf("%w: uniform(%s): the lower one comes first", ErrReversed, inside)
		}
		return Dist{shape: Uniform, lo: v[0], hi: v[1], unit: u}, nil
	case "triangular", "pert":
		t, err := pick(form, args, []string{"least", "likeliest", "greatest"}, nil)
		if err != nil {
			return Dist{}, err
		}
		v, u, err := numbers(t, behind, o)
		if err != nil {
			return Dist{}, err
		}
		lo, mode, hi := v[0], v[1], v[2]
		if lo > mode || mode > hi || lo == hi {
			return Dist{}, fmt.Errorf("%w: %s(%s): write least, likeliest, greatest", ErrReversed, form, inside)
		}
		if form == "triangular" {
			return Dist{shape: Triangular, lo: lo, hi: hi, c: mode, unit: u}, nil
		}
		// The usual PERT weights: the mode counts four times.
		span := hi - lo
		return Dist{shape: Pert, a: 1 + 4*(mode-lo)/span, b: 1 + 4*(hi-mode)/span, lo: lo, hi: hi, c: mode, unit: u}, nil
	case "empirical":
		return empirical(strings.Trim(strings.TrimSpace(inside), `"'`), behind, o)
	}
	return Dist{}, fmt.Errorf("%w: %q is no form; there are lognormal, normal, beta, uniform, triangular, pert and empirical", ErrSyntax, form)
}

// maxEmpirical bounds the size of a file of observations.
const maxEmpirical = 1 << 24

func empirical(name, behind string, o Options) (Dist, error) {
	if o.Read == nil {
		return Dist{}, fmt.Errorf("%w: empirical(%s): files cannot be read here", ErrSyntax, name)
	}
	data, err := o.Read(name)
	if err != nil {
		return Dist{}, fmt.Errorf("empirical(%s): %w", name, err)
	}
	if len(data) > maxEmpirical {
		return Dist{}, fmt.Errorf("%w: empirical(%s): the file is larger than %d MiB", ErrSyntax, name, maxEmpirical>>20)
	}
	var texts []string
	line := 0
	for t := range strings.Lines(string(data)) {
		line++
		t = strings.TrimSpace(t)
		if t == "" || strings.HasPrefix(t, "#") {
			continue
		}
		if _, err := unit.Parse(t); err != nil {
			return Dist{}, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		texts = append(texts, t)
	}
	if len(texts) < 2 {
		return Dist{}, fmt.Errorf("%w: empirical(%s): at least two observations are needed", ErrSyntax, name)
	}
	if behind == "" && o.Unit != nil {
		behind = o.Unit.Text
	}
	values, u, err := numbers(texts, behind, o)
	if err != nil {
		return Dist{}, fmt.Errorf("empirical(%s): %w", name, err)
	}
	d := sample(values)
	d.unit = u
	return d, nil
}

// Long is the long form: {p5: 2.10 USD/h, p50: 2.30 USD/h, p95: 2.60 USD/h,
// shape: lognormal}. P50 and Shape may be empty.
type Long struct{ P5, P50, P95, Shape string }

// Dist reads the long form.
func (l Long) Dist(o Options) (Dist, error) {
	if l.P5 == "" || l.P95 == "" {
		return Dist{}, fmt.Errorf("%w: the long form needs p5 and p95", ErrSyntax)
	}
	var shape Shape
	switch l.Shape {
	case "":
	case "lognormal", "log-normal":
		shape = LogNormal
	case "normal", "beta":
		shape = Shape(l.Shape)
	default:
		return Dist{}, fmt.Errorf("%w: shape %q; there are lognormal, normal and beta", ErrSyntax, l.Shape)
	}
	d, err := ranged([]string{l.P50, l.P5, l.P95}, "", shape, o)
	if err != nil {
		return Dist{}, err
	}
	d.text = l.P5 + " to " + l.P95
	if l.P50 != "" {
		d.text = l.P50 + " (" + d.text + ")"
	}
	return d, nil
}

// Within checks the number against an allowed range in base units, either end
// of which may be infinite. The best guess, the 5th and the 95th percentile must
// lie in it. Tails beyond are for the caller to hold at the ends.
func (d Dist) Within(lo, hi float64) error {
	for _, p := range []float64{0.05, 0.5, 0.95} {
		x := d.Quantile(p)
		if x >= lo && x <= hi {
			continue
		}
		show := func(x float64) string {
			number := strconv.FormatFloat(unit.Quantity{Base: x, Unit: d.unit}.Value(), 'g', 6, 64)
			if d.unit.Text == "%" {
				return number + "%"
			}
			return strings.TrimSuffix(number+" "+d.unit.Text, " ")
		}
		allowed := "at least " + show(lo)
		switch {
		case math.IsInf(lo, -1):
			allowed = "at most " + show(hi)
		case !math.IsInf(hi, 1):
			allowed = show(lo) + " to " + show(hi)
		}
		hint := ""
		if d.unit.Text == "" && hi == 1 && x > 1 && x <= 100 {
			hint = fmt.Sprintf("; for a share write %g%%", x)
		}
		return fmt.Errorf("%s is impossible; allowed is %s%s", show(x), allowed, hint)
	}
	return nil
}

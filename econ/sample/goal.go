package sample

import (
	"fmt"
	"math"
	"slices"

	"github.com/stratahq/strata/econ/block"
	"github.com/stratahq/strata/econ/formula"
)

// Goal asks which value of an input makes an output reach a target. All numbers
// are in base units.
type Goal struct {
	Output string
	Target float64
	Input  string
	// Low and High bound the search; both 0 means what is allowed for the input,
	// or a thousandth to a thousand times its best guess.
	Low, High float64
}

// Found is the answer to a Goal.
type Found struct {
	// Value is the input with all other inputs at their best guesses.
	Value float64
	// P2_5 to P97_5 are over the draws of the other inputs; each draw has a
	// solution of its own.
	P2_5, P10, P50, P90, P97_5 float64
	// Unreached is the share of draws in which no value within the bounds reaches
	// the target; the percentiles leave them out.
	Unreached float64
	// Low and High are the bounds that were searched.
	Low, High float64
	// Samples is the number of draws: those of the study, at most 2,048, since each
	// of them is solved by a hundred evaluations.
	Samples int
}

const maxSolved = 2048

// goalCells is how many parts the bounds are cut into to find where the output
// crosses the target; the first crossing counts.
const goalCells = 64

// Seek solves a goal. The error is a [formula.Error] when a name is wrong or when
// the target is out of reach at the best guesses.
func (s *Study) Seek(g Goal) (Found, error) {
	var f Found
	others := s.uncertain()
	if at, ok := slices.BinarySearch(others, g.Input); ok {
		others = slices.Delete(slices.Clone(others), at, at+1)
	}
	vary := append(slices.Clone(others), g.Input)
	p, err := s.Graph.Program([]string{g.Output}, vary)
	if err != nil {
		return f, err
	}
	at := slices.IndexFunc(p.Inputs(), func(q *formula.Quantity) bool { return q.Name == g.Input })
	if at < 0 {
		return f, &formula.Error{Path: g.Output, Message: "does not depend on " + g.Input}
	}
	if f.Low, f.High, err = bounds(p.Inputs()[at], g); err != nil {
		return f, err
	}
	grid := gridOf(f.Low, f.High)

	few := *s
	few.Samples = min(s.Samples, maxSolved)
	f.Samples = few.Samples

	// Row 0 has the best guesses, the others have the draws.
	n := few.Samples + 1
	in := columns(len(p.Inputs()), n)
	drawn := few.draws(others)
	for j, q := range p.Inputs() {
		in[j][0] = q.Base
		if k, ok := slices.BinarySearch(others, q.Name); ok {
			copy(in[j][1:], drawn[k])
		}
	}
	found := solve(p, in, at, grid, g.Target)
	if math.IsNaN(found[0]) {
		q := p.Inputs()[at]
		out := p.Outputs()[0]
		return f, &formula.Error{Path: g.Output, Message: fmt.Sprintf("does not reach %s for any %s from %s to %s; give wider bounds or another target", formula.Show(g.Target, out.Unit), g.Input, formula.Show(f.Low, q.Unit), formula.Show(f.High, q.Unit))}
	}
	f.Value = found[0]
	var v Interval
	if len(others) == 0 {
		f.P2_5, f.P10, f.P50, f.P90, f.P97_5 = f.Value, f.Value, f.Value, f.Value, f.Value
		return f, nil
	}
	v.fill(found[1:])
	f.P2_5, f.P10, f.P50, f.P90, f.P97_5 = v.P2_5, v.P10, v.P50, v.P90, v.P97_5
	f.Unreached = float64(v.Invalid) / float64(few.Samples)
	return f, nil
}

func bounds(q *formula.Quantity, g Goal) (lo, hi float64, err error) {
	lo, hi = g.Low, g.High
	if lo == 0 && hi == 0 {
		lo, hi = block.Limits(q.Min, q.Max)
		scale := math.Abs(q.Base)
		if scale == 0 {
			scale = 1 * max(q.Unit.Scale, 1e-300)
		}
		if lo == 0 && math.IsInf(hi, 1) || math.IsInf(lo, -1) && q.Base >= 0 {
			lo = scale / 1000
		}
		if math.IsInf(lo, -1) {
			lo = -scale * 1000
		}
		if math.IsInf(hi, 1) {
			hi = scale * 1000
		}
	}
	if lo >= hi {
		return lo, hi, &formula.Error{Path: g.Input, Message: "the bounds of the search are reversed or equal"}
	}
	return lo, hi, nil
}

// gridOf cuts bounds evenly, in the logarithm when both are above 0 and far apart.
func gridOf(lo, hi float64) []float64 {
	grid := make([]float64, goalCells+1)
	for i := range grid {
		x := float64(i) / goalCells
		if lo > 0 && hi/lo > 100 {
			grid[i] = lo * math.Pow(hi/lo, x)
		} else {
			grid[i] = lo + (hi-lo)*x
		}
	}
	return grid
}

// solve finds, for each row, the first value of input at that reaches the target;
// NaN where there is none.
func solve(p *formula.Program, in [][]float64, at int, grid []float64, target float64) []float64 {
	n := len(in[0])
	r := p.NewRunner()
	out := columns(1, n)
	lo, hi := make([]float64, n), make([]float64, n)
	found := make([]float64, n)
	before := make([]float64, n)
	for i := range found {
		found[i] = math.NaN()
		lo[i], hi[i] = math.NaN(), math.NaN()
	}
	x := in[at]
	rising := make([]bool, n)
	for c, g := range grid {
		for i := range x {
			x[i] = g
		}
		if err := r.Run(in, out); err != nil {
			panic(err) // the columns were made for this program
		}
		for i, y := range out[0] {
			d := y - target
			switch {
			case !math.IsNaN(lo[i]):
			case d == 0:
				lo[i], hi[i] = g, g
			case c > 0 && before[i] < 0 && d > 0, c > 0 && before[i] > 0 && d < 0:
				lo[i], hi[i], rising[i] = grid[c-1], g, d > 0
			}
			before[i] = d
		}
	}
	for range 50 {
		for i := range x {
			x[i] = lo[i] + (hi[i]-lo[i])/2
		}
		if err := r.Run(in, out); err != nil {
			panic(err)
		}
		for i, y := range out[0] {
			if (y > target) == rising[i] {
				hi[i] = x[i]
			} else {
				lo[i] = x[i]
			}
		}
	}
	for i := range found {
		found[i] = lo[i] + (hi[i]-lo[i])/2
	}
	return found
}

// Package sample asks a graph of quantities what its uncertain inputs mean for its
// results: intervals, what drives a result, how probable it is, and which input
// reaches a goal. Draws are scrambled Sobol points (quasi-Monte-Carlo) from a
// seed, so that every answer can be repeated; all quantities are computed on the
// same draws, so that what they have in common stays in common.
package sample

import (
	"fmt"
	"math"
	"slices"

	"github.com/stratahq/strata/econ/block"
	"github.com/stratahq/strata/econ/dist"
	"github.com/stratahq/strata/econ/formula"
)

// Study is a graph with the uncertain numbers of its inputs.
type Study struct {
	Graph   *formula.Graph
	Dists   map[string]dist.Dist
	Seed    uint64
	Samples int
}

// uncertain lists the inputs that are not constants and that one of the outputs
// depends on. The order is by name, so that a draw does not depend on what else
// is asked.
func (s *Study) uncertain() []string {
	names := []string{} // not nil, which would let every input vary
	for name, d := range s.Dists {
		if !d.Certain() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// drivers are the uncertain inputs behind one output.
func (s *Study) drivers(output string) []string {
	names := []string{} // not nil, which would let every input vary
	for _, q := range s.Graph.InputsOf(output) {
		if d, ok := s.Dists[q.Name]; ok && !d.Certain() {
			names = append(names, q.Name)
		}
	}
	return names
}

// value turns a point in (0,1) into a value of an input, held within what is
// possible.
func (s *Study) value(input string, p float64) float64 {
	q, _ := s.Graph.Quantity(input)
	lo, hi := block.Limits(q.Min, q.Max)
	return min(max(s.Dists[input].Quantile(p), lo), hi)
}

// columns makes n numbers for each of k things.
func columns(k, n int) [][]float64 {
	all := make([]float64, k*n)
	out := make([][]float64, k)
	for i := range out {
		out[i] = all[i*n : (i+1)*n : (i+1)*n]
	}
	return out
}

// draws are the values of inputs, in base units.
func (s *Study) draws(inputs []string) [][]float64 {
	in := columns(len(inputs), s.Samples)
	points(in, s.Seed)
	for j, name := range inputs {
		for i, p := range in[j] {
			in[j][i] = s.value(name, p)
		}
	}
	return in
}

// Interval is what is known of a quantity, in base units. Of a series it is the
// last month.
type Interval struct {
	Name string
	// Value is the result of the best guesses; it is not the mean.
	Value                            float64
	Mean, P2_5, P10, P50, P90, P97_5 float64
	// Positive is the probability that the quantity is above 0.
	Positive float64
	// Invalid counts the draws without a value, such as those that divide by
	// zero; the other figures leave them out.
	Invalid int
	// Certain says that no uncertain input is behind the quantity.
	Certain bool
}

// Intervals computes the quantities named, on common draws.
func (s *Study) Intervals(names []string) ([]Interval, error) {
	inputs := s.uncertain()
	p, err := s.Graph.Program(names, inputs)
	if err != nil {
		return nil, err
	}
	r := p.NewRunner()
	base := make([]float64, len(names))
	r.Eval(p.Base(), base)
	out := make([]Interval, len(names))
	uncertain := map[string]bool{}
	for _, name := range inputs {
		uncertain[name] = true
	}
	any := false
	for i, name := range names {
		out[i] = Interval{Name: name, Value: base[i], Mean: base[i], P2_5: base[i], P10: base[i], P50: base[i], P90: base[i], P97_5: base[i], Certain: true}
		if base[i] > 0 {
			out[i].Positive = 1
		}
		for _, q := range s.Graph.InputsOf(name) {
			out[i].Certain = out[i].Certain && !uncertain[q.Name]
		}
		any = any || !out[i].Certain
	}
	if !any {
		return out, nil
	}
	drawn := s.draws(inputs)
	in := make([][]float64, len(p.Inputs()))
	for j, q := range p.Inputs() {
		at, _ := slices.BinarySearch(inputs, q.Name)
		in[j] = drawn[at]
	}
	results := columns(len(names), s.Samples)
	if err := r.Run(in, results); err != nil {
		return nil, err
	}
	for i := range out {
		if !out[i].Certain {
			out[i].fill(results[i])
		}
	}
	return out, nil
}

// Fan computes the interval of a quantity in each month, on the draws of
// [Study.Intervals]. A quantity that is no series has one interval.
func (s *Study) Fan(name string) ([]Interval, error) {
	q, ok := s.Graph.Quantity(name)
	if !ok || !q.IsSeries() {
		return s.Intervals([]string{name})
	}
	inputs := s.uncertain()
	p, err := s.Graph.Program([]string{name}, inputs)
	if err != nil {
		return nil, err
	}
	r := p.NewRunner()
	r.Eval(p.Base(), make([]float64, 1))
	fan := make([]Interval, s.Graph.Months())
	for t, x := range r.Series(0) {
		fan[t] = Interval{Name: name, Value: x, Mean: x, P2_5: x, P10: x, P50: x, P90: x, P97_5: x, Certain: true}
		if x > 0 {
			fan[t].Positive = 1
		}
	}
	if len(p.Inputs()) == 0 {
		return fan, nil
	}
	drawn := s.draws(inputs)
	in := make([][]float64, len(p.Inputs()))
	for j, q := range p.Inputs() {
		at, _ := slices.BinarySearch(inputs, q.Name)
		in[j] = drawn[at]
	}
	months := columns(len(fan), s.Samples)
	err = r.RunMonths(in, columns(1, s.Samples), func(_, t, first int, values []float64) { copy(months[t][first:], values) })
	if err != nil {
		return nil, err
	}
	for t := range fan {
		fan[t].Certain = false
		fan[t].fill(months[t])
	}
	return fan, nil
}

// fill computes the figures of an interval; it sorts the draws.
func (v *Interval) fill(draws []float64) {
	valid := draws[:0]
	for _, x := range draws {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			valid = append(valid, x)
		}
	}
	v.Invalid = len(draws) - len(valid)
	if len(valid) == 0 {
		return
	}
	slices.Sort(valid)
	sum := 0.0
	for _, x := range valid {
		sum += x
	}
	v.Mean = sum / float64(len(valid))
	above, _ := slices.BinarySearchFunc(valid, 0, func(x, zero float64) int {
		if x > zero {
			return 1
		}
		return -1
	})
	v.Positive = float64(len(valid)-above) / float64(len(valid))
	v.P2_5, v.P10, v.P50, v.P90, v.P97_5 = quantile(valid, 0.025), quantile(valid, 0.1), quantile(valid, 0.5), quantile(valid, 0.9), quantile(valid, 0.975)
}

// quantile interpolates between sorted values.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Swing is what one uncertain input does to an output alone.
type Swing struct {
	Input string
	// InputLow and InputHigh are the 10th and 90th percentile of the input; Low
	// and High are the output there, with all else at its best guess.
	InputLow, InputHigh float64
	Low, High           float64
}

// Tornado moves each uncertain input alone from its 10th to its 90th percentile;
// the widest swing comes first.
func (s *Study) Tornado(output string) ([]Swing, error) {
	inputs := s.drivers(output)
	p, err := s.Graph.Program([]string{output}, inputs)
	if err != nil {
		return nil, err
	}
	r := p.NewRunner()
	out := make([]float64, 1)
	swings := make([]Swing, len(inputs))
	for j, q := range p.Inputs() {
		w := Swing{Input: q.Name, InputLow: s.value(q.Name, 0.1), InputHigh: s.value(q.Name, 0.9)}
		x := p.Base()
		x[j] = w.InputLow
		r.Eval(x, out)
		w.Low = out[0]
		x[j] = w.InputHigh
		r.Eval(x, out)
		w.High = out[0]
		swings[j] = w
	}
	slices.SortStableFunc(swings, func(a, b Swing) int {
		if d := math.Abs(b.High-b.Low) - math.Abs(a.High-a.Low); d > 0 {
			return 1
		} else if d < 0 {
			return -1
		}
		return 0
	})
	return swings, nil
}

// Index is how much of an output's variance an input is responsible for.
type Index struct {
	Input string
	// First is the share of the variance that would vanish if the input alone were
	// known; Total the share that would remain if it alone were unknown. Total
	// above First means that the input acts together with others.
	First, Total float64
}

// Sobol computes the first-order and total Sobol indices of an output's uncertain
// inputs, by the estimators of Jansen (1999) on pairs of points that differ in one
// input. Each term compares computed results of such a pair, and none compares
// ranks or columns that were sorted apart: putting the draws in another order
// changes nothing but the last bits of a sum. The greatest total comes first.
func (s *Study) Sobol(output string) ([]Index, error) {
	inputs := s.drivers(output)
	if len(inputs) == 0 {
		return nil, nil
	}
	p, err := s.Graph.Program([]string{output}, inputs)
	if err != nil {
		return nil, err
	}
	k, n := len(inputs), s.Samples
	both := columns(2*k, n)
	points(both, s.Seed)
	// The program may want its inputs in another order than by name.
	for j := range both {
		name := p.Inputs()[j%k].Name
		for i, x := range both[j] {
			both[j][i] = s.value(name, x)
		}
	}
	return jansen(p, both[:k], both[k:])
}

// jansen computes the indices from two independent sets of draws.
func jansen(p *formula.Program, a, b [][]float64) ([]Index, error) {
	k, n := len(a), len(a[0])
	r := p.NewRunner()
	run := func(in [][]float64) ([]float64, error) {
		out := columns(1, n)
		err := r.Run(in, out)
		return out[0], err
	}
	fa, err := run(a)
	if err != nil {
		return nil, err
	}
	fb, err := run(b)
	if err != nil {
		return nil, err
	}
	mean, variance := 0.0, 0.0
	for i := range n {
		mean += (fa[i] + fb[i]) / float64(2*n)
	}
	for i := range n {
		variance += ((fa[i]-mean)*(fa[i]-mean) + (fb[i]-mean)*(fb[i]-mean)) / float64(2*n)
	}
	if math.IsNaN(variance) || math.IsInf(variance, 0) {
		return nil, fmt.Errorf("%s has draws without a value; narrow the inputs that lead there", p.Outputs()[0].Name)
	}
	out := make([]Index, k)
	for j := range out {
		out[j].Input = p.Inputs()[j].Name
		if variance == 0 {
			continue
		}
		in := slices.Clone(a)
		in[j] = b[j]
		fj, err := run(in)
		if err != nil {
			return nil, err
		}
		first, total := 0.0, 0.0
		for i := range n {
			first += (fb[i] - fj[i]) * (fb[i] - fj[i]) / float64(2*n)
			total += (fa[i] - fj[i]) * (fa[i] - fj[i]) / float64(2*n)
		}
		out[j].First, out[j].Total = 1-first/variance, total/variance
	}
	slices.SortStableFunc(out, func(a, b Index) int {
		switch {
		case a.Total > b.Total:
			return -1
		case a.Total < b.Total:
			return 1
		}
		return 0
	})
	return out, nil
}

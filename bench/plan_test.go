package bench

import (
	"slices"
	"testing"

	"github.com/stratahq/strata/econ/scenario"
)

// BenchmarkPlanReport evaluates every figure of the report's scenario on one core,
// with every input varying, in columns of draws. The goal is a million
// evaluations of the whole scenario a second.
func BenchmarkPlanReport(b *testing.B) {
	s, err := scenario.Load("../examples/report-2023.yaml", scenario.Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, err := s.Graph.Program(s.Show, nil)
	if err != nil {
		b.Fatal(err)
	}
	const n = 4096
	in := make([][]float64, len(p.Inputs()))
	for i, x := range p.Base() {
		in[i] = slices.Repeat([]float64{x}, n)
	}
	out := make([][]float64, len(s.Show))
	for i := range out {
		out[i] = make([]float64, n)
	}
	r := p.NewRunner()
	for b.Loop() {
		if err := r.Run(in, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "scenarios/s")
	b.ReportMetric(float64(len(p.Inputs())), "inputs")
}

// BenchmarkPlanSlider moves one input of the report's scenario and computes every
// figure again, as a slider does.
func BenchmarkPlanSlider(b *testing.B) {
	s, err := scenario.Load("../examples/report-2023.yaml", scenario.Options{})
	if err != nil {
		b.Fatal(err)
	}
	p, err := s.Graph.Program(s.Show, []string{"infra.price"})
	if err != nil {
		b.Fatal(err)
	}
	r := p.NewRunner()
	in, out := p.Base(), make([]float64, len(s.Show))
	for b.Loop() {
		in[0] *= 1.0000001
		r.Eval(in, out)
	}
}

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

// BenchmarkPlanMonths computes 10,000 draws of sixty months of a company that
// grows, loses customers and pays for its calls: what a five-year profit and loss
// account asks of the evaluator. The goal is under a second.
func BenchmarkPlanMonths(b *testing.B) {
	s, err := scenario.Parse("pnl.yaml", []byte(`
months: 60
quantities:
  start: 1000 to 2000 users
  monthly_new: 200 to 800 users
  churn: 2 to 6 %
  growth: 1 to 4 %
  price: 8 to 12 USD/user
  tokens: 100K to 400K tokens/user
  token_price: 0.2 to 0.8 USD/Mtok
  decline: 1 to 4 %
  staff: 20000 to 40000 USD
  sales: 5 to 15 %
  capex: 200000 to 400000 USD
  adopted: "= 1 / (1 + exp(-(month - 24) / 6))"
  factor: = carry(1, 1 + growth, 0)
  users: "= carry(start, 1 - churn, monthly_new * factor)"
  revenue: = users * price
  premium: = revenue * adopted * 0.4
  ai_cost: = users * adopted * tokens * token_price * carry(1, 1 - decline, 0)
  wages: = staff * (1 - 0.3 * adopted)
  selling: = (revenue + premium) * sales
  profit: = revenue + premium - ai_cost - wages - selling
  cash: = running(profit) - capex
  low: = min(cash)
  total: = sum(profit)
  back: "= first_month(cash > 0, 999)"
show: [low, total, back]
`), scenario.Options{})
	if err != nil {
		b.Fatal(err)
	}
	study := s.Study()
	study.Samples = 10000
	for b.Loop() {
		if _, err := study.Intervals(s.Show); err != nil {
			b.Fatal(err)
		}
	}
}

package scenario

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

const company = `
title: Growth
months: 24
quantities:
  growth: 2 to 6 %
  price: 10 USD/user
  users: {formula: "carry(1000 [users], 1 + growth, 0)", doc: paying users}
  revenue: {formula: users * price, unit: USD, doc: revenue of a month}
  total: {formula: sum(revenue), unit: USD}
  share: {formula: growth, unit: "%"}
  gpu: {formula: price * 2, unit: USD/user, reported: 19 USD/user}
show: [revenue, total]
`

func TestRun(t *testing.T) {
	s, err := Parse("s.yaml", []byte(company), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Run()
	if err != nil {
		t.Fatal(err)
	}
	revenue := r.Quantities["revenue"]
	growth := r.Quantities["growth"].Value
	if len(revenue.Series) != 24 || math.Abs(revenue.Series[0]-10000*(1+growth)) > 1e-6 || revenue.Value != revenue.Series[23] || revenue.Unit != "USD" {
		t.Errorf("revenue: %+v", revenue)
	}
	if len(revenue.SeriesP10) != 24 || revenue.SeriesP10[23] != revenue.P10 || revenue.SeriesP90[23] != revenue.P90 || revenue.P10 >= revenue.P90 {
		t.Errorf("the band of revenue: %v", revenue.SeriesP10)
	}
	if r.Quantities["users"].SeriesP10 != nil {
		t.Error("a series that is not shown has a band")
	}
	if f := r.Quantities["share"]; f.Unit != "1" || f.Shown != "%" || f.Value < 0.02 || f.Value > 0.06 {
		t.Errorf("a share: %+v", f)
	}
	if f := r.Quantities["gpu"]; *f.Reported != 19 || f.Value != 20 || f.P2_5 != 20 || f.Positive != 1 {
		t.Errorf("a certain quantity: %+v", f)
	}
	if len(r.Uncertain) != 1 || !strings.Contains(r.Quantities["growth"].Number, "beta") {
		t.Errorf("uncertain: %v, %q", r.Uncertain, r.Quantities["growth"].Number)
	}
	report, err := Load(report, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rr, err := report.Run(); err != nil || rr.Quantities["app.query_per_day"].Value != 2025 || rr.Quantities["train.flop"].Value != 3.15e23 {
		t.Errorf("floating-point noise is printed: %v, %v", rr.Quantities["app.query_per_day"].Value, err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	d, err := s.Drivers("total")
	if err != nil || len(d.Inputs) != 1 || d.Inputs[0].Total < 0.99 || d.Inputs[0].High <= d.Inputs[0].Low || d.Inputs[0].Unit != "1" {
		t.Errorf("drivers: %+v, %v", d, err)
	}
	g, err := s.Seek("total", "300000 USD", "price", "", "")
	if err != nil || g.P10 >= g.P90 || g.InputUnit != "USD/user" || math.Abs(g.Value*r.Quantities["total"].Value/10-300000) > 1 {
		t.Errorf("goal: %+v, %v", g, err)
	}
}

func TestExplanation(t *testing.T) {
	s, err := Load(report, Options{Variant: "uncertain"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Explain("infer.h100_margin")
	if err != nil {
		t.Fatal(err)
	}
	if e.Reported != "74.5%" || len(e.Because) != 1 || !strings.Contains(e.Because[0], "sparsity") || !strings.Contains(e.Place, "report-2023.yaml:") {
		t.Errorf("%+v", e)
	}
	seen := map[string]int{}
	var walk func(*Explanation)
	walk = func(e *Explanation) {
		if len(e.DependsOn) > 0 {
			seen[e.Name]++
		}
		for _, d := range e.DependsOn {
			walk(d)
		}
		if e.Name == "infer.h100.efficiency" && !strings.Contains(e.Number, "two-piece") {
			t.Errorf("the number of an uncertain input is %q", e.Number)
		}
	}
	walk(e)
	for name, n := range seen {
		if n > 1 {
			t.Errorf("%s is explained %d times", name, n)
		}
	}
	if len(seen) < 4 {
		t.Errorf("only %v is explained", seen)
	}
	if _, err := s.Explain("infer"); err == nil || !strings.Contains(err.Error(), "a group of infer.a100.cost_per_1k, ") {
		t.Errorf("a group: %v", err)
	}
	if _, err := s.Explain("infer.h100_margn"); err == nil || !strings.Contains(err.Error(), `"infer.h100_margin"`) {
		t.Errorf("an unknown quantity: %v", err)
	}
}

// The schema knows every input of every block.
func TestSchema(t *testing.T) {
	text, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(report, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defs := Schema()["$defs"].(object)
	for _, b := range s.Blocks {
		d, ok := defs["block_"+b.Name].(object)
		if !ok {
			t.Errorf("block %s is not in the schema", b.Name)
			continue
		}
		for _, n := range b.Names() {
			if _, ok := d["properties"].(object)[n]; !ok {
				t.Errorf("%s.%s is not in the schema", b.Name, n)
			}
		}
	}
	if !strings.Contains(string(text), `"additionalProperties":false`) {
		t.Error("the schema allows every key")
	}
}

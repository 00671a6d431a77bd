package block

import (
	"math"
	"strings"
	"testing"

	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/unit"
)

func TestEmbedded(t *testing.T) {
	b, ok := Find("gpu_server")
	if !ok {
		t.Fatal("gpu_server is missing")
	}
	in := b.Input("utilisation")
	if in == nil || in.Max != 1 || in.Min != 0 || in.Unit.Text != "%" || !in.HasDefault {
		t.Errorf("utilisation: %+v", in)
	}
	if b.Input("price").HasDefault || !math.IsNaN(b.Input("price").Max) {
		t.Error("the price of a server must be given, and has no upper limit")
	}
	if o := b.Output("margin"); o == nil || !strings.Contains(o.Formula, "revenue") {
		t.Errorf("margin: %+v", o)
	}
	if _, ok := Find("gpu_servr"); ok {
		t.Error("a block that does not exist is found")
	}
	names := map[string]bool{}
	for _, b := range All() {
		if names[b.Name] {
			t.Errorf("two blocks are called %s", b.Name)
		}
		names[b.Name] = true
		for _, n := range b.Names() {
			if !NamePattern.MatchString(n) {
				t.Errorf("%s.%s is not a name", b.Name, n)
			}
		}
		// A default that is a figure of the world names where it comes from; 0, 1 and
		// 100 % are switches.
		for _, in := range b.Inputs {
			neutral := strings.HasPrefix(in.Default, "0") || strings.HasPrefix(in.Default, "=") || in.Default == "1" || in.Default == "100%"
			choice := in.Name == "gpus" || in.Name == "context" || strings.HasPrefix(in.Name, "target_")
			if in.HasDefault && !in.Text && !neutral && !choice && in.Source == "" {
				t.Errorf("%s.%s has the default %s without a source", b.Name, in.Name, in.Default)
			}
		}
	}
}

func TestBlocksRefuse(t *testing.T) {
	for yaml, says := range map[string]string{
		"b: {doc: d, inputs: {x: {doc: d, unit: USD, default: 3 h}}}":             "expected USD",
		"b: {doc: d, inputs: {x: {doc: d, unit: '%', max: 100%, default: 140%}}}": "impossible",
		"b: {doc: d, inputs: {x: {unit: USD}}}":                                   "has no doc",
		"b: {inputs: {x: {doc: d}}}":                                              "has no doc",
		"b: {doc: d, inputs: {x: {doc: d, unt: USD}}}":                            `did you mean "unit"`,
		"b: {doc: d, inputs: {x: {doc: d, unit: USDD}}}":                          "unknown unit",
		"b: {doc: d, inputs: {x: {doc: d}}, outputs: {x: {doc: d, formula: 1}}}":  "an input and an output",
		"b: {doc: d, outputs: {x: {doc: d}}}":                                     "needs a formula",
		"b: {doc: d, inputs: {month: {doc: d}}}":                                  "meaning of its own",
		"b: {doc: d, inputs: {x: {doc: d, kind: word}}}":                          "number and text",
		"b: {doc: d, inputs: {x: {doc: d}, x: {doc: e}}}":                         "set twice",
		"b: {doc: d, inputs: [x]}":                                                "found a list",
	} {
		r := &Reader{File: "b.yaml"}
		if root := r.Document([]byte(yaml)); root != nil {
			r.Blocks(root, "blocks")
		}
		if err := r.Errs.Sorted(); err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "b.yaml:1:") {
			t.Errorf("%s: %v; want %q", yaml, err, says)
		}
	}
}

func TestFunctions(t *testing.T) {
	evaluate := func(f, u string) (float64, error) {
		p, err := unit.ParseUnit(u)
		if err != nil {
			t.Fatal(err)
		}
		g, err := formula.Build([]formula.Quantity{{Name: "x", Formula: f, Unit: p}}, formula.Options{Functions: Functions(nil)})
		if err != nil {
			return 0, err
		}
		prog, err := g.Program([]string{"x"}, nil)
		if err != nil {
			return 0, err
		}
		out := make([]float64, 1)
		prog.NewRunner().Eval(nil, out)
		return out[0] / p.Scale, nil
	}
	for _, c := range []struct {
		formula, unit string
		want          float64
	}{
		{`accelerator("h100-pcie", "fp16")`, "TFLOP/s", 756.5},
		{`accelerator("a100-sxm-80", "memory")`, "GiB", 80},
		{`rental("h100-pcie", "lambda", "on_demand", "2023-06-30")`, "USD/h", 1.99},
		// 3.49 in 2024 for another machine; eight of them on 2026-09-20 are 3.99.
		{`rental("h100-sxm-80", "lambda", "on_demand", "2026-10-01")`, "USD/h", 3.99},
		{`rental("a100-sxm-40", "AWS", "1y", "2021-01-01")`, "USD/h", 19.22 / 8},
		{`model("gpt-3-175b", "context")`, "tokens", 2048},
		{`electricity("us", "2004-06-30")`, "USD/kWh", 0.0525},
		// The price book: gpt-4o-mini at 0.15 and 0.60 USD per million tokens.
		{`api_price("openai/gpt-4o-mini", "input", "2026-07-01")`, "USD/Mtok", 0.15},
		{`api_price("gpt-4o-mini", "output", "2026-07-01")`, "USD/Mtok", 0.60},
	} {
		if got, err := evaluate(c.formula, c.unit); err != nil || math.Abs(got-c.want) > 1e-9*c.want {
			t.Errorf("%s = %g, %v; want %g %s", c.formula, got, err, c.want, c.unit)
		}
	}
	for f, says := range map[string]string{
		`rental("h100-pcie", "lambda", "3y", "2023-06-30")`:  "no offer of h100-pcie by lambda, 3y",
		`rental("h100-pcie", "lambda", "1y", "1999-01-01")`:  "none until then",
		`model("gpt-3-175b", "size")`:                        "parameters, active",
		`model("gpt-33", "active")`:                          `no model "gpt-33"`,
		`electricity("us", "1950-01-01")`:                    "or before",
		`electricity("mars", "2026-01-01")`:                  `no power price "mars"`,
		`accelerator("h1000", "fp16")`:                       `no accelerator "h1000"`,
		`accelerator("h100-pcie", "fp3")`:                    "no peak rate",
		`api_price("gpt-4o-minni", "input", "2026-07-01")`:   "price list --search",
		`api_price("gpt-4o-mini", "inputs", "2026-07-01")`:   `no bucket "inputs"`,
		`api_price("gpt-4o-mini", "input", "July")`:          "is no day",
		`api_price("gpt-4o-mini", "input", "2026-07-01", 1)`: "takes 3 arguments",
	} {
		if _, err := evaluate(f, "TFLOP/s"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", f, err, says)
		}
	}
}

package scenario

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratahq/strata/econ/block"
	"github.com/stratahq/strata/econ/formula"
)

const report = "../../examples/report-2023.yaml"

// The report's own figures: exact values computed here by hand from the report's
// inputs, and the report's rounding.
func TestReport(t *testing.T) {
	s, err := Load(report, Options{})
	if err != nil {
		t.Fatal(err)
	}
	year := 365.0 * 24
	for name, want := range map[string]struct{ exact, reported, within float64 }{
		"infra.margin_at_100":      {1 - 40000/(24.21*year), 0.809, 0.003},
		"infra.margin_at_50":       {1 - 40000/(24.21*year/2), 0.636, 0.014},
		"infra.margin_at_20":       {1 - 40000/(24.21*year/5), 0, 0.06},
		"train.flop":               {3.15e23, 3.15e23, 1e-9},
		"train.v100_years":         {3.15e23 / 28e12 / 3600 / year, 357, 0.001},
		"train.v100_cost":          {3.15e23 / 28e12 / 3600 * 18.3 / 8 / 0.5, 14.3e6, 0.001},
		"train.a100_years":         {3.15e23 / 312e12 / 3600 / year, 32, 0.001},
		"train.a100_cost":          {3.15e23 / 312e12 / 3600 * 19.22 / 8 / 0.5, 1.35e6, 0.003},
		"infer.a100_cost_per_1k":   {19.22 / 8 / 312e12 / 3600 * 3.5e14 / 0.25, 0.003, 1e-5},
		"infer.a100_margin":        {1 - 19.22/8/312e12/3600*3.5e14/0.25/0.02, 0.85, 0.001},
		"infer.h100_cost_per_1k":   {1.99 / 1513e12 / 3600 * 3.5e14 / 0.25, 0.00051, 2e-6},
		"infer.h100_margin":        {1 - 1.99/1513e12/3600*3.5e14/0.25/0.002, 0.745, 0.001},
		"app.query_per_day":        {2025, 2025, 1e-9},
		"app.research_per_day":     {65000, 65000, 1e-9},
		"app.chat_per_day":         {17500, 17500, 1e-9},
		"app.query_per_day_10m":    {20250, 20250, 1e-9},
		"app.research_per_day_10m": {650000, 650000, 1e-9},
		"app.chat_per_day_10m":     {175000, 175000, 1e-9},
	} {
		q, ok := s.Graph.Quantity(name)
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		got := s.Values[name] / q.Unit.Scale
		reported := 0.0
		if q.Reported != nil {
			reported = *q.Reported / q.Unit.Scale
		}
		if q.Unit.Text == "%" { // compare margins as fractions
			got, reported = got*q.Unit.Scale, reported*q.Unit.Scale
		}
		if math.Abs(got-want.exact) > 1e-9*math.Abs(want.exact) {
			t.Errorf("%s = %.12g %s, want %.12g", name, got, q.Unit.Text, want.exact)
		}
		if q.Reported == nil || math.Abs(reported-want.reported) > 1e-9*want.reported || math.Abs(got-reported) > want.within*max(1, math.Abs(reported)) {
			t.Errorf("%s: computed %g, reported %g", name, got, reported)
		}
		if q.Source == "" {
			t.Errorf("%s names no source", name)
		}
	}
	// 100 calls of 1M users: 50 + 4.5 × 100 tokens in, 50 out.
	memory, _ := s.Graph.Quantity("app.chat_memory_per_day")
	if got := s.Values["app.chat_memory_per_day"] / memory.Unit.Scale; math.Abs(got-1e8*(500*0.0015+50*0.002)/1000) > 1e-6 {
		t.Errorf("the chatbot with memory costs %g", got)
	}
	// The comparable figures: V100 with tensor cores, H100 without sparsity.
	if got := s.Like["train.v100_years"] / (3600 * year); math.Abs(got-3.15e23/125e12/3600/year) > 1e-9 {
		t.Errorf("like for like, %g years of a V100", got)
	}
	if got := s.Like["infer.h100_margin"]; math.Abs(got-(1-1.99/756.5e12/3600*3.5e14/0.25/0.002)) > 1e-9 {
		t.Errorf("like for like, a margin of %g on H100", got)
	}
	if _, ok := s.Like["train.a100_years"]; ok {
		t.Error("A100 has a like-for-like figure although it needs none")
	}
}

// Memory by a loop over the turns agrees with the closed formula, also where the
// context window cuts it.
func TestMemoryOfTurns(t *testing.T) {
	for _, c := range []struct{ turns, context int }{{1, 4096}, {2, 4096}, {10, 4096}, {40, 4096}, {41, 4096}, {100, 4096}, {7, 250}, {5, 100}} {
		s, err := Load(report, Options{Set: []string{"app.turns=" + formula.ShowNumber(float64(c.turns)), "app.memory.context=" + strings.ReplaceAll(formula.ShowNumber(float64(c.context)), ",", "") + " tokens/call"}})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for k := range c.turns {
			fits := (c.context - 100) / 100 // whole turns beside this one's 100 tokens
			m := k * 100
			if k > fits {
				m = c.context - 100 // the last kept turn is cut
			}
			sum += m
		}
		if got, want := s.Values["app.memory.memory"], float64(sum)/float64(c.turns); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%d turns in %d tokens: memory %g, want %g", c.turns, c.context, got, want)
		}
	}
}

func TestVariantsAndSet(t *testing.T) {
	s, err := Load(report, Options{Variant: "uncertain", Set: []string{"infra.price = 30 USD/h", "app.users=2M users", "infra.life== train.v100.gpus * 1 [year]"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Values["infra.price"] * 3600; math.Abs(got-30) > 1e-9 {
		t.Errorf("--set gives %g USD/h over the variant", got)
	}
	if got := s.Values["infra.life"]; got != 8*365*86400 {
		t.Errorf("a formula by --set gives %g s", got)
	}
	if u := s.Uncertain(); len(u) != 6 || u[0] != "app.turns" {
		t.Errorf("uncertain: %v", u)
	}
	if q, _ := s.Graph.Quantity("infra.price"); q.Source != "--set" {
		t.Errorf("the source of a set price is %q", q.Source)
	}
	if q, _ := s.Graph.Quantity("app.turns"); q.Source != "variant uncertain" || q.Doc == "" {
		t.Errorf("app.turns: %q, %q", q.Source, q.Doc)
	}
	if len(s.Variants) != 2 || s.Variants[1].Name != "uncertain" {
		t.Errorf("variants: %v", s.Variants)
	}
}

func TestInclude(t *testing.T) {
	files := map[string]string{
		"d/base.yaml": "title: base\nquantities:\n  server: {block: gpu_server, capital: 200000 USD, price: 24 USD/h}\n  rate: {value: empirical(rates.txt), unit: USD/h}\n",
		"d/rates.txt": "1\n2\n3\n",
		"d/top.yaml":  "include: base.yaml\ntitle: top\nquantities:\n  server:\n    price: 12 USD/h\n    margin: {reported: 62%}\n  mine: = server.margin\nblocks:\n  twice:\n    doc: twice a number\n    inputs: {x: {doc: a number}}\n    outputs: {y: {formula: 2 * x, doc: twice it}}\n",
		"d/loop.yaml": "include: [top.yaml, loop.yaml]\nquantities: {a: 1}\n",
	}
	read := func(path string) ([]byte, error) {
		if s, ok := files[path]; ok {
			return []byte(s), nil
		}
		return nil, fs.ErrNotExist
	}
	s, err := Load("d/top.yaml", Options{Read: read})
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "top" || math.Abs(s.Values["mine"]-(1-40000/(12.0*8760))) > 1e-9 {
		t.Errorf("%q, margin %g", s.Title, s.Values["mine"])
	}
	if q, _ := s.Graph.Quantity("mine"); q.Unit.Text != "%" {
		t.Errorf("a plain copy is in %q", q.Unit.Text)
	}
	if got := s.Dists["rate"].Median() * 3600; math.Abs(got-2) > 1e-9 {
		t.Errorf("the median of the file is %g", got)
	}
	if _, err := Load("d/loop.yaml", Options{Read: read}); err == nil || !strings.Contains(err.Error(), "d/loop.yaml:1:21: include: loop.yaml includes itself") {
		t.Errorf("a loop of includes: %v", err)
	}
	if _, err := Load("d/none.yaml", Options{Read: read}); !errors.Is(err, fs.ErrNotExist) || !IsInputError(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Every bad input is told with its file, line and path, and what mends it.
func TestBadInput(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		says []string
	}{
		"unknown key of a file":  {"titel: x\n", []string{"s.yaml:1:1: titel: unknown key", `did you mean "title"`}},
		"unknown input":          {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, utilization: 50%}\n", []string{"s.yaml:2:", "a.utilization", `did you mean "utilisation"`}},
		"unknown key of a value": {"quantities:\n  a: {value: 1, sorce: x}\n", []string{"s.yaml:2:", "sorce: unknown key", `"source"`}},
		"unknown block":          {"quantities:\n  a: {block: gpu_servr}\n", []string{"s.yaml:2:", `did you mean "gpu_server"`}},
		"missing input":          {"quantities:\n  a: {block: gpu_server, capital: 1 USD}\n", []string{"s.yaml:2:", "a.price", "is missing", "1 USD/h"}},
		"wrong unit":             {"quantities:\n  a:\n    block: gpu_server\n    capital: 1 USD\n    price: 24 USD\n", []string{"s.yaml:5:", "a.price", "expected USD/h"}},
		"no unit":                {"quantities:\n  a: {block: gpu_server, capital: 1, price: 24 USD/h}\n", []string{"a.capital", "no unit", "USD"}},
		"dollars plus hours":     {"quantities:\n  a: 1 USD\n  b: 1 h\n  c: {formula: a + b, unit: USD}\n", []string{"s.yaml:4:", "c:", "cannot add USD and s"}},
		"cycle":                  {"quantities:\n  a: = b\n  b: = c + 1\n  c: = a\n", []string{"depends on itself: a -> b -> c -> a", "s.yaml:2:"}},
		"too much utilisation":   {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, utilisation: 140%}\n", []string{"s.yaml:2:", "a.utilisation", "140% is impossible", "0% to 100%"}},
		"a range beyond":         {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, utilisation: 80 to 120 %}\n", []string{"a.utilisation", "impossible"}},
		"no GPUs":                {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, gpus: 0}\n", []string{"a.gpus", "0 is impossible", "at least 1"}},
		"no GPUs, in words":      {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, gpus: 0 GPUs}\n", []string{"a.gpus", "0 is impossible"}},
		"GPUs of something else": {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, gpus: 8 users}\n", []string{"a.gpus", "expected a plain number"}},
		"negative":               {"quantities:\n  a: {block: gpu_server, capital: -5 USD, price: 1 USD/h}\n", []string{"a.capital", "-5 USD is impossible", "at least 0"}},
		"impossible by formula":  {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, utilisation: = 2 - 0.5}\n", []string{"a.utilisation", "150% is impossible"}},
		"reversed range":         {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 2.6 to 2.1 USD/h}\n", []string{"s.yaml:2:", "a.price", "reversed range", "lower one first"}},
		"plus minus":             {"quantities:\n  a: 2 ± 1 USD\n", []string{"s.yaml:2:", "± has no one meaning"}},
		"division by zero":       {"quantities:\n  a: 0\n  b: = 1 / a\n  c: = b + 1\n", []string{"s.yaml:3:", "b: has no value"}},
		"unknown name":           {"quantities:\n  price: 1\n  b: = prise\n", []string{"s.yaml:3:", `did you mean "price"`}},
		"output with a value":    {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, margin: 50%}\n", []string{"a.margin", "computed by the block gpu_server"}},
		"twice":                  {"quantities:\n  a: 1\n  a: 2\n", []string{"s.yaml:3:", "set twice", "line 2"}},
		"octal":                  {"quantities:\n  a: 012\n", []string{"begins with a zero"}},
		"date":                   {"quantities:\n  a: 2026-11-01\n", []string{"is a date"}},
		"alias":                  {"quantities:\n  a: &x 1\n  b: *x\n", []string{"aliases"}},
		"not YAML":               {"quantities: [\n", []string{"s.yaml:", "is not YAML"}},
		"empty":                  {"", []string{"is empty", "strata plan init"}},
		"a list":                 {"quantities:\n  a: [1, 2]\n", []string{"found a list"}},
		"bad name":               {"quantities:\n  A: 1\n", []string{"is not a name"}},
		"reserved name":          {"quantities:\n  month: 1\n", []string{"meaning of its own"}},
		"unknown show":           {"quantities: {price: 1}\nshow: prise\n", []string{"s.yaml:2:", `"price"`}},
		"unknown in a variant":   {"quantities: {price: 1}\nvariants:\n  v: {prise: 2}\n", []string{"s.yaml:3:", `"price"`}},
		"output in a variant":    {"quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h}\nvariants:\n  v: {a.margin: 5%}\n", []string{"s.yaml:4:", "computed by the block"}},
		"samples":                {"samples: 1\nquantities: {a: 1}\n", []string{"samples", "from 16 to"}},
		"two forms":              {"quantities:\n  a: {value: 1, formula: 2}\n", []string{"more than one of"}},
		"missing accelerator":    {"quantities:\n  a: {formula: 'accelerator(\"a100-sxm\", \"fp16\") * 1', unit: TFLOP/s}\n  b: {formula: 'accelerator(\"b1000\", \"fp16\")', unit: TFLOP/s}\n", []string{"b:", `no accelerator "b1000" in the catalog`}},
		"more than the memory":   {"blocks:\n  fit:\n    doc: d\n    inputs: {need: {unit: GB, doc: d}, have: {unit: GB, doc: d}}\n    outputs: {left: {unit: GB, formula: have - need, doc: d, min: 0, mend: take a GPU with more memory}}\nquantities:\n  m: {block: fit, need: 90 GB, have: 80 GB}\n", []string{"m.left", "-10 GB is impossible", "take a GPU with more memory", "s.yaml:7:"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("s.yaml", []byte(c.yaml), Options{})
			var errs formula.Errors
			if !errors.As(err, &errs) {
				t.Fatalf("no fault was found: %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
			if strings.Count(err.Error(), "\n") > 1 {
				t.Errorf("one fault is told as several:\n%v", err)
			}
		})
	}
	for set, says := range map[string]string{
		"infra.pric=3 USD/h":     `did you mean "infra.price"`,
		"infra.price=3":          "no unit",
		"infra.price":            "NAME=VALUE",
		"infra.margin=3%":        "computed by the block",
		"infra.utilisation=140%": "impossible",
	} {
		if _, err := Load(report, Options{Set: []string{set}}); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--set") {
			t.Errorf("--set %s: %v; want %q", set, err, says)
		}
	}
	if _, err := Load(report, Options{Variant: "uncertian"}); err == nil || !strings.Contains(err.Error(), `did you mean "uncertain"`) {
		t.Errorf("an unknown variant: %v", err)
	}
}

// Every example loads, with each of its variants, and is computed.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		s, err := Load(file, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		for _, v := range append(s.Variants, Variant{}) {
			s, err := Load(file, Options{Variant: v.Name, Set: nil})
			if err != nil {
				t.Errorf("variant %q: %v", v.Name, err)
				continue
			}
			s.Samples = 256
			r, err := s.Run()
			if err != nil {
				t.Errorf("%s, variant %q: %v", file, v.Name, err)
				continue
			}
			for _, name := range s.Show {
				if f := r.Quantities[name]; f.Invalid > 0 || f.P2_5 > f.P97_5 || f.Doc == "" {
					t.Errorf("%s, variant %q: %s: %+v", file, v.Name, name, f)
				}
			}
		}
	}
}

// A scenario's own catalog file stands over the embedded catalog.
func TestCatalog(t *testing.T) {
	files := map[string]string{
		"d/s.yaml":    "catalog: own.yaml\nquantities:\n  rent: {formula: 'rental(\"h100-pcie\", \"us\", \"on_demand\", \"2026-10-01\")', unit: USD/h}\n  peak: = accelerator(\"h100-pcie\", \"fp16\")\n",
		"d/own.yaml":  "offers:\n- {provider: us, accelerator: h100-pcie-80, date: 2026-09-01, prices: {on_demand: 1.50 USD/h}, source: our contract}\n",
		"d/bad.yaml":  "catalog: lost.yaml\nquantities: {a: 1}\n",
		"d/bad2.yaml": "catalog: s.yaml\nquantities: {a: 1}\n",
	}
	read := func(path string) ([]byte, error) {
		if s, ok := files[path]; ok {
			return []byte(s), nil
		}
		return nil, fs.ErrNotExist
	}
	s, err := Load("d/s.yaml", Options{Read: read})
	if err != nil || math.Abs(s.Values["rent"]*3600-1.5) > 1e-9 || s.Values["peak"] != 756.5e12 {
		t.Errorf("%v, %v", s, err)
	}
	e, err := s.Explain("rent")
	if err != nil || e.Source != "catalog, us h100-pcie-80 on 2026-09-01: our contract" || e.Text != "1.5 USD/h" {
		t.Errorf("%+v, %v", e, err)
	}
	for file, says := range map[string]string{"d/bad.yaml": "d/bad.yaml:1:10: catalog: cannot read lost.yaml", "d/bad2.yaml": "d/s.yaml"} {
		if _, err := Load(file, Options{Read: read}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestCounts(t *testing.T) {
	for _, n := range []string{"16", "16 GPUs", "16 gpus", "16 GPU"} {
		s, err := Parse("s.yaml", []byte("quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 USD/h, gpus: "+n+"}\n"), Options{})
		if err != nil || s.Values["a.gpus"] != 16 {
			t.Errorf("%s: %v", n, err)
		}
	}
}

// Each embedded block works with its defaults, and every number is documented.
func TestBlocks(t *testing.T) {
	if len(block.All()) < 4 {
		t.Fatalf("only %d blocks", len(block.All()))
	}
	for _, b := range block.All() {
		if b.Doc == "" || b.Source == "" {
			t.Errorf("block %s has no doc or source", b.Name)
		}
		y := "quantities:\n  x:\n    block: " + b.Name + "\n"
		for _, in := range b.Inputs {
			if !in.HasDefault && !in.Text {
				y += "    " + in.Name + ": 1 " + in.Unit.Text + "\n"
			}
		}
		s, err := Parse(b.Name, []byte(y), Options{})
		if err != nil {
			t.Errorf("block %s: %v", b.Name, err)
			continue
		}
		for _, q := range s.Graph.Quantities() {
			if q.Doc == "" {
				t.Errorf("%s of %s has no doc", q.Name, b.Name)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(report)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add("quantities:\n  a: {block: gpu_server, capital: 1 USD, price: 1 to 2 USD/h}\n  b: = a.margin\nvariants: {v: {a.price: 3 USD/h}}\n")
	f.Fuzz(func(t *testing.T, y string) {
		s, err := Parse("s.yaml", []byte(y), Options{Read: func(string) ([]byte, error) { return nil, fs.ErrNotExist }})
		if err == nil {
			for name, v := range s.Values {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%s = %g", name, v)
				}
			}
		}
	})
}

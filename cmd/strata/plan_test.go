package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const reportFile = "../../examples/report-2023.yaml"

func TestPlanJSON(t *testing.T) {
	code, out, errs := runStrata(t, "plan", reportFile, "--json")
	var r struct {
		Seed       *int `json:"seed"`
		Samples    int  `json:"samples"`
		Quantities map[string]struct {
			Value    float64  `json:"value"`
			Reported *float64 `json:"reported"`
			Unit     string   `json:"unit"`
			P2_5     *float64 `json:"p2_5"`
			P10      *float64 `json:"p10"`
			P90      *float64 `json:"p90"`
			P97_5    *float64 `json:"p97_5"`
			Source   string   `json:"source"`
		} `json:"quantities"`
	}
	if err := json.Unmarshal([]byte(out), &r); code != exitOK || err != nil {
		t.Fatalf("exit code %d, %v: %s", code, err, errs)
	}
	if r.Seed == nil || r.Samples != 8192 {
		t.Errorf("seed %v, samples %d", r.Seed, r.Samples)
	}
	for name, want := range map[string]struct {
		value, reported float64
		unit            string
	}{
		"infra.margin_at_100":    {0.811, 0.809, "1"},
		"infra.margin_at_20":     {0.057, 0, "1"},
		"train.v100_years":       {356.7, 357, "years"},
		"train.a100_cost":        {1.348e6, 1.35e6, "USD"},
		"infer.h100_cost_per_1k": {0.0005115, 0.00051, "USD/1K tokens"},
		"app.chat_per_day":       {17500, 17500, "USD/day"},
	} {
		q, ok := r.Quantities[name]
		if !ok || math.Abs(q.Value-want.value) > 1e-3*want.value+1e-9 && name != "infra.margin_at_20" || math.Abs(q.Value-want.value) > 0.01*want.value {
			t.Errorf("%s = %v, want %v", name, q.Value, want.value)
		}
		if q.Reported == nil || *q.Reported != want.reported || q.Unit != want.unit || q.Source == "" {
			t.Errorf("%s: %+v, want %+v", name, q, want)
		}
		for _, p := range []*float64{q.P2_5, q.P10, q.P90, q.P97_5} {
			if p == nil || *p != q.Value {
				t.Errorf("%s is certain, but has another percentile", name)
			}
		}
	}
}

func TestPlanOutput(t *testing.T) {
	for _, c := range []struct {
		args         []string
		want, forbid []string
	}{
		{[]string{"plan", reportFile}, []string{"81.1392%", "80.9%", "14,296,875 USD", "Nothing is uncertain", "Variants: long_conversations, uncertain"}, []string{"interval", "NaN"}},
		{[]string{"plan", reportFile, "--variant", "uncertain", "--samples", "512", "--seed", "7"}, []string{"80 % interval", "above 0", "512 draws", "seed 7", "variant uncertain"}, []string{"Nothing is uncertain", "NaN", "Variants:"}},
		{[]string{"plan", reportFile, "--variant", "uncertain", "--drivers", "infra.margin"}, []string{"infra.utilisation", "infra.price", "with others"}, []string{"infer.a100.efficiency"}},
		{[]string{"plan", reportFile, "--drivers", "infra.margin"}, []string{"No uncertain input"}, nil},
		{[]string{"plan", reportFile, "--goal", "infra.margin_at_50=70%", "--by", "infra.price"}, []string{"infra.margin_at_50 is 70% at infra.price = 30.4414 USD/h"}, []string{"interval"}},
		{[]string{"plan", "explain", reportFile, "train.v100_years"}, []string{"train.v100_years = 356.735 years", "like for like  79.9087 years", "125 TFLOP/s instead of 28 TFLOP/s", "reported       357 years", "(3.15e+23 FLOP) ÷ (28 TFLOP/s)", "report-2023.yaml:"}, nil},
		{[]string{"plan", "explain", reportFile, "infer.h100_margin"}, []string{"756.5 TFLOP/s instead of 1,513 TFLOP/s", "like for like  48.8"}, nil},
		{[]string{"plan", "compare", reportFile, reportFile + "@long_conversations"}, []string{"app.chat_memory_per_day", "310,000 USD/day"}, []string{"NaN"}},
		{[]string{"plan", "blocks"}, []string{"gpu_server", "training_run", "inference", "product"}, nil},
		{[]string{"plan", "blocks", "product"}, []string{"turns", "(must be given)", "cost_per_day"}, nil},
		{[]string{"plan", "schema"}, []string{"json-schema.org/draft/2020-12", "block_gpu_server", "utilisation"}, nil},
		{[]string{"plan", reportFile, "--all"}, []string{"train.v100.flop_per_parameter", "6 FLOP/token"}, nil},
	} {
		code, out, errs := runStrata(t, c.args...)
		if code != exitOK || errs != "" {
			t.Errorf("%v: exit code %d: %s", c.args, code, errs)
		}
		for _, s := range c.want {
			if !strings.Contains(out, s) {
				t.Errorf("%v: no %q in\n%s", c.args, s, out)
			}
		}
		for _, s := range c.forbid {
			if strings.Contains(out, s) {
				t.Errorf("%v: %q in\n%s", c.args, s, out)
			}
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	other := filepath.Join(dir, "other.yaml")
	if err := os.WriteFile(bad, []byte("quantities:\n  gpu:\n    block: gpu_server\n    capital: 200000 USD\n    price: 28 to 20 USD/h\n    utilization: 50%\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, []byte("quantities: {x: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unused := filepath.Join(dir, "unused.yaml")
	if err := os.WriteFile(unused, []byte("quantities: {x: 1 USD}\nvariants:\n  v: {x: 2 h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"plan", bad}, exitUsage, []string{"bad.yaml:6:", "gpu.utilization", `"utilisation"`, "bad.yaml:5:", "reversed range"}},
		{[]string{"plan", filepath.Join(dir, "none.yaml")}, exitUsage, []string{"none.yaml"}},
		{[]string{"plan", dir}, exitUsage, []string{"directory"}},
		{[]string{"plan", unused}, exitUsage, []string{"in the variant v: ", "unused.yaml:3:", "expected USD"}},
		{[]string{"plan"}, exitUsage, []string{"accepts 1 arg"}},
		{[]string{"plan", reportFile, "--variant", "uncertian"}, exitUsage, []string{`"uncertain"`}},
		{[]string{"plan", reportFile, "--set", "infra.utilisation=140%"}, exitUsage, []string{"impossible", "0% to 100%"}},
		{[]string{"plan", reportFile, "--set", "infra.gpus=0"}, exitUsage, []string{"infra.gpus", "at least 1"}},
		{[]string{"plan", reportFile, "--samples", "3"}, exitUsage, []string{"16 to"}},
		{[]string{"plan", reportFile, "--seed=-4"}, exitUsage, []string{"--seed"}},
		{[]string{"plan", reportFile, "--goal", "infra.margin=60%"}, exitUsage, []string{"--by"}},
		{[]string{"plan", reportFile, "--by", "infra.price"}, exitUsage, []string{"--goal"}},
		{[]string{"plan", reportFile, "--goal", "infra.margin=60 USD", "--by", "infra.price"}, exitUsage, []string{"infra.margin", "expected %"}},
		{[]string{"plan", reportFile, "--goal", "infra.margin=300%", "--by", "infra.price"}, exitUsage, []string{"does not reach 300%"}},
		{[]string{"plan", reportFile, "--drivers", "infra.margn"}, exitUsage, []string{`"infra.margin"`}},
		{[]string{"plan", "explain", reportFile, "infra.margn"}, exitUsage, []string{`"infra.margin"`}},
		{[]string{"plan", "compare", reportFile, other}, exitNoData, []string{"in common"}},
		{[]string{"plan", "blocks", "gpu_servr"}, exitNoData, []string{`"gpu_server"`}},
		{[]string{"plan", "init", other}, exitUsage, []string{"exists"}},
		{[]string{"plan", "init", filepath.Join(dir, "new.yaml"), "--block", "gpu"}, exitUsage, []string{"no block"}},
	} {
		code, out, errs := runStrata(t, c.args...)
		if code != c.code || out != "" {
			t.Errorf("%v: exit code %d, want %d; printed %q", c.args, code, c.code, out)
		}
		for _, s := range c.want {
			if !strings.Contains(errs, s) {
				t.Errorf("%v: no %q in %s", c.args, s, errs)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new.yaml")); err == nil {
		t.Error("a refused init wrote a file")
	}
}

// Each block can be started from, whatever it asks; answers that cannot be are
// asked again, and an input that ends early leaves nothing behind.
func TestPlanInit(t *testing.T) {
	dir := t.TempDir()
	ask := func(file, answers string, args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := run(context.Background(), append([]string{"plan", "init", file}, args...), strings.NewReader(answers), &out, &errs)
		return code, out.String(), errs.String()
	}
	file := filepath.Join(dir, "server.yaml")
	code, out, errs := ask(file, "nothing\ngpu_server\n-5 USD\n200000 USD\n24 USD\n20 to 28 USD/h\n")
	if code != exitOK || !strings.Contains(out, "strata plan "+file) {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	for _, s := range []string{`no block "nothing"`, "-5 USD is impossible", "expected USD/h"} {
		if !strings.Contains(errs, s) {
			t.Errorf("no %q in %s", s, errs)
		}
	}
	if code, out, _ := runStrata(t, "plan", file, "--jq", `.quantities["server.price"].number`); code != exitOK || !strings.Contains(out, "log-normal") {
		t.Errorf("the written scenario: exit code %d: %s", code, out)
	}
	early := filepath.Join(dir, "early.yaml")
	if code, _, errs := ask(early, "200000 USD\n", "--block", "gpu_server"); code != exitUsage || !strings.Contains(errs, "nothing was written") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

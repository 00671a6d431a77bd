package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestValidateTraining(t *testing.T) {
	code, out, errs := runStrata(t, "validate", "training", "--json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var rep struct {
		Cases []struct {
			Name, Group, Quantity         string
			Measured, Predicted, P10, P90 float64
		}
		Summary map[string]map[string]float64
	}
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatal(err)
	}
	groups := map[string]int{}
	for _, c := range rep.Cases {
		groups[c.Group]++
		if c.Name == "" || c.Quantity == "" || !(c.P10 < c.Predicted && c.Predicted < c.P90) || c.Measured <= 0 {
			t.Errorf("case %+v", c)
		}
	}
	if groups["step_time"] != 4 || groups["activation_memory"] != 8 || groups["gpu_hours_blind"] != 6 {
		t.Errorf("groups %v", groups)
	}
	for _, key := range []string{"step_time", "activation_memory", "gpu_hours", "throughput"} {
		for _, field := range []string{"cases", "mean_abs_error", "max_abs_error", "coverage_80"} {
			if _, ok := rep.Summary[key][field]; !ok {
				t.Errorf("summary.%s has no %s", key, field)
			}
		}
	}

	code, out, _ = runStrata(t, "validate", "training")
	if code != exitOK {
		t.Fatalf("exit %d", code)
	}
	for _, want := range []string{"korthikanti/tab5/megatron-1t/full", "activation memory", "gpu hours blind", "exact 95 % interval", "leave-one-model-out", "loss.megatron-2022"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not mention %q", want)
		}
	}
}

func TestValidateTrainingCSV(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const header = "name,model,gpu,gpus,tp,pp,dp,ep,interleave,micro_batch,global_batch,seq_len,recompute,precision,quantity,measured\n"
	mixed := write("mixed.csv", header+
		"mine,megatron-22B,a100_80g,8,8,1,1,1,1,4,4,2048,full,float16,step_time,1.42\n"+
		"catalog,qwen2.5-7b,h200,8,1,1,8,,,2,16,4096,full,bf16,tokens_per_s_per_gpu,11000\n"+
		"strange,nosuch,h100,8,1,1,8,,,2,16,4096,full,bf16,step_time,1\n")
	code, out, errs := runStrata(t, "validate", "training", "--csv", mixed, "--json")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for _, want := range []string{`"name":"mine"`, `"name":"catalog"`, `"name":"strange","line":4`, `no model \"nosuch\"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if strings.Contains(out, `"name":"korthikanti`) {
		t.Error("the embedded cases are reported beside the file's")
	}

	for name, c := range map[string]struct{ file, want string }{
		"missing":  {filepath.Join(dir, "none.csv"), "none.csv"},
		"empty":    {write("empty.csv", ""), "the file is empty"},
		"columns":  {write("columns.csv", "name,model\n"), `column "gpu" is missing`},
		"all bad":  {write("bad.csv", header+"x,nosuch,h100,8,1,1,8,,,2,16,4096,full,bf16,step_time,1\n"), "no row could be predicted"},
		"no cases": {write("none2.csv", header), "no row could be predicted"},
	} {
		code, out, errs := runStrata(t, "validate", "training", "--csv", c.file)
		if code != exitUsage || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d, output %q, errors %q", name, code, out, errs)
		}
	}
}

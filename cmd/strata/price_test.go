package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// strata runs a command line and returns its exit code and output.
func runPrice(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("STRATA_DATA", t.TempDir())
	t.Setenv("STRATA_CONFIG", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{"price"}, args...), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

const goodCase = `{"id":"good","provider":"openai","surface":"chat.completions","model":"m","body_format":"json","body":{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":10,"completion_tokens":2}},"prices":{"per_million":{"input":"1","output":"2"}},"expected_buckets":{"input":10,"output":2},"expected_cost_usd":"0.000014","cost_basis":"priced","estimated":false,"estimated_buckets":[],"policy":null}`

func TestPriceCheckExitCodesAndLines(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	bad := strings.Replace(strings.Replace(goodCase, `"0.000014"`, `"0.1"`, 1), `"good"`, `"bad"`, 1)
	policy := strings.Replace(strings.Replace(bad, `"policy":null`, `"policy":"rounding is open"`, 1), `"bad"`, `"open"`, 1)

	code, out, errs := runPrice(t, "", "check", write("good.jsonl", goodCase+"\n"), "--json")
	want := `{"id":"good","ok":true,"buckets":{"input":10,"output":2},"cost_usd":"0.000014","estimated":false,"estimated_buckets":[],"flags":[],"unpriced":[],"error":null}
{"summary":{"cases":1,"ok":1,"failed":0}}
`
	if code != 0 || out != want {
		t.Errorf("good: exit %d, output\n%s%s\nwant\n%s", code, out, errs, want)
	}

	code, out, _ = runPrice(t, "", "check", write("mixed.jsonl", goodCase+"\n\n"+bad+"\n"+policy), "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 99 || len(lines) != 4 {
		t.Fatalf("mixed: exit %d, %d lines: %s", code, len(lines), out)
	}
	if !strings.Contains(lines[1], `"error":"cost_usd: expected 0.1, got 0.000014"`) {
		t.Errorf("the error does not explain the mismatch: %s", lines[1])
	}
	if lines[3] != `{"summary":{"cases":3,"ok":1,"failed":1,"policy":1}}` {
		t.Errorf("summary %s", lines[3])
	}

	if code, out, _ = runPrice(t, "", "check", write("policy.jsonl", policy)); code != 0 || !strings.Contains(out, "acceptable") {
		t.Errorf("a case that differs by policy: exit %d, %s", code, out)
	}
	code, out, _ = runPrice(t, "", "check", write("bad.jsonl", bad))
	if code != 99 || !strings.Contains(out, "failed:") || !strings.Contains(out, "expected 0.1, got 0.000014") {
		t.Errorf("table of a failure: exit %d, %s", code, out)
	}
	if code, _, errs = runPrice(t, "", "check", filepath.Join(dir, "none.jsonl")); code != 2 || !strings.Contains(errs, "none.jsonl") {
		t.Errorf("a missing file: exit %d, %s", code, errs)
	}
	if code, out, errs = runPrice(t, "", "check", write("broken.jsonl", goodCase+"\n{\"id\":"), "--json"); code != 2 || !strings.Contains(errs, "broken.jsonl:2:") || out != "" {
		t.Errorf("a broken file: exit %d, %s%s", code, out, errs)
	}
	if code, _, _ = runPrice(t, goodCase, "check", "-"); code != 0 {
		t.Errorf("standard input: exit %d", code)
	}
}

func TestPriceShowListDiffImport(t *testing.T) {
	code, out, errs := runPrice(t, "", "show", "gpt-4o-mini")
	if code != 0 || !strings.Contains(out, "openai/gpt-4o-mini") || !strings.Contains(out, "0.15") || !strings.Contains(out, "0.6") || !strings.Contains(out, "LiteLLM") {
		t.Errorf("show: exit %d\n%s%s", code, out, errs)
	}
	code, out, _ = runPrice(t, "", "show", "gpt-4o-mini", "--json")
	var m struct{ Provider, Version string }
	if err := json.Unmarshal([]byte(out), &m); code != 0 || err != nil || m.Provider != "openai" || !strings.HasPrefix(m.Version, "catalog-") ||
		!strings.Contains(out, `"per_million":{"input":"0.15","cache_read":"0.075","output":"0.6"}`) {
		t.Errorf("show --json: exit %d, %v\n%s", code, err, out)
	}
	if code, _, errs = runPrice(t, "", "show", "no-such-model-anywhere"); code != 3 || !strings.Contains(errs, "no price") {
		t.Errorf("an unknown model: exit %d, %s", code, errs)
	}
	code, out, _ = runPrice(t, "", "list", "--provider", "anthropic", "--json", "--limit", "3")
	if n := strings.Count(out, "\n"); code != 0 || n != 3 || strings.Contains(out, `"provider":"openai"`) {
		t.Errorf("list: exit %d, %d lines\n%s", code, n, out)
	}
	code, out, errs = runPrice(t, "", "diff", "2025-03-01", "2026-07-24", "--provider", "openai", "--json")
	if code != 0 || !strings.Contains(out, `"change":"added"`) {
		t.Errorf("diff: exit %d\n%.400s%s", code, out, errs)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "map.json")
	if err := os.WriteFile(source, []byte(`{"m":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":3e-06,"output_cost_per_token":1.5e-05,"max_output_tokens":4096}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(dir, "prices.yaml")
	if code, _, errs = runPrice(t, "", "import", source, "--out", yaml); code != 0 {
		t.Fatalf("import: exit %d, %s", code, errs)
	}
	text, err := os.ReadFile(yaml)
	if err != nil || !strings.Contains(string(text), `input: "3"`) || !strings.Contains(string(text), "max_output_tokens: 4096") {
		t.Errorf("import wrote %s, %v", text, err)
	}
	if code, out, errs = runPrice(t, "", "diff", source, yaml); code != 0 || !strings.Contains(out, "no difference") {
		t.Errorf("an import differs from its source: exit %d\n%s%s", code, out, errs)
	}
	code, _, errs = runPrice(t, "", "diff", "catalog", filepath.Join(dir, "nothing"))
	if code != 2 || !strings.Contains(errs, "neither a date") {
		t.Errorf("diff with nothing: exit %d, %s", code, errs)
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The doctor refuses what "strata up" refuses, and tells what to correct.
func TestDoctorReadsTheWholeConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, tc := range map[string]struct{ yaml, want, not string }{
		"tariff":     {"tariffs: {default: partner, plans: {gold: {markup: 12 %}}}\n", "partner", ""},
		"price":      {"prices: {m: {input: cheap}}\n", "cheap", ""},
		"price file": {"price_files: [not-there.yaml]\n", "not-there.yaml", ""},
		"time zone":  {"time_zone: Mars/X\n", "correct ", "name a file that exists"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "strata.yaml")
			if err := os.WriteFile(file, []byte(tc.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, _ := runStrata(t, "doctor", "--config", file, "--data", filepath.Join(dir, "data"), "--addr", "127.0.0.1:0")
			if code != exitFailed || !strings.Contains(out, "✗ configuration") || !strings.Contains(out, tc.want) {
				t.Errorf("exit %d, without %q:\n%s", code, tc.want, out)
			}
			if tc.not != "" && strings.Contains(out, tc.not) {
				t.Errorf("%q in:\n%s", tc.not, out)
			}
		})
	}
	code, out, _ := runStrata(t, "doctor", "--config", filepath.Join(dir, "none.yaml"), "--data", filepath.Join(dir, "data"))
	if code != exitFailed || !strings.Contains(out, "name a file that exists") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestDoctorReadsTheModelFileOfTheConfiguration(t *testing.T) {
	whole, err := os.ReadFile("../../model/local/testdata/stories260K.gguf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	gguf, file := filepath.Join(dir, "m.gguf"), filepath.Join(dir, "strata.yaml")
	if err := os.WriteFile(file, []byte("local: {path: "+gguf+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mark, content := range map[string][]byte{"✓": whole, "✗": whole[:len(whole)/2]} {
		if err := os.WriteFile(gguf, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, out, _ := runStrata(t, "doctor", "--config", file, "--data", filepath.Join(dir, "data"), "--addr", "127.0.0.1:0")
		if !strings.Contains(out, mark+" local.path") {
			t.Errorf("%d of %d bytes: without %q:\n%s", len(content), len(whole), mark+" local.path", out)
		}
	}
}

func TestCompletionRefusesAnUnknownShell(t *testing.T) {
	if code, _, stderr := runStrata(t, "completion", "nosh"); code != exitUsage || !strings.Contains(stderr, `"nosh"`) {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if code, out, _ := runStrata(t, "completion", "bash"); code != exitOK || !strings.Contains(out, "complete ") {
		t.Errorf("exit %d", code)
	}
}

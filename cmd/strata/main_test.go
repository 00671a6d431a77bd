package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// runStrata runs a command line in this process.
func runStrata(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func TestRootUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"upp"}, `unknown command "upp"`},
		{[]string{"up", "--adr", ":1"}, "unknown flag: --adr"},
		{[]string{"up", "extra"}, "unknown command \"extra\""},
		{[]string{"up", "--no-local=perhaps"}, "invalid argument"},
		{[]string{"up", "--log-level", "loud"}, `--log-level "loud"`},
		{[]string{"key", "creat"}, "did you mean create?"},
	} {
		code, stdout, stderr := runStrata(t, c.args...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) || !strings.HasPrefix(stderr, "strata: ") {
			t.Errorf("%v: exit %d, output %q, errors %q", c.args, code, stdout, stderr)
		}
	}
}

func TestHelpListsEveryCommand(t *testing.T) {
	code, stdout, _ := runStrata(t, "--help")
	if code != exitOK {
		t.Fatalf("exit %d", code)
	}
	for _, c := range rootCommand().Commands() {
		listed := strings.Contains(stdout, "\n  "+c.Name()+" ")
		if listed == c.Hidden {
			t.Errorf("%s is listed: %t", c.Name(), listed)
		}
		if !c.Hidden && c.Example == "" && c.Name() != "help" && c.Name() != "completion" {
			t.Errorf("%s has no example", c.CommandPath())
		}
	}
	for _, g := range groups {
		if !strings.Contains(stdout, g.Title) {
			t.Errorf("the heading %q is missing", g.Title)
		}
	}
}

// A flag wins over the environment, and the environment over the default.
func TestFlagsFromEnv(t *testing.T) {
	env := map[string]string{"STRATA_LOG_CONTENT": "true", "STRATA_LIMIT": "7", "STRATA_EMPTY": "", "STRATA_HELP": "true"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	content := f.Bool("log-content", false, "")
	limit := f.Int("limit", 100, "")
	empty := f.String("empty", "default", "")
	help := f.Bool("help", false, "")
	if err := f.Parse([]string{"--limit", "5"}); err != nil {
		t.Fatal(err)
	}
	if err := flagsFromEnv(f, lookup); err != nil {
		t.Fatal(err)
	}
	if !*content || *limit != 5 || *empty != "default" || *help {
		t.Errorf("log-content %t, limit %d, empty %q, help %t", *content, *limit, *empty, *help)
	}
	env["STRATA_LOG_CONTENT"] = "perhaps"
	f.Lookup("log-content").Changed = false
	if err := flagsFromEnv(f, lookup); err == nil || !strings.Contains(err.Error(), "STRATA_LOG_CONTENT") {
		t.Errorf("a wrong value: %v", err)
	}
}

// What is wrong with the options is exit code 2, before anything is started.
func TestUpRefuses(t *testing.T) {
	t.Setenv("STRATA_DATA", t.TempDir())
	t.Setenv("STRATA_CONFIG", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("STRATA_ADMIN_SECRET", "")
	code, _, stderr := runStrata(t, "up", "--no-local", "--addr", "0.0.0.0:0")
	if code != exitUsage || !strings.Contains(stderr, "STRATA_ADMIN_SECRET") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	code, _, stderr = runStrata(t, "up", "--config", "/nowhere/strata.yaml")
	if code != exitUsage || !strings.Contains(stderr, "/nowhere/strata.yaml") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

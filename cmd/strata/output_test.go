package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// outcome is what a command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// strata runs a command line in this process, with nothing on standard input.
func strata(t *testing.T, args ...string) outcome {
	t.Helper()
	return strataIn(t, "", args...)
}

func strataIn(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(stdin), &out, &errs)
	return outcome{code, out.String(), errs.String()}
}

// quiet makes the environment of a test independent of who runs it.
func quiet(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("XDG_DATA_HOME", dir)
	for _, name := range []string{"STRATA_DATA", "STRATA_CONFIG", "STRATA_ADDR", "STRATA_JSON", "OPENAI_API_KEY", "STRATA_API_KEY", "NO_COLOR", "CLICOLOR_FORCE"} {
		t.Setenv(name, "")
	}
}

func TestVersion(t *testing.T) {
	quiet(t)
	r := strata(t, "version", "--json")
	var b map[string]string
	if err := json.Unmarshal([]byte(r.stdout), &b); err != nil || r.code != 0 || b["version"] == "" || b["go"] == "" {
		t.Errorf("version --json = %+v, %v", r, err)
	}
	if strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("a report is not one line of JSON: %q", r.stdout)
	}
	if got := strata(t, "version", "--jq", ".os"); got.stdout == "" || strings.Contains(got.stdout, `"`) {
		t.Errorf("a string that a filter yields is not raw: %+v", got)
	}
	t.Setenv("STRATA_JSON", "true")
	if got := strata(t, "version"); !strings.HasPrefix(got.stdout, "{") {
		t.Errorf("STRATA_JSON does not set --json: %+v", got)
	}
}

func TestFilterErrors(t *testing.T) {
	quiet(t)
	for _, c := range []struct {
		expr, want string
	}{
		{".[", "--jq"},
		{"nosuch()", "--jq"},
		{".version | keys", "--jq"},
		{`error("boom")`, "boom"},
	} {
		r := strata(t, "version", "--jq", c.expr)
		if r.code != exitUsage || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
			t.Errorf("--jq %q = %+v, want exit %d and %q", c.expr, r, exitUsage, c.want)
		}
	}
	t.Setenv("OPENAI_API_KEY", "sk-secret")
	if r := strata(t, "version", "--jq", "env, $ENV"); strings.Contains(r.stdout, "sk-secret") {
		t.Errorf("a filter can read the environment: %q", r.stdout)
	}
}

// TestFilterKeepsWholeNumbers shows that a number beyond 2^53 passes a filter.
func TestFilterKeepsWholeNumbers(t *testing.T) {
	var out bytes.Buffer
	cmd := &cobra.Command{}
	outputFlags(cmd)
	cmd.SetOut(&out)
	if err := cmd.Flags().Set("jq", ".n, .s, .none"); err != nil {
		t.Fatal(err)
	}
	p, err := newPrinter(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.object(map[string]any{"n": int64(9007199254740993), "s": "<a>", "none": nil}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "9007199254740993\n<a>\nnull\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteErrorsAreReported(t *testing.T) {
	p := &printer{out: brokenPipe{}}
	for name, err := range map[string]error{
		"human":  p.report(nil, func(w io.Writer) { newGrid(w, "A").print() }),
		"json":   (&printer{out: brokenPipe{}, json: true}).report(1, nil),
		"stream": printList(&printer{out: brokenPipe{}, json: true}, []int{1}, nil),
	} {
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v, want the error of the pipe", name, err)
		}
	}
}

func TestGrid(t *testing.T) {
	var b bytes.Buffer
	g := newGrid(&b, "Name", ">Calls")
	g.row("中文客户", "7")
	g.row("a\x1b]0;evil\x07", "1,234")
	g.footer("Total", "1,241")
	g.print()
	want := "" +
		"Name           Calls\n" +
		"中文客户           7\n" +
		"a�]0;evil�     1,234\n"
	if got := b.String(); !strings.Contains(got, "1,241") || strings.ContainsAny(got, "\x1b\x07") || !sameColumns(got) {
		t.Errorf("table =\n%s\nlike\n%s", got, want)
	}
}

// sameColumns says that all lines end in the same column, wide characters
// counting twice.
func sameColumns(table string) bool {
	width := -1
	for line := range strings.Lines(table) {
		w := 0
		for _, r := range strings.TrimRight(line, "\n") {
			w++
			if r >= 0x2e80 && r < 0xfe00 {
				w++
			}
		}
		if strings.ContainsRune(line, '─') {
			continue
		}
		if width >= 0 && w != width {
			return false
		}
		width = w
	}
	return true
}

// TestHelp walks the whole tree of commands: each has a short description, and
// each that does something has an example that begins with its own name.
func TestHelp(t *testing.T) {
	quiet(t)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Hidden || !c.IsAvailableCommand() || c.Name() == "help" || c.Parent() != nil && c.Parent().Name() == "completion" || c.Name() == "completion" {
			return
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short description %q is missing or ends with a full stop", c.CommandPath(), c.Short)
		}
		if c.Runnable() && !c.HasAvailableSubCommands() && !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has no example of its own", c.CommandPath())
		}
		r := strata(t, append(strings.Fields(c.CommandPath())[1:], "--help")...)
		if r.code != 0 || !strings.Contains(r.stdout, c.Short) && !strings.Contains(r.stdout, strings.SplitN(c.Long, "\n", 2)[0]) {
			t.Errorf("%s --help = %+v", c.CommandPath(), r)
		}
	}
	walk(rootCommand())
}

func TestMisspelling(t *testing.T) {
	quiet(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"spendd"}, "spend"},
		{[]string{"version", "--jsn"}, "--help"},
		{[]string{"version", "extra"}, "--help"},
	} {
		if r := strata(t, c.args...); r.code != exitUsage || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
			t.Errorf("strata %v = %+v, want exit %d and %q", c.args, r, exitUsage, c.want)
		}
	}
}

// TestCompletion makes the scripts of all shells.
func TestCompletion(t *testing.T) {
	quiet(t)
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := strata(t, "completion", shell); r.code != 0 || !strings.Contains(r.stdout, "strata") {
			t.Errorf("completion %s: exit %d, %d bytes", shell, r.code, len(r.stdout))
		}
	}
}

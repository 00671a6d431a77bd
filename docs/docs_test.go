// Package docs runs the examples of the documentation against the real binary.
package docs

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stratahq/strata/model/mock"
)

// A fenced block that starts with ```sh is an example, and is run. Its lines are
// commands, which begin with "$ ", and below each what it prints:
//
//	$ strata version --jq .os
//	linux
//
// In what is printed, "…" stands for any text within a line, and a line "…" for
// any number of lines. A command that must fail is followed by a line "[exit N]".
// Blocks of one file are run in order in one shell, with a fresh data directory,
// so that an example may build on the one before it. Blocks with another
// language (```bash, ```yaml, ```json) are only shown; a ```yaml block that names
// a file in its first line, "# strata.yaml", is written to that file first.
//
// The addresses of the pages are not the addresses of the tests: 127.0.0.1:4000
// becomes a free port, and http://127.0.0.1:9000 an OpenAI-compatible server that
// answers 16 counted words. After a "strata up … &" the test waits until the
// server listens, and stops it at the end of the page.
type example struct {
	file string
	line int // of the command
	cmd  string
	want []string
	exit string // "0" unless stated
}

type step struct {
	example
	yaml string // instead of a command: the content of a file
	name string
}

// parse finds the examples of a page.
func parse(file string, page []byte) ([]step, error) {
	var steps []step
	lines := bufio.NewScanner(bytes.NewReader(page))
	lang, n := "", 0
	var yaml []string
	for lines.Scan() {
		n++
		line := lines.Text()
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			if lang == "yaml" && len(yaml) > 0 {
				if name, ok := strings.CutPrefix(yaml[0], "# "); ok && strings.HasSuffix(name, ".yaml") {
					steps = append(steps, step{name: name, yaml: strings.Join(yaml, "\n") + "\n"})
				}
			}
			yaml = nil
			if lang != "" {
				lang = ""
			} else if lang = fence; lang == "" {
				lang = "text"
			}
			continue
		}
		switch lang {
		case "yaml":
			yaml = append(yaml, line)
		case "sh":
			if cmd, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{example: example{file: file, line: n, cmd: cmd, exit: "0"}})
				continue
			}
			if len(steps) == 0 || steps[len(steps)-1].cmd == "" {
				return nil, fmt.Errorf("%s:%d: an example begins with \"$ \"", file, n)
			}
			last := &steps[len(steps)-1]
			if m := exitLine.FindStringSubmatch(line); m != nil {
				last.exit = m[1]
				continue
			}
			if strings.HasSuffix(last.cmd, "\\") && len(last.want) == 0 {
				last.cmd += "\n" + line
				continue
			}
			last.want = append(last.want, line)
		}
	}
	if lang != "" {
		return nil, fmt.Errorf("%s: a fence is not closed", file)
	}
	return steps, lines.Err()
}

var exitLine = regexp.MustCompile(`^\[exit (\d+)\]$`)

// matches compares output with its description, line by line.
func matches(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "…" {
		return matches(want[1:], got) || len(got) > 0 && matches(want, got[1:])
	}
	return len(got) > 0 && lineMatches(want[0], got[0]) && matches(want[1:], got[1:])
}

func lineMatches(want, got string) bool {
	parts := strings.Split(want, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(strings.TrimRight(got, " "))
}

// marker separates the outputs of commands in the shell's output.
const marker = "\x1e"

// script is a page as one shell script. After each command the shell prints the
// exit status and a marker.
func script(steps []step, addr, upstream string) string {
	here := strings.NewReplacer("127.0.0.1:4000", addr, "http://127.0.0.1:9000", upstream)
	host, port, _ := strings.Cut(addr, ":")
	var b strings.Builder
	b.WriteString("exec 2>&1\n")
	for _, s := range steps {
		if s.cmd == "" {
			fmt.Fprintf(&b, "cat >%s <<'STRATA_END'\n%sSTRATA_END\n", s.name, here.Replace(s.yaml))
			continue
		}
		fmt.Fprintf(&b, "%s\nstrata_exit=$?\n", here.Replace(s.cmd))
		if strings.Contains(s.cmd, "strata up") && strings.HasSuffix(s.cmd, "&") {
			fmt.Fprintf(&b, "for i in $(seq 200); do (exec 3<>/dev/tcp/%s/%s) 2>/dev/null && break; sleep 0.05; done\n", host, port)
		}
		fmt.Fprintf(&b, "printf '%s%%s%s' $strata_exit\n", marker, marker)
	}
	b.WriteString("for job in $(jobs -p); do kill $job 2>/dev/null; done\nwait\n")
	return b.String()
}

// freeAddr is an address on which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestExamples(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the examples are for a POSIX shell")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "strata"), "../cmd/strata")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building strata: %v\n%s", err, out)
	}
	upstream := httptest.NewServer(upstreamHandler())
	t.Cleanup(upstream.Close)

	var pages []string
	for _, pattern := range []string{"*.md", "../*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	ran := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := parse(page, text)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(steps) == 0 {
			continue
		}
		ran += len(steps)
		t.Run(page, func(t *testing.T) { runPage(t, bash, bin, upstream.URL, steps) })
	}
	if ran < 20 {
		t.Errorf("only %d examples were found; the documentation must have more", ran)
	}
}

func upstreamHandler() http.Handler { return mock.New(mock.Options{}) }

func runPage(t *testing.T, bash, bin, upstream string, steps []step) {
	dir := t.TempDir()
	// Nothing of the person who runs the tests may show: no keys, no
	// configuration, no data. The cache of models is shared.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	cmd := exec.CommandContext(t.Context(), bash, "-c", script(steps, addr, upstream))
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + bin + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "TZ=UTC", "LANG=C.UTF-8", "NO_COLOR=1",
		"STRATA_CACHE=" + filepath.Join(cache, "strata"), "STRATA_DATA=" + filepath.Join(dir, "data"), "STRATA_ADDR=" + addr}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the shell ended with %v", err)
	}
	rest := string(out)
	for _, s := range steps {
		if s.cmd == "" {
			continue
		}
		printed, after, ok := strings.Cut(rest, marker)
		if !ok {
			t.Fatalf("%s:%d: $ %s\ndid not end; the page printed:\n%s", s.file, s.line, s.cmd, out)
		}
		exit, after, _ := strings.Cut(after, marker)
		rest = after
		got := strings.Split(strings.TrimRight(printed, "\n"), "\n")
		if printed == "" {
			got = nil
		}
		if exit != s.exit || len(s.want) > 0 && !matches(s.want, got) {
			t.Errorf("%s:%d: $ %s\nprinted (exit %s):\n%s\nwant (exit %s):\n%s", s.file, s.line, s.cmd, exit, printed, s.exit, strings.Join(s.want, "\n"))
		}
	}
}

// TestMatching shows that a wrong page would fail.
func TestMatching(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "a\nb", false},
		{"a\n…", "a\nb\nc", true},
		{"…\nc", "a\nb\nc", true},
		{"…\nd", "a\nb\nc", false},
		{"call …, cost $0.…", "call 17, cost $0.25", true},
		{"call …, cost $0.…", "call 17, cost $1.25", false},
		{"a.c", "abc", false},
	} {
		if got := matches(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")); got != c.ok {
			t.Errorf("matches(%q, %q) = %v", c.want, c.got, got)
		}
	}
	if _, err := parse("x.md", []byte("```sh\nno prompt\n```\n")); err == nil {
		t.Error("an example without a prompt is accepted")
	}
	steps, err := parse("x.md", []byte("```yaml\n# strata.yaml\na: 1\n```\n```sh\n$ false\n[exit 1]\n$ echo a\na\n```\n"))
	if err != nil || len(steps) != 3 || steps[0].yaml != "# strata.yaml\na: 1\n" || steps[1].exit != "1" || steps[2].want[0] != "a" {
		t.Errorf("steps = %+v, %v", steps, err)
	}
}

// TestLinks checks that relative links and pictures of the pages exist.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	for _, pattern := range []string{"*.md", "../*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(text), -1) {
				target := m[1]
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				if _, err := os.Stat(filepath.Join(filepath.Dir(page), target)); err != nil {
					t.Errorf("%s links to %s, which does not exist", page, target)
				}
			}
		}
	}
}

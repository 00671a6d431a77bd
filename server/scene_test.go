package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/server"
)

// upstreamKey is the key of the mock upstream. It must never be seen.
const upstreamKey = "sk-upstream-secret-4711"

// lockedBuffer is a buffer that processes and goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// buildDir holds the binary under test, for as long as the tests run.
var buildDir string

var buildOnce = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildDir, "strata")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/stratahq/strata/cmd/strata").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

// buildStrata builds the binary once for all tests. STRATA_BINARY names one that
// is built already.
func buildStrata(t testing.TB) string {
	t.Helper()
	if binary := os.Getenv("STRATA_BINARY"); binary != "" {
		return binary
	}
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "strata-test-")
	if err != nil {
		panic(err)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// startMock runs the mock upstream and returns its address.
func startMock(t testing.TB, o mock.Options) string {
	t.Helper()
	o.Key = upstreamKey
	return serve(t, mock.New(o))
}

// serve runs a handler on a real HTTP server and returns its address.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// mockConfig serves the mock's models, with prices for those that have one.
func mockConfig(upstream string) string {
	return `
upstreams:
  lab: {module: provider.openai, base_url: ` + upstream + `/v1, api_key: ` + upstreamKey + `, first_byte_timeout: 2s, idle_timeout: 1s}
models:
  fake: {upstream: lab, name: mock}
  unpriced: {upstream: lab, name: mock@3}
prices:
  fake: {input: 1 USD/Mtok, output: 10 USD/Mtok}
time_zone: UTC
`
}

// scene is a whole server in this process, on a real database.
type scene struct {
	*server.Server
	t      testing.TB
	url    string
	data   string
	log    *lockedBuffer
	stop   context.CancelFunc
	served chan error
}

// newScene starts a server with a configuration; change may alter its options.
func newScene(t testing.TB, config string, change func(*server.Options)) *scene {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "strata.yaml")
	writeFile(t, file, config)
	log := &lockedBuffer{}
	o := server.Options{Addr: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), ConfigFile: file, NoLocal: true,
		Env: func(string) string { return "" }, Log: slog.New(slog.NewTextHandler(log, nil))}
	if change != nil {
		change(&o)
	}
	s := &scene{t: t, log: log, data: o.DataDir}
	s.start(o)
	return s
}

func (s *scene) start(o server.Options) {
	s.t.Helper()
	srv, err := server.New(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.Server, s.url, s.stop, s.served = srv, "http://"+srv.Addr(), cancel, make(chan error, 1)
	go func() { s.served <- srv.Serve(ctx) }()
	s.t.Cleanup(func() { s.end() })
}

// end stops the server in order and waits for it.
func (s *scene) end() {
	s.stop()
	select {
	case err, ok := <-s.served:
		if ok && err != nil {
			s.t.Errorf("the server ended with: %v", err)
		}
		if ok {
			close(s.served)
		}
	case <-time.After(60 * time.Second):
		s.t.Error("the server does not end")
	}
}

// post sends a chat request.
func (s *scene) post(body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	return s.do("POST", "/v1/chat/completions", body, headers...)
}

func (s *scene) do(method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	return resp, string(got)
}

// api asks the administrative interface and decodes the answer.
func (s *scene) api(method, path, body string, into any) {
	s.t.Helper()
	resp, got := s.do(method, path, body)
	if resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, got)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(got), into); err != nil {
			s.t.Fatalf("%s %s: %v: %s", method, path, err, got)
		}
	}
}

// calls is everything in the ledger, newest first.
func (s *scene) calls() []ledger.Call {
	s.t.Helper()
	calls, err := s.Ledger().Calls(context.Background(), ledger.Filter{Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	return calls
}

// eachCall visits every call in the ledger, newest first.
func eachCall(t testing.TB, l *ledger.Ledger, visit func(c *ledger.Call)) {
	t.Helper()
	for before := int64(0); ; {
		page, err := l.Calls(context.Background(), ledger.Filter{BeforeSeq: before, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return
		}
		for i := range page {
			visit(&page[i])
		}
		before = page[len(page)-1].Seq
		if before <= 1 {
			return
		}
	}
}

func (s *scene) eachCall(visit func(c *ledger.Call)) { eachCall(s.t, s.Ledger(), visit) }

// verify fails the test unless the books are whole and nothing is held.
func (s *scene) verify() ledger.Verification {
	s.t.Helper()
	v, err := s.Ledger().Verify(context.Background(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if !v.OK || !v.PostingsSum.IsZero() || v.OpenHolds != 0 {
		s.t.Errorf("verify: %+v", v)
	}
	return v
}

package sdktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/store"
)

const (
	localModel = "smollm2"
	toolModel  = "lab-tools"
)

// bed is a running strata with its local model, an upstream with tools, and a
// counting proxy in front.
type bed struct {
	binary, data, config string
	proxy                *httptest.Server
	counts               sync.Map // X-Check header → *counter
	key, broke           string
	stop                 func() error
}

type counter struct {
	mu sync.Mutex
	n  int
}

// unavailable ends a test that lacks something: it fails when everything is
// required to be there, as in continuous integration.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("STRATA_REQUIRE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

var (
	bedOnce sync.Once
	theBed  *bed
	bedErr  error
	cleanup []func()
)

func TestMain(m *testing.M) {
	code := m.Run()
	if theBed != nil && theBed.stop != nil {
		if err := theBed.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "strata did not stop well:", err)
			code = 1
		}
	}
	for i := len(cleanup) - 1; i >= 0; i-- {
		cleanup[i]()
	}
	os.Exit(code)
}

// start builds the binary once and runs it for all tests.
func start(t *testing.T) *bed {
	t.Helper()
	bedOnce.Do(func() { theBed, bedErr = newBed() })
	if errors.Is(bedErr, errNoModel) {
		unavailable(t, "%v", bedErr)
	}
	if bedErr != nil {
		t.Fatal(bedErr)
	}
	return theBed
}

var errNoModel = errors.New("the local model is not available")

func newBed() (*bed, error) {
	dir, err := os.MkdirTemp("", "strata-sdk-")
	if err != nil {
		return nil, err
	}
	cleanup = append(cleanup, func() { os.RemoveAll(dir) })
	b := &bed{binary: filepath.Join(dir, "strata"), data: filepath.Join(dir, "data"), config: filepath.Join(dir, "strata.yaml")}
	if runtime.GOOS == "windows" {
		b.binary += ".exe"
	}
	build := exec.Command("go", "build", "-o", b.binary, "../cmd/strata")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building strata: %w\n%s", err, out)
	}

	upstream := httptest.NewServer(http.HandlerFunc(toolUpstream))
	cleanup = append(cleanup, upstream.Close)
	config := fmt.Sprintf(`upstreams:
  lab: {module: provider.openai, base_url: %s/v1, api_key: lab-secret}
models:
  %s: {upstream: lab}
prices:
  %s: {input: 1.00 USD/Mtok, output: 2.00 USD/Mtok}
`, upstream.URL, toolModel, toolModel)
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		return nil, err
	}

	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	up := exec.CommandContext(ctx, b.binary, "up", "--addr", "127.0.0.1:0", "--data", b.data, "--config", b.config)
	up.Cancel = func() error { return up.Process.Signal(os.Interrupt) }
	up.WaitDelay = 30 * time.Second
	up.Stdout, up.Stderr = &log, &log
	if err := up.Start(); err != nil {
		cancel()
		return nil, err
	}
	exited := make(chan error, 1)
	go func() { exited <- up.Wait() }()
	b.stop = func() error {
		cancel()
		if err := <-exited; err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%w\n%s", err, log.String())
		}
		return nil
	}
	base, err := b.address(exited)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, log.String())
	}
	if err := b.front(base); err != nil {
		return nil, err
	}
	return b, b.prepare(exited)
}

// address waits until the server has published where it listens.
func (b *bed) address(exited <-chan error) (string, error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-exited:
			return "", fmt.Errorf("strata up ended: %w", err)
		default:
		}
		if info, held, err := store.ReadLock(b.data); err == nil && held && info.Address != "" {
			addr := strings.TrimPrefix(info.Address, "http://")
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return "", fmt.Errorf("the lock file names the address %q", info.Address)
			}
			return "http://" + addr, nil
		}
	}
	return "", errors.New("strata up did not listen within 20 seconds")
}

// front puts a proxy before the server that counts requests by X-Check;
// asking for a count begins it anew.
func (b *bed) front(base string) error {
	target, err := url.Parse(base)
	if err != nil {
		return err
	}
	// A connection a request keeps one check's early leaving out of the next one's
	// way, in the proxy's own pool.
	transport := &http.Transport{DisableKeepAlives: true}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	mux := http.NewServeMux()
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		if v, ok := b.counts.Load(r.URL.Query().Get("check")); ok {
			c := v.(*counter)
			c.mu.Lock()
			n, c.n = c.n, 0
			c.mu.Unlock()
		}
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if name := r.Header.Get("X-Check"); name != "" {
			v, _ := b.counts.LoadOrStore(name, &counter{})
			c := v.(*counter)
			c.mu.Lock()
			c.n++
			c.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	})
	b.proxy = httptest.NewServer(mux)
	cleanup = append(cleanup, b.proxy.Close)
	return nil
}

// prepare makes the keys and waits for the local model.
func (b *bed) prepare(exited <-chan error) error {
	var err error
	if b.key, err = b.newKey("sdk", "sdk"); err != nil {
		return err
	}
	if b.broke, err = b.newKey("broke", "broke"); err != nil {
		return err
	}
	if _, err := b.cli("budget", "set", "--customer", "broke", "--limit", "0.000000000001", "--period", "total", "--mode", "hard"); err != nil {
		return err
	}
	wait := 20 * time.Second
	if os.Getenv("STRATA_REQUIRE") != "" {
		wait = 5 * time.Minute // the weights may have to be fetched first
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-exited:
			return fmt.Errorf("strata up ended: %w", err)
		default:
		}
		status, body, err := b.post(b.key, fmt.Sprintf(`{"model":%q,"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}`, localModel))
		if err == nil && status == http.StatusOK {
			return nil
		}
		if err == nil && status != http.StatusServiceUnavailable {
			return fmt.Errorf("the local model answers HTTP %d: %s", status, body)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w after %s: HTTP %d %s (run: strata model pull)", errNoModel, wait, status, body)
		}
	}
}

func (b *bed) newKey(name, customer string) (string, error) {
	out, err := b.cli("key", "create", "--name", name, "--customer", customer, "--json")
	if err != nil {
		return "", err
	}
	var made struct{ ID, Key string }
	if err := json.Unmarshal(out, &made); err != nil || made.ID == "" || made.Key == "" {
		return "", fmt.Errorf("key create --json printed %q", out)
	}
	return made.Key, nil
}

// cli runs a command beside the server.
func (b *bed) cli(args ...string) ([]byte, error) {
	cmd := exec.Command(b.binary, append(args, "--data", b.data, "--config", b.config)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("strata %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out, nil
}

func (b *bed) post(key, body string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, b.proxy.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(out), err
}

// toolUpstream is an OpenAI-compatible server that calls get_weather when it is
// given tools, says what the tool answered when it is given that, and otherwise
// repeats the unknown field lab_option.
func toolUpstream(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Model    string
		Stream   bool
		Tools    []json.RawMessage
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
		LabOption json.RawMessage `json:"lab_option"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || r.URL.Path != "/v1/chat/completions" || len(req.Messages) == 0 {
		http.Error(w, `{"error":{"message":"bad request","type":"invalid_request_error"}}`, http.StatusBadRequest)
		return
	}
	if r.Header.Get("Authorization") != "Bearer lab-secret" {
		http.Error(w, `{"error":{"message":"wrong key","type":"invalid_request_error"}}`, http.StatusUnauthorized)
		return
	}
	last := req.Messages[len(req.Messages)-1]
	message := map[string]any{"role": "assistant"}
	finish := "stop"
	switch {
	case len(req.Tools) > 0 && last.Role != "tool":
		finish = "tool_calls"
		message["content"] = nil
		message["tool_calls"] = []any{map[string]any{"id": "call_1", "type": "function",
			"function": map[string]any{"name": "get_weather", "arguments": `{"city":"Paris"}`}}}
	case last.Role == "tool":
		var said string
		_ = json.Unmarshal(last.Content, &said)
		message["content"] = "The tool says: " + said
	default:
		var compact bytes.Buffer
		_ = json.Compact(&compact, req.LabOption)
		message["content"] = "lab_option=" + compact.String()
	}
	usage := map[string]any{"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
	base := map[string]any{"id": "chatcmpl-lab", "created": 1, "model": req.Model, "object": "chat.completion"}
	if !req.Stream {
		base["choices"] = []any{map[string]any{"index": 0, "message": message, "finish_reason": finish}}
		base["usage"] = usage
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(base)
		return
	}
	base["object"] = "chat.completion.chunk"
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(delta map[string]any, finish any) {
		base["choices"] = []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}
		b, _ := json.Marshal(base)
		fmt.Fprintf(w, "data: %s\n\n", b)
	}
	send(map[string]any{"role": "assistant"}, nil)
	if finish == "tool_calls" {
		part := func(f map[string]any) map[string]any {
			return map[string]any{"tool_calls": []any{f}}
		}
		send(part(map[string]any{"index": 0, "id": "call_1", "type": "function", "function": map[string]any{"name": "get_weather", "arguments": ""}}), nil)
		send(part(map[string]any{"index": 0, "function": map[string]any{"arguments": `{"city":`}}), nil)
		send(part(map[string]any{"index": 0, "function": map[string]any{"arguments": `"Paris"}`}}), nil)
	} else {
		send(map[string]any{"content": message["content"]}, nil)
	}
	send(map[string]any{}, finish)
	base["choices"], base["usage"] = []any{}, usage
	b, _ := json.Marshal(base)
	fmt.Fprintf(w, "data: %s\n\ndata: [DONE]\n\n", b)
}

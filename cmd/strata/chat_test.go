package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fakeServer answers like a running Strata: one model, a stream of three
// events, and the cost in a trailer.
type fakeServer struct {
	mu     sync.Mutex
	bodies []map[string]any
	keys   []string
	// notReady is how many times it answers that the model is starting.
	notReady int
	cut      bool   // end the stream without [DONE]
	cost     string // of the trailer; none when empty
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, r.Header.Get("Authorization"))
	if r.URL.Path == "/v1/models" {
		io.WriteString(w, `{"object":"list","data":[{"id":"smollm2","object":"model"}]}`)
		return
	}
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.bodies = append(f.bodies, body)
	refuse := func(status int, code, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%q,"type":"x","param":null,"code":%q}}`, message, code)
	}
	switch model, _ := body["model"].(string); {
	case f.notReady > 0:
		f.notReady--
		refuse(503, "model_unavailable", "the local model is starting")
		return
	case model == "broke":
		refuse(402, "budget_exceeded", "the budget of customer acme is used up")
		return
	case model == "locked":
		refuse(401, "missing_api_key", "a key is needed")
		return
	case model == "nosuch":
		refuse(404, "model_not_found", "there is no model nosuch")
		return
	}
	if f.cost != "" {
		w.Header().Set("Trailer", "X-Strata-Cost")
	}
	w.Header().Set("X-Strata-Call-Id", "call-1")
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "data: {\"model\":\"smollm2\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n")
	io.WriteString(w, ": a comment\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n")
	io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\\u001b[31m\"},\"finish_reason\":\"stop\"}]}\n\n")
	io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2}}\n\n")
	if !f.cut {
		io.WriteString(w, "data: [DONE]\n\n")
	}
	if f.cost != "" {
		w.Header().Set("X-Strata-Cost", f.cost)
	}
}

func serve(t *testing.T, f *fakeServer) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

func TestChatOnce(t *testing.T) {
	quiet(t)
	f := &fakeServer{cost: "0.00000123"}
	url := serve(t, f)
	r := strata(t, "chat", "--addr", url, "--system", "Be brief.", "--max-tokens", "9", "Say", "hello")
	if r.code != 0 || r.stdout != "Hello�[31m\n" {
		t.Errorf("chat = %+v; control characters of a model must not reach the terminal", r)
	}
	for _, want := range []string{"cost $0.00000123", "12 → 2 tokens"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("the bill %q lacks %q", r.stderr, want)
		}
	}
	body, _ := json.Marshal(f.bodies[0])
	for _, want := range []string{`"Be brief."`, `"Say hello"`, `"max_tokens":9`, `"include_usage":true`, `"model":"smollm2"`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the request lacks %s: %s", want, body)
		}
	}
	if strings.Contains(string(body), "temperature") {
		t.Errorf("a temperature was sent that nobody gave: %s", body)
	}
}

func TestChatPipedAndJSON(t *testing.T) {
	quiet(t)
	f := &fakeServer{}
	url := serve(t, f)
	t.Setenv("STRATA_API_KEY", "sk-strata-abc")
	r := strataIn(t, "the diff\n", "chat", "--addr", url, "--json", "Summarise:")
	var got turn
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 {
		t.Fatalf("chat --json = %+v, %v", r, err)
	}
	if got.CostUSD != nil || got.CallID != "call-1" || got.FinishReason != "stop" || got.Model != "smollm2" || *got.OutputTokens != 2 {
		t.Errorf("turn = %+v; a cost that was not stated is null", got)
	}
	if body, _ := json.Marshal(f.bodies[0]); !strings.Contains(string(body), `Summarise:\n\nthe diff`) {
		t.Errorf("the request is %s", body)
	}
	for _, k := range f.keys {
		if k != "Bearer sk-strata-abc" {
			t.Errorf("the key sent is %q", k)
		}
	}
}

func TestChatWaitsForTheModel(t *testing.T) {
	quiet(t)
	f := &fakeServer{notReady: 2}
	r := strata(t, "chat", "--addr", serve(t, f), "hi")
	if r.code != 0 || !strings.Contains(r.stderr, "not ready yet") || strings.Count(r.stderr, "not ready yet") != 1 || len(f.bodies) != 3 {
		t.Errorf("chat = %+v after %d requests", r, len(f.bodies))
	}
}

func TestChatErrors(t *testing.T) {
	quiet(t)
	url := serve(t, &fakeServer{})
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"nobody listens", []string{"--addr", closed.URL, "hi"}, exitFailed, []string{"no server answers", "strata up"}},
		{"another server", []string{"--addr", other.URL, "hi"}, exitFailed, []string{"not as a Strata server"}},
		{"budget", []string{"--addr", url, "--model", "broke", "hi"}, exitDenied, []string{"budget of customer acme"}},
		{"no key", []string{"--addr", url, "--model", "locked", "hi"}, exitDenied, []string{"strata key create"}},
		{"unknown model", []string{"--addr", url, "--model", "nosuch", "hi"}, exitNoData, []string{"nosuch"}},
		{"nothing asked", []string{"--addr", url}, exitUsage, []string{"strata chat"}},
		{"bad address", []string{"--addr", "ftp://x", "hi"}, exitUsage, []string{"--addr"}},
		{"bad limit", []string{"--addr", url, "--max-tokens", "-1", "hi"}, exitUsage, []string{"--max-tokens"}},
		{"cut off", []string{"--addr", serve(t, &fakeServer{cut: true}), "hi"}, exitFailed, []string{"broke off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := strata(t, append([]string{"chat"}, c.args...)...)
			if r.code != c.code {
				t.Errorf("exit %d, want %d: %s", r.code, c.code, r.stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("%q lacks %q", r.stderr, want)
				}
			}
		})
	}
}

func TestChatCommands(t *testing.T) {
	quiet(t)
	f := &fakeServer{cost: "0.5"}
	var out, notes strings.Builder
	s := &chat{base: serve(t, f), model: "smollm2", out: &out, notes: &notes}
	ask := func(prompt string) {
		t.Helper()
		if _, err := s.turn(t.Context(), prompt); err != nil {
			t.Fatal(err)
		}
	}
	ask("one")
	ask("two")
	if n := len(f.bodies[1]["messages"].([]any)); n != 3 {
		t.Errorf("the second turn sent %d messages, want the first turn's two and its own", n)
	}
	if s.command(t.Context(), "/reset") || s.command(t.Context(), "/system Be kind.") || s.command(t.Context(), "/model other") {
		t.Error("a command left the conversation")
	}
	ask("three")
	last, _ := json.Marshal(f.bodies[2])
	if !strings.Contains(string(last), "Be kind.") || strings.Contains(string(last), "two") || f.bodies[2]["model"] != "other" {
		t.Errorf("after /reset, /system and /model: %s", last)
	}
	out.Reset()
	s.command(t.Context(), "/cost")
	if got := out.String(); got != "total $1.50 for 3 turns\n" {
		t.Errorf("/cost = %q", got)
	}
	f.cost = ""
	ask("four")
	out.Reset()
	s.command(t.Context(), "/cost")
	if got := out.String(); !strings.Contains(got, "1 of unknown cost") {
		t.Errorf("/cost with an unknown turn = %q", got)
	}
	out.Reset()
	s.command(t.Context(), "/nosuch")
	if !strings.Contains(out.String(), "/help") && !strings.Contains(out.String(), "/model") {
		t.Errorf("an unknown command answers %q", out.String())
	}
	if !s.command(t.Context(), "/exit") {
		t.Error("/exit does not leave")
	}
}

func TestInterruptClearsTheLine(t *testing.T) {
	r := &interruptReader{r: bufio.NewReader(strings.NewReader("ab\x03c"))}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "ab\x05\x15c" {
		t.Errorf("read %q, %v", got, err)
	}
}

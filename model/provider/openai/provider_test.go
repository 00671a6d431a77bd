package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/model/modeltest"
	"github.com/stratahq/strata/model/redact"
	wire "github.com/stratahq/strata/model/wire/openai"
)

const testKey = "sk-test-key-that-nobody-may-see"

// upstream serves h and returns the provider for it.
func upstream(t testing.TB, h http.Handler, c Config) *Upstream {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c.BaseURL = srv.URL + "/v1"
	c.APIKey = redact.NewSecret(testKey)
	u, err := New("lab", c, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func chat(t testing.TB, body string) *model.Request {
	t.Helper()
	r, err := wire.DecodeChat([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const streamed = `{"model":"served","stream":true,"messages":[{"role":"user","content":"hello"}],"future_field":{"a":1}}`
const whole = `{"model":"served","messages":[{"role":"user","content":"hello"}],"max_tokens":4}`

func TestConformance(t *testing.T) {
	short := Config{FirstByteTimeout: 200 * time.Millisecond, IdleTimeout: 200 * time.Millisecond}
	for _, body := range []string{streamed, whole} {
		o := modeltest.Options{
			Request: func() *model.Request { return chat(t, body) },
			Failing: map[string]func(*testing.T) model.Model{},
		}
		for _, f := range []mock.Fault{mock.Hang, mock.HangMid, mock.Reset, mock.ResetMid, mock.HalfEvent, mock.WrongJSON, mock.NotObject,
			mock.Empty, mock.Status400, mock.Status401, mock.Status404, mock.Status429, mock.Status500, mock.Status503} {
			o.Failing[string(f)] = func(t *testing.T) model.Model {
				return upstream(t, mock.New(mock.Options{}), short).Model("mock-" + string(f))
			}
		}
		modeltest.Run(t, func(t *testing.T) model.Model {
			return upstream(t, mock.New(mock.Options{Key: testKey, PerToken: time.Millisecond}), Config{}).Model("mock")
		}, o)
	}
}

func TestStreamPassesThrough(t *testing.T) {
	m := mock.New(mock.Options{Key: testKey, Tokens: 3})
	u := upstream(t, m, Config{})
	var raw []string
	r := &model.Reply{}
	for ev, err := range u.Model("mock").Generate(t.Context(), chat(t, streamed)) {
		if err != nil {
			t.Fatal(err)
		}
		r.Add(&ev)
		raw = append(raw, string(ev.Raw.Data))
	}
	if r.Text() != mock.Text(3) || r.Choices[0].FinishReason != "stop" || r.Usage == nil || r.Usage.Count[model.Output] != 3 || r.Usage.Estimated != 0 {
		t.Errorf("reply = %+v, usage %+v", r, r.Usage)
	}
	all := strings.Join(raw, "\n")
	if strings.Contains(all, "completion_tokens") {
		t.Error("the usage chunk that the client did not ask for is passed on")
	}
	if raw[len(raw)-1] != "[DONE]" || !strings.Contains(raw[0], `"role":"assistant"`) {
		t.Errorf("raw = %s", all)
	}
	sent := string(m.LastBody())
	for _, want := range []string{`"model":"mock"`, `"future_field":{"a":1}`, `"stream_options":{"include_usage":true}`} {
		if !strings.Contains(sent, want) {
			t.Errorf("%s is missing in what was sent: %s", want, sent)
		}
	}
	// A client that asks gets the chunk.
	raw = nil
	for ev, err := range u.Model("mock").Generate(t.Context(), chat(t, strings.Replace(streamed, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1))) {
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, string(ev.Raw.Data))
	}
	if !strings.Contains(strings.Join(raw, "\n"), `"completion_tokens":3`) {
		t.Errorf("the usage chunk is missing: %s", raw)
	}
}

func TestWholeReplyPassesThrough(t *testing.T) {
	u := upstream(t, mock.New(mock.Options{Key: testKey, Tokens: 9}), Config{})
	r, err := model.Collect(u.Model("mock").Generate(t.Context(), chat(t, whole)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(r.Raw.Data, []byte(`"mock_unknown_field":{"kept":true}`)) || r.Text() != mock.Text(4) || r.Choices[0].FinishReason != "length" || r.Usage.Count[model.Output] != 4 {
		t.Errorf("reply = %+v", r)
	}
}

func TestEmbeddings(t *testing.T) {
	u := upstream(t, mock.New(mock.Options{Key: testKey}), Config{})
	req, err := wire.DecodeEmbedding([]byte(`{"model":"e","input":["a","bb"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := model.Collect(u.Model("mock").Generate(t.Context(), req))
	if err != nil || len(r.Embeddings) != 2 || r.Embeddings[1][3] != 1 || r.Usage == nil || r.Usage.Prompt() == 0 || r.Usage.Completion() != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Every failure has the right code, and none shows the key, the upstream's own
// text or its address.
func TestFailures(t *testing.T) {
	short := Config{FirstByteTimeout: 150 * time.Millisecond, IdleTimeout: 150 * time.Millisecond}
	for _, c := range []struct {
		fault   mock.Fault
		stream  bool
		status  int
		code    string
		charged bool
		retry   bool
		begun   bool
	}{
		{mock.Hang, true, 504, model.CodeDeadline, true, true, false},
		{mock.Hang, false, 504, model.CodeDeadline, true, true, false},
		{mock.HangMid, true, 504, model.CodeDeadline, true, true, true},
		{mock.HangMid, false, 504, model.CodeDeadline, true, true, false},
		{mock.Reset, true, 502, model.CodeUpstreamReset, true, true, false},
		{mock.ResetMid, true, 502, model.CodeUpstreamReset, true, true, true},
		{mock.ResetMid, false, 502, model.CodeUpstreamReset, true, true, false},
		{mock.HalfEvent, true, 502, model.CodeUpstreamReset, true, true, true},
		{mock.WrongJSON, true, 502, model.CodeUpstreamProtocol, true, false, false},
		{mock.WrongJSON, false, 502, model.CodeUpstreamProtocol, true, false, false},
		{mock.NotObject, false, 502, model.CodeUpstreamProtocol, true, false, false},
		{mock.Empty, true, 502, model.CodeUpstreamProtocol, true, false, false},
		{mock.NoFinish, true, 502, model.CodeUpstreamProtocol, true, false, true},
		{mock.Status400, true, 400, model.CodeInvalidRequest, false, false, false},
		{mock.Status401, true, 502, model.CodeUpstreamAuth, false, false, false},
		{mock.Status404, false, 404, model.CodeModelNotFound, false, false, false},
		{mock.Status429, true, 429, model.CodeRateLimited, false, true, false},
		{mock.Status500, true, 502, model.CodeUpstreamStatus, false, true, false},
		{mock.Status503, true, 503, model.CodeUnavailable, false, true, false},
	} {
		t.Run(fmt.Sprintf("%s stream=%t", c.fault, c.stream), func(t *testing.T) {
			t.Parallel()
			u := upstream(t, mock.New(mock.Options{}), short)
			body := whole
			if c.stream {
				body = streamed
			}
			events := 0
			var failure error
			for _, err := range u.Model("mock-"+string(c.fault)).Generate(t.Context(), chat(t, body)) {
				if failure = err; err == nil {
					events++
				}
			}
			var e *model.Error
			if !errors.As(failure, &e) {
				t.Fatalf("got %v", failure)
			}
			if e.Status != c.status || e.Code != c.code || e.MayHaveBeenCharged != c.charged || e.Retryable != c.retry || (events > 0) != c.begun {
				t.Errorf("after %d events: %d %s charged=%t retry=%t: %s", events, e.Status, e.Code, e.MayHaveBeenCharged, e.Retryable, e.Message)
			}
			if c.fault == mock.Status429 && e.RetryAfter != 7*time.Second {
				t.Errorf("retry after %s", e.RetryAfter)
			}
			for _, shown := range []string{e.Message, fmt.Sprintf("%+v", *e), fmt.Sprint(e.Err)} {
				for _, forbidden := range []string{testKey, mock.SecretInErrors, "sk-upstream"} {
					if strings.Contains(shown, forbidden) {
						t.Errorf("%s is shown in %s", forbidden, shown)
					}
				}
			}
			if strings.Contains(e.Message, "127.0.0.1") || strings.Contains(e.Message, "http") {
				t.Errorf("the address is shown in %s", e.Message)
			}
			if c.fault == mock.Status400 && !strings.Contains(e.Message, "the mock was asked for this status") {
				t.Errorf("what the upstream says of the request is lost: %s", e.Message)
			}
			if c.fault == mock.Status500 && strings.Contains(e.Message, "the mock was asked") {
				t.Errorf("raw upstream text is shown: %s", e.Message)
			}
		})
	}
}

func TestNoDoneAfterFinishIsWhole(t *testing.T) {
	u := upstream(t, mock.New(mock.Options{Tokens: 2}), Config{})
	r, err := model.Collect(u.Model("mock-no-done").Generate(t.Context(), chat(t, streamed)))
	if err != nil || !r.Ended || r.Usage == nil || r.Text() != mock.Text(2) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestUnreachableIsNotCharged(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	u, err := New("lab", Config{BaseURL: srv.URL}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = model.Collect(u.Model("m").Generate(t.Context(), chat(t, streamed)))
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.CodeUpstreamReset || e.MayHaveBeenCharged || !e.Retryable || !strings.Contains(e.Message, "cannot be reached") {
		t.Errorf("got %v", err)
	}
}

func TestClientThatLeaves(t *testing.T) {
	u := upstream(t, mock.New(mock.Options{}), Config{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := model.Collect(u.Model("mock-hang").Generate(ctx, chat(t, streamed)))
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.CodeCanceled || !e.MayHaveBeenCharged {
		t.Errorf("got %+v", err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	leaked := false
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leaked = true }))
	defer other.Close()
	u := upstream(t, http.RedirectHandler(other.URL, http.StatusTemporaryRedirect), Config{})
	_, err := model.Collect(u.Model("m").Generate(t.Context(), chat(t, streamed)))
	if err == nil || leaked {
		t.Errorf("followed: %t, %v", leaked, err)
	}
}

func TestErrorInsideAnAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"first": "data: {\"error\":{\"message\":\"no key " + testKey + "\",\"code\":429}}\n\n",
		"later": "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}\n\ndata: {\"error\":{\"message\":\"no\"}}\n\n",
	} {
		u := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			io.WriteString(w, body)
		}), Config{})
		_, err := model.Collect(u.Model("m").Generate(t.Context(), chat(t, streamed)))
		var e *model.Error
		if !errors.As(err, &e) || !e.MayHaveBeenCharged || strings.Contains(fmt.Sprint(e, e.Err), testKey) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "first" && e.Status != 429 {
			t.Errorf("status %d", e.Status)
		}
		if name == "later" && (e.Usage == nil || e.Usage.Count[model.Input] != 9) {
			t.Errorf("the usage is lost: %+v", e.Usage)
		}
	}
}

func TestReplySizeIsBounded(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for kind, frame := range map[string]string{"application/json": `{"choices":[],"x":"` + big + `"}`, "text/event-stream": "data: " + big + "\n\n"} {
		u := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			io.WriteString(w, frame)
		}), Config{MaxReply: 1000})
		u.maxEvent = 1000
		_, err := model.Collect(u.Model("m").Generate(t.Context(), chat(t, streamed)))
		if err == nil || !strings.Contains(err.Error(), "larger than 1000 bytes") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestModels(t *testing.T) {
	u := upstream(t, mock.New(mock.Options{Key: testKey, Models: []string{"a", "b/c"}}), Config{})
	list, err := u.Models(t.Context())
	if err != nil || len(list) != 2 || list[1].ID != "b/c" || list[0].OwnedBy != "mock" {
		t.Errorf("%v, %v", list, err)
	}
	u = upstream(t, mock.New(mock.Options{Key: "another-key-entirely"}), Config{})
	if _, err = u.Models(t.Context()); err == nil || strings.Contains(err.Error(), testKey) {
		t.Errorf("got %v", err)
	}
}

// The page must own up to every value that no source was found for.
func TestUnverifiedRowsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]string{"BaseURL": "address", "Env": "variable", "Limit": "`limit_field`", "AskUsage": "`include_usage`"}
	_, section, _ := strings.Cut(string(page), "### How the table was checked")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, d := range Dialects() {
		_, row, listed := strings.Cut(section, "| `"+d.Name+"` | ")
		row, _, _ = strings.Cut(row, "\n")
		if listed != (d.Unverified != "") || !strings.Contains(section, "`"+d.Name+"`") {
			t.Errorf("%s: unverified %q, but the page says %q", d.Name, d.Unverified, row)
			continue
		}
		for field, word := range words {
			if strings.Contains(d.Unverified, field) != strings.Contains(row, word) {
				t.Errorf("%s: unverified %q, but the page says %q", d.Name, d.Unverified, row)
			}
		}
		for _, name := range d.Env {
			if !d.Local && !strings.Contains(string(page), "`"+name+"`") && d.BaseURL != "" {
				t.Errorf("%s: the page does not name %s", d.Name, name)
			}
		}
	}
}

func TestDialectsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range Dialects() {
		if seen[d.Name] || d.Source == "" || (d.Limit != wire.LimitMaxTokens && d.Limit != wire.LimitMaxCompletionTokens) || (!d.Local && len(d.Env) == 0) {
			t.Errorf("row %+v", d)
		}
		seen[d.Name] = true
		if d.BaseURL == "" {
			continue
		}
		u, err := New(d.Name, Config{APIKey: redact.NewSecret("k-0123456789")}, Deps{})
		if err != nil || u.BaseURL() != d.BaseURL || u.Provider() != d.Name {
			t.Errorf("%s: %v", d.Name, err)
		}
		// The address alone names a hosted provider.
		if u, err = New("mine", Config{BaseURL: d.BaseURL + "/"}, Deps{}); err != nil || !d.Local && u.Dialect().Name != d.Name {
			t.Errorf("%s by its address is %s, %v", d.Name, u.Dialect().Name, err)
		}
	}
	for _, name := range []string{"openai", "deepseek", "qwen", "moonshot", "zhipu", "mistral", "groq", "together", "vllm", "sglang", "ollama", "llama-server"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestKeyFromTheEnvironmentStaysAtHome(t *testing.T) {
	env := func(name string) string {
		if name == "DEEPSEEK_API_KEY" {
			return "sk-from-the-environment"
		}
		return ""
	}
	for base, want := range map[string]bool{"": true, "https://api.deepseek.com/beta": true, "http://api.deepseek.com/v1": false, "https://api.deepseek.com.example/v1": false} {
		u, err := New("deepseek", Config{Dialect: "deepseek", BaseURL: base}, Deps{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		if got := u.headers.Get("Authorization") != ""; got != want {
			t.Errorf("%q: the key is sent: %t", base, got)
		}
	}
	u, err := New("deepseek", Config{APIKey: redact.NewSecret("sk-configured")}, Deps{Env: env})
	if err != nil || u.headers.Get("Authorization") != "Bearer sk-configured" {
		t.Errorf("a configured key does not win: %v", err)
	}
}

func BenchmarkStreamOf200(b *testing.B) {
	u := upstream(b, mock.New(mock.Options{Tokens: 200}), Config{})
	req := chat(b, streamed)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range u.Model("mock").Generate(b.Context(), req) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

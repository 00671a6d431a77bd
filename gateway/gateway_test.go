package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
)

// rows is a ledger in memory.
type rows struct {
	mu    sync.Mutex
	calls []ledger.Call
	fail  error
}

func (l *rows) Record(_ context.Context, c *ledger.Call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.calls = append(l.calls, *c)
	return nil
}

func (l *rows) Settle(ctx context.Context, c *ledger.Call) error { return l.Record(ctx, c) }

func (l *rows) all() []ledger.Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]ledger.Call(nil), l.calls...)
}

// served is a set of models by name.
type served map[string]model.Model

func (s served) Find(name string) (model.Model, bool) { m, ok := s[name]; return m, ok }

func (s served) List() []Entry {
	var list []Entry
	for _, name := range []string{"echo", "lab/large", "small-model"} {
		if _, ok := s[name]; ok {
			list = append(list, Entry{Name: name, OwnedBy: "lab", Created: time.Unix(1700000000, 0)})
		}
	}
	return list
}

const goodKey, boundKey, revokedKey = "sk-strata-good", "sk-strata-bound", "sk-strata-revoked"

func testKeys(r *http.Request) (Caller, error) {
	switch strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") {
	case goodKey:
		return Caller{KeyID: "key_good", Feature: "search"}, nil
	case boundKey:
		return Caller{KeyID: "key_bound", Customer: "acme"}, nil
	case revokedKey:
		return Caller{}, model.Errorf(401, model.CodeInvalidKey, "this API key is revoked")
	case "too-often":
		return Caller{}, model.Errorf(429, "too_many_attempts", "too many failed attempts")
	case "":
		return Caller{}, model.Errorf(401, model.CodeMissingKey, "no API key was given")
	}
	return Caller{}, model.Errorf(401, model.CodeInvalidKey, "this API key is not known here")
}

// say yields the words as deltas, and a terminal event with a receipt.
func say(words ...string) model.Func {
	return func(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			for i, word := range words {
				ev := model.Event{Text: word, ID: "up-1", Model: "echo-1"}
				if i == len(words)-1 {
					ev.FinishReason = "stop"
				}
				if !yield(ev, nil) {
					return
				}
			}
			u := &model.Usage{}
			u.Count[model.Input], u.Count[model.Output] = 3, int64(len(words))
			yield(model.Event{Kind: model.KindEnd, Usage: u, Receipt: &model.Receipt{CallID: req.Call.ID, CostUSD: "0.000012", Estimated: true}}, nil)
		}
	}
}

// scene is a gateway on a real HTTP server with a ledger in memory.
type scene struct {
	*httptest.Server
	ledger *rows
	models served
}

func newScene(t *testing.T, change func(*Deps)) *scene {
	t.Helper()
	s := &scene{ledger: &rows{}, models: served{"echo": say("Hello", " there"), "small-model": say("hi"), "lab/large": say("big")}}
	var n int
	var mu sync.Mutex
	d := Deps{Models: s.models, Ledger: s.ledger, Authenticate: testKeys, MaxBody: 4096,
		NewID: func(time.Time) string { mu.Lock(); defer mu.Unlock(); n++; return "call-" + strconv.Itoa(n) }}
	if change != nil {
		change(&d)
	}
	s.Server = httptest.NewServer(Guard(New(d), GuardOptions{Loopback: true}))
	t.Cleanup(s.Close)
	return s
}

// send posts a body with headers given as "Name: value".
func (s *scene) send(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+goodKey)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Del(name)
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(got)
}

const hello = `{"model":"echo","messages":[{"role":"user","content":"hi"}]}`

// errorOf reads an error in OpenAI's shape and fails if it is not in it.
func errorOf(t *testing.T, body string) (code, message, param string) {
	t.Helper()
	var shape struct {
		Error *struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    string  `json:"code"`
		} `json:"error"`
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&shape); err != nil || shape.Error == nil || shape.Error.Message == "" || shape.Error.Type == "" {
		t.Fatalf("not an error in OpenAI's shape (%v): %s", err, body)
	}
	if shape.Error.Param != nil {
		param = *shape.Error.Param
	}
	return shape.Error.Code, shape.Error.Message, param
}

// Every refusal has its status and code, carries the call's id, and leaves one
// outcome that repeats neither key nor content.
func TestRefusals(t *testing.T) {
	cases := []struct {
		name, path, body string
		headers          []string
		status           int
		code, param      string
		want             string // in the message
	}{
		{name: "not JSON", body: `{"model":`, status: 400, code: "invalid_json"},
		{name: "no messages", body: `{"model":"echo"}`, status: 400, code: "invalid_request", param: "messages"},
		{name: "no model", body: `{"messages":[{"role":"user","content":"hi"}]}`, status: 400, code: "invalid_request", param: "model"},
		{name: "unknown model", body: strings.Replace(hello, "echo", "ecko", 1), status: 404, code: "model_not_found", param: "model", want: "did you mean echo?"},
		{name: "part of a name", body: strings.Replace(hello, "echo", "large", 1), status: 404, code: "model_not_found", param: "model", want: "lab/large"},
		{name: "missing key", body: hello, headers: []string{"Authorization: "}, status: 401, code: "missing_api_key"},
		{name: "unknown key", body: hello, headers: []string{"Authorization: Bearer sk-strata-wrong"}, status: 401, code: "invalid_api_key"},
		{name: "revoked key", body: hello, headers: []string{"Authorization: Bearer " + revokedKey}, status: 401, code: "invalid_api_key", want: "revoked"},
		{name: "too large", body: `{"model":"echo","messages":[{"role":"user","content":"` + strings.Repeat("x", 5000) + `"}]}`, status: 413, code: "request_too_large", want: "4096"},
		{name: "form", body: hello, headers: []string{"Content-Type: application/x-www-form-urlencoded"}, status: 415, code: "unsupported_media_type", param: "Content-Type"},
		{name: "no content type", body: hello, headers: []string{"Content-Type: "}, status: 415, code: "unsupported_media_type", param: "Content-Type"},
		{name: "compressed", body: hello, headers: []string{"Content-Encoding: gzip"}, status: 415, code: "unsupported_media_type", param: "Content-Encoding"},
		{name: "other customer", body: hello, headers: []string{"Authorization: Bearer " + boundKey, "X-Strata-Customer: other"}, status: 403, code: "customer_mismatch", param: "X-Strata-Customer"},
		{name: "bad tags", body: hello, headers: []string{"X-Strata-Tags: a=1,b"}, status: 400, code: "invalid_request", param: "X-Strata-Tags"},
		{name: "tag twice", body: hello, headers: []string{"X-Strata-Tags: a=1,a=2"}, status: 400, code: "invalid_request", param: "X-Strata-Tags"},
		{name: "empty embedding", path: "/v1/embeddings", body: `{"model":"echo"}`, status: 400, code: "invalid_request", param: "input"},
		{name: "empty prompt", path: "/v1/completions", body: `{"model":"echo"}`, status: 400, code: "invalid_request", param: "prompt"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, nil)
			path := c.path
			if path == "" {
				path = "/v1/chat/completions"
			}
			resp, body := s.send(t, "POST", path, c.body, c.headers...)
			code, message, param := errorOf(t, body)
			if resp.StatusCode != c.status || code != c.code || param != c.param || !strings.Contains(message, c.want) {
				t.Errorf("got %d %s %q %q", resp.StatusCode, code, param, message)
			}
			if resp.Header.Get("X-Strata-Call-Id") != "call-1" || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", resp.Header)
			}
			calls := s.ledger.all()
			if len(calls) != 1 {
				t.Fatalf("%d outcomes, want 1", len(calls))
			}
			row := calls[0]
			if row.ID != "call-1" || row.Root != "call-1" || row.Outcome != ledger.OutcomeRefused || row.Status != c.status || row.ErrorCode != c.code || row.ErrorText != message {
				t.Errorf("outcome %+v", row)
			}
			if strings.Contains(fmt.Sprintf("%+v %s", row, body), "sk-strata-") && !strings.Contains(message, "sk-strata-…") {
				t.Errorf("a key is repeated: %+v %s", row, body)
			}
		})
	}
}

// Requests that ask no model for anything are answered in shape and are no calls.
func TestPathsAndMethods(t *testing.T) {
	s := newScene(t, nil)
	for _, c := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/v1/chat/completions", 405, "method_not_allowed", "POST"},
		{"DELETE", "/v1/models", 405, "method_not_allowed", "GET, HEAD"},
		{"POST", "/v1/models/echo", 405, "method_not_allowed", "GET, HEAD"},
		{"POST", "/v1/responses", 404, "unknown_url", ""},
		{"GET", "/v1/chat/completions/x", 404, "unknown_url", ""},
		{"GET", "/v1/models/nothing-like-it", 404, "model_not_found", ""},
	} {
		resp, body := s.send(t, c.method, c.path, "")
		code, _, _ := errorOf(t, body)
		if resp.StatusCode != c.status || code != c.code || resp.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d %s, Allow %q", c.method, c.path, resp.StatusCode, code, resp.Header.Get("Allow"))
		}
	}
	if calls := s.ledger.all(); len(calls) != 0 {
		t.Errorf("outcomes were written: %+v", calls)
	}
}

func TestModels(t *testing.T) {
	s := newScene(t, nil)
	resp, body := s.send(t, "GET", "/v1/models", "")
	want := `{"object":"list","data":[{"id":"echo","object":"model","created":1700000000,"owned_by":"lab"},` +
		`{"id":"lab/large","object":"model","created":1700000000,"owned_by":"lab"},{"id":"small-model","object":"model","created":1700000000,"owned_by":"lab"}]}`
	if resp.StatusCode != 200 || body != want {
		t.Errorf("list: %d %s", resp.StatusCode, body)
	}
	if resp, body := s.send(t, "GET", "/v1/models/lab/large", ""); resp.StatusCode != 200 || !strings.Contains(body, `"id":"lab/large"`) {
		t.Errorf("a name with a slash: %d %s", resp.StatusCode, body)
	}
	s.models["other/one"] = say("x")
	if resp, body := s.send(t, "GET", "/v1/models/other/one", ""); resp.StatusCode != 200 || !strings.Contains(body, `"owned_by":"other"`) {
		t.Errorf("a name that passes through: %d %s", resp.StatusCode, body)
	}
	if resp, body := s.send(t, "GET", "/v1/models", "", "Authorization: "); resp.StatusCode != 401 || strings.Contains(body, "echo") {
		t.Errorf("without a key: %d %s", resp.StatusCode, body)
	}
}

func TestWholeReply(t *testing.T) {
	s := newScene(t, nil)
	resp, body := s.send(t, "POST", "/v1/chat/completions", hello)
	var got struct {
		Object  string
		Choices []struct {
			Message struct{ Content string }
		}
		Usage struct {
			PromptTokens int `json:"prompt_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Object != "chat.completion" || len(got.Choices) != 1 ||
		got.Choices[0].Message.Content != "Hello there" || got.Usage.PromptTokens != 3 {
		t.Fatalf("%v: %s", err, body)
	}
	if resp.Header.Get("X-Strata-Cost") != "0.000012" || resp.Header.Get("X-Strata-Estimated") != "true" || resp.ContentLength != int64(len(body)) {
		t.Errorf("headers %v", resp.Header)
	}
}

// A body of the same wire passes byte for byte, whatever it holds.
func TestWholeReplyPassesThrough(t *testing.T) {
	const upstream = `{"id":"x", "unknown" : [1,2],"choices":[]}` + "\n"
	s := newScene(t, nil)
	s.models["echo"] = model.Func(func(context.Context, *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			yield(model.Event{Kind: model.KindEnd, Raw: model.Raw{Wire: model.WireOpenAIChat, Data: []byte(upstream)}, Receipt: &model.Receipt{}}, nil)
		}
	})
	resp, body := s.send(t, "POST", "/v1/chat/completions", hello)
	if body != upstream || resp.Header.Get("X-Strata-Cost") != "unknown" || resp.Header.Get("X-Strata-Estimated") != "" {
		t.Errorf("%v %q", resp.Header, body)
	}
}

func TestStream(t *testing.T) {
	s := newScene(t, nil)
	resp, body := s.send(t, "POST", "/v1/chat/completions", strings.Replace(hello, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1))
	if resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Strata-Call-Id") != "call-1" {
		t.Errorf("headers %v", resp.Header)
	}
	for _, want := range []string{`"content":"Hello"`, `"content":" there"`, `"finish_reason":"stop"`, `"prompt_tokens":3`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
	if !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("no end: %s", body)
	}
	if resp.Trailer.Get("X-Strata-Cost") != "0.000012" || resp.Header.Get("X-Strata-Cost") != "" || resp.Trailer.Get("X-Strata-Estimated") != "true" {
		t.Errorf("trailer %v, header %v", resp.Trailer, resp.Header)
	}
}

// An event reaches the client before the next one exists.
func TestStreamIsFlushed(t *testing.T) {
	s := newScene(t, nil)
	next := make(chan struct{})
	s.models["echo"] = model.Func(func(context.Context, *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			if yield(model.Event{Text: "one"}, nil) {
				<-next
				yield(model.Event{Kind: model.KindEnd}, nil)
			}
		}
	})
	req, _ := http.NewRequest("POST", s.URL+"/v1/chat/completions", strings.NewReader(strings.Replace(hello, "{", `{"stream":true,`, 1)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+goodKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), `"content":"one"`) {
	}
	close(next)
	rest, _ := io.ReadAll(resp.Body)
	if lines.Err() != nil || bytes.Contains(rest, []byte("error")) {
		t.Errorf("%v %s", lines.Err(), rest)
	}
}

// fails yields the events and then the error.
func fails(err error, events ...model.Event) model.Func {
	return func(context.Context, *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			for _, ev := range events {
				if !yield(ev, nil) {
					return
				}
			}
			if err != nil {
				yield(model.Event{}, err)
			}
		}
	}
}

func TestErrorsOfModels(t *testing.T) {
	secret := errors.New("dial tcp: key sk-upstream-secret refused")
	limited := &model.Error{Status: 429, Code: model.CodeRateLimited, Message: "the upstream is busy", RetryAfter: 1500 * time.Millisecond, Err: secret}
	for _, c := range []struct {
		name    string
		err     error
		status  int
		code    string
		headers map[string]string
	}{
		{"budget", model.Errorf(402, model.CodeBudgetExceeded, "the budget is used up"), 402, "budget_exceeded", map[string]string{"X-Should-Retry": "false"}},
		{"rate", limited, 429, "rate_limit_exceeded", map[string]string{"Retry-After": "2"}},
		{"ledger", model.Errorf(503, model.CodeLedgerUnavailable, "the disk is full").Wrap(secret), 503, "ledger_unavailable", map[string]string{"Retry-After": "1"}},
		{"untyped", secret, 500, "internal_error", nil},
		{"absurd status", model.Errorf(7, "odd", "odd"), 500, "odd", nil},
		{"no end", nil, 502, "upstream_protocol_error", nil},
	} {
		for _, stream := range []string{"false", "true"} {
			t.Run(c.name+"/"+stream, func(t *testing.T) {
				s := newScene(t, nil)
				s.models["echo"] = fails(c.err)
				resp, body := s.send(t, "POST", "/v1/chat/completions", strings.Replace(hello, "{", `{"stream":`+stream+`,`, 1))
				code, _, _ := errorOf(t, body)
				if resp.StatusCode != c.status || code != c.code {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				for name, want := range c.headers {
					if got := resp.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				if strings.Contains(body, "secret") {
					t.Errorf("the cause is shown: %s", body)
				}
				if calls := s.ledger.all(); len(calls) != 0 {
					t.Errorf("the gateway recorded what is the meter's to record: %+v", calls)
				}
			})
		}
	}
}

func TestErrorInStream(t *testing.T) {
	for name, err := range map[string]error{"error": model.Errorf(502, model.CodeUpstreamReset, "the connection was lost"), "no end": nil} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, nil)
			s.models["echo"] = fails(err, model.Event{Text: "half"})
			resp, body := s.send(t, "POST", "/v1/chat/completions", strings.Replace(hello, "{", `{"stream":true,`, 1))
			if resp.StatusCode != 200 || !strings.Contains(body, `"content":"half"`) || strings.Contains(body, "[DONE]") {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			events := strings.Split(strings.TrimSpace(body), "\n\n")
			errorOf(t, strings.TrimPrefix(events[len(events)-1], "data: "))
			if resp.Trailer.Get("X-Strata-Cost") != "" {
				t.Errorf("a failed stream claims a cost: %v", resp.Trailer)
			}
		})
	}
}

// A panic inside a model is one outcome and a 500; the server lives on.
func TestPanic(t *testing.T) {
	s := newScene(t, nil)
	s.models["small-model"] = model.Func(func(context.Context, *model.Request) iter.Seq2[model.Event, error] {
		panic("secret inside")
	})
	resp, body := s.send(t, "POST", "/v1/chat/completions", strings.Replace(hello, "echo", "small-model", 1))
	code, _, _ := errorOf(t, body)
	calls := s.ledger.all()
	if resp.StatusCode != 500 || code != "internal_error" || strings.Contains(body, "secret") || len(calls) != 1 || calls[0].Outcome != ledger.OutcomeError {
		t.Errorf("%d %s %+v", resp.StatusCode, body, calls)
	}
	if resp, _ := s.send(t, "POST", "/v1/chat/completions", hello); resp.StatusCode != 200 {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}

// A client that leaves cancels the model's context.
func TestDisconnectCancels(t *testing.T) {
	s := newScene(t, nil)
	left := make(chan error, 1)
	s.models["echo"] = model.Func(func(ctx context.Context, _ *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			yield(model.Event{Text: "one"}, nil)
			<-ctx.Done()
			left <- ctx.Err()
			yield(model.Event{}, ctx.Err())
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", s.URL+"/v1/chat/completions", strings.NewReader(strings.Replace(hello, "{", `{"stream":true,`, 1)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+goodKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(resp.Body).ReadString('\n')
	cancel()
	resp.Body.Close()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Fatal("the model was not cancelled")
	}
}

// A client that sends its body too slowly is told so, and it is one outcome.
func TestSlowBody(t *testing.T) {
	s := newScene(t, func(d *Deps) { d.BodyTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", goodKey)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	errorOf(t, string(body))
	if calls := s.ledger.all(); resp.StatusCode != 408 || len(calls) != 1 || calls[0].Status != 408 {
		t.Errorf("%d %+v", resp.StatusCode, calls)
	}
}

// Strangers cannot fill the disk: beyond the bound there is no row each, and
// the next row says how many there were.
func TestFloodOfStrangers(t *testing.T) {
	s := newScene(t, func(d *Deps) { d.StrangerRate, d.StrangerBurst = 20, 5 })
	busy := 0
	for i := range 15 {
		auth := "Authorization: "
		if i%3 == 0 {
			auth += "Bearer too-often" // a refusal of the limiter itself costs no row either
		}
		resp, body := s.send(t, "POST", "/v1/chat/completions", hello, auth)
		if code, _, _ := errorOf(t, body); code == model.CodeRateLimited {
			busy++
			errorOf(t, body)
			if resp.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	rows := len(s.ledger.all())
	if busy == 0 || rows+busy != 15 {
		t.Fatalf("%d rows and %d turned away, want 15 together", rows, busy)
	}
	if resp, _ := s.send(t, "POST", "/v1/chat/completions", "{"); resp.StatusCode != 400 || len(s.ledger.all()) != rows+1 {
		t.Errorf("a caller with a key is held up: %d", resp.StatusCode)
	}
	time.Sleep(100 * time.Millisecond) // a tenth of a second earns two rows
	s.send(t, "POST", "/v1/chat/completions", hello, "Authorization: ")
	summed := int64(0)
	for _, c := range s.ledger.all() {
		for _, d := range c.Decisions {
			var n int64
			fmt.Sscanf(d.Detail, "%d", &n)
			summed += n
		}
	}
	if summed != int64(busy) {
		t.Errorf("the rows tell of %d, want %d", summed, busy)
	}
}

// A ledger that cannot be written does not hide why a request was refused.
func TestRefusalWithoutLedger(t *testing.T) {
	s := newScene(t, nil)
	s.ledger.fail = ledger.ErrUnavailable
	resp, body := s.send(t, "POST", "/v1/chat/completions", "{")
	if code, _, _ := errorOf(t, body); resp.StatusCode != 400 || code != "invalid_json" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

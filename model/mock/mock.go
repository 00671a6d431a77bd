// Package mock is a scriptable OpenAI-compatible upstream for tests, soak runs
// and benchmarks. It is no language model: it answers with counted words, in the
// same way each time, and misbehaves on request.
//
// The behaviour is chosen by the model name: "mock" behaves, and "mock-" with
// the name of a [Fault] does that. A suffix "@N" sets the number of output
// tokens that the model would give without a limit ("mock@500").
package mock

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is a way to misbehave, the part of a model name after "mock-".
type Fault string

// The faults.
const (
	Hang          Fault = "hang"           // reads the request, never answers
	HangMid       Fault = "hang-mid"       // streams two tokens, then nothing more
	Reset         Fault = "reset"          // resets the connection before an answer
	ResetMid      Fault = "reset-mid"      // resets it after two tokens, or half a body
	HalfEvent     Fault = "half-event"     // ends in the middle of a server-sent event
	WrongJSON     Fault = "wrong-json"     // answers 200 with text that is not JSON
	NotObject     Fault = "not-object"     // answers 200 with JSON that is not a reply
	NoUsage       Fault = "no-usage"       // states no usage
	NegativeUsage Fault = "negative-usage" // states a negative number of output tokens
	AbsurdUsage   Fault = "absurd-usage"   // states 10^15 output tokens
	ZeroUsage     Fault = "zero-usage"     // states zeros although it gave text
	NoDone        Fault = "no-done"        // ends a stream without [DONE]
	NoFinish      Fault = "no-finish"      // ends a stream without finish reason, usage or [DONE]
	Overrun       Fault = "overrun"        // ignores the output limit and bills for it
	Empty         Fault = "empty"          // answers 200 with no body
	Tools         Fault = "tools"          // calls the first tool of the request
	Status400     Fault = "400"
	Status401     Fault = "401"
	Status404     Fault = "404"
	Status429     Fault = "429" // with Retry-After: 7
	Status500     Fault = "500"
	Status503     Fault = "503"
)

// SecretInErrors stands in the raw text of every error that the mock answers, so
// that a test can forbid it in what clients and logs see.
const SecretInErrors = "sk-upstream-raw-error-text"

// Options set how the mock behaves when it behaves. The zero value answers 16
// tokens at once.
type Options struct {
	// Tokens is the number of output tokens without a limit; 16 when 0.
	Tokens int
	// FirstToken and PerToken are the pauses before the first and each further
	// token.
	FirstToken, PerToken time.Duration
	// Key, when set, is the bearer key that must be sent.
	Key string
	// Models are the names of GET /v1/models; "mock" alone when empty.
	Models []string
}

// Stats count what the mock served.
type Stats struct {
	// Requests were accepted with a valid body.
	Requests int64 `json:"requests"`
	// Whole replies were written to the end.
	Whole int64 `json:"whole"`
	// PromptTokens and CompletionTokens are what was stated for whole replies.
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
}

// Upstream is the mock: an http.Handler for /v1/chat/completions,
// /v1/completions, /v1/embeddings and /v1/models, with the counts at /stats.
type Upstream struct {
	o                                           Options
	requests, whole, promptTokens, outputTokens atomic.Int64

	mu   sync.Mutex
	last []byte
}

// New makes an upstream.
func New(o Options) *Upstream {
	if o.Tokens == 0 {
		o.Tokens = 16
	}
	if len(o.Models) == 0 {
		o.Models = []string{"mock"}
	}
	return &Upstream{o: o}
}

// Stats returns the counts so far.
func (u *Upstream) Stats() Stats {
	return Stats{u.requests.Load(), u.whole.Load(), u.promptTokens.Load(), u.outputTokens.Load()}
}

// LastBody is the body of the newest request, for tests of what was forwarded.
func (u *Upstream) LastBody() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last
}

// request is what the mock reads of a body.
type request struct {
	Model         string          `json:"model"`
	Stream        bool            `json:"stream"`
	Messages      []message       `json:"messages"`
	Prompt        json.RawMessage `json:"prompt"`
	Input         json.RawMessage `json:"input"`
	MaxTokens     *int            `json:"max_tokens"`
	MaxCompletion *int            `json:"max_completion_tokens"`
	N             int             `json:"n"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Tools []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
}

type message struct {
	Content json.RawMessage `json:"content"`
}

// answer is what a request comes to.
type answer struct {
	req               request
	fault             Fault
	tokens            int // per choice
	choices           int
	prompt            int
	chat              bool
	statedOut         int
	finish            string
	usage             bool
	id                string
	firstPause, pause time.Duration
}

// ServeHTTP answers a request.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v1")
	if path == "/stats" {
		_ = json.NewEncoder(w).Encode(u.Stats())
		return
	}
	if u.o.Key != "" && r.Header.Get("Authorization") != "Bearer "+u.o.Key {
		fail(w, http.StatusUnauthorized, "invalid_api_key", "Incorrect API key provided")
		return
	}
	if r.Method == http.MethodGet && path == "/models" {
		u.models(w)
		return
	}
	if r.Method != http.MethodPost {
		fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "use POST")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_body", "the body cannot be read")
		return
	}
	u.mu.Lock()
	u.last = body
	u.mu.Unlock()
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		fail(w, http.StatusBadRequest, "invalid_json", "the body is not valid JSON")
		return
	}
	n := u.requests.Add(1)
	a := u.plan(&req, path == "/chat/completions", n)
	if status, err := strconv.Atoi(string(a.fault)); err == nil {
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "7")
		}
		fail(w, status, "mock_"+string(a.fault), "the mock was asked for this status")
		return
	}
	switch {
	case a.fault == Hang:
		<-r.Context().Done()
		return
	case a.fault == Reset:
		reset(w)
		return
	case a.fault == Empty:
		w.Header().Set("Content-Type", "application/json")
		return
	case path == "/embeddings":
		u.embeddings(w, a)
	case path != "/chat/completions" && path != "/completions":
		fail(w, http.StatusNotFound, "not_found", "there is no such path")
	case req.Stream:
		u.stream(w, r, a)
	default:
		u.reply(w, r, a)
	}
}

// plan works out the answer. Prompt tokens are a quarter of the prompt's bytes,
// which is never more than one per byte, as a real tokenizer's are.
func (u *Upstream) plan(req *request, chat bool, n int64) *answer {
	a := &answer{req: *req, chat: chat, tokens: u.o.Tokens, choices: max(req.N, 1), finish: "stop",
		firstPause: u.o.FirstToken, pause: u.o.PerToken, usage: true, id: "mock-" + strconv.FormatInt(n, 10)}
	name, count, _ := strings.Cut(req.Model, "@")
	if c, err := strconv.Atoi(count); err == nil && c >= 0 {
		a.tokens = c
	}
	a.fault = Fault(strings.TrimPrefix(strings.TrimPrefix(name, "mock"), "-"))
	bytes := len(req.Prompt) + len(req.Input)
	for _, m := range req.Messages {
		bytes += len(m.Content)
	}
	a.prompt = bytes/4 + 1
	limit := req.MaxTokens
	if req.MaxCompletion != nil {
		limit = req.MaxCompletion
	}
	if limit != nil && *limit < a.tokens && a.fault != Overrun {
		a.tokens, a.finish = *limit, "length"
	}
	a.statedOut = a.tokens * a.choices
	switch a.fault {
	case NoUsage, NoFinish:
		a.usage = false
	case NegativeUsage:
		a.statedOut = -5
	case AbsurdUsage:
		a.statedOut = 1_000_000_000_000_000
	case ZeroUsage:
		a.statedOut, a.prompt = 0, 0
	case Tools:
		a.finish = "tool_calls"
	}
	return a
}

func (a *answer) usageJSON() string {
	if !a.usage {
		return "null"
	}
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, a.prompt, a.statedOut, a.prompt+a.statedOut)
}

// Word is the i-th output token's text.
func Word(i int) string { return "w" + strconv.Itoa(i) + " " }

// Text is what the mock answers with n tokens.
func Text(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(Word(i))
	}
	return b.String()
}

// created is the fixed time of every reply, so that replies can be compared.
const created = 1_700_000_000

func (u *Upstream) done(a *answer) {
	u.whole.Add(1)
	u.promptTokens.Add(int64(a.prompt))
	u.outputTokens.Add(int64(a.statedOut))
}

// reply writes a whole reply.
func (u *Upstream) reply(w http.ResponseWriter, r *http.Request, a *answer) {
	if !pause(r, a.firstPause+time.Duration(a.tokens)*a.pause) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch a.fault {
	case WrongJSON:
		_, _ = w.Write([]byte(`<html>` + SecretInErrors + `</html>`))
		return
	case NotObject:
		_, _ = w.Write([]byte(`["` + SecretInErrors + `"]`))
		return
	case HangMid:
		w.Header().Set("Content-Length", "10000")
		_, _ = w.Write([]byte(`{"id":`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	case ResetMid, HalfEvent:
		w.Header().Set("Content-Length", "10000")
		_, _ = w.Write([]byte(`{"id":"` + a.id + `","choices":[`))
		_ = http.NewResponseController(w).Flush()
		reset(w)
		return
	}
	text, _ := json.Marshal(Text(a.tokens))
	object := "text_completion"
	if a.chat {
		object = "chat.completion"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `{"id":"%s","object":"%s","created":%d,"model":%q,"choices":[`, a.id, object, created, a.req.Model)
	for i := range a.choices {
		if i > 0 {
			b.WriteByte(',')
		}
		switch {
		case a.fault == Tools && len(a.req.Tools) > 0:
			fmt.Fprintf(&b, `{"index":%d,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":%q,"arguments":"{\"city\":\"Paris\"}"}}]},"logprobs":null,"finish_reason":"tool_calls"}`,
				i, a.req.Tools[0].Function.Name)
		case a.chat:
			fmt.Fprintf(&b, `{"index":%d,"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":"%s"}`, i, text, a.finish)
		default:
			fmt.Fprintf(&b, `{"index":%d,"text":%s,"logprobs":null,"finish_reason":"%s"}`, i, text, a.finish)
		}
	}
	fmt.Fprintf(&b, `],"usage":%s,"mock_unknown_field":{"kept":true}}`, a.usageJSON())
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	if _, err := w.Write([]byte(b.String())); err == nil {
		u.done(a)
	}
}

// stream writes server-sent events.
func (u *Upstream) stream(w http.ResponseWriter, r *http.Request, a *answer) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	if a.fault == WrongJSON || a.fault == NotObject {
		_, _ = w.Write([]byte("data: <" + SecretInErrors + ">\n\n"))
		return
	}
	if !pause(r, a.firstPause) {
		return
	}
	object := "text_completion"
	if a.chat {
		object = "chat.completion.chunk"
	}
	head := fmt.Sprintf(`data: {"id":"%s","object":"%s","created":%d,"model":%q,"choices":[`, a.id, object, created, a.req.Model)
	// vLLM and others put a null usage into each chunk when usage was asked for.
	tail := "]}\n\n"
	if a.req.StreamOptions.IncludeUsage {
		tail = "],\"usage\":null}\n\n"
	}
	buf := make([]byte, 0, 1024)
	send := func(choice string) bool {
		buf = append(append(append(buf[:0], head...), choice...), tail...)
		if _, err := w.Write(buf); err != nil {
			return false
		}
		return flush() == nil
	}
	for c := range a.choices {
		if a.chat && !send(fmt.Sprintf(`{"index":%d,"delta":{"role":"assistant","content":""},"finish_reason":null}`, c)) {
			return
		}
		if a.fault == Tools && len(a.req.Tools) > 0 {
			ok := send(fmt.Sprintf(`{"index":%d,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":%q,"arguments":""}}]},"finish_reason":null}`, c, a.req.Tools[0].Function.Name)) &&
				send(fmt.Sprintf(`{"index":%d,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]},"finish_reason":null}`, c)) &&
				send(fmt.Sprintf(`{"index":%d,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Paris\"}"}}]},"finish_reason":null}`, c))
			if !ok {
				return
			}
		} else if !u.tokens(w, r, a, c, send) {
			return
		}
		if a.fault == NoFinish {
			continue
		}
		end := fmt.Sprintf(`{"index":%d,"delta":{},"finish_reason":"%s"}`, c, a.finish)
		if !a.chat {
			end = fmt.Sprintf(`{"index":%d,"text":"","finish_reason":"%s"}`, c, a.finish)
		}
		if !send(end) {
			return
		}
	}
	if a.fault == NoFinish {
		return
	}
	if a.req.StreamOptions.IncludeUsage && a.usage {
		if _, err := fmt.Fprintf(w, "%s],\"usage\":%s}\n\n", head, a.usageJSON()); err != nil {
			return
		}
	}
	if a.fault != NoDone {
		if _, err := w.Write([]byte("data: [DONE]\n\n")); err != nil {
			return
		}
	}
	if flush() == nil {
		u.done(a)
	}
}

// tokens streams the words of one choice; false when the stream is over.
func (u *Upstream) tokens(w http.ResponseWriter, r *http.Request, a *answer, choice int, send func(string) bool) bool {
	for i := range a.tokens {
		if i > 0 && !pause(r, a.pause) {
			return false
		}
		if i == 2 {
			switch a.fault {
			case HangMid:
				<-r.Context().Done()
				return false
			case ResetMid:
				reset(w)
				return false
			case HalfEvent:
				_, _ = w.Write([]byte(`data: {"id":"` + a.id + `","choices":[{"index":0,"del`))
				return false
			}
		}
		text := strconv.Quote(Word(i))
		ok := false
		if a.chat {
			ok = send(`{"index":` + strconv.Itoa(choice) + `,"delta":{"content":` + text + `},"finish_reason":null}`)
		} else {
			ok = send(`{"index":` + strconv.Itoa(choice) + `,"text":` + text + `,"finish_reason":null}`)
		}
		if !ok {
			return false
		}
	}
	return true
}

// embeddings answers with four numbers per input that depend on its length.
func (u *Upstream) embeddings(w http.ResponseWriter, a *answer) {
	var many []json.RawMessage
	if json.Unmarshal(a.req.Input, &many) != nil {
		many = []json.RawMessage{a.req.Input}
	}
	w.Header().Set("Content-Type", "application/json")
	var b strings.Builder
	fmt.Fprintf(&b, `{"object":"list","model":%q,"data":[`, a.req.Model)
	for i, in := range many {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"object":"embedding","index":%d,"embedding":[0.5,0.25,%g,%d]}`, i, 1/float64(len(in)+1), i)
	}
	a.statedOut = 0
	usage := "null"
	if a.usage {
		usage = fmt.Sprintf(`{"prompt_tokens":%d,"total_tokens":%d}`, a.prompt, a.prompt)
	}
	fmt.Fprintf(&b, `],"usage":%s}`, usage)
	if _, err := w.Write([]byte(b.String())); err == nil {
		u.done(a)
	}
}

func (u *Upstream) models(w http.ResponseWriter) {
	var b strings.Builder
	b.WriteString(`{"object":"list","data":[`)
	for i, name := range u.o.Models {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%q,"object":"model","created":%d,"owned_by":"mock"}`, name, created)
	}
	b.WriteString("]}")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(b.String()))
}

func fail(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":%q,"type":"mock_error","param":null,"code":%q}}`, text+" "+SecretInErrors, code)
}

// pause waits unless the client leaves first.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// reset closes the connection so that the client sees a reset, not an end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

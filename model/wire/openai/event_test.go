package openai

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/stratahq/strata/model"
)

func TestChunkPassesThroughAndIsUnderstood(t *testing.T) {
	var d Decoder
	chunk := func(s string) ([]model.Event, Facts) {
		t.Helper()
		ev, f, err := d.Chunk(model.WireOpenAIChat, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		for i := range ev {
			if len(ev) == 1 && string(ev[i].Raw.Data) != s {
				t.Errorf("raw = %s", ev[i].Raw.Data)
			}
		}
		return ev, f
	}
	ev, f := chunk(`{"id":"c1","object":"chat.completion.chunk","created":17,"model":"gpt","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`)
	if ev[0].Kind != model.KindOther || ev[0].ID != "c1" || ev[0].Model != "gpt" || ev[0].Created != 17 || ev[0].SystemFingerprint != "fp" || f.Usage != nil {
		t.Errorf("role chunk = %+v, %+v", ev, f)
	}
	ev, _ = chunk(`{"choices":[{"index":1,"delta":{"content":"hi","reasoning_content":"hm","reasoning":"hm"},"logprobs":{"content":[{"token":"hi","logprob":-0.5,"bytes":[104,105],"top_logprobs":[{"token":"ho","logprob":-2,"bytes":null}]}]}}]}`)
	if e := ev[0]; e.Kind != model.KindDelta || e.Choice != 1 || e.Text != "hi" || e.Reasoning != "hm" || e.Logprobs[0].Logprob != -0.5 ||
		string(e.Logprobs[0].Bytes) != "hi" || e.Logprobs[0].Top[0].Token != "ho" {
		t.Errorf("delta = %+v", e)
	}
	ev, _ = chunk(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"id":"call","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":"tool_calls"}]}`)
	if e := ev[0]; e.ToolCalls[0] != (model.ToolCall{Index: 2, ID: "call", Type: "function", Name: "f"}) || e.FinishReason != "tool_calls" {
		t.Errorf("tool call = %+v", e)
	}
	ev, f = chunk(`{"choices":[],"usage":{"prompt_tokens":3},"service_tier":"flex"}`)
	if ev[0].Kind != model.KindOther || string(f.Usage) != `{"prompt_tokens":3}` || f.ServiceTier != "flex" {
		t.Errorf("usage chunk = %+v, %+v", ev, f)
	}
	if _, f = chunk(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":{"prompt_tokens":4}}}`); string(f.Usage) != `{"prompt_tokens":4}` {
		t.Errorf("groq usage = %s", f.Usage)
	}
	if _, f = chunk(`{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":5}}]}`); string(f.Usage) != `{"prompt_tokens":5}` {
		t.Errorf("moonshot usage = %s", f.Usage)
	}
	if ev, _ = chunk(`{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"why"}]},{"type":"text","text":"so"}]}}]}`); ev[0].Reasoning != "why" || ev[0].Text != "so" {
		t.Errorf("mistral = %+v", ev)
	}
	if _, f = chunk(`{"error":{"message":"boom","code":429,"type":"t"}}`); f.Failure == nil || f.Failure.Message != "boom" || f.Failure.Status != 429 {
		t.Errorf("failure = %+v", f.Failure)
	}
}

func TestChunkOfSeveralChoicesIsSplit(t *testing.T) {
	var d Decoder
	ev, _, err := d.Chunk("w", []byte(`{"id":"x","choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"},"x":1}],"y":2}`))
	if err != nil || len(ev) != 2 {
		t.Fatal(ev, err)
	}
	for i, want := range []string{`{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}],"y":2}`, `{"id":"x","choices":[{"index":1,"delta":{"content":"b"},"x":1}],"y":2}`} {
		if string(ev[i].Raw.Data) != want || ev[i].Choice != i {
			t.Errorf("part %d is %s", i, ev[i].Raw.Data)
		}
	}
}

func TestBadRepliesAreNotReplies(t *testing.T) {
	for _, in := range []string{``, `null`, `[]`, `"x"`, `<html>`, `{`, `{"choices":[{"index":0,"delta":{"content":5}}]}`, `{"choices":[5]}`, `{"choices":{}}`} {
		var d Decoder
		if _, _, err := d.Chunk("w", []byte(in)); !errors.Is(err, ErrNotReply) {
			t.Errorf("%q is taken for a chunk: %v", in, err)
		}
	}
	for _, in := range []string{`{}`, `{"object":"list"}`} {
		var d Decoder
		if _, _, err := d.Reply(model.WireOpenAIChat, []byte(in)); !errors.Is(err, ErrNotReply) {
			t.Errorf("%q is taken for a reply: %v", in, err)
		}
	}
}

// reply collects what a decoder yields.
func reply(t *testing.T, wire, body string) (*model.Reply, Facts) {
	t.Helper()
	var d Decoder
	events, facts, err := d.Reply(wire, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	r := &model.Reply{}
	for i := range events {
		r.Add(&events[i])
	}
	return r, facts
}

func TestReplyRoundTrip(t *testing.T) {
	body := `{"id":"c","object":"chat.completion","created":5,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"message":{"role":"assistant","content":"a\u2028\"b","reasoning_content":"r","refusal":null},"logprobs":null,"finish_reason":"length"},{"index":1,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"logprobs":{"content":[{"token":"é","logprob":-1,"bytes":[195,169],"top_logprobs":[]}],"refusal":null},"finish_reason":"tool_calls"}]}`
	r, _ := reply(t, model.WireOpenAIChat, body)
	req := &model.Request{Op: model.OpChat, Chat: &model.Chat{}}
	if got := string(EncodeReply(req, r)); got != body {
		t.Errorf("a whole reply is not passed through: %s", got)
	}
	r.Raw = model.Raw{}
	if got := string(EncodeReply(req, r)); got != body {
		t.Errorf("got  %s\nwant %s", got, body)
	}
}

func TestCompletionRoundTrip(t *testing.T) {
	body := `{"id":"c","object":"text_completion","created":5,"model":"m","choices":[{"index":0,"text":"né w","logprobs":{"tokens":["né"," w"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{" w":-0.5}],"text_offset":[0,2]},"finish_reason":"stop"}]}`
	r, _ := reply(t, model.WireOpenAICompletions, body)
	if !math.IsNaN(r.Choices[0].Logprobs[0].Logprob) {
		t.Error("the first token of an echo has no log probability")
	}
	r.Raw = model.Raw{}
	got := string(EncodeReply(&model.Request{Op: model.OpComplete, Completion: &model.Completion{Sampling: model.Sampling{TopLogprobs: 1}}}, r))
	if got != body {
		t.Errorf("got  %s\nwant %s", got, body)
	}
}

func TestEmbeddingRoundTrip(t *testing.T) {
	for _, format := range []string{"float", "base64"} {
		want := [][]float32{{0.25, -1e-7, 3}, {0, float32(math.Pi)}}
		req := &model.Request{Op: model.OpEmbed, Embedding: &model.Embedding{EncodingFormat: format}}
		u := &model.Usage{}
		u.Count[model.Input] = 7
		body := EncodeReply(req, &model.Reply{Model: "e", Embeddings: want, Usage: u})
		if !json.Valid(body) || !strings.Contains(string(body), `"usage":{"prompt_tokens":7,"total_tokens":7}`) {
			t.Errorf("%s: %s", format, body)
		}
		r, f := reply(t, model.WireOpenAIEmbeddings, string(body))
		if !reflect.DeepEqual(r.Embeddings, want) || f.Usage == nil {
			t.Errorf("%s: %v", format, r.Embeddings)
		}
	}
}

func TestUsageHasDetailsInsideTotals(t *testing.T) {
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.CacheRead], u.Count[model.CacheWrite] = 10, 4, 1
	u.Count[model.Output], u.Count[model.Reasoning] = 3, 20
	got := string(AppendUsage(nil, model.OpChat, u))
	want := `{"prompt_tokens":15,"completion_tokens":23,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":0}}`
	if got != want {
		t.Errorf("got %s", got)
	}
}

// sent reads what an encoder wrote as events.
func sent(t *testing.T, req *model.Request, events ...model.Event) []string {
	t.Helper()
	e := NewChunkEncoder(req)
	var out []byte
	for i := range events {
		out = e.Append(out, &events[i])
	}
	var list []string
	for data, err := range ReadEvents(strings.NewReader(string(out)), 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(data))
	}
	return list
}

func TestStreamIsWrittenAnew(t *testing.T) {
	req := &model.Request{Op: model.OpChat, Model: "m", Stream: true, Call: model.CallRef{ID: "0190a5b6-c7d8-7abc-8def-0123456789ab"},
		Chat: &model.Chat{Sampling: model.Sampling{IncludeUsage: true}}}
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.Output] = 2, 3
	got := sent(t, req, model.Event{Kind: model.KindDelta, Text: "a"}, model.Event{Kind: model.KindDelta, Text: "b", FinishReason: "length"},
		model.Event{Kind: model.KindEnd, Usage: u})
	head := `{"id":"chatcmpl-0190a5b6c7d87abc8def0123456789ab","object":"chat.completion.chunk","created":1720767137,"model":"m",`
	want := []string{
		head + `"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}`,
		head + `"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}],"usage":null}`,
		head + `"choices":[{"index":0,"delta":{"content":"b"},"logprobs":null,"finish_reason":null}],"usage":null}`,
		head + `"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}`,
		head + `"choices":[],"usage":` + string(AppendUsage(nil, model.OpChat, u)) + `}`,
		`[DONE]`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStreamOnTheSameWireIsUntouched(t *testing.T) {
	req := &model.Request{Op: model.OpChat, Stream: true, Chat: &model.Chat{Sampling: model.Sampling{IncludeUsage: true}}}
	raw := func(kind model.Kind, finish, data string, u *model.Usage) model.Event {
		return model.Event{Kind: kind, FinishReason: finish, Usage: u, Raw: model.Raw{Wire: model.WireOpenAIChat, Data: []byte(data)}}
	}
	got := sent(t, req, raw(model.KindOther, "", `{"a": 1}`, nil), raw(model.KindDelta, "stop", "{\"b\":\n 2}", nil),
		raw(model.KindOther, "", `{"choices":[],"usage":{}}`, &model.Usage{}),
		model.Event{Kind: model.KindEnd, Usage: &model.Usage{}, Raw: model.Raw{Wire: model.WireOpenAIChat, Data: []byte("[DONE]")}})
	if want := []string{`{"a": 1}`, "{\"b\":\n 2}", `{"choices":[],"usage":{}}`, "[DONE]"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestStreamClosesWhatTheModelLeftOpen(t *testing.T) {
	req := &model.Request{Op: model.OpComplete, Stream: true, Completion: &model.Completion{}}
	got := sent(t, req, model.Event{Text: "a"}, model.Event{Text: "b", Choice: 1, FinishReason: "length"}, model.Event{Kind: model.KindEnd})
	all := strings.Join(got, "\n")
	if strings.Count(all, `"finish_reason":"stop"`) != 1 || strings.Count(all, `"finish_reason":"length"`) != 1 || got[len(got)-1] != "[DONE]" {
		t.Errorf("got %s", all)
	}
	if strings.Contains(all, "usage") {
		t.Error("the client did not ask for usage")
	}
}

func TestErrorBodies(t *testing.T) {
	e := model.Errorf(402, model.CodeBudgetExceeded, "the budget \"x\" is used up\n")
	if got := string(AppendError(nil, e)); got != `{"error":{"message":"the budget \"x\" is used up\n","type":"insufficient_quota","param":null,"code":"budget_exceeded"}}` {
		t.Error(got)
	}
	for status, want := range map[int]string{400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "invalid_request_error", 429: "rate_limit_error", 503: "server_error"} {
		if got := ErrorType(model.Errorf(status, "c", "m")); got != want {
			t.Errorf("%d: %s", status, got)
		}
	}
	e = model.Errorf(400, "c", "m")
	e.Param = "messages[0]"
	if got := string(AppendError(nil, e)); !strings.Contains(got, `"param":"messages[0]"`) {
		t.Error(got)
	}
	if got := string(NewChunkEncoder(&model.Request{Op: model.OpChat}).AppendError(nil, e)); !strings.HasPrefix(got, "data: {\"error\"") || !strings.HasSuffix(got, "\n\n") {
		t.Error(got)
	}
}

func TestModelList(t *testing.T) {
	got := string(AppendModels(nil, []ModelObject{{"a", 1, "x"}, {"b/c", 0, ""}}))
	if got != `{"object":"list","data":[{"id":"a","object":"model","created":1,"owned_by":"x"},{"id":"b/c","object":"model","created":0,"owned_by":""}]}` {
		t.Error(got)
	}
}

// FuzzReply checks that whatever an upstream sends is either refused or yields
// events that a client can be sent.
func FuzzReply(f *testing.F) {
	f.Add([]byte(benchChunk))
	f.Add([]byte(`{"choices":[{"index":0,"message":{"content":"x"},"logprobs":{"tokens":["a"]}}],"usage":{}}`))
	f.Add([]byte(`{"data":[{"index":1,"embedding":"AAAAAA=="},{"embedding":[1,2]}]}`))
	f.Add([]byte(`{"choices":[{"delta":{"tool_calls":[{"index":0}]}},{"index":9}],"error":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decoder
		if events, _, err := d.Chunk(model.WireOpenAIChat, data); err == nil {
			enc := NewChunkEncoder(&model.Request{Op: model.OpChat, Chat: &model.Chat{}})
			for i := range events {
				if !json.Valid(events[i].Raw.Data) {
					t.Fatalf("%q passes on %q", data, events[i].Raw.Data)
				}
				events[i].Raw = model.Raw{}
				for out, err := range ReadEvents(strings.NewReader(string(enc.Append(nil, &events[i]))), 1<<30) {
					if err != nil || !json.Valid(out) {
						t.Fatalf("%q is written as %q, %v", data, out, err)
					}
				}
			}
		}
		for _, op := range []model.Op{model.OpChat, model.OpComplete, model.OpEmbed} {
			var d Decoder
			events, _, err := d.Reply(WireOf(op), data)
			if err != nil {
				continue
			}
			r := &model.Reply{}
			for i := range events {
				r.Add(&events[i])
			}
			r.Raw = model.Raw{}
			if out := EncodeReply(&model.Request{Op: op, Embedding: &model.Embedding{}}, r); !json.Valid(out) {
				t.Fatalf("%q is written as %q", data, out)
			}
		}
	})
}

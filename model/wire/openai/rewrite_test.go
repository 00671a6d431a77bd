package openai

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stratahq/strata/model"
)

func TestRewriteChangesOnlyWhatIsNamed(t *testing.T) {
	for _, c := range []struct {
		in   string
		edit []Edit
		want string
	}{
		{`{"model":"a"}`, []Edit{{Field: "model", Value: []byte(`"b"`)}}, `{"model":"b"}`},
		{" { \"x\" : 1.50 ,\n\t\"model\" : \"a\" , \"y\":[ ] } \n", []Edit{{Field: "model", Value: []byte(`"b"`)}}, " { \"x\" : 1.50 ,\n\t\"model\" : \"b\" , \"y\":[ ] } \n"},
		{`{}`, []Edit{{Field: "n", Value: []byte(`1`)}}, `{"n":1}`},
		{` { } `, []Edit{{Field: "n", Value: []byte(`1`)}, {Field: "m", Value: []byte(`2`)}}, ` {"n":1,"m":2 } `},
		{`{"a":1 }`, []Edit{{Field: "n", Value: []byte(`1`)}}, `{"a":1,"n":1 }`},
		{`{"a":{"model":"x"},"model":"a"}`, []Edit{{Field: "model", Value: []byte(`"b"`)}}, `{"a":{"model":"x"},"model":"b"}`},
		{`{"\u006dodel":"a"}`, []Edit{{Field: "model", Value: []byte(`"b"`)}}, `{"\u006dodel":"b"}`},
		{`{"max_tokens" : 5,"x":1}`, []Edit{{Field: "max_tokens", Rename: "max_completion_tokens", Value: []byte("7")}}, `{"max_completion_tokens": 7,"x":1}`},
		{`{"x":"}{\"" , "max_tokens":5}`, []Edit{{Field: "max_tokens", Rename: "max_completion_tokens"}}, `{"x":"}{\"" , "max_completion_tokens":5}`},
		{`{"a":1}`, []Edit{{Field: "b", Rename: "c"}}, `{"a":1}`},
		{`{"a":1,"a":2}`, []Edit{{Field: "a", Value: []byte("3")}}, `{"a":3,"a":3}`},
	} {
		got, err := Rewrite(nil, []byte(c.in), c.edit...)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{``, `[]`, `{"a":1`, `{"a":1}}`, `{"a" 1}`, `{"model":"a","x":}`} {
		if got, err := Rewrite(nil, []byte(in), Edit{Field: "model", Value: []byte("1")}); err == nil {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestRemove(t *testing.T) {
	for in, want := range map[string]string{
		`{"x":1}`:                      `{}`,
		`{ "x" : 1 , "a":2}`:           `{ "a":2}`,
		`{"a":1, "x":{"a":[]} }`:       `{"a":1 }`,
		`{"a":1,"x":2,"b":3}`:          `{"a":1,"b":3}`,
		`{"a":{"x":1},"y":"x"}`:        `{"a":{"x":1},"y":"x"}`,
		`{"a":1 , "\u0078":2 , "b":3}`: `{"a":1 , "b":3}`,
	} {
		got, err := remove(nil, []byte(in), "x")
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v; want %s", in, got, err, want)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add([]byte(`{"model":"a","max_tokens":1,"x":[{"model":2}]}`))
	f.Add([]byte(" { } "))
	f.Add([]byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var before map[string]any
		valid := json.Unmarshal(body, &before) == nil && before != nil
		got, err := Rewrite(nil, body, Edit{Field: "model", Value: []byte(`"new"`)}, Edit{Field: "max_tokens", Rename: "limit", Value: []byte("9")})
		if !valid {
			// The standard library also takes "null" for a map, and texts that
			// are not UTF-8; both may be accepted or refused here.
			return
		}
		if err != nil {
			t.Fatalf("valid JSON %q was refused: %v", body, err)
		}
		var after map[string]any
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, got, err)
		}
		if after["model"] != "new" || after["limit"] != 9.0 {
			t.Fatalf("%q became %q", body, got)
		}
		for _, m := range []map[string]any{before, after} {
			delete(m, "model")
			delete(m, "max_tokens")
			delete(m, "limit")
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q: other fields changed", body, got)
		}
		same, err := Rewrite(nil, body, Edit{Field: "absent_field", Rename: "x"})
		if err != nil || string(same) != string(body) {
			t.Fatalf("%q became %q without an edit", body, same)
		}
		less, err := remove(nil, body, "model")
		if err != nil || !json.Valid(less) {
			t.Fatalf("%q without model is %q: %v", body, less, err)
		}
	})
}

func TestForwardKeepsUnknownFields(t *testing.T) {
	body := `{"model":"mine","messages":[{"role":"user","content":"x","cache_control":{"type":"ephemeral"}}],  "max_tokens": 5,"stream":true,"stream_options":{"include_obfuscation":false},"future":{"a":[1e3]}}`
	r, err := DecodeChat([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := EncodeRequest(nil, r, UpstreamOptions{Model: "theirs", Limit: LimitMaxCompletionTokens, AskUsage: true})
	want := `{"model":"theirs","messages":[{"role":"user","content":"x","cache_control":{"type":"ephemeral"}}],  "max_completion_tokens": 5,"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true},"future":{"a":[1e3]}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s, %v", got, want, err)
	}
	// Nothing to change: the same bytes.
	if got, _ := EncodeRequest(nil, r, UpstreamOptions{Model: "mine"}); string(got) != body {
		t.Errorf("got %s", got)
	}
	// A limit that Strata sets.
	limited := r.Clone()
	n := 3
	limited.Chat.MaxTokens = &n
	got, _ = EncodeRequest(nil, limited, UpstreamOptions{Model: "mine"})
	if string(Field(got, "max_tokens")) != "3" {
		t.Errorf("got %s", got)
	}
	// A server that refuses stream_options.
	got, _ = EncodeRequest(nil, r, UpstreamOptions{Model: "mine", NoStreamOptions: true})
	if Field(got, "stream_options") != nil || !json.Valid(got) {
		t.Errorf("got %s", got)
	}
	// A wrapper that wants the reply whole.
	whole := r.Clone()
	whole.Stream = false
	got, _ = EncodeRequest(nil, whole, UpstreamOptions{Model: "mine"})
	if string(Field(got, "stream")) != "false" {
		t.Errorf("got %s", got)
	}
}

func TestLimitIsAddedWhereThereIsNone(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m","messages":[{"role":"user","content":"x"}]}`:                              `{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":7}`,
		`{"model":"m","max_tokens":null,"messages":[{"role":"user","content":"x"}]}`:            `{"model":"m","max_tokens":null,"messages":[{"role":"user","content":"x"}],"max_completion_tokens":7}`,
		`{"model":"m","max_completion_tokens":null,"messages":[{"role":"user","content":"x"}]}`: `{"model":"m","max_completion_tokens":7,"messages":[{"role":"user","content":"x"}]}`,
	} {
		r, err := DecodeChat([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		r = r.Clone()
		n := 7
		r.Chat.MaxTokens = &n
		got, err := EncodeRequest(nil, r, UpstreamOptions{Model: "m", Limit: LimitMaxCompletionTokens})
		if err != nil || string(got) != want {
			t.Errorf("got  %s\nwant %s, %v", got, want, err)
		}
	}
}

func TestRequestMadeInsideIsWrittenAnew(t *testing.T) {
	n, f := 9, 0.5
	r := &model.Request{Op: model.OpChat, Model: "m", Stream: true, Chat: &model.Chat{
		Messages:   []model.Message{model.TextMessage("system", "s\"\n"), model.UserMessage("u")},
		Tools:      []model.Tool{{Name: "f", Parameters: json.RawMessage(`{"type":"object"}`)}},
		ToolChoice: json.RawMessage("auto"),
		Sampling:   model.Sampling{MaxTokens: &n, Temperature: &f, Stop: []string{"a", "b"}, N: 2, Logprobs: true, TopLogprobs: 1},
		Extra:      map[string]json.RawMessage{"z": json.RawMessage("1"), "a": json.RawMessage("2")},
	}}
	got, err := EncodeRequest(nil, r, UpstreamOptions{Model: "up", AskUsage: true})
	want := `{"model":"up","messages":[{"role":"system","content":"s\"\n"},{"role":"user","content":"u"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"auto","logprobs":true,"top_logprobs":1,"max_tokens":9,"temperature":0.5,"n":2,"stop":["a","b"],"stream":true,"stream_options":{"include_usage":true},"a":2,"z":1}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s, %v", got, want, err)
	}
	if _, err := EncodeRequest(nil, &model.Request{Op: model.OpImage}, UpstreamOptions{}); err == nil {
		t.Error("an operation without a form was encoded")
	}
}

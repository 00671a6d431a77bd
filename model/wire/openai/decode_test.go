package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stratahq/strata/model"
)

const chatBody = `{
  "model": "gpt-4o-mini", "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false},
  "messages": [
    {"role": "system", "content": "Be brief.\nNo lists."},
    {"role": "user", "name": "ann", "content": [
      {"type": "text", "text": "What is \u00fc\ud83d\ude00?"},
      {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
      {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
      {"type": "hologram", "x": 1}]},
    {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
      {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"q\":1}"}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "42"}],
  "tools": [{"type": "function", "function": {"name": "look", "description": "looks", "parameters": {"type": "object"}, "strict": true}}],
  "tool_choice": "auto", "response_format": {"type": "json_object"}, "max_completion_tokens": 50, "temperature": 0.5,
  "top_p": 0.9, "top_k": 40, "min_p": 0.05, "repeat_penalty": 1.1, "presence_penalty": -1, "frequency_penalty": 1e-1,
  "seed": 42, "stop": ["a", "b"], "n": 2, "logprobs": true, "top_logprobs": 3, "logit_bias": {"50256": -100},
  "user": "u-1", "metadata": {"team": "blue"}, "service_tier": "flex", "my_field": {"deep": [1, 2]}
}`

func TestDecodeChat(t *testing.T) {
	r, err := DecodeChat([]byte(chatBody))
	if err != nil {
		t.Fatal(err)
	}
	c := r.Chat
	if r.Op != model.OpChat || r.Model != "gpt-4o-mini" || !r.Stream || !c.IncludeUsage || *c.MaxTokens != 50 ||
		*c.Temperature != 0.5 || *c.TopP != 0.9 || *c.TopK != 40 || *c.MinP != 0.05 || *c.RepeatPenalty != 1.1 ||
		*c.PresencePen != -1 || *c.FrequencyPen != 0.1 || *c.Seed != 42 || len(c.Stop) != 2 || c.N != 2 ||
		!c.Logprobs || c.TopLogprobs != 3 || c.LogitBias["50256"] != -100 {
		t.Errorf("request = %+v", c.Sampling)
	}
	if r.Attribution.EndUser != "u-1" || r.Attribution.Tags["team"] != "blue" {
		t.Errorf("attribution = %+v", r.Attribution)
	}
	if len(c.Messages) != 4 || c.Messages[0].Text() != "Be brief.\nNo lists." || c.Messages[1].Text() != "What is ü😀?" || c.Messages[1].Name != "ann" {
		t.Fatalf("messages = %+v", c.Messages)
	}
	p := c.Messages[1].Parts
	if p[1].Type != model.PartImage || p[1].URL != "data:image/png;base64,AAAA" || p[2].Type != model.PartAudio || p[3].Type != model.PartOther ||
		string(p[3].Raw) != `{"type": "hologram", "x": 1}` {
		t.Errorf("parts = %+v", p)
	}
	if call := c.Messages[2].ToolCalls[0]; call.ID != "call_1" || call.Name != "look" || call.Arguments != `{"q":1}` {
		t.Errorf("tool call = %+v", call)
	}
	if string(c.Messages[2].Extra["reasoning_content"]) != `"hm"` || c.Messages[3].ToolCallID != "call_1" {
		t.Errorf("messages = %+v", c.Messages[2:])
	}
	if tool := c.Tools[0]; tool.Name != "look" || tool.Description != "looks" || string(tool.Parameters) != `{"type": "object"}` || !strings.Contains(string(tool.Raw), "strict") {
		t.Errorf("tool = %+v", tool)
	}
	if string(c.ToolChoice) != `"auto"` || string(c.ResponseFormat) != `{"type": "json_object"}` {
		t.Errorf("choice %s, format %s", c.ToolChoice, c.ResponseFormat)
	}
	if len(c.Extra) != 2 || string(c.Extra["my_field"]) != `{"deep": [1, 2]}` || string(c.Extra["service_tier"]) != `"flex"` {
		t.Errorf("extra = %v", c.Extra)
	}
	if r.Raw.Wire != model.WireOpenAIChat || string(r.Raw.Data) != chatBody {
		t.Error("the body is not kept")
	}
}

func TestNullIsNotGiven(t *testing.T) {
	r, err := DecodeChat([]byte(`{"model":"m","messages":[{"role":"user","content":"x","name":null}],"max_tokens":null,"max_completion_tokens":null,
		"temperature":null,"stop":null,"tools":null,"tool_choice":null,"stream":null,"stream_options":null,"logprobs":null,"user":null,"metadata":null,"n":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Sampling(); s.MaxTokens != nil || s.Temperature != nil || s.Stop != nil || r.Stream || s.N != 0 {
		t.Errorf("sampling = %+v", s)
	}
}

func TestRefusalsNameTheField(t *testing.T) {
	m := `"messages":[{"role":"user","content":"x"}]`
	for name, c := range map[string]struct{ body, code, param, says string }{
		"empty":            {``, model.CodeInvalidJSON, "", "unexpected end at byte 0"},
		"cut":              {`{"model":"m",`, model.CodeInvalidJSON, "", "at byte 13"},
		"trailing":         {`{"model":"m",` + m + `} x`, model.CodeInvalidJSON, "", "unexpected data"},
		"array":            {`[]`, model.CodeInvalidRequest, "", "the body must be an object, and is an array"},
		"control":          {"{\"model\":\"a\nb\"}", model.CodeInvalidJSON, "", "control character"},
		"utf-8":            {"{\"model\":\"a\xff\"}", model.CodeInvalidJSON, "", "UTF-8 at byte 11"},
		"bad escape":       {`{"model":"\x"}`, model.CodeInvalidJSON, "", "invalid escape"},
		"number":           {`{"model":"m","seed":01}`, model.CodeInvalidJSON, "", "at byte 21"},
		"deep":             {`{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, model.CodeInvalidJSON, "", "nested deeper"},
		"no model":         {`{` + m + `}`, model.CodeInvalidRequest, "model", "model is missing"},
		"model type":       {`{"model":1,` + m + `}`, model.CodeInvalidRequest, "model", "model must be a string, and is a number"},
		"no messages":      {`{"model":"m"}`, model.CodeInvalidRequest, "messages", "messages is missing"},
		"empty messages":   {`{"model":"m","messages":[]}`, model.CodeInvalidRequest, "messages", "messages is empty"},
		"messages type":    {`{"model":"m","messages":"hi"}`, model.CodeInvalidRequest, "messages", "must be an array, and is a string"},
		"message type":     {`{"model":"m","messages":["hi"]}`, model.CodeInvalidRequest, "messages[0]", "must be an object, and is a string"},
		"role missing":     {`{"model":"m","messages":[{"content":"x"}]}`, model.CodeInvalidRequest, "messages[0].role", "is missing"},
		"content type":     {`{"model":"m","messages":[{"role":"user","content":"x"},{"role":"user","content":7}]}`, model.CodeInvalidRequest, "messages[1].content", "is a number"},
		"content missing":  {`{"model":"m","messages":[{"role":"user"}]}`, model.CodeInvalidRequest, "messages[0].content", "is missing"},
		"part type":        {`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"text":"b"}]}]}`, model.CodeInvalidRequest, "messages[0].content[1]", "has no type"},
		"tool":             {`{"model":"m",` + m + `,"tools":[{"type":"function"}]}`, model.CodeInvalidRequest, "tools[0]", "has no function"},
		"tool name":        {`{"model":"m",` + m + `,"tools":[{"type":"function","function":{"name":5}}]}`, model.CodeInvalidRequest, "tools[0].function.name", "must be a string"},
		"temperature":      {`{"model":"m",` + m + `,"temperature":"hot"}`, model.CodeInvalidRequest, "temperature", "must be a number, and is a string"},
		"negative":         {`{"model":"m",` + m + `,"max_tokens":-1}`, model.CodeInvalidRequest, "max_tokens", "and is -1"},
		"zero":             {`{"model":"m",` + m + `,"max_tokens":0}`, model.CodeInvalidRequest, "max_tokens", "must be from 1"},
		"fraction":         {`{"model":"m",` + m + `,"max_tokens":1.5}`, model.CodeInvalidRequest, "max_tokens", "must be an integer, and is 1.5"},
		"huge":             {`{"model":"m",` + m + `,"max_tokens":99999999999999999999}`, model.CodeInvalidRequest, "max_tokens", "must be an integer"},
		"both limits":      {`{"model":"m",` + m + `,"max_tokens":5,"max_completion_tokens":9}`, model.CodeInvalidRequest, "max_completion_tokens", "both given"},
		"stream":           {`{"model":"m",` + m + `,"stream":"yes"}`, model.CodeInvalidRequest, "stream", "true or false"},
		"twice":            {`{"model":"m",` + m + `,"max_tokens":5,"max_tokens":5000}`, model.CodeInvalidRequest, "max_tokens", "given twice"},
		"twice by escape":  {`{"model":"m",` + m + `,"max_tokens":5,"max\u005ftokens":5000}`, model.CodeInvalidRequest, "max_tokens", "given twice"},
		"case":             {`{"model":"m",` + m + `,"Max_Tokens":5000}`, model.CodeInvalidRequest, "Max_Tokens", "did you mean max_tokens"},
		"n":                {`{"model":"m",` + m + `,"n":1000}`, model.CodeInvalidRequest, "n", "from 1 to 128"},
		"metadata":         {`{"model":"m",` + m + `,"metadata":{"a":1}}`, model.CodeInvalidRequest, "metadata.a", "must be a string"},
		"stop":             {`{"model":"m",` + m + `,"stop":[1]}`, model.CodeInvalidRequest, "stop[0]", "must be a string"},
		"logit bias":       {`{"model":"m",` + m + `,"logit_bias":{"1":"x"}}`, model.CodeInvalidRequest, "logit_bias.1", "must be a number"},
		"infinite":         {`{"model":"m",` + m + `,"temperature":1e999}`, model.CodeInvalidRequest, "temperature", "a double can hold"},
		"response_format":  {`{"model":"m",` + m + `,"response_format":"json"}`, model.CodeInvalidRequest, "response_format", "must be an object"},
		"unclosed string":  {`{"model":"m`, model.CodeInvalidJSON, "", "unexpected end inside a string"},
		"missing comma":    {`{"model":"m" "n":1}`, model.CodeInvalidJSON, "", "expected a comma"},
		"trailing comma":   {`{"model":"m",}`, model.CodeInvalidJSON, "", "expected a member name"},
		"single quotes":    {`{'model':'m'}`, model.CodeInvalidJSON, "", "expected a member name"},
		"wrong word":       {`{"model":"m","x":nul}`, model.CodeInvalidJSON, "", "expected null"},
		"deep field types": {`{"model":"m","messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"name":[]}}]}]}`, model.CodeInvalidRequest, "messages[0].tool_calls[0].function.name", "is an array"},
	} {
		r, err := DecodeChat([]byte(c.body))
		var e *model.Error
		if !errors.As(err, &e) || r != nil {
			t.Errorf("%s: accepted: %v", name, err)
			continue
		}
		if e.Status != 400 || e.Param != c.param || !strings.Contains(e.Message, c.says) ||
			c.code != e.Code {
			t.Errorf("%s: got %d %s param %q: %s", name, e.Status, e.Code, e.Param, e.Message)
		}
	}
}

func TestDecodeCompletion(t *testing.T) {
	for body, want := range map[string]func(c *model.Completion) bool{
		`{"model":"m","prompt":"a"}`:                                           func(c *model.Completion) bool { return c.Prompts[0] == "a" },
		`{"model":"m","prompt":["a","b"],"n":2,"best_of":3}`:                   func(c *model.Completion) bool { return len(c.Prompts) == 2 && c.BestOf == 3 },
		`{"model":"m","prompt":[1,2,3],"echo":true,"max_tokens":0}`:            func(c *model.Completion) bool { return len(c.PromptTokens[0]) == 3 && c.Echo && *c.MaxTokens == 0 },
		`{"model":"m","prompt":[[1],[2,3]],"logprobs":0,"suffix":"s"}`:         func(c *model.Completion) bool { return len(c.PromptTokens) == 2 && c.Logprobs && c.Suffix == "s" },
		`{"model":"m","prompt":"a","logprobs":5,"logit_bias":{},"x_extra":[]}`: func(c *model.Completion) bool { return c.TopLogprobs == 5 && len(c.Extra) == 1 },
	} {
		r, err := DecodeCompletion([]byte(body))
		if err != nil || !want(r.Completion) {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
	for body, param := range map[string]string{
		`{"model":"m"}`:                                          "prompt",
		`{"model":"m","prompt":[]}`:                              "prompt",
		`{"model":"m","prompt":["a",1]}`:                         "prompt[1]",
		`{"model":"m","prompt":[[]]}`:                            "prompt[0]",
		`{"model":"m","prompt":[-1]}`:                            "prompt[0]",
		`{"model":"m","prompt":{}}`:                              "prompt",
		`{"model":"m","prompt":"a","n":3,"best_of":2}`:           "best_of",
		`{"model":"m","prompt":"a","best_of":2,"stream":true}`:   "best_of",
		`{"model":"m","prompt":"a","max_completion_tokens":"x"}`: "max_completion_tokens",
	} {
		_, err := DecodeCompletion([]byte(body))
		var e *model.Error
		if !errors.As(err, &e) || e.Param != param {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func TestDecodeEmbedding(t *testing.T) {
	r, err := DecodeEmbedding([]byte(`{"model":"e","input":["a","b"],"dimensions":256,"encoding_format":"base64","user":"u","input_type":"query"}`))
	if err != nil || len(r.Embedding.Inputs) != 2 || *r.Embedding.Dimensions != 256 || r.Embedding.EncodingFormat != "base64" || r.Attribution.EndUser != "u" || len(r.Embedding.Extra) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for body, param := range map[string]string{
		`{"model":"m","input":[]}`:                             "input",
		`{"model":"m"}`:                                        "input",
		`{"model":"m","input":null}`:                           "input",
		`{"model":"m","input":"a","dimensions":0}`:             "dimensions",
		`{"model":"m","input":"a","encoding_format":"binary"}`: "encoding_format",
	} {
		_, err := DecodeEmbedding([]byte(body))
		var e *model.Error
		if !errors.As(err, &e) || e.Param != param {
			t.Errorf("%s: got %v", body, err)
		}
	}
}

func fuzzDecode(f *testing.F, decode func([]byte) (*model.Request, error), seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decode(body)
		if err != nil {
			var e *model.Error
			if r != nil || !errors.As(err, &e) || e.Status != 400 || e.Message == "" {
				t.Fatalf("failure is not a refusal: %v, %v", r, err)
			}
			return
		}
		// What is accepted is JSON, and survives a forward and a rewrite.
		if !json.Valid(body) {
			t.Fatalf("accepted invalid JSON %q", body)
		}
		out, err := EncodeRequest(nil, r, UpstreamOptions{Model: "up", AskUsage: true})
		if err != nil || !json.Valid(out) {
			t.Fatalf("forwarded as %q: %v", out, err)
		}
		r.Raw = model.Raw{}
		out, err = EncodeRequest(nil, r, UpstreamOptions{Model: "up"})
		if err != nil || !json.Valid(out) {
			t.Fatalf("written anew as %q: %v", out, err)
		}
		if _, err := decode(out); err != nil {
			t.Fatalf("%q became %q, which is refused: %v", body, out, err)
		}
	})
}

func FuzzDecodeChat(f *testing.F) {
	fuzzDecode(f, DecodeChat, chatBody, `{"model":"m","messages":[{"role":"user","content":"x"}]}`)
}

func FuzzDecodeCompletion(f *testing.F) {
	fuzzDecode(f, DecodeCompletion, `{"model":"m","prompt":["a",""],"stop":"x"}`, `{"model":"m","prompt":[[1]],"echo":true}`)
}

func FuzzDecodeEmbedding(f *testing.F) {
	fuzzDecode(f, DecodeEmbedding, `{"model":"m","input":["a"]}`, `{"model":"m","input":[1,2]}`)
}

func BenchmarkDecodeChat(b *testing.B) {
	body := []byte(`{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Tell me about the history of bridges in three sentences."}],"stream":true,"max_tokens":200,"temperature":0.7}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeChat(body); err != nil {
			b.Fatal(err)
		}
	}
}

package usage

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

func buckets(t testing.TB, u *model.Usage) string {
	t.Helper()
	b, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpenAIUsage(t *testing.T) {
	for _, tc := range []struct{ provider, surface, raw, want string }{
		{"openai", "chat.completions", `{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens_details":{"reasoning_tokens":5}}`, `{"input":36,"cache_read":64,"output":15,"reasoning":5}`},
		{"xai", "chat.completions", `{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}`, `{"input":32,"output":9,"reasoning":94}`},
		{"deepseek", "chat.completions", `{"prompt_tokens":10,"completion_tokens":2,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}`, `{"input":6,"cache_read":4,"output":2}`},
		{"moonshot", "chat.completions", `{"prompt_tokens":10,"completion_tokens":2,"cached_tokens":10}`, `{"cache_read":10,"output":2}`},
		{"openai", "embeddings", `{"prompt_tokens":8,"total_tokens":8}`, `{"input":8}`},
	} {
		u := OpenAIUsage(tc.provider, tc.surface, []byte(tc.raw))
		if u == nil || buckets(t, u) != tc.want || u.Estimated != 0 {
			t.Errorf("%s: got %+v, want %s", tc.raw, u, tc.want)
		}
	}
	for _, raw := range []string{"", "null", "[]", "{}", "{", `"x"`, "3", `{"queue_time":3}`} {
		if u := OpenAIUsage("openai", "chat.completions", []byte(raw)); u != nil {
			t.Errorf("%q is no usage, got %+v", raw, u)
		}
	}
	u := OpenAIUsage("xai", "chat.completions", []byte(`{"prompt_tokens":1,"completion_tokens":1,"cost_in_usd_ticks":37756000}`))
	if u.ProviderCost == nil || u.ProviderCost.String() != "0.0037756" {
		t.Errorf("stated cost %v", u.ProviderCost)
	}
	u = OpenAIUsage("openrouter", "chat.completions", []byte(`{"prompt_tokens":1,"completion_tokens":1,"cost":0.05,"is_byok":true,"cost_details":{"upstream_inference_cost":1}}`))
	if u.ProviderCost == nil || u.ProviderCost.String() != "1.05" {
		t.Errorf("stated cost with an own key %v", u.ProviderCost)
	}
}

func TestReconcile(t *testing.T) {
	known := Known{Text: true, MaxOutput: 100, Prompt: func() int64 { return 40 }, Completion: func() int64 { return 500 }}
	parse := func(raw string) *model.Usage { return OpenAIUsage("openai", "chat.completions", []byte(raw)) }
	at := func(provider string) Known { k := known; k.Provider = provider; return k }
	for _, tc := range []struct {
		name      string
		u         *model.Usage
		k         Known
		want      string
		estimated string
		flag      string
	}{
		{"good", parse(`{"prompt_tokens":7,"completion_tokens":3}`), known, `{"input":7,"output":3}`, "", ""},
		{"none", nil, known, `{"input":40,"output":100}`, "input output", FlagCapped},
		{"zeros with text", parse(`{"prompt_tokens":0,"completion_tokens":0}`), known, `{"input":40,"output":100}`, "input output", FlagZeroWithText},
		{"zeros without text", parse(`{"prompt_tokens":0,"completion_tokens":0}`), Known{Prompt: known.Prompt, Completion: known.Completion}, `{}`, "", ""},
		{"negative completion", parse(`{"prompt_tokens":7,"completion_tokens":-3}`), known, `{"input":7,"output":100}`, "output", FlagNegative},
		{"missing prompt", parse(`{"completion_tokens":3}`), known, `{"input":40,"output":3}`, "input", ""},
		{"above the maximum", parse(`{"prompt_tokens":7,"completion_tokens":101}`), known, `{"input":7,"output":100}`, "output", FlagAboveMax},
		{"absurd reasoning", parse(`{"prompt_tokens":7,"completion_tokens":1000050,"completion_tokens_details":{"reasoning_tokens":1000000}}`), known, `{"input":7,"output":100}`, "output", FlagAboveMax},
		{"absurd thoughts beside", OpenAIUsage("gemini", "chat.completions", []byte(`{"prompt_tokens":7,"completion_tokens":50,"total_tokens":1000057}`)), at("gemini"), `{"input":7,"output":50}`, "reasoning", FlagAboveMax},
		{"a total that is not believed takes its reasoning along", parse(`{"prompt_tokens":7,"completion_tokens":5000,"completion_tokens_details":{"reasoning_tokens":40}}`), known, `{"input":7,"output":100}`, "output", FlagAboveMax},
		{"research", OpenAIUsage("perplexity", "chat.completions", []byte(`{"prompt_tokens":7,"completion_tokens":50,"reasoning_tokens":95305,"citation_tokens":3}`)), known, `{"input":7,"output":50,"reasoning":95305,"citation":3}`, "", ""},
		{"reasoning beside the limit", OpenAIUsage("xai", "chat.completions", []byte(`{"prompt_tokens":7,"completion_tokens":1,"total_tokens":208,"completion_tokens_details":{"reasoning_tokens":200}}`)), at("x-ai"), `{"input":7,"output":1,"reasoning":200}`, "", ""},
		{"reasoning beside the limit, inside the total", OpenAIUsage("qwen", "chat.completions", []byte(`{"prompt_tokens":7,"completion_tokens":300,"completion_tokens_details":{"reasoning_tokens":250}}`)), at("dashscope"), `{"input":7,"output":50,"reasoning":250}`, "", ""},
		{"at the maximum", parse(`{"prompt_tokens":7,"completion_tokens":100}`), known, `{"input":7,"output":100}`, "", ""},
		{"embeddings without usage", nil, Known{NoOutput: true, Prompt: known.Prompt}, `{"input":40}`, "input", FlagNoUsage},
		{"cached stays", parse(`{"prompt_tokens":70,"completion_tokens":0,"prompt_tokens_details":{"cached_tokens":64}}`), known, `{"input":6,"cache_read":64,"output":100}`, "output", FlagZeroWithText},
	} {
		var before string
		if tc.u != nil {
			before = buckets(t, tc.u)
		}
		got := Reconcile(tc.u, tc.k)
		if buckets(t, got) != tc.want || strings.Join(got.Estimated.Names(), " ") != tc.estimated ||
			tc.flag != "" && !strings.Contains(strings.Join(got.Flags, " "), tc.flag) {
			t.Errorf("%s: %s estimated %v flags %v; want %s estimated %q flag %q", tc.name, buckets(t, got), got.Estimated.Names(), got.Flags, tc.want, tc.estimated, tc.flag)
		}
		if tc.u != nil && buckets(t, tc.u) != before {
			t.Errorf("%s: Reconcile changed its argument", tc.name)
		}
	}
}

// Whatever the numbers, buckets are disjoint parts of what was stated: never
// negative, and adding up to the totals when those are believed.
func TestBucketsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int64 { return rapid.Int64Range(0, 3000).Draw(t, name) }
		prompt, completion := n("prompt"), n("completion")
		raw, err := json.Marshal(map[string]any{
			"prompt_tokens": prompt, "completion_tokens": completion,
			"prompt_tokens_details": map[string]any{"cached_tokens": n("cached"), "cache_write_tokens": n("written"), "audio_tokens": n("audio"), "image_tokens": n("image"),
				"cached_tokens_details": map[string]any{"audio_tokens": n("cached audio"), "image_tokens": n("cached image")}},
			"completion_tokens_details": map[string]any{"reasoning_tokens": n("reasoning"), "audio_tokens": n("audio out")},
		})
		if err != nil {
			t.Fatal(err)
		}
		u := OpenAIUsage("openai", "chat.completions", raw)
		if u == nil {
			t.Fatal("no usage")
		}
		for b := range model.NumBuckets {
			if u.Count[b] < 0 {
				t.Fatalf("%s is %d for %s", b, u.Count[b], raw)
			}
		}
		if u.Prompt() != prompt || u.Completion() != completion {
			t.Fatalf("prompt %d of %d, completion %d of %d for %s", u.Prompt(), prompt, u.Completion(), completion, raw)
		}
	})
}

func TestParseCountsWithTheTokenizer(t *testing.T) {
	body := `{"choices":[{"message":{"role":"assistant","content":"Hello there, how are you?"}}]}`
	ctx := Context{Model: "gpt-4o", Request: []byte(`{"messages":[{"role":"user","content":"Say hello."}],"max_tokens":50}`)}
	r := Parse("openai", "chat.completions", ctx, []byte(body), "json")
	if r.Usage.Count[model.Output] != 7 || r.Usage.Count[model.Input] < 3 || r.Usage.Count[model.Input] > 10 {
		t.Errorf("counted %s", buckets(t, r.Usage))
	}
	if !r.Usage.Estimated.Has(model.Input) || !r.Usage.Estimated.Has(model.Output) {
		t.Error("what was counted is not marked as estimated")
	}
}

func TestCountTokens(t *testing.T) {
	// Counts of OpenAI's own tokenizer for these texts.
	for _, tc := range []struct {
		model, text string
		want        int
	}{
		{"gpt-4o", "hello world", 2},
		{"gpt-4", "hello world", 2},
		{"gpt-4", "你好，世界", 6},
		{"gpt-4o", "", 0},
		{"openai/gpt-4-turbo", "tiktoken is great!", 6},
	} {
		if got := CountTokens(tc.model, tc.text); got != tc.want {
			t.Errorf("%s: %q has %d tokens, want %d", tc.model, tc.text, got, tc.want)
		}
	}
	long := strings.Repeat("the quick brown fox ", 200_000) // 4 MB
	if got := CountTokens("gpt-4o", long); got < 780_000 || got > 820_000 {
		t.Errorf("a long text has %d tokens", got)
	}
	if CountTokens("some-llama", "hello world") == 0 || CountTokens("x", "\xff\xfe\x00") == 0 {
		t.Error("a text has no tokens")
	}
}

func TestNodeParserAgreesWithTheStandardOne(t *testing.T) {
	for _, text := range []string{
		`{"a":1,"b":[true,false,null,"x\n\u00e9\ud83d\ude00"],"c":{"d":-1.5e+3}}`, ` [ ] `, `{}`, `"a"`, `0`, `-0.5`, `1e5`,
		`{"a":}`, `{"a" 1}`, `{,}`, `[1,]`, `01`, `1.`, `.5`, `1e`, `+1`, `"a`, `"\x"`, "\"\n\"", `nul`, `truefalse`, `{} {}`, ``, `{"a":1,}`, `{a:1}`, `'a'`,
	} {
		n, err := parseNode([]byte(text))
		if (err == nil) != json.Valid([]byte(text)) {
			t.Errorf("%s: error %v, but valid is %t", text, err, json.Valid([]byte(text)))
		}
		if err == nil {
			var want any
			dec := json.NewDecoder(strings.NewReader(text))
			dec.UseNumber()
			if err := dec.Decode(&want); err != nil {
				t.Fatal(err)
			}
			if got := plainValue(n); !reflect.DeepEqual(got, want) {
				t.Errorf("%s was read as %v, want %v", text, got, want)
			}
		}
	}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	if _, err := parseNode([]byte(deep)); err == nil {
		t.Error("nesting without limit is accepted")
	}
}

func plainValue(n *node) any {
	switch n.kind {
	case 's':
		return n.text
	case 'n':
		return json.Number(n.text)
	case 't', 'f':
		return n.kind == 't'
	case 'a':
		out := []any{}
		for _, v := range n.vals {
			out = append(out, plainValue(v))
		}
		return out
	case 'o':
		out := map[string]any{}
		for i, k := range n.keys {
			out[k] = plainValue(n.vals[i])
		}
		return out
	}
	return nil
}

func FuzzParse(f *testing.F) {
	f.Add("openai", "chat.completions", "sse", []byte("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n"), 7)
	f.Add("anthropic", "messages", "sse", []byte("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}\r\n\r\n"), 3)
	f.Add("gemini", "generateContent", "json", []byte(`{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":-1,"thoughtsTokenCount":1e300}}`), 9)
	f.Add("bedrock", "invoke", "eventstream-as-ndjson", []byte("{\"bytes\":\"e30=\"}\n{\"chunk\":{\"bytes\":\"!\"}}\n"), 5)
	f.Add("cohere", "rerank", "json", []byte(`{"meta":{"billed_units":{"search_units":1e-5}}}`), 2)
	f.Add("openai", "audio.transcriptions", "json", []byte(`{"duration":1e59,"text":"a"}`), 1)
	one := func() *int64 { n := int64(1); return &n }
	f.Fuzz(func(t *testing.T, provider, surface, format string, body []byte, cut int) {
		ctx := Context{Estimate: &Estimate{Prompt: one(), Completion: one()}, Model: "m", CostPath: "usage.cost", CostDivisor: money.Int(3), MaxOutput: 1000}
		whole := Parse(provider, surface, ctx, body, format)
		if whole.Usage == nil {
			t.Fatal("no usage")
		}
		for b := range model.NumBuckets {
			if n := whole.Usage.Count[b]; n < 0 || n > 1<<56 {
				t.Fatalf("%s is %d", b, n)
			}
		}
		if whole.Usage.Seconds.Sign() < 0 || whole.Usage.ProviderCost != nil && whole.Usage.ProviderCost.Sign() < 0 {
			t.Fatal("a negative amount")
		}
		if c := whole.Usage.Count[model.Output]; c > 1000 {
			t.Fatalf("%d output tokens are above the maximum", c)
		}
		at := 0
		if len(body) > 0 {
			at = ((cut % len(body)) + len(body)) % len(body)
		}
		s := NewStream(provider, surface, ctx, format)
		s.Write(body[:at])
		s.Write(body[at:])
		if parts := s.Close(); buckets(t, parts.Usage) != buckets(t, whole.Usage) || parts.Usage.Estimated != whole.Usage.Estimated || !reflect.DeepEqual(parts.Usage.Flags, whole.Usage.Flags) {
			t.Fatalf("cut at %d: %s, whole: %s", at, buckets(t, parts.Usage), buckets(t, whole.Usage))
		}
	})
}

func BenchmarkOpenAIUsage(b *testing.B) {
	raw := []byte(`{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`)
	b.ReportAllocs()
	for b.Loop() {
		if u := OpenAIUsage("openai", "chat.completions", raw); u == nil {
			b.Fatal("no usage")
		}
	}
}

func BenchmarkParseStream(b *testing.B) {
	body := []byte(strings.Repeat("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"finish_reason\":null}]}\n\n", 200) +
		"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":200}}\n\ndata: [DONE]\n\n")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if r := Parse("openai", "chat.completions", Context{Model: "m"}, body, "sse"); r.Usage.Estimated != 0 {
			b.Fatal("estimated")
		}
	}
}

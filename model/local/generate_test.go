package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/engine"
	"github.com/stratahq/strata/model/local/gguf"
)

func TestChatAnswers(t *testing.T) {
	r := collect(t, smol(t), chat("What is the capital of France?", 40, func(c *model.Chat) {
		c.Messages = append([]model.Message{model.TextMessage("system", "You are a helpful assistant.")}, c.Messages...)
	}))
	if !strings.Contains(r.Text(), "Paris") || strings.Contains(r.Text(), "<|im_end|>") {
		t.Errorf("got %q", r.Text())
	}
	if r.Choices[0].FinishReason != "stop" || r.Model != "smollm2" || !strings.HasPrefix(r.ID, "chatcmpl-") || r.Created == 0 {
		t.Errorf("got %+v", r)
	}
}

func TestCompletionContinues(t *testing.T) {
	r := collect(t, smol(t), complete("1 2 3 4 5 6", 8))
	if !strings.HasPrefix(r.Text(), " 7 8 9") || r.Choices[0].FinishReason != "length" {
		t.Errorf("got %q, %s", r.Text(), r.Choices[0].FinishReason)
	}
}

// TestSeed is about repeatability: the same seed gives the same answer, another
// seed another one, and no temperature needs no seed.
func TestSeed(t *testing.T) {
	e := tales(t)
	ask := func(seed int64, temperature float64) string {
		return collect(t, e, complete("Once upon a time", 48, func(c *model.Completion) {
			c.Seed, c.Temperature, c.TopK, c.TopP, c.MinP = ptr(seed), ptr(temperature), ptr(0), ptr(1.0), ptr(0.0)
		})).Text()
	}
	first := ask(1, 1)
	for range 3 {
		if again := ask(1, 1); again != first {
			t.Errorf("seed 1 gave %q and %q", first, again)
		}
	}
	if other := ask(2, 1); other == first {
		t.Errorf("seeds 1 and 2 both gave %q", first)
	}
	if a, b := ask(1, 0), ask(2, 0); a != b {
		t.Errorf("without temperature, seeds 1 and 2 gave %q and %q", a, b)
	}
}

func TestMaxTokensAndUsage(t *testing.T) {
	e := tales(t)
	for _, max := range []int{1, 2, 17} {
		r := collect(t, e, complete("Once upon a time", max, func(c *model.Completion) { c.Logprobs = true }))
		u, c := r.Usage, r.Choices[0]
		if c.FinishReason != "length" || u.Count[model.Output] != int64(max) || len(c.Logprobs) != max {
			t.Errorf("max %d: %s, %d output tokens, %d log probabilities", max, c.FinishReason, u.Count[model.Output], len(c.Logprobs))
		}
		n, err := e.Tokens("Once upon a time")
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(n + 1); u.Prompt() != want { // and the begin token
			t.Errorf("prompt of %d tokens, want %d", u.Prompt(), want)
		}
		if u.Estimated != 0 {
			t.Error("exact usage is marked estimated")
		}
	}
}

// TestUsageEqualsTokenizer: the answer's text, tokenized again, has the number
// of tokens that was billed.
func TestUsageEqualsTokenizer(t *testing.T) {
	e := smol(t)
	r := collect(t, e, chat("Why is the sky blue?", 30))
	n, err := e.Tokens(r.Text())
	if err != nil {
		t.Fatal(err)
	}
	if int64(n) != r.Usage.Count[model.Output] {
		t.Errorf("billed %d, the text has %d: %q", r.Usage.Count[model.Output], n, r.Text())
	}
}

func TestStopStrings(t *testing.T) {
	e := tales(t)
	whole := collect(t, e, complete("Once upon a time", 60)).Text()
	for _, stop := range []string{"Lily", "She", " girl named", "y.", "L"} {
		want, _, found := strings.Cut(whole, stop)
		if !found {
			t.Fatalf("%q is not in %q", stop, whole)
		}
		var parts []string
		var got, reason string
		for ev, err := range e.Generate(t.Context(), complete("Once upon a time", 60, func(c *model.Completion) { c.Stop = []string{"never", stop}; c.Logprobs = true })) {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Text != "" {
				parts = append(parts, ev.Text)
			}
			got += ev.Text
			if ev.FinishReason != "" {
				reason = ev.FinishReason
			}
		}
		if got != want || reason != "stop" {
			t.Errorf("stop %q: got %q (%s) in %q, want %q", stop, got, reason, parts, want)
		}
	}
}

// TestStreamIsValidUTF8 draws at a high temperature, where byte tokens come in
// any order, and expects every event to be valid on its own.
func TestStreamIsValidUTF8(t *testing.T) {
	e := smol(t)
	var text string
	for ev, err := range e.Generate(t.Context(), complete("Emoji: 😀 🎉 日本語 ", 60, func(c *model.Completion) {
		c.Temperature, c.Seed, c.TopK, c.TopP, c.MinP = ptr(1.8), ptr(int64(3)), ptr(0), ptr(1.0), ptr(0.0)
	})) {
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(ev.Text) {
			t.Errorf("the event %q is not valid UTF-8", ev.Text)
		}
		text += ev.Text
	}
	if text == "" {
		t.Error("no text")
	}
}

func TestLogprobs(t *testing.T) {
	e := tales(t)
	r := collect(t, e, complete("Once upon a time", 20, func(c *model.Completion) { c.Logprobs, c.TopLogprobs = true, 20 }))
	var text string
	for i, lp := range r.Choices[0].Logprobs {
		text += lp.Token
		if lp.Logprob > 0 || len(lp.Top) != 20 {
			t.Fatalf("token %d: %v with %d alternatives", i, lp.Logprob, len(lp.Top))
		}
		if lp.Top[0].Logprob != lp.Logprob || lp.Top[0].Token != lp.Token {
			t.Errorf("token %d: greedy drew %q (%v), yet the likeliest is %q (%v)", i, lp.Token, lp.Logprob, lp.Top[0].Token, lp.Top[0].Logprob)
		}
		var sum float64
		for k, a := range lp.Top {
			sum += math.Exp(a.Logprob)
			if k > 0 && a.Logprob > lp.Top[k-1].Logprob {
				t.Errorf("token %d: alternatives are not in order", i)
			}
		}
		if sum > 1+1e-6 || sum < 0.5 {
			t.Errorf("token %d: 20 of 512 alternatives sum to %v", i, sum)
		}
	}
	if text != r.Text() {
		t.Errorf("the tokens make %q, the text is %q", text, r.Text())
	}
	none := collect(t, e, complete("Once upon a time", 5))
	if none.Choices[0].Logprobs != nil {
		t.Error("log probabilities that nobody asked for")
	}
}

// TestLogprobsIgnoreSampling: they are the model's own, whatever is drawn.
func TestLogprobsIgnoreSampling(t *testing.T) {
	e := tales(t)
	at := func(change func(*model.Completion)) model.TokenLogprob {
		return collect(t, e, complete("Once upon a time", 1, func(c *model.Completion) { c.Logprobs, c.TopLogprobs = true, 1; change(c) })).Choices[0].Logprobs[0]
	}
	plain := at(func(*model.Completion) {})
	hot := at(func(c *model.Completion) { c.Temperature, c.Seed = ptr(1.5), ptr(int64(1)) })
	if plain.Top[0].Logprob != hot.Top[0].Logprob {
		t.Errorf("temperature changed the log probability from %v to %v", plain.Top[0].Logprob, hot.Top[0].Logprob)
	}
}

func TestLogitBiasAndPenalties(t *testing.T) {
	e := tales(t)
	plain := collect(t, e, complete("Once upon a time", 24)).Text()
	banned := collect(t, e, complete("Once upon a time", 24, func(c *model.Completion) {
		c.LogitBias = map[string]float64{}
		for id := 3; id < 512; id++ {
			if id != 400 {
				c.LogitBias[fmt.Sprint(id)] = -100
			}
		}
	}))
	if banned.Text() == plain {
		t.Error("logit_bias changed nothing")
	}
	repeated := collect(t, e, complete("Once upon a time", 60, func(c *model.Completion) { c.RepeatPenalty = ptr(1.8) })).Text()
	frequent := collect(t, e, complete("Once upon a time", 60, func(c *model.Completion) { c.FrequencyPen, c.PresencePen = ptr(1.5), ptr(0.5) })).Text()
	whole := collect(t, e, complete("Once upon a time", 60)).Text()
	if repeated == whole || frequent == whole {
		t.Errorf("penalties changed nothing: %q", whole)
	}
}

func TestChoices(t *testing.T) {
	e := tales(t)
	req := complete("Once upon a time", 12, func(c *model.Completion) { c.N, c.Temperature, c.Seed = 5, ptr(1.0), ptr(int64(7)) })
	r := collect(t, e, req)
	if len(r.Choices) != 5 {
		t.Fatalf("%d choices", len(r.Choices))
	}
	texts := map[string]bool{}
	var tokens int64
	for _, c := range r.Choices {
		texts[c.Text] = true
		n, _ := e.Tokens(c.Text)
		tokens += int64(n)
		if c.FinishReason == "" {
			t.Error("a choice did not finish")
		}
	}
	if len(texts) < 3 {
		t.Errorf("choices hardly differ: %v", texts)
	}
	one := collect(t, e, complete("Once upon a time", 1))
	if r.Usage.Prompt() != one.Usage.Prompt() {
		t.Errorf("the prompt of %d tokens was counted as %d for 5 choices", one.Usage.Prompt(), r.Usage.Prompt())
	}
	if r.Usage.Count[model.Output] != 60 {
		t.Errorf("5 x 12 tokens were counted as %d", r.Usage.Count[model.Output])
	}
	two := collect(t, e, &model.Request{Op: model.OpComplete, Completion: &model.Completion{Prompts: []string{"Once upon a time", "The dog"},
		Sampling: model.Sampling{N: 2, MaxTokens: ptr(5), Temperature: ptr(0.0)}}})
	if len(two.Choices) != 4 || two.Choices[0].Text != two.Choices[1].Text || two.Choices[0].Text == two.Choices[2].Text {
		t.Errorf("two prompts with two choices: %+v", two.Choices)
	}
}

func TestTokenPromptsAndEcho(t *testing.T) {
	e := tales(t)
	text := collect(t, e, complete("Once upon a time", 10))
	echoed := collect(t, e, complete("Once upon a time", 10, func(c *model.Completion) { c.Echo = true }))
	if echoed.Text() != "Once upon a time"+text.Text() {
		t.Errorf("echo gave %q", echoed.Text())
	}
	none := collect(t, e, complete("Once upon a time", 0, func(c *model.Completion) { c.Echo = true }))
	if none.Text() != "Once upon a time" || none.Usage.Count[model.Output] != 0 {
		t.Errorf("echo alone gave %q, %v", none.Text(), none.Usage.Count)
	}
	tokens := &model.Request{Op: model.OpComplete, Completion: &model.Completion{PromptTokens: [][]int{{1, 403, 407}}, Sampling: model.Sampling{MaxTokens: ptr(4), Temperature: ptr(0.0)}}}
	r := collect(t, e, tokens)
	if r.Usage.Prompt() != 3 || r.Text() == "" {
		t.Errorf("got %q, %v", r.Text(), r.Usage.Count)
	}
}

func TestEmbeddings(t *testing.T) {
	e := smol(t)
	r := collect(t, e, embedding("A cat sits on the mat.", "The cat is sitting on the mat.", "Stock prices fell sharply after the report.", "A cat sits on the mat."))
	if len(r.Embeddings) != 4 || len(r.Embeddings[0]) != 576 {
		t.Fatalf("%d vectors of %d", len(r.Embeddings), len(r.Embeddings[0]))
	}
	dot := func(a, b int) float64 {
		var s float64
		for i := range r.Embeddings[a] {
			s += float64(r.Embeddings[a][i]) * float64(r.Embeddings[b][i])
		}
		return s
	}
	for i := range r.Embeddings {
		if n := dot(i, i); math.Abs(n-1) > 1e-5 {
			t.Errorf("vector %d has the squared length %v", i, n)
		}
	}
	if dot(0, 3) < 1-1e-6 {
		t.Errorf("equal texts have the similarity %v", dot(0, 3))
	}
	if near, far := dot(0, 1), dot(0, 2); near <= far {
		t.Errorf("similar texts: %v, dissimilar: %v", near, far)
	}
	n := int64(0)
	for _, s := range []string{"A cat sits on the mat.", "The cat is sitting on the mat.", "Stock prices fell sharply after the report.", "A cat sits on the mat."} {
		k, _ := e.Tokens(s)
		n += int64(k)
	}
	if r.Usage.Prompt() != n || r.Usage.Completion() != 0 {
		t.Errorf("usage %v for %d tokens", r.Usage.Count, n)
	}
	long := strings.Repeat("word ", 150) // several steps of the embedding loop
	short := collect(t, e, &model.Request{Op: model.OpEmbed, Embedding: &model.Embedding{Inputs: []string{long}, Dimensions: ptr(16)}})
	if len(short.Embeddings[0]) != 16 {
		t.Errorf("%d dimensions", len(short.Embeddings[0]))
	}
}

// TestPrefixReuse: the second time, the beginning of a long prompt is read from
// the cache, is billed so, and changes nothing in the answer.
func TestPrefixReuse(t *testing.T) {
	e := start(t, Config{Context: 512, Parallel: 1, Threads: 1})
	ready(t, e)
	long := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 30)
	cold := collect(t, e, complete(long, 16))
	if cold.Usage.Count[model.CacheRead] != 0 {
		t.Fatalf("cold: %v", cold.Usage.Count)
	}
	warm := collect(t, e, complete(long, 16))
	if warm.Text() != cold.Text() {
		t.Errorf("cold %q, warm %q", cold.Text(), warm.Text())
	}
	if c := warm.Usage.Count[model.CacheRead]; c == 0 || c%128 != 0 || warm.Usage.Prompt() != cold.Usage.Prompt() {
		t.Errorf("cold %v, warm %v", cold.Usage.Count, warm.Usage.Count)
	}
	other := collect(t, e, complete("Another beginning. "+long, 4))
	if other.Usage.Count[model.CacheRead] != 0 {
		t.Errorf("a prompt with another beginning: %v", other.Usage.Count)
	}
}

// TestTogetherEqualsAlone: eight at once, greedy, answer as each does alone.
func TestTogetherEqualsAlone(t *testing.T) {
	e := tales(t)
	prompts := []string{"Once upon a time", "The dog", "Lily and Tom", "One day", "In the park", "Mom said", "A big red", "Tim was sad"}
	alone := make([]string, len(prompts))
	for i, p := range prompts {
		alone[i] = collect(t, e, complete(p, 40)).Text()
	}
	together := make([]string, len(prompts))
	var wg sync.WaitGroup
	for i, p := range prompts {
		wg.Go(func() { together[i] = collect(t, e, complete(p, 40)).Text() })
	}
	wg.Wait()
	for i := range prompts {
		if alone[i] != together[i] {
			t.Errorf("%q: alone %q, together %q", prompts[i], alone[i], together[i])
		}
	}
}

func TestSmolTogetherEqualsAlone(t *testing.T) {
	e := smol(t)
	prompts := []string{"The sky is", "Water boils at", "My favourite food is", "In 1969, the first"}
	alone := make([]string, len(prompts))
	for i, p := range prompts {
		alone[i] = collect(t, e, complete(p, 16)).Text()
	}
	var wg sync.WaitGroup
	for i, p := range prompts {
		wg.Go(func() {
			if got := collect(t, e, complete(p, 16)).Text(); got != alone[i] {
				t.Errorf("%q: alone %q, together %q", p, alone[i], got)
			}
		})
	}
	wg.Wait()
}

// TestCancelFreesSlot leaves streams in every way while all slots are taken,
// and expects the next request to be answered at once.
func TestCancelFreesSlot(t *testing.T) {
	e := smol(t)
	long := func() *model.Request { return complete("Count: 1 2 3", 1800) }
	for range 4 {
		for ev, err := range e.Generate(t.Context(), long()) {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Text != "" {
				break // leaving the range cancels
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			r, err := model.Collect(e.Generate(ctx, long()))
			me := model.AsError(err)
			if me == nil || me.Code != model.CodeCanceled || me.Status != 499 {
				t.Errorf("got %v", err)
				return
			}
			if r.Text() != "" && (me.Usage == nil || me.Usage.Count[model.Output] == 0 || me.Usage.Count[model.Input] == 0) {
				t.Errorf("%d bytes arrived, usage %v", len(r.Text()), me.Usage)
			}
		})
	}
	time.Sleep(400 * time.Millisecond)
	cancel()
	wg.Wait()
	began := time.Now()
	collect(t, e, complete("Hello", 1))
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the next request waited %v", took)
	}
	if s := e.Status(); s.Active != 0 || s.Queued != 0 {
		t.Errorf("left over: %+v", s)
	}
}

func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := model.Collect(smol(t).Generate(ctx, complete("Count: 1 2 3", 1900)))
	if me := model.AsError(err); me == nil || me.Code != model.CodeDeadline || me.Status != 504 {
		t.Errorf("got %v", err)
	}
}

// TestRefusals: every request that cannot be answered says why and on which
// field, and nothing is dropped in silence.
func TestRefusals(t *testing.T) {
	e := tales(t)
	big := strings.Repeat("once upon a time ", 600)
	for name, c := range map[string]struct {
		req         *model.Request
		code, param string
		says        []string
	}{
		"context":       {complete(big, 5), model.CodeContextLength, "messages", []string{"tokens", "512"}},
		"huge":          {complete(strings.Repeat(big, 200), 5), model.CodeContextLength, "messages", []string{"512"}},
		"nul":           {complete("a\x00b", 5), model.CodeInvalidRequest, "", []string{"NUL"}},
		"suffix":        {complete("a", 5, func(c *model.Completion) { c.Suffix = "b" }), model.CodeUnsupported, "suffix", nil},
		"best_of":       {complete("a", 5, func(c *model.Completion) { c.BestOf = 3 }), model.CodeUnsupported, "best_of", nil},
		"echo logprobs": {complete("a", 5, func(c *model.Completion) { c.Echo, c.Logprobs = true, true }), model.CodeUnsupported, "echo", nil},
		"token range":   {&model.Request{Op: model.OpComplete, Completion: &model.Completion{PromptTokens: [][]int{{5000}}}}, model.CodeInvalidRequest, "prompt", []string{"5000", "512"}},
		"bias name":     {complete("a", 5, func(c *model.Completion) { c.LogitBias = map[string]float64{"x": 1} }), model.CodeInvalidRequest, "logit_bias", nil},
		"bias value":    {complete("a", 5, func(c *model.Completion) { c.LogitBias = map[string]float64{"5": 1000} }), model.CodeInvalidRequest, "logit_bias", nil},
		"temperature":   {complete("a", 5, func(c *model.Completion) { c.Temperature = ptr(-1.0) }), model.CodeInvalidRequest, "temperature", nil},
		"top_p":         {complete("a", 5, func(c *model.Completion) { c.TopP = ptr(1.5) }), model.CodeInvalidRequest, "top_p", nil},
		"n":             {complete("a", 5, func(c *model.Completion) { c.N = 1000 }), model.CodeInvalidRequest, "n", nil},
		"no prompts":    {&model.Request{Op: model.OpComplete, Completion: &model.Completion{}}, model.CodeInvalidRequest, "prompt", nil},
		"no messages":   {&model.Request{Op: model.OpChat, Chat: &model.Chat{}}, model.CodeInvalidRequest, "messages", nil},
		"role":          {&model.Request{Op: model.OpChat, Chat: &model.Chat{Messages: []model.Message{model.TextMessage("king", "x")}}}, model.CodeInvalidRequest, "messages", []string{"king"}},
		"max_tokens":    {chat("x", 0), model.CodeInvalidRequest, "max_tokens", nil},
		"image":         {&model.Request{Op: model.OpChat, Chat: &model.Chat{Messages: []model.Message{{Role: "user", Parts: []model.Part{{Type: model.PartImage}}}}}}, model.CodeUnsupported, "messages", []string{"image"}},
		"schema": {chat("x", 5, func(c *model.Chat) {
			c.ResponseFormat = json.RawMessage(`{"type":"json_schema","json_schema":{"schema":{"type":"string","pattern":"a+"}}}`)
		}), model.CodeUnsupported, "response_format", []string{"pattern"}},
		"endless schema": {chat("x", 5, func(c *model.Chat) {
			c.ResponseFormat = json.RawMessage(`{"type":"json_schema","json_schema":{"schema":{"$ref":"#"}}}`)
		}), model.CodeUnsupported, "response_format", []string{"too complex"}},
		"format":         {chat("x", 5, func(c *model.Chat) { c.ResponseFormat = json.RawMessage(`{"type":"yaml"}`) }), model.CodeUnsupported, "response_format", []string{"yaml"}},
		"tool choice":    {chat("x", 5, func(c *model.Chat) { c.ToolChoice = json.RawMessage(`"required"`) }), model.CodeInvalidRequest, "tool_choice", nil},
		"hook":           {complete("a", 5), model.CodeInvalidRequest, "", []string{"no-such-hook"}},
		"op":             {&model.Request{Op: model.OpSpeak}, model.CodeUnsupported, "", []string{"speak"}},
		"empty input":    {embedding("x", ""), model.CodeInvalidRequest, "input", nil},
		"top_logprobs":   {complete("a", 5, func(c *model.Completion) { c.TopLogprobs = 30 }), model.CodeInvalidRequest, "top_logprobs", nil},
		"no tools named": {chat("x", 5, func(c *model.Chat) { c.ToolChoice = json.RawMessage(`{"type":"function","function":{"name":"f"}}`) }), model.CodeInvalidRequest, "tool_choice", nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if name == "hook" {
				ctx = WithHook(ctx, "no-such-hook", nil)
			}
			r, err := model.Collect(e.Generate(ctx, c.req))
			me := model.AsError(err)
			if me == nil || me.Status != 400 || me.Code != c.code || me.Param != c.param || r.Text() != "" {
				t.Fatalf("got %+v, %q", me, r.Text())
			}
			for _, s := range c.says {
				if !strings.Contains(me.Message, s) {
					t.Errorf("%q does not say %q", me.Message, s)
				}
			}
		})
	}
	if s := e.Status(); s.State != StateReady || s.Restarts != 0 {
		t.Errorf("a refusal harmed the engine: %+v", s)
	}
}

// TestContextFills: an answer without a limit ends where the context does.
func TestContextFills(t *testing.T) {
	r := collect(t, tales(t), &model.Request{Op: model.OpComplete, Completion: &model.Completion{Prompts: []string{"Once"},
		Sampling: model.Sampling{MaxTokens: ptr(100000), Temperature: ptr(0.0), LogitBias: map[string]float64{"1": -100, "2": -100}}}})
	if total := r.Usage.Prompt() + r.Usage.Completion(); total != 512 || r.Choices[0].FinishReason != "length" {
		t.Errorf("%d tokens, %s", total, r.Choices[0].FinishReason)
	}
}

func TestJSONFormats(t *testing.T) {
	e := smol(t)
	r := collect(t, e, chat("Describe a person as JSON.", 120, func(c *model.Chat) {
		c.ResponseFormat = json.RawMessage(`{"type":"json_schema","json_schema":{"name":"p","strict":true,"schema":{"type":"object",
			"properties":{"name":{"type":"string","maxLength":20},"age":{"type":"integer"},"tags":{"type":"array","items":{"enum":["a","b"]},"maxItems":3}},
			"required":["name","age","tags"],"additionalProperties":false}}}`)
	}))
	var p struct {
		Name string
		Age  *int
		Tags []string
	}
	dec := json.NewDecoder(strings.NewReader(r.Text()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil || p.Age == nil || p.Tags == nil || r.Choices[0].FinishReason != "stop" {
		t.Errorf("got %q (%s): %v", r.Text(), r.Choices[0].FinishReason, err)
	}
	r = collect(t, e, chat("Give a JSON object with one short field.", 200, func(c *model.Chat) { c.ResponseFormat = json.RawMessage(`{"type":"json_object"}`) }))
	if r.Choices[0].FinishReason == "stop" && !json.Valid([]byte(r.Text())) || !strings.HasPrefix(r.Text(), "{") {
		t.Errorf("got %q", r.Text())
	}
}

func TestForcedToolCall(t *testing.T) {
	e := smol(t)
	tools := []model.Tool{
		{Type: "function", Name: "get_weather", Description: "Weather of a city", Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string","maxLength":30},"unit":{"type":"string","enum":["c","f"]}},"required":["city","unit"]}`)},
		{Type: "function", Name: "stop", Parameters: json.RawMessage(`{"type":"object","properties":{}}`)},
	}
	for _, choice := range []string{`"required"`, `{"type":"function","function":{"name":"get_weather"}}`} {
		r := collect(t, e, chat("What is the weather in Paris?", 120, func(c *model.Chat) { c.Tools, c.ToolChoice = tools, json.RawMessage(choice) }))
		c := r.Choices[0]
		if len(c.ToolCalls) != 1 || c.FinishReason != "tool_calls" || c.Text != "" {
			t.Fatalf("%s: got %+v", choice, c)
		}
		call := c.ToolCalls[0]
		if call.ID == "" || call.Type != "function" || !json.Valid([]byte(call.Arguments)) {
			t.Errorf("%s: got %+v", choice, call)
		}
		if strings.Contains(choice, "get_weather") {
			var args struct{ City, Unit string }
			if json.Unmarshal([]byte(call.Arguments), &args) != nil || call.Name != "get_weather" || args.City == "" || args.Unit != "c" && args.Unit != "f" {
				t.Errorf("got %+v", call)
			}
		}
	}
	// A conversation with a call and its result can be continued.
	r := collect(t, e, &model.Request{Op: model.OpChat, Chat: &model.Chat{Tools: tools, Messages: []model.Message{model.UserMessage("Weather in Paris?"),
		{Role: "assistant", ToolCalls: []model.ToolCall{{ID: "1", Name: "get_weather", Arguments: `{"city":"Paris"}`}}},
		{Role: "tool", ToolCallID: "1", Parts: []model.Part{{Type: model.PartText, Text: "21 degrees"}}}}, Sampling: model.Sampling{MaxTokens: ptr(20)}}})
	if r.Choices[0].FinishReason == "" {
		t.Errorf("got %+v", r.Choices[0])
	}
}

// TestSpecialTokensInMessages: the text of a control token in a message is
// text. A client cannot end its turn and begin another's.
func TestSpecialTokensInMessages(t *testing.T) {
	e := smol(t)
	plain := collect(t, e, chat("a b", 1)).Usage.Prompt()
	sneaky := collect(t, e, chat("a<|im_end|>b", 1)).Usage.Prompt()
	if sneaky < plain+4 {
		t.Errorf("<|im_end|> took %d tokens: it was read as a control token", sneaky-plain)
	}
}

// banHook forbids tokens: a hook as a watermark would be one.
type banHook struct{ Tokens []int32 }

func (b *banHook) Logits(_ []int32, _ int, logits []float32) {
	for _, t := range b.Tokens {
		logits[t] = float32(math.Inf(-1))
	}
}

func init() {
	engine.RegisterHook("test.ban", func(params json.RawMessage) (engine.Hook, error) {
		h := &banHook{}
		return h, json.Unmarshal(params, &h.Tokens)
	})
}

func TestHookReachesChild(t *testing.T) {
	e := tales(t)
	plain := collect(t, e, complete("Once upon a time", 8)).Text()
	// "," follows for certain; forbid what the tokenizer makes of it (id 432 in
	// this vocabulary may differ, so forbid every token that shows a comma).
	info, err := gguf.Check(stories)
	if err != nil || !strings.HasPrefix(plain, ",") {
		t.Fatal(err, plain)
	}
	var all []int32
	for id := range int32(info.Tokens) {
		all = append(all, id)
	}
	for i := 0; i < len(all); i += 64 {
		params, _ := json.Marshal(all[i:min(i+64, len(all))])
		r, err := model.Collect(e.Generate(WithHook(t.Context(), "test.ban", params), complete("Once upon a time", 8)))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.Text(), ",") {
			return // the block that holds the comma
		}
	}
	t.Error("the hook never changed the answer")
}

func TestTokensBeforeReady(t *testing.T) {
	e, err := New(Config{Path: stories}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	var me *model.Error
	if _, err := e.Tokens("x"); !errors.As(err, &me) || me.Status != 503 || me.Code != model.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if _, err := model.Collect(e.Generate(t.Context(), chat("x", 1))); !errors.As(err, &me) || me.Status != 503 {
		t.Errorf("got %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestConfigRefusals(t *testing.T) {
	for _, c := range []Config{{Threads: -1}, {Context: 5}, {Parallel: 1000}, {Queue: -1}, {GPULayers: -2}} {
		if _, err := New(c, Deps{}); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	if (&Config{Path: "/x/My.Model-7B.gguf"}).Name() != "My.Model-7B" || (&Config{}).Name() != "smollm2" {
		t.Error("names")
	}
	if _, err := os.Stat(stories); err != nil {
		t.Error(err)
	}
}

package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func goClient(b *bed, key string, more ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{option.WithBaseURL(b.proxy.URL + "/v1"), option.WithAPIKey(key)}, more...)...)
}

func hello(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say hello in one short sentence.")},
	}
}

func TestGoClient(t *testing.T) {
	b := start(t)
	ctx := t.Context()
	c := goClient(b, b.key)

	t.Run("models", func(t *testing.T) {
		page, err := c.Models.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, m := range page.Data {
			ids = append(ids, m.ID)
		}
		if !slices.Contains(ids, localModel) || !slices.Contains(ids, toolModel) {
			t.Errorf("models = %v", ids)
		}
		if m, err := c.Models.Get(ctx, localModel); err != nil || m.ID != localModel {
			t.Errorf("model = %+v, %v", m, err)
		}
	})

	t.Run("chat whole and streamed", func(t *testing.T) {
		p := hello(localModel)
		p.MaxTokens = openai.Int(24)
		p.Temperature = openai.Float(0)
		var resp *http.Response
		whole, err := c.Chat.Completions.New(ctx, p, option.WithResponseInto(&resp))
		if err != nil {
			t.Fatal(err)
		}
		text := whole.Choices[0].Message.Content
		if strings.TrimSpace(text) == "" || resp.Header.Get("X-Strata-Call-Id") == "" {
			t.Errorf("reply %q, headers %v", text, resp.Header)
		}
		if u := whole.Usage; u.PromptTokens == 0 || u.CompletionTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
			t.Errorf("usage = %+v", u)
		}

		p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
		stream := c.Chat.Completions.NewStreaming(ctx, p)
		var sum openai.ChatCompletionAccumulator
		chunks := 0
		for stream.Next() {
			chunks++
			sum.AddChunk(stream.Current())
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		if got := sum.Choices[0].Message.Content; got != text || chunks < 4 {
			t.Errorf("streamed %q in %d chunks, whole %q", got, chunks, text)
		}
		if sum.Usage.TotalTokens != whole.Usage.TotalTokens {
			t.Errorf("streamed usage %+v, whole %+v", sum.Usage, whole.Usage)
		}
	})

	t.Run("stop, n, seed, logprobs", func(t *testing.T) {
		p := hello(localModel)
		p.MaxTokens = openai.Int(8)
		p.N = openai.Int(2)
		p.Seed = openai.Int(7)
		p.Temperature = openai.Float(1)
		p.Logprobs = openai.Bool(true)
		p.TopLogprobs = openai.Int(2)
		r, err := c.Chat.Completions.New(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Choices) != 2 || len(r.Choices[1].Logprobs.Content) == 0 || len(r.Choices[1].Logprobs.Content[0].TopLogprobs) != 2 {
			t.Errorf("choices = %+v", r.Choices)
		}
	})

	t.Run("completions and embeddings", func(t *testing.T) {
		r, err := c.Completions.New(ctx, openai.CompletionNewParams{Model: localModel, MaxTokens: openai.Int(8),
			Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("The capital of France is")}})
		if err != nil || strings.TrimSpace(r.Choices[0].Text) == "" {
			t.Errorf("completion = %+v, %v", r, err)
		}
		e, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: localModel,
			Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a cat", "a stock exchange"}}})
		if err != nil || len(e.Data) != 2 || len(e.Data[0].Embedding) < 100 {
			t.Errorf("embeddings = %d, %v", len(e.Data), err)
		}
	})

	t.Run("tools", func(t *testing.T) {
		p := openai.ChatCompletionNewParams{
			Model:    toolModel,
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("What is the weather in Paris?")},
			Tools: []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "get_weather",
				Parameters: openai.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]string{"type": "string"}}}})},
		}
		r, err := c.Chat.Completions.New(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if r.Choices[0].FinishReason != "tool_calls" || len(r.Choices[0].Message.ToolCalls) != 1 {
			t.Fatalf("reply = %+v", r.Choices[0])
		}
		call := r.Choices[0].Message.ToolCalls[0]
		var args struct{ City string }
		if err := json.Unmarshal([]byte(call.Function.Arguments), &args); err != nil || args.City != "Paris" {
			t.Errorf("arguments = %q, %v", call.Function.Arguments, err)
		}
		p.Messages = append(p.Messages, r.Choices[0].Message.ToParam(), openai.ToolMessage("21 degrees", call.ID))
		if r, err = c.Chat.Completions.New(ctx, p); err != nil || !strings.Contains(r.Choices[0].Message.Content, "21 degrees") {
			t.Errorf("second reply = %+v, %v", r, err)
		}
	})

	for _, e := range []struct {
		name   string
		client openai.Client
		model  string
		status int
		code   string
	}{
		{"unknown model", c, "no-such-model", 404, "model_not_found"},
		{"wrong key", goClient(b, "sk-strata-wrong"), localModel, 401, "invalid_api_key"},
		{"budget", goClient(b, b.broke, option.WithMaxRetries(4), option.WithHeader("X-Check", "go-budget")), toolModel, 402, "budget_exceeded"},
	} {
		t.Run(e.name, func(t *testing.T) {
			_, err := e.client.Chat.Completions.New(ctx, hello(e.model))
			var got *openai.Error
			if !errors.As(err, &got) || got.StatusCode != e.status || got.Code != e.code {
				t.Errorf("error = %v, want HTTP %d %s", err, e.status, e.code)
			}
		})
	}
	t.Run("a refused budget is sent once", func(t *testing.T) {
		if n := sent(t, ctx, b, "go-budget"); n != "1" {
			t.Errorf("the client sent the refused request %s times", n)
		}
	})
}

func sent(t *testing.T, ctx context.Context, b *bed, check string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/count?check=%s", b.proxy.URL, check), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(n)
}

// TestEveryCallIsRecorded compares what the command line lists with what the
// clients of the tests above did: none is missing a usage, and the customers are
// those of their keys.
func TestEveryCallIsRecorded(t *testing.T) {
	b := start(t)
	status, body, err := b.post(b.key, fmt.Sprintf(`{"model":%q,"max_tokens":3,"messages":[{"role":"user","content":"hi"}]}`, localModel))
	if err != nil || status != http.StatusOK {
		t.Fatalf("HTTP %d %s %v", status, body, err)
	}
	out, err := b.cli("calls", "--json", "--limit", "0", "--outcome", "ok")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for line := range strings.Lines(string(out)) {
		calls++
		var c map[string]any
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("calls --json printed %q", line)
		}
		for _, field := range []string{"id", "root", "time", "customer", "feature", "model", "served_model", "outcome", "usage", "estimated", "cost_usd", "charge_usd", "ttft_ms", "duration_ms"} {
			if _, ok := c[field]; !ok {
				t.Errorf("a call has no %s: %s", field, line)
			}
		}
		if c["customer"] != "sdk" || c["usage"] == nil {
			t.Errorf("call = %s", line)
		}
	}
	if calls == 0 {
		t.Error("no call is recorded")
	}
	if out, err := b.cli("ledger", "verify", "--json"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

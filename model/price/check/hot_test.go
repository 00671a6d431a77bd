package check

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/usage"
)

// The gateway reads the usage object of a reply by itself, without the reply
// around it. On every case of ours that it could meet it must come to the same
// as the reader of whole replies, but for what follows from the card (see skip).
func TestHotPathAgreesWithTheWholeReader(t *testing.T) {
	skip := map[Text]string{
		"qwen-vl-image":                     "the card's fallback prices image tokens instead",
		"perplexity-queries-covered-by-fee": "the reply states its cost",
		"openai-chat-search-preview":        "the card has a fee per request instead",
		"refused-prompt-without-estimate":   "the gateway always has the prompt",
	}
	compared := 0
	for _, c := range ownCases(t) {
		var body struct {
			Usage json.RawMessage `json:"usage"`
		}
		if c.BodyFormat != "json" || c.Surface != "chat.completions" && c.Surface != "embeddings" ||
			skip[c.ID] != "" || c.Context.EndedBy != "" || json.Unmarshal(c.Body, &body) != nil || len(body.Usage) == 0 {
			continue
		}
		card, err := price.ParseCardLenient(orEmpty(c.Prices))
		if err != nil {
			t.Fatal(err)
		}
		ctx := c.usageContext(card)
		whole := usage.Parse(string(c.Provider), string(c.Surface), ctx, c.Body, "json")
		estimate := func(pick func(*usage.Estimate) *int64) func() int64 {
			return func() int64 {
				if ctx.Estimate != nil && pick(ctx.Estimate) != nil {
					return *pick(ctx.Estimate)
				}
				return 0
			}
		}
		hot := usage.Reconcile(usage.OpenAIUsage(string(c.Provider), string(c.Surface), body.Usage), usage.Known{
			Text: whole.Text, NoOutput: c.Surface == "embeddings", Provider: string(c.Provider),
			MaxOutput:  limit(t, &c),
			Prompt:     estimate(func(e *usage.Estimate) *int64 { return e.Prompt }),
			Completion: estimate(func(e *usage.Estimate) *int64 { return e.Completion }),
		})
		card.Complete(hot)
		card.Complete(whole.Usage)
		compared++
		for b := range model.NumBuckets {
			if w, h := whole.Usage.Quantity(b), hot.Quantity(b); w.Cmp(h) != 0 {
				t.Errorf("%s: %s: the whole reader says %s, the hot path %s", c.ID, b, w, h)
			}
		}
		if w, h := whole.Usage.Estimated.Names(), hot.Estimated.Names(); !slices.Equal(w, h) {
			t.Errorf("%s: estimated: the whole reader says %v, the hot path %v", c.ID, w, h)
		}
	}
	if compared < 60 {
		t.Errorf("only %d cases were compared", compared)
	}
}

// limit is the most output that a case's request and model allow.
func limit(t *testing.T, c *Case) int64 {
	var r struct {
		MaxTokens           int64 `json:"max_tokens"`
		MaxCompletionTokens int64 `json:"max_completion_tokens"`
		N                   int64 `json:"n"`
	}
	if len(c.Context.Request) > 0 {
		if err := json.Unmarshal(c.Context.Request, &r); err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
	}
	most := int64(0)
	for _, n := range []int64{r.MaxTokens, r.MaxCompletionTokens, c.Context.MaxOutput.orZero()} {
		if n > 0 && (most == 0 || n < most) {
			most = n
		}
	}
	return most * max(r.N, 1)
}

package litellm

import (
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

var day = time.Date(2026, 7, 24, 0, 0, 0, 0, time.UTC)

func parse(t *testing.T, text, history string) (map[string][]*price.Card, *Report) {
	t.Helper()
	var h *strings.Reader
	cards, rep, err := Parse([]byte(text), nil, day)
	if history != "" {
		h = strings.NewReader(history)
		cards, rep, err = Parse([]byte(text), h, day)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]*price.Card{}
	for _, c := range cards {
		k := c.Provider + "/" + c.Model
		out[k] = append(out[k], c)
	}
	return out, rep
}

func TestAmountsAreTakenByTheirText(t *testing.T) {
	cards, _ := parse(t, `{"m":{"litellm_provider":"p","mode":"audio_transcription","input_cost_per_second":0.000033333333333333335,"input_cost_per_token":3e-06,"output_cost_per_token":1.5E-5}}`, "")
	c := cards["p/m"][0]
	for b, want := range map[model.Bucket]string{model.AudioSecond: "0.000033333333333333335", model.Input: "0.000003", model.Output: "0.000015"} {
		if usd, ok := c.Base.Get(b); !ok || usd.String() != want {
			t.Errorf("%s is %s, want %s", b, usd, want)
		}
	}
}

func TestWhatCannotBeExpressedIsTold(t *testing.T) {
	cards, rep := parse(t, `{
		"video":{"litellm_provider":"p","mode":"video_generation","output_cost_per_second":0.1,"output_cost_per_video_per_second":0.2},
		"free":{"litellm_provider":"p","mode":"chat","input_cost_per_token":0,"output_cost_per_token":0.0},
		"odd":{"litellm_provider":"p","mode":"chat","input_cost_per_token":"3e-06","output_cost_per_token":-1},
		"sample_spec":{"litellm_provider":"one of ..."},
		"last_updated":"2026-07-24"}`, "")
	if got := cards["p/video"][0].Facts.Unrepresented; len(got) != 2 {
		t.Errorf("video: %v", got)
	}
	if c := cards["p/free"][0]; c.Base.Has != 0 || len(c.Facts.Unrepresented) != 1 {
		t.Errorf("zeros became a price: %s", c.AppendJSON(nil))
	}
	if c := cards["p/odd"][0]; c.Base.Has != 0 {
		t.Errorf("a text or a negative number became a price: %s", c.AppendJSON(nil))
	}
	if rep.Entries != 3 || len(rep.Unpriced) != 3 || len(rep.Unrepresented) != 2 {
		t.Errorf("report %+v", rep)
	}
}

func TestBatchPrices(t *testing.T) {
	cards, _ := parse(t, `{
		"same":{"litellm_provider":"p","input_cost_per_token":2e-6,"output_cost_per_token":8e-6,"input_cost_per_token_batches":1e-6,"output_cost_per_token_batches":4e-6},
		"uneven":{"litellm_provider":"p","input_cost_per_token":2e-6,"output_cost_per_token":8e-6,"input_cost_per_token_batches":1e-6,"output_cost_per_token_batches":6e-6}}`, "")
	same, uneven := cards["p/same"][0], cards["p/uneven"][0]
	if same.BatchMultiplier == nil || same.BatchMultiplier.String() != "0.5" || same.Batch != nil {
		t.Errorf("the same share of both became %s", same.AppendJSON(nil))
	}
	if uneven.BatchMultiplier != nil || uneven.Batch == nil {
		t.Errorf("uneven shares became %s", uneven.AppendJSON(nil))
	}
	u := &model.Usage{}
	u.Count[model.Output] = 1_000_000
	if r, err := uneven.Rate(u, price.Query{Batch: true}); err != nil || r.Total.String() != "6" {
		t.Errorf("in a batch: %s, %v", r.Total, err)
	}
}

func TestHistory(t *testing.T) {
	const head = "model,provider,mode,first_seen,input_usd_per_token,output_usd_per_token,cache_read_usd_per_token\n"
	cards, rep := parse(t, `{"m":{"litellm_provider":"p","mode":"chat","input_cost_per_token":3e-06,"output_cost_per_token":4e-06,"cache_creation_input_token_cost":5e-06},
		"drift":{"litellm_provider":"p","mode":"chat","input_cost_per_token":9e-06,"output_cost_per_token":9e-06}}`,
		head+"m,p,chat,2025-02-06,1e-06,2e-06,\nm,p,chat,2026-01-01,3e-06,4e-06,\nm,p,chat,2026-08-01,7e-06,8e-06,\ndrift,p,chat,2025-02-06,1e-06,1e-06,\ngone,p,chat,2025-02-06,1e-06,1e-06,\n")
	m := cards["p/m"]
	if len(m) != 3 || dates(m) != "2025-02-06 2026-01-01 2026-08-01" || !m[0].FromOnOrBefore || m[1].FromOnOrBefore {
		t.Fatalf("cards from %s", dates(m))
	}
	if !m[1].Base.Has.Has(model.CacheWrite) || m[0].Base.Has.Has(model.CacheWrite) {
		t.Error("only the map's own date knows the price of cache writes")
	}
	if len(m[0].Facts.Unrepresented) == 0 {
		t.Error("an old card does not say that it is partial")
	}
	if d := cards["p/drift"]; dates(d) != "2025-02-06 2026-07-24" || len(rep.History) != 1 {
		t.Errorf("a map that goes beyond the history: cards from %s, report %v", dates(d), rep.History)
	}
	if g := cards["p/gone"]; dates(g) != "2025-02-06" {
		t.Errorf("a model that the map no longer has: %s", dates(g))
	}
	for _, bad := range []string{"a,b\n", head + "m,p,chat,never,1,2,\n", head + "m,p,chat,2025-01-01,-1,2,\n", head + "m,p\n"} {
		if _, _, err := Parse([]byte(`{}`), strings.NewReader(bad), day); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func dates(cards []*price.Card) string {
	var out []string
	for _, c := range cards {
		out = append(out, c.From.Format(time.DateOnly))
	}
	return strings.Join(out, " ")
}

func TestNames(t *testing.T) {
	for _, tc := range []struct{ name, provider, wantProvider, wantModel string }{
		{"gpt-4o", "openai", "openai", "gpt-4o"},
		{"gemini/gemini-2.5-flash", "gemini", "gemini", "gemini-2.5-flash"},
		{"gemini-2.5-flash", "vertex_ai-language-models", "vertex_ai", "gemini-2.5-flash"},
		{"vertex_ai/claude-opus-4", "vertex_ai-anthropic_models", "vertex_ai", "claude-opus-4"},
		{"openrouter/openai/gpt-4o", "openrouter", "openrouter", "openai/gpt-4o"},
		{"anthropic.claude-opus-4-6-v1", "bedrock_converse", "bedrock", "anthropic.claude-opus-4-6-v1"},
	} {
		if p, m := names(tc.name, tc.provider); p != tc.wantProvider || m != tc.wantModel {
			t.Errorf("%s of %s is %s/%s, want %s/%s", tc.name, tc.provider, p, m, tc.wantProvider, tc.wantModel)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"m":{"litellm_provider":"p","input_cost_per_token":1e-6,"tiered_pricing":[{"range":[0,1]},{"range":[5,6],"input_cost_per_token":2}],"search_context_cost_per_query":{"search_context_size_low":1},"provider_specific_entry":{"fast":2,"us":"x"}}}`))
	f.Add([]byte(`{"512-x-512/m":{"litellm_provider":"p","input_cost_per_pixel":1e-9,"output_cost_per_token_above_128k_tokens_priority":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cards, _, err := Parse(data, nil, day)
		if err != nil {
			return
		}
		for _, c := range cards {
			again, err := price.ParseCard(c.AppendJSON(nil))
			if err != nil {
				t.Fatalf("%s makes %s: %v", data, c.AppendJSON(nil), err)
			}
			u := &model.Usage{Seconds: money.Int(1)}
			for b := range model.NumBuckets {
				u.Count[b] = 10
			}
			if r, err := again.Rate(u, price.Query{}); err == nil && r.Total.Sign() < 0 {
				t.Fatal("a negative cost")
			}
		}
	})
}

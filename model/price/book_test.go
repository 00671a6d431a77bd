package price

import (
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

func TestCatalogPrices(t *testing.T) {
	b := Catalog()
	if b.Date.Format(time.DateOnly) != "2026-07-24" || !strings.Contains(b.Credit, "LiteLLM") || !strings.Contains(b.Credit, "MIT") {
		t.Errorf("catalog of %s, credit %q", b.Date, b.Credit)
	}
	all, total := b.List(ListQuery{Limit: -1})
	if total < 2500 || len(all) != total {
		t.Fatalf("%d models", total)
	}
	for _, c := range all {
		if c.Provider == "" || c.Model == "" || c.Version == "" || c.Source == "" {
			t.Fatalf("a card without a name, version or source: %+v", c)
		}
	}
	// Prices as published, per million tokens or each.
	for _, tc := range []struct {
		provider, model, bucket, usd string
	}{
		{"openai", "gpt-4o-mini", "input", "0.15"},
		{"openai", "gpt-4o-mini", "cache_read", "0.075"},
		{"openai", "gpt-4o-mini-2024-07-18", "output", "0.6"},
		{"openai", "whisper-1", "audio_second", "0.0001"},
		{"openai", "tts-1", "character", "0.000015"},
		{"openai", "gpt-image-1", "output_image", "40"},
		{"openai", "1024-x-1024/dall-e-2", "image", "0.019922944"},
		{"anthropic", "claude-opus-4-6", "cache_write", "6.25"},
		{"anthropic", "claude-opus-4-6", "cache_write_1h", "10"},
		{"anthropic", "claude-opus-4-6", "web_search", "0.01"},
		{"gemini", "gemini-2.5-flash", "input_audio", "1"},
		{"vertex_ai", "gemini-2.5-flash", "reasoning", "2.5"},
		{"deepseek", "deepseek-chat", "cache_read", "0.028"},
		{"cohere", "rerank-v3.5", "search_unit", "0.002"},
		{"perplexity", "sonar-deep-research", "citation", "2"},
		{"perplexity", "sonar-deep-research", "search_query", "0.005"},
		{"qwen", "qwen-flash", "input", "0.05"},
		{"groq", "whisper-large-v3", "audio_second", "0.00003083"},
		{"", "gpt-4o-mini", "input", "0.15"},
		{"", "openai/gpt-4o-mini", "input", "0.15"},
		{"", "deepseek-chat", "output", "0.42"},
	} {
		c, ok := b.Find(tc.provider, tc.model, time.Time{})
		if !ok {
			t.Errorf("%s/%s is not in the catalog", tc.provider, tc.model)
			continue
		}
		bucket, _ := model.ParseBucket(tc.bucket)
		usd, ok := c.Base.Get(bucket)
		if bucket.IsToken() {
			usd = usd.Shift(6)
		}
		if !ok || usd.Cmp(money.MustDecimal(tc.usd)) != 0 {
			t.Errorf("%s %s: %s (priced %t), want %s", c.Version, tc.bucket, usd, ok, tc.usd)
		}
	}
}

func TestCatalogTermsBeyondTheBase(t *testing.T) {
	find := func(provider, name string) *Card {
		c, ok := Catalog().Find(provider, name, time.Time{})
		if !ok {
			t.Fatalf("%s/%s is not in the catalog", provider, name)
		}
		return c
	}
	rate := func(c *Card, u *model.Usage, q Query) string {
		r, err := c.Rate(u, q)
		if err != nil || !r.Known {
			t.Fatalf("%s: %v, unpriced %v", c.Version, err, r.Unpriced)
		}
		return r.Total.String()
	}
	use := func(in, out int64) *model.Usage {
		u := &model.Usage{}
		u.Count[model.Input], u.Count[model.Output] = in, out
		return u
	}
	c := find("openai", "gpt-5.6")
	if got := rate(c, use(1_000_000, 0), Query{}); got != "10" {
		t.Errorf("above 272k: %s", got)
	}
	if got := rate(c, use(272_000, 0), Query{}); got != "1.36" {
		t.Errorf("at 272k: %s", got)
	}
	flex := use(1000, 1000)
	flex.ServiceTier = "flex"
	if got := rate(c, flex, Query{}); got != "0.0175" {
		t.Errorf("flex: %s", got)
	}
	if got := rate(c, use(1000, 1000), Query{Batch: true}); got != "0.0175" {
		t.Errorf("batch: %s", got)
	}
	us := use(1000, 1000)
	us.Geography = "us"
	if got := rate(c, us, Query{}); got != "0.0385" {
		t.Errorf("in the US: %s", got)
	}
	fast := use(1000, 1000)
	fast.ServiceTier = "fast"
	if got := rate(find("anthropic", "claude-opus-4-6"), fast, Query{}); got != "0.18" {
		t.Errorf("fast mode: %s", got)
	}
	priority := use(200_001, 0)
	priority.ServiceTier = "priority"
	if got := rate(find("vertex_ai", "gemini-3-pro-preview"), priority, Query{}); got != "1.4400072" {
		t.Errorf("priority above 200k: %s", got)
	}
	if got := rate(find("perplexity", "sonar-pro"), use(1000, 0), Query{SearchContext: "high"}); got != "0.017" {
		t.Errorf("sonar-pro with a high search context: %s", got)
	}
	if got := rate(find("qwen", "qwen-flash"), use(256_001, 0), Query{}); got != "0.06400025" {
		t.Errorf("the second range of qwen-flash: %s", got)
	}
	if c := find("ollama", "llama3"); c.Base.Has != 0 || len(c.Facts.Unrepresented) == 0 {
		t.Errorf("zeros of the source became a price: %s", c.AppendJSON(nil))
	}
	cost := money.MustDecimal("0.00042")
	stated := use(10, 10)
	stated.ProviderCost = &cost
	if got := rate(find("openrouter", "brand/new-model"), stated, Query{}); got != "0.00042" {
		t.Errorf("the stated cost of a model that is not in the book: %s", got)
	}
	if c.Facts.MaxOutput != 128000 || c.Facts.Mode != "chat" {
		t.Errorf("facts %+v", c.Facts)
	}
}

// A price of an earlier date is the price of that date.
func TestCatalogHistory(t *testing.T) {
	b := Catalog()
	h := b.History("deepseek", "deepseek-chat")
	if len(h) < 2 {
		t.Fatalf("%d prices of deepseek-chat", len(h))
	}
	oldest := h[len(h)-1]
	if !oldest.FromOnOrBefore {
		t.Error("the first known price must be one that held on or before its date")
	}
	early, ok := b.Find("deepseek", "deepseek-chat", oldest.From.AddDate(-1, 0, 0))
	if !ok || early != oldest {
		t.Errorf("before the first date: %v", early)
	}
	for i := 0; i < len(h)-1; i++ {
		if c, _ := b.Find("deepseek", "deepseek-chat", h[i].From); c != h[i] {
			t.Errorf("on %s the price is %s", h[i].From, c.Version)
		}
		if c, _ := b.Find("deepseek", "deepseek-chat", h[i].From.Add(-time.Nanosecond)); c != h[i+1] {
			t.Errorf("just before %s the price is %s", h[i].From, c.Version)
		}
		if !h[i].From.After(h[i+1].From) {
			t.Errorf("the history is not in order: %s, %s", h[i].From, h[i+1].From)
		}
	}
}

const overridesText = `
lab-large: {input: 0.20 USD/Mtok, output: 0.80 USD/Mtok}
openai/gpt-4o-mini:
  - {from: 2026-01-01, input: 1 USD/Mtok, output: 2 USD/Mtok}
  - from: 2026-06-01
    input: 3 USD/Mtok
    output: 4 USD/Mtok
    web_search: 0.01 USD
    max_output_tokens: 4096
    tiers: [{above_prompt_tokens: 100, per_million: {input: 6.50, output: 8}}]
    fallback: {cache_read: input}
meta-llama/Llama-3: {input: 5 USD/Mtok, output: 6 USD/Mtok}
speech: {character: 15 USD/Mchar, audio_second: 0.006 USD/min}
free: {input: 0, output: 0}
`

func TestOverrides(t *testing.T) {
	o, err := ParseOverrides("prices.yaml", []byte(overridesText))
	if err != nil {
		t.Fatal(err)
	}
	b := Catalog().With(o)
	on := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	price := func(provider, name, date string, bucket model.Bucket) string {
		c, ok := b.Find(provider, name, on(date))
		if !ok {
			return "none"
		}
		usd, ok := c.Base.Get(bucket)
		if !ok {
			return "unpriced"
		}
		return usd.String()
	}
	for _, tc := range []struct {
		provider, name, date string
		bucket               model.Bucket
		want                 string
	}{
		{"vllm", "lab-large", "2026-07-01", model.Input, "0.0000002"},
		{"", "lab-large", "2026-07-01", model.Output, "0.0000008"},
		{"openai", "gpt-4o-mini", "2025-12-31", model.Input, "0.00000015"}, // the catalog still holds
		{"openai", "gpt-4o-mini", "2026-01-01", model.Input, "0.000001"},
		{"openai", "gpt-4o-mini", "2026-06-01", model.Input, "0.000003"},
		{"openai", "gpt-4o-mini", "2026-06-01", model.CacheRead, "unpriced"},
		{"together", "meta-llama/Llama-3", "2026-06-01", model.Input, "0.000005"},
		{"openai", "speech", "2026-06-01", model.Character, "0.000015"},
		{"openai", "speech", "2026-06-01", model.AudioSecond, "0.0001"},
		{"", "free", "2026-06-01", model.Input, "0"},
		{"openai", "gpt-4o", "2026-06-01", model.Input, "0.0000025"},
	} {
		if got := price(tc.provider, tc.name, tc.date, tc.bucket); got != tc.want {
			t.Errorf("%s/%s on %s: %s is %s, want %s", tc.provider, tc.name, tc.date, tc.bucket, got, tc.want)
		}
	}
	c, _ := b.Find("openai", "gpt-4o-mini", on("2026-07-01"))
	if c.Facts.MaxOutput != 4096 || len(c.Tiers) != 1 || !strings.HasPrefix(c.Version, "override/openai/gpt-4o-mini@2026-06-01#") {
		t.Errorf("card %s, facts %+v", c.Version, c.Facts)
	}
	again, err := ParseOverrides("prices.yaml", []byte(overridesText))
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := again.Find("openai", "gpt-4o-mini", on("2026-07-01")); d.Version != c.Version {
		t.Errorf("the version is not stable: %s, %s", c.Version, d.Version)
	}
	text, err := MarshalOverrides(o.History("openai", "gpt-4o-mini"))
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseOverrides("written.yaml", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if d, ok := back.Find("openai", "gpt-4o-mini", on("2026-07-01")); !ok || d.Digest() != c.Digest() {
		t.Errorf("written and read again it differs:\n%s", text)
	}
}

// A price of input and output alone prices all that is billed as one of them.
func TestOverridesFallBackToThePlainKinds(t *testing.T) {
	book, err := ParseOverrides("prices.yaml", []byte(`
plain: {input: 1 USD/Mtok, output: 4 USD/Mtok}
strict: {input: 1 USD/Mtok, output: 4 USD/Mtok, fallback: {}}
own: {input: 1 USD/Mtok, output: 4 USD/Mtok, fallback: {cache_write: input}}
`))
	if err != nil {
		t.Fatal(err)
	}
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.CacheRead], u.Count[model.Output], u.Count[model.Reasoning] = 100, 100, 10, 10
	for name, want := range map[string]string{"plain": "0.00028", "strict": "unknown", "own": "unknown"} {
		card, ok := book.Find("lab", name, time.Now())
		if !ok {
			t.Fatalf("%s: no card", name)
		}
		r, err := card.Rate(u, Query{})
		if err != nil {
			t.Fatal(err)
		}
		got := "unknown"
		if r.Known {
			got = r.Total.String()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestOverrideErrorsNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"a: {input: 0.20}":                                   "p.yaml:1: a: input: the unit of \"0.20\" must be USD/Mtok",
		"\na: {input: -1 USD/Mtok}":                          "p.yaml:2: a: input: \"-1 USD/Mtok\" is negative",
		"a:\n  input: 1 USD/Mtok\n  outptu: 2 USD/Mtok":      "p.yaml:3: a: ",
		"a: {web_search: 1 USD/Mtok}":                        "must be USD (each)",
		"a: {input: 1 USD/Mtok}\na: {input: 2 USD/Mtok}":     "p.yaml:2",
		"a:\n  - {from: 2026-01-01}\n  - {from: 2026-01-01}": "p.yaml:3: a: two prices from the same date",
		"a: {from: yesterday}":                               "\"yesterday\" is no date",
		"a: {input: 1 USD/Mtok, per_million: {input: 2}}":    "priced twice",
		"a:\n  tiers:\n    - {above_prompt_tokens: x}":       "p.yaml:2: a: ",
		"- a":                            "must map models to prices",
		"a: 3":                           "must be a price such as",
		"a: {audio_second: 0.005 USD/h}": "write it as USD/s",
		"a: {max_output_tokens: many}":   "no number of tokens",
		"a: {input: [":                   "p.yaml",
	} {
		_, err := ParseOverrides("p.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func FuzzParseOverrides(f *testing.F) {
	f.Add(overridesText)
	f.Add("a: &x {input: 1 USD/Mtok}\nb: *x")
	f.Add("a: {tiers: [{above_prompt_tokens: 1, per_million: {input: 012}}]}")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseOverrides("f.yaml", []byte(text))
		if err != nil {
			if !strings.Contains(err.Error(), "f.yaml") {
				t.Fatalf("the error does not name the file: %v", err)
			}
			return
		}
		cards, _ := o.List(ListQuery{Limit: -1})
		out, err := MarshalOverrides(cards)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseOverrides("again.yaml", out); err != nil {
			t.Fatalf("%v in\n%s\nmade of\n%s", err, out, text)
		}
	})
}

func TestLocalPrice(t *testing.T) {
	c, err := Local(money.MustDecimal("0.36"), money.Int(100), money.Int(1000))
	if err != nil {
		t.Fatal(err)
	}
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.Output], u.Count[model.CacheRead] = 1000, 100, 1000
	r, err := c.Rate(u, Query{})
	// 100 output tokens take a second of 0.36 USD/h; 2000 prompt tokens take two.
	if err != nil || !r.Known || r.Total.String() != "0.0003" {
		t.Errorf("total %s, error %v", r.Total, err)
	}
	odd, err := Local(money.MustDecimal("0.08"), money.MustDecimal("187.3"))
	if err != nil || len(odd.Base.USD[model.Output].String()) > 18 || odd.Version == c.Version {
		t.Errorf("price %s, version %s, error %v", odd.Base.USD[model.Output], odd.Version, err)
	}
	if r, err := LocalFree().Rate(u, Query{}); err != nil || !r.Known || !r.Total.IsZero() {
		t.Errorf("free: %+v, %v", r, err)
	}
	for _, bad := range [][2]money.Decimal{{money.Int(1), money.Int(0)}, {money.Int(-1), money.Int(1)}} {
		if _, err := Local(bad[0], bad[1]); err == nil {
			t.Errorf("%s USD/h at %s tokens/s: no error", bad[0], bad[1])
		}
	}
}

func BenchmarkFind(b *testing.B) {
	book := Catalog()
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	book.Find("openai", "gpt-4o-mini", at)
	for b.Loop() {
		if _, ok := book.Find("openai", "gpt-4o-mini", at); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkOpenCatalog(b *testing.B) {
	for b.Loop() {
		book, err := unpack(catalogData)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := book.Find("openai", "gpt-4o-mini", time.Time{}); !ok {
			b.Fatal("not found")
		}
	}
}

// A model named with its provider is that provider's, although a reseller's
// whole name for it ("perplexity" sells "anthropic/claude-sonnet-4-5") is the
// same.
func TestFindPrefersTheNamedProviderToResellers(t *testing.T) {
	b := Catalog()
	for _, tc := range []struct{ name, provider, model string }{
		{"anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"},
		{"openai/gpt-4o", "openai", "gpt-4o"},
		{"perplexity/anthropic/claude-sonnet-4-5", "perplexity", "anthropic/claude-sonnet-4-5"},
		{"claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"},
	} {
		c, ok := b.Find("", tc.name, time.Time{})
		if !ok || c.Provider != tc.provider || c.Model != tc.model {
			t.Errorf("%s is taken for %v", tc.name, c)
		}
	}
	// A price of one's own is above the catalog, with a provider or without.
	for _, own := range []string{"openai/gpt-4o: {input: 9 USD/Mtok}", "gpt-4o: {input: 9 USD/Mtok}"} {
		o, err := ParseOverrides("own.yaml", []byte(own))
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := b.With(o).Find("", "openai/gpt-4o", time.Time{}); !ok || !strings.HasPrefix(c.Version, "override/") {
			t.Errorf("with %q, openai/gpt-4o is taken for %v", own, c)
		}
	}
}

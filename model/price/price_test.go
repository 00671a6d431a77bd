package price

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

func mustCard(t testing.TB, text string) *Card {
	t.Helper()
	c, err := ParseCard([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The literal examples of the notation are read, written and read again alike.
var examples = []string{
	`{"per_million": {"input": "2.50", "cache_read": "1.25", "output": "10.00"}, "per_unit": {"web_search": "0.01"}}`,
	`{"cache_modes": {"explicit": {"per_million": {"input": "0.40", "cache_read": "0.04", "cache_write": "0.50", "output": "1.20"}}, "implicit": {"per_million": {"input": "0.40", "cache_read": "0.08", "output": "1.20"}}}}`,
	`{"service_tiers": {"flex": {"per_million": {"input": "0.625", "output": "5.00"}}, "priority": {"per_million": {"input": "2.50", "output": "20.00"}}}}`,
	`{"tiers": [{"above_prompt_tokens": 200000, "per_million": {"input": "6.00", "cache_read": "0.60", "output": "22.50"}}]}`,
	`{"windows": [{"name": "peak", "weekdays": [0, 1, 2, 3, 4], "utc": [["01:00", "04:00"], ["06:00", "10:00"]], "per_million": {"input": "0.30", "output": "1.20"}}]}`,
	`{"batch_multiplier": "0.5", "geo_multipliers": {"us": "1.1"}, "minimum_units": {"audio_second": "10"}, "fallback": {"cache_read": "input", "reasoning": "output"}}`,
	`{"request_fee_by_search_context": {"low": "0.005", "medium": "0.008", "high": "0.012"}, "provider_reported_cost": {"path": "usage.cost_in_usd_ticks", "divide_by": "10000000000"}}`,
}

func TestCardNotationRoundTrips(t *testing.T) {
	for _, text := range examples {
		c := mustCard(t, text)
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again := mustCard(t, string(written))
		if c.Digest() != again.Digest() || c.Version != again.Version {
			t.Errorf("%s became %s", text, written)
		}
		for _, part := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(`{}[]:, "`, r) }) {
			if d, err := money.ParseDecimal(part); err == nil && !strings.Contains(string(written), d.String()) {
				t.Errorf("%s lost %s: %s", text, part, written)
			}
		}
	}
}

func TestCardErrorsNameThePlace(t *testing.T) {
	for text, want := range map[string]string{
		`{"per_million": {"inptu": "1"}}`:                                       "per_million.inptu: unknown bucket",
		`{"per_million": {"input": "-1"}}`:                                      "per_million.input: -1 is negative",
		`{"per_million": {"input": "one"}}`:                                     "per_million.input: not a decimal number",
		`{"per_milion": {}}`:                                                    "per_milion: unknown key",
		`{"tiers": [{"per_million": {"input": "1"}}]}`:                          "tiers[0]: above_prompt_tokens is missing",
		`{"tiers": [{"above_prompt_tokens": 1}, {"above_prompt_tokens": 1}]}`:   "two tiers above 1",
		`{"tiers": [{"above_prompt_tokens": 1.5}]}`:                             "whole number",
		`{"windows": [{"weekdays": [7]}]}`:                                      "7 is no weekday",
		`{"windows": [{"utc": [["25:00", "26:00"]]}]}`:                          `"25:00" is no time of day`,
		`{"windows": [{"utc": [["01:00"]]}]}`:                                   "a start and an end",
		`{"minimum_units": {"input": "1"}}`:                                     "minimum_units.input: not a unit",
		`{"fallback": {"cache_read": "inpt"}}`:                                  `unknown bucket "inpt"`,
		`{"provider_reported_cost": {"divide_by": "10"}}`:                       "path is missing",
		`{"provider_reported_cost": {"path": "a", "divide_by": "0"}}`:           "must not be zero",
		`{"per_million": {"web_search": "1"}, "per_unit": {"web_search": "1"}}`: "priced twice",
		`{"service_tiers": {"flex": {"per_million": {"output": "x"}}}}`:         "service_tiers.flex.per_million.output",
		`[]`: "must be an object",
		`{"geo_multipliers": {"us": "1e999999999"}}`: "geo_multipliers.us",
	} {
		_, err := ParseCard([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

func TestLenientCardKeepsUnknownKeysAsNotes(t *testing.T) {
	c, err := ParseCardLenient([]byte(`{"per_million": {"input": "1"}, "comment": "from a web page"}`))
	if err != nil || len(c.Notes) != 1 || c.Notes[0] != "comment" {
		t.Fatalf("notes %v, error %v", c.Notes, err)
	}
}

func TestRateLinesAreRoundedOnceAndTotalIsNot(t *testing.T) {
	c := mustCard(t, `{"per_unit": {"audio_second": "0.000033333333333333335", "request": "0.5"}}`)
	u := &model.Usage{Seconds: money.Int(1)}
	r, err := c.Rate(u, Query{})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Total.String(); got != "0.500033333333333333335" {
		t.Errorf("total %s", got)
	}
	if len(r.Lines) != 2 || r.Lines[1].Amount.String() != "0.000033333333" || r.Lines[1].Exact.String() != "0.000033333333333333335" {
		t.Errorf("lines %+v", r.Lines)
	}
	if r.Lines[0].Item != "request" {
		t.Errorf("a card with a fee per request bills one request, got %+v", r.Lines[0])
	}
	if u.Count[model.RequestFee] != 0 {
		t.Error("Rate changed the usage")
	}
}

func TestUnknownUsageHasUnknownCost(t *testing.T) {
	c := mustCard(t, examples[0])
	if r, err := c.Rate(nil, Query{}); err != nil || r.Known {
		t.Errorf("a nil usage was priced: %+v, %v", r, err)
	}
	r, err := c.Rate(&model.Usage{}, Query{})
	if err != nil || !r.Known || !r.Total.IsZero() {
		t.Errorf("no consumption costs nothing: %+v, %v", r, err)
	}
}

func TestServiceTierMayHaveTiersOfItsOwn(t *testing.T) {
	c := mustCard(t, `{"per_million": {"input": "2", "output": "12"}, "tiers": [{"above_prompt_tokens": 10, "per_million": {"input": "4", "output": "18"}}],
		"service_tiers": {"priority": {"per_million": {"input": "3.6", "output": "21.6"}, "tiers": [{"above_prompt_tokens": 10, "per_million": {"input": "7.2", "output": "32.4"}}]}}}`)
	u := &model.Usage{ServiceTier: "priority"}
	u.Count[model.Input] = 11
	r, err := c.Rate(u, Query{})
	if err != nil || r.Total.String() != "0.0000792" {
		t.Errorf("total %s, error %v", r.Total, err)
	}
}

// genCard draws a card with everything that can change a price.
func genCard(t *rapid.T) *Card {
	price := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%d.%02d", rapid.IntRange(0, 90).Draw(t, "whole"), rapid.IntRange(0, 99).Draw(t, "cents"))
	})
	rates := func(label string) string {
		parts := []string{fmt.Sprintf(`"input": %q, "output": %q`, price.Draw(t, label), price.Draw(t, label))}
		for _, b := range []string{"cache_read", "cache_write", "cache_write_1h", "reasoning", "output_audio", "output_image"} {
			if rapid.Bool().Draw(t, label+b) {
				parts = append(parts, fmt.Sprintf("%q: %q", b, price.Draw(t, b)))
			}
		}
		return `"per_million": {` + strings.Join(parts, ", ") + `}`
	}
	text := `{` + rates("base") + `, "per_unit": {"web_search": "0.01", "request": "0.005"}` +
		`, "service_tiers": {"flex": {` + rates("flex") + `}, "priority": {` + rates("priority") + `, "tiers": [{"above_prompt_tokens": 500, ` + rates("ptier") + `}]}}` +
		`, "cache_modes": {"explicit": {` + rates("explicit") + `}}` +
		`, "tiers": [{"above_prompt_tokens": 100, ` + rates("tier1") + `}, {"above_prompt_tokens": 1000, ` + rates("tier2") + `}]` +
		`, "windows": [{"utc": [["22:00", "03:00"]], ` + rates("window") + `}]` +
		`, "geo_multipliers": {"us": "1.1", "eu": "0.9"}, "batch_multiplier": "` + rapid.SampledFrom([]string{"0.5", "1", "1.5"}).Draw(t, "batch") + `"` +
		`, "fallback": {"cache_read": "input", "cache_write": "cache_read", "cache_write_1h": "cache_write", "reasoning": "output", "output_audio": "output", "output_image": "output"}` +
		`, "minimum_units": {"web_search": "3"}}`
	c, err := ParseCard([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever a call consumes within its limits, it never costs more than what was
// held for it.
func TestRateNeverExceedsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCard(t)
		maxPrompt := rapid.Int64Range(0, 3000).Draw(t, "prompt")
		maxOutput := rapid.Int64Range(0, 2000).Draw(t, "output")
		choices := rapid.IntRange(1, 3).Draw(t, "choices")
		searches := rapid.Int64Range(0, 4).Draw(t, "searches")
		usd, ok := c.BoundOf(Limits{Prompt: maxPrompt, MaxOutput: maxOutput, Choices: choices, Units: map[model.Bucket]money.Decimal{model.WebSearch: money.Int(searches)}})
		if !ok {
			t.Fatal("no bound")
		}
		bound, ok := ceilPico(usd)
		if !ok {
			t.Fatal("no bound in picodollars")
		}
		u := &model.Usage{
			ServiceTier: rapid.SampledFrom([]string{"", "default", "flex", "priority", "other"}).Draw(t, "tier"),
			CacheType:   rapid.SampledFrom([]string{"", "ephemeral"}).Draw(t, "cache"),
			Geography:   rapid.SampledFrom([]string{"", "us", "eu", "global"}).Draw(t, "geo"),
		}
		split := func(total int64, buckets ...model.Bucket) {
			left := rapid.Int64Range(0, total).Draw(t, "used")
			for _, b := range buckets {
				n := rapid.Int64Range(0, left).Draw(t, b.String())
				u.Count[b] = n
				left -= n
			}
			u.Count[buckets[0]] += left
		}
		split(maxPrompt, model.Input, model.CacheRead, model.CacheWrite, model.CacheWrite1h)
		split(maxOutput*int64(choices), model.Output, model.Reasoning, model.OutputAudio, model.OutputImage)
		u.Count[model.WebSearch] = rapid.Int64Range(0, searches).Draw(t, "searched")
		r, err := c.Rate(u, Query{
			At:    time.Date(2026, 7, rapid.IntRange(20, 26).Draw(t, "day"), rapid.IntRange(0, 23).Draw(t, "hour"), 0, 0, 0, time.UTC),
			Batch: rapid.Bool().Draw(t, "in batch"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Known {
			t.Fatalf("not priced: %v", r.Unpriced)
		}
		var sum money.Sum
		for _, l := range r.Lines {
			sum = sum.Add(l.Amount)
		}
		if sum.Cmp(money.SumOf(bound)) > 0 || r.Total.Cmp(usd) > 0 {
			t.Fatalf("cost %s (lines %s) above the bound %s (%s)", r.Total, sum, usd, bound)
		}
	})
}

func TestMaxOutputForFitsAndIsTheLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genCard(t)
		prompt := rapid.Int64Range(0, 3000).Draw(t, "prompt")
		choices := rapid.IntRange(1, 3).Draw(t, "choices")
		budget := money.Pico(rapid.Int64Range(0, 2_000_000_000_000).Draw(t, "budget"))
		n, ok := c.MaxOutputFor(budget, prompt, choices, 0, 0, 0)
		if !ok {
			if c.highest().output.IsZero() {
				return
			}
			t.Fatal("no answer")
		}
		if n > 0 {
			if p, ok := c.Bound(prompt, n, choices, 0, 0, 0); !ok || p > budget {
				t.Fatalf("%d tokens cost up to %s, above %s", n, p, budget)
			}
		}
		// The bound holds back a few picodollars for rounding; beyond that no
		// token more would fit.
		if p, ok := c.Bound(prompt, n+2, choices, 0, 0, 0); ok && p <= budget-100 {
			t.Fatalf("%d tokens would fit too: %s of %s", n+2, p, budget)
		}
	})
}

func TestBoundIsUnknownWithoutAPriceOrLimit(t *testing.T) {
	c := mustCard(t, `{"per_million": {"input": "1"}}`)
	if _, ok := c.Bound(10, 10, 1, 0, 0, 0); ok {
		t.Error("a bound without a price of output")
	}
	if p, ok := c.Bound(10, 0, 1, 0, 0, 0); !ok || p == 0 {
		t.Errorf("embeddings need no price of output: %s, %t", p, ok)
	}
	full := mustCard(t, examples[0])
	if _, ok := full.Bound(10, -1, 1, 0, 0, 0); ok {
		t.Error("a bound without any output limit")
	}
	full.Facts.MaxOutput = 100
	with, _ := full.Bound(10, 100, 1, 0, 0, 0)
	if p, ok := full.Bound(10, -1, 1, 0, 0, 0); !ok || p != with {
		t.Errorf("no limit stands for the model's own: %s, want %s", p, with)
	}
	research := mustCard(t, `{"per_million": {"input": "2", "output": "8", "citation": "2"}}`)
	if _, ok := research.Bound(10, 10, 1, 0, 0, 0); ok {
		t.Error("citation tokens have no limit, so there is no bound")
	}
	if p, ok := mustCard(t, `{}`).Bound(0, 0, 1, 0, 0, 0); !ok || p != 0 {
		t.Errorf("nothing costs nothing: %s %t", p, ok)
	}
}

func FuzzParseCard(f *testing.F) {
	for _, text := range examples {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCard(data)
		if err != nil {
			return
		}
		again, err := ParseCard(c.AppendJSON(nil))
		if err != nil {
			t.Fatalf("%s was written as %s: %v", data, c.AppendJSON(nil), err)
		}
		if again.Digest() != c.Digest() {
			t.Fatalf("%s changed to %s", c.AppendJSON(nil), again.AppendJSON(nil))
		}
		u := &model.Usage{ServiceTier: "flex"}
		for b := range model.NumBuckets {
			u.Count[b] = rand.Int64N(1000)
		}
		if r, err := c.Rate(u, Query{At: time.Unix(0, 0), Batch: true}); err == nil && r.Known && r.Total.Sign() < 0 {
			t.Fatal("a negative cost")
		}
	})
}

func BenchmarkRate(b *testing.B) {
	c := mustCard(b, examples[0])
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.CacheRead], u.Count[model.Output] = 1117, 512, 46
	b.ReportAllocs()
	for b.Loop() {
		if r, err := c.Rate(u, Query{}); err != nil || !r.Known {
			b.Fatal(err)
		}
	}
}

func BenchmarkBound(b *testing.B) {
	c := mustCard(b, examples[0])
	for b.Loop() {
		if _, ok := c.Bound(2000, 1000, 1, 0, 0, 0); !ok {
			b.Fatal("no bound")
		}
	}
}

// The shortcut for whole picodollars gives what decimal arithmetic gives.
func TestWholePicodollarsAgreeWithDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fast, slow Card
		u := &model.Usage{}
		for b := range model.WebSearch {
			usd := money.Int(rapid.Int64Range(0, 1_000_000_000).Draw(t, "price")).Shift(-int32(rapid.IntRange(6, 13).Draw(t, "scale")))
			fast.Base.Set(b, usd)
			slow.Base.Set(b, usd)
			u.Count[b] = rapid.Int64Range(0, 10_000).Draw(t, "n")
		}
		slow.Base.whole = 0
		x, errX := fast.Rate(u, Query{})
		y, errY := slow.Rate(u, Query{})
		if (errX == nil) != (errY == nil) {
			t.Fatal(errX, errY)
		}
		if errX != nil {
			return
		}
		if x.Total.Cmp(y.Total) != 0 || len(x.Lines) != len(y.Lines) {
			t.Fatalf("%s, %s", x.Total, y.Total)
		}
		for i := range x.Lines {
			a, b := x.Lines[i], y.Lines[i]
			if a.Item != b.Item || a.Amount != b.Amount || a.UnitPrice.Cmp(b.UnitPrice) != 0 || a.Quantity.Cmp(b.Quantity) != 0 || (a.Exact == nil) != (b.Exact == nil) {
				t.Fatalf("%+v, %+v", a, b)
			}
		}
	})
}

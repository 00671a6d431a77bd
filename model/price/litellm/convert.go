package litellm

import (
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// builder turns one entry into a card.
type builder struct {
	entry
	mode     string
	card     *price.Card
	variants map[string]*price.Variant        // flex, priority, batches
	tiers    map[string]map[int64]*price.Tier // per variant, "" for the base card
}

func convert(name string, e entry) *price.Card {
	c := &price.Card{Source: e.text("source")}
	if c.Source == "" {
		c.Source = "LiteLLM price map"
	}
	c.Provider, c.Model = names(name, e.text("litellm_provider"))
	b := builder{entry: e, mode: e.text("mode"), card: c, variants: map[string]*price.Variant{}, tiers: map[string]map[int64]*price.Tier{}}
	c.Facts = price.Facts{
		Mode: b.mode, MaxInput: e.whole("max_input_tokens"), MaxOutput: e.whole("max_output_tokens"),
		Endpoints: e.list("supported_endpoints"), Deprecated: e.text("deprecation_date"),
	}
	for _, k := range slices.Sorted(maps.Keys(e)) {
		if ability, ok := strings.CutPrefix(k, "supports_"); ok {
			if string(e[k]) == "true" {
				c.Facts.Supports = append(c.Facts.Supports, ability)
			}
			continue
		}
		if d, ok := number(e[k]); ok && strings.Contains(k, "cost") && !restatements[k] {
			b.price(k, d)
		}
	}
	b.tieredPricing()
	b.searchPrices(name)
	b.sizedImage(name)
	b.join()
	b.extras()
	b.dropZeros()
	if zero(c) {
		// The source writes 0 both for free and for not known. Only a user can
		// say that a model is free.
		c.Base, c.Tiers, c.ServiceTiers, c.RequestFeeBySize = price.Rates{}, nil, nil, nil
		c.BatchMultiplier, c.Batch, c.GeoMultipliers = nil, nil, nil
		c.Facts.Unrepresented = append(c.Facts.Unrepresented, "all prices are 0 in the source, which is not taken for a price")
	}
	defaults(c)
	sort.Strings(c.Facts.Unrepresented)
	return c
}

// price files one price field.
func (b *builder) price(k string, d money.Decimal) {
	m := variantField.FindStringSubmatch(k)
	bucket, isToken := tokenFields[m[1]]
	switch {
	case !isToken:
		if !b.unit(k, d) && !d.IsZero() {
			b.card.Facts.Unrepresented = append(b.card.Facts.Unrepresented, k)
		}
	case m[2] != "":
		thousands, _ := strconv.ParseInt(m[2], 10, 64)
		b.tier(m[3], thousands*1000).Set(bucket, d)
	case m[3] != "":
		b.variant(m[3]).Set(bucket, d)
	default:
		b.card.Base.Set(bucket, d)
	}
}

func (b *builder) variant(name string) *price.Variant {
	if b.variants[name] == nil {
		b.variants[name] = &price.Variant{}
	}
	return b.variants[name]
}

func (b *builder) tier(variant string, above int64) *price.Tier {
	if b.tiers[variant] == nil {
		b.tiers[variant] = map[int64]*price.Tier{}
	}
	if b.tiers[variant][above] == nil {
		b.tiers[variant][above] = &price.Tier{Above: above}
	}
	return b.tiers[variant][above]
}

// unit files a price that is not per token. What a unit is depends on the mode:
// a second of transcription is heard, a second of video is made.
func (b *builder) unit(k string, d money.Decimal) bool {
	set := func(bucket model.Bucket) bool {
		b.card.Base.Set(bucket, d)
		return true
	}
	image := b.mode == "image_generation" || b.mode == "image_edit"
	switch k {
	case "input_cost_per_character":
		return b.mode == "audio_speech" && set(model.Character)
	case "input_cost_per_second", "output_cost_per_second":
		if b.mode != "audio_transcription" {
			return false
		}
		// Both say the price of the same second; a zero on one side does not
		// make the other free.
		if have, ok := b.card.Base.Get(model.AudioSecond); ok && have.Cmp(d) >= 0 {
			return true
		}
		return set(model.AudioSecond)
	case "input_cost_per_query":
		if b.mode == "rerank" {
			return set(model.SearchUnit)
		}
		return b.mode == "search" && set(model.RequestFee)
	case "input_cost_per_request":
		return set(model.RequestFee)
	case "output_cost_per_image":
		return image && set(model.Image)
	case "input_cost_per_image":
		// Of an image model this is the price of an image made, unless it has
		// one; of others it is the price of an image shown, which has no bucket.
		return image && b.entry["output_cost_per_image"] == nil && set(model.Image)
	}
	return false
}

// tieredPricing reads the list of prices by prompt length. The first range holds
// from zero and is the base card.
func (b *builder) tieredPricing() {
	var list []map[string]json.RawMessage
	if json.Unmarshal(b.entry["tiered_pricing"], &list) != nil {
		return
	}
	for _, item := range list {
		var bounds []json.RawMessage
		if json.Unmarshal(item["range"], &bounds) != nil || len(bounds) == 0 {
			b.card.Facts.Unrepresented = append(b.card.Facts.Unrepresented, "tiered_pricing")
			return
		}
		from, ok := number(bounds[0])
		above, whole := from.Int64()
		if !ok || !whole {
			continue
		}
		rates := &b.card.Base
		if above > 0 {
			rates = &b.tier("", above).Rates
		}
		for _, k := range slices.Sorted(maps.Keys(item)) {
			bucket, isToken := tokenFields[k]
			if d, ok := number(item[k]); ok && isToken {
				rates.Set(bucket, d)
			}
		}
	}
}

// searchPrices reads the price of a search by context size.
func (b *builder) searchPrices(name string) {
	var bySize map[string]json.RawMessage
	if json.Unmarshal(b.entry["search_context_cost_per_query"], &bySize) != nil || len(bySize) == 0 {
		return
	}
	fees := map[string]money.Decimal{}
	var distinct []string
	for k, raw := range bySize {
		if d, ok := number(raw); ok {
			fees[strings.TrimPrefix(k, "search_context_size_")] = d
			if !slices.Contains(distinct, d.String()) {
				distinct = append(distinct, d.String())
			}
		}
	}
	switch {
	case len(fees) == 0:
	case b.card.Base.Has.Has(model.Citation):
		// Perplexity's deep research bills each query.
		b.card.Base.Set(model.SearchQuery, fees["low"])
	case b.card.Provider == "perplexity", len(distinct) > 1:
		// A fee per call: Perplexity's, and that of OpenAI's search models.
		b.card.RequestFeeBySize = fees
	default:
		for _, d := range fees {
			b.card.Base.Set(model.WebSearch, d)
		}
	}
}

// sizedImage turns a price per pixel into one per image where the entry's name
// says the size.
func (b *builder) sizedImage(name string) {
	m := sized.FindStringSubmatch(name)
	if m == nil {
		return
	}
	pixels := func() {
		b.card.Facts.Unrepresented = slices.DeleteFunc(b.card.Facts.Unrepresented, func(s string) bool { return strings.HasSuffix(s, "_per_pixel") })
	}
	if b.card.Base.Has.Has(model.Image) {
		pixels() // the same image's price, said again
		return
	}
	for _, k := range []string{"output_cost_per_pixel", "input_cost_per_pixel"} {
		d, ok := number(b.entry[k])
		if !ok || d.IsZero() {
			continue
		}
		w, _ := strconv.ParseInt(m[1], 10, 64)
		h, _ := strconv.ParseInt(m[2], 10, 64)
		b.card.Base.Set(model.Image, d.Mul(money.Int(w)).Mul(money.Int(h)))
		pixels()
		return
	}
}

// join puts tiers into their variants and variants into the card.
func (b *builder) join() {
	list := func(name string) (out []price.Tier) {
		for _, above := range slices.Sorted(maps.Keys(b.tiers[name])) {
			t := b.tiers[name][above]
			if t.Has != 0 {
				out = append(out, *t)
			}
		}
		return out
	}
	b.card.Tiers = list("")
	for name, v := range b.variants {
		v.Tiers = list(name)
		if name == "batches" {
			b.batch(v)
			continue
		}
		if b.card.ServiceTiers == nil {
			b.card.ServiceTiers = map[string]*price.Variant{}
		}
		b.card.ServiceTiers[name] = v
	}
}

// batch writes batch prices as a multiplier when all are the same multiple of
// the others, which then holds for every token, as the providers say.
func (b *builder) batch(v *price.Variant) {
	var ratio *money.Decimal
	same := len(v.Tiers) == 0
	for bucket := range model.WebSearch {
		batch, ok := v.Get(bucket)
		if !ok {
			continue
		}
		base, ok := b.card.Base.Get(bucket)
		if !ok || base.IsZero() {
			same = same && batch.IsZero()
			continue
		}
		q, exact, err := batch.Quo(base)
		if err != nil || !exact || ratio != nil && ratio.Cmp(q) != 0 {
			same = false
			break
		}
		ratio = &q
	}
	if same && ratio != nil {
		b.card.BatchMultiplier = ratio
		return
	}
	b.card.Batch = v
}

// extras reads multipliers by region and Anthropic's fast mode.
func (b *builder) extras() {
	geo := func(region string, raw json.RawMessage) {
		if d, ok := number(raw); ok && !d.IsZero() {
			if b.card.GeoMultipliers == nil {
				b.card.GeoMultipliers = map[string]money.Decimal{}
			}
			b.card.GeoMultipliers[region] = d
		}
	}
	geo("us", b.entry["regional_processing_uplift_multiplier_us"])
	geo("eu", b.entry["regional_processing_uplift_multiplier_eu"])
	var special map[string]json.RawMessage
	if json.Unmarshal(b.entry["provider_specific_entry"], &special) != nil {
		return
	}
	geo("us", special["us"])
	if d, ok := number(special["fast"]); ok && !d.IsZero() {
		v := &price.Variant{}
		for bucket := range model.WebSearch {
			if base, ok := b.card.Base.Get(bucket); ok {
				v.Set(bucket, base.Mul(d))
			}
		}
		if b.card.ServiceTiers == nil {
			b.card.ServiceTiers = map[string]*price.Variant{}
		}
		b.card.ServiceTiers["fast"] = v
	}
}

// dropZeros takes out zeros that stand beside real prices and cannot be meant:
// free cache reads or writes, and a chat model of which one side is free. The
// model then says so, and such tokens have another price or an unknown cost.
func (b *builder) dropZeros() {
	if zero(b.card) {
		return
	}
	suspects := []model.Bucket{model.CacheRead, model.CacheWrite, model.CacheWrite1h}
	if b.mode == "chat" || b.mode == "responses" || b.mode == "completion" {
		suspects = append(suspects, model.Input, model.Output)
	}
	drop := func(r *price.Rates) {
		for _, bucket := range suspects {
			if d, ok := r.Get(bucket); ok && d.IsZero() {
				r.Unset(bucket)
				note := "a price of 0 for " + bucket.String() + " beside prices that are not"
				if !slices.Contains(b.card.Facts.Unrepresented, note) {
					b.card.Facts.Unrepresented = append(b.card.Facts.Unrepresented, note)
				}
			}
		}
	}
	drop(&b.card.Base)
	for i := range b.card.Tiers {
		drop(&b.card.Tiers[i].Rates)
	}
	for _, v := range b.card.ServiceTiers {
		drop(&v.Rates)
		for i := range v.Tiers {
			drop(&v.Tiers[i].Rates)
		}
	}
}

// zero says that a card has prices and all are zero.
func zero(c *price.Card) bool {
	any, all := false, true
	see := func(r *price.Rates) {
		for b := range model.NumBuckets {
			if d, ok := r.Get(b); ok {
				any, all = true, all && d.IsZero()
			}
		}
	}
	see(&c.Base)
	for i := range c.Tiers {
		see(&c.Tiers[i].Rates)
	}
	for _, v := range c.ServiceTiers {
		see(&v.Rates)
	}
	for _, d := range c.RequestFeeBySize {
		any, all = true, all && d.IsZero()
	}
	return any && all
}

// defaults adds what holds for every provider: kinds of tokens that a price list
// does not name are billed as the plain kind. Cache writes, audio and images
// made have no such rule and stay without a price.
func defaults(c *price.Card) {
	c.Fallback = price.PlainFallback(&c.Base)
	c.Reported = reported(c.Provider)
}

// reported says where a provider's replies state their own cost.
func reported(provider string) *price.ReportedCost {
	switch provider {
	case "openrouter":
		return &price.ReportedCost{Path: "usage.cost", DivideBy: money.Int(1)}
	case "perplexity":
		return &price.ReportedCost{Path: "usage.cost.total_cost", DivideBy: money.Int(1)}
	case "xai":
		return &price.ReportedCost{Path: "usage.cost_in_usd_ticks", DivideBy: money.Int(10_000_000_000)}
	}
	return nil
}

// names splits the map's name of an entry into provider and model.
func names(name, provider string) (string, string) {
	p := provider
	switch {
	case strings.HasPrefix(p, "vertex_ai-"):
		p = "vertex_ai"
	case p == "bedrock_converse":
		p = "bedrock"
	case p == "fireworks_ai-embedding-models":
		p = "fireworks_ai"
	case p == "text-completion-openai":
		p = "openai"
	case p == "azure_text":
		p = "azure"
	case p == "cohere_chat":
		p = "cohere"
	}
	for _, prefix := range []string{provider + "/", p + "/"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return p, rest
		}
	}
	return p, name
}

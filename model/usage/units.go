package usage

import (
	"strings"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// observeSearches counts server-side searches.
func (c *collector) observeSearches(doc *node) {
	// OpenAI Responses: an item per call; only a search costs, opening or
	// searching in a page does not ("Web search", output and citations). The
	// list of the whole reply stands above the items of its events.
	list := doc.get("output").items()
	if list == nil {
		list = doc.at("response", "output").items()
	}
	if len(list) > 0 {
		c.replied, c.searches, c.unnamed = true, nil, 0
		for _, item := range list {
			c.searchItem(item)
		}
	} else if !c.replied && doc.get("type").str() == "response.output_item.done" {
		c.searchItem(doc.get("item"))
	}
	// Gemini: groundingMetadata lists the queries made.
	for _, cand := range doc.get("candidates").items() {
		g := cand.first("groundingMetadata", "grounding_metadata")
		if g == nil {
			continue
		}
		list := g.first("webSearchQueries", "web_search_queries").items()
		if len(list) > 0 || g.first("groundingChunks", "grounding_chunks") != nil {
			c.grounded = true
		}
		for _, q := range list {
			if q.str() != "" {
				if c.queries == nil {
					c.queries = map[string]bool{}
				}
				c.queries[q.text] = true
			}
		}
	}
}

func (c *collector) searchItem(item *node) {
	switch item.get("type").str() {
	case "web_search_call":
		if item.get("status").str() == "failed" {
			return
		}
		if a := item.at("action", "type").str(); a != "" && a != "search" {
			return
		}
		id := item.get("id").str()
		if id == "" {
			c.unnamed++
			return
		}
		if c.searches == nil {
			c.searches = map[string]bool{}
		}
		c.searches[id] = true
	case "file_search_call", "code_interpreter_call", "image_generation_call", "computer_call":
		c.flag(FlagUnmeteredTool)
	}
}

// webSearches is the number of searches that the reply's content shows.
func (c *collector) webSearches() (model.Bucket, int64) {
	if n := int64(len(c.searches)) + c.unnamed; n > 0 {
		return model.WebSearch, n
	}
	if c.grounded {
		// Gemini 3 bills each search query, earlier models each grounded
		// prompt (Google, "Gemini API pricing", Grounding with Google Search).
		n := int64(1)
		if !olderGemini(c.ctx.Model) && len(c.queries) > 0 {
			n = int64(len(c.queries))
		}
		if c.ctx.Priced.Has(model.SearchQuery) && !c.ctx.Priced.Has(model.WebSearch) {
			return model.SearchQuery, max(n, int64(len(c.queries)))
		}
		return model.WebSearch, n
	}
	// OpenAI's search models in chat completions search once per call and show
	// no item for it.
	if (c.provider == "openai" || c.provider == "azure") && c.surface == "chat.completions" && c.text &&
		(c.ctx.Priced == 0 || c.ctx.Priced.Has(model.WebSearch)) &&
		(strings.Contains(c.ctx.Model, "-search-preview") || strings.Contains(c.ctx.Model, "-search-api")) {
		return model.WebSearch, 1
	}
	return model.WebSearch, 0
}

func olderGemini(name string) bool {
	return strings.Contains(name, "gemini-1") || strings.Contains(name, "gemini-2") || strings.Contains(name, "gemini-pro")
}

// plainImages leaves image tokens with the text where the provider has one price
// for both and the card names no price of images: then they are plain input.
func (c *collector) plainImages(k *counts) {
	onePrice := false
	switch c.provider {
	case "gemini", "vertex", "xai":
		onePrice = true
	case "qwen":
		// The vision models have one input price, the omni models one for each kind.
		onePrice = !strings.Contains(c.ctx.Model, "omni")
	}
	if onePrice && k != nil && c.ctx.Priced != 0 && !c.ctx.Priced.Has(model.InputImage) {
		k.image = count{}
		delete(k.cachedOf, model.CacheReadImage)
	}
}

// documentsASearch is how many documents one search unit of Cohere's rerank
// covers (Cohere, "How Does Cohere's Pricing Work?", 2026).
const documentsASearch = 100

// guessSearches estimates the search units of a rerank whose reply does not
// state them, by the documents of the request.
func (c *collector) guessSearches() *counts {
	n := (len(c.request.get("documents").items()) + documentsASearch - 1) / documentsASearch
	k := &counts{}
	k.flag(FlagNoUsage)
	k.unit(model.SearchUnit, count{n: int64(max(n, 1)), state: stated})
	return k
}

// media adds the units that a reply shows without a usage object, and drops
// those tokens that only restate them.
func (c *collector) media(k *counts) *counts {
	priced := c.ctx.Priced
	if n := c.usage.at("billed_units", "images"); n != nil && priced.Has(model.Image) {
		k = &counts{}
		k.unit(model.Image, k.read(n)) // Cohere embeds images at a price each
		return k
	}
	ensure := func() {
		if k == nil {
			k = &counts{}
		}
	}
	switch {
	case c.transcribes():
		seconds := c.seconds()
		if k != nil && k.seconds != nil {
			seconds = k.seconds
		}
		tokens := k != nil && k.usesTokens() && !k.allZero()
		switch {
		case seconds == nil:
		case !tokens, priced.Has(model.AudioSecond) && !priced.Has(model.Input) && !priced.Has(model.InputAudio):
			ensure()
			if k.seconds == nil {
				k.seconds = seconds
			}
			k.prompt, k.completion, k.audio = count{}, count{}, count{}
		}
	case c.outputBucket() == model.OutputAudio:
		text := c.request.first("input", "text").str()
		byCharacter := priced.Has(model.Character) || priced == 0 && !strings.HasPrefix(c.ctx.Model, "gpt-")
		if text != "" && byCharacter && (k == nil || !priced.Has(model.Input) && priced != 0) {
			k = &counts{}
			k.unit(model.Character, count{n: runes(text), state: stated})
		} else if text == "" && byCharacter && k == nil {
			k = &counts{}
			k.unit(model.Character, k.read(c.request.first("input_characters", "characters")))
			if !k.usesUnits() {
				k = nil
			}
		}
	case c.outputBucket() == model.OutputImage:
		if c.images == 0 {
			break
		}
		byToken := k != nil && k.usesTokens() && !k.allZero()
		if byToken && priced.Has(model.Image) && !priced.Has(model.OutputImage) && !priced.Has(model.Output) {
			byToken = false
		}
		// Tokens that are not stated are estimated like any others where somebody
		// can; this package cannot count the tokens of an image itself.
		estimable := !priced.Has(model.Image) && priced.Has(model.OutputImage) &&
			c.ctx.Estimate != nil && c.ctx.Estimate.Completion != nil
		if !byToken && !estimable {
			k = &counts{}
			k.unit(model.Image, count{n: c.images, state: stated})
		}
	}
	return k
}

// transcribes says that the surface turns audio into text.
func (c *collector) transcribes() bool {
	switch c.surface {
	case "audio.transcriptions", "audio.translations", "transcribe":
		return true
	}
	return false
}

// outputBucket is the kind of token that the surface puts out.
func (c *collector) outputBucket() model.Bucket {
	switch c.surface {
	case "audio.speech", "speech", "speak":
		return model.OutputAudio
	case "images", "images.generations", "images.edits", "images.variations", "image", "generateImages", "predict":
		return model.OutputImage
	}
	return model.Output
}

// maxInput is the most prompt tokens that the request or the model allows.
func (c *collector) maxInput() int64 {
	most := c.ctx.MaxInput
	for _, key := range []string{"max_prompt_tokens", "max_input_tokens"} {
		if d, ok := c.request.get(key).decimal(); ok {
			if v, ok := d.Int64(); ok && v > 0 && (most == 0 || v < most) {
				most = v
			}
		}
	}
	return most
}

// seconds is the length of transcribed audio as the reply states it.
func (c *collector) seconds() *money.Decimal {
	for _, n := range []*node{
		c.usage.get("seconds"), c.duration,
		c.request.first("audio_seconds", "duration_seconds", "audio_duration_seconds", "audio_duration", "duration", "seconds"),
	} {
		if d, ok := n.decimal(); ok && d.Sign() > 0 {
			return &d
		}
	}
	if items := c.segments.items(); len(items) > 0 {
		if d, ok := items[len(items)-1].get("end").decimal(); ok && d.Sign() > 0 {
			return &d
		}
	}
	return nil
}

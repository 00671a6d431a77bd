package price

import (
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Bounds on the tokens of one media item, for admission.
const (
	// ImageTokens bounds the prompt tokens of one image. The dearest published
	// rule is that of gpt-4o-mini: 2,833 tokens and 5,667 for each of at most 8
	// tiles of a high-detail image, 48,169 in all (OpenAI, "Images and vision",
	// read in November 2026).
	ImageTokens = 50_000
	// AudioTokens and FileTokens bound one audio part and one file. No
	// provider's context window is longer than this today, so neither can be.
	AudioTokens = 2_000_000
	FileTokens  = 2_000_000
)

// Limits are what a request can consume at most.
type Limits struct {
	Prompt int64 // prompt tokens of text
	// MaxOutput is the output limit of one choice; negative when the request
	// sets none, which stands for the model's own maximum.
	MaxOutput int64
	Choices   int
	// Images, Audio and Files count media parts of the prompt.
	Images, Audio, Files int
	// Units are bounds on units: searches, images made, seconds, characters.
	Units map[model.Bucket]money.Decimal
}

// bounds are the highest prices of a card, in USD for one token or unit.
type bounds struct {
	text, audio, image, file, output money.Decimal
	textOK, audioOK, imageOK, outOK  bool
	unit                             Rates
	open                             bool // consumption that no limit bounds
}

func maxOf(a, b money.Decimal) money.Decimal {
	if a.Cmp(b) >= 0 {
		return a
	}
	return b
}

// highest computes the bounds once.
func (c *Card) highest() *bounds {
	c.once.Do(func() {
		scale := money.Int(1)
		if c.BatchMultiplier != nil {
			scale = maxOf(scale, *c.BatchMultiplier)
		}
		geo := money.Int(1)
		for _, g := range c.GeoMultipliers {
			geo = maxOf(geo, g)
		}
		scale = scale.Mul(geo)
		h := &c.limits
		h.textOK, h.audioOK, h.imageOK, h.outOK = true, true, true, true
		fold := func(r *Rates) {
			top := func(m *money.Decimal, ok *bool, need bool, buckets ...model.Bucket) {
				for _, b := range buckets {
					if from, priced := c.fallback(r, b); priced {
						*m = maxOf(*m, r.USD[from].Mul(scale))
					} else if need && b == buckets[0] {
						*ok = false
					}
				}
			}
			top(&h.text, &h.textOK, true, model.Input, model.CacheRead, model.CacheWrite, model.CacheWrite1h)
			top(&h.audio, &h.audioOK, true, model.InputAudio, model.CacheReadAudio)
			top(&h.image, &h.imageOK, true, model.InputImage, model.CacheReadImage)
			top(&h.output, &h.outOK, true, model.Output, model.Reasoning, model.OutputAudio, model.OutputImage)
			for b := model.WebSearch; b < model.NumBuckets; b++ {
				if from, ok := c.fallback(r, b); ok {
					h.unit.Set(b, maxOf(h.unit.USD[b], r.USD[from]))
				}
			}
			if r.Has.Has(model.Citation) {
				h.open = true
			}
		}
		base := c.Base
		fold(&base)
		c.variants(func(v *Rates) {
			// A variant keeps the unit prices that it does not name.
			r := c.Base
			r.replace(v)
			fold(&r)
		})
		for _, fee := range c.RequestFeeBySize {
			h.unit.Set(model.RequestFee, maxOf(h.unit.USD[model.RequestFee], fee))
		}
		// Media without a price of their own are billed as text by the
		// providers that do not tell them apart.
		h.audio, h.image = maxOf(h.audio, h.text), maxOf(h.image, h.text)
		h.audioOK, h.imageOK = h.audioOK || h.textOK, h.imageOK || h.textOK
		h.file = maxOf(h.text, h.image)
	})
	return &c.limits
}

// BoundOf is an upper bound of what a request within l can cost, over the base
// card and all its tiers, windows, modes, cache buckets, fallbacks and
// multipliers; ok is false when no bound is known: a price or a limit is
// missing, or the provider bills something that no limit bounds.
func (c *Card) BoundOf(l Limits) (usd money.Decimal, ok bool) {
	h := c.highest()
	choices := int64(max(l.Choices, 1))
	if l.MaxOutput < 0 {
		if c.Facts.MaxOutput <= 0 {
			return usd, false
		}
		l.MaxOutput = c.Facts.MaxOutput
	}
	if h.open || l.Prompt > 0 && !h.textOK || l.Audio > 0 && !h.audioOK ||
		(l.Images > 0 || l.Files > 0) && !h.imageOK || l.MaxOutput > 0 && !h.outOK {
		return usd, false
	}
	media := func(n int, each int64, price money.Decimal) {
		if n > 0 {
			if c.Facts.MaxInput > 0 {
				each = min(each, c.Facts.MaxInput)
			}
			usd = usd.Add(money.Int(int64(n)).Mul(money.Int(each)).Mul(price))
		}
	}
	usd = money.Int(max(l.Prompt, 0)).Mul(h.text)
	media(l.Images, ImageTokens, h.image)
	media(l.Audio, AudioTokens, h.audio)
	media(l.Files, FileTokens, h.file)
	usd = usd.Add(money.Int(l.MaxOutput).Mul(money.Int(choices)).Mul(h.output))
	if fee, priced := h.unit.Get(model.RequestFee); priced {
		n := money.Int(1)
		if floor, ok := c.MinimumUnits[model.RequestFee]; ok {
			n = maxOf(n, floor)
		}
		usd = usd.Add(n.Mul(fee))
	}
	for b, n := range l.Units {
		if b == model.RequestFee || n.Sign() <= 0 {
			continue
		}
		price, priced := h.unit.Get(b)
		if !priced {
			return usd, false
		}
		if floor, ok := c.MinimumUnits[b]; ok {
			n = maxOf(n, floor)
		}
		usd = usd.Add(n.Mul(price))
	}
	return usd, true
}

// Bound is BoundOf for a chat, rounded up to the ledger's unit. maxOutput is the
// output limit of one choice: 0 for none at all (embeddings), negative when the
// request sets no limit, which stands for the model's own maximum.
func (c *Card) Bound(promptTokens, maxOutput int64, choices, images, audio, files int) (money.Pico, bool) {
	usd, ok := c.BoundOf(Limits{Prompt: promptTokens, MaxOutput: maxOutput, Choices: choices, Images: images, Audio: audio, Files: files})
	if !ok {
		return 0, false
	}
	return ceilPico(usd)
}

// ceilPico rounds up. Each line is rounded half to even on its own, so the sum
// of lines can exceed the exact total by half a picodollar per line; the bound
// covers that.
func ceilPico(usd money.Decimal) (money.Pico, bool) {
	p, exact, err := usd.Pico()
	if err != nil {
		return 0, false
	}
	if exact && p == 0 {
		return 0, true
	}
	p, err = p.Add(money.Pico(model.NumBuckets))
	return p, err == nil
}

// MaxOutputFor is the largest output limit per choice with which Bound stays
// within budget, 0 when none does. ok is false when no bound is known, or when
// output costs nothing, so that a budget sets no limit.
func (c *Card) MaxOutputFor(budget money.Pico, promptTokens int64, choices, images, audio, files int) (n int64, ok bool) {
	fixed, known := c.Bound(promptTokens, 0, choices, images, audio, files)
	h := c.highest()
	if !known || !h.outOK || h.output.IsZero() {
		return 0, false
	}
	left := budget - fixed - money.Pico(model.NumBuckets)
	if fixed > budget || left <= 0 {
		return 0, true
	}
	each := h.output.Mul(money.Int(int64(max(choices, 1))))
	q, _, err := left.Decimal().Quo(each)
	if err != nil {
		return 0, false
	}
	whole, _, err := q.Shift(-12).Pico() // rounds to whole tokens
	if err != nil {
		return 1 << 62, true
	}
	n = int64(whole)
	for n > 0 {
		if p, ok := c.Bound(promptTokens, n, choices, images, audio, files); ok && p <= budget {
			break
		}
		n--
	}
	return n, true
}

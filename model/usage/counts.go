package usage

import (
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// count is one number of a reply.
type count struct {
	n     int64
	state countState
}

type countState uint8

const (
	missing countState = iota // not stated
	stated
	refused // stated, but it cannot be true
)

// counts are the numbers of a reply in the provider's own terms, with the
// convention resolved: which details lie inside their totals.
type counts struct {
	prompt     count // all prompt tokens, or only the plain ones when outside
	outside    bool  // cache reads and writes lie beside prompt, not in it
	cached     count
	write      count // to a five-minute or default cache
	write1h    count
	audio      count // audio and image part of the prompt
	image      count
	cachedOf   map[model.Bucket]count // how cached splits, when stated
	extraInput count                  // prompt tokens that lie beside the total

	completion       count
	reasoning        count
	reasoningOutside bool
	// reasoningUnbounded says that the output limit does not bind reasoning.
	reasoningUnbounded bool
	outAudio           count
	outImage           count

	citation count
	units    map[model.Bucket]count
	seconds  *money.Decimal

	flags []string
}

func (k *counts) flag(name string) { k.flags = append(k.flags, name) }

// unit sets the quantity of a unit that is not zero.
func (k *counts) unit(b model.Bucket, n count) {
	if n.state == missing || n.state == stated && n.n == 0 {
		return
	}
	if k.units == nil {
		k.units = map[model.Bucket]count{}
	}
	k.units[b] = n
}

// read turns a number of the reply into a count. A count that is negative or no
// whole number is not believed.
func (k *counts) read(n *node) count {
	if n == nil || n.kind == '0' {
		return count{}
	}
	if v, ok := n.small(); ok && v <= maxCount {
		return count{n: v, state: stated}
	}
	d, ok := n.decimal()
	if !ok {
		if n.kind == 'n' {
			k.flag(FlagNotANumber)
			return count{state: refused}
		}
		return count{}
	}
	if d.Sign() < 0 {
		k.flag(FlagNegative)
		return count{state: refused}
	}
	v, ok := d.Int64()
	if !ok || v > maxCount {
		k.flag(FlagNotANumber)
		return count{state: refused}
	}
	return count{n: v, state: stated}
}

// maxCount is above any consumption that one call can have; sums of a few such
// counts still fit an int64.
const maxCount = 1 << 50

// either is the first count that is stated, else the first that is refused.
func either(cs ...count) count {
	var bad count
	for _, c := range cs {
		switch c.state {
		case stated:
			return c
		case refused:
			bad = c
		}
	}
	return bad
}

// most is the largest of several statements of the same thing.
func most(cs ...count) count {
	best := either(cs...)
	for _, c := range cs {
		if c.state == stated && c.n > best.n {
			best = c
		}
	}
	return best
}

// sum adds counts that are parts of one whole; missing parts are no part.
func sum(cs ...count) (total count) {
	for _, c := range cs {
		switch c.state {
		case stated:
			total.n += c.n
			if total.state == missing {
				total.state = stated
			}
		case refused:
			total.state = refused
		}
	}
	if total.state == refused {
		total.n = 0
	}
	return total
}

// environment is what is known of the call besides the reply's numbers.
type environment struct {
	text       bool         // the reply has output
	cut        bool         // the reply did not come to its own end
	failed     bool         // the reply is an error and nothing else: nothing was consumed
	noOutput   bool         // the surface has no completion (embeddings, rerank)
	in, out    model.Bucket // where estimates go: text but for audio and image surfaces
	maxOutput  int64
	maxInput   int64
	prompt     func() int64
	completion func() int64
}

// assemble makes disjoint buckets of the counts, estimating what is missing or
// not believed. k is nil when the reply states no usage at all.
func assemble(k *counts, env *environment) *model.Usage {
	u := &model.Usage{}
	if k == nil {
		if env.failed {
			return u
		}
		k = &counts{}
		u.Flag(FlagNoUsage)
	}
	for _, f := range k.flags {
		u.Flag(f)
	}
	if env.text && k.allZero() {
		u.Flag(FlagZeroWithText)
		k.prompt, k.completion = count{}, count{}
	}
	a := assembler{u: u, k: k, env: env}
	if k.usesTokens() || !k.usesUnits() {
		a.prompt()
		if !env.noOutput {
			a.output()
		}
	}
	a.put(model.Citation, k.citation)
	for b, n := range k.units {
		a.put(b, n)
	}
	if k.seconds != nil {
		u.Seconds = *k.seconds
	}
	return u
}

// allZero says that every token number that is stated is zero, and one is.
func (k *counts) allZero() bool {
	any := false
	for _, c := range []count{k.prompt, k.completion, k.cached, k.write, k.write1h, k.reasoning, k.extraInput, k.citation} {
		if c.state == refused || c.n != 0 {
			return false
		}
		any = any || c.state == stated
	}
	return any && !k.usesUnits()
}

// usesTokens says that the reply counts tokens.
func (k *counts) usesTokens() bool {
	return k.prompt.state != missing || k.completion.state != missing ||
		k.cached.state != missing || k.write.state != missing
}

// usesUnits says that the reply is billed by duration, image, search unit or
// character, which make up a whole bill without any token.
func (k *counts) usesUnits() bool {
	if k.seconds != nil {
		return true
	}
	for b := range k.units {
		if b == model.Image || b == model.SearchUnit || b == model.Character {
			return true
		}
	}
	return false
}

type assembler struct {
	u   *model.Usage
	k   *counts
	env *environment
}

func (a *assembler) put(b model.Bucket, c count) {
	switch c.state {
	case stated:
		a.u.Count[b] += c.n
	case refused:
		a.u.Estimated = a.u.Estimated.With(b)
	}
}

// part takes a detail out of what is left of its total: larger than that, it is
// clamped and flagged; not believed, it is taken as absent and marked.
func (a *assembler) part(b model.Bucket, c count, left *int64) int64 {
	if c.state == refused {
		a.u.Estimated = a.u.Estimated.With(b)
	}
	n := c.n
	if n > *left {
		a.u.Flag(FlagDetailClamped)
		n = *left
	}
	*left -= n
	return n
}

// estimate sets a bucket and marks it. An estimate of nothing in the place of a
// number that was not stated is no estimate; in the place of one that was not
// believed it is.
func (a *assembler) estimate(b model.Bucket, n int64, of count) {
	n = max(n, 0)
	a.u.Count[b] += n
	if n > 0 || of.state == refused {
		a.u.Estimated = a.u.Estimated.With(b)
	}
}

func (a *assembler) prompt() {
	k, u := a.k, a.u
	total := k.prompt
	if total.state == stated && a.env.maxInput > 0 && total.n > a.env.maxInput {
		u.Flag(FlagAboveMax)
		total = count{state: refused}
	}
	estimated := total.state != stated
	if k.outside {
		// The plain tokens stand alone; reads and writes lie beside them.
		read, write, hour := a.beside(model.CacheRead, k.cached), a.beside(model.CacheWrite, k.write), a.beside(model.CacheWrite1h, k.write1h)
		if estimated {
			a.estimate(a.env.in, a.env.prompt()-read-write-hour, total)
		} else {
			u.Count[model.Input] += total.n
		}
		return
	}
	if estimated {
		total.n = max(a.env.prompt(), 0)
	}
	left := total.n
	audio := a.part(model.InputAudio, k.audio, &left)
	image := a.part(model.InputImage, k.image, &left)
	text := left

	// Which of the tokens were cached. A split by modality counts when it is
	// stated; otherwise text comes first, since only what exceeds the text can
	// be known to be audio or image.
	whole := total.n
	cached := a.part(model.CacheRead, k.cached, &whole)
	var ofAudio, ofImage int64
	if k.cachedOf != nil {
		ofAudio = min(k.cachedOf[model.CacheReadAudio].n, audio, cached)
		ofImage = min(k.cachedOf[model.CacheReadImage].n, image, cached-ofAudio)
	}
	ofText := min(cached-ofAudio-ofImage, text)
	more := min(cached-ofAudio-ofImage-ofText, audio-ofAudio)
	ofAudio += more
	ofImage += cached - ofAudio - ofImage - ofText

	// Cache writes are taken from what was not read: text, then other media.
	write := a.part(model.CacheWrite, k.write, &whole)
	hour := a.part(model.CacheWrite1h, k.write1h, &whole)
	plain := text - ofText
	over := write + hour - min(plain, write+hour)
	plain -= write + hour - over
	audioLeft := audio - ofAudio
	fromAudio := min(over, audioLeft)
	audioLeft -= fromAudio
	imageLeft := image - ofImage - (over - fromAudio)

	u.Count[model.CacheRead] += ofText
	u.Count[model.CacheReadAudio] += ofAudio
	u.Count[model.CacheReadImage] += ofImage
	u.Count[model.CacheWrite] += write
	u.Count[model.CacheWrite1h] += hour
	u.Count[model.InputAudio] += audioLeft
	u.Count[model.InputImage] += imageLeft
	if estimated {
		a.estimate(a.env.in, plain, total)
	} else {
		u.Count[model.Input] += plain
	}
	a.put(model.Input, k.extraInput)
}

// beside is a detail that lies beside its total.
func (a *assembler) beside(b model.Bucket, c count) int64 {
	a.put(b, c)
	return c.n
}

func (a *assembler) output() {
	k, u, env := a.k, a.u, a.env
	total := k.completion
	limited := total.n
	if k.reasoningUnbounded && !k.reasoningOutside {
		limited -= min(k.reasoning.n, total.n)
	}
	if total.state == stated && env.maxOutput > 0 && limited > env.maxOutput {
		u.Flag(FlagAboveMax)
		total = count{state: refused}
	}
	if total.state == stated && total.n == 0 && env.text && k.reasoning.n == 0 {
		// Text is at least a token, so this zero is a number nobody counted.
		u.Flag(FlagZeroWithText)
		total = count{}
	}
	if k.reasoningOutside {
		if env.maxOutput > 0 && k.reasoning.n > env.maxOutput && !k.reasoningUnbounded {
			u.Flag(FlagAboveMax)
			k.reasoning = count{state: refused}
		}
		a.put(model.Reasoning, k.reasoning)
	}
	if total.state == stated {
		left := total.n
		u.Count[model.OutputAudio] += a.part(model.OutputAudio, k.outAudio, &left)
		u.Count[model.OutputImage] += a.part(model.OutputImage, k.outImage, &left)
		if !k.reasoningOutside {
			u.Count[model.Reasoning] += a.part(model.Reasoning, k.reasoning, &left)
		}
		u.Count[model.Output] += left
		return
	}
	if total.state == missing && k.prompt.state != missing && !env.text && !env.cut {
		return // a reply without output, in a format that leaves zeros out
	}
	n := max(env.completion(), 0)
	if env.maxOutput > 0 && n > env.maxOutput {
		u.Flag(FlagCapped)
		n = env.maxOutput
	}
	a.estimate(a.env.out, n, total)
}

package usage

import (
	"strings"
	"sync"

	"github.com/tiktoken-go/tokenizer"
)

// codecs are the offline vocabularies, each built on first use (some tens of
// milliseconds).
var (
	o200k  = sync.OnceValue(func() tokenizer.Codec { return codec(tokenizer.O200kBase) })
	cl100k = sync.OnceValue(func() tokenizer.Codec { return codec(tokenizer.Cl100kBase) })
)

func codec(e tokenizer.Encoding) tokenizer.Codec {
	c, err := tokenizer.Get(e)
	if err != nil {
		return nil
	}
	return c
}

// bytesPerToken is the coarse rate used for very long texts and when no
// vocabulary can be had: about 4 bytes of English a token.
const bytesPerToken = 4

// maxCounted bounds the bytes that are tokenized in full; beyond, the count of
// that part is scaled up.
const maxCounted = 1 << 20

// CountTokens estimates how many tokens a text has for a model. OpenAI's models
// are counted with their own vocabularies: cl100k_base for gpt-4, gpt-3.5 and
// text-embedding, o200k_base for all later ones. For other makers' models, whose
// vocabularies are not at hand, o200k_base stands in: on English, code and
// Chinese it lies within about a fifth of theirs, and whatever is counted this
// way is marked as estimated.
func CountTokens(model, text string) int {
	if text == "" {
		return 0
	}
	counted := text
	if len(counted) > maxCounted {
		counted = strings.ToValidUTF8(counted[:maxCounted], "")
	}
	c := o200k()
	if usesCL100K(model) {
		c = cl100k()
	}
	n := 0
	if c != nil {
		n, _ = c.Count(counted)
	}
	if n == 0 {
		n = (len(counted) + bytesPerToken - 1) / bytesPerToken
	}
	if len(text) > len(counted) {
		n = int(int64(n) * int64(len(text)) / int64(len(counted)))
	}
	return n
}

func usesCL100K(model string) bool {
	if i := strings.LastIndexByte(model, '/'); i >= 0 {
		model = model[i+1:]
	}
	for _, p := range []string{"gpt-3.5", "gpt-35", "text-embedding-", "ft:gpt-3.5", "ft:gpt-4:", "ft:gpt-4-"} {
		if strings.HasPrefix(model, p) {
			return true
		}
	}
	return model == "gpt-4" || strings.HasPrefix(model, "gpt-4-")
}

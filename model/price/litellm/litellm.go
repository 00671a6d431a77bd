// Package litellm reads the price map of the LiteLLM project (BerriAI/litellm,
// MIT) as price cards. Every amount is taken by its literal text, so no float
// comes between the source and the book. What a card cannot express is listed
// with the card and in the report, never left out silently.
package litellm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// ErrFormat is returned for data that is no price map.
var ErrFormat = errors.New("not a LiteLLM price map")

// Report says what became of the entries.
type Report struct {
	Entries  int
	Cards    int
	Unpriced []string // entries without any usable price
	// Unrepresented maps each entry to the fields that a card cannot express.
	Unrepresented map[string][]string
	// Collisions are entries that another entry of the same name stood before.
	Collisions []string
	// History are entries whose dated history does not end at the map's price.
	History []string
}

type entry map[string]json.RawMessage

// Parse reads the map. date is the day of the map; history is the derived table
// of dated changes and may be nil.
func Parse(mapJSON []byte, history io.Reader, date time.Time) ([]*price.Card, *Report, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(mapJSON, &raw); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	changes, err := readHistory(history)
	if err != nil {
		return nil, nil, err
	}
	rep := &Report{Unrepresented: map[string][]string{}}
	byKey := map[string]*price.Card{}
	var cards []*price.Card
	names := make([]string, 0, len(raw))
	for name := range raw {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		var e entry
		if name == "sample_spec" || json.Unmarshal(raw[name], &e) != nil || e.text("litellm_provider") == "" {
			continue
		}
		rep.Entries++
		c := convert(name, e)
		if n := len(c.Facts.Unrepresented); n > 0 {
			rep.Unrepresented[name] = c.Facts.Unrepresented
		}
		if c.Base.Has == 0 && len(c.RequestFeeBySize) == 0 && len(c.ServiceTiers) == 0 {
			rep.Unpriced = append(rep.Unpriced, name)
		}
		k := c.Provider + "/" + c.Model
		if have := byKey[k]; have != nil {
			rep.Collisions = append(rep.Collisions, name)
			if len(have.AppendJSON(nil)) >= len(c.AppendJSON(nil)) {
				continue
			}
			cards = slices.DeleteFunc(cards, func(x *price.Card) bool { return x.Provider == c.Provider && x.Model == c.Model })
		}
		byKey[k] = c
		cards = append(cards, dated(c, name, changes[name], date, rep)...)
		delete(changes, name)
	}
	for _, name := range gone(changes) {
		cards = append(cards, retired(name, changes[name], byKey, date)...)
	}
	for _, c := range cards {
		stamp(c, date)
	}
	rep.Cards = len(cards)
	return cards, rep, nil
}

// stamp gives a card its version for good.
func stamp(c *price.Card, date time.Time) {
	c.Version = "catalog-" + date.Format(time.DateOnly) + "/" + c.Provider + "/" + c.Model
	if !c.From.IsZero() {
		c.Version += "@" + c.From.Format(time.DateOnly)
	}
}

func (e entry) text(key string) string {
	var s string
	if json.Unmarshal(e[key], &s) != nil {
		return ""
	}
	return s
}

// number is the exact value of a number; ok is false when there is none, or
// when it is negative.
func number(raw json.RawMessage) (money.Decimal, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == '"' || string(raw) == "null" {
		return money.Decimal{}, false
	}
	d, err := money.ParseDecimal(string(raw))
	return d, err == nil && d.Sign() >= 0
}

func (e entry) whole(key string) int64 {
	d, _ := number(e[key])
	n, _ := d.Int64()
	return n
}

func (e entry) list(key string) []string {
	var l []string
	if json.Unmarshal(e[key], &l) != nil {
		return nil
	}
	return l
}

// tokenFields are the prices per token, without the suffix of a variant.
var tokenFields = map[string]model.Bucket{
	"input_cost_per_token":                      model.Input,
	"cache_read_input_token_cost":               model.CacheRead,
	"cache_creation_input_token_cost":           model.CacheWrite,
	"cache_creation_input_token_cost_above_1hr": model.CacheWrite1h,
	"input_cost_per_audio_token":                model.InputAudio,
	"cache_read_input_audio_token_cost":         model.CacheReadAudio,
	"input_cost_per_image_token":                model.InputImage,
	"output_cost_per_token":                     model.Output,
	"output_cost_per_reasoning_token":           model.Reasoning,
	"output_cost_per_audio_token":               model.OutputAudio,
	"output_cost_per_image_token":               model.OutputImage,
	"citation_cost_per_token":                   model.Citation,
}

// restatements are fields that say again, in another unit, what another field
// says, or that are no prices.
var restatements = map[string]bool{
	"input_cost_per_token_cache_hit": true, // DeepSeek: cache_read_input_token_cost
	"input_dbu_cost_per_token":       true, // Databricks: the same in its own units
	"output_dbu_cost_per_token":      true,
}

// variantField splits a field such as
// cache_read_input_token_cost_above_200k_tokens_priority into its bucket, the
// threshold (0 for none) and the variant ("" for the base card).
var variantField = regexp.MustCompile(`^(.*?)(?:_above_(\d+)k_tokens)?(?:_(flex|priority|batches))?$`)

// sized is the prefix of entries that price one image size.
var sized = regexp.MustCompile(`(?:^|/)(\d+)-x-(\d+)/`)

// Wildcards are cards for any model of the providers whose replies state their
// own cost. They price nothing else.
func Wildcards(date time.Time) []*price.Card {
	var cards []*price.Card
	for _, p := range []string{"openrouter", "perplexity", "xai"} {
		c := &price.Card{Provider: p, Model: "*", From: date, FromOnOrBefore: true, Source: "the cost that the reply states", Reported: reported(p)}
		stamp(c, date)
		cards = append(cards, c)
	}
	return cards
}

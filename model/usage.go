package model

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"

	"github.com/stratahq/strata/money"
)

// Bucket is one kind of consumption. Buckets are disjoint: a token or unit is
// in exactly one of them, whatever the provider's own convention. The names are
// the same everywhere in Strata: wire, ledger, command line, console.
type Bucket uint8

// The buckets. The first eight make up the prompt; the token buckets are priced
// per million tokens, the others per unit.
const (
	Input          Bucket = iota // plain prompt tokens
	CacheRead                    // prompt tokens read from a cache
	CacheWrite                   // prompt tokens written to a cache (default or 5 minutes)
	CacheWrite1h                 // prompt tokens written to a one-hour cache
	InputAudio                   // audio prompt tokens
	CacheReadAudio               // audio prompt tokens read from a cache
	InputImage                   // image prompt tokens
	CacheReadImage               // image prompt tokens read from a cache
	Output                       // output tokens: text, tool calls, predictions
	Reasoning                    // hidden or shown thinking tokens
	OutputAudio                  // audio output tokens
	OutputImage                  // image output tokens
	Citation                     // citation tokens (Perplexity)
	WebSearch                    // server-side web searches
	SearchQuery                  // search queries (Perplexity)
	SearchUnit                   // search units (Cohere rerank)
	RequestFee                   // a fee per request
	Image                        // images made
	AudioSecond                  // seconds of audio; may be fractional
	Character                    // characters of text (speech)
	NumBuckets

	numPromptBuckets = Output
	numTokenBuckets  = WebSearch
)

var bucketNames = [NumBuckets]string{
	"input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "cache_read_audio",
	"input_image", "cache_read_image", "output", "reasoning", "output_audio", "output_image", "citation",
	"web_search", "search_query", "search_unit", "request", "image", "audio_second", "character",
}

// String is the bucket's name.
func (b Bucket) String() string {
	if b < NumBuckets {
		return bucketNames[b]
	}
	return fmt.Sprintf("bucket(%d)", uint8(b))
}

// ParseBucket finds a bucket by name.
func ParseBucket(name string) (Bucket, bool) {
	i := slices.Index(bucketNames[:], name)
	return Bucket(max(i, 0)), i >= 0
}

// IsToken says that the bucket counts tokens, priced per million.
func (b Bucket) IsToken() bool { return b < numTokenBuckets }

// IsPrompt says that the bucket is part of the prompt total.
func (b Bucket) IsPrompt() bool { return b < numPromptBuckets }

// BucketSet is a set of buckets.
type BucketSet uint32

// With returns the set with b in it.
func (s BucketSet) With(b Bucket) BucketSet { return s | 1<<b }

// Has reports whether b is in the set.
func (s BucketSet) Has(b Bucket) bool { return s&(1<<b) != 0 }

// Names lists the members in bucket order.
func (s BucketSet) Names() []string {
	names := make([]string, 0, bits.OnesCount32(uint32(s)))
	for b := range NumBuckets {
		if s.Has(b) {
			names = append(names, b.String())
		}
	}
	return names
}

// Usage is what an answer consumed, in disjoint buckets. A *Usage that is nil
// is unknown, which is never the same as zero.
type Usage struct {
	// Count holds whole numbers per bucket. AudioSecond is in Seconds instead.
	Count [NumBuckets]int64
	// Seconds is the exact quantity of AudioSecond.
	Seconds money.Decimal

	// Estimated are the buckets where an estimate stands in for a number that
	// the provider did not state, or that was not believed.
	Estimated BucketSet
	// Flags name what was odd about the reply's numbers, such as
	// "detail_exceeds_total"; sorted, without duplicates.
	Flags []string

	// ProviderCost is the cost in USD that the reply itself states, if any.
	ProviderCost *money.Decimal
	// ServiceTier, CacheType and Geography are the facts of the reply on which
	// prices can depend; "" when not stated.
	ServiceTier string
	CacheType   string
	Geography   string
}

// Quantity is the exact quantity of a bucket.
func (u *Usage) Quantity(b Bucket) money.Decimal {
	if b == AudioSecond {
		return u.Seconds
	}
	return money.Int(u.Count[b])
}

// Prompt is the number of prompt tokens: the sum of the first eight buckets.
func (u *Usage) Prompt() int64 {
	var n int64
	for b := range numPromptBuckets {
		n += u.Count[b]
	}
	return n
}

// Completion is the number of output tokens of every kind but citations.
func (u *Usage) Completion() int64 {
	return u.Count[Output] + u.Count[Reasoning] + u.Count[OutputAudio] + u.Count[OutputImage]
}

// IsZero says that nothing was consumed.
func (u *Usage) IsZero() bool { return u.Count == [NumBuckets]int64{} && u.Seconds.IsZero() }

// Flag adds a flag once.
func (u *Usage) Flag(name string) {
	if i, found := slices.BinarySearch(u.Flags, name); !found {
		u.Flags = slices.Insert(slices.Clone(u.Flags), i, name)
	}
}

// Add adds the quantities, estimates and flags of v to u. It is for totals over
// several calls; usage stated twice in one reply is one usage and is never added.
func (u *Usage) Add(v *Usage) {
	for b := range NumBuckets {
		u.Count[b] += v.Count[b]
	}
	u.Seconds = u.Seconds.Add(v.Seconds)
	u.Estimated |= v.Estimated
	for _, f := range v.Flags {
		u.Flag(f)
	}
}

// MarshalJSON writes the buckets that are not zero: whole numbers as JSON
// numbers, fractional seconds as a decimal string.
func (u Usage) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for k := range NumBuckets {
		q := u.Quantity(k)
		if q.IsZero() {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), k.String()...), '"', ':')
		if _, whole := q.Int64(); whole {
			b = append(b, q.String()...)
		} else {
			b = append(append(append(b, '"'), q.String()...), '"')
		}
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes; an unknown bucket is an error.
func (u *Usage) UnmarshalJSON(data []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	*u = Usage{}
	for name, raw := range m {
		b, ok := ParseBucket(name)
		if !ok {
			return fmt.Errorf("usage: unknown bucket %q", name)
		}
		var d money.Decimal
		if err := d.UnmarshalJSON(raw); err != nil {
			return fmt.Errorf("usage: %s: %w", name, err)
		}
		if b == AudioSecond {
			u.Seconds = d
			continue
		}
		n, ok := d.Int64()
		if !ok {
			return fmt.Errorf("usage: %s: %s is not a whole number", name, d)
		}
		u.Count[b] = n
	}
	return nil
}

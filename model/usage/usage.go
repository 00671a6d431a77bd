// Package usage turns what a provider says about consumption into disjoint
// buckets.
//
// Providers count differently, and the same provider counts differently at its
// endpoints: cached tokens are part of the prompt at OpenAI and beside it at
// Anthropic, reasoning is part of the completion at OpenAI and beside it at xAI
// and Gemini. Each convention is named where it is applied. A number that a
// reply does not state is unknown, never zero; it is then estimated and marked,
// and so is a number that cannot be true.
package usage

import (
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Flags that a parsed usage can carry.
const (
	FlagNoUsage       = "usage_missing"          // the reply states no usage
	FlagZeroWithText  = "zero_with_text"         // all zeros although there is text
	FlagNegative      = "negative"               // a number below zero
	FlagAboveMax      = "above_maximum"          // more output than the request or model allows
	FlagNotANumber    = "not_a_whole_number"     // a count that is no whole number
	FlagDetailClamped = "detail_exceeds_total"   // a part larger than its whole
	FlagCapped        = "estimate_capped"        // an estimate cut to the maximum output
	FlagTruncated     = "truncated_event"        // the stream ended inside an event
	FlagMalformed     = "malformed_event"        // an event that is not valid JSON
	FlagUpstreamError = "upstream_error"         // the reply is or ends in an error
	FlagCut           = "stream_cut"             // the stream ended before its end
	FlagCostRefused   = "reported_cost_refused"  // a stated cost that cannot be true
	FlagUnmeteredTool = "unmetered_server_tools" // a server-side tool without a bucket
)

// Context is what is known besides the reply.
type Context struct {
	// Request is the JSON of the request, or of its fields that matter.
	Request []byte
	// Model is the name of the model that answered.
	Model string
	// EndedBy is "client_disconnect" or "upstream_error" when the reply did not
	// end by itself.
	EndedBy string
	// MaxOutput is the model's maximum output in tokens, 0 when unknown.
	MaxOutput int64
	// MaxInput is the model's context window in tokens, 0 when unknown.
	MaxInput int64
	// Estimate stands in for the tokenizer.
	Estimate *Estimate
	// Count is the tokenizer used without Estimate; nil means [CountTokens].
	Count func(model, text string) int
	// PromptText is the request's text for the tokenizer, when Request has no
	// messages that it could be taken from.
	PromptText string
	// Priced are the buckets that the model's card can price, 0 when unknown. It
	// decides only between equal readings of one reply: speech by character or
	// by token, a search as "web_search" or "search_query".
	Priced model.BucketSet
	// CostPath and CostDivisor say where the reply states its own cost; no cost
	// is looked for when the path is empty.
	CostPath    string
	CostDivisor money.Decimal
}

// Estimate is a count of tokens made by somebody else.
type Estimate struct {
	Prompt     *int64 `json:"prompt_tokens"`
	Completion *int64 `json:"completion_tokens"`
}

// Result is what a reply says.
type Result struct {
	// Usage is never nil.
	Usage *model.Usage
	// SearchContext is the search context size, "" when not known.
	SearchContext string
	// Text says that the reply has output: text, reasoning, tool calls or audio.
	Text bool
	// Ended says that the reply came to its own end.
	Ended bool
}

// Parse reads a whole reply. format is "json", "sse", "ndjson",
// "eventstream-as-ndjson" or "binary".
func Parse(provider, surface string, ctx Context, body []byte, format string) Result {
	s := NewStream(provider, surface, ctx, format)
	s.Write(body)
	return s.Close()
}

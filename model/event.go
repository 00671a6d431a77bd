package model

// Kind says what an event is.
type Kind uint8

const (
	// KindDelta adds content to one choice.
	KindDelta Kind = iota
	// KindOther carries only Raw bytes that add no content (a role chunk, a
	// keep-alive, a provider's own event). It still must reach a client that
	// speaks the same wire.
	KindOther
	// KindEnd is the terminal event. Nothing follows it.
	KindEnd
)

// Event is one step of an answer.
type Event struct {
	Kind Kind
	// Choice is the index of the choice that the delta belongs to (or, for
	// completions with several prompts, prompt × n + choice).
	Choice int

	// Text, Reasoning and Refusal are what the delta adds.
	Text      string
	Reasoning string
	Refusal   string
	// ToolCalls are partial tool calls, joined by their Index.
	ToolCalls []ToolCall
	// Logprobs are the log probabilities of the tokens of this delta.
	Logprobs []TokenLogprob
	// FinishReason is set on the delta that ends a choice: "stop", "length",
	// "tool_calls", "content_filter".
	FinishReason string

	// Embeddings are the vectors of an OpEmbed answer, on the terminal event.
	Embeddings [][]float32

	// Usage is what the answer consumed: on the terminal event, and earlier
	// when the wire states it earlier. Nil means not stated, which is unknown
	// and never zero.
	Usage *Usage

	// ID, Model and Created are what the upstream calls the reply; set on at
	// least one event when known. Created is in Unix seconds.
	ID      string
	Model   string
	Created int64
	// SystemFingerprint is OpenAI's system_fingerprint, when stated.
	SystemFingerprint string

	// Raw holds the event as it stood on the wire. On the terminal event of a
	// whole (not streamed) reply it is the reply's body. On the terminal event
	// of a stream it is the wire's own end marker, such as [DONE].
	Raw Raw

	// Receipt is set by the meter on the terminal event, after settlement.
	Receipt *Receipt
}

// TokenLogprob is an output token with its natural-log probability.
type TokenLogprob struct {
	Token   string
	Bytes   []byte
	Logprob float64
	Top     []TopLogprob
}

// TopLogprob is one alternative token at a position.
type TopLogprob struct {
	Token   string
	Bytes   []byte
	Logprob float64
}

// Receipt says what a settled call came to. Money is in plain decimal dollars,
// so that this package needs no money arithmetic.
type Receipt struct {
	CallID string
	// CostUSD is "" when the cost is unknown.
	CostUSD string
	// ChargeUSD is "" when the charge is unknown.
	ChargeUSD string
	Estimated bool
}

// Reply is a whole answer, collected from events.
type Reply struct {
	ID, Model         string
	Created           int64
	SystemFingerprint string
	Choices           []Choice
	Embeddings        [][]float32
	Usage             *Usage
	// Raw is the body of a whole reply as the upstream sent it, when it came whole.
	Raw     Raw
	Receipt *Receipt
	// Ended says that the terminal event arrived.
	Ended bool
}

// Choice is one alternative answer.
type Choice struct {
	Text         string
	Reasoning    string
	Refusal      string
	ToolCalls    []ToolCall
	Logprobs     []TokenLogprob
	FinishReason string
}

// Text is the text of the first choice.
func (r *Reply) Text() string {
	if len(r.Choices) == 0 {
		return ""
	}
	return r.Choices[0].Text
}

// maxChoices bounds the choice indices that Add accepts, so that a hostile
// upstream cannot make it allocate without limit.
const maxChoices = 4096

// Add folds one event into the reply.
func (r *Reply) Add(ev *Event) {
	if ev.ID != "" {
		r.ID = ev.ID
	}
	if ev.Model != "" {
		r.Model = ev.Model
	}
	if ev.Created != 0 {
		r.Created = ev.Created
	}
	if ev.SystemFingerprint != "" {
		r.SystemFingerprint = ev.SystemFingerprint
	}
	if ev.Usage != nil {
		u := *ev.Usage
		r.Usage = &u
	}
	if ev.Embeddings != nil {
		r.Embeddings = ev.Embeddings
	}
	if ev.Receipt != nil {
		r.Receipt = ev.Receipt
	}
	if ev.Kind == KindEnd {
		r.Ended = true
		r.Raw = Raw{Wire: ev.Raw.Wire, Data: append([]byte(nil), ev.Raw.Data...)}
	}
	if ev.Text == "" && ev.Reasoning == "" && ev.Refusal == "" && len(ev.ToolCalls) == 0 &&
		len(ev.Logprobs) == 0 && ev.FinishReason == "" {
		return
	}
	if ev.Choice < 0 || ev.Choice >= maxChoices {
		return
	}
	for len(r.Choices) <= ev.Choice {
		r.Choices = append(r.Choices, Choice{})
	}
	c := &r.Choices[ev.Choice]
	c.Text += ev.Text
	c.Reasoning += ev.Reasoning
	c.Refusal += ev.Refusal
	c.Logprobs = append(c.Logprobs, ev.Logprobs...)
	if ev.FinishReason != "" {
		c.FinishReason = ev.FinishReason
	}
	for _, t := range ev.ToolCalls {
		c.addToolCall(t)
	}
}

func (c *Choice) addToolCall(t ToolCall) {
	for i := range c.ToolCalls {
		have := &c.ToolCalls[i]
		if have.Index != t.Index || (t.ID != "" && have.ID != "" && t.ID != have.ID) {
			continue
		}
		if t.ID != "" {
			have.ID = t.ID
		}
		if t.Type != "" {
			have.Type = t.Type
		}
		have.Name += t.Name
		have.Arguments += t.Arguments
		return
	}
	if len(c.ToolCalls) < maxChoices {
		c.ToolCalls = append(c.ToolCalls, t)
	}
}

package openai

import (
	"errors"
	"fmt"
	"math"

	"github.com/stratahq/strata/model"
)

// ErrNotReply is wrapped by errors of replies that are not of this wire.
var ErrNotReply = errors.New("not a reply of this wire")

// Facts are what a reply or chunk states besides its content.
type Facts struct {
	// Usage is the usage object as it stood; nil when it was absent or null. It
	// aliases the decoded bytes.
	Usage []byte
	// ServiceTier is the tier that the reply names, on which the price depends.
	ServiceTier string
	// Failure is the error that the upstream sent in place of a reply; nil when
	// it sent none.
	Failure *Failure
	// Choices says that the member choices (or data, for embeddings) was there.
	Choices bool
}

// Failure is an error body of an upstream. Its text is the upstream's own and
// must not reach a client unexamined.
type Failure struct {
	Message, Type, Code, Param string
	Status                     int
}

// Decoder reads the replies and stream chunks of one upstream answer. Strings
// that repeat in every chunk are allocated once. The zero value is ready.
type Decoder struct {
	scanner
	id, model, fingerprint, tier string
	events                       []model.Event
	calls                        []model.ToolCall
	split                        []byte
	embeddings                   [][]float32
}

// Chunk decodes the data of one stream event. It returns one event per choice,
// or one of [model.KindOther] when the chunk adds no content. Each event carries
// Raw of the given wire. The events and what they hold are valid until the next
// call. Usage is not on the events: the caller reads it from Facts by its
// provider's convention.
func (d *Decoder) Chunk(wire string, data []byte) ([]model.Event, Facts, error) {
	facts, head, err := d.decode(data)
	if err != nil {
		return nil, facts, err
	}
	if len(d.events) == 0 {
		d.events = append(d.events, head)
		d.events[0].Kind = model.KindOther
	}
	if len(d.events) == 1 {
		ev := &d.events[0]
		ev.Raw = model.Raw{Wire: wire, Data: data}
		if !adds(ev) {
			ev.Kind = model.KindOther
		}
		return d.events, facts, nil
	}
	// A chunk with several choices becomes one event each, and each event the
	// chunk with only its own choice, so that a client still gets every field.
	list := Field(data, "choices")
	var s scanner
	s.reset(list)
	s.open('[')
	d.split = d.split[:0]
	var ends [][2]int
	for i := -1; s.elem(&i); {
		start := len(d.split)
		one := append(append([]byte{'['}, s.raw()...), ']')
		d.split, err = Rewrite(d.split, data, Edit{Field: "choices", Value: one})
		if err != nil {
			return nil, facts, err
		}
		ends = append(ends, [2]int{start, len(d.split)})
	}
	for i := range d.events {
		if i < len(ends) {
			d.events[i].Raw = model.Raw{Wire: wire, Data: d.split[ends[i][0]:ends[i][1]:ends[i][1]]}
		}
		if !adds(&d.events[i]) {
			d.events[i].Kind = model.KindOther
		}
	}
	return d.events, facts, nil
}

// Reply decodes the body of a whole reply into one event per choice, without
// Raw, and the terminal event, which has body as its Raw.
func (d *Decoder) Reply(wire string, body []byte) ([]model.Event, Facts, error) {
	d.embeddings = nil
	facts, head, err := d.decode(body)
	if err != nil {
		return nil, facts, err
	}
	if !facts.Choices && facts.Failure == nil {
		member := "choices"
		if wire == model.WireOpenAIEmbeddings {
			member = "data"
		}
		return nil, facts, fmt.Errorf("%w: it has no %s", ErrNotReply, member)
	}
	head.Kind = model.KindEnd
	head.Embeddings = d.embeddings
	head.Raw = model.Raw{Wire: wire, Data: body}
	d.events = append(d.events, head)
	return d.events, facts, nil
}

// adds says that an event adds content or ends a choice.
func adds(ev *model.Event) bool {
	return ev.Text != "" || ev.Reasoning != "" || ev.Refusal != "" || len(ev.ToolCalls) > 0 ||
		len(ev.Logprobs) > 0 || ev.FinishReason != ""
}

// same returns have when b has the same text, and otherwise a new string.
func same(have string, b []byte) string {
	if string(b) == have {
		return have
	}
	return string(b)
}

// decode reads a reply or chunk into d.events; head holds what all have in common.
func (d *Decoder) decode(data []byte) (facts Facts, head model.Event, err error) {
	d.reset(data)
	d.events = d.events[:0]
	d.calls = d.calls[:0]
	if !d.open('{') {
		return facts, head, fmt.Errorf("%w: %w", ErrNotReply, d.err)
	}
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "id":
			if d.kind() == '"' {
				d.id = same(d.id, d.bytes())
				continue
			}
			d.skip()
		case "model":
			if d.kind() == '"' {
				d.model = same(d.model, d.bytes())
				continue
			}
			d.skip()
		case "created":
			if d.kind() == '0' {
				head.Created = whole(d.number())
				continue
			}
			d.skip()
		case "system_fingerprint":
			if d.kind() == '"' {
				d.fingerprint = same(d.fingerprint, d.bytes())
				continue
			}
			d.skip()
		case "service_tier":
			if d.kind() == '"' {
				d.tier = same(d.tier, d.bytes())
				continue
			}
			d.skip()
		case "choices":
			facts.Choices = true
			if d.null() || !d.open('[') {
				continue
			}
			for i := -1; d.elem(&i); {
				d.choice(i, &facts)
			}
		case "data":
			if d.kind() != '[' {
				d.skip()
				continue
			}
			facts.Choices = true
			d.open('[')
			for i := -1; d.elem(&i); {
				d.embedding(i)
			}
		case "usage":
			d.usage(&facts)
		case "x_groq":
			if d.kind() != '{' {
				d.skip()
				continue
			}
			d.open('{')
			for n := 0; d.key(&n); {
				if string(d.name) == "usage" && facts.Usage == nil {
					d.usage(&facts)
					continue
				}
				d.skip()
			}
		case "error":
			if d.null() {
				continue
			}
			facts.Failure = d.failure()
		default:
			d.skip()
		}
	}
	d.end()
	if d.err != nil {
		return facts, head, fmt.Errorf("%w: %w", ErrNotReply, d.err)
	}
	head.ID, head.Model, head.SystemFingerprint = d.id, d.model, d.fingerprint
	for i := range d.events {
		ev := &d.events[i]
		ev.ID, ev.Model, ev.Created, ev.SystemFingerprint = head.ID, head.Model, head.Created, head.SystemFingerprint
	}
	facts.ServiceTier = d.tier
	return facts, head, nil
}

// usage keeps a usage object; null leaves what is known.
func (d *Decoder) usage(facts *Facts) {
	if d.kind() == '{' {
		facts.Usage = d.raw()
		return
	}
	d.skip()
}

// whole reads a number of seconds that may be written as a fraction.
func whole(b []byte) (n int64) {
	for _, c := range b {
		if c < '0' || c > '9' || n > math.MaxInt64/10-1 {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// DecodeFailure reads the body of an error reply, in the shapes that servers of
// this wire use: {"error": {…}}, {"error": "…"}, {"message": …}, {"detail": …}.
// A body of another shape gives an empty Failure: its text is never passed on.
func DecodeFailure(body []byte) *Failure {
	var d Decoder
	d.reset(body)
	f := &Failure{}
	if d.kind() != '{' {
		return f
	}
	d.open('{')
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "error":
			if d.kind() != 'n' {
				f = d.failure()
				continue
			}
			d.skip()
		case "message", "detail":
			if d.kind() == '"' && f.Message == "" {
				f.Message = d.text()
				continue
			}
			d.skip()
		default:
			d.skip()
		}
	}
	return f
}

// failure reads {"message", "type", "code", "param"} or a plain string.
func (d *Decoder) failure() *Failure {
	f := &Failure{}
	if d.kind() == '"' {
		f.Message = d.text()
		return f
	}
	if d.kind() != '{' {
		d.skip()
		return f
	}
	d.open('{')
	for n := 0; d.key(&n); {
		var to *string
		switch string(d.name) {
		case "message":
			to = &f.Message
		case "type":
			to = &f.Type
		case "param":
			to = &f.Param
		case "code":
			if d.kind() == '0' {
				f.Status = int(whole(d.number()))
				continue
			}
			to = &f.Code
		}
		if to == nil || d.kind() != '"' {
			d.skip()
			continue
		}
		*to = d.text()
	}
	return f
}

// choice reads one choice of a chunk (delta), a reply (message) or a text
// completion (text).
func (d *Decoder) choice(index int, facts *Facts) {
	if !d.open('{') {
		return
	}
	ev := model.Event{Kind: model.KindDelta, Choice: index}
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "index":
			if d.kind() == '0' {
				ev.Choice = int(min(whole(d.number()), 1<<20))
				continue
			}
			d.skip()
		case "delta", "message":
			d.delta(&ev)
		case "text":
			if !d.null() {
				ev.Text += d.text()
			}
		case "finish_reason":
			if d.kind() == '"' {
				ev.FinishReason = intern(d.bytes())
				continue
			}
			d.skip()
		case "logprobs":
			d.logprobs(&ev)
		case "usage":
			if facts.Usage == nil {
				d.usage(facts)
				continue
			}
			d.skip()
		default:
			d.skip()
		}
	}
	d.events = append(d.events, ev)
}

func (d *Decoder) delta(ev *model.Event) {
	if d.null() || !d.open('{') {
		return
	}
	hasReasoningContent := false
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "content":
			d.replyContent(ev)
		case "reasoning_content":
			if d.kind() == '"' {
				ev.Reasoning, hasReasoningContent = d.text(), true
				continue
			}
			d.skip()
		case "reasoning":
			// Servers that send both names send the same text twice.
			if d.kind() == '"' && !hasReasoningContent {
				ev.Reasoning = d.text()
				continue
			}
			d.skip()
		case "refusal":
			if !d.null() {
				ev.Refusal = d.text()
			}
		case "tool_calls":
			from := len(d.calls)
			d.toolCalls(&d.calls)
			if to := len(d.calls); to > from {
				ev.ToolCalls = d.calls[from:to:to]
			}
		case "function_call":
			// The form before tools: one call without an id.
			if d.kind() != '{' {
				d.skip()
				continue
			}
			t := model.ToolCall{Type: "function"}
			d.open('{')
			for n := 0; d.key(&n); {
				switch {
				case d.kind() != '"':
					d.skip()
				case string(d.name) == "name":
					t.Name = d.text()
				case string(d.name) == "arguments":
					t.Arguments = d.text()
				default:
					d.skip()
				}
			}
			ev.ToolCalls = []model.ToolCall{t}
		default:
			d.skip()
		}
	}
}

// replyContent reads a text, null, or Mistral's list of text and thinking parts
// (mistralai/client-python 05629d23, models/deltamessage.py and thinkchunk.py).
func (d *Decoder) replyContent(ev *model.Event) {
	switch d.kind() {
	case '"':
		ev.Text += d.text()
		return
	case 'n':
		d.null()
		return
	case '[':
	default:
		d.expect('"', "a string, null or an array of parts")
		return
	}
	d.open('[')
	for i := -1; d.elem(&i); {
		if d.kind() != '{' {
			d.skip()
			continue
		}
		d.open('{')
		for n := 0; d.key(&n); {
			switch {
			case string(d.name) == "text" && d.kind() == '"':
				ev.Text += d.text()
			case string(d.name) == "thinking" && d.kind() == '"':
				ev.Reasoning += d.text()
			case string(d.name) == "thinking" && d.kind() == '[':
				d.open('[')
				for j := -1; d.elem(&j); {
					if d.kind() != '{' {
						d.skip()
						continue
					}
					d.open('{')
					for n := 0; d.key(&n); {
						if string(d.name) == "text" && d.kind() == '"' {
							ev.Reasoning += d.text()
							continue
						}
						d.skip()
					}
				}
			default:
				d.skip()
			}
		}
	}
}

package openai

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/stratahq/strata/model"
)

// ChunkEncoder turns the events of one answer into server-sent events for a
// client. Events that stood on the same wire pass through byte for byte; others
// are written anew. It is used by one goroutine.
type ChunkEncoder struct {
	op        model.Op
	wire      string
	object    string
	meta      meta
	sampling  *model.Sampling
	usage     bool // the client wants a usage chunk
	sentUsage bool
	print     string // system fingerprint
	choices   []choiceState
}

type choiceState struct {
	begun, ended, tools bool
	offset              int // characters of text sent, for completions
}

// NewChunkEncoder makes the encoder for the answer to req.
func NewChunkEncoder(req *model.Request) *ChunkEncoder {
	e := &ChunkEncoder{op: req.Op, wire: WireOf(req.Op), object: "chat.completion.chunk", meta: newMeta(req), sampling: req.Sampling()}
	if req.Op == model.OpComplete {
		e.object = "text_completion"
	}
	if e.sampling != nil {
		e.usage = e.sampling.IncludeUsage
	}
	return e
}

func (e *ChunkEncoder) state(choice int) *choiceState {
	choice = min(max(choice, 0), 4095)
	for len(e.choices) <= choice {
		e.choices = append(e.choices, choiceState{})
	}
	return &e.choices[choice]
}

// Append appends what the client must be sent for an event: nothing, or one or
// more server-sent events. For the terminal event that ends with [DONE].
func (e *ChunkEncoder) Append(dst []byte, ev *model.Event) []byte {
	e.meta.merge(ev.ID, ev.Model, ev.Created)
	if ev.SystemFingerprint != "" {
		e.print = ev.SystemFingerprint
	}
	if ev.Kind == model.KindEnd {
		return e.end(dst, ev)
	}
	if ev.Raw.Wire == e.wire && len(ev.Raw.Data) > 0 {
		if ev.Kind == model.KindDelta {
			s := e.state(ev.Choice)
			s.begun = true
			s.ended = s.ended || ev.FinishReason != ""
		}
		e.sentUsage = e.sentUsage || ev.Usage != nil
		return appendData(dst, ev.Raw.Data)
	}
	if ev.Kind == model.KindDelta && adds(ev) {
		return e.delta(dst, ev)
	}
	return dst
}

// appendData frames the data of one event. A line end inside the data would end
// the event, so each line gets its own data field.
func appendData(dst, data []byte) []byte {
	for {
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			break
		}
		dst = append(append(append(dst, "data: "...), data[:i]...), '\n')
		if data[i] == '\r' && i+1 < len(data) && data[i+1] == '\n' {
			i++
		}
		data = data[i+1:]
	}
	return append(append(append(dst, "data: "...), data...), "\n\n"...)
}

// begin appends the head of a chunk up to the open choice.
func (e *ChunkEncoder) begin(dst []byte, choice int) []byte {
	dst = appendHead(append(dst, "data: "...), e.object, e.meta, e.print)
	dst = append(dst, `,"choices":[{"index":`...)
	return strconv.AppendInt(dst, int64(choice), 10)
}

func (e *ChunkEncoder) finishChunk(dst []byte, reason string) []byte {
	dst = appendFinish(appendField(dst, "finish_reason"), reason)
	dst = append(dst, "}]"...)
	if e.usage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...)
}

func (e *ChunkEncoder) delta(dst []byte, ev *model.Event) []byte {
	s := e.state(ev.Choice)
	if e.op == model.OpComplete {
		s.begun = true
		s.ended = s.ended || ev.FinishReason != ""
		dst = appendString(appendField(e.begin(dst, ev.Choice), "text"), ev.Text)
		start := s.offset
		dst, s.offset = appendLegacyLogprobs(appendField(dst, "logprobs"), ev.Logprobs, e.sampling, start)
		if len(ev.Logprobs) == 0 {
			s.offset += utf8.RuneCountInString(ev.Text)
		}
		return e.finishChunk(dst, ev.FinishReason)
	}
	if !s.begun {
		s.begun = true
		dst = append(e.begin(dst, ev.Choice), `,"delta":{"role":"assistant","content":""},"logprobs":null`...)
		dst = e.finishChunk(dst, "")
	}
	content := ev.Text != "" || ev.Reasoning != "" || ev.Refusal != "" || len(ev.ToolCalls) > 0 || len(ev.Logprobs) > 0
	if content {
		s.tools = s.tools || len(ev.ToolCalls) > 0
		dst = append(e.begin(dst, ev.Choice), `,"delta":{`...)
		if ev.Reasoning != "" {
			dst = appendString(appendField(dst, "reasoning_content"), ev.Reasoning)
		}
		if ev.Text != "" {
			dst = appendString(appendField(dst, "content"), ev.Text)
		}
		if ev.Refusal != "" {
			dst = appendString(appendField(dst, "refusal"), ev.Refusal)
		}
		if len(ev.ToolCalls) > 0 {
			dst = appendToolCalls(appendField(dst, "tool_calls"), ev.ToolCalls, true)
		}
		dst = append(dst, '}')
		dst = appendLogprobs(appendField(dst, "logprobs"), ev.Logprobs)
		dst = e.finishChunk(dst, "")
	}
	if ev.FinishReason != "" {
		dst = e.last(dst, ev.Choice, ev.FinishReason)
	}
	return dst
}

// last appends the chunk that ends a choice.
func (e *ChunkEncoder) last(dst []byte, choice int, reason string) []byte {
	e.state(choice).ended = true
	dst = e.begin(dst, choice)
	if e.op == model.OpComplete {
		dst = append(dst, `,"text":"","logprobs":null`...)
	} else {
		dst = append(dst, `,"delta":{},"logprobs":null`...)
	}
	return e.finishChunk(dst, reason)
}

// end closes choices that were left open, adds the usage chunk if the client
// wants one and none has passed, and the end marker.
func (e *ChunkEncoder) end(dst []byte, ev *model.Event) []byte {
	if len(e.choices) == 0 {
		e.state(0)
	}
	for i := range e.choices {
		if s := &e.choices[i]; !s.ended {
			dst = e.last(dst, i, finish("", s.tools))
		}
	}
	if e.usage && !e.sentUsage && ev.Usage != nil {
		dst = appendHead(append(dst, "data: "...), e.object, e.meta, e.print)
		dst = AppendUsage(append(dst, `,"choices":[],"usage":`...), e.op, ev.Usage)
		dst = append(dst, "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// AppendError appends the event that tells a client that the stream failed. No
// [DONE] follows it, so that a client cannot take the answer for whole.
func (e *ChunkEncoder) AppendError(dst []byte, err *model.Error) []byte {
	return append(AppendError(append(dst, "data: "...), err), "\n\n"...)
}

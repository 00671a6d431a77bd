package openai

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/stratahq/strata/model"
)

// meta is what a reply says about itself where the model did not say it.
type meta struct {
	id      string
	model   string
	created int64 // Unix seconds
}

// newMeta derives a reply's id and time from the call's id, which is a UUIDv7
// and begins with 48 bits of Unix milliseconds (RFC 9562, section 5.7). So one
// call has one id and one time wherever it is written.
func newMeta(req *model.Request) meta {
	m := meta{model: req.Model}
	var bare [32]byte
	n := 0
	for i := range len(req.Call.ID) {
		if c := req.Call.ID[i]; c != '-' && n < len(bare) {
			bare[n] = c
			n++
		}
	}
	prefix := "chatcmpl-"
	if req.Op == model.OpComplete {
		prefix = "cmpl-"
	}
	m.id = prefix + string(bare[:n])
	if n == len(bare) {
		if ms, err := strconv.ParseInt(string(bare[:12]), 16, 64); err == nil {
			m.created = ms / 1000
		}
	}
	return m
}

// merge prefers what the model itself said.
func (m *meta) merge(id, name string, created int64) {
	if id != "" {
		m.id = id
	}
	if name != "" {
		m.model = name
	}
	if created != 0 {
		m.created = created
	}
}

// WireOf is the wire of an operation's replies; "" when this package has none.
func WireOf(op model.Op) string {
	switch op {
	case model.OpChat:
		return model.WireOpenAIChat
	case model.OpComplete:
		return model.WireOpenAICompletions
	case model.OpEmbed:
		return model.WireOpenAIEmbeddings
	}
	return ""
}

// AppendUsage appends OpenAI's usage object. Cached and audio tokens are inside
// prompt_tokens, and reasoning and audio tokens inside completion_tokens.
func AppendUsage(dst []byte, op model.Op, u *model.Usage) []byte {
	number := func(dst []byte, name string, n int64) []byte {
		return strconv.AppendInt(appendField(dst, name), n, 10)
	}
	dst = append(dst, '{')
	dst = number(dst, "prompt_tokens", u.Prompt())
	if op == model.OpEmbed {
		return append(number(dst, "total_tokens", u.Prompt()), '}')
	}
	dst = number(dst, "completion_tokens", u.Completion())
	dst = number(dst, "total_tokens", u.Prompt()+u.Completion())
	dst = append(appendField(dst, "prompt_tokens_details"), '{')
	dst = number(dst, "cached_tokens", u.Count[model.CacheRead]+u.Count[model.CacheReadAudio]+u.Count[model.CacheReadImage])
	dst = number(dst, "audio_tokens", u.Count[model.InputAudio]+u.Count[model.CacheReadAudio])
	dst = append(dst, '}')
	dst = append(appendField(dst, "completion_tokens_details"), '{')
	dst = number(dst, "reasoning_tokens", u.Count[model.Reasoning])
	dst = number(dst, "audio_tokens", u.Count[model.OutputAudio])
	return append(dst, "}}"...)
}

// EncodeReply returns the body of a whole reply. When the reply came whole on
// the same wire, that is the upstream's own body, byte for byte.
func EncodeReply(req *model.Request, reply *model.Reply) []byte {
	if reply.Raw.Wire == WireOf(req.Op) && len(reply.Raw.Data) > 0 && reply.Raw.Data[0] == '{' {
		return reply.Raw.Data
	}
	return appendReply(nil, req, reply)
}

func appendReply(dst []byte, req *model.Request, reply *model.Reply) []byte {
	meta := newMeta(req)
	meta.merge(reply.ID, reply.Model, reply.Created)
	if req.Op == model.OpEmbed {
		return encodeEmbeddings(dst, req, reply, meta)
	}
	object := "chat.completion"
	if req.Op == model.OpComplete {
		object = "text_completion"
	}
	dst = appendHead(dst, object, meta, reply.SystemFingerprint)
	dst = append(appendField(dst, "choices"), '[')
	choices := reply.Choices
	if len(choices) == 0 {
		choices = make([]model.Choice, 1)
	}
	for i := range choices {
		c := &choices[i]
		dst = append(appendComma(dst), `{"index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		if req.Op == model.OpComplete {
			dst = appendString(appendField(dst, "text"), c.Text)
			dst, _ = appendLegacyLogprobs(appendField(dst, "logprobs"), c.Logprobs, req.Sampling(), 0)
		} else {
			dst = appendMessage(appendField(dst, "message"), c)
			dst = appendLogprobs(appendField(dst, "logprobs"), c.Logprobs)
		}
		dst = appendFinish(appendField(dst, "finish_reason"), finish(c.FinishReason, len(c.ToolCalls) > 0))
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if reply.Usage != nil {
		dst = AppendUsage(appendField(dst, "usage"), req.Op, reply.Usage)
	}
	return append(dst, '}')
}

func finish(reason string, tools bool) string {
	switch {
	case reason != "":
		return reason
	case tools:
		return "tool_calls"
	}
	return "stop"
}

func appendHead(dst []byte, object string, meta meta, fingerprint string) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, meta.id)
	dst = append(append(append(dst, `,"object":"`...), object...), '"')
	dst = strconv.AppendInt(appendField(dst, "created"), meta.created, 10)
	dst = appendString(appendField(dst, "model"), meta.model)
	if fingerprint != "" {
		dst = appendString(appendField(dst, "system_fingerprint"), fingerprint)
	}
	return dst
}

func appendFinish(dst []byte, reason string) []byte {
	if reason == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, reason)
}

func appendMessage(dst []byte, c *model.Choice) []byte {
	dst = append(dst, `{"role":"assistant","content":`...)
	if c.Text == "" && (len(c.ToolCalls) > 0 || c.Refusal != "") {
		dst = append(dst, "null"...)
	} else {
		dst = appendString(dst, c.Text)
	}
	if c.Reasoning != "" {
		dst = appendString(appendField(dst, "reasoning_content"), c.Reasoning)
	}
	dst = appendField(dst, "refusal")
	if c.Refusal == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendString(dst, c.Refusal)
	}
	if len(c.ToolCalls) > 0 {
		dst = appendToolCalls(appendField(dst, "tool_calls"), c.ToolCalls, false)
	}
	return append(dst, '}')
}

// appendToolCalls appends whole calls, or the partial ones of a chunk, which
// have an index and only the members that they add.
func appendToolCalls(dst []byte, calls []model.ToolCall, partial bool) []byte {
	dst = append(dst, '[')
	for i := range calls {
		t := &calls[i]
		dst = append(appendComma(dst), '{')
		if partial {
			dst = strconv.AppendInt(appendField(dst, "index"), int64(t.Index), 10)
		}
		kind := t.Type
		if kind == "" && (!partial || t.ID != "") {
			kind = "function"
		}
		if t.ID != "" || !partial {
			dst = appendString(appendField(dst, "id"), t.ID)
		}
		if kind != "" {
			dst = appendString(appendField(dst, "type"), kind)
		}
		arguments := "arguments"
		if kind == "custom" {
			dst, arguments = append(appendField(dst, "custom"), '{'), "input"
		} else {
			dst = append(appendField(dst, "function"), '{')
		}
		if t.Name != "" || !partial {
			dst = appendString(appendField(dst, "name"), t.Name)
		}
		dst = appendString(appendField(dst, arguments), t.Arguments)
		dst = append(dst, "}}"...)
	}
	return append(dst, ']')
}

func appendLogprobs(dst []byte, list []model.TokenLogprob) []byte {
	if len(list) == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"content":[`...)
	for i := range list {
		t := &list[i]
		dst = appendTokenLogprob(append(appendComma(dst), '{'), t.Token, t.Bytes, t.Logprob)
		dst = append(appendField(dst, "top_logprobs"), '[')
		for j := range t.Top {
			dst = appendTokenLogprob(append(appendComma(dst), '{'), t.Top[j].Token, t.Top[j].Bytes, t.Top[j].Logprob)
			dst = append(dst, '}')
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, `],"refusal":null}`...)
}

func appendTokenLogprob(dst []byte, token string, raw []byte, logprob float64) []byte {
	dst = appendString(appendField(dst, "token"), token)
	dst = appendFloat(appendField(dst, "logprob"), logprob)
	dst = append(appendField(dst, "bytes"), '[')
	each := func(b byte) { dst = strconv.AppendInt(appendComma(dst), int64(b), 10) }
	if raw != nil {
		for _, b := range raw {
			each(b)
		}
	} else {
		for i := range len(token) {
			each(token[i])
		}
	}
	return append(dst, ']')
}

// appendLegacyLogprobs appends the form of the completions endpoint. Offsets
// count characters from the start of the choice's text.
func appendLegacyLogprobs(dst []byte, list []model.TokenLogprob, s *model.Sampling, offset int) ([]byte, int) {
	if len(list) == 0 {
		return append(dst, "null"...), offset
	}
	dst = append(dst, `{"tokens":[`...)
	for i := range list {
		dst = appendString(appendComma(dst), list[i].Token)
	}
	dst = append(dst, `],"token_logprobs":[`...)
	for i := range list {
		if dst = appendComma(dst); math.IsNaN(list[i].Logprob) {
			dst = append(dst, "null"...)
		} else {
			dst = appendFloat(dst, list[i].Logprob)
		}
	}
	dst = append(dst, `],"top_logprobs":`...)
	if s == nil || s.TopLogprobs == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, '[')
		for i := range list {
			if dst = appendComma(dst); list[i].Top == nil {
				dst = append(dst, "null"...)
				continue
			}
			dst = append(dst, '{')
			for j := range list[i].Top {
				dst = append(appendString(appendComma(dst), list[i].Top[j].Token), ':')
				dst = appendFloat(dst, list[i].Top[j].Logprob)
			}
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = append(dst, `,"text_offset":[`...)
	for i := range list {
		dst = strconv.AppendInt(appendComma(dst), int64(offset), 10)
		offset += utf8.RuneCountInString(list[i].Token)
	}
	return append(dst, "]}"...), offset
}

func encodeEmbeddings(dst []byte, req *model.Request, reply *model.Reply, meta meta) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	base := req.Embedding != nil && req.Embedding.EncodingFormat == "base64"
	var packed []byte
	for i, v := range reply.Embeddings {
		dst = append(appendComma(dst), `{"object":"embedding","index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = appendField(dst, "embedding")
		if base {
			packed = packed[:0]
			for _, f := range v {
				packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(f))
			}
			dst = append(dst, '"')
			dst = base64.StdEncoding.AppendEncode(dst, packed)
			dst = append(dst, `"}`...)
			continue
		}
		dst = append(dst, '[')
		for _, f := range v {
			dst = strconv.AppendFloat(appendComma(dst), float64(f), 'g', -1, 32)
		}
		dst = append(dst, "]}"...)
	}
	dst = appendString(append(dst, `],"model":`...), meta.model)
	if reply.Usage != nil {
		dst = AppendUsage(appendField(dst, "usage"), model.OpEmbed, reply.Usage)
	}
	return append(dst, '}')
}

// ModelObject is an entry of GET /v1/models.
type ModelObject struct {
	ID      string
	Created int64 // Unix seconds
	OwnedBy string
}

// AppendModel appends the body of GET /v1/models/{id}.
func AppendModel(dst []byte, m ModelObject) []byte {
	dst = appendString(append(dst, `{"id":`...), m.ID)
	dst = append(dst, `,"object":"model","created":`...)
	dst = strconv.AppendInt(dst, m.Created, 10)
	dst = appendString(append(dst, `,"owned_by":`...), m.OwnedBy)
	return append(dst, '}')
}

// AppendModels appends the body of GET /v1/models.
func AppendModels(dst []byte, list []ModelObject) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i := range list {
		dst = AppendModel(appendComma(dst), list[i])
	}
	return append(dst, "]}"...)
}

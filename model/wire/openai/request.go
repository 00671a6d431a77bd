package openai

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/stratahq/strata/model"
)

// The names that servers use for the output limit.
const (
	LimitMaxTokens           = "max_tokens"
	LimitMaxCompletionTokens = "max_completion_tokens"
)

// UpstreamOptions say how a request must look for one upstream.
type UpstreamOptions struct {
	// Model is the upstream's own name of the model.
	Model string
	// Limit is the field of the output limit for chat; "" means max_tokens. The
	// completions endpoint always uses max_tokens.
	Limit string
	// AskUsage adds stream_options.include_usage to a streamed request.
	AskUsage bool
	// NoStreamOptions takes stream_options out, for servers that refuse it.
	NoStreamOptions bool
}

// EncodeRequest appends the body to send upstream. A request that came on the
// same wire is forwarded with only the model, the output limit, stream and
// stream_options changed, and every other byte kept; other requests are written
// anew.
func EncodeRequest(dst []byte, req *model.Request, o UpstreamOptions) ([]byte, error) {
	limit := o.Limit
	if limit == "" || req.Op != model.OpChat {
		limit = LimitMaxTokens
	}
	if req.Raw.Wire == WireOf(req.Op) && len(req.Raw.Data) > 0 {
		return forward(dst, req, o, limit)
	}
	switch req.Op {
	case model.OpChat, model.OpComplete, model.OpEmbed:
		return write(dst, req, o, limit), nil
	}
	return dst, model.Errorf(400, model.CodeUnsupported, "%s has no form on OpenAI's wire", req.Op)
}

func forward(dst []byte, req *model.Request, o UpstreamOptions, limit string) ([]byte, error) {
	var small [128]byte
	edits := make([]Edit, 1, 4)
	edits[0] = Edit{Field: "model", Value: appendString(small[:0], o.Model)}
	s := req.Sampling()
	if s == nil {
		return Rewrite(dst, req.Raw.Data, edits...)
	}
	body := req.Raw.Data
	found := findLimitFields(body)
	if s.MaxTokens != nil {
		other, have, there := LimitMaxTokens, found.maxCompletion, found.maxTokens
		if limit == LimitMaxTokens {
			other, have, there = LimitMaxCompletionTokens, found.maxTokens, found.maxCompletion
		}
		e := Edit{Field: limit, Value: strconv.AppendInt(nil, int64(*s.MaxTokens), 10)}
		if (have == nil || string(have) == "null") && there != nil && string(there) != "null" {
			if have == nil {
				e.Field, e.Rename = other, limit
			} else {
				// Servers read a null as absent.
				edits = append(edits, Edit{Field: other, Value: []byte("null")})
			}
		}
		edits = append(edits, e)
	}
	if (string(found.stream) == "true") != req.Stream {
		edits = append(edits, Edit{Field: "stream", Value: strconv.AppendBool(nil, req.Stream)})
	}
	switch {
	case o.NoStreamOptions && found.options != nil:
		var err error
		if body, err = remove(nil, body, "stream_options"); err != nil {
			return dst, err
		}
	case req.Stream && o.AskUsage:
		options := []byte(`{"include_usage":true}`)
		if len(found.options) > 0 && found.options[0] == '{' {
			var err error
			if options, err = Rewrite(nil, found.options, Edit{Field: "include_usage", Value: []byte("true")}); err != nil {
				return dst, err
			}
		}
		edits = append(edits, Edit{Field: "stream_options", Value: options})
	}
	return Rewrite(dst, body, edits...)
}

func write(dst []byte, req *model.Request, o UpstreamOptions, limit string) []byte {
	dst = appendString(append(dst, `{"model":`...), o.Model)
	var extra map[string]json.RawMessage
	switch req.Op {
	case model.OpChat:
		c := req.Chat
		extra = c.Extra
		dst = append(appendField(dst, "messages"), '[')
		for i := range c.Messages {
			dst = appendRequestMessage(appendComma(dst), &c.Messages[i])
		}
		dst = append(dst, ']')
		if len(c.Tools) > 0 {
			dst = append(appendField(dst, "tools"), '[')
			for i := range c.Tools {
				dst = appendTool(appendComma(dst), &c.Tools[i])
			}
			dst = append(dst, ']')
		}
		dst = appendRaw(dst, "tool_choice", toolChoice(c.ToolChoice))
		dst = appendRaw(dst, "response_format", c.ResponseFormat)
		if c.Logprobs {
			dst = append(appendField(dst, "logprobs"), "true"...)
			if c.TopLogprobs > 0 {
				dst = strconv.AppendInt(appendField(dst, "top_logprobs"), int64(c.TopLogprobs), 10)
			}
		}
	case model.OpComplete:
		c := req.Completion
		extra = c.Extra
		dst = appendTextsOrTokens(appendField(dst, "prompt"), c.Prompts, c.PromptTokens)
		if c.Suffix != "" {
			dst = appendString(appendField(dst, "suffix"), c.Suffix)
		}
		if c.Echo {
			dst = append(appendField(dst, "echo"), "true"...)
		}
		if c.BestOf > 0 {
			dst = strconv.AppendInt(appendField(dst, "best_of"), int64(c.BestOf), 10)
		}
		if c.Logprobs {
			dst = strconv.AppendInt(appendField(dst, "logprobs"), int64(c.TopLogprobs), 10)
		}
	case model.OpEmbed:
		e := req.Embedding
		extra = e.Extra
		dst = appendTextsOrTokens(appendField(dst, "input"), e.Inputs, e.InputTokens)
		if e.Dimensions != nil {
			dst = strconv.AppendInt(appendField(dst, "dimensions"), int64(*e.Dimensions), 10)
		}
		if e.EncodingFormat != "" {
			dst = appendString(appendField(dst, "encoding_format"), e.EncodingFormat)
		}
	}
	if s := req.Sampling(); s != nil {
		dst = appendSampling(dst, s, limit)
		if req.Stream {
			dst = append(appendField(dst, "stream"), "true"...)
			if !o.NoStreamOptions && (o.AskUsage || s.IncludeUsage) {
				dst = append(appendField(dst, "stream_options"), `{"include_usage":true}`...)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		dst = appendComma(dst)
		dst = append(appendString(dst, name), ':')
		dst = append(dst, extra[name]...)
	}
	return append(dst, '}')
}

func appendRaw(dst []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return append(appendField(dst, name), value...)
}

// toolChoice quotes a choice that was given as a bare word inside Strata.
func toolChoice(raw json.RawMessage) []byte {
	switch string(raw) {
	case "auto", "none", "required":
		return append(append([]byte{'"'}, raw...), '"')
	}
	return raw
}

func appendSampling(dst []byte, s *model.Sampling, limit string) []byte {
	integer := func(name string, v *int) {
		if v != nil {
			dst = strconv.AppendInt(appendField(dst, name), int64(*v), 10)
		}
	}
	float := func(name string, v *float64) {
		if v != nil {
			dst = appendFloat(appendField(dst, name), *v)
		}
	}
	integer(limit, s.MaxTokens)
	float("temperature", s.Temperature)
	float("top_p", s.TopP)
	integer("top_k", s.TopK)
	float("min_p", s.MinP)
	float("repetition_penalty", s.RepeatPenalty)
	float("presence_penalty", s.PresencePen)
	float("frequency_penalty", s.FrequencyPen)
	if s.Seed != nil {
		dst = strconv.AppendInt(appendField(dst, "seed"), *s.Seed, 10)
	}
	if s.N > 0 {
		dst = strconv.AppendInt(appendField(dst, "n"), int64(s.N), 10)
	}
	if len(s.Stop) > 0 {
		dst = appendTextsOrTokens(appendField(dst, "stop"), s.Stop, nil)
	}
	if len(s.LogitBias) > 0 {
		dst = append(appendField(dst, "logit_bias"), '{')
		for _, token := range slices.Sorted(maps.Keys(s.LogitBias)) {
			dst = append(appendString(appendComma(dst), token), ':')
			dst = appendFloat(dst, s.LogitBias[token])
		}
		dst = append(dst, '}')
	}
	return dst
}

func appendTextsOrTokens(dst []byte, texts []string, tokens [][]int) []byte {
	if len(texts) == 1 && len(tokens) == 0 {
		return appendString(dst, texts[0])
	}
	dst = append(dst, '[')
	for _, t := range texts {
		dst = appendString(appendComma(dst), t)
	}
	for _, list := range tokens {
		dst = append(appendComma(dst), '[')
		for _, id := range list {
			dst = strconv.AppendInt(appendComma(dst), int64(id), 10)
		}
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func appendTool(dst []byte, t *model.Tool) []byte {
	if len(t.Raw) > 0 {
		return append(dst, t.Raw...)
	}
	kind := t.Type
	if kind == "" {
		kind = "function"
	}
	dst = appendString(append(dst, `{"type":`...), kind)
	dst = appendString(append(dst, `,"function":{"name":`...), t.Name)
	if t.Description != "" {
		dst = appendString(appendField(dst, "description"), t.Description)
	}
	dst = appendRaw(dst, "parameters", t.Parameters)
	return append(dst, "}}"...)
}

func appendRequestMessage(dst []byte, m *model.Message) []byte {
	dst = appendString(append(dst, `{"role":`...), m.Role)
	dst = appendField(dst, "content")
	switch {
	case len(m.Parts) == 0 && len(m.ToolCalls) > 0:
		dst = append(dst, "null"...)
	case len(m.Parts) == 0:
		dst = append(dst, `""`...)
	case len(m.Parts) == 1 && m.Parts[0].Type == model.PartText:
		dst = appendString(dst, m.Parts[0].Text)
	default:
		dst = append(dst, '[')
		for i := range m.Parts {
			dst = appendPart(appendComma(dst), &m.Parts[i])
		}
		dst = append(dst, ']')
	}
	if m.Name != "" {
		dst = appendString(appendField(dst, "name"), m.Name)
	}
	if len(m.ToolCalls) > 0 {
		dst = appendToolCalls(appendField(dst, "tool_calls"), m.ToolCalls, false)
	}
	if m.ToolCallID != "" {
		dst = appendString(appendField(dst, "tool_call_id"), m.ToolCallID)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Extra)) {
		dst = append(appendString(appendComma(dst), name), ':')
		dst = append(dst, m.Extra[name]...)
	}
	return append(dst, '}')
}

func appendPart(dst []byte, p *model.Part) []byte {
	switch {
	case len(p.Raw) > 0:
		return append(dst, p.Raw...)
	case p.Type == model.PartImage:
		dst = appendString(append(dst, `{"type":"image_url","image_url":{"url":`...), p.URL)
		return append(dst, "}}"...)
	case p.Type == model.PartFile:
		dst = appendString(append(dst, `{"type":"file","file":{"file_data":`...), p.URL)
		return append(dst, "}}"...)
	case p.Type == model.PartRefusal:
		dst = appendString(append(dst, `{"type":"refusal","refusal":`...), p.Text)
		return append(dst, '}')
	}
	dst = appendString(append(dst, `{"type":"text","text":`...), p.Text)
	return append(dst, '}')
}

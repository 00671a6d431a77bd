package local

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/proto"
)

type hookKey struct{}

// WithHook asks for a logits hook (see engine.RegisterHook) in the requests
// made with the returned context, after those already asked for.
func WithHook(ctx context.Context, name string, params json.RawMessage) context.Context {
	have, _ := ctx.Value(hookKey{}).([]proto.Hook)
	return context.WithValue(ctx, hookKey{}, append(have[:len(have):len(have)], proto.Hook{Name: name, Params: params}))
}

func unsupported(param, format string, args ...any) *model.Error {
	e := model.Errorf(400, model.CodeUnsupported, format, args...)
	e.Param = param
	return e
}

func invalid(param, format string, args ...any) *model.Error {
	e := model.Errorf(400, model.CodeInvalidRequest, format, args...)
	e.Param = param
	return e
}

// toChild translates a request. What the engine cannot do is an error, never
// dropped.
func toChild(ctx context.Context, req *model.Request) (*proto.ToChild, error) {
	hooks, _ := ctx.Value(hookKey{}).([]proto.Hook)
	switch {
	case req.Op == model.OpChat && req.Chat != nil:
		m, err := chatToChild(req.Chat)
		if err != nil {
			return nil, err
		}
		m.Hooks = hooks
		return m, nil
	case req.Op == model.OpComplete && req.Completion != nil:
		m, err := completionToChild(req.Completion)
		if err != nil {
			return nil, err
		}
		m.Hooks = hooks
		return m, nil
	case req.Op == model.OpEmbed && req.Embedding != nil:
		return embeddingToChild(req.Embedding)
	}
	return nil, unsupported("", "the local engine cannot do %q; it does chat, complete and embed", req.Op)
}

func chatToChild(c *model.Chat) (*proto.ToChild, error) {
	if len(c.Messages) == 0 {
		return nil, invalid("messages", "messages is empty; at least one is needed")
	}
	if c.MaxTokens != nil && *c.MaxTokens < 1 {
		return nil, invalid("max_tokens", "max_tokens is %d; it must be at least 1", *c.MaxTokens)
	}
	chat := &proto.Chat{ToolChoice: c.ToolChoice, ResponseFormat: c.ResponseFormat}
	for i := range c.Messages {
		m := &c.Messages[i]
		out := proto.Message{Role: m.Role, Name: m.Name}
		switch m.Role {
		case "developer":
			out.Role = "system" // what it was called before
		case "system", "user", "assistant", "tool":
		default:
			return nil, invalid("messages", "message %d has the role %q; there are system, developer, user, assistant and tool", i, m.Role)
		}
		for j := range m.Parts {
			switch m.Parts[j].Type {
			case model.PartText, model.PartRefusal:
				out.Content += m.Parts[j].Text
			default:
				return nil, unsupported("messages", "message %d holds a part of type %q; the local model reads only text", i, m.Parts[j].Type)
			}
		}
		for _, t := range m.ToolCalls {
			out.ToolCalls = append(out.ToolCalls, proto.ToolCall{ID: t.ID, Name: t.Name, Arguments: t.Arguments})
		}
		chat.Messages = append(chat.Messages, out)
	}
	for i, t := range c.Tools {
		if t.Type != "" && t.Type != "function" {
			return nil, unsupported("tools", "tool %d is of type %q; the local engine offers only functions", i, t.Type)
		}
		if t.Name == "" {
			return nil, invalid("tools", "tool %d has no name", i)
		}
		chat.Tools = append(chat.Tools, proto.Tool{Name: t.Name, Description: t.Description, Parameters: t.Parameters})
	}
	return &proto.ToChild{Kind: proto.Generate, Chat: chat, Sampling: sampling(&c.Sampling)}, nil
}

// maxPrompts bounds the prompts or inputs of one request, as OpenAI does.
const maxPrompts = 2048

// defaultCompletionTokens is OpenAI's default of max_tokens for completions.
const defaultCompletionTokens = 16

func completionToChild(c *model.Completion) (*proto.ToChild, error) {
	switch {
	case c.Suffix != "":
		return nil, unsupported("suffix", "the local model cannot fill in text before a suffix")
	case c.BestOf > c.Choices():
		return nil, unsupported("best_of", "the local engine does not rank best_of candidates; ask for n choices instead")
	case c.Echo && c.Logprobs:
		return nil, unsupported("echo", "the local engine has no log probabilities of an echoed prompt")
	}
	prompts, err := toPrompts("prompt", c.Prompts, c.PromptTokens)
	if err != nil {
		return nil, err
	}
	s := sampling(&c.Sampling)
	if s.MaxTokens == nil {
		n := defaultCompletionTokens
		s.MaxTokens = &n
	}
	return &proto.ToChild{Kind: proto.Generate, Prompts: prompts, Echo: c.Echo, Sampling: s}, nil
}

func embeddingToChild(c *model.Embedding) (*proto.ToChild, error) {
	if c.Dimensions != nil && *c.Dimensions < 1 {
		return nil, invalid("dimensions", "dimensions is %d; it must be at least 1", *c.Dimensions)
	}
	inputs, err := toPrompts("input", c.Inputs, c.InputTokens)
	if err != nil {
		return nil, err
	}
	return &proto.ToChild{Kind: proto.Embed, Prompts: inputs}, nil
}

func toPrompts(param string, texts []string, tokens [][]int) ([]proto.Prompt, error) {
	if len(texts) > 0 && len(tokens) > 0 {
		return nil, invalid(param, "%s holds texts and tokens; it must be one or the other", param)
	}
	if n := len(texts) + len(tokens); n == 0 {
		return nil, invalid(param, "%s is empty", param)
	} else if n > maxPrompts {
		return nil, invalid(param, "%s holds %d items; at most %d are allowed", param, n, maxPrompts)
	}
	var out []proto.Prompt
	for _, t := range texts {
		out = append(out, proto.Prompt{Text: t})
	}
	for i, t := range tokens {
		if len(t) == 0 {
			return nil, invalid(param, "%s item %d is empty", param, i)
		}
		out = append(out, proto.Prompt{Tokens: t})
	}
	return out, nil
}

func sampling(s *model.Sampling) proto.Sampling {
	return proto.Sampling{
		MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MinP: s.MinP,
		RepeatPenalty: s.RepeatPenalty, PresencePenalty: s.PresencePen, FrequencyPenalty: s.FrequencyPen,
		Seed: s.Seed, Stop: s.Stop, N: s.N, Logprobs: s.Logprobs, TopLogprobs: s.TopLogprobs, LogitBias: s.LogitBias,
	}
}

// clientError is an error of the child as a *model.Error.
func clientError(e *proto.Error, u *model.Usage) *model.Error {
	if e == nil {
		e = &proto.Error{Status: 500, Code: model.CodeInternal, Message: "the local engine failed"}
	}
	return &model.Error{Status: e.Status, Code: e.Code, Message: e.Message, Param: e.Param, Retryable: e.Retryable, Usage: u}
}

func toUsage(u *proto.Usage) *model.Usage {
	out := &model.Usage{}
	out.Count[model.Input] = int64(u.Input)
	out.Count[model.CacheRead] = int64(u.CacheRead)
	out.Count[model.Output] = int64(u.Output)
	return out
}

func toLogprobs(in []proto.Logprob) []model.TokenLogprob {
	var out []model.TokenLogprob
	for _, l := range in {
		t := model.TokenLogprob{Token: string(l.Bytes), Bytes: l.Bytes, Logprob: l.Logprob}
		for _, a := range l.Top {
			t.Top = append(t.Top, model.TopLogprob{Token: string(a.Bytes), Bytes: a.Bytes, Logprob: a.Logprob})
		}
		out = append(out, t)
	}
	return out
}

func toToolCalls(in []proto.ToolCall) []model.ToolCall {
	var out []model.ToolCall
	for _, t := range in {
		out = append(out, model.ToolCall{Index: t.Index, ID: "call_" + randomHex(12), Type: "function", Name: t.Name, Arguments: t.Arguments})
	}
	return out
}

// vectors decodes embeddings. Fewer dimensions are the first ones, scaled to
// length 1 again, as OpenAI shortens its vectors.
func vectors(in [][]byte, dimensions *int) [][]float32 {
	out := make([][]float32, len(in))
	for i, b := range in {
		v := make([]float32, len(b)/4)
		for j := range v {
			v[j] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*j:]))
		}
		if dimensions != nil && *dimensions < len(v) {
			v = v[:*dimensions]
			var norm float64
			for _, x := range v {
				norm += float64(x) * float64(x)
			}
			if norm = math.Sqrt(norm); norm > 0 {
				for j := range v {
					v[j] = float32(float64(v[j]) / norm)
				}
			}
		}
		out[i] = v
	}
	return out
}

// replyID is an id in the shape of OpenAI's.
func replyID(op model.Op) string {
	switch op {
	case model.OpChat:
		return "chatcmpl-" + randomHex(12)
	case model.OpComplete:
		return "cmpl-" + randomHex(12)
	}
	return "embd-" + randomHex(12)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

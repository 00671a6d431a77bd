package model

import (
	"encoding/json"
	"slices"
)

// Op says what a request asks for.
type Op string

// The operations. They follow the OpenTelemetry gen_ai.operation.name values
// where one exists (chat, text_completion, embeddings).
const (
	OpChat       Op = "chat"
	OpComplete   Op = "complete"
	OpEmbed      Op = "embed"
	OpRerank     Op = "rerank"
	OpImage      Op = "image"
	OpTranscribe Op = "transcribe"
	OpSpeak      Op = "speak"
	OpModerate   Op = "moderate"
)

// Request is one question to a Model. Exactly one payload matches Op. A Model
// must not change a request that it was given; a wrapper that must change one
// works on a [Request.Clone].
type Request struct {
	Op Op
	// Model is the served name that the client asked for. A wrapper that
	// forwards to an upstream under another name keeps that name itself.
	Model string
	// Stream says that the client wants events as they arise. A Model may
	// always stream; a whole reply is then collected.
	Stream bool

	Chat       *Chat
	Completion *Completion
	Embedding  *Embedding

	// Raw is the body as the client sent it, with its wire. Where the upstream
	// speaks the same wire, the provider forwards these bytes and touches only
	// the fields that must change, so that fields nobody here understands
	// survive. It is empty for requests made inside Strata.
	Raw Raw

	// Attribution says on whose account the call is made.
	Attribution Attribution
	// Call places the call in the tree of calls.
	Call CallRef
}

// Clone copies the request and its payload struct one level deep, so that
// scalar fields can be set without touching the original; slices are shared
// and must be replaced, never written into.
func (r *Request) Clone() *Request {
	c := *r
	if r.Chat != nil {
		p := *r.Chat
		c.Chat = &p
	}
	if r.Completion != nil {
		p := *r.Completion
		c.Completion = &p
	}
	if r.Embedding != nil {
		p := *r.Embedding
		c.Embedding = &p
	}
	return &c
}

// Sampling returns the sampling parameters of a chat or completion request, or
// nil for other operations.
func (r *Request) Sampling() *Sampling {
	switch {
	case r.Chat != nil:
		return &r.Chat.Sampling
	case r.Completion != nil:
		return &r.Completion.Sampling
	}
	return nil
}

// Raw is a message as it stood on the wire.
type Raw struct {
	// Wire names the format, such as "openai.chat", "openai.completions",
	// "openai.embeddings"; empty when there is none.
	Wire string
	// Data is the JSON body of a request or whole reply, or the data of one
	// server-sent event.
	Data []byte
}

// The wires that exist today.
const (
	WireOpenAIChat        = "openai.chat"
	WireOpenAICompletions = "openai.completions"
	WireOpenAIEmbeddings  = "openai.embeddings"
)

// Attribution says on whose account a call is made. The gateway fills it from
// the key and the X-Strata-* headers after checking them.
type Attribution struct {
	KeyID    string            // id of the virtual key; "" for the open loopback
	Customer string            // whose budget and bill
	Feature  string            // which product feature asked
	EndUser  string            // OpenAI's `user`, or metadata.user_id
	Tags     map[string]string // X-Strata-Tags and OpenAI's `metadata`
	// LogContent asks the meter to keep request and reply text with the call.
	LogContent bool
}

// CallRef places a call in the tree of calls. Ids are UUIDv7 strings. A root
// call has Parent "" and Root equal to ID.
type CallRef struct{ ID, Parent, Root string }

// Child returns the place of a new call with the given id under c.
func (c CallRef) Child(id string) CallRef { return CallRef{ID: id, Parent: c.ID, Root: c.Root} }

// Chat is the payload of OpChat.
type Chat struct {
	Messages []Message
	Tools    []Tool
	// ToolChoice is "auto", "none", "required", or a JSON object naming a tool.
	ToolChoice     json.RawMessage
	ResponseFormat json.RawMessage
	Sampling
	// Extra holds the top-level fields that Strata does not understand.
	Extra map[string]json.RawMessage
}

// Sampling holds the decoding parameters; nil means not given.
type Sampling struct {
	MaxTokens     *int // output limit: max_completion_tokens or max_tokens
	Temperature   *float64
	TopP          *float64
	TopK          *int
	MinP          *float64
	RepeatPenalty *float64
	PresencePen   *float64
	FrequencyPen  *float64
	Seed          *int64
	Stop          []string
	N             int // how many choices; 0 means 1
	// Logprobs asks for the log probability of each output token, and
	// TopLogprobs for that many alternatives.
	Logprobs    bool
	TopLogprobs int
	LogitBias   map[string]float64
	// IncludeUsage is stream_options.include_usage: whether the client wants a
	// usage chunk at the end of a stream.
	IncludeUsage bool
}

// Choices is N with its default applied.
func (s *Sampling) Choices() int { return max(s.N, 1) }

// Completion is the payload of OpComplete.
type Completion struct {
	// Prompts holds the text prompts, or PromptTokens token-id prompts.
	Prompts      []string
	PromptTokens [][]int
	Suffix       string
	Echo         bool
	BestOf       int
	Sampling
	Extra map[string]json.RawMessage
}

// Embedding is the payload of OpEmbed.
type Embedding struct {
	Inputs      []string
	InputTokens [][]int
	Dimensions  *int
	// EncodingFormat is "float" (default) or "base64" (little-endian float32).
	EncodingFormat string
	Extra          map[string]json.RawMessage
}

// Message is one turn of a chat.
type Message struct {
	Role       string // system, developer, user, assistant, tool
	Name       string
	Parts      []Part
	ToolCalls  []ToolCall
	ToolCallID string
	Extra      map[string]json.RawMessage
}

// Text joins the text parts of the message.
func (m *Message) Text() string {
	if len(m.Parts) == 1 && m.Parts[0].Type == PartText {
		return m.Parts[0].Text
	}
	var b []byte
	for i := range m.Parts {
		if m.Parts[i].Type == PartText {
			b = append(b, m.Parts[i].Text...)
		}
	}
	return string(b)
}

// UserMessage is a user turn of plain text.
func UserMessage(text string) Message { return TextMessage("user", text) }

// TextMessage is a turn of plain text.
func TextMessage(role, text string) Message {
	return Message{Role: role, Parts: []Part{{Type: PartText, Text: text}}}
}

// PartType says what a content part holds.
type PartType string

// The content parts.
const (
	PartText    PartType = "text"
	PartImage   PartType = "image"
	PartAudio   PartType = "audio"
	PartFile    PartType = "file"
	PartRefusal PartType = "refusal"
	PartOther   PartType = "other" // kept in Raw, not understood
)

// Part is one piece of a message's content.
type Part struct {
	Type PartType
	Text string
	// URL is an http(s) or data: address of an image or file.
	URL string
	// Raw is the part as it stood on the wire, for parts other than text.
	Raw json.RawMessage
}

// Tool is a function that the model may call.
type Tool struct {
	Type        string // "function"
	Name        string
	Description string
	Parameters  json.RawMessage // JSON Schema
	Raw         json.RawMessage // the whole tool as it stood on the wire
}

// ToolCall is a call that the model asks for.
type ToolCall struct {
	Index     int
	ID        string
	Type      string
	Name      string
	Arguments string // JSON text, possibly partial in a stream
}

// PromptBytes is the number of bytes of text in the request. A token is at
// least a byte, so it bounds the number of text tokens from above.
// Media parts are counted apart, by [Request.Media].
func (r *Request) PromptBytes() int {
	n := 0
	switch {
	case r.Chat != nil:
		for i := range r.Chat.Messages {
			m := &r.Chat.Messages[i]
			// Role markers and separators cost a few tokens per message in
			// every known chat template; 16 bounds them.
			n += 16 + len(m.Role) + len(m.Name) + len(m.ToolCallID)
			for j := range m.Parts {
				n += len(m.Parts[j].Text)
				if m.Parts[j].Type == PartOther {
					n += len(m.Parts[j].Raw)
				}
			}
			for j := range m.ToolCalls {
				n += 16 + len(m.ToolCalls[j].Name) + len(m.ToolCalls[j].Arguments)
			}
		}
		for i := range r.Chat.Tools {
			n += 16 + max(len(r.Chat.Tools[i].Raw), len(r.Chat.Tools[i].Name)+len(r.Chat.Tools[i].Description)+len(r.Chat.Tools[i].Parameters))
		}
		n += len(r.Chat.ResponseFormat)
	case r.Completion != nil:
		for _, p := range r.Completion.Prompts {
			n += len(p) + 1
		}
		for _, p := range r.Completion.PromptTokens {
			n += len(p) + 1
		}
		n += len(r.Completion.Suffix)
	case r.Embedding != nil:
		for _, p := range r.Embedding.Inputs {
			n += len(p) + 8
		}
		for _, p := range r.Embedding.InputTokens {
			n += len(p) + 8
		}
	}
	return n
}

// Media counts the parts of the request that are not text.
func (r *Request) Media() (images, audio, files int) {
	if r.Chat == nil {
		return
	}
	for i := range r.Chat.Messages {
		for j := range r.Chat.Messages[i].Parts {
			switch r.Chat.Messages[i].Parts[j].Type {
			case PartImage:
				images++
			case PartAudio:
				audio++
			case PartFile:
				files++
			}
		}
	}
	return
}

// PromptText is all text of the request, for tokenizers and content logs.
func (r *Request) PromptText() string {
	var b []byte
	switch {
	case r.Chat != nil:
		for i := range r.Chat.Messages {
			m := &r.Chat.Messages[i]
			b = append(append(append(b, m.Role...), '\n'), m.Text()...)
			for j := range m.ToolCalls {
				b = append(append(append(b, '\n'), m.ToolCalls[j].Name...), m.ToolCalls[j].Arguments...)
			}
			b = append(b, '\n')
		}
	case r.Completion != nil:
		for _, p := range r.Completion.Prompts {
			b = append(append(b, p...), '\n')
		}
	case r.Embedding != nil:
		for _, p := range r.Embedding.Inputs {
			b = append(append(b, p...), '\n')
		}
	}
	return string(slices.Clip(b))
}

// Package proto is the private language between the local engine's parent and
// its child process: length-prefixed JSON messages over the child's standard
// input and output. Both ends are the same binary, so there are no versions.
package proto

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxFrame bounds one message in bytes: the largest is a batch of embeddings.
const maxFrame = 256 << 20

// ErrFrame is a message that is too large or not valid.
var ErrFrame = errors.New("engine protocol: damaged message")

// Writer writes messages; it is safe for concurrent use.
type Writer struct {
	mu sync.Mutex
	w  *bufio.Writer
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: bufio.NewWriterSize(w, 64<<10)} }

// Write sends a message at once.
func (w *Writer) Write(v any) error { return w.write(v, true) }

// Queue adds a message that the next Write or Flush sends.
func (w *Writer) Queue(v any) error { return w.write(v, false) }

// Flush sends what was queued.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Flush()
}

func (w *Writer) write(v any, flush bool) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("engine protocol: %w", err)
	}
	if len(data) > maxFrame {
		return fmt.Errorf("%w: %d bytes", ErrFrame, len(data))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(data)))
	w.w.Write(head[:]) // bufio keeps the first error until Flush
	if _, err := w.w.Write(data); err != nil {
		return err
	}
	if flush {
		return w.w.Flush()
	}
	return nil
}

// Reader reads messages.
type Reader struct {
	r   *bufio.Reader
	buf []byte
}

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Read decodes the next message into v. io.EOF means that the other side
// closed between two messages.
func (r *Reader) Read(v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: %w", ErrFrame, err)
		}
		return err
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n > maxFrame {
		return fmt.Errorf("%w: %d bytes", ErrFrame, n)
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	buf := r.buf[:n]
	if _, err := io.ReadFull(r.r, buf); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	if err := json.Unmarshal(buf, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return nil
}

// Kind of a message.
type Kind string

// Messages of the parent.
const (
	Load     Kind = "load"     // the first message: what to serve
	Generate Kind = "generate" // answer prompts or a chat
	Embed    Kind = "embed"    // embed texts
	Count    Kind = "count"    // count the tokens of a text
	Cancel   Kind = "cancel"   // stop a request and free its slots
)

// Messages of the child.
const (
	Ready  Kind = "ready"  // the model is loaded
	Failed Kind = "failed" // the model cannot be served; the child ends
	Delta  Kind = "delta"  // a piece of a choice
	End    Kind = "end"    // the request is done
	Fail   Kind = "fail"   // the request failed
)

// ToChild is a message of the parent.
type ToChild struct {
	Kind Kind   `json:"kind"`
	ID   uint64 `json:"id,omitempty"`

	Load *LoadSpec `json:"load,omitempty"`

	// Chat, for Generate; nil for raw prompts.
	Chat *Chat `json:"chat,omitempty"`
	// Prompts, for Generate and Embed; the text of Count is Prompts[0].
	Prompts []Prompt `json:"prompts,omitempty"`
	Echo    bool     `json:"echo,omitempty"`

	Sampling Sampling `json:"sampling,omitzero"`
	Hooks    []Hook   `json:"hooks,omitempty"`
}

// LoadSpec says what the child serves.
type LoadSpec struct {
	Model     string `json:"model"`
	Libraries string `json:"libraries"`
	Threads   int    `json:"threads,omitempty"`
	Context   int    `json:"context"`
	Parallel  int    `json:"parallel"`
	Queue     int    `json:"queue"`
	GPULayers int    `json:"gpu_layers,omitempty"`
	// Temperature and TopP are the defaults for requests that state none;
	// 0 means the model file's own, or the engine's.
	Temperature float64 `json:"temperature,omitempty"`
	TopP        float64 `json:"top_p,omitempty"`
}

// Chat is a conversation.
type Chat struct {
	Messages       []Message       `json:"messages"`
	Tools          []Tool          `json:"tools,omitempty"`
	ToolChoice     json.RawMessage `json:"tool_choice,omitempty"`
	ResponseFormat json.RawMessage `json:"response_format,omitempty"`
}

// Message is one turn.
type Message struct {
	Role      string     `json:"role"`
	Name      string     `json:"name,omitempty"`
	Content   string     `json:"content"`
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
}

// Tool is a function that the model may call.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

// ToolCall is a call: in the conversation so far, or of the answer.
type ToolCall struct {
	Index     int    `json:"index,omitempty"`
	ID        string `json:"id,omitempty"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Prompt is a text, or tokens.
type Prompt struct {
	Text   string `json:"text,omitempty"`
	Tokens []int  `json:"tokens,omitempty"`
}

// Sampling holds the decoding parameters; nil means not given.
type Sampling struct {
	MaxTokens        *int               `json:"max_tokens,omitempty"`
	Temperature      *float64           `json:"temperature,omitempty"`
	TopP             *float64           `json:"top_p,omitempty"`
	TopK             *int               `json:"top_k,omitempty"`
	MinP             *float64           `json:"min_p,omitempty"`
	RepeatPenalty    *float64           `json:"repeat_penalty,omitempty"`
	PresencePenalty  *float64           `json:"presence_penalty,omitempty"`
	FrequencyPenalty *float64           `json:"frequency_penalty,omitempty"`
	Seed             *int64             `json:"seed,omitempty"`
	Stop             []string           `json:"stop,omitempty"`
	N                int                `json:"n,omitempty"`
	Logprobs         bool               `json:"logprobs,omitempty"`
	TopLogprobs      int                `json:"top_logprobs,omitempty"`
	LogitBias        map[string]float64 `json:"logit_bias,omitempty"`
}

// Hook names a logits hook that is registered in the child, with its
// parameters.
type Hook struct {
	Name   string          `json:"name"`
	Params json.RawMessage `json:"params,omitempty"`
}

// FromChild is a message of the child.
type FromChild struct {
	Kind Kind   `json:"kind"`
	ID   uint64 `json:"id,omitempty"`

	Info  *Info  `json:"info,omitempty"`  // Ready
	Error *Error `json:"error,omitempty"` // Failed, Fail

	Choice    int        `json:"choice,omitempty"`
	Text      string     `json:"text,omitempty"`
	ToolCalls []ToolCall `json:"tool_calls,omitempty"`
	Logprobs  []Logprob  `json:"logprobs,omitempty"`
	Finish    string     `json:"finish,omitempty"`

	// Usage so far on Delta, final on End and Fail.
	Usage *Usage `json:"usage,omitempty"`
	// Rate is the tokens per second of the longest choice; on End.
	Rate    float64  `json:"rate,omitempty"`
	Vectors [][]byte `json:"vectors,omitempty"` // Embed: little-endian float32
	Count   int      `json:"count,omitempty"`   // Count
}

// Info describes the loaded model.
type Info struct {
	Description    string  `json:"description"`
	Context        int     `json:"context"`
	ContextTrained int     `json:"context_trained"`
	Parallel       int     `json:"parallel"`
	Threads        int     `json:"threads"`
	Vocabulary     int     `json:"vocabulary"`
	Embedding      int     `json:"embedding"`
	Template       string  `json:"template"`
	TemplateNote   string  `json:"template_note,omitempty"`
	Rate           float64 `json:"rate"`
	System         string  `json:"system"`
}

// Usage counts tokens. Input and CacheRead are disjoint.
type Usage struct {
	Input     int `json:"input"`
	CacheRead int `json:"cache_read,omitempty"`
	Output    int `json:"output"`
}

// Error is a failure with what a *model.Error needs.
type Error struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	Param     string `json:"param,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`
}

// Logprob is a token with its natural-log probability and alternatives.
type Logprob struct {
	Bytes   []byte    `json:"bytes"`
	Logprob float64   `json:"logprob"`
	Top     []Logprob `json:"top,omitempty"`
}

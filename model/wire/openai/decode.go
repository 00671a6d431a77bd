package openai

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/stratahq/strata/model"
)

// DecodeChat reads the body of POST /v1/chat/completions. The request keeps body
// as Raw, and slices of it, so the caller must not change body afterwards.
// Failures are *[model.Error] with status 400 and Param naming the field.
func DecodeChat(body []byte) (*model.Request, error) {
	d := decoder{req: &model.Request{Op: model.OpChat, Chat: &model.Chat{}}}
	d.req.Raw = model.Raw{Wire: model.WireOpenAIChat, Data: body}
	d.sampling = &d.req.Chat.Sampling
	if err := d.decode(body, d.chatField); err != nil {
		return nil, err
	}
	if !d.has("messages") {
		return nil, invalid("messages", "messages is missing: give at least one message")
	}
	if len(d.req.Chat.Messages) == 0 {
		return nil, invalid("messages", "messages is empty: give at least one message")
	}
	return d.finish()
}

// DecodeCompletion reads the body of POST /v1/completions; see [DecodeChat].
func DecodeCompletion(body []byte) (*model.Request, error) {
	d := decoder{req: &model.Request{Op: model.OpComplete, Completion: &model.Completion{}}}
	d.req.Raw = model.Raw{Wire: model.WireOpenAICompletions, Data: body}
	d.sampling = &d.req.Completion.Sampling
	if err := d.decode(body, d.completionField); err != nil {
		return nil, err
	}
	c := d.req.Completion
	if len(c.Prompts)+len(c.PromptTokens) == 0 {
		return nil, invalid("prompt", "prompt is missing: give a text, a list of texts, or token ids")
	}
	if c.BestOf > 0 && c.BestOf < c.Choices() {
		return nil, invalid("best_of", "best_of must be at least n, which is %d", c.Choices())
	}
	if d.req.Stream && c.BestOf > c.Choices() {
		return nil, invalid("best_of", "best_of cannot be streamed: leave it out or set stream to false")
	}
	return d.finish()
}

// DecodeEmbedding reads the body of POST /v1/embeddings; see [DecodeChat].
func DecodeEmbedding(body []byte) (*model.Request, error) {
	d := decoder{req: &model.Request{Op: model.OpEmbed, Embedding: &model.Embedding{}}}
	d.req.Raw = model.Raw{Wire: model.WireOpenAIEmbeddings, Data: body}
	if err := d.decode(body, d.embeddingField); err != nil {
		return nil, err
	}
	e := d.req.Embedding
	if len(e.Inputs)+len(e.InputTokens) == 0 {
		return nil, invalid("input", "input is missing: give a text, a list of texts, or token ids")
	}
	switch e.EncodingFormat {
	case "", "float", "base64":
	default:
		return nil, invalid("encoding_format", "encoding_format must be float or base64")
	}
	if e.Dimensions != nil && *e.Dimensions < 1 {
		return nil, invalid("dimensions", "dimensions must be at least 1")
	}
	return d.finish()
}

// known are the fields that change what a call costs or who pays. A field whose
// name differs from one of them only in case is refused: some servers ignore
// case, and would obey a limit that Strata had not seen.
var known = []string{"model", "max_tokens", "max_completion_tokens", "n", "best_of", "stream", "stream_options", "user", "metadata"}

type decoder struct {
	scanner
	req      *model.Request
	sampling *model.Sampling
	seen     []string
	limitBy  string
}

// decode walks the top-level members. Each is given to field, which reads the
// value and reports whether it knows the name; others go to Extra.
func (d *decoder) decode(body []byte, field func(name string) bool) error {
	if !utf8.Valid(body) {
		i := 0
		for i < len(body) {
			r, n := utf8.DecodeRune(body[i:])
			if r == utf8.RuneError && n <= 1 {
				break
			}
			i += n
		}
		return model.Errorf(400, model.CodeInvalidJSON, "the request body is not valid UTF-8 at byte %d", i)
	}
	d.reset(body)
	var seen [24]string
	d.seen = seen[:0]
	if d.open('{') {
		for n := 0; d.key(&n); {
			name := intern(d.name)
			if d.has(name) {
				d.fail("is given twice")
				break
			}
			d.seen = append(d.seen, name)
			if d.common(name) || field(name) {
				continue
			}
			for _, k := range known {
				if strings.EqualFold(k, name) {
					d.fail("is not a field: did you mean " + k + "?")
				}
			}
			d.extra(name, d.raw())
		}
	}
	d.end()
	if d.err != nil {
		return decodeError(d.err)
	}
	if d.req.Model == "" {
		return invalid("model", "model is missing: name a served model; GET /v1/models lists them")
	}
	return nil
}

func (d *decoder) has(name string) bool {
	for _, s := range d.seen {
		if s == name {
			return true
		}
	}
	return false
}

func (d *decoder) extra(name string, raw []byte) {
	var m *map[string]json.RawMessage
	switch {
	case d.req.Chat != nil:
		m = &d.req.Chat.Extra
	case d.req.Completion != nil:
		m = &d.req.Completion.Extra
	default:
		m = &d.req.Embedding.Extra
	}
	if *m == nil {
		*m = make(map[string]json.RawMessage, 4)
	}
	(*m)[name] = raw
}

func (d *decoder) finish() (*model.Request, error) {
	if s := d.sampling; s != nil && !d.req.Stream {
		s.IncludeUsage = false
	}
	d.scanner, d.seen = scanner{}, nil
	return d.req, nil
}

// common reads the fields that all three bodies share.
func (d *decoder) common(name string) bool {
	switch name {
	case "model":
		d.req.Model = d.text()
		if d.err == nil && d.req.Model == "" {
			d.fail("is empty: name a served model; GET /v1/models lists them")
		}
	case "user":
		if !d.null() {
			d.req.Attribution.EndUser = d.text()
		}
	case "metadata":
		d.metadata()
	default:
		return d.sampling != nil && d.samplingField(name)
	}
	return true
}

// metadata reads OpenAI's map of strings into the attribution's tags.
func (d *decoder) metadata() {
	if d.null() || !d.open('{') {
		return
	}
	tags := make(map[string]string, 4)
	for n := 0; d.key(&n); {
		name := string(d.name)
		tags[name] = d.text()
		if n > 64 {
			d.fail("is one entry too many: metadata holds at most 64")
		}
	}
	if len(tags) > 0 {
		d.req.Attribution.Tags = tags
	}
}

// samplingField reads the fields of chat and completions. A null is a field
// that was not given.
func (d *decoder) samplingField(name string) bool {
	s := d.sampling
	switch name {
	case "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "temperature", "top_p",
		"top_k", "min_p", "repeat_penalty", "repetition_penalty", "presence_penalty", "frequency_penalty",
		"seed", "stop", "logit_bias":
	default:
		return false
	}
	if d.null() {
		return true
	}
	switch name {
	case "stream":
		d.req.Stream = d.boolean()
	case "stream_options":
		d.streamOptions()
	case "max_tokens", "max_completion_tokens":
		if d.limitBy != "" {
			d.fail("and " + d.limitBy + " are both given: give only one")
			return true
		}
		d.limitBy = name
		// The legacy completions endpoint scores a prompt with max_tokens 0.
		least := int64(1)
		if d.req.Completion != nil {
			least = 0
		}
		s.MaxTokens = d.intPtr(least, 1<<31-1)
	case "n":
		s.N = d.intIn(1, 128)
	case "temperature":
		s.Temperature = d.floatPtr(0, 100)
	case "top_p":
		s.TopP = d.floatPtr(0, 1)
	case "top_k":
		s.TopK = d.intPtr(-1, 1<<31-1)
	case "min_p":
		s.MinP = d.floatPtr(0, 1)
	case "repeat_penalty", "repetition_penalty":
		s.RepeatPenalty = d.floatPtr(0, 100)
	case "presence_penalty":
		s.PresencePen = d.floatPtr(-100, 100)
	case "frequency_penalty":
		s.FrequencyPen = d.floatPtr(-100, 100)
	case "seed":
		n := d.integer()
		s.Seed = &n
	case "stop":
		s.Stop = d.stringOrList("a string or an array of strings")
	case "logit_bias":
		if d.open('{') {
			s.LogitBias = make(map[string]float64)
			for n := 0; d.key(&n); {
				token := string(d.name)
				s.LogitBias[token] = d.float()
			}
		}
	}
	return true
}

func (d *decoder) streamOptions() {
	if !d.open('{') {
		return
	}
	for n := 0; d.key(&n); {
		if string(d.name) == "include_usage" && d.kind() != 'n' {
			d.sampling.IncludeUsage = d.boolean()
			continue
		}
		d.skip()
	}
}

func (d *decoder) chatField(name string) bool {
	c := d.req.Chat
	switch name {
	case "messages":
		if !d.open('[') {
			return true
		}
		for i := -1; d.elem(&i); {
			d.message()
		}
	case "tools":
		if d.null() || !d.open('[') {
			return true
		}
		for i := -1; d.elem(&i); {
			d.tool()
		}
	case "tool_choice":
		if d.null() {
			return true
		}
		if k := d.kind(); k != '"' && k != '{' {
			d.expect('{', `"auto", "none", "required" or an object that names a tool`)
			return true
		}
		c.ToolChoice = d.raw()
	case "response_format":
		if d.null() {
			return true
		}
		if d.expect('{', "an object with a type") {
			c.ResponseFormat = d.raw()
		}
	case "logprobs":
		if !d.null() {
			c.Logprobs = d.boolean()
		}
	case "top_logprobs":
		if !d.null() {
			c.TopLogprobs = d.intIn(0, 1000)
		}
	default:
		return false
	}
	return true
}

func (d *decoder) completionField(name string) bool {
	c := d.req.Completion
	switch name {
	case "prompt":
		if !d.null() {
			d.textsOrTokens(&c.Prompts, &c.PromptTokens)
		}
	case "suffix":
		if !d.null() {
			c.Suffix = d.text()
		}
	case "echo":
		if !d.null() {
			c.Echo = d.boolean()
		}
	case "best_of":
		if !d.null() {
			c.BestOf = d.intIn(1, 128)
		}
	case "logprobs":
		if !d.null() {
			c.Logprobs, c.TopLogprobs = true, d.intIn(0, 1000)
		}
	default:
		return false
	}
	return true
}

func (d *decoder) embeddingField(name string) bool {
	e := d.req.Embedding
	switch name {
	case "input":
		d.textsOrTokens(&e.Inputs, &e.InputTokens)
	case "dimensions":
		if !d.null() {
			e.Dimensions = d.intPtr(1, 1<<20)
		}
	case "encoding_format":
		if !d.null() {
			e.EncodingFormat = intern(d.bytes())
		}
	default:
		return false
	}
	return true
}

// maxPrompts bounds the number of prompts or inputs in one request. OpenAI's own
// bound is 2048 inputs (openai-go v3.96.0, EmbeddingNewParams).
const maxPrompts = 4096

// textsOrTokens reads a text, a list of texts, a list of token ids, or a list of
// lists of token ids.
func (d *decoder) textsOrTokens(texts *[]string, tokens *[][]int) {
	const want = "a string, an array of strings, an array of token ids, or an array of those"
	switch d.kind() {
	case '"':
		*texts = []string{d.text()}
		return
	case '[':
	default:
		d.expect('[', want)
		return
	}
	d.open('[')
	var ids []int
	first := byte(0)
	for i := -1; d.elem(&i); {
		k := d.kind()
		if first == 0 {
			first = k
		}
		if k != first && d.err == nil {
			d.fail("is of another kind than the elements before it")
			return
		}
		if i >= maxPrompts && k != '0' {
			d.fail("is one too many: at most 4096 can be sent at once")
			return
		}
		switch k {
		case '"':
			*texts = append(*texts, d.text())
		case '0':
			ids = append(ids, d.intIn(0, 1<<31-1))
		case '[':
			d.open('[')
			list := []int{}
			for j := -1; d.elem(&j); {
				list = append(list, d.intIn(0, 1<<31-1))
			}
			if len(list) == 0 && d.err == nil {
				d.fail("is empty")
			}
			*tokens = append(*tokens, list)
		default:
			d.expect('"', want)
		}
	}
	if ids != nil {
		*tokens = [][]int{ids}
	}
}

func (d *decoder) stringOrList(want string) []string {
	switch d.kind() {
	case '"':
		return []string{d.text()}
	case '[':
	default:
		d.expect('"', want)
		return nil
	}
	d.open('[')
	var list []string
	for i := -1; d.elem(&i); {
		list = append(list, d.text())
	}
	return list
}

func (d *decoder) intIn(least, most int64) int {
	n := d.integer()
	if d.err == nil && (n < least || n > most) {
		d.fail("must be from " + itoa(least) + " to " + itoa(most) + ", and is " + itoa(n))
	}
	return int(n)
}

func (d *decoder) intPtr(least, most int64) *int {
	n := d.intIn(least, most)
	return &n
}

func (d *decoder) floatPtr(least, most float64) *float64 {
	f := d.float()
	if d.err == nil && (f < least || f > most) {
		d.fail("must be from " + ftoa(least) + " to " + ftoa(most) + ", and is " + ftoa(f))
	}
	return &f
}

package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ardanlabs/jinja"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/proto"
)

// renderer turns a conversation into the prompt that the model was trained on.
type renderer struct {
	// kind is where the template comes from: "gguf" (the file's own, run as
	// Jinja), "builtin" (the file's own, recognised by llama.cpp and rendered by
	// its built-in equivalent), or "plain" (the file has none).
	kind string
	note string // why it is not "gguf"; "" otherwise

	tmpl     *jinja.Template
	builtin  func(messages []proto.Message) (string, error)
	bos, eos string
	// ownTools says that the template itself explains tools, in the form that
	// parseToolCall reads.
	ownTools bool
	// specials are the texts of the control tokens. In what a client writes
	// they are plain text: nobody can end a turn from within a message.
	specials []string
}

// newRenderer prepares the template of a model file. builtin renders source
// with llama.cpp's own code.
func newRenderer(source, bos, eos string, specials []string, builtin func(source string, messages []proto.Message) (string, error)) *renderer {
	r := &renderer{bos: bos, eos: eos}
	for _, s := range specials {
		// One rune could be ordinary text; control tokens are longer.
		if len(s) > 2 {
			r.specials = append(r.specials, s)
		}
	}
	// Longest first: one special may begin another.
	slices.SortFunc(r.specials, func(a, b string) int { return len(b) - len(a) })
	r.specials = append(r.specials, string(maskOpen))
	probe := []proto.Message{{Role: "user", Content: "x"}}
	if source == "" {
		r.kind, r.note = "plain", "the file has no chat template, so a chat is written out as a plain transcript"
		return r
	}
	tmpl, err := jinja.Compile(source)
	if err == nil {
		r.kind, r.tmpl = "gguf", tmpl
		r.ownTools = strings.Contains(source, "tools") && strings.Contains(source, toolOpen)
		var text string
		if text, err = r.run(&proto.Chat{Messages: probe}); err == nil && strings.Contains(text, "x") {
			return r
		}
	}
	r.tmpl, r.ownTools = nil, false
	if _, berr := builtin(source, probe); berr == nil {
		r.kind = "builtin"
		r.note = fmt.Sprintf("the file's chat template cannot be run (%v); llama.cpp's built-in form of it is used", err)
		r.builtin = func(m []proto.Message) (string, error) { return builtin(source, m) }
		return r
	}
	r.kind, r.note = "plain", fmt.Sprintf("the file's chat template cannot be run (%v) and llama.cpp does not know it; a chat is written out as a plain transcript", err)
	return r
}

// plainStop ends an answer where a plain transcript would go on with the user.
const plainStop = "\nUser:"

// The private-use runes that stand for a special token's text in a message
// while the template is rendered.
const (
	maskOpen  = '\uE000'
	maskClose = '\uE001'
)

// segment is a piece of a prompt; in a literal one, the texts of control tokens
// are plain text.
type segment struct {
	text    string
	literal bool
}

// render returns the prompt of a chat, up to where the answer begins.
func (r *renderer) render(chat *proto.Chat) ([]segment, error) {
	masked := &proto.Chat{Messages: slices.Clone(chat.Messages), Tools: chat.Tools}
	any := false
	for i := range masked.Messages {
		m := &masked.Messages[i]
		c := r.mask(m.Content)
		any = any || c != m.Content
		m.Content = c
		m.ToolCalls = slices.Clone(m.ToolCalls)
		for j := range m.ToolCalls {
			a := r.mask(m.ToolCalls[j].Arguments)
			any = any || a != m.ToolCalls[j].Arguments
			m.ToolCalls[j].Arguments = a
		}
	}
	text, err := r.run(masked)
	if err != nil {
		return nil, err
	}
	if !any {
		return []segment{{text: text}}, nil
	}
	return r.unmask(text), nil
}

func (r *renderer) mask(s string) string {
	for i, sp := range r.specials {
		if i == len(r.specials)-1 && !strings.ContainsRune(s, maskOpen) {
			break
		}
		if !strings.Contains(s, sp) {
			continue
		}
		// One pass over the original, so that what a mask adds is not masked.
		var b strings.Builder
		for len(s) > 0 {
			at, which := -1, 0
			for j, q := range r.specials {
				if k := strings.Index(s, q); k >= 0 && (at < 0 || k < at) {
					at, which = k, j
				}
			}
			if at < 0 {
				break
			}
			b.WriteString(s[:at])
			b.WriteRune(maskOpen)
			b.WriteString(strconv.Itoa(which))
			b.WriteRune(maskClose)
			s = s[at+len(r.specials[which]):]
		}
		b.WriteString(s)
		return b.String()
	}
	return s
}

func (r *renderer) unmask(text string) []segment {
	var out []segment
	for {
		before, rest, found := strings.Cut(text, string(maskOpen))
		if before != "" {
			out = append(out, segment{text: before})
		}
		if !found {
			return out
		}
		num, after, _ := strings.Cut(rest, string(maskClose))
		if i, err := strconv.Atoi(num); err == nil && i >= 0 && i < len(r.specials) {
			out = append(out, segment{text: r.specials[i], literal: true})
		}
		text = after
	}
}

// run renders without masking.
func (r *renderer) run(chat *proto.Chat) (string, error) {
	messages := chat.Messages
	if len(chat.Tools) > 0 && !r.ownTools || !r.ownTools && hasToolTurns(messages) {
		messages = toolsAsText(messages, chat.Tools)
	}
	switch r.kind {
	case "plain":
		return plainTranscript(messages), nil
	case "builtin":
		text, err := r.builtin(messages)
		if err != nil {
			return "", model.Errorf(400, model.CodeInvalidRequest, "the conversation cannot be put into the model's chat template").Wrap(err)
		}
		return text, nil
	}
	vars := map[string]any{
		"messages":              jinjaMessages(messages),
		"add_generation_prompt": true,
		"bos_token":             r.bos,
		"eos_token":             r.eos,
		"enable_thinking":       true,
	}
	if r.ownTools && len(chat.Tools) > 0 {
		tools := make([]any, len(chat.Tools))
		for i, t := range chat.Tools {
			tools[i] = toolObject(t)
		}
		vars["tools"] = tools
	}
	text, err := r.tmpl.Render(vars)
	if err != nil {
		return "", model.Errorf(400, model.CodeInvalidRequest, "the model's chat template refuses this conversation: %v", err)
	}
	return text, nil
}

func jinjaMessages(messages []proto.Message) []any {
	out := make([]any, len(messages))
	for i, m := range messages {
		v := map[string]any{"role": m.Role, "content": m.Content}
		if m.Name != "" {
			v["name"] = m.Name
		}
		if len(m.ToolCalls) > 0 {
			calls := make([]any, len(m.ToolCalls))
			for j, c := range m.ToolCalls {
				var args any = c.Arguments
				var parsed map[string]any
				if json.Unmarshal([]byte(c.Arguments), &parsed) == nil {
					args = parsed
				}
				calls[j] = map[string]any{"id": c.ID, "type": "function", "function": map[string]any{"name": c.Name, "arguments": args}}
			}
			v["tool_calls"] = calls
		}
		out[i] = v
	}
	return out
}

func plainTranscript(messages []proto.Message) string {
	var b strings.Builder
	for _, m := range messages {
		if m.Content == "" {
			continue
		}
		switch m.Role {
		case "user":
			b.WriteString("User: ")
		case "assistant":
			b.WriteString("Assistant: ")
		}
		b.WriteString(m.Content)
		b.WriteByte('\n')
	}
	b.WriteString("Assistant:")
	return b.String()
}

// Tools, for a template that does not explain them: the functions stand in the
// system message, and a call is JSON between two marks.
const (
	toolOpen  = "<tool_call>"
	toolClose = "</tool_call>"
)

func hasToolTurns(messages []proto.Message) bool {
	return slices.ContainsFunc(messages, func(m proto.Message) bool { return m.Role == "tool" || len(m.ToolCalls) > 0 })
}

func toolObject(t proto.Tool) map[string]any {
	f := map[string]any{"name": t.Name}
	if t.Description != "" {
		f["description"] = t.Description
	}
	var params any
	if json.Unmarshal(t.Parameters, &params) == nil && params != nil {
		f["parameters"] = params
	}
	return map[string]any{"type": "function", "function": f}
}

func toolsAsText(messages []proto.Message, tools []proto.Tool) []proto.Message {
	out := make([]proto.Message, 0, len(messages)+1)
	for _, m := range messages {
		switch {
		case m.Role == "tool":
			m = proto.Message{Role: "user", Content: "<tool_response>\n" + m.Content + "\n</tool_response>"}
		case len(m.ToolCalls) > 0:
			for _, c := range m.ToolCalls {
				args := c.Arguments
				if args == "" {
					args = "{}"
				}
				name, _ := json.Marshal(c.Name)
				m.Content += toolOpen + "\n{\"name\": " + string(name) + ", \"arguments\": " + args + "}\n" + toolClose
			}
			m.ToolCalls = nil
		}
		out = append(out, m)
	}
	if len(tools) == 0 {
		return out
	}
	var b strings.Builder
	b.WriteString("You can call functions. They are listed here, one JSON object per line:\n<tools>\n")
	for _, t := range tools {
		line, _ := json.Marshal(toolObject(t))
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteString("</tools>\nTo call a function, answer with its name and arguments in this form:\n" + toolOpen + "\n{\"name\": \"...\", \"arguments\": {...}}\n" + toolClose)
	if len(out) > 0 && out[0].Role == "system" {
		out[0].Content += "\n\n" + b.String()
		return out
	}
	return append([]proto.Message{{Role: "system", Content: b.String()}}, out...)
}

// plan is what a chat's tools and response format ask of the decoding.
type plan struct {
	tools   []proto.Tool // offered to the model
	watch   bool         // look for calls in the answer
	forced  bool         // the answer is a call: it begins inside toolOpen
	grammar string       // GBNF; "" for none
}

// planChat reads tools, tool_choice and response_format.
func planChat(c *proto.Chat) (plan, error) {
	var p plan
	choice, named := "auto", ""
	if raw := strings.TrimSpace(string(c.ToolChoice)); raw != "" && raw != "null" {
		var obj struct {
			Type     string
			Function struct{ Name string }
		}
		switch {
		case json.Unmarshal([]byte(raw), &choice) == nil:
		case json.Unmarshal([]byte(raw), &obj) == nil && obj.Type == "function" && obj.Function.Name != "":
			choice, named = "named", obj.Function.Name
		case raw == "auto" || raw == "none" || raw == "required":
			choice = raw
		default:
			return p, badParam("tool_choice", "tool_choice must be \"auto\", \"none\", \"required\" or an object that names a function")
		}
	}
	switch choice {
	case "none":
	case "auto":
		p.tools = c.Tools
		p.watch = len(c.Tools) > 0
	case "required", "named":
		if len(c.Tools) == 0 {
			return p, badParam("tool_choice", "tool_choice asks for a call, but there are no tools")
		}
		callable := c.Tools
		if named != "" {
			i := slices.IndexFunc(c.Tools, func(t proto.Tool) bool { return t.Name == named })
			if i < 0 {
				return p, badParam("tool_choice", "tool_choice names %q, which is not among the tools", named)
			}
			callable = c.Tools[i : i+1]
		}
		p.tools, p.forced = c.Tools, true
		p.grammar = callGrammar(callable)
	default:
		return p, badParam("tool_choice", "tool_choice %q is not \"auto\", \"none\" or \"required\"", choice)
	}
	if len(c.ResponseFormat) == 0 || string(c.ResponseFormat) == "null" {
		return p, nil
	}
	var f struct {
		Type       string
		JSONSchema struct{ Schema json.RawMessage } `json:"json_schema"`
	}
	if err := json.Unmarshal(c.ResponseFormat, &f); err != nil {
		return p, badParam("response_format", "response_format must be an object with a type")
	}
	switch f.Type {
	case "text":
		return p, nil
	case "json_object":
		p.grammar = jsonGrammar
	case "json_schema":
		if len(f.JSONSchema.Schema) == 0 {
			return p, badParam("response_format", "response_format.json_schema.schema is missing")
		}
		g, err := schemaGrammar(f.JSONSchema.Schema)
		if err != nil {
			return p, unsupported("response_format", "%v", err)
		}
		p.grammar = g
	default:
		return p, unsupported("response_format", "the response_format type %q is not supported; text, json_object and json_schema are", f.Type)
	}
	if p.watch || p.forced {
		return p, unsupported("response_format", "the local engine cannot combine tools with response_format %s; set tool_choice to \"none\"", f.Type)
	}
	return p, nil
}

// callGrammar accepts the JSON of a call of one of the tools. A parameter
// schema outside the supported subset accepts any object: only strict tools
// promise more, and the gateway's caller is told by the schema check there.
func callGrammar(tools []proto.Tool) string {
	g := &grammarBuilder{refs: map[string]string{}}
	alts := make([]string, len(tools))
	for i, t := range tools {
		args := "object"
		if len(t.Parameters) > 0 && string(t.Parameters) != "null" {
			sub := &grammarBuilder{refs: map[string]string{}, n: g.n}
			if root, err := parseOrdered(t.Parameters); err == nil {
				sub.root = root
				if body, err := sub.value(root, "$"); err == nil {
					args = body
					g.rules.WriteString(sub.rules.String())
				}
			}
			g.n = sub.n
		}
		alts[i] = `"{" ws "\"name\"" ws ":" ws ` + literal(t.Name) + ` ws "," ws "\"arguments\"" ws ":" ws ` + args + ` ws "}"`
	}
	return "root ::= " + strings.Join(alts, " | ") + "\n" + g.rules.String() + jsonRules
}

// parseToolCall reads the JSON of one call. Models write "parameters" as well.
func parseToolCall(text string) (name, arguments string, ok bool) {
	var c struct {
		Name       string
		Arguments  json.RawMessage
		Parameters json.RawMessage
	}
	if json.Unmarshal([]byte(strings.TrimSpace(text)), &c) != nil || c.Name == "" {
		return "", "", false
	}
	args := c.Arguments
	if len(args) == 0 {
		args = c.Parameters
	}
	if len(args) == 0 {
		args = json.RawMessage("{}")
	}
	// Some models write the arguments as a string of JSON, as the wire does.
	var s string
	if json.Unmarshal(args, &s) == nil {
		args = json.RawMessage(s)
	}
	return c.Name, string(args), json.Valid(args)
}

func badParam(param, format string, args ...any) *model.Error {
	e := model.Errorf(400, model.CodeInvalidRequest, format, args...)
	e.Param = param
	return e
}

func unsupported(param, format string, args ...any) *model.Error {
	e := model.Errorf(400, model.CodeUnsupported, format, args...)
	e.Param = param
	return e
}

// asError turns an error into its wire form; what has no message for clients
// becomes an internal error.
func asError(err error) *proto.Error {
	var e *model.Error
	if !errors.As(err, &e) {
		e = model.Errorf(500, model.CodeInternal, "the local engine failed; the log has the details").Wrap(err)
	}
	return &proto.Error{Status: e.Status, Code: e.Code, Message: e.Message, Param: e.Param, Retryable: e.Retryable}
}

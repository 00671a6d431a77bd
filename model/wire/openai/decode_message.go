package openai

import (
	"encoding/json"

	"github.com/stratahq/strata/model"
)

func (d *decoder) message() {
	if !d.open('{') {
		return
	}
	var m model.Message
	hasRole, hasContent := false, false
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "role":
			m.Role, hasRole = intern(d.bytes()), true
			if m.Role == "" {
				d.fail("is empty: it is one of system, developer, user, assistant, tool")
			}
		case "content":
			hasContent = true
			d.content(&m)
		case "name":
			if !d.null() {
				m.Name = d.text()
			}
		case "tool_call_id":
			if !d.null() {
				m.ToolCallID = d.text()
			}
		case "tool_calls":
			d.toolCalls(&m.ToolCalls)
		default:
			name := string(d.name)
			if m.Extra == nil {
				m.Extra = make(map[string]json.RawMessage, 2)
			}
			m.Extra[name] = d.raw()
		}
	}
	if d.err != nil {
		return
	}
	if !hasRole {
		d.depth++ // name the missing member
		d.path[min(d.depth, trackedDepth)-1] = segment{name: []byte("role")}
		d.fail("is missing: it is one of system, developer, user, assistant, tool")
		return
	}
	if !hasContent && m.Role != "assistant" {
		d.depth++
		d.path[min(d.depth, trackedDepth)-1] = segment{name: []byte("content")}
		d.fail("is missing")
		return
	}
	d.req.Chat.Messages = append(d.req.Chat.Messages, m)
}

func (d *decoder) content(m *model.Message) {
	switch d.kind() {
	case '"':
		m.Parts = []model.Part{{Type: model.PartText, Text: d.text()}}
	case 'n':
		d.null()
	case '[':
		d.open('[')
		for i := -1; d.elem(&i); {
			d.part(m)
		}
	default:
		d.expect('"', "a string or an array of parts")
	}
}

func (d *decoder) part(m *model.Message) {
	if d.kind() == '"' { // some clients send plain strings in the list
		m.Parts = append(m.Parts, model.Part{Type: model.PartText, Text: d.text()})
		return
	}
	if !d.expect('{', "an object with a type") {
		return
	}
	start := d.pos
	d.open('{')
	var p model.Part
	var kind string
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "type":
			kind = intern(d.bytes())
		case "text", "refusal":
			if d.kind() == '"' {
				p.Text = d.text()
			} else {
				d.skip()
			}
		case "image_url", "file":
			p.URL = d.address()
		default:
			d.skip()
		}
	}
	if d.err != nil {
		return
	}
	raw := d.data[start:d.pos:d.pos]
	switch kind {
	case "text", "input_text", "output_text":
		p.Type = model.PartText
	case "image_url", "input_image":
		p.Type, p.Raw = model.PartImage, raw
	case "input_audio", "audio_url":
		p.Type, p.Raw = model.PartAudio, raw
	case "file", "input_file":
		p.Type, p.Raw = model.PartFile, raw
	case "refusal":
		p.Type, p.Raw = model.PartRefusal, raw
	case "":
		d.fail("has no type: it is one of text, image_url, input_audio, file, refusal")
		return
	default:
		p.Type, p.Raw = model.PartOther, raw
	}
	m.Parts = append(m.Parts, p)
}

// address reads the url of {"url": …} or a plain string, or a file's data.
func (d *decoder) address() (url string) {
	if d.kind() == '"' {
		return d.text()
	}
	if !d.open('{') {
		return ""
	}
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "url", "file_data":
			if d.kind() == '"' {
				url = d.text()
				continue
			}
		}
		d.skip()
	}
	return url
}

// toolCalls reads a list of whole or partial tool calls.
func (s *scanner) toolCalls(to *[]model.ToolCall) {
	if s.null() || !s.open('[') {
		return
	}
	for i := -1; s.elem(&i); {
		if !s.open('{') {
			return
		}
		t := model.ToolCall{Index: i}
		for n := 0; s.key(&n); {
			switch string(s.name) {
			case "index":
				if !s.null() {
					t.Index = int(s.integer())
				}
			case "id":
				if !s.null() {
					t.ID = s.text()
				}
			case "type":
				if !s.null() {
					t.Type = intern(s.bytes())
				}
			case "function", "custom":
				if s.null() || !s.open('{') {
					continue
				}
				for n := 0; s.key(&n); {
					switch string(s.name) {
					case "name":
						if !s.null() {
							t.Name = s.text()
						}
					case "arguments", "input":
						switch s.kind() {
						case '"':
							t.Arguments = s.text()
						case 'n':
							s.null()
						default: // some servers send the arguments as an object
							t.Arguments = string(s.raw())
						}
					default:
						s.skip()
					}
				}
			default:
				s.skip()
			}
		}
		*to = append(*to, t)
	}
}

func (d *decoder) tool() {
	if !d.expect('{', "an object with a type") {
		return
	}
	d.space()
	start := d.pos
	d.open('{')
	var t model.Tool
	for n := 0; d.key(&n); {
		switch string(d.name) {
		case "type":
			t.Type = intern(d.bytes())
		case "function":
			if !d.open('{') {
				return
			}
			for n := 0; d.key(&n); {
				switch string(d.name) {
				case "name":
					t.Name = d.text()
				case "description":
					if !d.null() {
						t.Description = d.text()
					}
				case "parameters":
					if !d.null() && d.expect('{', "a JSON Schema object") {
						t.Parameters = d.raw()
					}
				default:
					d.skip()
				}
			}
			if d.err == nil && t.Name == "" {
				d.fail("has no name")
			}
		default:
			d.skip()
		}
	}
	if d.err != nil {
		return
	}
	if t.Type == "" {
		d.fail(`has no type: it is "function" or a tool of the provider`)
		return
	}
	if t.Type == "function" && t.Name == "" {
		d.fail("has no function")
		return
	}
	t.Raw = d.data[start:d.pos:d.pos]
	d.req.Chat.Tools = append(d.req.Chat.Tools, t)
}

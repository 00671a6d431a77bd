package usage

import (
	"encoding/base64"
	"strings"
)

// textBuffer gathers the text of a reply for the tokenizer.
type textBuffer struct {
	b   []byte
	any bool // anything that counts as output, text or not
}

// maxText bounds the text that is kept for an estimate. What comes after it is
// not counted; no model puts out as much in one reply.
const maxText = 16 << 20

// String is the text gathered.
func (t *textBuffer) String() string { return string(t.b) }

func (t *textBuffer) add(s string) {
	if s == "" {
		return
	}
	t.any = true
	if len(t.b)+len(s) <= maxText {
		t.b = append(t.b, s...)
	}
}

// carriers are the keys whose strings are output in some wire.
var carriers = map[string]bool{
	"content": true, "text": true, "reasoning_content": true, "reasoning": true, "thinking": true,
	"refusal": true, "arguments": true, "partial_json": true, "transcript": true, "delta": true,
	"response": true, "completion": true, "generation": true, "outputText": true, "input": true,
	"tool_plan": true, "generated_text": true, "output_text": true,
}

// asides are the keys below which nothing is output: echoes of the request,
// metadata, quotations of sources.
var asides = map[string]bool{
	"usage": true, "usageMetadata": true, "instructions": true, "tools": true, "tool_choice": true,
	"metadata": true, "annotations": true, "citations": true, "search_results": true, "logprobs": true,
	"groundingMetadata": true, "grounding_metadata": true, "citationMetadata": true, "error": true,
	"prompt": true, "prompt_filter_results": true, "content_filter_results": true, "safetyRatings": true,
	"timings": true, "meta": true, "format": true, "encrypted_content": true, "signature": true,
	"documents": true, "search_queries": true, "chat_history": true, "promptFeedback": true,
	"logprobs_result": true, "logprobsResult": true, "context": true, "images": true, "x_groq": true,
}

// walk gathers the strings of n under the carrying keys. carry says that n
// itself stands under one.
func (t *textBuffer) walk(n *node, carry bool) {
	if n == nil {
		return
	}
	switch n.kind {
	case 's':
		if carry {
			t.add(n.text)
		}
	case 'a':
		for _, v := range n.vals {
			t.walk(v, carry)
		}
	case 'o':
		both := n.get("message") != nil && n.get("delta") != nil
		for i, k := range n.keys {
			v := n.vals[i]
			switch {
			case asides[k], both && k == "delta":
			case k == "functionCall", k == "function_call", k == "toolUse", k == "inlineData", k == "inline_data", k == "executableCode":
				if v.kind != '0' {
					t.any = true
					t.everything(v)
				}
			case k == "input" && v.kind == 'o', k == "args":
				t.everything(v)
			case k == "audio" && v.kind == 'o', k == "b64_json" && v.kind == 's':
				t.any = t.any || v.kind == 's' && v.text != "" || v.first("data", "id", "transcript") != nil
				t.walk(v, false)
			case v.kind == 's':
				if carriers[k] {
					t.add(v.text)
				}
			case v.kind == 'a' || v.kind == 'o':
				t.walk(v, carriers[k] && v.kind == 'a')
			}
		}
	}
}

// everything gathers all strings and keys below n, as of the arguments of a
// tool call.
func (t *textBuffer) everything(n *node) {
	if n == nil {
		return
	}
	switch n.kind {
	case 's', 'n':
		t.add(n.text)
	case 'a', 'o':
		for i, v := range n.vals {
			if n.kind == 'o' {
				t.add(n.keys[i])
			}
			t.everything(v)
		}
	}
}

// observeOutput gathers the output of one document.
func (c *collector) observeOutput(doc *node) {
	kind := doc.get("type").str()
	switch {
	case kind == "response.created", kind == "response.in_progress", kind == "response.queued",
		strings.HasSuffix(kind, ".done") && strings.HasPrefix(kind, "response."):
		// Echoes of the request, or of text that its deltas brought.
	case doc.at("response", "output") != nil && kind != "":
		// The whole reply at the end of a Responses stream stands above its deltas.
		var whole textBuffer
		whole.walk(doc.at("response", "output"), false)
		if whole.any {
			c.output = whole
		}
	case doc.get("object").str() == "response":
		c.output.walk(doc.get("output"), false)
	case kind == "transcript.text.done", doc.get("event_type").str() == "stream-end":
		if !c.output.any {
			c.output.walk(doc, false)
		}
	case c.surface == "embeddings", c.surface == "rerank", c.surface == "embed":
	default:
		c.output.walk(doc, false)
	}
	if kind == "speech.audio.delta" {
		c.output.any = true
	}
	c.text = c.text || c.output.any
	c.observeImages(doc, kind)
}

// observeImages counts the images that an image endpoint made.
func (c *collector) observeImages(doc *node, kind string) {
	switch {
	case kind == "image_generation.completed", kind == "image_edit.completed":
		c.images++
		return
	case kind != "":
		return
	}
	for _, key := range []string{"data", "images", "predictions", "generatedImages", "artifacts"} {
		n := int64(0)
		for _, item := range doc.get(key).items() {
			if item.kind == 's' || item.first("url", "b64_json", "bytesBase64Encoded", "image", "base64") != nil {
				n++
			}
		}
		if n > 0 {
			c.images += n
			c.text = true
			return
		}
	}
}

// decodeBase64 accepts both alphabets, padded or not.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	return base64.RawStdEncoding.DecodeString(s)
}

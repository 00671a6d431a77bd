package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// errSchema is wrapped by every error about a JSON Schema that cannot be
// enforced.
var errSchema = errors.New("schema not supported by the local engine")

// jsonRules are the GBNF rules of JSON itself. White space is bounded so that a
// small model cannot fill its answer with it.
const jsonRules = `ws ::= | " " | "\n" [ \t]{0,20}
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt/] | "u" hex hex hex hex)
hex ::= [0-9a-fA-F]
integer ::= "-"? ("0" | [1-9] [0-9]{0,17})
number ::= integer ("." [0-9]{1,18})? ([eE] [-+]? [0-9]{1,3})?
boolean ::= "true" | "false"
null ::= "null"
value ::= object | array | string | number | boolean | null
object ::= "{" ws (string ws ":" ws value ws ("," ws string ws ":" ws value ws)*)? "}"
array ::= "[" ws (value ws ("," ws value ws)*)? "]"
`

// jsonGrammar accepts any JSON object, for response_format json_object.
const jsonGrammar = "root ::= object\n" + jsonRules

// schemaGrammar is the GBNF grammar of the values that a JSON Schema allows. It
// is a subset, and what lies outside is an error that names the keyword, never
// a constraint that is silently dropped.
//
// Supported: type (also a list), properties, required, additionalProperties
// false (and absent, taken as false, since OpenAI's strict mode demands it),
// items, minItems, maxItems, enum, const, anyOf, oneOf, $ref to #/$defs or
// #/definitions, minLength, maxLength; title, description, default, examples
// and $schema are remarks. Properties come in the order of the schema.
func schemaGrammar(schema json.RawMessage) (string, error) {
	g := &grammarBuilder{refs: map[string]string{}}
	root, err := parseOrdered(schema)
	if err != nil {
		return "", fmt.Errorf("%w: it is not JSON: %w", errSchema, err)
	}
	g.root = root
	body, err := g.value(root, "$")
	if err != nil {
		return "", err
	}
	return "root ::= " + body + "\n" + g.rules.String() + jsonRules, nil
}

type grammarBuilder struct {
	root  any
	rules strings.Builder
	n     int
	refs  map[string]string
	depth int
}

// object is a JSON object that keeps the order of its members.
type object struct {
	keys []string
	vals map[string]any
}

func (o *object) get(k string) (any, bool) { v, ok := o.vals[k]; return v, ok }

func parseOrdered(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := orderedValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err == nil {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

func orderedValue(dec *json.Decoder, depth int) (any, error) {
	if depth > 64 {
		return nil, errors.New("nested too deep")
	}
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := &object{vals: map[string]any{}}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := orderedValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			if _, dup := o.vals[k.(string)]; !dup {
				o.keys = append(o.keys, k.(string))
			}
			o.vals[k.(string)] = v
		}
		_, err := dec.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := orderedValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	}
	return t, nil
}

// remarks are keywords that constrain nothing.
var remarks = []string{"title", "description", "default", "examples", "$schema", "$id", "$defs", "definitions", "$comment", "deprecated", "readOnly", "writeOnly", "nullable"}

func (g *grammarBuilder) rule(body string) string {
	g.n++
	name := "r" + strconv.Itoa(g.n)
	fmt.Fprintf(&g.rules, "%s ::= %s\n", name, body)
	return name
}

// value is a GBNF expression for a schema; at is its place, for errors.
func (g *grammarBuilder) value(schema any, at string) (string, error) {
	if g.depth++; g.depth > 64 {
		return "", fmt.Errorf("%w: %s is nested too deep", errSchema, at)
	}
	defer func() { g.depth-- }()
	if b, ok := schema.(bool); ok && b {
		return "value", nil
	}
	s, ok := schema.(*object)
	if !ok {
		return "", fmt.Errorf("%w: %s is not an object", errSchema, at)
	}
	known := func(extra ...string) error {
		for _, k := range s.keys {
			if !slices.Contains(extra, k) && !slices.Contains(remarks, k) {
				return fmt.Errorf("%w: the keyword %q at %s", errSchema, k, at)
			}
		}
		return nil
	}
	if v, ok := s.get("$ref"); ok {
		if err := known("$ref"); err != nil {
			return "", err
		}
		return g.ref(v, at)
	}
	if v, ok := s.get("const"); ok {
		return literal(v), known("const", "type")
	}
	if v, ok := s.get("enum"); ok {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return "", fmt.Errorf("%w: enum at %s is not a list", errSchema, at)
		}
		alts := make([]string, len(list))
		for i, e := range list {
			alts[i] = literal(e)
		}
		return "(" + strings.Join(alts, " | ") + ")", known("enum", "type")
	}
	for _, k := range []string{"anyOf", "oneOf"} {
		v, ok := s.get(k)
		if !ok {
			continue
		}
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return "", fmt.Errorf("%w: %s at %s is not a list", errSchema, k, at)
		}
		alts := make([]string, len(list))
		for i, e := range list {
			body, err := g.value(e, fmt.Sprintf("%s.%s[%d]", at, k, i))
			if err != nil {
				return "", err
			}
			alts[i] = body
		}
		return "(" + strings.Join(alts, " | ") + ")", known(k)
	}
	switch t, _ := s.get("type"); t := t.(type) {
	case []any:
		alts := make([]string, len(t))
		for i, e := range t {
			name, ok := e.(string)
			if !ok {
				return "", fmt.Errorf("%w: type at %s", errSchema, at)
			}
			one := &object{vals: map[string]any{"type": name}, keys: []string{"type"}}
			for _, k := range s.keys {
				if k != "type" && slices.Contains(keywordsOf[name], k) {
					one.keys = append(one.keys, k)
					one.vals[k] = s.vals[k]
				}
			}
			body, err := g.value(one, at)
			if err != nil {
				return "", err
			}
			alts[i] = body
		}
		all := []string{"type"}
		for _, e := range t {
			all = append(all, keywordsOf[e.(string)]...)
		}
		return "(" + strings.Join(alts, " | ") + ")", known(all...)
	case string:
		if err := known(append([]string{"type"}, keywordsOf[t]...)...); err != nil {
			return "", err
		}
		switch t {
		case "object":
			return g.object(s, at)
		case "array":
			return g.array(s, at)
		case "string":
			lo, hi, bounded, err := bounds(s, "minLength", "maxLength", at)
			if err != nil || !bounded {
				return "string", err
			}
			return `"\"" char` + repeat(lo, hi) + ` "\""`, nil
		case "integer", "number", "boolean", "null":
			return t, nil
		}
		return "", fmt.Errorf("%w: the type %q at %s", errSchema, t, at)
	case nil:
		if _, ok := s.get("properties"); ok {
			return g.object(s, at)
		}
		return "value", known()
	}
	return "", fmt.Errorf("%w: type at %s", errSchema, at)
}

// keywordsOf are the keywords that are enforced for each type.
var keywordsOf = map[string][]string{
	"object": {"properties", "required", "additionalProperties"},
	"array":  {"items", "minItems", "maxItems"},
	"string": {"minLength", "maxLength"},
}

func (g *grammarBuilder) ref(v any, at string) (string, error) {
	path, _ := v.(string)
	if name, ok := g.refs[path]; ok {
		return name, nil
	}
	var target any = g.root
	rest, ok := strings.CutPrefix(path, "#")
	if !ok {
		return "", fmt.Errorf("%w: $ref %q at %s leads out of the schema", errSchema, path, at)
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		if rest == "" {
			break
		}
		o, ok := target.(*object)
		if ok {
			target, ok = o.get(strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
		}
		if !ok {
			return "", fmt.Errorf("%w: $ref %q at %s names nothing", errSchema, path, at)
		}
	}
	g.n++
	name := "ref" + strconv.Itoa(g.n)
	g.refs[path] = name // before its body, which may refer to itself
	body, err := g.value(target, path)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&g.rules, "%s ::= %s\n", name, body)
	return name, nil
}

func (g *grammarBuilder) object(s *object, at string) (string, error) {
	if v, ok := s.get("additionalProperties"); ok && v != false {
		return "", fmt.Errorf("%w: additionalProperties at %s other than false", errSchema, at)
	}
	props := &object{vals: map[string]any{}}
	if v, ok := s.get("properties"); ok {
		if props, ok = v.(*object); !ok {
			return "", fmt.Errorf("%w: properties at %s", errSchema, at)
		}
	} else if _, ok := s.get("additionalProperties"); !ok {
		return "object", nil
	}
	required := map[string]bool{}
	if v, ok := s.get("required"); ok {
		list, _ := v.([]any)
		for _, e := range list {
			name, _ := e.(string)
			if _, ok := props.get(name); !ok {
				return "", fmt.Errorf("%w: %s requires %q, which is not among its properties", errSchema, at, name)
			}
			required[name] = true
		}
	}
	// tail[i] is what may follow once some property before i was written, and
	// head what may stand when none was: commas stand only between members.
	head, tail := `ws "}"`, `ws "}"`
	for i := len(props.keys) - 1; i >= 0; i-- {
		k := props.keys[i]
		body, err := g.value(props.vals[k], at+"."+k)
		if err != nil {
			return "", err
		}
		member := g.rule("ws " + literal(k) + ` ws ":" ws ` + body)
		t, h := member+" "+tail, member+" "+tail
		t = `ws "," ` + t
		if !required[k] {
			t = "(" + t + " | " + tail + ")"
			h = "(" + h + " | " + head + ")"
		}
		tail, head = g.rule(t), h
	}
	return g.rule(`"{" ` + head), nil
}

func (g *grammarBuilder) array(s *object, at string) (string, error) {
	item := "value"
	if v, ok := s.get("items"); ok {
		var err error
		if item, err = g.value(v, at+"[]"); err != nil {
			return "", err
		}
	}
	lo, hi, _, err := bounds(s, "minItems", "maxItems", at)
	if err != nil {
		return "", err
	}
	if hi == 0 {
		return `"[" ws "]"`, nil
	}
	more := hi
	if hi > 0 {
		more = hi - 1
	}
	list := item + ` (ws "," ws ` + item + ")" + repeat(max(lo-1, 0), more)
	if lo == 0 {
		list = "(" + list + ")?"
	}
	return g.rule(`"[" ws ` + list + ` ws "]"`), nil
}

// maxRepeat bounds counted repetitions: llama.cpp unrolls them.
const maxRepeat = 2000

// bounds reads a pair of limits; hi is -1 when there is no upper one.
func bounds(s *object, loKey, hiKey, at string) (lo, hi int, any bool, err error) {
	hi = -1
	read := func(key string, into *int) {
		v, ok := s.get(key)
		if !ok || err != nil {
			return
		}
		any = true
		num, ok := v.(json.Number)
		n, convErr := strconv.Atoi(num.String())
		if !ok || convErr != nil || n < 0 || n > maxRepeat {
			err = fmt.Errorf("%w: %s at %s must be a whole number up to %d", errSchema, key, at, maxRepeat)
			return
		}
		*into = n
	}
	read(loKey, &lo)
	read(hiKey, &hi)
	if err == nil && hi >= 0 && lo > hi {
		err = fmt.Errorf("%w: %s exceeds %s at %s", errSchema, loKey, hiKey, at)
	}
	return lo, hi, any, err
}

func repeat(lo, hi int) string {
	if hi < 0 {
		return fmt.Sprintf("{%d,}", lo)
	}
	return fmt.Sprintf("{%d,%d}", lo, hi)
}

// literal is a GBNF string that matches the JSON text of v.
func literal(v any) string {
	var b bytes.Buffer
	writeJSON(&b, v)
	q := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(b.String())
	return `"` + q + `"`
}

func writeJSON(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case *object:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, k)
			b.WriteByte(':')
			writeJSON(b, v.vals[k])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, e)
		}
		b.WriteByte(']')
	default:
		enc := json.NewEncoder(b)
		enc.SetEscapeHTML(false)
		if enc.Encode(v) == nil {
			b.Truncate(b.Len() - 1) // the encoder's line feed
		}
	}
}

package usage

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/stratahq/strata/money"
)

// node is one JSON value of a reply. Numbers keep their text, so that no amount
// passes through a float.
type node struct {
	kind byte   // 'o' object, 'a' array, 's' string, 'n' number, 't', 'f', '0' null
	text string // of a string (decoded) or number (as written)
	keys []string
	vals []*node
}

var errJSON = errors.New("not valid JSON")

// maxDepth bounds the nesting that is read, so that hostile text cannot exhaust
// the stack.
const maxDepth = 256

// parseNode reads one JSON value that fills data but for white space.
func parseNode(data []byte) (*node, error) {
	p := nodeParser{data: string(data)}
	p.space()
	n, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i != len(data) {
		return nil, errJSON
	}
	return n, nil
}

// nodeParser copies the text once; all strings without escapes are parts of
// that copy.
type nodeParser struct {
	data string
	i    int
	slab []node
}

// make allocates nodes by the dozen.
func (p *nodeParser) make(kind byte, text string) *node {
	if len(p.slab) == 0 {
		p.slab = make([]node, 16)
	}
	n := &p.slab[0]
	p.slab = p.slab[1:]
	n.kind, n.text = kind, text
	return n
}

func (p *nodeParser) space() {
	for p.i < len(p.data) {
		switch p.data[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *nodeParser) peek() byte {
	if p.i < len(p.data) {
		return p.data[p.i]
	}
	return 0
}

var (
	nodeTrue  = &node{kind: 't'}
	nodeFalse = &node{kind: 'f'}
	nodeNull  = &node{kind: '0'}
)

func (p *nodeParser) value(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errJSON
	}
	switch c := p.peek(); {
	case c == '{':
		return p.members(depth, '}')
	case c == '[':
		return p.members(depth, ']')
	case c == '"':
		s, err := p.str()
		return p.make('s', s), err
	case c == 't':
		return nodeTrue, p.word("true")
	case c == 'f':
		return nodeFalse, p.word("false")
	case c == 'n':
		return nodeNull, p.word("null")
	default:
		return p.number()
	}
}

func (p *nodeParser) word(w string) error {
	if len(p.data)-p.i < len(w) || p.data[p.i:p.i+len(w)] != w {
		return errJSON
	}
	p.i += len(w)
	return nil
}

func (p *nodeParser) members(depth int, end byte) (*node, error) {
	n := p.make('a', "")
	if end == '}' {
		n.kind = 'o'
		n.keys = make([]string, 0, 6)
	}
	n.vals = make([]*node, 0, 6)
	p.i++
	p.space()
	if p.peek() == end {
		p.i++
		return n, nil
	}
	for {
		p.space()
		if n.kind == 'o' {
			if p.peek() != '"' {
				return nil, errJSON
			}
			k, err := p.str()
			if err != nil {
				return nil, err
			}
			p.space()
			if p.peek() != ':' {
				return nil, errJSON
			}
			p.i++
			p.space()
			n.keys = append(n.keys, k)
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.vals = append(n.vals, v)
		p.space()
		switch p.peek() {
		case ',':
			p.i++
		case end:
			p.i++
			return n, nil
		default:
			return nil, errJSON
		}
	}
}

func (p *nodeParser) str() (string, error) {
	start := p.i + 1
	for i := start; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			p.i = i + 1
			return p.data[start:i], nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", errJSON
		}
	}
	return "", errJSON
}

// escaped reads a string that has escapes, with the standard decoder.
func (p *nodeParser) escaped(start int) (string, error) {
	for i := start; i < len(p.data); i++ {
		switch p.data[i] {
		case '\\':
			i++
		case '"':
			var s string
			if err := json.Unmarshal([]byte(p.data[start-1:i+1]), &s); err != nil {
				return "", errJSON
			}
			p.i = i + 1
			return s, nil
		}
	}
	return "", errJSON
}

func (p *nodeParser) number() (*node, error) {
	start := p.i
	digits := func() bool {
		from := p.i
		for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
			p.i++
		}
		return p.i > from
	}
	if p.peek() == '-' {
		p.i++
	}
	first := p.i
	if !digits() || p.data[first] == '0' && p.i > first+1 {
		return nil, errJSON
	}
	if p.peek() == '.' {
		p.i++
		if !digits() {
			return nil, errJSON
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.i++
		if c := p.peek(); c == '+' || c == '-' {
			p.i++
		}
		if !digits() {
			return nil, errJSON
		}
	}
	return p.make('n', p.data[start:p.i]), nil
}

// get is the last member with the key that is not null, or nil. All methods
// work on a nil node.
func (n *node) get(key string) *node {
	if n == nil || n.kind != 'o' {
		return nil
	}
	for i := len(n.keys) - 1; i >= 0; i-- {
		if n.keys[i] == key && n.vals[i].kind != '0' {
			return n.vals[i]
		}
	}
	return nil
}

// has says that the key is there, be it with null.
func (n *node) has(key string) bool {
	if n == nil || n.kind != 'o' {
		return false
	}
	for _, k := range n.keys {
		if k == key {
			return true
		}
	}
	return false
}

// at follows a path of keys.
func (n *node) at(path ...string) *node {
	for _, k := range path {
		n = n.get(k)
	}
	return n
}

// first is the first of the keys that is there and not null.
func (n *node) first(keys ...string) *node {
	for _, k := range keys {
		if v := n.get(k); v != nil {
			return v
		}
	}
	return nil
}

// object is n when it is an object, and nil otherwise.
func (n *node) object() *node {
	if n != nil && n.kind == 'o' {
		return n
	}
	return nil
}

func (n *node) str() string {
	if n != nil && n.kind == 's' {
		return n.text
	}
	return ""
}

func (n *node) items() []*node {
	if n != nil && n.kind == 'a' {
		return n.vals
	}
	return nil
}

func (n *node) isTrue() bool { return n != nil && n.kind == 't' }

// small is the value of a number of at most 15 digits, without a sign, as nearly
// all counts are.
func (n *node) small() (v int64, ok bool) {
	if n.kind != 'n' || len(n.text) > 15 {
		return 0, false
	}
	for i := 0; i < len(n.text); i++ {
		c := n.text[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

// decimal is the exact value of a number, or of a string that is a number.
func (n *node) decimal() (money.Decimal, bool) {
	if n == nil || (n.kind != 'n' && n.kind != 's') {
		return money.Decimal{}, false
	}
	d, err := money.ParseDecimal(n.text)
	return d, err == nil
}

// lookup follows a dotted path; a whole number indexes an array, and -1 is its
// last item.
func (n *node) lookup(path []string) *node {
	for _, k := range path {
		if n != nil && n.kind == 'a' {
			i, err := strconv.Atoi(k)
			if err == nil && i < 0 {
				i += len(n.vals)
			}
			if err != nil || i < 0 || i >= len(n.vals) {
				return nil
			}
			n = n.vals[i]
			continue
		}
		n = n.get(k)
	}
	if n != nil && n.kind == '0' {
		return nil
	}
	return n
}

// merge puts the members of m that are not null over those of n, object by
// object: the last value of each field that is not null stands.
func (n *node) merge(m *node) *node {
	if m == nil || m.kind == '0' {
		return n
	}
	if n == nil || n.kind != 'o' || m.kind != 'o' {
		return m
	}
	out := &node{kind: 'o', keys: n.keys[:len(n.keys):len(n.keys)], vals: append([]*node(nil), n.vals...)}
next:
	for i, k := range m.keys {
		if m.vals[i].kind == '0' {
			continue
		}
		for j := range out.keys {
			if out.keys[j] == k {
				out.vals[j] = out.vals[j].merge(m.vals[i])
				continue next
			}
		}
		out.keys = append(out.keys, k)
		out.vals = append(out.vals, m.vals[i])
	}
	return out
}

// runes counts the characters of a text.
func runes(s string) int64 { return int64(utf8.RuneCountInString(s)) }

package openai

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of JSON, so that hostile input cannot exhaust the
// stack.
const maxDepth = 256

// trackedDepth is how many levels the scanner names in its errors.
const trackedDepth = 8

// syntaxError says that the bytes are not JSON.
type syntaxError struct {
	pos  int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.pos) }

// typeError says that a field holds something else than it must.
type typeError struct {
	path string
	what string
}

func (e *typeError) Error() string {
	if e.path == "" {
		return "the body " + e.what
	}
	return e.path + " " + e.what
}

// segment is one step of the path to the value being read.
type segment struct {
	name  []byte
	index int
}

// scanner reads JSON from a byte slice. The first failure sticks: every later
// read returns a zero value, so that callers check err once at the end.
type scanner struct {
	data  []byte
	pos   int
	err   error
	depth int
	path  [trackedDepth]segment
	// name is the member name that key found last.
	name []byte
	// scratch holds the text of strings with escapes.
	scratch []byte
}

func (s *scanner) reset(data []byte) {
	s.data, s.pos, s.err, s.depth, s.name = data, 0, nil, 0, nil
}

func (s *scanner) syntax(what string) {
	if s.err == nil {
		s.err = &syntaxError{s.pos, what}
	}
}

// fail reports that the value at the current path is not acceptable.
func (s *scanner) fail(what string) {
	if s.err == nil {
		s.err = &typeError{s.where(), what}
	}
}

// where is the path to the value being read, such as messages[0].content.
func (s *scanner) where() string {
	var b []byte
	for i := 0; i < min(s.depth, trackedDepth); i++ {
		seg := &s.path[i]
		if seg.name == nil {
			b = append(strconv.AppendInt(append(b, '['), int64(seg.index), 10), ']')
			continue
		}
		if len(b) > 0 {
			b = append(b, '.')
		}
		b = append(b, seg.name[:min(len(seg.name), 80)]...)
	}
	return string(b)
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// kind looks at the next value: one of { [ " t n 0, or 0 at a failure. Both
// truth values are 't' and every number is '0'.
func (s *scanner) kind() byte {
	if s.err != nil {
		return 0
	}
	s.space()
	if s.pos >= len(s.data) {
		s.syntax("unexpected end")
		return 0
	}
	switch c := s.data[s.pos]; c {
	case '{', '[', '"', 't', 'n':
		return c
	case 'f':
		return 't'
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return '0'
	default:
		s.syntax("unexpected character " + strconv.QuoteRune(rune(c)))
		return 0
	}
}

// kindName names what the next value is, for messages.
func (s *scanner) kindName() string {
	switch s.kind() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't':
		return "a truth value"
	case 'n':
		return "null"
	case '0':
		return "a number"
	}
	return "no value"
}

// expect checks the kind of the next value and words the failure.
func (s *scanner) expect(kind byte, want string) bool {
	k := s.kind()
	if k == kind {
		return true
	}
	if k != 0 {
		s.fail("must be " + want + ", and is " + s.kindName())
	}
	return false
}

// null consumes a null if that is the next value.
func (s *scanner) null() bool {
	if s.kind() != 'n' {
		return false
	}
	return s.literal("null")
}

func (s *scanner) literal(word string) bool {
	if len(s.data)-s.pos < len(word) || string(s.data[s.pos:s.pos+len(word)]) != word {
		s.syntax("expected " + word)
		return false
	}
	s.pos += len(word)
	return true
}

// open enters an object ('{') or array ('[').
func (s *scanner) open(kind byte) bool {
	want := "an object"
	if kind == '[' {
		want = "an array"
	}
	if !s.expect(kind, want) {
		return false
	}
	s.pos++
	s.push()
	return s.err == nil
}

func (s *scanner) push() {
	if s.depth < trackedDepth {
		s.path[s.depth] = segment{index: -1}
	}
	s.depth++
	if s.depth > maxDepth {
		s.syntax("nested deeper than " + strconv.Itoa(maxDepth) + " levels")
	}
}

// next moves to the next member or element, or leaves at the closing character.
func (s *scanner) next(n int, closing byte) bool {
	if s.err != nil {
		return false
	}
	s.space()
	if s.pos >= len(s.data) {
		s.syntax("unexpected end")
		return false
	}
	c := s.data[s.pos]
	if c == closing {
		s.pos++
		s.depth--
		return false
	}
	if n > 0 {
		if c != ',' {
			s.syntax("expected a comma or " + string(closing))
			return false
		}
		s.pos++
	}
	return true
}

// key moves to the value of an object's next member and leaves its name in
// s.name. It is used as: for n := 0; s.key(&n); { … }.
func (s *scanner) key(n *int) bool {
	if !s.next(*n, '}') {
		return false
	}
	s.space()
	if s.pos >= len(s.data) || s.data[s.pos] != '"' {
		s.syntax("expected a member name in quotes")
		return false
	}
	name, escaped := s.quoted()
	if escaped {
		name = append([]byte(nil), name...)
	}
	if name == nil {
		name = []byte{}
	}
	s.space()
	if s.err != nil {
		return false
	}
	if s.pos >= len(s.data) || s.data[s.pos] != ':' {
		s.syntax("expected a colon")
		return false
	}
	s.pos++
	*n++
	s.name = name
	if s.depth <= trackedDepth {
		s.path[s.depth-1] = segment{name: name}
	}
	return true
}

// elem moves to an array's next element. It is used as: for i := -1; s.elem(&i); { … }.
func (s *scanner) elem(i *int) bool {
	if !s.next(*i+1, ']') {
		return false
	}
	*i++
	if s.depth <= trackedDepth {
		s.path[s.depth-1] = segment{index: *i}
	}
	return true
}

// plainRun is how many leading bytes of b are neither a quote, a backslash nor
// a control character. It looks at eight bytes at a time.
func plainRun(b []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		hit := (x - ones*0x20) &^ x
		hit |= (quote - ones) &^ quote
		hit |= (slash - ones) &^ slash
		if hit&highs != 0 {
			break
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < 0x20 {
			break
		}
	}
	return i
}

// quoted reads the string at pos. The result aliases the input, or the scratch
// buffer when the string has escapes.
func (s *scanner) quoted() (text []byte, escaped bool) {
	if s.err != nil {
		return nil, false
	}
	start := s.pos + 1
	i := start + plainRun(s.data[start:])
	if i < len(s.data) && s.data[i] == '"' {
		s.pos = i + 1
		return s.data[start:i:i], false
	}
	out := append(s.scratch[:0], s.data[start:i]...)
	for {
		if i >= len(s.data) {
			s.pos = i
			s.syntax("unexpected end inside a string")
			return nil, false
		}
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			s.scratch = out
			return out, true
		case c == '\\':
			var ok bool
			if out, i, ok = s.escape(out, i); !ok {
				return nil, false
			}
		case c < 0x20:
			s.pos = i
			s.syntax("control character inside a string")
			return nil, false
		}
		run := plainRun(s.data[i:])
		out = append(out, s.data[i:i+run]...)
		i += run
	}
}

// escape decodes the escape at i and returns the position after it. A lone half
// of a surrogate pair becomes U+FFFD.
func (s *scanner) escape(out []byte, i int) ([]byte, int, bool) {
	if i+1 >= len(s.data) {
		s.pos = i
		s.syntax("unexpected end inside a string")
		return out, i, false
	}
	switch c := s.data[i+1]; c {
	case '"', '\\', '/':
		return append(out, c), i + 2, true
	case 'b':
		return append(out, '\b'), i + 2, true
	case 'f':
		return append(out, '\f'), i + 2, true
	case 'n':
		return append(out, '\n'), i + 2, true
	case 'r':
		return append(out, '\r'), i + 2, true
	case 't':
		return append(out, '\t'), i + 2, true
	case 'u':
		r, ok := hex4(s.data, i+2)
		if !ok {
			break
		}
		i += 6
		if utf16.IsSurrogate(r) {
			if i+1 < len(s.data) && s.data[i] == '\\' && s.data[i+1] == 'u' {
				if low, ok := hex4(s.data, i+2); ok {
					if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
						return utf8.AppendRune(out, full), i + 6, true
					}
				}
			}
			r = utf8.RuneError
		}
		return utf8.AppendRune(out, r), i, true
	}
	s.pos = i
	s.syntax("invalid escape inside a string")
	return out, i, false
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// bytes reads a string; the result is valid until the next read.
func (s *scanner) bytes() []byte {
	if !s.expect('"', "a string") {
		return nil
	}
	b, _ := s.quoted()
	return b
}

// text reads a string.
func (s *scanner) text() string { return string(s.bytes()) }

// boolean reads true or false.
func (s *scanner) boolean() bool {
	if !s.expect('t', "true or false") {
		return false
	}
	if s.data[s.pos] == 't' {
		return s.literal("true")
	}
	s.literal("false")
	return false
}

// number reads the bytes of a number in JSON's grammar.
func (s *scanner) number() []byte {
	start, i, b := s.pos, s.pos, s.data
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	ok := true
	if i < len(b) && b[i] == '0' {
		i++
	} else {
		ok = digits()
	}
	if ok && i < len(b) && b[i] == '.' {
		i++
		ok = digits()
	}
	if ok && i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		ok = digits()
	}
	s.pos = i
	if !ok {
		s.syntax("invalid number")
		return nil
	}
	return b[start:i]
}

// integer reads a whole number.
func (s *scanner) integer() int64 {
	if !s.expect('0', "an integer") {
		return 0
	}
	b := s.number()
	if s.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		s.fail("must be an integer, and is " + string(b[:min(len(b), 40)]))
	}
	return n
}

// float reads a finite number.
func (s *scanner) float() float64 {
	if !s.expect('0', "a number") {
		return 0
	}
	b := s.number()
	if s.err != nil {
		return 0
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsInf(f, 0) {
		s.fail("must be a number that a double can hold")
	}
	return f
}

// raw checks the next value, whatever it is, and returns its bytes, which alias
// the input.
func (s *scanner) raw() []byte {
	if s.err != nil {
		return nil
	}
	s.space()
	start := s.pos
	s.skip()
	if s.err != nil {
		return nil
	}
	return s.data[start:s.pos:s.pos]
}

// skip checks and passes over the next value. Members below the current level
// keep the current path.
func (s *scanner) skip() {
	switch s.kind() {
	case '"':
		s.skipString()
	case '0':
		s.number()
	case 't':
		s.boolean()
	case 'n':
		s.literal("null")
	case '{', '[':
		closing := s.data[s.pos] + 2 // '{'+2 = '}', '['+2 = ']'
		s.pos++
		s.depth++
		if s.depth > maxDepth {
			s.syntax("nested deeper than " + strconv.Itoa(maxDepth) + " levels")
			return
		}
		for n := 0; s.next(n, closing); n++ {
			if closing == '}' {
				s.space()
				if s.pos >= len(s.data) || s.data[s.pos] != '"' {
					s.syntax("expected a member name in quotes")
					return
				}
				s.skipString()
				s.space()
				if s.err == nil && (s.pos >= len(s.data) || s.data[s.pos] != ':') {
					s.syntax("expected a colon")
				}
				s.pos++
			}
			s.skip()
		}
	}
}

// skipString checks a string without decoding it.
func (s *scanner) skipString() {
	i := s.pos + 1
	for {
		i += plainRun(s.data[min(i, len(s.data)):])
		if i >= len(s.data) {
			s.pos = len(s.data)
			s.syntax("unexpected end inside a string")
			return
		}
		switch s.data[i] {
		case '"':
			s.pos = i + 1
			return
		case '\\':
			var ok bool
			if _, i, ok = s.escape(s.scratch[:0], i); !ok {
				return
			}
		default:
			s.pos = i
			s.syntax("control character inside a string")
			return
		}
	}
}

// end checks that nothing but white space follows.
func (s *scanner) end() {
	if s.err != nil {
		return
	}
	if s.space(); s.pos < len(s.data) {
		s.syntax("unexpected data after the JSON value")
	}
}

package formula

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stratahq/strata/unit"
)

// node is a node of a parsed formula.
type node struct {
	kind nodeKind
	pos  int // byte offset in the formula
	// text is the literal as written, the name, the operator or the function.
	text  string
	value float64 // of a literal, in base units
	unit  unit.Unit
	args  []*node

	// What checking finds out.
	typ typ
	ref *Quantity // of a name
	fn  *bound    // of a call of a Go function
	op  opcode
}

type nodeKind uint8

const (
	numberNode nodeKind = iota
	nameNode
	textNode
	unaryNode
	binaryNode
	callNode
)

// syntaxError is a fault at an offset of a formula.
type syntaxError struct {
	pos int
	msg string
}

func (e *syntaxError) Error() string { return e.msg }

type parser struct {
	src   string
	at    int
	depth int
}

// maxDepth bounds the nesting of parentheses, so that no input exhausts the stack.
const maxDepth = 200

// maxLength bounds a formula, so that walking it is cheap.
const maxLength = 10000

func parse(src string) (n *node, err error) {
	if len(src) > maxLength {
		return nil, &syntaxError{maxLength, fmt.Sprintf("the formula is longer than %d characters; name its parts", maxLength)}
	}
	p := &parser{src: src}
	defer func() {
		if e, ok := recover().(*syntaxError); ok {
			n, err = nil, e
		} else if e != nil {
			panic(e)
		}
	}()
	n = p.or()
	p.space()
	if p.at < len(src) {
		p.fail(p.at, "%q is not expected here", rest(src[p.at:]))
	}
	return n, nil
}

func rest(s string) string {
	if i := strings.IndexAny(s, " \t\n"); i > 0 {
		s = s[:i]
	}
	return s[:min(len(s), 20)]
}

func (p *parser) fail(pos int, format string, args ...any) {
	panic(&syntaxError{pos, fmt.Sprintf(format, args...)})
}

func (p *parser) space() {
	for p.at < len(p.src) && strings.IndexByte(" \t\r\n", p.src[p.at]) >= 0 {
		p.at++
	}
}

// accept takes the first of the operators that stands next.
func (p *parser) accept(ops ...string) (string, int, bool) {
	p.space()
	for _, op := range ops {
		if !strings.HasPrefix(p.src[p.at:], op) {
			continue
		}
		// A word is an operator only when it ends there.
		if end := p.at + len(op); isLetter(op[0]) && end < len(p.src) && isNameByte(p.src[end]) {
			continue
		}
		pos := p.at
		p.at += len(op)
		return op, pos, true
	}
	return "", 0, false
}

func (p *parser) left(next func() *node, ops ...string) *node {
	n := next()
	for {
		op, pos, ok := p.accept(ops...)
		if !ok {
			return n
		}
		n = &node{kind: binaryNode, text: op, pos: pos, args: []*node{n, next()}}
	}
}

func (p *parser) or() *node {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.at, "the formula is nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	return p.left(p.and, "or")
}
func (p *parser) and() *node { return p.left(p.not, "and") }

func (p *parser) not() *node {
	if op, pos, ok := p.accept("not"); ok {
		return &node{kind: unaryNode, text: op, pos: pos, args: []*node{p.deeper(p.not)}}
	}
	return p.compare()
}

// deeper counts the nesting of prefix operators.
func (p *parser) deeper(next func() *node) *node {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.at, "the formula is nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	return next()
}

func (p *parser) compare() *node {
	n := p.sum()
	if op, pos, ok := p.accept("<=", ">=", "==", "!=", "<", ">"); ok {
		return &node{kind: binaryNode, text: op, pos: pos, args: []*node{n, p.sum()}}
	}
	return n
}

func (p *parser) sum() *node     { return p.left(p.product, "+", "-") }
func (p *parser) product() *node { return p.left(p.unary, "*", "/") }

func (p *parser) unary() *node {
	if op, pos, ok := p.accept("-"); ok {
		return &node{kind: unaryNode, text: op, pos: pos, args: []*node{p.deeper(p.unary)}}
	}
	return p.power()
}

func (p *parser) power() *node {
	n := p.primary()
	if op, pos, ok := p.accept("^"); ok {
		return &node{kind: binaryNode, text: op, pos: pos, args: []*node{n, p.deeper(p.unary)}}
	}
	return n
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isNameByte(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '.'
}

func (p *parser) primary() *node {
	p.space()
	if p.at >= len(p.src) {
		p.fail(p.at, "the formula ends where a number or a name is expected")
	}
	c, pos := p.src[p.at], p.at
	switch {
	case c == '(':
		p.at++
		n := p.or()
		p.close(pos)
		return n
	case c == '"':
		end := strings.IndexByte(p.src[pos+1:], '"')
		if end < 0 {
			p.fail(pos, "the text is not closed by a quotation mark")
		}
		p.at = pos + end + 2
		return &node{kind: textNode, pos: pos, text: p.src[pos+1 : p.at-1]}
	case isDigit(c) || c == '.':
		return p.number()
	case isLetter(c):
		for p.at < len(p.src) && isNameByte(p.src[p.at]) {
			p.at++
		}
		name := p.src[pos:p.at]
		if strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
			p.fail(pos, "%q is not a name", name)
		}
		if p.at < len(p.src) && p.src[p.at] == '(' {
			p.at++
			return p.call(name, pos)
		}
		return &node{kind: nameNode, pos: pos, text: name}
	}
	p.fail(pos, "%q is not expected here", rest(p.src[pos:]))
	return nil
}

func (p *parser) close(open int) {
	if _, _, ok := p.accept(")"); !ok {
		if p.at < len(p.src) {
			p.fail(p.at, "%q is not expected here; a parenthesis is open", rest(p.src[p.at:]))
		}
		p.fail(open, "this parenthesis is not closed")
	}
}

func (p *parser) call(name string, pos int) *node {
	n := &node{kind: callNode, pos: pos, text: name}
	if _, _, ok := p.accept(")"); ok {
		return n
	}
	for {
		n.args = append(n.args, p.or())
		if _, _, ok := p.accept(","); !ok {
			p.close(pos)
			return n
		}
	}
}

// number reads a literal: digits, a count suffix or %, a unit in brackets.
func (p *parser) number() *node {
	pos := p.at
	digits := func() {
		for p.at < len(p.src) && isDigit(p.src[p.at]) {
			p.at++
		}
	}
	digits()
	if p.at < len(p.src) && p.src[p.at] == '.' {
		p.at++
		digits()
	}
	if p.at < len(p.src) && p.src[p.at]|0x20 == 'e' {
		back := p.at
		if p.at++; p.at < len(p.src) && (p.src[p.at] == '+' || p.src[p.at] == '-') {
			p.at++
		}
		if p.at < len(p.src) && isDigit(p.src[p.at]) {
			digits()
		} else {
			p.at = back
		}
	}
	v, err := strconv.ParseFloat(p.src[pos:p.at], 64)
	if err != nil {
		p.fail(pos, "%q is not a number", p.src[pos:p.at])
	}
	n := &node{kind: numberNode, pos: pos, value: v, unit: unit.One}
	if p.at < len(p.src) {
		if f, ok := map[byte]float64{'K': 1e3, 'M': 1e6, 'B': 1e9, 'T': 1e12}[p.src[p.at]]; ok {
			n.value *= f
			p.at++
		} else if p.src[p.at] == '%' {
			n.value /= 100
			p.at++
		}
	}
	if p.at < len(p.src) && isNameByte(p.src[p.at]) {
		p.fail(p.at, "%q stands directly behind a number; write a unit in brackets: 5 [years]", rest(p.src[p.at:]))
	}
	n.text = p.src[pos:p.at]
	back := p.at
	p.space()
	if p.at >= len(p.src) || p.src[p.at] != '[' {
		p.at = back
		return n
	}
	end := strings.IndexByte(p.src[p.at:], ']')
	if end < 0 {
		p.fail(p.at, "the unit is not closed by ]")
	}
	inside := strings.TrimSpace(p.src[p.at+1 : p.at+end])
	u, err := unit.ParseUnit(inside)
	if err != nil {
		p.fail(p.at, "%v", err)
	}
	p.at += end + 1
	n.unit = u
	n.value *= u.Scale
	n.text += " " + inside
	return n
}

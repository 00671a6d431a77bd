package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Error is a fault in a configuration file, with its place.
type Error struct {
	File         string
	Line, Column int
	Path         string // the field, such as "upstreams.openai.base_url"
	Message      string
}

// Error is "file:line:column: path: message".
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		s += ": " + e.Path
	}
	return s + ": " + e.Message
}

// Errors is every fault found in a file, in the order of its lines.
type Errors []*Error

// Error joins the faults, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// decoder fills Go values from YAML nodes. It is strict: unknown keys,
// duplicates, wrong types, aliases and merge keys are faults. It goes on after a
// fault, so that one run shows them all.
type decoder struct {
	file string
	env  func(string) string
	errs Errors
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	e := &Error{File: d.file, Path: path, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	d.errs = append(d.errs, e)
}

func (d *decoder) err() error {
	if len(d.errs) == 0 {
		return nil
	}
	sort.SliceStable(d.errs, func(i, j int) bool { return d.errs[i].Line < d.errs[j].Line })
	return d.errs
}

var (
	nodeType     = reflect.TypeFor[yaml.Node]()
	durationType = reflect.TypeFor[time.Duration]()
	bytesType    = reflect.TypeFor[Bytes]()
)

// decode fills v, which must be addressable, from n.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		d.fail(n, path, "aliases (*name) are not supported; write the value out")
		return
	}
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(*n))
		return
	}
	if v.Kind() == reflect.Pointer {
		if isNull(n) {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), path)
		return
	}
	if s, ok := v.Addr().Interface().(nodeSetter); ok {
		s.fromNode(d, n, path)
		return
	}
	if s, ok := v.Addr().Interface().(secretSetter); ok {
		text, ok := d.scalar(n, path, "a secret: env:NAME or file:PATH")
		if !ok {
			return
		}
		value, from, err := resolveSecret(text, d.env)
		if err != nil {
			d.fail(n, path, "%v", err)
			return
		}
		s.SetSecret(value, from)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if text, ok := d.scalar(n, path, "a value"); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				d.fail(n, path, "%v", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.plain(n, v, path)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (d *decoder) scalar(n *yaml.Node, path, want string) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.fail(n, path, "expected %s, found %s", want, kindName(n))
		return "", false
	}
	return n.Value, true
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

// pairs walks a mapping, refusing merge keys and duplicates.
func (d *decoder) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "expected a mapping, found %s", kindName(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode:
			d.fail(k, path, "a key must be plain text, found %s", kindName(k))
			continue
		case k.Tag == "!!merge":
			d.fail(k, path, "merge keys (<<) are not supported; write the values out")
			continue
		}
		if line, dup := seen[k.Value]; dup {
			d.fail(k, join(path, k.Value), "is set twice; the first is in line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		each(k, n.Content[i+1])
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	fields := map[string]reflect.Value{}
	var known []string
	for f := range fieldsOf(v.Type()) {
		fields[f.name] = v.FieldByIndex(f.index)
		known = append(known, f.name)
	}
	d.pairs(n, path, func(k, value *yaml.Node) {
		f, ok := fields[k.Value]
		if !ok {
			d.fail(k, join(path, k.Value), "unknown key%s", suggest(k.Value, known))
			return
		}
		d.decode(value, f, join(path, k.Value))
	})
}

type structField struct {
	name  string
	index []int
}

// fieldsOf yields the fields that have a yaml tag, through embedded structs.
func fieldsOf(t reflect.Type) func(func(structField) bool) {
	return func(yield func(structField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" || name == "-" || !f.IsExported() {
				continue
			}
			if !yield(structField{name, f.Index}) {
				return
			}
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) {
		return
	}
	m := reflect.MakeMap(v.Type())
	d.pairs(n, path, func(k, value *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, e, join(path, k.Value))
		m.SetMapIndex(reflect.ValueOf(k.Value).Convert(v.Type().Key()), e)
	})
	v.Set(m)
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		// One value stands for a list of one: `of: name`.
		if n.Kind == yaml.ScalarNode && !isNull(n) {
			e := reflect.New(v.Type().Elem()).Elem()
			d.decode(n, e, path)
			v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), e))
			return
		}
		d.fail(n, path, "expected a list, found %s", kindName(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.decode(c, s.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(s)
}

func (d *decoder) plain(n *yaml.Node, v reflect.Value, path string) {
	var want string
	switch {
	case v.Type() == durationType:
		want = "a duration such as 30s or 5m"
	case v.Type() == bytesType:
		want = "a size such as 32 MiB"
	case v.Kind() == reflect.Bool:
		want = "true or false"
	case v.CanInt():
		want = "a whole number"
	case v.CanFloat():
		want = "a number"
	default:
		want = "text"
	}
	text, ok := d.scalar(n, path, want)
	if !ok {
		return
	}
	bad := func() { d.fail(n, path, "expected %s, found %q", want, text) }
	switch {
	case v.Type() == durationType:
		x, err := time.ParseDuration(text)
		if err != nil || x < 0 {
			bad()
			return
		}
		v.SetInt(int64(x))
	case v.Type() == bytesType:
		x, err := ParseBytes(text)
		if err != nil {
			bad()
			return
		}
		v.SetInt(int64(x))
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			bad()
			return
		}
		v.SetBool(text == "true")
	case v.CanInt():
		// Base 10 only: YAML's 012 is ten for some readers and twelve for others.
		x, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || (len(text) > 1 && text[0] == '0') {
			bad()
			return
		}
		v.SetInt(x)
	case v.CanFloat():
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			bad()
			return
		}
		v.SetFloat(x)
	case v.Kind() == reflect.String:
		v.SetString(text)
	default:
		panic(fmt.Sprintf("config: no decoder for %s at %s", v.Type(), path))
	}
}

// Bytes is a size in bytes, written as "32 MiB", "64 KiB", "1 GB" or a plain number.
type Bytes int64

var byteUnits = map[string]int64{
	"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}

// ParseBytes reads a size.
func ParseBytes(s string) (Bytes, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		i = len(s)
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	unit, ok := byteUnits[strings.TrimSpace(s[i:])]
	if err != nil || !ok || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size; write for example 32 MiB", s)
	}
	return Bytes(n * unit), nil
}

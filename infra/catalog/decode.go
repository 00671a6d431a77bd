package catalog

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/unit"
)

// Error is a fault in a catalog file, with its place.
type Error struct {
	File         string
	Line, Column int
	Path         string // the field, such as "accelerators.a100-sxm-80.memory"
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

// Errors is every fault found, in the order of files and lines.
type Errors []*Error

// Error joins the faults, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// decoder fills Go values from YAML nodes, strictly: unknown and repeated keys,
// wrong units, aliases and merge keys are faults, and it goes on after one, so
// that a run shows them all.
type decoder struct {
	file string
	errs Errors
	// places are the keys of the fields that were read, by path, so that a
	// fault found later is told where it stands.
	places map[string]*yaml.Node
}

// failAt reports a fault of a field at its key; at n when the file does not
// have the field.
func (d *decoder) failAt(n *yaml.Node, path, format string, args ...any) {
	if k, ok := d.places[path]; ok {
		n = k
	}
	d.fail(n, path, format, args...)
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	e := &Error{File: d.file, Path: path, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	d.errs = append(d.errs, e)
}

// document parses one file of one YAML document. The YAML reader is kept away
// from absurd nesting by its own limits; aliases are refused later, so that no
// document can grow.
func (d *decoder) document(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var n yaml.Node
	switch err := dec.Decode(&n); {
	case errors.Is(err, io.EOF):
		d.fail(nil, "", "the file is empty; it needs at least one of %s", strings.Join(sections, ", "))
		return nil
	case err != nil:
		d.yamlFault(err)
		return nil
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		d.fail(&more, "", "a second YAML document begins here; a catalog file has one")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.yamlFault(err)
		return nil
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) != 1 {
		d.fail(&n, "", "expected one YAML document")
		return nil
	}
	return n.Content[0]
}

// yamlFault reports a syntax fault, with the line that the reader names.
func (d *decoder) yamlFault(err error) {
	e := &Error{File: d.file, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if _, after, ok := strings.Cut(e.Message, "line "); ok {
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		if line, err := strconv.Atoi(digits); err == nil {
			e.Line, e.Column = line, 1
		}
	}
	d.errs = append(d.errs, e)
}

// decode fills v, which must be addressable, from n. unitName is the unit of
// its numbers, from the field's tag.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, path, unitName string) {
	if n.Kind == yaml.AliasNode {
		d.fail(n, path, "aliases (*name) are not supported; write the value out")
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), path, unitName)
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
		d.mapping(n, v, path, unitName)
	case reflect.Slice:
		d.sequence(n, v, path, unitName)
	default:
		d.plain(n, v, path, unitName)
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

type structField struct {
	name, unit string
	index      []int
}

// fieldsOf lists the fields that have a yaml name, through embedded structs.
func fieldsOf(t reflect.Type) []structField {
	var list []structField
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		list = append(list, structField{name, f.Tag.Get("unit"), f.Index})
	}
	return list
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	fields := map[string]structField{}
	var known []string
	for _, f := range fieldsOf(v.Type()) {
		fields[f.name] = f
		known = append(known, f.name)
	}
	d.pairs(n, path, func(k, value *yaml.Node) {
		f, ok := fields[k.Value]
		if !ok {
			d.fail(k, join(path, k.Value), "unknown key%s", suggest(k.Value, known))
			return
		}
		d.places[join(path, k.Value)] = k
		d.decode(value, v.FieldByIndex(f.index), join(path, k.Value), f.unit)
	})
	if p := v.FieldByName("Provenance"); p.IsValid() {
		p.FieldByName("File").SetString(d.file)
		p.FieldByName("Line").SetInt(int64(n.Line))
	}
}

// keyNames are the keys that a map of a type may have; nil for any.
func keyNames(t reflect.Type) []string {
	var names []string
	switch t {
	case reflect.TypeFor[DType]():
		for _, d := range dtypes {
			names = append(names, string(d))
		}
	case reflect.TypeFor[Commitment]():
		for _, c := range commitments {
			names = append(names, string(c))
		}
	}
	return names
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path, unitName string) {
	m := reflect.MakeMap(v.Type())
	names := keyNames(v.Type().Key())
	d.pairs(n, path, func(k, value *yaml.Node) {
		if names != nil && !slices.Contains(names, k.Value) {
			hint := suggest(k.Value, names)
			if hint == "" {
				hint = "; expected one of " + strings.Join(names, ", ")
			}
			d.fail(k, join(path, k.Value), "unknown key%s", hint)
			return
		}
		d.places[join(path, k.Value)] = k
		e := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, e, join(path, k.Value), unitName)
		m.SetMapIndex(reflect.ValueOf(k.Value).Convert(v.Type().Key()), e)
	})
	v.Set(m)
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path, unitName string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "expected a list, found %s", kindName(n))
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.decode(c, s.Index(i), fmt.Sprintf("%s[%d]", path, i), unitName)
	}
	v.Set(s)
}

func (d *decoder) plain(n *yaml.Node, v reflect.Value, path, unitName string) {
	want := "text"
	switch {
	case v.Kind() == reflect.Bool:
		want = "true or false"
	case v.CanInt():
		want = "a whole number"
	case v.CanFloat() && unitName != "":
		want = "a quantity in " + unitName
	case v.CanFloat():
		want = "a number such as 7.2B"
	}
	text, ok := d.scalar(n, path, want)
	if !ok {
		return
	}
	bad := func() { d.fail(n, path, "expected %s, found %q", want, text) }
	switch {
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
		u := unit.One
		if unitName != "" {
			var err error
			if u, err = unit.ParseUnit(unitName); err != nil {
				panic("catalog: " + path + ": " + err.Error())
			}
		}
		q, err := unit.ParseAs(text, u)
		if err != nil {
			d.fail(n, path, "%v", err)
			return
		}
		x, err := q.In(u)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			bad()
			return
		}
		// Multiplying by a unit's scale and dividing again leaves dust in the
		// last digit; nobody writes more than 15.
		x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 15, 64), 64)
		v.SetFloat(x)
	case v.Kind() == reflect.String:
		v.SetString(text)
	default:
		panic(fmt.Sprintf("catalog: no decoder for %s at %s", v.Type(), path))
	}
}

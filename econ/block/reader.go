package block

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/econ/formula"
)

// Reader walks the YAML of one file strictly and gathers faults with their
// places: unknown and repeated keys, wrong kinds, aliases and merge keys. It goes
// on after a fault, so that one run shows them all.
type Reader struct {
	File string
	Errs formula.Errors
}

// MaxFile is the greatest size of a file in bytes.
const MaxFile = 4 << 20

// Document is the root of the one document in data, or nil when it is empty or
// does not parse, which is then a fault.
func (r *Reader) Document(data []byte) *yaml.Node {
	if len(data) > MaxFile {
		r.fault(0, 0, "", "is larger than %d MiB", MaxFile>>20)
		return nil
	}
	var doc yaml.Node
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err == nil {
		err = loader.Load(&doc)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil && !errors.Is(loader.Load(new(yaml.Node)), io.EOF) {
		r.fault(0, 0, "", "holds more than one YAML document; keep one")
		return nil
	}
	if err != nil {
		var load *yaml.LoadError
		if errors.As(err, &load) {
			r.fault(load.Mark.Line, load.Mark.Column, "", "is not YAML: %s", load.Message)
		} else {
			r.fault(0, 0, "", "is not YAML: %v", err)
		}
		return nil
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		return doc.Content[0]
	}
	return nil
}

func (r *Reader) fault(line, column int, path, format string, args ...any) {
	r.Errs = append(r.Errs, &formula.Error{Pos: formula.Pos{File: r.File, Line: line, Column: column}, Path: path, Message: fmt.Sprintf(format, args...)})
}

// Fail records a fault at a node.
func (r *Reader) Fail(n *yaml.Node, path, format string, args ...any) {
	r.fault(n.Line, n.Column, path, format, args...)
}

// Pos is the place of a node.
func (r *Reader) Pos(n *yaml.Node) formula.Pos {
	return formula.Pos{File: r.File, Line: n.Line, Column: n.Column}
}

// Pairs calls each for every key of a mapping, in order.
func (r *Reader) Pairs(n *yaml.Node, path string, each func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.Fail(n, path, "expected a mapping, found %s", kindName(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			r.Fail(k, path, "a key must be plain text, found %s", kindName(k))
			continue
		case k.Tag == "!!merge":
			r.Fail(k, path, "merge keys (<<) are not supported; write the values out")
			continue
		case v.Kind == yaml.AliasNode:
			r.Fail(v, Join(path, k.Value), "aliases (*name) are not supported; write the value out")
			continue
		}
		if line, twice := seen[k.Value]; twice {
			r.Fail(k, Join(path, k.Value), "is set twice; the first is in line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		each(k, v)
	}
}

// Fields is Pairs for a mapping with known keys; another key is a fault that
// suggests the nearest.
func (r *Reader) Fields(n *yaml.Node, path string, fields map[string]func(value *yaml.Node)) {
	r.Pairs(n, path, func(k, v *yaml.Node) {
		f, ok := fields[k.Value]
		if !ok {
			known := make([]string, 0, len(fields))
			for name := range fields {
				known = append(known, name)
			}
			r.Fail(k, Join(path, k.Value), "unknown key%s", formula.Suggest(k.Value, known))
			return
		}
		f(v)
	})
}

// Text is the text of a scalar as it was written, or a fault.
func (r *Reader) Text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.Fail(n, path, "expected a value, found %s", kindName(n))
		return "", false
	}
	return n.Value, true
}

// Into makes a field that stores its text.
func (r *Reader) Into(dst *string, path string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := r.Text(n, path); ok {
			*dst = s
		}
	}
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "nothing"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	}
	return strconv.Quote(n.Value)
}

// Join is the path of a key below another.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

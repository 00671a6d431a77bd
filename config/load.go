package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Load reads and validates a file. env resolves env: secrets; it is usually
// os.Getenv. A fault is reported as [Errors].
func Load(path string, env func(string) string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data, env)
}

// Parse is Load for a file's content; name stands in messages.
func Parse(name string, data []byte, env func(string) string) (*File, error) {
	d := &decoder{file: name, env: env}
	f := &File{Path: name}
	root, err := parseNode(name, data)
	if err != nil {
		return nil, err
	}
	if root != nil {
		d.decode(root, reflect.ValueOf(f).Elem(), "")
	}
	f.validate(d, root)
	if err := d.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// parseNode reads one YAML document; nil means an empty file.
func parseNode(name string, data []byte) (*yaml.Node, error) {
	var doc yaml.Node
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err == nil {
		err = loader.Load(&doc)
	}
	if errors.Is(err, io.EOF) {
		return nil, nil // nothing but comments
	}
	if err == nil && !errors.Is(loader.Load(new(yaml.Node)), io.EOF) {
		return nil, Errors{{File: name, Message: "holds more than one YAML document; keep one"}}
	}
	if err != nil {
		e := &Error{File: name, Message: "not valid YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
		var load *yaml.LoadError
		if errors.As(err, &load) {
			e.Line, e.Column = load.Mark.Line, load.Mark.Column
			e.Message = "not valid YAML: " + load.Message
		}
		return nil, Errors{e}
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

// fromNode takes the module id out of an upstream's mapping and leaves the
// rest for the module.
func (u *Upstream) fromNode(d *decoder, n *yaml.Node, path string) {
	rest := peel(d, n, path, map[string]reflect.Value{
		"module": reflect.ValueOf(&u.Module).Elem(),
	})
	u.Node = rest
}

func (m *Model) fromNode(d *decoder, n *yaml.Node, path string) {
	m.Node = peel(d, n, path, map[string]reflect.Value{
		"upstream":   reflect.ValueOf(&m.Upstream).Elem(),
		"name":       reflect.ValueOf(&m.Name).Elem(),
		"module":     reflect.ValueOf(&m.Module).Elem(),
		"max_output": reflect.ValueOf(&m.MaxOutput).Elem(),
	})
}

// nodeSetter is a type that splits its own mapping.
type nodeSetter interface {
	fromNode(d *decoder, n *yaml.Node, path string)
}

// peel decodes the named keys of a mapping and returns a mapping of the others.
func peel(d *decoder, n *yaml.Node, path string, known map[string]reflect.Value) *yaml.Node {
	rest := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column}
	d.pairs(n, path, func(k, value *yaml.Node) {
		if v, ok := known[k.Value]; ok {
			d.decode(value, v, join(path, k.Value))
			return
		}
		rest.Content = append(rest.Content, k, value)
	})
	return rest
}

// validate checks what one field alone cannot show.
func (f *File) validate(d *decoder, root *yaml.Node) {
	at := func(path ...string) *yaml.Node { return find(root, path...) }
	if f.Addr != "" {
		if _, port, err := net.SplitHostPort(f.Addr); err != nil || port == "" {
			d.fail(at("addr"), "addr", "%q is not host:port; write for example 127.0.0.1:4000", f.Addr)
		}
	}
	if f.TimeZone != "" {
		if _, err := time.LoadLocation(f.TimeZone); err != nil {
			d.fail(at("time_zone"), "time_zone", "%q is not a time zone; write an IANA name such as Europe/Berlin or Asia/Shanghai", f.TimeZone)
		}
	}
	for _, h := range f.Hosts {
		if u, err := url.Parse("//" + h); err != nil || u.Host != h || h == "" {
			d.fail(at("hosts"), "hosts", "%q is not a host name; write it without scheme and path", h)
		}
	}
	for _, o := range f.Origins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Scheme+"://"+u.Host != o {
			d.fail(at("origins"), "origins", "%q is not a web origin; write it as https://app.example, without a path", o)
		}
	}
	for name, u := range f.Upstreams {
		path := join("upstreams", name)
		if name == "" || strings.ContainsAny(name, "/ \t") {
			d.fail(at("upstreams", name), path, "a name must not be empty or contain a slash or space")
		}
		if u.Module == "" {
			d.fail(at("upstreams", name), path, "module is missing; for an OpenAI-compatible server write module: provider.openai")
		}
	}
	upstreams := sortedKeys(f.Upstreams)
	for _, name := range sortedKeys(f.Models) {
		m, path := f.Models[name], join("models", name)
		switch {
		case m.Upstream == "" && m.Module == "":
			d.fail(at("models", name), path, "needs either an upstream or a module")
		case m.Upstream != "" && m.Module != "":
			d.fail(at("models", name), path, "has both an upstream and a module; keep one")
		case m.Upstream != "" && !slices.Contains(upstreams, m.Upstream):
			d.fail(at("models", name, "upstream"), join(path, "upstream"), "there is no upstream %q%s", m.Upstream, suggest(m.Upstream, upstreams))
		}
		if m.Upstream != "" && m.Node != nil && len(m.Node.Content) > 0 {
			k := m.Node.Content[0]
			d.fail(k, join(path, k.Value), "unknown key%s", suggest(k.Value, []string{"upstream", "name", "module", "max_output"}))
		}
		if m.MaxOutput < 0 {
			d.fail(at("models", name, "max_output"), join(path, "max_output"), "must be above 0")
		}
	}
	switch f.OnDisconnect {
	case "", "cancel", "drain":
	default:
		d.fail(at("on_disconnect"), "on_disconnect", "%q is not known; it is cancel or drain", f.OnDisconnect)
	}
	f.cycles(d, at)
	if f.Local.Threads < 0 || f.Local.Context < 0 || f.Local.Parallel < 0 {
		d.fail(at("local"), "local", "threads, context and parallel cannot be negative")
	}
	if f.Local.Price.Free && f.Local.Price.PerHour != "" {
		d.fail(at("local", "price"), "local.price", "has both free and per_hour; keep one")
	}
	if f.Limits.Body < 0 {
		d.fail(at("limits", "body"), "limits.body", "cannot be negative")
	}
}

// cycles refuses served models that lead back to themselves through `of`.
func (f *File) cycles(d *decoder, at func(...string) *yaml.Node) {
	const (
		visiting = 1
		done     = 2
	)
	state := map[string]int{}
	var visit func(name string, trail []string)
	visit = func(name string, trail []string) {
		m, ok := f.Models[name]
		if !ok || state[name] == done {
			return
		}
		if state[name] == visiting {
			i := slices.Index(trail, name)
			d.fail(at("models", name), join("models", name), "leads back to itself: %s", strings.Join(append(trail[i:], name), " -> "))
			return
		}
		state[name] = visiting
		for _, of := range m.Of() {
			visit(of, append(trail, name))
		}
		state[name] = done
	}
	for _, name := range sortedKeys(f.Models) {
		visit(name, nil)
	}
}

// Of lists the served models that the module's `of` names.
func (m *Model) Of() []string {
	if m.Node == nil {
		return nil
	}
	n := find(m.Node, "of")
	if n == nil {
		return nil
	}
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var names []string
	for _, c := range n.Content {
		if c.Kind == yaml.ScalarNode {
			names = append(names, c.Value)
		}
	}
	return names
}

// find follows keys through mappings; nil when one is missing.
func find(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var next *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				next = n.Content[i+1]
			}
		}
		n = next
	}
	return n
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

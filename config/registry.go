package config

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/model"
)

// Deps is what a module gets besides its own settings.
type Deps struct {
	// Name is the configured name: of the upstream, or of the served model.
	Name string
	// Env looks up environment variables; the registry sets it.
	Env func(string) string
	// Resolve finds another served model by name, for modules that wrap others.
	Resolve func(name string) (model.Model, error)
}

// Registry holds the modules that a file can name. The server fills it; there
// is no global registry and no registration by import.
type Registry struct {
	modules map[string]func(n *yaml.Node, d *decoder, path string, deps Deps) (model.Model, error)
}

// Register adds a module under a namespaced id such as "provider.openai". C is
// the module's settings: a struct whose fields carry yaml tags and documented
// meaning. If *C has a method Validate() error it is called before build.
func Register[C any](r *Registry, id string, build func(C, Deps) (model.Model, error)) {
	if r.modules == nil {
		r.modules = map[string]func(*yaml.Node, *decoder, string, Deps) (model.Model, error){}
	}
	if _, twice := r.modules[id]; twice {
		panic("config: module " + id + " is registered twice")
	}
	r.modules[id] = func(n *yaml.Node, d *decoder, path string, deps Deps) (model.Model, error) {
		var c C
		if n != nil {
			d.decode(n, reflect.ValueOf(&c).Elem(), path)
		}
		if err := d.err(); err != nil {
			return nil, err
		}
		if v, ok := any(&c).(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				d.fail(n, path, "%v", err)
				return nil, d.err()
			}
		}
		m, err := build(c, deps)
		if err != nil {
			d.fail(n, path, "%v", err)
			return nil, d.err()
		}
		return m, nil
	}
}

// IDs lists the registered modules in alphabetical order.
func (r *Registry) IDs() []string { return sortedKeys(r.modules) }

// Upstream builds a configured upstream.
func (r *Registry) Upstream(f *File, name string, env func(string) string, deps Deps) (model.Model, error) {
	u, ok := f.Upstreams[name]
	if !ok {
		return nil, fmt.Errorf("there is no upstream %q%s", name, suggest(name, sortedKeys(f.Upstreams)))
	}
	deps.Name = name
	return r.build(f, u.Module, u.Node, join("upstreams", name), env, deps)
}

// Model builds a served model that is a module of its own.
func (r *Registry) Model(f *File, name string, env func(string) string, deps Deps) (model.Model, error) {
	m, ok := f.Models[name]
	if !ok || m.Module == "" {
		return nil, fmt.Errorf("the model %q is not a module", name)
	}
	deps.Name = name
	return r.build(f, m.Module, m.Node, join("models", name), env, deps)
}

func (r *Registry) build(f *File, id string, n *yaml.Node, path string, env func(string) string, deps Deps) (model.Model, error) {
	d := &decoder{file: f.Path, env: env}
	if d.file == "" {
		d.file = "configuration"
	}
	module, ok := r.modules[id]
	if !ok {
		d.fail(n, join(path, "module"), "there is no module %q%s", id, suggest(id, r.IDs()))
		return nil, d.err()
	}
	deps.Env = env
	return module(n, d, path, deps)
}

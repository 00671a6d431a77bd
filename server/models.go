package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/config"
	"github.com/stratahq/strata/gateway"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local"
	"github.com/stratahq/strata/model/meter"
	"github.com/stratahq/strata/model/provider/openai"
)

// upstream is what a provider's module offers to the server.
type upstream interface {
	// Model is the upstream's model of a name.
	Model(name string) model.Model
	// Provider is the price book's name of the provider.
	Provider() string
	BaseURL() string
	Close()
}

// openaiUpstream is an upstream as the registry wants it: a Model that answers
// under whatever name is asked for.
type openaiUpstream struct{ *openai.Upstream }

func (u openaiUpstream) Generate(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
	return u.Model(req.Model).Generate(ctx, req)
}

// registry holds the modules that a configuration can name.
func registry() *config.Registry {
	r := &config.Registry{}
	config.Register(r, openai.ModuleID, func(c openai.Config, d config.Deps) (model.Model, error) {
		u, err := openai.New(d.Name, c, openai.Deps{Env: d.Env})
		if err != nil {
			return nil, err
		}
		return openaiUpstream{u}, nil
	})
	return r
}

// served is a model that clients can ask for.
type served struct {
	name, upstream, provider, upstreamModel, module string
	ops                                             []model.Op
	model                                           model.Model // metered
}

// maxPassing bounds the names that pass through and are remembered, since any
// client can invent one.
const maxPassing = 4096

// models are the served models of a server. It is safe for concurrent use.
type models struct {
	stack     *stack
	upstreams map[string]upstream
	named     map[string]*served // fixed once the server has started
	localName string
	started   time.Time
	list      []gateway.Entry

	mu      sync.RWMutex
	passing map[string]*served // "upstream/model" names, as they are asked for
}

// newModels builds every configured upstream and served model, so that a fault
// of the configuration shows at the start.
func newModels(s *stack) (*models, error) {
	m := &models{stack: s, upstreams: map[string]upstream{}, named: map[string]*served{}, passing: map[string]*served{}, started: s.now()}
	reg, file := registry(), s.settings.file
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(file.Upstreams)) {
		built, err := reg.Upstream(file, name, s.env, config.Deps{})
		if err != nil {
			faults = append(faults, err)
			continue
		}
		u, ok := built.(upstream)
		if !ok {
			faults = append(faults, fmt.Errorf("upstreams.%s: the module %s is no provider; name it under models", name, file.Upstreams[name].Module))
			continue
		}
		m.upstreams[name] = u
	}
	for _, name := range slices.Sorted(maps.Keys(file.Models)) {
		c := file.Models[name]
		if c.Module != "" {
			if _, err := reg.Model(file, name, s.env, config.Deps{Resolve: m.resolve}); err != nil {
				faults = append(faults, err)
			}
			continue
		}
		if u := m.upstreams[c.Upstream]; u != nil {
			m.named[name] = m.serve(name, c.Upstream, u, first(c.Name, name), c.MaxOutput)
		}
	}
	if len(faults) > 0 {
		return nil, &InvalidError{errors.Join(faults...)}
	}
	m.makeList()
	if err := s.prices.bind(m); err != nil {
		return nil, err
	}
	return m, nil
}

// resolve finds a served model for a module that wraps others.
func (m *models) resolve(name string) (model.Model, error) {
	if found, ok := m.Find(name); ok {
		return found, nil
	}
	return nil, fmt.Errorf("there is no served model %q", name)
}

// everyOp is what an OpenAI-compatible upstream may be asked; the upstream says
// which of them a model can do.
var everyOp = []model.Op{model.OpChat, model.OpComplete, model.OpEmbed}

// serve puts a meter in front of an upstream's model.
func (m *models) serve(name, upstreamName string, u upstream, upstreamModel string, maxOutput int64) *served {
	module := ""
	if c, ok := m.stack.settings.file.Upstreams[upstreamName]; ok {
		module = c.Module
	}
	o := m.meterOptions()
	o.Provider, o.Upstream, o.ServedModel, o.Module, o.MaxOutput = u.Provider(), upstreamName, upstreamModel, module, maxOutput
	return &served{name: name, upstream: upstreamName, provider: u.Provider(), upstreamModel: upstreamModel, module: module,
		ops: everyOp, model: meter.New(u.Model(upstreamModel), o)}
}

func (m *models) meterOptions() meter.Options {
	s := m.stack
	return meter.Options{Ledger: s.ledger, Book: s.prices.book, Charge: s.prices.charge, Now: s.now, Log: s.log,
		DrainOnDisconnect: s.settings.file.Drains()}
}

// localUpstream is the name of the local engine as an upstream and as a
// provider of the price book.
const localUpstream = "local"

// addLocal serves the local engine, before the server starts. A configured model
// of the same name wins.
func (m *models) addLocal(name string, engine *local.Engine) {
	m.localName = name
	if _, taken := m.named[name]; taken {
		return
	}
	o := m.meterOptions()
	o.Provider, o.Upstream, o.ServedModel, o.Module = localUpstream, localUpstream, name, local.ModuleID
	o.Tokens = func(_, text string) int {
		if n, err := engine.Tokens(text); err == nil {
			return n
		}
		return len(text) // while the engine restarts: a token is at least a byte
	}
	m.named[name] = &served{name: name, upstream: localUpstream, provider: localUpstream, upstreamModel: name, module: local.ModuleID,
		ops: everyOp, model: meter.New(engine, o)}
	m.makeList()
}

func (m *models) makeList() {
	m.list = nil
	for _, name := range slices.Sorted(maps.Keys(m.named)) {
		m.list = append(m.list, gateway.Entry{Name: name, OwnedBy: m.named[name].upstream, Created: m.started})
	}
}

// List is every named model, sorted.
func (m *models) List() []gateway.Entry { return m.list }

// Find finds what answers for a name: a named model, or an upstream's own model
// as "upstream/model" when names pass through.
func (m *models) Find(name string) (model.Model, bool) {
	if s, ok := m.named[name]; ok {
		return s.model, true
	}
	if !m.stack.settings.file.PassesThrough() {
		return nil, false
	}
	upstreamName, upstreamModel, ok := strings.Cut(name, "/")
	u := m.upstreams[upstreamName]
	if !ok || u == nil || upstreamModel == "" || len(upstreamModel) > 256 {
		return nil, false
	}
	m.mu.RLock()
	s := m.passing[name]
	m.mu.RUnlock()
	if s != nil {
		return s.model, true
	}
	s = m.serve(name, upstreamName, u, upstreamModel, 0)
	m.mu.Lock()
	defer m.mu.Unlock()
	if have := m.passing[name]; have != nil {
		return have.model, true
	}
	if len(m.passing) >= maxPassing {
		// Any one: a name that is really used comes back with its next call.
		for old := range m.passing {
			delete(m.passing, old)
			break
		}
	}
	m.passing[name] = s
	return s.model, true
}

// baseURL is the address of an upstream.
func (m *models) baseURL(name string) string {
	if u := m.upstreams[name]; u != nil {
		return u.BaseURL()
	}
	return ""
}

// describe lists the named models for the administrative interface.
func (m *models) describe() []admin.Model {
	book, now := m.stack.prices.book(), m.stack.now()
	list := make([]admin.Model, 0, len(m.named))
	for _, entry := range m.list {
		s := m.named[entry.Name]
		v := admin.Model{Name: s.name, Upstream: s.upstream, Module: s.module, Ready: true}
		for _, op := range s.ops {
			v.Ops = append(v.Ops, string(op))
		}
		if s.upstream == localUpstream && m.stack.engine != nil {
			v.Ready = m.stack.engine.Status().State == local.StateReady
		}
		if card, ok := book.Find(s.provider, s.upstreamModel, now); ok {
			p := admin.PriceOf(card)
			v.Priced, v.Price, v.MaxInput, v.MaxOutput = true, &p, card.Facts.MaxInput, card.Facts.MaxOutput
		}
		list = append(list, v)
	}
	return list
}

// close ends the upstreams' idle connections.
func (m *models) close() {
	for _, u := range m.upstreams {
		u.Close()
	}
}

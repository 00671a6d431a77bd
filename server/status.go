package server

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model/local"
)

// osEnv is the process's environment.
func osEnv(name string) string { return os.Getenv(name) }

// status is what a stack knows about itself.
func (s *stack) status() admin.Status {
	b := ReadBuild()
	st := admin.Status{Version: b.Version, Commit: b.Commit, Now: s.now().UTC(), TimeZone: s.settings.zone.String(),
		DataDir: s.settings.dataDir, Config: s.settings.configFile, OpenLoopback: s.access.Open(), Models: len(s.models.List())}
	for _, name := range slices.Sorted(maps.Keys(s.settings.file.Upstreams)) {
		u := s.settings.file.Upstreams[name]
		st.Upstreams = append(st.Upstreams, admin.Upstream{Name: name, Module: u.Module, BaseURL: s.models.baseURL(name), KeyFrom: u.KeyFrom()})
	}
	return st
}

func (s *Server) status() admin.Status {
	st := s.stack.status()
	st.Started = s.started
	st.Address = s.Addr()
	st.Engine = engineStatus(s.EngineStatus())
	return st
}

func engineStatus(e local.Status) admin.EngineStatus {
	st := admin.EngineStatus{State: string(e.State), Model: e.Model, Detail: e.Detail, Fetched: e.Fetched, Total: e.Total}
	if e.TokensPerSecond > 0 {
		st.TokensPerSecond = &e.TokensPerSecond
	}
	return st
}

// Summary is what `strata up` tells at its start.
type Summary struct {
	URL     string
	Model   string // the local model and its state
	DataDir string
	Ledger  string // how much is in it
	Config  string // the file that was read; "" for none
	// LocalPrice says what the local model's price rests on; "" without one.
	LocalPrice string
	Keys       []string
	Access     string
	Try        string // a command to try; "" when there is no model to call
}

// openable is an address that a browser of this machine can open: that of all
// interfaces, such as [::]:4000, is none.
func openable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return addr
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// Summary tells what was found. It shows no secret: of keys it names only the
// providers and variables.
func (s *Server) Summary() Summary {
	set := s.stack.settings
	sum := Summary{URL: "http://" + openable(s.Addr()), DataDir: set.dataDir, Config: set.configFile, Ledger: "empty ledger", Access: "keys are required; `strata key create` makes one, `strata key admin` prints a login link"}
	if s.stack.access.Open() {
		sum.Access = "open on this machine until the first key is made; calls count as customer \"local\""
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	// The newest sequence number is enough here; counting takes longer the more
	// there is.
	if newest, err := s.stack.ledger.Calls(ctx, ledger.Filter{Limit: 1}); err == nil && len(newest) > 0 {
		sum.Ledger = fmt.Sprintf("ledger with about %d calls", newest[0].Seq)
	}
	for _, name := range slices.Sorted(maps.Keys(set.file.Upstreams)) {
		u := set.file.Upstreams[name]
		if variable, ok := strings.CutPrefix(u.KeyFrom(), "env:"); ok {
			sum.Keys = append(sum.Keys, fmt.Sprintf("%s (%s)", name, variable))
		}
	}
	served := ""
	if list := s.stack.models.List(); len(list) > 0 {
		served = list[0].Name
	}
	if s.stack.engine == nil {
		sum.Model = "no local model (switched off)"
	} else {
		served = s.stack.models.localName
		sum.Model = served + ", a small local model, is starting"
		switch p := set.file.Local.Price; {
		case p.Free:
			sum.LocalPrice = "the local model is free, as configured"
		case p.PerHour != "":
			sum.LocalPrice = p.PerHour + " for this machine, over the local model's measured throughput"
		default:
			sum.LocalPrice = "assumed " + AssumedPerHour + " for this machine (--local-price sets your own, or free)"
		}
	}
	if served != "" {
		key := ""
		if !s.stack.access.Open() {
			key = ` \
    -H "Authorization: Bearer $STRATA_KEY"`
		}
		sum.Try = fmt.Sprintf(`  curl %s/v1/chat/completions -H 'Content-Type: application/json'%s \
    -d '{"model":"%s","messages":[{"role":"user","content":"Why is the sky blue?"}]}'`, sum.URL, key, served)
	}
	return sum
}

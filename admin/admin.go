package admin

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
)

// Ledger is what this interface needs of the ledger; *ledger.Ledger has it.
type Ledger interface {
	Call(ctx context.Context, id string) (*ledger.Call, error)
	Calls(ctx context.Context, f ledger.Filter) ([]ledger.Call, error)
	Children(ctx context.Context, root string) ([]ledger.Call, error)
	Spend(ctx context.Context, by ledger.GroupBy, f ledger.Filter) ([]ledger.Spend, error)
	Totals(ctx context.Context, f ledger.Filter) (ledger.Spend, error)
	Series(ctx context.Context, step ledger.GroupBy, f ledger.Filter) ([]ledger.Point, error)
	Subscribe(ctx context.Context) <-chan ledger.Call
	SetBudget(ctx context.Context, b ledger.Budget) (ledger.Budget, error)
	Budgets(ctx context.Context) ([]ledger.Budget, error)
	DeleteBudget(ctx context.Context, id string) error
	Verify(ctx context.Context, progress func(done, total int64)) (ledger.Verification, error)
	Correct(ctx context.Context, c []ledger.Correction) error
	Corrections(ctx context.Context, callID string) ([]ledger.CorrectionRow, error)
	Latency(ctx context.Context, f ledger.Filter, step ledger.GroupBy, m ledger.Metric) (ledger.Heat, error)
	Record(ctx context.Context, c *ledger.Call) error
	EraseSamples(ctx context.Context) (int64, error)
}

// role says who may use an endpoint.
type role int

const (
	anyone role = iota // also who is not logged in
	member             // a key's holder, for what is the holder's own
	admin
)

// endpoint answers one method of one address. Its error becomes an [ErrorBody].
type endpoint func(w http.ResponseWriter, r *http.Request, p access.Principal) error

type route struct {
	method, path string
	role         role
	serve        endpoint
}

type service struct {
	Deps
	routes []route
	// rewriting is held by what rewrites history: one reprice, or one change of
	// the sample data, at a time.
	rewriting sync.Mutex
}

type trustedKey struct{}

// Trusted marks every request as the administrator's. It is for a listener that
// only the owner of the data directory can reach: the unix socket of a running
// server (mode 0600), and a command that serves itself in-process.
func Trusted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), trustedKey{}, true)))
	})
}

func isTrusted(ctx context.Context) bool { return ctx.Value(trustedKey{}) != nil }

// New serves /api/v1. Requests are authenticated as package access says, unless
// they come through [Trusted].
func New(d Deps) http.Handler { return newService(d).handler() }

func newService(d Deps) *service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.TimeZone == nil {
		d.TimeZone = time.UTC
	}
	s := &service{Deps: d}
	s.routes = []route{
		{"GET", "/api/v1/session", anyone, s.getSession},
		{"POST", "/api/v1/session", anyone, s.postSession},
		{"DELETE", "/api/v1/session", anyone, s.deleteSession},
		{"DELETE", "/api/v1/sessions", admin, s.deleteSessions},
		{"GET", loginPath, anyone, s.getLogin},
		{"POST", "/api/v1/admin-link", admin, s.postAdminLink},
		{"GET", "/api/v1/status", member, s.getStatus},
		{"GET", "/api/v1/models", member, s.getModels},
		{"GET", "/api/v1/calls", member, s.getCalls},
		{"GET", "/api/v1/calls.csv", member, s.getCallsCSV},
		{"GET", "/api/v1/calls/live", member, s.getCallsLive},
		{"GET", "/api/v1/calls/{id}", member, s.getCall},
		{"GET", "/api/v1/spend", member, s.getSpend},
		{"GET", "/api/v1/spend.csv", member, s.getSpendCSV},
		{"GET", "/api/v1/series", member, s.getSeries},
		{"GET", "/api/v1/latency", member, s.getLatency},
		{"GET", "/api/v1/prices", member, s.getPrices},
		{"GET", "/api/v1/prices/{provider}/{model...}", member, s.getPrice},
		{"GET", "/api/v1/keys", member, s.getKeys},
		{"POST", "/api/v1/keys", admin, s.postKey},
		{"GET", "/api/v1/keys/{id}", member, s.getKey},
		{"PATCH", "/api/v1/keys/{id}", admin, s.patchKey},
		{"DELETE", "/api/v1/keys/{id}", admin, s.deleteKey},
		{"GET", "/api/v1/budgets", member, s.getBudgets},
		{"PUT", "/api/v1/budgets", admin, s.putBudget},
		{"DELETE", "/api/v1/budgets/{id}", admin, s.deleteBudget},
		{"GET", "/api/v1/ledger/verify", admin, s.getVerify},
		{"POST", "/api/v1/reprice", admin, s.postReprice},
		{"POST", "/api/v1/backup", admin, s.postBackup},
		{"POST", "/api/v1/sample-data", admin, s.postSampleData},
		{"DELETE", "/api/v1/sample-data", admin, s.deleteSampleData},
		{"GET", "/api/v1/audit", admin, s.getAudit},
	}
	return s
}

// handler routes requests.
func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	paths := map[string]map[string]route{}
	for _, rt := range s.routes {
		if paths[rt.path] == nil {
			paths[rt.path] = map[string]route{}
			mux.HandleFunc(rt.path, func(w http.ResponseWriter, r *http.Request) { s.dispatch(w, r, paths[rt.path]) })
		}
		paths[rt.path][rt.method] = rt
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.writeError(w, r, notFound("there is nothing at %s; docs/api.md lists every address", clip(r.URL.Path)))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		// A path that is not clean would make the mux redirect to text/html.
		if strings.Contains(r.URL.Path, "//") || strings.Contains(r.URL.Path, "/./") || strings.Contains(r.URL.Path, "/../") {
			s.writeError(w, r, notFound("there is nothing at %s", clip(r.URL.Path)))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// dispatch picks the method, checks who asks, and answers.
func (s *service) dispatch(w http.ResponseWriter, r *http.Request, methods map[string]route) {
	rt, ok := methods[r.Method]
	if r.Method == http.MethodHead {
		rt, ok = methods[http.MethodGet]
	}
	if !ok {
		allowed := make([]string, 0, len(methods))
		for m := range methods {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.writeError(w, r, model.Errorf(http.StatusMethodNotAllowed, CodeBadMethod, "%s does not take %s; it takes %s", clip(r.URL.Path), clip(r.Method), strings.Join(allowed, ", ")))
		return
	}
	p, err := s.admit(r, rt)
	if err == nil {
		err = rt.serve(w, r.WithContext(access.WithPrincipal(r.Context(), p)), p)
	}
	if err != nil {
		s.writeError(w, r, err)
	}
}

// admit applies the checks of host, origin, identity, CSRF and role, in this order.
func (s *service) admit(r *http.Request, rt route) (access.Principal, error) {
	if isTrusted(r.Context()) {
		return access.Principal{Admin: true, Customer: access.LocalCustomer, Via: "socket"}, nil
	}
	if !s.hostAllowed(r.Host) {
		return access.Principal{}, model.Errorf(http.StatusForbidden, CodeForeignHost, "this server does not answer to the host name of this request; use the address that `strata up` printed")
	}
	if err := checkOrigin(r, rt.path == loginPath); err != nil {
		return access.Principal{}, err
	}
	if rt.role == anyone {
		return access.Principal{}, nil
	}
	p, err := s.Access.Authenticate(r)
	if err != nil {
		e := access.ModelError(err)
		if e.Code == model.CodeMissingKey {
			e = model.Errorf(http.StatusUnauthorized, CodeLoginRequired, "log in, or send a key or the admin secret as \"Authorization: Bearer …\"; `strata key admin` prints a login link").Wrap(err)
		}
		return p, e
	}
	if p.Open && changes(r.Method) && fromBrowser(r) {
		if err := s.Access.CheckOpenCSRF(r); err != nil {
			return p, access.ModelError(err)
		}
	}
	if rt.role == admin && !p.Admin || rt.role == member && !p.Admin && p.KeyID == "" {
		return p, model.Errorf(http.StatusForbidden, CodeAdminRequired, "only an administrator may do this; log in with the admin secret or a link from `strata key admin`")
	}
	return p, nil
}

// hostAllowed stops DNS rebinding: a foreign name that resolves to this machine
// must not make a browser treat this server as that name's site. Loopback names
// are always ours; any address in numbers cannot be rebound; other names must be
// configured.
func (s *service) hostAllowed(host string) bool {
	if s.HostAllowed != nil {
		return s.HostAllowed(host)
	}
	return LoopbackHost(host)
}

// LoopbackHost says that a Host header names this machine's loopback.
func LoopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// checkOrigin refuses requests that a page of another site caused. Following a
// login link from elsewhere, such as a chat, is a navigation and is allowed.
func checkOrigin(r *http.Request, navigation bool) error {
	foreign := model.Errorf(http.StatusForbidden, CodeForeignOrigin, "a page of another site sent this request")
	if o := r.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return foreign
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	if navigation && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return nil
	}
	return foreign
}

func changes(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// fromBrowser says that a browser sent the request: all that are in use add
// Origin to a changing request, and Sec-Fetch-Site to every one.
func fromBrowser(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Cookie") != ""
}

// Package gateway is the front door: it speaks OpenAI's HTTP interface to
// clients and asks a [model.Model] for the answer.
//
// # What becomes a row in the ledger
//
// Every POST to one of the three operations (chat completions, completions,
// embeddings) is exactly one call in the ledger. Once a served model is found,
// its meter records the call, whatever happens; everything refused before that
// (no key, bad JSON, unknown model, body too large, ...) is recorded here, with
// the code that the client saw. Requests for other paths, for a method that a
// path does not have, and for the list of models ask no model for anything and
// are not calls.
//
// # Floods without a key
//
// A refusal for want of a valid key costs a row, so a stranger could fill the
// disk. Such rows are limited to [Deps.StrangerRate] a second (with a burst of
// [Deps.StrangerBurst]) over all strangers together. Beyond that the answer is
// 429 without reading the body, and one row a second says how many were turned
// away, in a decision named "refusals_summed". Requests with a valid key, or on
// an open loopback, are never summed.
//
// # Order
//
// The terminal bytes of a reply ([DONE], or the body of a whole reply) are sent
// only after the model has yielded its terminal event, which a meter does only
// after the call is settled: a client that holds a whole reply has its row in
// the ledger.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
)

// Caller is who sends a request, as far as the gateway needs to know.
type Caller struct {
	KeyID string
	// Customer is whom the key is bound to; "" when it is bound to nobody and
	// the caller may name any.
	Customer string
	// Feature is the key's default feature.
	Feature    string
	LogContent bool
	// Open says that the caller came over an open loopback, without a key. Then
	// Customer is only a default.
	Open bool
}

// Entry is a served model, for GET /v1/models.
type Entry struct {
	Name    string
	OwnedBy string
	Created time.Time
}

// Models finds what answers.
type Models interface {
	// Find returns the model that serves a name.
	Find(name string) (model.Model, bool)
	// List is every configured served model, sorted by name.
	List() []Entry
}

// Recorder writes outcomes to the ledger.
type Recorder interface {
	// Record writes a call that held nothing; it does not wait for the disk.
	Record(ctx context.Context, c *ledger.Call) error
	// Settle writes a call and releases its hold, once per id.
	Settle(ctx context.Context, c *ledger.Call) error
}

// Deps is what a gateway needs. Zero limits mean their defaults.
type Deps struct {
	Models Models
	Ledger Recorder
	// Authenticate says who sends a request. Its error is a *model.Error with
	// status 401 or 403, or any error for a failure of its own.
	Authenticate func(r *http.Request) (Caller, error)
	NewID        func(now time.Time) string
	Now          func() time.Time
	Log          *slog.Logger

	// MaxBody is the largest request body in bytes; the default is 32 MiB, which
	// holds several images in base64.
	MaxBody int64
	// BodyTimeout is how long a client may take to send a body (default 60 s),
	// and WriteTimeout how long it may take to accept one write (default 60 s).
	BodyTimeout, WriteTimeout time.Duration
	// StrangerRate and StrangerBurst bound the rows written for requests without
	// a valid key: rows a second, and rows at once (defaults 20 and 200).
	StrangerRate, StrangerBurst int
}

// Gateway is an http.Handler for /v1.
type Gateway struct {
	Deps
	strangers strangers
	inFlight  atomic.Int64
}

// New makes a gateway.
func New(d Deps) *Gateway {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.NewID == nil {
		d.NewID = ledger.NewID
	}
	setDefault(&d.MaxBody, 32<<20)
	setDefault(&d.BodyTimeout, time.Minute)
	setDefault(&d.WriteTimeout, time.Minute)
	setDefault(&d.StrangerRate, 20)
	setDefault(&d.StrangerBurst, 200)
	g := &Gateway{Deps: d}
	g.strangers.rate = float64(d.StrangerRate)
	g.strangers.burst = float64(d.StrangerBurst)
	g.strangers.tokens = g.strangers.burst
	return g
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// InFlight is the number of operations being answered now.
func (g *Gateway) InFlight() int64 { return g.inFlight.Load() }

// operation is one of the endpoints that ask a model for something.
type operation struct {
	op     model.Op
	wire   string
	decode func(body []byte) (*model.Request, error)
}

// ServeHTTP answers one request below /v1.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var op *operation
	switch path := r.URL.Path; {
	case path == "/v1/chat/completions":
		op = &chatCompletions
	case path == "/v1/completions":
		op = &completions
	case path == "/v1/embeddings":
		op = &embeddings
	case path == "/v1/models" || path == "/v1/models/":
		if g.allow(w, r, http.MethodGet, http.MethodHead) {
			g.serveModels(w, r, "")
		}
		return
	case strings.HasPrefix(path, "/v1/models/"):
		if g.allow(w, r, http.MethodGet, http.MethodHead) {
			g.serveModels(w, r, strings.TrimPrefix(path, "/v1/models/"))
		}
		return
	default:
		g.writeError(w, r, model.Errorf(http.StatusNotFound, model.CodeUnknownURL,
			"no such path: %s %s; this server has POST /v1/chat/completions, /v1/completions and /v1/embeddings, and GET /v1/models",
			r.Method, printable(path)))
		return
	}
	if g.allow(w, r, http.MethodPost) {
		g.inFlight.Add(1)
		defer g.inFlight.Add(-1)
		g.serve(w, r, op)
	}
}

// allow reports whether the request has one of the methods, and answers 405 if
// not.
func (g *Gateway) allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	for _, m := range methods {
		if r.Method == m {
			return true
		}
	}
	allowed := strings.Join(methods, ", ")
	w.Header().Set("Allow", allowed)
	g.writeError(w, r, model.Errorf(http.StatusMethodNotAllowed, model.CodeMethod,
		"%s does not take %s; use %s", printable(r.URL.Path), printable(r.Method), allowed))
	return false
}

// printable shortens text from a request for use in a message, and replaces
// what is not printable.
func printable(s string) string {
	const limit = 128
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\ufffd' {
			return '?'
		}
		return c
	}, s)
}

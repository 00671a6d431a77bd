package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxAdminBody bounds the body of a request to /api, in bytes: the largest is a
// price book to reprice with.
const maxAdminBody = 16 << 20

// bodyTimeout is how long a client may take to send a body to /api.
const bodyTimeout = 30 * time.Second

// health is the answer of /healthz and /readyz.
type health struct {
	Service string `json:"service"`
	Status  string `json:"status"`
	// Reason says why the server is not ready.
	Reason string `json:"reason,omitempty"`
}

// routes joins the handlers of a server by path.
type routes struct {
	gateway, admin, console http.Handler
	// ready is nil when calls can be answered and recorded.
	ready func(ctx context.Context) error
	// stopping ends when the server begins to drain: live views, which never
	// end by themselves, then end so that they do not hold it up.
	stopping context.Context
}

func (h *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/v1" || strings.HasPrefix(path, "/v1/"):
		h.gateway.ServeHTTP(w, r)
	case path == "/api" || strings.HasPrefix(path, "/api/"):
		// The policy of the guard is right for JSON; a page never comes from here.
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		if r.Method == http.MethodGet {
			defer context.AfterFunc(h.stopping, cancel)()
		} else {
			r.Body = newTimedBody(w, r.Body)
		}
		h.admin.ServeHTTP(w, r.WithContext(ctx))
	case path == "/healthz":
		// The process lives and answers.
		writeHealth(w, http.StatusOK, health{Service: "strata", Status: "ok"})
	case path == "/readyz":
		if h.stopping.Err() != nil {
			writeHealth(w, http.StatusServiceUnavailable, health{Service: "strata", Status: "stopping", Reason: "the server is draining"})
			return
		}
		if err := h.ready(r.Context()); err != nil {
			// The cause may name files; the log has it.
			writeHealth(w, http.StatusServiceUnavailable, health{Service: "strata", Status: "unavailable", Reason: "the ledger cannot be read or written"})
			return
		}
		writeHealth(w, http.StatusOK, health{Service: "strata", Status: "ready"})
	default:
		h.console.ServeHTTP(w, r)
	}
}

func writeHealth(w http.ResponseWriter, status int, v health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// timedBody is a request body of limited size that must arrive in time. The
// deadline ends with the body: the server also reads the connection to notice
// that a client left, and a deadline that stayed would look like it.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	timed   bool
}

func newTimedBody(w http.ResponseWriter, body io.ReadCloser) *timedBody {
	b := &timedBody{ReadCloser: http.MaxBytesReader(w, body, maxAdminBody), control: http.NewResponseController(w)}
	b.timed = b.control.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	if body == nil || body == http.NoBody {
		b.release()
	}
	return b
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

func (b *timedBody) release() {
	if b.timed {
		b.timed = false
		b.control.SetReadDeadline(time.Time{})
	}
}

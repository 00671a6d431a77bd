package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/wire/openai"
)

// recordTimeout bounds how long a refusal waits for the ledger.
const recordTimeout = 10 * time.Second

// writeError answers with an error in OpenAI's shape.
func (g *Gateway) writeError(w http.ResponseWriter, r *http.Request, e *model.Error) {
	if e.Status == 499 || e.Code == model.CodeCanceled {
		// Nobody is there to read it; the status is for the access log.
		w.WriteHeader(499)
		return
	}
	if e.Status >= 500 {
		level := slog.LevelWarn
		if e.Code == model.CodeUnavailable {
			level = slog.LevelInfo // a known state, whose cause was logged when it began
		}
		g.Log.LogAttrs(r.Context(), level, "request failed", slog.String("call", w.Header().Get(headerCallID)),
			slog.Int("status", e.Status), slog.String("code", e.Code), slog.String("message", e.Message), slog.Any("cause", e.Err))
	}
	h := w.Header()
	if e.Status == http.StatusPaymentRequired {
		// The official SDKs retry unless told otherwise.
		h.Set("X-Should-Retry", "false")
	}
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="strata"`)
	}
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		wait := max(e.RetryAfter, time.Second)
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10))
	}
	writeBody(w, clientStatus(e), openai.AppendError(nil, e))
}

// clientStatus is the error's status, if it is one that can be answered.
func clientStatus(e *model.Error) int {
	if e.Status < 400 || e.Status > 599 {
		return http.StatusInternalServerError
	}
	return e.Status
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a client that left is seen by its context
}

// refuse records that a call was refused before any model was asked, and
// answers. If the ledger cannot be written the client is still told why its
// request was refused: nothing was consumed, and the log has the row.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, c *ledger.Call, e *model.Error) {
	c.Outcome = ledger.OutcomeRefused
	if e.Code == model.CodeCanceled {
		c.Outcome = ledger.OutcomeCanceled
	}
	if e.Status >= 500 {
		c.Outcome = ledger.OutcomeError
	}
	c.Status, c.ErrorCode, c.ErrorText = e.Status, e.Code, e.Message
	c.Model = printable(c.Model) // nothing bounds the name of a model that does not exist
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTimeout)
	defer cancel()
	if err := g.Ledger.Record(ctx, c); err != nil {
		g.Log.Error("a refused request could not be recorded", "call", c.ID, "code", e.Code, "error", err)
	}
	g.writeError(w, r, e)
}

// refuseStranger refuses a request without a valid key, within the bound on
// rows for strangers.
func (g *Gateway) refuseStranger(w http.ResponseWriter, r *http.Request, c *ledger.Call, e *model.Error) {
	row, summed := g.strangers.take(time.Now())
	if !row {
		busy := model.Errorf(http.StatusTooManyRequests, model.CodeRateLimited,
			"too many requests without a valid key; wait and send one with a key")
		busy.RetryAfter = 5 * time.Second
		g.writeError(w, r, busy)
		return
	}
	if summed > 0 {
		c.Decisions = append(c.Decisions, ledger.Decision{By: "gateway", What: "refusals_summed",
			Detail: fmt.Sprintf("%d more requests without a valid key were turned away with 429 before this one, without a row each", summed)})
	}
	g.refuse(w, r, c, e)
}

// strangers is a token bucket over all requests without a valid key.
type strangers struct {
	mu          sync.Mutex
	rate, burst float64
	tokens      float64
	last        time.Time
	skipped     int64
}

// take reports whether one more row may be written now, and how many requests
// went without one since the last row.
func (s *strangers) take(now time.Time) (ok bool, summed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if passed := now.Sub(s.last); !s.last.IsZero() && passed > 0 {
		s.tokens = min(s.burst, s.tokens+passed.Seconds()*s.rate)
	}
	s.last = now
	if s.tokens < 1 {
		s.skipped++
		return false, 0
	}
	s.tokens--
	summed, s.skipped = s.skipped, 0
	return true, summed
}

// readBody reads the request's body within the limits of size and time.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *model.Error) {
	if r.ContentLength > g.MaxBody {
		w.Header().Set("Connection", "close")
		return nil, g.tooLarge()
	}
	rc := http.NewResponseController(w)
	// Not every ResponseWriter has deadlines (those of tests do not); the
	// server's own does.
	timed := rc.SetReadDeadline(time.Now().Add(g.BodyTimeout)) == nil
	body, err := readAll(http.MaxBytesReader(w, r.Body, g.MaxBody), r.ContentLength)
	if timed {
		// The server watches the idle connection for the client leaving; a
		// deadline that stayed would look like it.
		rc.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	var netErr interface{ Timeout() bool }
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, g.tooLarge()
	case errors.As(err, &netErr) && netErr.Timeout():
		w.Header().Set("Connection", "close")
		return nil, model.Errorf(http.StatusRequestTimeout, model.CodeInvalidRequest,
			"the request body did not arrive within %s; send it faster or smaller", g.BodyTimeout)
	case r.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, model.Errorf(499, model.CodeCanceled, "the client left before its request had arrived").Wrap(err)
	}
	w.Header().Set("Connection", "close")
	return nil, model.Errorf(http.StatusBadRequest, model.CodeInvalidRequest, "the request body cannot be read").Wrap(err)
}

func (g *Gateway) tooLarge() *model.Error {
	return model.Errorf(http.StatusRequestEntityTooLarge, model.CodeTooLarge,
		"the request body is larger than %d bytes; send less, or raise the limit in the configuration (limits)", g.MaxBody)
}

// readAll reads everything, into one allocation when the stated length is true.
func readAll(body io.Reader, length int64) ([]byte, error) {
	const trusted = 1 << 20 // beyond this a stated length is not believed in advance
	buf := make([]byte, 0, max(512, min(length, trusted)+1))
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

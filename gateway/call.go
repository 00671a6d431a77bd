package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/meter"
)

// The headers of a reply.
const (
	headerCallID    = "X-Strata-Call-Id"
	headerCost      = "X-Strata-Cost"
	headerEstimated = "X-Strata-Estimated"
	headerMaxTokens = "X-Strata-Max-Tokens"
	// The official SDKs show this one as the request's id.
	headerRequestID = "X-Request-Id"
)

// serve answers one operation. Every return leaves exactly one outcome in the
// ledger: written here through refuse, or by the model's meter.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, op *operation) {
	now := g.Now()
	started := time.Now() // durations come from the monotonic clock
	id := g.NewID(now)
	h := w.Header()
	h.Set(headerCallID, id)
	h.Set(headerRequestID, id)
	row := &ledger.Call{ID: id, Root: id, Time: now.UTC(), Op: op.op}
	refuse := func(e *model.Error) {
		row.Duration = time.Since(started)
		g.refuse(w, r, row, e)
	}
	defer g.recoverCall(w, r, row, started)

	caller, err := g.Authenticate(r)
	if err != nil {
		row.Duration = time.Since(started)
		g.refuseStranger(w, r, row, model.AsError(err))
		return
	}
	attribution, bad := attribute(r.Header, caller)
	row.KeyID, row.Customer, row.Feature, row.Tags = attribution.KeyID, attribution.Customer, attribution.Feature, attribution.Tags
	if bad != nil {
		refuse(bad)
		return
	}
	if bad := checkEncoding(r.Header); bad != nil {
		refuse(bad)
		return
	}
	body, bad := g.readBody(w, r)
	if bad != nil {
		refuse(bad)
		return
	}
	req, err := op.decode(body)
	if err != nil {
		refuse(model.AsError(err))
		return
	}
	req.Attribution = merge(attribution, req.Attribution)
	req.Call = model.CallRef{ID: id, Root: id}
	row.EndUser, row.Tags, row.Model, row.Stream = req.Attribution.EndUser, req.Attribution.Tags, req.Model, req.Stream
	m, ok := g.Models.Find(req.Model)
	if !ok {
		refuse(g.unknownModel(req.Model))
		return
	}

	ctx, notes := meter.WithNotes(r.Context())
	events := m.Generate(ctx, req)
	out := &reply{gateway: g, w: w, r: r, op: op, req: req, notes: notes}
	if req.Stream && op.op != model.OpEmbed {
		out.stream(events)
	} else {
		out.whole(events)
	}
}

// checkEncoding refuses bodies that are not plain JSON.
func checkEncoding(h http.Header) *model.Error {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || mediaType != "application/json" && !strings.HasSuffix(mediaType, "+json") {
		given := "nothing"
		if ct := h.Get("Content-Type"); ct != "" {
			given = printable(ct)
		}
		e := model.Errorf(http.StatusUnsupportedMediaType, model.CodeMediaType,
			"the request says Content-Type %s; send JSON with Content-Type: application/json", given)
		e.Param = "Content-Type"
		return e
	}
	if ce := h.Get("Content-Encoding"); ce != "" && !strings.EqualFold(ce, "identity") {
		e := model.Errorf(http.StatusUnsupportedMediaType, model.CodeMediaType,
			"the request says Content-Encoding %s; send the body uncompressed", printable(ce))
		e.Param = "Content-Encoding"
		return e
	}
	return nil
}

// recoverCall turns a panic during a call into one outcome and a 500. A meter
// that has settled the call already keeps its row: an id is settled once.
func (g *Gateway) recoverCall(w http.ResponseWriter, r *http.Request, row *ledger.Call, started time.Time) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	g.Log.LogAttrs(r.Context(), slog.LevelError, "a call panicked", slog.String("call", row.ID),
		slog.String("cause", fmt.Sprint(cause)), slog.String("stack", string(debug.Stack())))
	e := model.AsError(fmt.Errorf("panic: %v", cause))
	row.Duration = time.Since(started)
	row.Outcome, row.Status, row.ErrorCode, row.ErrorText = ledger.OutcomeError, e.Status, e.Code, e.Message
	g.settle(r, row)
	if s, ok := w.(interface{ Started() bool }); ok && s.Started() {
		// Half a reply is on its way: only cutting the connection tells the
		// client that the rest will not come.
		panic(http.ErrAbortHandler)
	}
	g.writeError(w, r, e)
}

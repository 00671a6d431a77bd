package gateway

import (
	"context"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/meter"
	"github.com/stratahq/strata/model/wire/openai"
)

// reply writes what a model yields to the client, on the client's wire.
type reply struct {
	gateway *Gateway
	w       http.ResponseWriter
	r       *http.Request
	op      *operation
	req     *model.Request
	notes   *meter.Notes
}

// whole collects the reply and sends it in one piece, with its length and cost.
func (o *reply) whole(events iter.Seq2[model.Event, error]) {
	answer, err := model.Collect(events)
	o.admissionHeaders()
	if err == nil && !answer.Ended {
		err = model.Errorf(http.StatusBadGateway, model.CodeUpstreamProtocol, "the reply ended before it was complete")
	}
	if err != nil {
		o.gateway.writeError(o.w, o.r, model.AsError(err))
		return
	}
	// A reply that came whole on the same wire passes byte for byte, uncopied.
	body := answer.Raw.Data
	if answer.Raw.Wire != o.op.wire || len(body) == 0 || body[0] != '{' {
		body = openai.EncodeReply(o.req, answer)
	}
	h := o.w.Header()
	receiptHeaders(h, answer.Receipt)
	o.deadline()
	writeBody(o.w, http.StatusOK, body)
}

// stream sends each event as it comes. The first event decides between a
// status for an error and the start of a stream; after that an error is an
// event of its own, and the stream ends without [DONE].
func (o *reply) stream(events iter.Seq2[model.Event, error]) {
	enc := openai.NewChunkEncoder(o.req)
	var out *streamWriter // nil until the stream has begun
	ended := false
	defer func() {
		if out != nil {
			out.close() // also when the model panics: the goroutine uses o.w
		}
	}()
	fail := func(e *model.Error) {
		switch {
		case out == nil:
			o.admissionHeaders()
			o.gateway.writeError(o.w, o.r, e)
		case e.Code != model.CodeCanceled || o.r.Context().Err() == nil:
			out.append(func(b []byte) []byte { return enc.AppendError(b, e) })
		}
	}
	for ev, err := range events {
		if err != nil {
			fail(model.AsError(err))
			return
		}
		if out == nil {
			o.admissionHeaders()
			h := o.w.Header()
			h.Set("Content-Type", "text/event-stream")
			h.Set("Cache-Control", "no-cache, no-transform")
			h.Set("X-Accel-Buffering", "no") // reverse proxies must not collect the stream
			h.Set("Trailer", headerCost+", "+headerEstimated)
			o.w.WriteHeader(http.StatusOK)
			out = newStreamWriter(o.w, o.gateway.WriteTimeout)
		}
		if !out.append(func(b []byte) []byte { return enc.Append(b, &ev) }) {
			return // the client left; leaving the range cancels the call
		}
		if ev.Kind == model.KindEnd {
			out.close() // the trailer is set when nobody else uses the writer
			receiptHeaders(o.w.Header(), ev.Receipt)
			ended = true // the sequence still ends by itself, which may tidy up
		}
	}
	if ended {
		return
	}
	fail(model.Errorf(http.StatusBadGateway, model.CodeUpstreamProtocol, "the reply ended before it was complete"))
}

// deadline gives the client a bounded time to accept the next write. Without
// it a client that stops reading would hold its call for ever.
func (o *reply) deadline() {
	http.NewResponseController(o.w).SetWriteDeadline(time.Now().Add(o.gateway.WriteTimeout))
}

// admissionHeaders tells what admission decided.
func (o *reply) admissionHeaders() {
	if n := o.notes.MaxTokens; n > 0 {
		o.w.Header().Set(headerMaxTokens, strconv.FormatInt(int64(n), 10))
	}
}

// receiptHeaders tells what a settled call came to. A cost that is not known
// says so: it is never shown as zero.
func receiptHeaders(h http.Header, receipt *model.Receipt) {
	if receipt == nil {
		return
	}
	cost := receipt.CostUSD
	if cost == "" {
		cost = "unknown"
	}
	h.Set(headerCost, cost)
	if receipt.Estimated {
		h.Set(headerEstimated, "true")
	}
}

// settle writes a call's row whatever became of its request.
func (g *Gateway) settle(r *http.Request, row *ledger.Call) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), recordTimeout)
	defer cancel()
	if err := g.Ledger.Settle(ctx, row); err != nil {
		g.Log.Error("a failed call could not be recorded", "call", row.ID, "error", err)
	}
}

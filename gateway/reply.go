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
	var (
		enc     = openai.NewChunkEncoder(o.req)
		rc      = http.NewResponseController(o.w)
		buf     []byte
		started bool
		ended   bool
	)
	begin := func() {
		o.admissionHeaders()
		h := o.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache, no-transform")
		h.Set("X-Accel-Buffering", "no") // reverse proxies must not collect the stream
		h.Set("Trailer", headerCost+", "+headerEstimated)
		o.w.WriteHeader(http.StatusOK)
		started = true
	}
	send := func() bool {
		if len(buf) == 0 {
			return true
		}
		o.deadline()
		if _, err := o.w.Write(buf); err != nil {
			return false
		}
		buf = buf[:0]
		return rc.Flush() == nil
	}
	for ev, err := range events {
		if err != nil {
			e := model.AsError(err)
			if !started {
				o.admissionHeaders()
				o.gateway.writeError(o.w, o.r, e)
				return
			}
			o.fail(e, buf[:0])
			return
		}
		if !started {
			begin()
		}
		buf = enc.Append(buf[:0], &ev)
		if ev.Kind == model.KindEnd {
			ended = true
			receiptHeaders(o.w.Header(), ev.Receipt)
		}
		if !send() {
			return // the client left; leaving the range cancels the call
		}
	}
	if ended {
		return
	}
	e := model.Errorf(http.StatusBadGateway, model.CodeUpstreamProtocol, "the reply ended before it was complete")
	if !started {
		o.admissionHeaders()
		o.gateway.writeError(o.w, o.r, e)
		return
	}
	o.fail(e, buf[:0])
}

// fail reports an error inside a stream that has begun.
func (o *reply) fail(e *model.Error, buf []byte) {
	if e.Code == model.CodeCanceled && o.r.Context().Err() != nil {
		return
	}
	buf = append(buf, "data: "...)
	buf = openai.AppendError(buf, e)
	buf = append(buf, "\n\n"...)
	o.deadline()
	o.w.Write(buf)
	http.NewResponseController(o.w).Flush()
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

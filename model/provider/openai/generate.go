package openai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/usage"
	wire "github.com/stratahq/strata/model/wire/openai"
)

// served is one model of an upstream.
type served struct {
	*Upstream
	model string
}

var _ model.Model = (*served)(nil)

// Model returns the upstream's model of the given name, which is the upstream's
// own name.
func (u *Upstream) Model(name string) model.Model { return &served{u, name} }

var _ model.Model = (*Upstream)(nil)

// Generate asks the model that the request names, by the upstream's own name.
func (u *Upstream) Generate(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
	return u.Model(req.Model).Generate(ctx, req)
}

// endpoint is the path of an operation, and the price book's name for it.
func endpoint(op model.Op) (path, surface string) {
	switch op {
	case model.OpChat:
		return "/chat/completions", "chat.completions"
	case model.OpComplete:
		return "/completions", "completions"
	case model.OpEmbed:
		return "/embeddings", "embeddings"
	}
	return "", ""
}

// body is a request body that knows whether the transport has begun to send it.
// Before that the upstream cannot have seen the call.
type body struct {
	bytes.Reader
	sent *atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	b.sent.Store(true)
	return b.Reader.Read(p)
}

func (b *body) WriteTo(w io.Writer) (int64, error) {
	b.sent.Store(true)
	return b.Reader.WriteTo(w)
}

func (b *body) Close() error { return nil }

// answer is one call to the upstream.
type answer struct {
	served  *served
	req     *model.Request
	wire    string
	surface string
	parent  context.Context
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer // the timeout of the current phase
	phase   atomic.Pointer[timeoutError]
	yield   func(model.Event, error) bool

	decoder  wire.Decoder
	rawUsage []byte // the last usage stated, not yet read
	usage    *model.Usage
	tier     string
	finished bool // some choice has ended
	begun    bool // an event was delivered
}

// Generate asks the upstream.
func (s *served) Generate(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		a := &answer{served: s, req: req, wire: wire.WireOf(req.Op), parent: ctx, yield: yield}
		if err := a.run(); err != nil {
			if a.begun || err.MayHaveBeenCharged {
				err.Usage = a.stated()
			}
			yield(model.Event{}, err)
		}
	}
}

// errStopped says that the consumer stopped the range; nothing may be yielded.
var errStopped = errors.New("the consumer stopped")

func (a *answer) run() *model.Error {
	u := a.served.Upstream
	path, surface := endpoint(a.req.Op)
	if path == "" {
		return model.Errorf(400, model.CodeUnsupported, "upstream %s cannot do %s", u.name, a.req.Op)
	}
	a.surface = surface
	if err := a.parent.Err(); err != nil {
		return model.AsError(err)
	}
	data, err := wire.EncodeRequest(nil, a.req, wire.UpstreamOptions{
		Model: a.served.model, Limit: u.limit, AskUsage: u.askUse, NoStreamOptions: !u.askUse,
	})
	if err != nil {
		return model.AsError(err)
	}
	a.ctx, a.cancel = context.WithCancelCause(a.parent)
	defer a.cancel(nil)
	deadline := time.AfterFunc(u.total, func() { a.cancel(&timeoutError{"did not finish", u.total}) })
	defer deadline.Stop()
	a.phase.Store(&timeoutError{"did not begin to answer", u.firstByte})
	a.timer = time.AfterFunc(u.firstByte, func() { a.cancel(a.phase.Load()) })
	defer a.timer.Stop()

	r, err := u.request(a.ctx, http.MethodPost, path)
	if err != nil {
		e := u.protocol(err, "has an address that cannot be called")
		e.MayHaveBeenCharged = false
		return e
	}
	var sent atomic.Bool
	newBody := func() (io.ReadCloser, error) {
		b := &body{sent: &sent}
		b.Reset(data)
		return b, nil
	}
	r.Body, _ = newBody()
	r.GetBody = newBody
	r.ContentLength = int64(len(data))
	if a.req.Stream {
		r.Header["Accept"] = acceptStream
	} else {
		r.Header["Accept"] = acceptJSON
	}
	resp, err := u.client.Do(r)
	if err != nil {
		return u.broken(a.parent, a.ctx, err, sent.Load())
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return u.refused(resp)
	}
	a.phase.Store(&timeoutError{"paused and did not go on", u.idle})
	a.timer.Reset(u.idle)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case kind == "text/event-stream":
		return a.stopped(a.stream(resp.Body))
	case kind == "application/json" || strings.HasSuffix(kind, "+json") || kind == "" || kind == "text/plain":
		return a.stopped(a.whole(resp))
	}
	return u.protocol(nil, fmt.Sprintf("answered with %s where JSON or an event stream was expected; check base_url", printable(kind)))
}

var (
	acceptStream = []string{"text/event-stream"}
	acceptJSON   = []string{"application/json"}
)

// printable keeps a media type from an upstream harmless in a message.
func printable(kind string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, kind[:min(len(kind), 60)])
}

// stopped turns the end by the consumer into a quiet end.
func (a *answer) stopped(err error) *model.Error {
	if err == nil || err == errStopped {
		return nil
	}
	return model.AsError(err)
}

// deliver yields an event.
func (a *answer) deliver(ev *model.Event) error {
	a.begun = true
	if !a.yield(*ev, nil) {
		return errStopped
	}
	return nil
}

// stated is the usage that the upstream has stated so far; nil for none.
func (a *answer) stated() *model.Usage {
	if a.rawUsage != nil {
		a.usage = usage.OpenAIUsage(a.served.dialect.Name, a.surface, a.rawUsage)
		a.rawUsage = nil
		if a.usage != nil && a.usage.ServiceTier == "" {
			a.usage.ServiceTier = a.tier
		}
	}
	return a.usage
}

// stream passes on an event stream.
func (a *answer) stream(r io.Reader) error {
	u := a.served.Upstream
	events := readers.Get().(*wire.EventReader)
	events.Reset(r, u.maxEvent)
	defer func() {
		events.Reset(nil, 0)
		readers.Put(events)
	}()
	// The extra chunk that only Strata asked for is kept from the client.
	s := a.req.Sampling()
	hideUsage := s == nil || !s.IncludeUsage
	for {
		_, data, err := events.Next()
		if err != nil {
			return a.streamEnd(data, err)
		}
		a.timer.Reset(u.idle)
		if string(data) == "[DONE]" {
			return a.finish(data)
		}
		if len(data) == 0 {
			continue
		}
		list, facts, err := a.decoder.Chunk(a.wire, data)
		if err != nil {
			return u.protocol(err, "sent an event that is not valid JSON")
		}
		if facts.Failure != nil {
			return u.inReply(facts.Failure, a.begun)
		}
		if facts.ServiceTier != "" {
			a.tier = facts.ServiceTier
		}
		if facts.Usage != nil {
			a.rawUsage = append(a.rawUsage[:0], facts.Usage...)
		}
		for i := range list {
			ev := &list[i]
			if ev.FinishReason != "" {
				a.finished = true
			}
			if facts.Usage != nil && (ev.Kind == model.KindOther || ev.FinishReason != "") {
				if ev.Kind == model.KindOther && a.finished && hideUsage && len(list) == 1 {
					a.stated()
					continue
				}
				// Some servers state usage in every chunk. It is read where it
				// can be final.
				ev.Usage = a.stated()
			}
			if err := a.deliver(ev); err != nil {
				return err
			}
		}
	}
}

// readers keeps the buffers of event streams.
var readers = pool()

// streamEnd judges a stream that ended without its end marker. One whose choices
// have all said why they end is whole; some servers never send the marker.
func (a *answer) streamEnd(data []byte, err error) error {
	u := a.served.Upstream
	switch {
	case errors.Is(err, wire.ErrHalfEvent) && string(data) == "[DONE]":
		return a.finish(data)
	case errors.Is(err, wire.ErrHalfEvent):
		e := u.broken(a.parent, a.ctx, err, true)
		e.Message = fmt.Sprintf("the connection to upstream %s was lost inside an event", u.name)
		return e
	case errors.Is(err, wire.ErrEventTooLarge):
		return u.protocol(err, fmt.Sprintf("sent an event larger than %d bytes", u.maxEvent))
	case err == io.EOF && a.finished:
		return a.finish(nil)
	case err == io.EOF:
		return u.protocol(io.ErrUnexpectedEOF, "ended its stream before the answer was complete")
	}
	return u.broken(a.parent, a.ctx, err, true)
}

// finish delivers the terminal event of a stream.
func (a *answer) finish(marker []byte) error {
	ev := model.Event{Kind: model.KindEnd, Usage: a.stated()}
	if a.req.Stream {
		if len(marker) == 0 {
			marker = doneMarker
		}
		ev.Raw = model.Raw{Wire: a.wire, Data: marker}
	}
	return a.deliver(&ev)
}

var doneMarker = []byte("[DONE]")

// whole passes on a reply that came in one piece.
func (a *answer) whole(resp *http.Response) error {
	u := a.served.Upstream
	if resp.ContentLength > u.maxReply {
		return u.protocol(nil, fmt.Sprintf("sent a reply larger than %d bytes", u.maxReply))
	}
	data := make([]byte, 0, max(min(resp.ContentLength+1, 1<<20), 4096))
	for {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := resp.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if int64(len(data)) > u.maxReply {
			return u.protocol(nil, fmt.Sprintf("sent a reply larger than %d bytes", u.maxReply))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return u.broken(a.parent, a.ctx, err, true)
		}
		a.timer.Reset(u.idle)
	}
	a.timer.Stop()
	list, facts, err := a.decoder.Reply(a.wire, data)
	if err != nil {
		return u.protocol(err, "sent a reply that is not valid JSON of the expected form")
	}
	if facts.Failure != nil {
		return u.inReply(facts.Failure, false)
	}
	a.tier = facts.ServiceTier
	if facts.Usage != nil {
		a.rawUsage = facts.Usage
	}
	for i := range list {
		ev := &list[i]
		if ev.Kind == model.KindEnd {
			ev.Usage = a.stated()
		}
		if err := a.deliver(ev); err != nil {
			return err
		}
	}
	return nil
}

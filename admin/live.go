package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
)

const (
	// keepAlive is how often a quiet stream is written to, so that proxies and
	// browsers know that it lives.
	keepAlive = 15 * time.Second
	// livePause bounds how often a stream reads the ledger under load.
	livePause = 100 * time.Millisecond
	// liveWrite is how long a reader may take to accept one write.
	liveWrite = 30 * time.Second
	// maxReplay bounds what a reader gets that asks for everything from the start.
	maxReplay = 10_000
)

// getCallsLive streams settled calls as server-sent events: event "call", with
// the call's sequence as id. A reader that comes back with Last-Event-ID (or
// after=) gets what it missed, in order and without gaps.
//
// What the ledger announces is only taken as a sign that there is something to
// read: the calls themselves come from the ledger, by sequence, through the same
// filter as the list. So a slow reader misses nothing, and what a member may not
// see is left out by the same rule as everywhere.
func (s *service) getCallsLive(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	q, err := s.parseQuery(r, append([]string{"after"}, filterParams...)...)
	if err != nil {
		return err
	}
	f, err := q.filter(p)
	if err != nil {
		return err
	}
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = q.get("after")
	}
	ctx := r.Context()
	news := s.Ledger.Subscribe(ctx) // before the position is read: nothing falls between
	if after == "" {
		newest, err := s.Ledger.Calls(ctx, ledger.Filter{Limit: 1})
		if err != nil {
			return err
		}
		if len(newest) > 0 {
			f.AfterSeq = newest[0].Seq
		}
	} else {
		n, err := strconv.ParseInt(after, 10, 64)
		if err != nil || n < 0 {
			return badParam("after", "Last-Event-ID must be the id of an event of this stream, not %q", clip(after))
		}
		f.AfterSeq = n
	}
	control := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return nil
	}
	w.WriteHeader(http.StatusOK)
	// Once the head is out an error cannot change the status: ending the stream
	// makes the reader come back with its last id.
	if !sendLive(w, control, ": connected\nretry: 2000\n\n") {
		return nil
	}
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	f.Limit = 500
	for {
		calls, err := s.liveCalls(r, f)
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Warn("the live list of calls ends early", "error", err)
			}
			return nil
		}
		for i := range calls {
			data, err := json.Marshal(callOf(&calls[i]))
			if err != nil {
				return nil
			}
			if !sendLive(w, control, fmt.Sprintf("id: %d\nevent: call\ndata: %s\n\n", calls[i].Seq, data)) {
				return nil
			}
			f.AfterSeq = calls[i].Seq
		}
		if len(calls) >= f.Limit {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if !sendLive(w, control, ": keep-alive\n\n") {
				return nil
			}
		case _, open := <-news:
			if !open {
				return nil
			}
			if !pause(r, news) {
				return nil
			}
		}
	}
}

// liveCalls reads what is new, oldest first. The ledger takes 0 for "no position"
// and would page backwards; no call has a number below 1, so the beginning of an
// empty ledger is read by turning the newest page round.
func (s *service) liveCalls(r *http.Request, f ledger.Filter) ([]ledger.Call, error) {
	if f.AfterSeq > 0 {
		return s.Ledger.Calls(r.Context(), f)
	}
	var all []ledger.Call
	f.Limit = maxPage
	for {
		page, err := s.Ledger.Calls(r.Context(), f)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < f.Limit || len(all) >= maxReplay {
			slices.Reverse(all)
			return all, nil
		}
		f.BeforeSeq = page[len(page)-1].Seq
	}
}

// pause lets calls that settle together be read together.
func pause(r *http.Request, news <-chan ledger.Call) bool {
	t := time.NewTimer(livePause)
	defer t.Stop()
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-t.C:
			return true
		case _, open := <-news:
			if !open {
				return false
			}
		}
	}
}

func sendLive(w http.ResponseWriter, control *http.ResponseController, text string) bool {
	// A server's write timeout counts from the start of the request; here each
	// write has its own. Writers without deadlines (in-process) do without.
	_ = control.SetWriteDeadline(time.Now().Add(liveWrite))
	if _, err := w.Write([]byte(text)); err != nil {
		return false
	}
	return control.Flush() == nil
}

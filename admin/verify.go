package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/stratahq/strata/access"
)

// Progress is one line of a long request that was asked for as JSON Lines
// (Accept: application/x-ndjson): progress, and at last a result or an error.
type Progress[T any] struct {
	Done   int64 `json:"done"`
	Total  int64 `json:"total"`
	Result *T    `json:"result,omitempty"`
	ErrorBody
}

const ndjson = "application/x-ndjson"

// long answers a request that takes a while: plain JSON, or progress lines for
// a caller that accepts them. work's progress function may be called often; at
// most ten lines a second are written.
func long[T any](s *service, w http.ResponseWriter, r *http.Request, work func(progress func(done, total int64)) (T, error)) error {
	control := http.NewResponseController(w)
	// A long answer may outlive the server's write timeout; in-process writers
	// have none.
	_ = control.SetWriteDeadline(time.Time{})
	if !strings.Contains(r.Header.Get("Accept"), ndjson) {
		result, err := work(func(int64, int64) {})
		if err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, result)
		return nil
	}
	w.Header().Set("Content-Type", ndjson)
	line := func(v any) {
		if b, err := json.Marshal(v); err == nil {
			_, _ = w.Write(append(b, '\n'))
			_ = control.Flush()
		}
	}
	var last time.Time
	var at struct {
		Done  int64 `json:"done"`
		Total int64 `json:"total"`
	}
	result, err := work(func(done, total int64) {
		at.Done, at.Total = done, total
		if now := time.Now(); now.Sub(last) >= 100*time.Millisecond {
			last = now
			line(at)
		}
	})
	if err != nil {
		e := asError(err)
		if e.Status >= 500 {
			s.Log.Error("admin request failed", "path", r.URL.Path, "code", e.Code, "error", e.Err)
		}
		var body ErrorBody
		body.Error.Code, body.Error.Message, body.Error.Param = e.Code, e.Message, e.Param
		line(body)
		return nil
	}
	line(struct {
		Done   int64 `json:"done"`
		Total  int64 `json:"total"`
		Result T     `json:"result"`
	}{at.Done, at.Total, result})
	return nil
}

// getVerify recomputes the whole ledger.
func (s *service) getVerify(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	return long(s, w, r, func(progress func(done, total int64)) (Verification, error) {
		v, err := s.Ledger.Verify(r.Context(), progress)
		if err != nil {
			return Verification{}, err
		}
		out := Verification(v)
		if out.Errors == nil {
			out.Errors = []string{}
		}
		return out, nil
	})
}

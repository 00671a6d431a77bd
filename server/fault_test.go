package server_test

import (
	"strings"
	"testing"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/server"
	"github.com/stratahq/strata/store/faultfs"
)

// A disk that is full at run time: no call reaches an upstream without a place
// in the ledger, clients are told so in shape, what is there can be read, and
// everything works again as soon as there is space.
func TestDiskFull(t *testing.T) {
	fs := faultfs.New()
	t.Cleanup(fs.Close) // after the server's own end
	up := mock.New(mock.Options{Key: upstreamKey})
	s := newScene(t, mockConfig(serve(t, up)), func(o *server.Options) { o.VFS = fs.Name })
	if resp, body := s.post(chat("fake", "")); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	asked := up.Stats().Requests
	fs.Full.Store(true)
	for _, stream := range []string{"false", "true"} {
		resp, body := s.post(chat("fake", `"stream":`+stream+`,`))
		if resp.StatusCode != 503 || errorCode(t, body) != model.CodeLedgerUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("stream %s: %d %v %s", stream, resp.StatusCode, resp.Header, body)
		}
		if strings.Contains(body, s.data) {
			t.Errorf("the client learns of files: %s", body)
		}
	}
	if resp, body := s.post("{"); resp.StatusCode != 400 || errorCode(t, body) != model.CodeInvalidJSON {
		t.Errorf("a refusal is hidden by the disk: %d %s", resp.StatusCode, body)
	}
	if got := up.Stats().Requests; got != asked {
		t.Errorf("%d calls reached the upstream without a place in the ledger", got-asked)
	}
	if resp, _ := s.do("GET", "/v1/models", ""); resp.StatusCode != 200 {
		t.Errorf("the models cannot be read: %d", resp.StatusCode)
	}
	if resp, body := s.do("GET", "/api/v1/calls", ""); resp.StatusCode != 200 || !strings.Contains(body, `"outcome":"ok"`) {
		t.Errorf("the record cannot be read: %d %s", resp.StatusCode, body)
	}
	if resp, _ := s.do("GET", "/healthz", ""); resp.StatusCode != 200 {
		t.Errorf("the process is reported dead: %d", resp.StatusCode)
	}
	if resp, body := s.do("GET", "/readyz", ""); resp.StatusCode != 503 {
		t.Errorf("the server calls itself ready: %d %s", resp.StatusCode, body)
	}
	fs.Full.Store(false)
	eventually(t, func() bool {
		resp, _ := s.post(chat("fake", ""))
		return resp.StatusCode == 200
	})
	whole, unavailable := 0, 0
	s.eachCall(func(c *ledger.Call) {
		switch {
		case c.Outcome == ledger.OutcomeOK:
			whole++
		case c.Outcome == ledger.OutcomeError && c.ErrorCode == model.CodeLedgerUnavailable && c.CostKnown && c.Cost == 0:
			unavailable++
		}
	})
	if whole != 2 {
		t.Errorf("%d whole calls, want 2", whole)
	}
	// What was refused for want of space has its outcome as well, now that there
	// is space: at least the two calls above.
	if unavailable < 2 {
		t.Errorf("%d refused calls, want 2 or more", unavailable)
	}
	eventually(t, func() bool {
		resp, _ := s.do("GET", "/readyz", "")
		return resp.StatusCode == 200
	})
	s.verify()
}

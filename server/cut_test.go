package server_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/server"
)

// Whoever is cut off when the server stops is told so, in shape, and the books
// do not say that the client left.
func TestACutCallIsToldThatTheServerStops(t *testing.T) {
	up := mock.New(mock.Options{Tokens: 100000, PerToken: 3 * time.Millisecond, Key: upstreamKey})
	s := newScene(t, strings.ReplaceAll(mockConfig(serve(t, up)), "first_byte_timeout: 2s", "first_byte_timeout: 1m"), nil)
	type answer struct {
		status int
		body   string
	}
	whole := make(chan answer, 1)
	go func() {
		resp, err := http.Post(s.url+"/v1/chat/completions", "application/json", strings.NewReader(chat("fake", "")))
		if err != nil {
			whole <- answer{0, err.Error()}
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		whole <- answer{resp.StatusCode, string(body)}
	}()
	resp, err := http.Post(s.url+"/v1/chat/completions", "application/json", strings.NewReader(chat("fake", `"stream":true,`)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := bufio.NewReader(resp.Body)
	if _, err := stream.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return up.Stats().Requests == 2 })
	s.stop()
	s.Cut()
	rest, _ := io.ReadAll(stream)
	if text := string(rest); !strings.Contains(text, `"code":"`+model.CodeStopping+`"`) || strings.Contains(text, "[DONE]") {
		t.Errorf("the stream ended with %q", text[max(0, len(text)-300):])
	}
	got := <-whole
	var e struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal([]byte(got.body), &e) != nil || got.status != http.StatusServiceUnavailable || e.Error.Code != model.CodeStopping || e.Error.Message == "" {
		t.Errorf("the whole reply was %+v", got)
	}
	if err := <-s.served; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	close(s.served)
	again := newScene(t, mockConfig("http://127.0.0.1:1"), func(o *server.Options) { o.DataDir = s.data })
	calls := again.calls()
	if len(calls) != 2 {
		t.Fatalf("%d calls", len(calls))
	}
	for _, c := range calls {
		if c.Outcome != ledger.OutcomeCanceled || c.ErrorCode != model.CodeStopping || c.Usage == nil || !c.CostKnown {
			t.Errorf("row %+v", c)
		}
	}
	again.verify()
}

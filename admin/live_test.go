package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
)

// follow reads events of the live list until want calls came, and returns their
// sequence numbers.
func follow(t *testing.T, server *httptest.Server, secret, query, lastID string, want int, ready func()) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/api/v1/calls/live"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %s", resp.StatusCode, ct)
	}
	if ready != nil {
		ready()
	}
	var seqs []int64
	var id int64
	in := bufio.NewScanner(resp.Body)
	for len(seqs) < want && in.Scan() {
		line := in.Text()
		switch {
		case strings.HasPrefix(line, "id: "):
			fmt.Sscan(line[4:], &id)
		case strings.HasPrefix(line, "data: "):
			var c Call
			if err := json.Unmarshal([]byte(line[6:]), &c); err != nil || c.Seq != id {
				t.Fatalf("event %d: %v %s", id, err, line)
			}
			seqs = append(seqs, c.Seq)
		}
	}
	if len(seqs) < want {
		t.Fatalf("%d of %d events: %v", len(seqs), want, in.Err())
	}
	return seqs
}

func TestLiveCalls(t *testing.T) {
	w := newWorld(t, options{})
	server := httptest.NewServer(w.handler)
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	// From an empty ledger on, nothing is missed.
	got := follow(t, server, adminSecret, "", "", 3, func() {
		for range 3 {
			w.settle(nil)
		}
	})
	if fmt.Sprint(got) != "[1 2 3]" {
		t.Fatalf("%v", got)
	}
	// Past calls are not repeated to a newcomer.
	if got := follow(t, server, adminSecret, "", "", 2, func() { w.settle(nil); w.settle(nil) }); fmt.Sprint(got) != "[4 5]" {
		t.Errorf("%v", got)
	}
	// A reader that comes back gets what it missed, and then what is new.
	if got := follow(t, server, adminSecret, "", "2", 4, func() { w.settle(nil) }); fmt.Sprint(got) != "[3 4 5 6]" {
		t.Errorf("%v", got)
	}
	if got := follow(t, server, adminSecret, "?after=0", "", 6, nil); fmt.Sprint(got) != "[1 2 3 4 5 6]" {
		t.Errorf("from the start: %v", got)
	}
	// A member gets only the own key's calls, and a filter only its own.
	if got := follow(t, server, w.rivalSecret, "?after=0", "", 1, func() {
		w.settle(nil)
		w.settle(func(c *ledger.Call) { c.KeyID = w.rival.ID })
	}); fmt.Sprint(got) != "[8]" {
		t.Errorf("a member: %v", got)
	}
	if got := follow(t, server, adminSecret, "?outcome=error&after=0", "", 1, func() {
		w.settle(nil)
		w.settle(func(c *ledger.Call) { c.Outcome, c.Status = ledger.OutcomeError, 502 })
	}); fmt.Sprint(got) != "[10]" {
		t.Errorf("filtered: %v", got)
	}
	if status, _, param := w.refused("admin", "GET", "/api/v1/calls/live?after=x", ""); status != 400 || param != "after" {
		t.Errorf("a bad position: %d %s", status, param)
	}
}

// TestLiveUnderLoad: more calls than any buffer holds arrive whole and in order.
func TestLiveUnderLoad(t *testing.T) {
	w := newWorld(t, options{})
	server := httptest.NewServer(w.handler)
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	const n = 800 // the ledger's buffer for a subscriber holds 256
	var load sync.WaitGroup
	defer load.Wait()
	got := follow(t, server, adminSecret, "", "", n, func() {
		load.Go(func() {
			for range n {
				w.settle(nil)
			}
		})
	})
	for i, seq := range got {
		if seq != int64(i+1) {
			t.Fatalf("event %d has sequence %d", i, seq)
		}
	}
}

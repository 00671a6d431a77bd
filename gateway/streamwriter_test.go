package gateway

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
)

// stuckWriter accepts writes only when it is let.
type stuckWriter struct {
	http.ResponseWriter
	mu     sync.Mutex
	let    chan struct{}
	writes []string
	err    error
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.let
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, string(p))
	return len(p), w.err
}

func (w *stuckWriter) FlushError() error { return nil }

func TestStreamWriter(t *testing.T) {
	add := func(text string) func([]byte) []byte {
		return func(b []byte) []byte { return append(b, text...) }
	}
	t.Run("gathers while a write is on its way", func(t *testing.T) {
		w := &stuckWriter{let: make(chan struct{})}
		s := newStreamWriter(w, time.Minute)
		s.append(add("a"))
		w.let <- struct{}{}
		for _, text := range []string{"b", "c", "d"} {
			s.append(add(text))
		}
		close(w.let)
		if first, again := s.close(), s.close(); !first || !again {
			t.Error("it failed")
		}
		if got := strings.Join(w.writes, ""); got != "abcd" || len(w.writes) > 4 {
			t.Errorf("%q", w.writes)
		}
	})
	t.Run("holds up a model that is faster than its client", func(t *testing.T) {
		w := &stuckWriter{let: make(chan struct{})}
		s := newStreamWriter(w, time.Minute)
		big := strings.Repeat("x", maxPending+1)
		s.append(add(big)) // taken by the goroutine, or waiting
		s.append(add(big))
		appended := make(chan bool, 1)
		go func() { s.append(add(big)); appended <- s.append(add("end")) }()
		select {
		case <-appended:
			t.Error("bytes without bound are kept")
		case <-time.After(50 * time.Millisecond):
		}
		close(w.let)
		if !<-appended || !s.close() {
			t.Error("it failed")
		}
	})
	t.Run("tells when the client has left", func(t *testing.T) {
		w := &stuckWriter{let: make(chan struct{}), err: errors.New("broken pipe")}
		close(w.let)
		s := newStreamWriter(w, time.Minute)
		s.append(add("a"))
		for deadline := time.Now().Add(5 * time.Second); s.append(add("b")); {
			if time.Now().After(deadline) {
				t.Fatal("it goes on")
			}
		}
		if s.close() {
			t.Error("a failed stream claims to be whole")
		}
	})
}

// A client that stops reading is cut off after the write timeout, and its call
// is cancelled.
func TestClientThatStopsReading(t *testing.T) {
	s := newScene(t, func(d *Deps) { d.WriteTimeout = 200 * time.Millisecond })
	left := make(chan struct{})
	text := strings.Repeat("x", 64<<10)
	s.models["echo"] = model.Func(func(ctx context.Context, _ *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			defer close(left)
			for yield(model.Event{Text: text}, nil) {
				if ctx.Err() != nil {
					yield(model.Event{}, ctx.Err())
					return
				}
			}
		}
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := strings.Replace(hello, "{", `{"stream":true,`, 1)
	req, _ := http.NewRequest("POST", s.URL+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+goodKey)
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	select {
	case <-left:
	case <-time.After(20 * time.Second):
		t.Fatal("the call goes on")
	}
	io.Copy(io.Discard, conn)
}

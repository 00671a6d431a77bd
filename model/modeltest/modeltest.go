// Package modeltest is the conformance suite of the contract in package model.
// Everything that answers (providers, the local engine, routes, meters, thinking
// strategies) runs it in its own tests:
//
//	modeltest.Run(t, func(t *testing.T) model.Model { return myModel }, modeltest.Options{})
package modeltest

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratahq/strata/model"
)

// Options say what to ask and what to expect.
type Options struct {
	// Request makes a request that the model can answer with several events;
	// nil means a short streamed chat.
	Request func() *model.Request
	// NoUsage says that the model cannot state a usage.
	NoUsage bool
	// SingleEvent says that the answer comes in one piece, so that it cannot be
	// stopped or cancelled half-way.
	SingleEvent bool
	// Patience bounds each answer; 10 s when 0.
	Patience time.Duration
	// Failing are further models that must fail, by the name of the failure.
	Failing map[string]func(t *testing.T) model.Model
	// IgnoreLeaks are functions whose goroutines may outlive an answer, such as
	// those of a connection pool.
	IgnoreLeaks []string
}

// pooled are goroutines of net/http's connection pool and server, which belong
// to no single answer.
var pooled = []string{
	"net/http.(*persistConn).readLoop", "net/http.(*persistConn).writeLoop", "net/http.(*conn).serve",
	"net/http.(*Server).Serve", "net/http.(*connReader).backgroundRead", "internal/poll.runtime_pollWait",
	"net/http.(*http2ClientConn).readLoop", "net/http.(*Transport).dialConnFor",
}

// Run checks the contract on models made by build. Each part uses a new one.
func Run(t *testing.T, build func(t *testing.T) model.Model, o Options) {
	t.Helper()
	if o.Request == nil {
		o.Request = func() *model.Request {
			return &model.Request{Op: model.OpChat, Model: "test", Stream: true, Chat: &model.Chat{
				Messages: []model.Message{model.UserMessage("Say something of several words.")}}}
		}
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	s := suite{o}
	t.Run("whole answer", func(t *testing.T) { s.whole(t, build(t)) })
	t.Run("the request is not changed", func(t *testing.T) { s.unchanged(t, build(t)) })
	t.Run("many at once", func(t *testing.T) { s.many(t, build(t)) })
	t.Run("cancelled before", func(t *testing.T) { s.cancelledBefore(t, build(t)) })
	t.Run("deadline before", func(t *testing.T) { s.deadlineBefore(t, build(t)) })
	if !o.SingleEvent {
		t.Run("stopped half-way", func(t *testing.T) { s.stopped(t, build(t)) })
		t.Run("cancelled half-way", func(t *testing.T) { s.cancelledMid(t, build(t)) })
	}
	for name, failing := range o.Failing {
		t.Run("fails: "+name, func(t *testing.T) { s.fails(t, failing(t)) })
	}
}

type suite struct{ Options }

// answer ranges over seq and checks what holds for every sequence.
func answer(t testing.TB, seq iter.Seq2[model.Event, error], each func(i int, ev *model.Event) bool) (events int, end *model.Event, failure error) {
	t.Helper()
	for ev, err := range seq {
		switch {
		case end != nil:
			t.Errorf("something follows the terminal event: %+v, %v", ev, err)
		case failure != nil:
			t.Errorf("something follows the error %v: %+v, %v", failure, ev, err)
		}
		if err != nil {
			failure = err
			checkError(t, err)
			continue
		}
		if ev.Choice < 0 {
			t.Errorf("choice %d", ev.Choice)
		}
		if ev.Kind == model.KindEnd {
			e := ev
			end = &e
		}
		if each != nil && !each(events, &ev) {
			return events + 1, end, failure
		}
		events++
	}
	return events, end, failure
}

// checkError checks that an error is one that a gateway can answer with.
func checkError(t testing.TB, err error) {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) {
		t.Errorf("%T is not and does not wrap a *model.Error: %v", err, err)
		return
	}
	if e.Status < 400 || e.Status > 599 || e.Code == "" || e.Message == "" {
		t.Errorf("the error lacks status, code or message: %+v", e)
	}
	if e.RetryAfter < 0 {
		t.Errorf("retry after %s", e.RetryAfter)
	}
}

func (s *suite) context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	t.Cleanup(cancel)
	return ctx
}

// leaks notes the goroutines that exist and returns a check for new ones.
func (s *suite) leaks(t testing.TB) func() {
	options := []goleak.Option{goleak.IgnoreCurrent()}
	for _, f := range append(pooled[:len(pooled):len(pooled)], s.IgnoreLeaks...) {
		options = append(options, goleak.IgnoreAnyFunction(f))
	}
	return func() {
		t.Helper()
		if err := goleak.Find(options...); err != nil {
			t.Errorf("a goroutine is left behind: %v", err)
		}
	}
}

func (s *suite) whole(t *testing.T, m model.Model) {
	check := s.leaks(t)
	r := &model.Reply{}
	_, end, err := answer(t, m.Generate(s.context(t), s.Request()), func(_ int, ev *model.Event) bool {
		r.Add(ev)
		return true
	})
	if err != nil {
		t.Fatalf("the answer failed: %v", err)
	}
	if end == nil || !r.Ended {
		t.Fatal("the answer ended without a terminal event")
	}
	if end.Usage == nil && !s.NoUsage {
		t.Error("the terminal event has no usage")
	}
	if r.Text() == "" && len(r.Embeddings) == 0 && (len(r.Choices) == 0 || len(r.Choices[0].ToolCalls) == 0) {
		t.Error("the answer is empty")
	}
	for i := range r.Choices {
		if r.Choices[i].FinishReason == "" {
			t.Errorf("choice %d does not say why it ends", i)
		}
	}
	check()
}

func (s *suite) unchanged(t *testing.T, m model.Model) {
	req := s.Request()
	show := func() string {
		b, err := json.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := show()
	if _, _, err := answer(t, m.Generate(s.context(t), req), nil); err != nil {
		t.Fatal(err)
	}
	if after := show(); after != before {
		t.Errorf("the request was changed\nfrom %s\nto   %s", before, after)
	}
}

func (s *suite) many(t *testing.T, m model.Model) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, end, err := answer(t, m.Generate(s.context(t), s.Request()), nil); err != nil || end == nil {
				t.Errorf("an answer beside others failed: %v", err)
			}
		})
	}
	wg.Wait()
}

func (s *suite) ended(t *testing.T, m model.Model, ctx context.Context, code string) {
	t.Helper()
	check := s.leaks(t)
	n, end, err := answer(t, m.Generate(ctx, s.Request()), nil)
	if n > 0 || end != nil {
		t.Errorf("%d events although the context had ended", n)
	}
	var e *model.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want code %s", err, code)
	} else if e.MayHaveBeenCharged {
		t.Error("nothing was asked, so nothing can have been charged")
	}
	check()
}

func (s *suite) cancelledBefore(t *testing.T, m model.Model) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.ended(t, m, ctx, model.CodeCanceled)
}

func (s *suite) deadlineBefore(t *testing.T, m model.Model) {
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	s.ended(t, m, ctx, model.CodeDeadline)
}

func (s *suite) stopped(t *testing.T, m model.Model) {
	check := s.leaks(t)
	start := time.Now()
	n, _, err := answer(t, m.Generate(s.context(t), s.Request()), func(int, *model.Event) bool { return false })
	if n != 1 || err != nil {
		t.Errorf("stopped after %d events, %v", n, err)
	}
	if d := time.Since(start); d > s.Patience/2 {
		t.Errorf("stopping took %s", d)
	}
	check()
}

func (s *suite) cancelledMid(t *testing.T, m model.Model) {
	check := s.leaks(t)
	ctx, cancel := context.WithCancel(s.context(t))
	defer cancel()
	n, end, err := answer(t, m.Generate(ctx, s.Request()), func(int, *model.Event) bool {
		cancel()
		return true
	})
	// What had already arrived may still be handed over; an answer that goes on
	// must then be whole.
	var e *model.Error
	switch {
	case err == nil && end == nil:
		t.Errorf("the answer stopped after %d events without an error or an end", n)
	case err != nil && (!errors.As(err, &e) || e.Code != model.CodeCanceled):
		t.Errorf("got %v, want code %s", err, model.CodeCanceled)
	}
	check()
}

func (s *suite) fails(t *testing.T, m model.Model) {
	check := s.leaks(t)
	_, end, err := answer(t, m.Generate(s.context(t), s.Request()), nil)
	if err == nil {
		t.Error("it did not fail")
	}
	if end != nil {
		t.Error("a failed answer has a terminal event")
	}
	check()
}

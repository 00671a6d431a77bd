package modeltest

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/stratahq/strata/model"
)

// good keeps the contract.
func good(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		for _, text := range []string{"several ", "words ", "indeed"} {
			if err := ctx.Err(); err != nil {
				yield(model.Event{}, model.AsError(err))
				return
			}
			ev := model.Event{Text: text}
			if text == "indeed" {
				ev.FinishReason = "stop"
			}
			if !yield(ev, nil) {
				return
			}
		}
		yield(model.Event{Kind: model.KindEnd, Usage: &model.Usage{}}, nil)
	}
}

func TestAGoodModelPasses(t *testing.T) {
	Run(t, func(*testing.T) model.Model { return model.Func(good) }, Options{Failing: map[string]func(*testing.T) model.Model{
		"always": func(*testing.T) model.Model {
			return model.Func(func(context.Context, *model.Request) iter.Seq2[model.Event, error] {
				return model.Fail(model.Errorf(500, model.CodeInternal, "no"))
			})
		},
	}})
}

// recorder counts failures in place of the test that would report them.
type recorder struct {
	testing.TB
	failed int
}

func (r *recorder) Errorf(string, ...any) { r.failed++ }
func (r *recorder) Helper()               {}

func TestBreachesAreSeen(t *testing.T) {
	seq := func(list ...any) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) {
			for _, x := range list {
				ok := true
				switch x := x.(type) {
				case model.Event:
					ok = yield(x, nil)
				case error:
					ok = yield(model.Event{}, x)
				}
				if !ok {
					return
				}
			}
		}
	}
	end, fault := model.Event{Kind: model.KindEnd}, model.Errorf(500, "c", "m")
	for name, breach := range map[string]iter.Seq2[model.Event, error]{
		"event after the end":   seq(end, model.Event{Text: "x"}),
		"error after the end":   seq(end, fault),
		"event after the error": seq(fault, model.Event{Text: "x"}),
		"two errors":            seq(fault, fault),
		"a bare error":          seq(errors.New("bare")),
		"an error of no status": seq(&model.Error{Code: "c", Message: "m"}),
		"a negative choice":     seq(model.Event{Choice: -1}),
	} {
		r := &recorder{TB: t}
		answer(r, breach, nil)
		if r.failed == 0 {
			t.Errorf("%s is not seen", name)
		}
	}
	r := &recorder{TB: t}
	if answer(r, seq(model.Event{Text: "x"}, end), nil); r.failed != 0 {
		t.Error("a good sequence is refused")
	}
}

func TestLeakIsSeen(t *testing.T) {
	s := suite{}
	r := &recorder{TB: t}
	check := s.leaks(r)
	stop := make(chan struct{})
	go func() { <-stop }()
	check()
	close(stop)
	if r.failed == 0 {
		t.Error("a goroutine that is left behind is not seen")
	}
}

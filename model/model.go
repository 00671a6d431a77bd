// Package model defines what answers a request: the Model interface, the
// request and event types that pass through it, canonical usage, and the error
// type. It is a leaf: every floor of Strata imports it, and it knows no
// provider, no HTTP and no ledger.
//
// # The contract of a Model
//
// Everything that answers is a [Model]: providers, routes, caches, meters,
// guards, thinking strategies, agents. They compose because they all keep the
// same contract, which package model/modeltest checks:
//
//   - A sequence is used once.
//   - The last event of a complete answer has Kind [KindEnd] and carries the
//     Usage when it is known. No event follows it.
//   - An error before the first event means that nothing was delivered, so a
//     retry is safe unless the error says MayHaveBeenCharged. After the first
//     event an error is a *[Error] with whatever Usage is known.
//   - Every error is a *[Error] or wraps one; ctx.Err() is reported as one with
//     CodeCanceled or CodeDeadline.
//   - Byte slices reached from an event are valid until the next one.
//   - Stopping the range cancels the work, and Generate leaves no goroutine
//     behind once the range has ended.
package model

import (
	"context"
	"iter"
)

// Model answers a request with a stream of events. The last event carries the
// Usage.
type Model interface {
	Generate(ctx context.Context, req *Request) iter.Seq2[Event, error]
}

// Func adapts a function to a Model.
type Func func(ctx context.Context, req *Request) iter.Seq2[Event, error]

// Generate calls f.
func (f Func) Generate(ctx context.Context, req *Request) iter.Seq2[Event, error] {
	return f(ctx, req)
}

// Fail is a sequence that only reports err.
func Fail(err error) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) { yield(Event{}, err) }
}

// Collect drains a sequence into a whole reply. When the sequence fails after
// it has begun, the reply holds what had arrived and the error is returned
// beside it.
func Collect(seq iter.Seq2[Event, error]) (*Reply, error) {
	r := &Reply{}
	for ev, err := range seq {
		if err != nil {
			return r, err
		}
		r.Add(&ev)
	}
	return r, nil
}

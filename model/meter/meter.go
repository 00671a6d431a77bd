// Package meter is the Model that records and charges every call.
//
// It wraps the model that answers. Before the inner model is called, an upper
// bound of the cost is held against every budget that applies. The terminal
// event is held back until the call is settled, so that a client which has a
// whole reply has its row in the ledger. However a call ends (whole, refused,
// failed before or after the first event, cancelled, abandoned by its consumer,
// or by a panic), exactly one outcome is written.
//
// What a call consumed is what the upstream states. Where it states nothing, or
// something that cannot be true, an estimate by tokenizer stands in and is
// marked (package usage).
package meter

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/usage"
	"github.com/stratahq/strata/money"
)

// Ledger is what a meter needs of the ledger.
type Ledger interface {
	// Hold reserves an upper bound of the cost of a call.
	Hold(ctx context.Context, h ledger.Hold) (warnings []ledger.Budget, err error)
	// Allowance is the least that the hard budgets of a key and customer still
	// allow; limited is false when there are none.
	Allowance(ctx context.Context, keyID, customer string) (left money.Pico, limited bool, err error)
	// Settle writes the call and releases its hold, once per id; it returns when
	// that is durable.
	Settle(ctx context.Context, c *ledger.Call) error
	// Record writes a call that held nothing.
	Record(ctx context.Context, c *ledger.Call) error
}

// Defaults of [Options].
const (
	// DefaultMaxOutput is the output limit given to a call under a hard budget
	// when neither the request, nor the price book, nor the configuration states
	// one. Without it one call would hold the whole budget.
	DefaultMaxOutput = 8192
	// DefaultSettleTimeout bounds how long a settlement may take. It runs on a
	// context of its own, so that a client that leaves does not lose its call.
	DefaultSettleTimeout = 15 * time.Second
	// DefaultDrainLimit bounds how long an answer whose client has left is read
	// on when DrainOnDisconnect is set.
	DefaultDrainLimit = 2 * time.Minute
	// maxContent bounds the request and the reply kept by a content log, each.
	maxContent = 1 << 20
	// maxSample bounds the output text kept for estimates. A longer output is
	// estimated from this part of it.
	maxSample = 256 << 10
)

// Options configure a meter for one served model.
type Options struct {
	Ledger Ledger
	// Book is the current price book; it may change between calls.
	Book func() *price.Book
	// Charge says what the customer pays for a rated call, and the tariff's
	// name. Nil passes the cost through.
	Charge func(c *ledger.Call, cost *price.Rating) (tariff string, charge price.Rating, err error)

	Provider    string // the price book's provider name
	Upstream    string // the configured upstream
	ServedModel string // the upstream's own name for the model
	Module      string // the module's id, such as "provider.openai"

	Now   func() time.Time
	NewID func(now time.Time) string
	Log   *slog.Logger
	// Tokens counts the tokens of a text for a model; nil means
	// [usage.CountTokens].
	Tokens func(model, text string) int
	// MaxOutput is the most output tokens that the model can make, when the
	// price book does not say. 0 means not known.
	MaxOutput int64
	// DrainOnDisconnect reads an answer to its end, for at most DrainLimit, when
	// its client has left, so that the usage is what the upstream states. When it
	// is false the upstream call is cancelled and the usage estimated.
	DrainOnDisconnect bool
	DrainLimit        time.Duration
	SettleTimeout     time.Duration
}

// Notes tell the gateway what the meter decided before the first event.
type Notes struct {
	// MaxTokens is the output limit that a hard budget imposed; 0 when it
	// imposed none.
	MaxTokens int
}

type notesKey struct{}

// WithNotes returns a context in which the meter of a root call leaves notes.
// They may be read once the first event or error has arrived.
func WithNotes(ctx context.Context) (context.Context, *Notes) {
	n := &Notes{}
	return context.WithValue(ctx, notesKey{}, n), n
}

// meter is the Model that New returns.
type meter struct {
	Options
	next model.Model
	card atomic.Pointer[cachedCard]

	// unsettled are rows that the ledger could not take. They are written when
	// it can be written again.
	mu        sync.Mutex
	unsettled []*ledger.Call
}

var _ model.Model = (*meter)(nil)

// New returns a Model that answers as next does and keeps the books about it.
func New(next model.Model, o Options) model.Model {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = ledger.NewID
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tokens == nil {
		o.Tokens = usage.CountTokens
	}
	if o.DrainLimit <= 0 {
		o.DrainLimit = DefaultDrainLimit
	}
	if o.SettleTimeout <= 0 {
		o.SettleTimeout = DefaultSettleTimeout
	}
	return &meter{Options: o, next: next}
}

// Generate answers as the inner model does; see the package comment.
func (m *meter) Generate(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		c := m.begin(ctx, req)
		defer c.close()
		c.run(yield)
	}
}

// cachedCard remembers the last look-up in the book.
type cachedCard struct {
	book  *price.Book
	card  *price.Card
	found time.Time
}

// cardAge is how long a look-up is remembered, so that a price that begins at a
// certain moment is late by no more than that.
const cardAge = time.Second

// priceCard finds the card for the served model, or nil.
func (m *meter) priceCard(at time.Time) *price.Card {
	if m.Book == nil {
		return nil
	}
	book := m.Book()
	if book == nil {
		return nil
	}
	if c := m.card.Load(); c != nil && c.book == book {
		if age := at.Sub(c.found); age >= 0 && age < cardAge {
			return c.card
		}
	}
	card, ok := book.Find(m.Provider, m.ServedModel, at)
	if !ok {
		card = nil
	}
	m.card.Store(&cachedCard{book, card, at})
	return card
}

package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stratahq/strata/store"
)

// Options say how to open a ledger.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives what an operator must know; nil means discard.
	Log *slog.Logger
	// TimeZone is the business time zone of days and months; nil means UTC.
	TimeZone *time.Location
}

// Ledger records calls in a database. Its methods may be used concurrently.
type Ledger struct {
	db  *store.DB
	now func() time.Time
	log *slog.Logger
	loc *time.Location

	epoch int64
	// w belongs to the writer's goroutine.
	w *writer
	// bud is shared: the writer changes it, Allowance and Budgets read it.
	bud budgets
	sub subscribers

	// ackEarly is a hook for this package's tests: Settle reports success
	// before the commit, to prove that the crash test notices.
	ackEarly bool
}

// New opens the ledger in db for a new epoch. It resolves the holds that
// an earlier process left open, by the rule in the package comment. There must
// be only one Ledger with writing access to a database at a time: the holder
// of the data directory's lock.
func New(ctx context.Context, db *store.DB, o Options) (*Ledger, error) {
	l := newLedger(db, o)
	db.AddHooks(store.Hooks{
		BeforeCommit:  l.flush,
		AfterRollback: l.forget,
	})
	err := db.WriteAlone(ctx, func(tx *store.Tx) error {
		var last int64
		if err := tx.QueryRow("SELECT coalesce(max(id), 0) FROM epochs").Scan(&last); err != nil {
			return err
		}
		l.epoch = last + 1
		_, err := l.load(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", unavailable(err))
	}
	if err := l.recover(ctx); err != nil {
		return nil, fmt.Errorf("recovering the ledger: %w", err)
	}
	return l, nil
}

// Reader opens the ledger of a database that was opened read-only: everything
// that reads works, everything that writes fails.
func Reader(db *store.DB, o Options) *Ledger { return newLedger(db, o) }

func newLedger(db *store.DB, o Options) *Ledger {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.TimeZone == nil {
		o.TimeZone = time.UTC
	}
	return &Ledger{db: db, now: o.Now, log: o.Log, loc: o.TimeZone}
}

// TimeZone is the business time zone.
func (l *Ledger) TimeZone() *time.Location { return l.loc }

// writer is what the writer's goroutine keeps between groups. All of it can be
// read again from the database, and is after a rolled-back group.
type writer struct {
	nextCall, nextCorrection, nextLink int64
	head                               [32]byte
	begun                              bool // this process's epoch is recorded
	names                              map[string]int64
	tenants                            map[string]*tenant
	accounts                           map[account]int64
	batch                              batch
}

// maxCached bounds each cache of the writer; a full one is emptied.
const maxCached = 20000

// load returns the writer's state, reading it when there is none.
func (l *Ledger) load(tx *store.Tx) (*writer, error) {
	if l.w != nil {
		return l.w, nil
	}
	w := &writer{names: map[string]int64{"": 0}, tenants: map[string]*tenant{}, accounts: map[account]int64{}}
	w.batch.reset()
	if err := tx.QueryRow("SELECT coalesce(max(seq), 0) + 1 FROM calls").Scan(&w.nextCall); err != nil {
		return nil, err
	}
	if err := tx.QueryRow("SELECT coalesce(max(seq), 0) + 1 FROM corrections").Scan(&w.nextCorrection); err != nil {
		return nil, err
	}
	var last, callsTo, correctionsTo int64
	if err := tx.QueryRow("SELECT coalesce(max(id), 0), coalesce(max(calls_to), 0), coalesce(max(corrections_to), 0) FROM links").Scan(&last, &callsTo, &correctionsTo); err != nil {
		return nil, err
	}
	w.nextLink = last + 1
	// Erased sample calls may have had the highest numbers. A number that a
	// link has covered is never given out again.
	w.nextCall = max(w.nextCall, callsTo+1)
	w.nextCorrection = max(w.nextCorrection, correctionsTo+1)
	head, err := readHead(tx)
	if err != nil {
		return nil, err
	}
	w.head = head
	if err := tx.QueryRow("SELECT EXISTS (SELECT 1 FROM epochs WHERE id = ?)", l.epoch).Scan(&w.begun); err != nil {
		return nil, err
	}
	if err := l.bud.load(tx); err != nil {
		return nil, err
	}
	l.w = w
	return w, nil
}

// forget drops the writer's state after a group was rolled back.
func (l *Ledger) forget() { l.w = nil }

// unavailable marks an error of the database as ErrUnavailable, so that a
// gateway can answer 503; the cause stays reachable. Other errors pass.
func unavailable(err error) error {
	var e *store.Error
	if err == nil || !errors.As(err, &e) && !errors.Is(err, store.ErrClosed) {
		return err
	}
	return &unavailableError{err}
}

type unavailableError struct{ err error }

func (e *unavailableError) Error() string   { return ErrUnavailable.Error() + ": " + e.err.Error() }
func (e *unavailableError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

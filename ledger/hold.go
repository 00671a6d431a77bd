package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// ErrSettled is returned by Hold for a call that is in the ledger already.
var ErrSettled = errors.New("the call is settled already")

// Hold admits a call: it holds an upper bound of its cost against all budgets of
// its key and customer at once, or refuses with a *BudgetError when one hard
// budget has no room. warnings are the warn budgets that have none. The hold is
// in the database's log when Hold returns, without waiting for fsync. Holding
// the same call again changes nothing. ErrUnavailable when the database cannot
// be written: then the call must not go upstream.
func (l *Ledger) Hold(ctx context.Context, h Hold) (warnings []Budget, err error) {
	id, err := parseID("call id", h.CallID)
	if err != nil {
		return nil, err
	}
	if h.Amount < 0 {
		return nil, fmt.Errorf("%w: a hold of %s USD", ErrInvalid, h.Amount)
	}
	if !h.Known {
		h.Amount = 0
	}
	if h.Time.IsZero() {
		h.Time = l.now()
	}
	var about []byte
	if h.Call != nil {
		c := *h.Call
		c.Content = nil // content is only ever stored encrypted
		if about, err = json.Marshal(&c); err != nil {
			return nil, fmt.Errorf("hold of call %s: %w", h.CallID, err)
		}
	}
	err = l.db.Write(ctx, false, func(tx *store.Tx) error {
		w, err := l.load(tx)
		if err != nil {
			return err
		}
		warnings = nil
		var there int64
		err = tx.QueryRow("SELECT 1 FROM holds WHERE id = ? UNION ALL SELECT 2 FROM calls WHERE id = ?", id, id).Scan(&there)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case there == 1:
			return nil
		default:
			return fmt.Errorf("%w: %s", ErrSettled, h.CallID)
		}
		admit, warn, err := l.bud.admit(&h, l.loc)
		if err != nil {
			return err
		}
		warnings = warn
		begun, err := l.beginEpoch(tx, w)
		if err != nil {
			return err
		}
		o := openHold{time: h.Time.UnixNano(), key: h.KeyID, customer: h.Customer, amount: h.Amount, known: h.Known, charged: admit, about: about}
		if _, err := tx.Exec("INSERT INTO holds (id, epoch, body) VALUES (?, ?, ?)", id, l.epoch, o.pack()); err != nil {
			return err
		}
		tx.OnRelease(func() {
			begun()
			l.bud.hold(&o)
		})
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return warnings, nil
}

// Allowance is the least that the hard budgets of a key and a customer still
// allow: limit − spent − held, never below zero. limited is false when no hard
// budget applies. It is a hint for choosing an output limit; Hold decides.
func (l *Ledger) Allowance(_ context.Context, keyID, customer string) (left money.Pico, limited bool, err error) {
	if l.epoch == 0 {
		return 0, false, fmt.Errorf("allowance: %w", store.ErrReadOnly)
	}
	left, limited = l.bud.allowance(keyID, customer, l.now(), l.loc)
	return left, limited, nil
}

// openHold is a hold as stored.
type openHold struct {
	time     int64
	key      string
	customer string
	amount   money.Pico
	known    bool
	charged  []charged
	about    []byte // the Call, as JSON; nil when not given
}

func (o *openHold) pack() []byte {
	p := &packer{b: make([]byte, 0, 64+len(o.about))}
	p.byte(packVersion)
	p.int(o.time)
	p.string(o.key)
	p.string(o.customer)
	p.int(int64(o.amount))
	p.byte(bit(o.known))
	p.uint(uint64(len(o.charged)))
	for _, c := range o.charged {
		p.uint(uint64(c.budget))
		p.int(c.window)
		p.uint(uint64(c.anchor))
	}
	p.bytes(o.about)
	return p.b
}

func unpackHold(b []byte) (*openHold, error) {
	u := &unpacker{b: b}
	u.version()
	o := &openHold{time: u.int(), key: u.string(), customer: u.string(), amount: money.Pico(u.int()), known: u.byte() != 0}
	for range u.count() {
		o.charged = append(o.charged, charged{int64(u.uint()), u.int(), int64(u.uint())})
	}
	o.about = append([]byte(nil), u.bytes()...)
	return o, u.err
}

// takeHold deletes and returns the hold of a call; nil when there is none.
func (w *writer) takeHold(tx *store.Tx, id []byte) (*openHold, error) {
	var body []byte
	err := tx.QueryRow("DELETE FROM holds WHERE id = ? RETURNING body", id).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return unpackHold(body)
}

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/stratahq/strata/store"
)

// EraseSamples deletes all sample calls and says how many there were. They are
// kept beside the books, so nothing else changes.
func (l *Ledger) EraseSamples(ctx context.Context) (n int64, err error) {
	err = l.db.WriteAlone(ctx, func(tx *store.Tx) error {
		n = 0
		for _, sql := range []string{
			"DELETE FROM content WHERE seq IN (SELECT seq FROM calls WHERE flags & 8)",
			"DELETE FROM rollups WHERE sample = 1",
			"DELETE FROM hours WHERE sample = 1",
			"DELETE FROM calls WHERE flags & 8",
		} {
			r, err := tx.Exec(sql)
			if err != nil {
				return err
			}
			n = r.RowsAffected
		}
		return nil
	})
	return n, unavailable(err)
}

// eraseBatch bounds how many rows one transaction of an erasure touches, so
// that calls go on meanwhile.
const eraseBatch = 2000

// EraseCustomer erases what identifies a customer: the name, the end users and
// tags of its calls, their content, and its budgets. The key of its commitments
// is destroyed first, so that the rest of the record still verifies and nobody
// can test guesses against it. Amounts stay, under the name erased-N. Running
// calls of the customer settle under the name again, as a new customer; revoke
// its keys first. Copies in earlier backups are not reached. ErrNotFound for an
// unknown customer. Repeating an erasure that was interrupted completes it.
func (l *Ledger) EraseCustomer(ctx context.Context, customer string) error {
	var id int64
	err := l.db.WriteAlone(ctx, func(tx *store.Tx) error {
		w, err := l.load(tx)
		if err != nil {
			return err
		}
		v, ok, err := lookup(tx, &Filter{Customer: customer})
		if err != nil {
			return err
		}
		if !ok || customer == "" {
			return fmt.Errorf("customer %.80q: %w", customer, ErrNotFound)
		}
		id = v.customer
		r, err := tx.Exec("UPDATE tenants SET name = NULL, key = NULL WHERE id = ?", id)
		if err != nil {
			return err
		}
		if r.RowsAffected == 0 {
			return fmt.Errorf("customer %.80q: %w", customer, ErrNotFound)
		}
		var gone []int64
		for num, b := range l.bud.byNum {
			if b.Customer == customer {
				gone = append(gone, num)
				if _, err := tx.Exec("DELETE FROM budgets WHERE num = ?", num); err != nil {
					return err
				}
			}
		}
		tx.OnRelease(func() {
			delete(w.tenants, customer)
			l.bud.mu.Lock()
			defer l.bud.mu.Unlock()
			for _, num := range gone {
				l.bud.remove(num)
			}
		})
		return nil
	})
	if err != nil {
		return unavailable(err)
	}
	for from := int64(0); ; {
		var last nullInt
		err := l.db.WriteAlone(ctx, func(tx *store.Tx) error {
			last = nullInt{}
			err := tx.QueryRow("SELECT max(seq) FROM (SELECT seq FROM calls WHERE customer = ? AND seq > ? ORDER BY seq LIMIT ?)", id, from, eraseBatch).Scan(&last)
			if err != nil || !last.ok {
				if errors.Is(err, sql.ErrNoRows) {
					err = nil
				}
				return err
			}
			if _, err := tx.Exec("DELETE FROM content WHERE seq IN (SELECT seq FROM calls WHERE customer = ? AND seq > ? AND seq <= ?)", id, from, last.v); err != nil {
				return err
			}
			_, err = tx.Exec("UPDATE calls SET private = NULL WHERE customer = ? AND seq > ? AND seq <= ?", id, from, last.v)
			return err
		})
		if err != nil {
			return unavailable(err)
		}
		if !last.ok {
			break
		}
		from = last.v
	}
	// Older versions of the pages are still in the log: empty it.
	return unavailable(l.db.EmptyLog(ctx))
}

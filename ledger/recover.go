package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stratahq/strata/store"
)

// recoverBatch bounds how many holds one transaction resolves.
const recoverBatch = 500

// recover resolves the holds of dead epochs, by the rule in the package
// comment. It is itself safe against a crash: each hold is resolved in the
// transaction that records its call.
func (l *Ledger) recover(ctx context.Context) error {
	resolved := 0
	for {
		var done int
		err := l.db.WriteAlone(ctx, func(tx *store.Tx) error {
			done = 0
			type open struct {
				id []byte
				o  *openHold
			}
			var list []open
			rows, err := tx.Query("SELECT id, body FROM holds WHERE epoch <> ? ORDER BY id LIMIT ?", l.epoch, recoverBatch)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var id, body []byte
				if err := rows.Scan(&id, &body); err != nil {
					return err
				}
				o, err := unpackHold(body)
				if err != nil {
					return fmt.Errorf("hold %s: %w", idString(id), err)
				}
				list = append(list, open{id, o})
			}
			if err := rows.Err(); err != nil {
				return err
			}
			w, err := l.load(tx)
			if err != nil {
				return err
			}
			for i, h := range list {
				if err := l.resolve(tx, w, h.id, h.o, w.nextCall+int64(i)); err != nil {
					return fmt.Errorf("hold %s: %w", idString(h.id), err)
				}
			}
			done = len(list)
			return nil
		})
		if err != nil {
			return unavailable(err)
		}
		resolved += done
		if done < recoverBatch {
			break
		}
	}
	if resolved > 0 {
		l.log.Warn("calls were running when Strata last stopped; each is recorded as recovered, with unknown cost, and its bound stays counted in the budgets", "calls", resolved)
	}
	return nil
}

func (l *Ledger) resolve(tx *store.Tx, w *writer, id []byte, o *openHold, seq int64) error {
	c := &Call{}
	if len(o.about) > 0 {
		if err := json.Unmarshal(o.about, c); err != nil {
			// The call is recorded all the same, with what the hold itself knows.
			l.log.Error("a recovered call's description is damaged", "call", idString(id), "error", err)
			c = &Call{}
		}
	}
	c.ID, c.KeyID, c.Customer = idString(id), o.key, o.customer
	if c.Time.IsZero() {
		c.Time = time.Unix(0, o.time).UTC()
	}
	c.Outcome, c.Status, c.ErrorCode = OutcomeRecovered, 0, "interrupted"
	c.ErrorText = "Strata stopped during this call"
	c.Usage, c.CostKnown, c.Cost, c.CostLines = nil, false, 0, nil
	c.ChargeKnown, c.Charge, c.ChargeLines = false, 0, nil
	detail := "the hold was open when Strata stopped; whether the upstream bills is not known"
	if o.known && o.amount > 0 {
		detail += fmt.Sprintf("; the bound of %s USD stays counted in the budgets until a correction states the cost", o.amount)
	}
	c.Decisions = append(c.Decisions, Decision{By: "ledger", What: "recovered", Detail: detail})
	p, err := l.prepare(c)
	if err != nil {
		return err
	}
	return l.insertAt(tx, w, p, seq)
}

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/stratahq/strata/store"
)

// Call returns a call with its lines and, when it was logged and not erased,
// its content. Amounts, lines, price version and tariff are those of the newest
// correction. ErrNotFound when there is none of that id.
func (l *Ledger) Call(ctx context.Context, id string) (*Call, error) {
	key, err := parseID("call id", id)
	if err != nil {
		return nil, fmt.Errorf("call %.40q: %w", id, ErrNotFound)
	}
	var out *Call
	err = l.db.Read(ctx, func(q store.Querier) error {
		list, err := l.query(q, "WHERE c.id = ?", []any{key}, true)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("call %s: %w", id, ErrNotFound)
		}
		out = &list[0]
		return readContent(q, key, out)
	})
	return out, unavailable(err)
}

func readContent(q store.Querier, id []byte, c *Call) error {
	var sealed []byte
	var tenantID int64
	err := q.QueryRow("SELECT t.sealed, c.customer FROM content t JOIN calls c ON c.seq = t.seq WHERE t.seq = ?", c.Seq).Scan(&sealed, &tenantID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := newResolver(q).tenant(tenantID)
	if err != nil {
		return err
	}
	if c.Content, _, err = decrypt(t, id, sealed); err != nil {
		return fmt.Errorf("call %s: %w", c.ID, err)
	}
	return nil
}

// Calls lists the calls of a filter, newest first, or with AfterSeq oldest
// first. Their lines, decisions, held amount and content are left out; see Call.
func (l *Ledger) Calls(ctx context.Context, f Filter) ([]Call, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	var out []Call
	err := l.db.Read(ctx, func(q store.Querier) error {
		c, err := l.condition(q, &f)
		if err != nil || c.none {
			return err
		}
		order := " ORDER BY c.seq DESC"
		if f.AfterSeq > 0 {
			order = " ORDER BY c.seq"
		}
		out, err = l.query(q, c.String()+order+" LIMIT ?", append(c.args, limit), false)
		return err
	})
	return out, unavailable(err)
}

// Children lists all calls of a tree, oldest first, except the root itself.
func (l *Ledger) Children(ctx context.Context, root string) ([]Call, error) {
	id, err := parseID("root", root)
	if err != nil {
		return nil, err
	}
	var out []Call
	err = l.db.Read(ctx, func(q store.Querier) (err error) {
		out, err = l.query(q, "WHERE c.root = ? ORDER BY c.seq", []any{id}, false)
		return err
	})
	return out, unavailable(err)
}

func (l *Ledger) query(q store.Querier, where string, args []any, whole bool) ([]Call, error) {
	rows, err := q.Query("SELECT "+rowColumns+rowFrom+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	res := newResolver(q)
	var out []Call
	for rows.Next() {
		var r row
		if err := scanRow(rows, res, &r); err != nil {
			return nil, err
		}
		c, err := r.call(res, whole)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

package ledger

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"unicode/utf8"

	"github.com/stratahq/strata/store"
)

// maxName bounds the strings of a call that are kept once and referred to. A
// longer one, which only a hostile client sends, is cut.
const maxName = 512

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[:n]
	for len(s) > 0 && !utf8.ValidString(s[len(s)-min(len(s), utf8.UTFMax):]) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// intern finds or makes the id of a string.
func (w *writer) intern(tx *store.Tx, text string) (int64, error) {
	text = clip(text, maxName)
	if id, ok := w.names[text]; ok {
		return id, nil
	}
	var id int64
	err := tx.QueryRow("SELECT id FROM names WHERE text = ?", text).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		var r store.Result
		r, err = tx.Exec("INSERT INTO names (text) VALUES (?)", text)
		id = r.LastInsertID
	}
	if err != nil {
		return 0, err
	}
	// Only when the function succeeds is the new row there to stay.
	tx.OnRelease(func() {
		if len(w.names) >= maxCached {
			clear(w.names)
			w.names[""] = 0
		}
		w.names[text] = id
	})
	return id, nil
}

// tenant is a customer with the key of its commitments and content.
type tenant struct {
	id   int64
	name string
	key  []byte
}

// tenant finds or makes a customer.
func (w *writer) tenant(tx *store.Tx, name string) (*tenant, error) {
	if t, ok := w.tenants[name]; ok {
		return t, nil
	}
	t := &tenant{name: name}
	err := tx.QueryRow("SELECT id, key FROM tenants WHERE name = ?", name).Scan(&t.id, &t.key)
	if errors.Is(err, sql.ErrNoRows) {
		t.key = make([]byte, 32)
		rand.Read(t.key) // never fails since Go 1.24
		var r store.Result
		r, err = tx.Exec("INSERT INTO tenants (name, key) VALUES (?, ?)", name, t.key)
		t.id = r.LastInsertID
	}
	if err != nil {
		return nil, err
	}
	tx.OnRelease(func() {
		if len(w.tenants) >= maxCached {
			clear(w.tenants)
		}
		w.tenants[name] = t
	})
	return t, nil
}

// resolver turns ids into strings while reading, with a bounded cache.
type resolver struct {
	q       store.Querier
	names   map[int64]string
	tenants map[int64]*tenant
}

func newResolver(q store.Querier) *resolver {
	return &resolver{q, map[int64]string{0: ""}, map[int64]*tenant{}}
}

func (r *resolver) name(id int64) (string, error) {
	if s, ok := r.names[id]; ok {
		return s, nil
	}
	var s string
	if err := r.q.QueryRow("SELECT text FROM names WHERE id = ?", id).Scan(&s); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return "", errMissingName(id)
		}
		return "", err
	}
	if len(r.names) >= maxCached {
		clear(r.names)
	}
	r.names[id] = s
	return s, nil
}

type errMissingName int64

func (e errMissingName) Error() string { return "a name that is referred to is missing" }

func (r *resolver) tenant(id int64) (*tenant, error) {
	if t, ok := r.tenants[id]; ok {
		return t, nil
	}
	t := &tenant{id: id}
	var name sql.NullString
	if err := r.q.QueryRow("SELECT name, key FROM tenants WHERE id = ?", id).Scan(&name, &t.key); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil, errMissingName(id)
		}
		return nil, err
	}
	t.name = name.String
	if !name.Valid {
		t.name = erasedName(id)
	}
	if len(r.tenants) >= maxCached {
		clear(r.tenants)
	}
	r.tenants[id] = t
	return t, nil
}

package store

import (
	"context"
	"errors"
	"testing"
)

func open(t *testing.T, o Options) *DB {
	t.Helper()
	if o.Path == "" {
		o.Path = t.TempDir()
	}
	db, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func set(db *DB, durable bool, name, value string) error {
	return db.Write(context.Background(), durable, func(tx *Tx) error {
		_, err := tx.Exec("INSERT INTO settings (name, value) VALUES (?, ?)", name, []byte(value))
		return err
	})
}

func count(t *testing.T, db *DB) (n int) {
	t.Helper()
	err := db.Read(context.Background(), func(q Querier) error {
		return q.QueryRow("SELECT count(*) FROM settings").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWriteUndoesOnlyTheFunctionThatFails(t *testing.T) {
	db := open(t, Options{})
	if err := set(db, true, "a", "1"); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := db.Write(context.Background(), true, func(tx *Tx) error {
		if _, err := tx.Exec("INSERT INTO settings (name, value) VALUES ('b', 'x')"); err != nil {
			return err
		}
		return boom
	})
	if err != boom {
		t.Fatalf("error = %v, want boom", err)
	}
	if err := set(db, false, "c", "1"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 2 {
		t.Fatalf("%d rows, want 2", n)
	}
}

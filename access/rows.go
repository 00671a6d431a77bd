package access

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/stratahq/strata/store"
)

// The statements of this package. Times are Unix nanoseconds; NULL is "never".

const keyColumns = "id, name, prefix, hash, customer, feature, admin, log_content, created, last_used, revoked"

func insertKey(tx *store.Tx, k *Key, hash [sha256.Size]byte) error {
	_, err := tx.Exec("INSERT INTO keys ("+keyColumns+") VALUES (?,?,?,?,?,?,?,?,?,NULL,NULL)",
		k.ID, k.Name, k.Prefix, hash[:], k.Customer, k.Feature, k.Admin, k.LogContent, k.Created.UnixNano())
	return err
}

func updateKey(tx *store.Tx, id string, c KeyChange) error {
	if c.Name != nil {
		if _, err := tx.Exec("UPDATE keys SET name = ? WHERE id = ?", *c.Name, id); err != nil {
			return err
		}
	}
	if c.LogContent != nil {
		if _, err := tx.Exec("UPDATE keys SET log_content = ? WHERE id = ?", *c.LogContent, id); err != nil {
			return err
		}
	}
	return nil
}

func revokeKey(tx *store.Tx, id string, at time.Time) error {
	_, err := tx.Exec("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", at.UnixNano(), id)
	return err
}

func setLastUsed(tx *store.Tx, id string, at int64) error {
	_, err := tx.Exec("UPDATE keys SET last_used = ? WHERE id = ?", at, id)
	return err
}

// eachKey calls fn with every key.
func eachKey(q store.Querier, fn func(Key, [sha256.Size]byte)) error {
	rows, err := q.Query("SELECT " + keyColumns + " FROM keys")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			k                 Key
			hash              []byte
			created           int64
			lastUsed, revoked sql.NullInt64
		)
		if err := rows.Scan(&k.ID, &k.Name, &k.Prefix, &hash, &k.Customer, &k.Feature, &k.Admin, &k.LogContent, &created, &lastUsed, &revoked); err != nil {
			return err
		}
		if len(hash) != sha256.Size {
			return fmt.Errorf("key %s: its hash has %d bytes instead of %d", k.ID, len(hash), sha256.Size)
		}
		k.Created = time.Unix(0, created).UTC()
		if lastUsed.Valid {
			k.LastUsed = time.Unix(0, lastUsed.Int64).UTC()
		}
		if revoked.Valid {
			k.Revoked = time.Unix(0, revoked.Int64).UTC()
		}
		fn(k, [sha256.Size]byte(hash))
	}
	return rows.Err()
}

func getSetting(q store.Querier, name string) ([]byte, error) {
	var v []byte
	err := q.QueryRow("SELECT value FROM settings WHERE name = ?", name).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return v, err
}

func setSetting(tx *store.Tx, name string, value []byte) error {
	_, err := tx.Exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

func insertAudit(tx *store.Tx, at time.Time, actor, action, subject, detail string) error {
	_, err := tx.Exec("INSERT INTO audit (time, actor, action, subject, detail) VALUES (?,?,?,?,?)", at.UnixNano(), actor, action, subject, detail)
	return err
}

func selectAudit(q store.Querier, before int64, limit int) ([]AuditEntry, error) {
	rows, err := q.Query("SELECT seq, time, actor, action, subject, detail FROM audit WHERE ? = 0 OR seq < ? ORDER BY seq DESC LIMIT ?", before, before, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var entries []AuditEntry
	for rows.Next() {
		var e AuditEntry
		var at int64
		if err := rows.Scan(&e.Seq, &at, &e.Actor, &e.Action, &e.Subject, &e.Detail); err != nil {
			return nil, err
		}
		e.Time = time.Unix(0, at).UTC()
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

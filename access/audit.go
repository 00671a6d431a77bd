package access

import (
	"context"
	"fmt"
	"time"

	"github.com/stratahq/strata/store"
)

// AuditEntry is one administrative act: who did what to what, and when.
type AuditEntry struct {
	Seq     int64
	Time    time.Time
	Actor   string // a key's id, "admin-secret", "login-link", "session", "open", "socket"
	Action  string // such as "key.create", "budget.set", "ledger.reprice"
	Subject string // the id of what was changed
	Detail  string // for people; never a secret
}

// Audit records an administrative act of whoever the context names.
func (a *Access) Audit(ctx context.Context, action, subject, detail string) error {
	err := a.db.Write(ctx, true, func(tx *store.Tx) error { return a.audit(ctx, tx, action, subject, detail) })
	if err != nil {
		return fmt.Errorf("access: record %s in the audit trail: %w", action, err)
	}
	return nil
}

// audit records the act in the transaction that does it, so that neither can
// be there without the other.
func (a *Access) audit(ctx context.Context, tx *store.Tx, action, subject, detail string) error {
	p, _ := FromContext(ctx)
	return insertAudit(tx, a.now(), p.Actor(), action, subject, detail)
}

// AuditTrail returns entries before a sequence number (0 for the newest), newest first.
func (a *Access) AuditTrail(ctx context.Context, before int64, limit int) ([]AuditEntry, error) {
	var entries []AuditEntry
	err := a.db.Read(ctx, func(q store.Querier) (err error) {
		entries, err = selectAudit(q, before, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("access: read audit trail: %w", err)
	}
	return entries, nil
}

package admin

import (
	"net/http"
	"time"

	"github.com/stratahq/strata/access"
)

// AuditEntry is one administrative act: who did what to what, and when.
type AuditEntry struct {
	Seq     int64     `json:"seq"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Detail  string    `json:"detail"`
}

// AuditList is the answer of GET /api/v1/audit, newest first.
type AuditList struct {
	Entries []AuditEntry `json:"entries"`
	Next    string       `json:"next"`
}

// getAudit lists administrative acts.
func (s *service) getAudit(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	q, err := s.parseQuery(r, "cursor", "limit")
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, maxPage)
	if err != nil {
		return err
	}
	before, err := decodeCursor(q.get("cursor"))
	if err != nil {
		return err
	}
	entries, err := s.Access.AuditTrail(r.Context(), before, limit+1)
	if err != nil {
		return err
	}
	list := AuditList{Entries: []AuditEntry{}}
	for i, e := range entries {
		if i == limit {
			if i > 0 {
				list.Next = encodeCursor(entries[i-1].Seq)
			}
			break
		}
		list.Entries = append(list.Entries, AuditEntry(e))
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

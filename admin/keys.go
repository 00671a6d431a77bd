package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/stratahq/strata/access"
)

// CreatedKey is the answer of POST /api/v1/keys. Secret is shown this once.
type CreatedKey struct {
	Key
	Secret string `json:"key"`
}

// KeySpec is the body of POST /api/v1/keys.
type KeySpec struct {
	Name       string `json:"name"`
	Customer   string `json:"customer,omitempty"`
	Feature    string `json:"feature,omitempty"`
	LogContent bool   `json:"log_content,omitempty"`
	// Admin makes a key that may administer, for scripts.
	Admin bool `json:"admin,omitempty"`
}

// KeyChange is the body of PATCH /api/v1/keys/{id}; absent fields stay.
type KeyChange struct {
	Name       *string `json:"name,omitempty"`
	LogContent *bool   `json:"log_content,omitempty"`
}

func keyOf(k access.Key) Key {
	return Key{ID: k.ID, Name: k.Name, Prefix: k.Prefix, Customer: k.Customer, Feature: k.Feature, Admin: k.Admin,
		LogContent: k.LogContent, Created: k.Created, LastUsed: timeOrNull(k.LastUsed), Revoked: timeOrNull(k.Revoked)}
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// getKeys lists the keys: all for an administrator, the own one for a member.
func (s *service) getKeys(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	keys, err := s.Access.List(r.Context())
	if err != nil {
		return err
	}
	list := make([]Key, 0, len(keys))
	for _, k := range keys {
		if p.Admin || k.ID == p.KeyID {
			list = append(list, keyOf(k))
		}
	}
	writeJSON(w, http.StatusOK, struct {
		Keys []Key `json:"keys"`
	}{list})
	return nil
}

// getKey shows one key.
func (s *service) getKey(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	id := r.PathValue("id")
	if !p.Admin && id != p.KeyID {
		return access.ModelError(access.ErrNotFound) // whether it is there is not a member's business
	}
	k, err := s.Access.Get(id)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, keyOf(k))
	return nil
}

// postKey makes a key. The first key ends the open loopback; the browser that
// made it stays logged in, instead of being locked out by what it did.
func (s *service) postKey(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	var body KeySpec
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	k, secret, err := s.Access.Create(r.Context(), access.KeySpec{Name: body.Name, Customer: body.Customer, Feature: body.Feature, Admin: body.Admin, LogContent: body.LogContent})
	if err != nil {
		return err
	}
	if p.Open && fromBrowser(r) {
		if err := s.Access.KeepOpenConsole(w, r); err != nil {
			return fmt.Errorf("the key %s is made, but this browser could not be logged in: %w", k.ID, err)
		}
	}
	writeJSON(w, http.StatusCreated, CreatedKey{Key: keyOf(k), Secret: secret})
	return nil
}

// patchKey changes the name or content logging.
func (s *service) patchKey(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	var body KeyChange
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	k, err := s.Access.Update(r.Context(), r.PathValue("id"), access.KeyChange{Name: body.Name, LogContent: body.LogContent})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, keyOf(k))
	return nil
}

// deleteKey revokes a key and answers it; the key's calls stay in the ledger.
func (s *service) deleteKey(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	k, err := s.Access.Revoke(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, keyOf(k))
	return nil
}

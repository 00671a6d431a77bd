// Package access decides who may do what: virtual keys, the admin secret,
// browser sessions and login links, the rule of the open loopback, and the
// audit trail of administrative acts.
//
// # Who is accepted
//
//   - A key (Authorization: Bearer sk-strata-…, or x-api-key) acts for its
//     customer. Its holder may look at the key's own calls and spend.
//   - The admin secret (STRATA_ADMIN_SECRET) administers.
//   - A browser session, opened with one of the two or with a login link,
//     stands for whatever opened it, for as long as that stays valid.
//   - On loopback, before the first key exists, a call without a key is accepted
//     as customer "local", and when no admin secret is set the caller may also
//     administer: whoever can reach a loopback port of a fresh installation
//     owns it. The first key ends this, for good: a revoked key still counts.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/store"
)

// LocalCustomer is the customer of calls that nobody else is billed for: those
// of the open loopback, and those that an administrator makes.
const LocalCustomer = "local"

// The errors of this package. [ModelError] gives each its HTTP status and code.
var (
	ErrMissingKey       = errors.New("no key was given")
	ErrUnknownKey       = errors.New("the key is not known")
	ErrRevoked          = errors.New("the key is revoked")
	ErrNoSession        = errors.New("the session is not valid or has ended")
	ErrCSRF             = errors.New("the request lacks the session's X-Strata-CSRF token")
	ErrTooManyAttempts  = errors.New("too many failed attempts")
	ErrLoginCode        = errors.New("the login link is used up, expired or unknown")
	ErrNotFound         = errors.New("no key has this id")
	ErrInvalid          = errors.New("invalid key specification")
	ErrCustomerMismatch = errors.New("the key is bound to another customer")
)

// Options configure an Access. The zero value is the open loopback.
type Options struct {
	Now  func() time.Time // time.Now when nil
	Log  *slog.Logger     // discarded when nil
	Rand io.Reader        // crypto/rand when nil; tests make it repeatable

	// AdminSecret administers; "" means that there is none. Only its hash is kept.
	AdminSecret string
	// RequireKeys refuses calls without a key even before the first key exists.
	// It must be set on every address that is not loopback.
	RequireKeys bool
	// Secure says that browsers reach this server through TLS that ends
	// elsewhere, so cookies are marked Secure though the request came in plain.
	Secure bool
	// SessionLife is how long a session lasts without use; 12 hours when 0.
	SessionLife time.Duration
}

// Access holds the keys in memory, backed by the database. All methods are safe
// for concurrent use. What one method changes holds for the next call of any other.
type Access struct {
	db        *store.DB
	now       func() time.Time
	log       *slog.Logger
	rand      io.Reader
	randMu    sync.Mutex
	adminHash *[sha256.Size]byte
	required  bool
	secure    bool
	life      time.Duration

	keys     atomic.Pointer[keyring]
	changeMu sync.Mutex // one key change at a time: write, then reload

	sessions sessions
	logins   limiter // failed logins per address
	guesses  limiter // failed admin secrets on the API, per address

	flushing atomic.Bool
	flushers sync.WaitGroup
}

// New loads the keys and the key that signs sessions, which it makes on first use.
func New(db *store.DB, o Options) (*Access, error) {
	a := &Access{db: db, now: o.Now, log: o.Log, rand: o.Rand, required: o.RequireKeys, secure: o.Secure, life: o.SessionLife}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
	if a.life == 0 {
		a.life = 12 * time.Hour
	}
	if o.AdminSecret != "" {
		h := sha256.Sum256([]byte(o.AdminSecret))
		a.adminHash = &h
		if len(o.AdminSecret) < 16 {
			a.log.Warn("the admin secret is short; use at least 16 random characters")
		}
	}
	// A person mistypes a few times; 10 a minute leaves a guesser 14,400 a day.
	a.logins = limiter{max: 10, window: time.Minute}
	// A misconfigured client repeats a wrong key often, and must not lock out the
	// administrator who shares its address, so the API allows more.
	a.guesses = limiter{max: 120, window: time.Minute}
	ctx := context.Background()
	if err := a.loadKeys(ctx); err != nil {
		return nil, fmt.Errorf("access: load keys: %w", err)
	}
	if err := a.loadSessions(ctx); err != nil {
		return nil, fmt.Errorf("access: load session key: %w", err)
	}
	return a, nil
}

// Close writes the times of last use that are not yet written. Access must not
// be used afterwards; close it before its database.
func (a *Access) Close() error {
	a.flushers.Wait()
	if err := a.flushLastUsed(context.Background()); err != nil {
		return fmt.Errorf("access: write times of last use: %w", err)
	}
	return nil
}

// Open says that calls without a key are accepted as customer "local".
func (a *Access) Open() bool { return !a.required && a.keys.Load().empty() }

// OpenAdmin says that the console and the API administer without a login.
func (a *Access) OpenAdmin() bool { return a.Open() && a.adminHash == nil }

// Principal is who a request acts for.
type Principal struct {
	KeyID      string // "" unless a key, or a session opened with one
	Customer   string // the customer that the key is bound to; "" when it is free to name one
	Feature    string // the key's default feature
	Admin      bool   // may administer and see everything
	LogContent bool   // keep request and reply text of this caller's calls
	Open       bool   // accepted by the rule of the open loopback
	// Via says how the caller proved itself, for the audit trail: "key",
	// "admin-secret", "session", "open" or "socket".
	Via string
}

// Actor names the principal in the audit trail.
func (p Principal) Actor() string {
	switch {
	case p.KeyID != "":
		return p.KeyID
	case p.Via == "":
		return "unknown"
	}
	return p.Via
}

// Role is "admin" or "member".
func (p Principal) Role() string {
	if p.Admin {
		return "admin"
	}
	return "member"
}

// CustomerFor resolves the customer of a call that names one (X-Strata-Customer,
// "" for none). A key bound to a customer cannot name another: that is
// ErrCustomerMismatch. The open loopback and administrators may name anyone.
func (p Principal) CustomerFor(named string) (string, error) {
	switch {
	case named == "":
		return p.Customer, nil
	case p.KeyID != "" && p.Customer != "" && named != p.Customer:
		return "", ErrCustomerMismatch
	}
	return named, nil
}

// ModelError turns an error of this package into what a client is told. The
// message never repeats the secret that was sent.
func ModelError(err error) *model.Error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrMissingKey):
		return model.Errorf(401, model.CodeMissingKey, "no API key was given: send it as \"Authorization: Bearer sk-strata-…\"; `strata key create` makes one").Wrap(err)
	case errors.Is(err, ErrRevoked):
		return model.Errorf(401, model.CodeInvalidKey, "this API key is revoked; ask for a new one").Wrap(err)
	case errors.Is(err, ErrUnknownKey):
		return model.Errorf(401, model.CodeInvalidKey, "this API key is not known here; `strata key list` shows the keys of this server").Wrap(err)
	case errors.Is(err, ErrNoSession):
		return model.Errorf(401, "session_expired", "the session has ended; log in again").Wrap(err)
	case errors.Is(err, ErrLoginCode):
		return model.Errorf(401, "login_link_invalid", "this login link is used up, expired or unknown; `strata key admin` prints a new one").Wrap(err)
	case errors.Is(err, ErrCSRF):
		return model.Errorf(403, "csrf_failed", "the X-Strata-CSRF header is missing or stale; read it from GET /api/v1/session").Wrap(err)
	case errors.Is(err, ErrCustomerMismatch):
		return model.Errorf(403, model.CodeCustomerMismatch, "this API key is bound to another customer than X-Strata-Customer names").Wrap(err)
	case errors.Is(err, ErrTooManyAttempts):
		return &model.Error{Status: 429, Code: "too_many_attempts", Message: "too many failed attempts; wait a minute and try again", Retryable: true, RetryAfter: time.Minute, Err: err}
	case errors.Is(err, ErrInvalid):
		return model.Errorf(400, model.CodeInvalidRequest, "%s", err).Wrap(err)
	case errors.Is(err, ErrNotFound):
		return model.Errorf(404, "not_found", "no key has this id").Wrap(err)
	}
	return model.AsError(err)
}

// random fills b from the configured source.
func (a *Access) random(b []byte) error {
	a.randMu.Lock()
	defer a.randMu.Unlock()
	if _, err := io.ReadFull(a.rand, b); err != nil {
		return fmt.Errorf("access: read random bytes: %w", err)
	}
	return nil
}

package access

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stratahq/strata/store"
)

// Names in the settings table.
const (
	settingSessionKey = "access.session_key" // 32 random bytes
	settingEnded      = "access.ended"       // JSON: sessions logged out before they expired
	settingLoginCodes = "access.login_codes" // JSON: hashes of login codes not yet used
)

// sessions signs cookies. A session is not stored: the cookie says who it is and
// until when, under an HMAC. What is stored are the few that were logged out
// before their time.
type sessions struct {
	mu    sync.RWMutex
	key   []byte               // signs
	name  string               // of the cookie
	ended map[string]time.Time // session id to its expiry
}

// session is what a cookie says.
type session struct {
	ID      string `json:"i"`
	Key     string `json:"k,omitempty"` // key id; "" for an administrator
	Issued  int64  `json:"a"`           // Unix seconds
	Expires int64  `json:"e"`
	// Token is what the CSRF token is derived from: the id, or openToken for a
	// session that continues an open console.
	Token string `json:"t"`
}

// openToken stands for "no session" in the derivation of CSRF tokens.
const openToken = "open"

func (a *Access) loadSessions(ctx context.Context) error {
	var stored, endedJSON []byte
	read := func(q store.Querier) (err error) {
		if stored, err = getSetting(q, settingSessionKey); err != nil {
			return err
		}
		endedJSON, err = getSetting(q, settingEnded)
		return err
	}
	if err := a.db.Read(ctx, read); err != nil {
		return err
	}
	if len(stored) != 32 {
		stored = make([]byte, 32)
		if err := a.random(stored); err != nil {
			return err
		}
		if err := a.db.Write(ctx, true, func(tx *store.Tx) error { return setSetting(tx, settingSessionKey, stored) }); err != nil {
			return err
		}
	}
	ended := map[string]time.Time{}
	if len(endedJSON) > 0 {
		if err := json.Unmarshal(endedJSON, &ended); err != nil {
			return fmt.Errorf("setting %s: %w", settingEnded, err)
		}
	}
	a.setSessionKey(stored, ended)
	return nil
}

// setSessionKey derives the signing key from the stored one and the admin
// secret, so that changing the secret ends the sessions opened under the old one.
func (a *Access) setSessionKey(stored []byte, ended map[string]time.Time) {
	m := hmac.New(sha256.New, stored)
	m.Write([]byte("strata session signing key\n"))
	if a.adminHash != nil {
		m.Write(a.adminHash[:])
	}
	key := m.Sum(nil)
	// Cookies do not know ports: two servers on one host need two names.
	m = hmac.New(sha256.New, stored)
	m.Write([]byte("strata cookie name"))
	a.sessions.mu.Lock()
	defer a.sessions.mu.Unlock()
	a.sessions.key = key
	a.sessions.ended = ended
	a.sessions.name = "strata_session_" + hex.EncodeToString(m.Sum(nil)[:4])
}

// CookieName is the name of this server's session cookie.
func (a *Access) CookieName() string {
	a.sessions.mu.RLock()
	defer a.sessions.mu.RUnlock()
	return a.sessions.name
}

func (a *Access) mac(parts ...string) []byte {
	a.sessions.mu.RLock()
	m := hmac.New(sha256.New, a.sessions.key)
	a.sessions.mu.RUnlock()
	for _, p := range parts {
		m.Write([]byte(p))
		m.Write([]byte{0})
	}
	return m.Sum(nil)
}

func (a *Access) csrf(token string) string {
	return base64.RawURLEncoding.EncodeToString(a.mac("csrf", token))
}

// issue sets a fresh session cookie for p.
func (a *Access) issue(w http.ResponseWriter, r *http.Request, keyID, token string) (session, error) {
	id, err := a.newID("ses_")
	if err != nil {
		return session{}, err
	}
	now := a.now()
	s := session{ID: id, Key: keyID, Issued: now.Unix(), Expires: now.Add(a.life).Unix(), Token: token}
	if token == "" {
		s.Token = id
	}
	body, err := json.Marshal(s)
	if err != nil {
		return session{}, err
	}
	payload := base64.RawURLEncoding.EncodeToString(body)
	value := payload + "." + base64.RawURLEncoding.EncodeToString(a.mac("session", payload))
	http.SetCookie(w, a.cookie(r, value, int(a.life.Seconds())))
	return s, nil
}

func (a *Access) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: a.CookieName(), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: a.secure || r.TLS != nil,
	}
}

// parse checks a cookie's signature, expiry and logout, and its key.
func (a *Access) parse(value string) (session, Principal, error) {
	payload, sig, ok := strings.Cut(value, ".")
	given, err := base64.RawURLEncoding.DecodeString(sig)
	if !ok || err != nil || subtle.ConstantTimeCompare(given, a.mac("session", payload)) != 1 {
		return session{}, Principal{}, ErrNoSession
	}
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return session{}, Principal{}, ErrNoSession
	}
	var s session
	if err := json.Unmarshal(body, &s); err != nil {
		return session{}, Principal{}, ErrNoSession
	}
	now := a.now().Unix()
	// Issued in the future means that the clock went back; allow what an NTP
	// step can be, and no more.
	if now >= s.Expires || s.Issued > now+300 {
		return session{}, Principal{}, ErrNoSession
	}
	a.sessions.mu.RLock()
	_, ended := a.sessions.ended[s.ID]
	a.sessions.mu.RUnlock()
	if ended {
		return session{}, Principal{}, ErrNoSession
	}
	if s.Key == "" {
		return s, Principal{Admin: true, Customer: LocalCustomer, Via: "session"}, nil
	}
	e, ok := a.keys.Load().byID[s.Key]
	if !ok || !e.key.Revoked.IsZero() {
		return session{}, Principal{}, ErrNoSession
	}
	a.touch(e)
	return s, e.key.principal("session"), nil
}

// bySession authenticates a cookie; a changing request needs its CSRF token too.
func (a *Access) bySession(r *http.Request, value string) (Principal, error) {
	s, p, err := a.parse(value)
	if err != nil {
		return Principal{}, err
	}
	if !safeMethod(r.Method) && !a.csrfMatches(r, s.Token) {
		return Principal{}, ErrCSRF
	}
	return p, nil
}

func (a *Access) csrfMatches(r *http.Request, token string) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get(CSRFHeader)), []byte(a.csrf(token))) == 1
}

// CheckOpenCSRF checks the token of a changing browser request to an open
// console, where there is no session to hold one.
func (a *Access) CheckOpenCSRF(r *http.Request) error {
	if a.csrfMatches(r, openToken) {
		return nil
	}
	return ErrCSRF
}

// Session says who a browser is. It renews a session that is past half of its
// life with a new id, so that a stolen cookie does not live as long as the user
// does. The error is nil, also when nobody is logged in: then ok is false.
func (a *Access) Session(w http.ResponseWriter, r *http.Request) (p Principal, csrf string, ok bool) {
	if secret, given := credential(r); given {
		if p, err := a.bySecret(r, secret); err == nil {
			return p, a.csrf(openToken), true
		}
	}
	if c, err := r.Cookie(a.CookieName()); err == nil {
		if s, p, err := a.parse(c.Value); err == nil {
			if now := a.now().Unix(); now-s.Issued > int64(a.life.Seconds())/2 {
				if renewed, err := a.issue(w, r, s.Key, ""); err == nil {
					s = renewed
				}
			}
			return p, a.csrf(s.Token), true
		}
	}
	if p, ok := a.openPrincipal(r); ok {
		return p, a.csrf(openToken), true
	}
	return Principal{}, a.csrf(openToken), false
}

// KeepOpenConsole gives a browser that administers an open console a session,
// because the key that it is about to make, or just made, ends the openness and
// would lock it out. The session keeps the CSRF token that the page already has.
func (a *Access) KeepOpenConsole(w http.ResponseWriter, r *http.Request) error {
	_, err := a.issue(w, r, "", openToken)
	return err
}

// Login opens a session with an admin secret, a key, or the code of a login
// link. Failures are ErrUnknownKey, ErrRevoked, ErrLoginCode, and
// ErrTooManyAttempts after ten in a minute from one address.
func (a *Access) Login(w http.ResponseWriter, r *http.Request, secret string) (Principal, string, error) {
	addr := peer(r)
	if a.logins.blocked(addr, a.now()) {
		return Principal{}, "", ErrTooManyAttempts
	}
	p, err := a.prove(r.Context(), secret)
	if err != nil {
		if errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrRevoked) || errors.Is(err, ErrLoginCode) {
			a.logins.fail(addr, a.now())
			a.log.Warn("a login failed", "from", addr, "reason", err.Error())
		}
		return Principal{}, "", err
	}
	s, err := a.issue(w, r, p.KeyID, "")
	if err != nil {
		return Principal{}, "", err
	}
	if err := a.Audit(WithPrincipal(r.Context(), p), "session.login", s.ID, "from "+addr); err != nil {
		return Principal{}, "", err
	}
	p.Via = "session"
	return p, a.csrf(s.Token), nil
}

func (a *Access) prove(ctx context.Context, secret string) (Principal, error) {
	switch {
	case a.isAdminSecret(secret):
		return Principal{Admin: true, Customer: LocalCustomer, Via: "admin-secret"}, nil
	case strings.HasPrefix(secret, SecretPrefix):
		k, err := a.Lookup(secret)
		if err != nil {
			return Principal{}, err
		}
		return k.principal("key"), nil
	case strings.HasPrefix(secret, codePrefix):
		if err := a.useLoginCode(ctx, secret); err != nil {
			return Principal{}, err
		}
		return Principal{Admin: true, Customer: LocalCustomer, Via: "login-link"}, nil
	}
	return Principal{}, ErrUnknownKey
}

// Logout ends the request's session, also for copies of its cookie.
func (a *Access) Logout(w http.ResponseWriter, r *http.Request) error {
	c, err := r.Cookie(a.CookieName())
	if err != nil {
		return nil
	}
	http.SetCookie(w, a.cookie(r, "", -1))
	s, p, err := a.parse(c.Value)
	if err != nil {
		return nil // it has ended already
	}
	if !a.csrfMatches(r, s.Token) {
		return ErrCSRF
	}
	now := a.now()
	a.changeMu.Lock() // so that two logouts are written in the order of their sets
	defer a.changeMu.Unlock()
	a.sessions.mu.Lock()
	for id, expires := range a.sessions.ended {
		if now.After(expires) {
			delete(a.sessions.ended, id)
		}
	}
	a.sessions.ended[s.ID] = time.Unix(s.Expires, 0).UTC()
	ended, err := json.Marshal(a.sessions.ended)
	a.sessions.mu.Unlock()
	if err != nil {
		return err
	}
	ctx := WithPrincipal(r.Context(), p)
	err = a.db.Write(ctx, true, func(tx *store.Tx) error {
		if err := setSetting(tx, settingEnded, ended); err != nil {
			return err
		}
		return a.audit(ctx, tx, "session.logout", s.ID, "")
	})
	if err != nil {
		return fmt.Errorf("access: end session: %w", err)
	}
	return nil
}

// EndAllSessions logs everyone out, by changing the key that signs sessions.
func (a *Access) EndAllSessions(ctx context.Context) error {
	key := make([]byte, 32)
	if err := a.random(key); err != nil {
		return err
	}
	err := a.db.Write(ctx, true, func(tx *store.Tx) error {
		if err := setSetting(tx, settingSessionKey, key); err != nil {
			return err
		}
		if err := setSetting(tx, settingEnded, []byte("{}")); err != nil {
			return err
		}
		return a.audit(ctx, tx, "session.end_all", "", "")
	})
	if err != nil {
		return fmt.Errorf("access: end all sessions: %w", err)
	}
	a.setSessionKey(key, map[string]time.Time{})
	return nil
}

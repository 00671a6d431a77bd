package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// CSRFHeader carries the session's token on every changing request of a browser.
const CSRFHeader = "X-Strata-CSRF"

// Authenticate finds out who a request acts for. It looks, in this order, at
// Authorization: Bearer, x-api-key, the session cookie, and the rule of the
// open loopback. Its errors are ErrMissingKey, ErrUnknownKey, ErrRevoked,
// ErrNoSession, ErrCSRF and ErrTooManyAttempts; see [ModelError].
//
// While the loopback is open, a bearer that is not shaped like one of our keys
// is taken as no key: the official clients insist on sending something. One that
// is so shaped is refused, because its sender means a key that is not here.
func (a *Access) Authenticate(r *http.Request) (Principal, error) {
	if secret, given := credential(r); given {
		return a.bySecret(r, secret)
	}
	if c, err := r.Cookie(a.CookieName()); err == nil {
		p, err := a.bySession(r, c.Value)
		if err == nil || !a.Open() {
			return p, err
		}
	}
	if p, ok := a.openPrincipal(r); ok {
		return p, nil
	}
	return Principal{}, ErrMissingKey
}

// credential reads the secret that a request carries in its headers.
func credential(r *http.Request) (string, bool) {
	if v := r.Header.Get("Authorization"); v != "" {
		scheme, secret, _ := strings.Cut(v, " ")
		if strings.EqualFold(scheme, "Bearer") {
			if secret = strings.TrimSpace(secret); secret != "" {
				return secret, true
			}
		}
	}
	if v := strings.TrimSpace(r.Header.Get("X-Api-Key")); v != "" {
		return v, true
	}
	return "", false
}

func (a *Access) bySecret(r *http.Request, secret string) (Principal, error) {
	if strings.HasPrefix(secret, SecretPrefix) {
		k, err := a.Lookup(secret)
		if err != nil {
			return Principal{}, err
		}
		return k.principal("key"), nil
	}
	if a.adminHash != nil {
		if a.guesses.blocked(peer(r), a.now()) {
			return Principal{}, ErrTooManyAttempts
		}
		if a.isAdminSecret(secret) {
			return Principal{Admin: true, Customer: LocalCustomer, Via: "admin-secret"}, nil
		}
	}
	if p, ok := a.openPrincipal(r); ok {
		return p, nil
	}
	if a.adminHash != nil {
		a.guesses.fail(peer(r), a.now())
	}
	return Principal{}, ErrUnknownKey
}

func (k *Key) principal(via string) Principal {
	return Principal{KeyID: k.ID, Customer: k.Customer, Feature: k.Feature, Admin: k.Admin, LogContent: k.LogContent, Via: via}
}

// isAdminSecret compares hashes in constant time, so that neither the length nor
// a common beginning of the secret can be measured.
func (a *Access) isAdminSecret(secret string) bool {
	if a.adminHash == nil {
		return false
	}
	h := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(h[:], a.adminHash[:]) == 1
}

// openPrincipal applies the rule of the open loopback. A request that a proxy
// forwarded comes from who knows where, though it arrives on loopback.
func (a *Access) openPrincipal(r *http.Request) (Principal, bool) {
	if !a.Open() || Forwarded(r) {
		return Principal{}, false
	}
	return Principal{Customer: LocalCustomer, Open: true, Admin: a.OpenAdmin(), Via: "open"}, true
}

// Forwarded says that a proxy passed the request on.
func Forwarded(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if r.Header.Get(h) != "" {
			return true
		}
	}
	return false
}

// peer is the address that rate limits count by: the peer of the connection,
// never a header, which anyone can write.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	// An IPv6 host usually owns a whole /64.
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}

// safeMethod says that a method changes nothing.
func safeMethod(m string) bool {
	return m == http.MethodGet || m == http.MethodHead || m == http.MethodOptions
}

type principalKey struct{}

// WithPrincipal returns a context that says who acts, for the audit trail.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext returns who acts, if anyone was named.
func FromContext(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

package access

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratahq/strata/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

type fixture struct {
	*Access
	clock *clock
	db    *store.DB
}

func open(t testing.TB, dir string, o Options) *fixture {
	t.Helper()
	c := &clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	if o.Now == nil {
		o.Now = c.now
	}
	db, err := store.Open(t.Context(), store.Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fixture{a, c, db}
}

func get(header ...string) *http.Request {
	r := httptest.NewRequest("GET", "http://127.0.0.1:4000/v1/models", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestKeyLifeHoldsForTheNextCall(t *testing.T) {
	f := open(t, t.TempDir(), Options{})
	ctx := WithPrincipal(t.Context(), Principal{Via: "socket", Admin: true})
	k, secret, err := f.Create(ctx, KeySpec{Name: " web ", Customer: "acme", Feature: "chat"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, SecretPrefix) || len(secret) != len(SecretPrefix)+43 || !strings.HasPrefix(k.ID, "key_") || k.Name != "web" {
		t.Fatalf("key %+v, secret of %d characters", k, len(secret))
	}
	p, err := f.Authenticate(get("Authorization", "Bearer "+secret))
	if err != nil || p.KeyID != k.ID || p.Customer != "acme" || p.Feature != "chat" || p.Admin || p.Open {
		t.Fatalf("principal %+v, %v", p, err)
	}
	if p, err := f.Authenticate(get("x-api-key", secret)); err != nil || p.KeyID != k.ID {
		t.Fatalf("x-api-key: %+v, %v", p, err)
	}
	on := true
	if _, err := f.Update(ctx, k.ID, KeyChange{LogContent: &on}); err != nil {
		t.Fatal(err)
	}
	if p, err := f.Authenticate(get("Authorization", "bearer "+secret)); err != nil || !p.LogContent {
		t.Fatalf("after the update: %+v, %v", p, err)
	}
	if _, err := f.Revoke(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(get("Authorization", "Bearer "+secret)); !errors.Is(err, ErrRevoked) {
		t.Fatalf("after revocation: %v", err)
	}
	if _, err := f.Revoke(ctx, k.ID); err != nil {
		t.Fatalf("second revocation: %v", err)
	}
	trail, err := f.AuditTrail(ctx, 0, 10)
	if err != nil || len(trail) != 3 {
		t.Fatalf("%d audit entries, %v; want one per change", len(trail), err)
	}
	for i, want := range []string{"key.revoke", "key.update", "key.create"} {
		if e := trail[i]; e.Action != want || e.Actor != "socket" || e.Subject != k.ID || !e.Time.Equal(f.clock.now()) || strings.Contains(e.Detail, secret[len(SecretPrefix)+4:]) {
			t.Errorf("audit %d: %+v", i, e)
		}
	}
}

func TestOnlyTheHashIsStored(t *testing.T) {
	f := open(t, t.TempDir(), Options{AdminSecret: "correct horse battery staple"})
	_, secret, err := f.Create(t.Context(), KeySpec{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	code, _, err := f.LoginCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Everything that access keeps, as text.
	var all bytes.Buffer
	err = f.db.Read(t.Context(), func(q store.Querier) error {
		for _, table := range []string{"SELECT hex(hash) || name || prefix || id FROM keys", "SELECT name || cast(value AS text) FROM settings", "SELECT actor || action || subject || detail FROM audit"} {
			rows, err := q.Query(table)
			if err != nil {
				return err
			}
			for rows.Next() {
				var s sql.NullString
				if err := rows.Scan(&s); err != nil {
					return err
				}
				all.WriteString(s.String)
			}
			rows.Close()
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h := hashSecret(secret)
	if !strings.Contains(all.String(), strings.ToUpper(fmt.Sprintf("%x", h))) {
		t.Error("the key's hash is not where the test looks")
	}
	for what, s := range map[string]string{"key": secret, "login code": code, "admin secret": "correct horse battery staple"} {
		if strings.Contains(all.String(), s) {
			t.Errorf("the %s is stored in the clear", what)
		}
	}
}

func TestOpenLoopback(t *testing.T) {
	f := open(t, t.TempDir(), Options{})
	for name, r := range map[string]*http.Request{
		"no key":                      get(),
		"a client's placeholder":      get("Authorization", "Bearer unused"),
		"a provider's key":            get("Authorization", "Bearer sk-proj-123"),
		"a cookie of another session": get("Cookie", f.CookieName()+"=abc.def"),
	} {
		if p, err := f.Authenticate(r); err != nil || !p.Open || p.Customer != LocalCustomer || !p.Admin || p.KeyID != "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := f.Authenticate(get("Authorization", "Bearer "+SecretPrefix+"elsewhere")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key of another server: %v", err)
	}
	for _, h := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP"} {
		if _, err := f.Authenticate(get(h, "203.0.113.9")); !errors.Is(err, ErrMissingKey) {
			t.Errorf("forwarded by a proxy (%s): %v", h, err)
		}
	}
	k, _, err := f.Create(t.Context(), KeySpec{Name: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(get()); !errors.Is(err, ErrMissingKey) {
		t.Errorf("after the first key: %v", err)
	}
	if _, err := f.Authenticate(get("Authorization", "Bearer unused")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("placeholder after the first key: %v", err)
	}
	if _, err := f.Revoke(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	if f.Open() {
		t.Error("revoking the last key opened the server again")
	}
}

func TestOpenLoopbackWithAdminSecret(t *testing.T) {
	f := open(t, t.TempDir(), Options{AdminSecret: "correct horse battery staple"})
	if p, err := f.Authenticate(get()); err != nil || !p.Open || p.Admin {
		t.Errorf("without the secret: %+v, %v; want open, not admin", p, err)
	}
	if p, err := f.Authenticate(get("Authorization", "Bearer correct horse battery staple")); err != nil || !p.Admin || p.Open {
		t.Errorf("with the secret: %+v, %v", p, err)
	}
}

func TestKeysAreRequiredElsewhere(t *testing.T) {
	f := open(t, t.TempDir(), Options{RequireKeys: true, AdminSecret: "correct horse battery staple"})
	if _, err := f.Authenticate(get()); !errors.Is(err, ErrMissingKey) {
		t.Errorf("no key: %v", err)
	}
	if _, err := f.Authenticate(get("Authorization", "Bearer wrong")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("wrong secret: %v", err)
	}
	for range 200 {
		_, _ = f.Authenticate(get("Authorization", "Bearer guess"))
	}
	if _, err := f.Authenticate(get("Authorization", "Bearer correct horse battery staple")); !errors.Is(err, ErrTooManyAttempts) {
		t.Errorf("after 200 guesses: %v", err)
	}
	f.clock.add(61 * time.Second)
	if _, err := f.Authenticate(get("Authorization", "Bearer correct horse battery staple")); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

func TestCustomerBinding(t *testing.T) {
	bound := Principal{KeyID: "key_1", Customer: "acme"}
	free := Principal{KeyID: "key_2"}
	local := Principal{Open: true, Customer: LocalCustomer}
	for _, c := range []struct {
		p     Principal
		named string
		want  string
		err   error
	}{
		{bound, "", "acme", nil}, {bound, "acme", "acme", nil}, {bound, "other", "", ErrCustomerMismatch},
		{free, "", "", nil}, {free, "other", "other", nil},
		{local, "", "local", nil}, {local, "other", "other", nil},
	} {
		if got, err := c.p.CustomerFor(c.named); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v names %q: %q, %v", c.p, c.named, got, err)
		}
	}
}

func TestBadKeySpecs(t *testing.T) {
	f := open(t, t.TempDir(), Options{})
	for name, spec := range map[string]KeySpec{
		"no name":       {Name: "  "},
		"long name":     {Name: strings.Repeat("x", 101)},
		"control":       {Name: "a\nb"},
		"not UTF-8":     {Name: "a", Customer: "\xff"},
		"long customer": {Name: "a", Customer: strings.Repeat("x", 201)},
	} {
		if _, _, err := f.Create(t.Context(), spec); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !f.Open() {
		t.Error("a refused key ended the open loopback")
	}
	if _, err := f.Update(t.Context(), "key_none", KeyChange{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("update of an unknown key: %v", err)
	}
}

func TestLastUsedIsLazyAndSurvives(t *testing.T) {
	dir := t.TempDir()
	var id string
	used := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	t.Run("use", func(t *testing.T) {
		f := open(t, dir, Options{})
		k, secret, err := f.Create(t.Context(), KeySpec{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		id = k.ID
		if k, _ := f.Get(id); !k.LastUsed.IsZero() {
			t.Error("used before it was used")
		}
		if _, err := f.Lookup(secret); err != nil {
			t.Fatal(err)
		}
		if k, _ := f.Get(id); !k.LastUsed.Equal(used) {
			t.Errorf("last used %v in memory", k.LastUsed)
		}
		f.flushers.Wait()
		var before, after int64
		count := func() (n int64) {
			_ = f.db.Read(t.Context(), func(q store.Querier) error { return q.QueryRow("SELECT last_used FROM keys").Scan(&n) })
			return n
		}
		before = count()
		f.clock.add(10 * time.Second)
		for range 1000 {
			_, _ = f.Lookup(secret)
		}
		f.flushers.Wait()
		if after = count(); after != before {
			t.Error("a use within the minute was written")
		}
		f.clock.add(-time.Hour) // the clock jumps back
		if _, err := f.Lookup(secret); err != nil {
			t.Fatal(err)
		}
		used = used.Add(10 * time.Second)
		if k, _ := f.Get(id); !k.LastUsed.Equal(used) {
			t.Errorf("after the clock went back: last used %v", k.LastUsed)
		}
	})
	f := open(t, dir, Options{})
	if k, err := f.Get(id); err != nil || !k.LastUsed.Equal(used) {
		t.Errorf("after a restart: %v, %v; want %v", k.LastUsed, err, used)
	}
}

func TestConcurrentCreateRevokeLookup(t *testing.T) {
	f := open(t, t.TempDir(), Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			k, secret, err := f.Create(context.Background(), KeySpec{Name: fmt.Sprint("k", i)})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := f.Lookup(secret); err != nil {
				t.Errorf("just made: %v", err)
			}
			if _, err := f.Revoke(context.Background(), k.ID); err != nil {
				t.Error(err)
			}
			if _, err := f.Lookup(secret); !errors.Is(err, ErrRevoked) {
				t.Errorf("just revoked: %v", err)
			}
		})
	}
	wg.Wait()
	if keys, _ := f.List(t.Context()); len(keys) != 8 {
		t.Errorf("%d keys", len(keys))
	}
}

func TestModelErrorsNeverRepeatTheSecret(t *testing.T) {
	for _, err := range []error{ErrMissingKey, ErrUnknownKey, ErrRevoked, ErrNoSession, ErrCSRF, ErrTooManyAttempts, ErrLoginCode, ErrNotFound, ErrInvalid, ErrCustomerMismatch} {
		e := ModelError(fmt.Errorf("wrapped: %w", err))
		if e.Status < 400 || e.Status >= 500 || e.Code == "" || e.Code == "internal_error" || e.Message == "" {
			t.Errorf("%v: %+v", err, e)
		}
	}
	if ModelError(nil) != nil {
		t.Error("no error became one")
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	f := open(b, b.TempDir(), Options{Now: time.Now})
	_, secret, err := f.Create(b.Context(), KeySpec{Name: "a"})
	if err != nil {
		b.Fatal(err)
	}
	r := get("Authorization", "Bearer "+secret)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}

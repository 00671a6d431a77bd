package access

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const secret = "correct horse battery staple"

func login(t *testing.T, f *fixture, with string) (*http.Cookie, string) {
	t.Helper()
	w := httptest.NewRecorder()
	_, csrf, err := f.Login(w, get(), with)
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("%d cookies", len(cookies))
	}
	return cookies[0], csrf
}

func with(method string, c *http.Cookie, csrf string) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1:4000/api/v1/keys", nil)
	r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	if csrf != "" {
		r.Header.Set(CSRFHeader, csrf)
	}
	return r
}

func TestSessionCookie(t *testing.T) {
	f := open(t, t.TempDir(), Options{RequireKeys: true, AdminSecret: secret})
	c, csrf := login(t, f, secret)
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || strings.Contains(c.Value, secret) {
		t.Errorf("cookie %+v", c)
	}
	if p, err := f.Authenticate(with("GET", c, "")); err != nil || !p.Admin {
		t.Errorf("reading: %+v, %v", p, err)
	}
	if _, err := f.Authenticate(with("POST", c, "")); !errors.Is(err, ErrCSRF) {
		t.Errorf("changing without a token: %v", err)
	}
	if _, err := f.Authenticate(with("POST", c, "x"+csrf)); !errors.Is(err, ErrCSRF) {
		t.Errorf("changing with a wrong token: %v", err)
	}
	if p, err := f.Authenticate(with("POST", c, csrf)); err != nil || !p.Admin {
		t.Errorf("changing with the token: %+v, %v", p, err)
	}
	// Any change of the cookie makes it worthless.
	for i := range c.Value {
		b := []byte(c.Value)
		b[i] ^= 1
		forged := &http.Cookie{Name: c.Name, Value: string(b)}
		if p, err := f.Authenticate(with("GET", forged, "")); err == nil {
			// The last digit of base64 has bits that carry nothing.
			if i != len(b)-1 {
				t.Fatalf("byte %d changed, and still %+v", i, p)
			}
		}
	}
	r := get()
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	if _, _, err := f.Login(w, r, secret); err != nil || !w.Result().Cookies()[0].Secure {
		t.Error("a cookie given over TLS is not marked Secure")
	}
}

func TestSessionEnds(t *testing.T) {
	dir := t.TempDir()
	var kept *http.Cookie
	t.Run("before a restart", func(t *testing.T) {
		f := open(t, dir, Options{RequireKeys: true, AdminSecret: secret})
		c, csrf := login(t, f, secret)
		kept, _ = login(t, f, secret)
		if err := f.Logout(httptest.NewRecorder(), with("DELETE", c, "")); !errors.Is(err, ErrCSRF) {
			t.Errorf("logout without a token: %v", err)
		}
		if err := f.Logout(httptest.NewRecorder(), with("DELETE", c, csrf)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Authenticate(with("GET", c, "")); !errors.Is(err, ErrNoSession) {
			t.Errorf("a copy of a logged-out cookie: %v", err)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		f := open(t, dir, Options{RequireKeys: true, AdminSecret: secret})
		if _, err := f.Authenticate(with("GET", kept, "")); err != nil {
			t.Errorf("a session did not outlive a restart: %v", err)
		}
		f.clock.add(12*time.Hour + time.Second)
		if _, err := f.Authenticate(with("GET", kept, "")); !errors.Is(err, ErrNoSession) {
			t.Errorf("expired: %v", err)
		}
	})
	t.Run("with another admin secret", func(t *testing.T) {
		f := open(t, dir, Options{RequireKeys: true, AdminSecret: secret + "2"})
		if _, err := f.Authenticate(with("GET", kept, "")); !errors.Is(err, ErrNoSession) {
			t.Errorf("opened under the old secret: %v", err)
		}
	})
	t.Run("all at once", func(t *testing.T) {
		f := open(t, dir, Options{RequireKeys: true, AdminSecret: secret})
		if _, err := f.Authenticate(with("GET", kept, "")); err != nil {
			t.Fatal(err)
		}
		if err := f.EndAllSessions(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := with("GET", kept, "")
		if _, err := f.Authenticate(r); err == nil {
			t.Error("a session outlived the end of all sessions")
		}
	})
}

func TestSessionRotates(t *testing.T) {
	f := open(t, t.TempDir(), Options{RequireKeys: true, AdminSecret: secret})
	c, csrf := login(t, f, secret)
	w := httptest.NewRecorder()
	if _, again, ok := f.Session(w, with("GET", c, "")); !ok || again != csrf || len(w.Result().Cookies()) != 0 {
		t.Errorf("a fresh session was changed: %t", ok)
	}
	f.clock.add(7 * time.Hour)
	w = httptest.NewRecorder()
	_, renewed, ok := f.Session(w, with("GET", c, ""))
	cookies := w.Result().Cookies()
	if !ok || renewed == csrf || len(cookies) != 1 || cookies[0].Value == c.Value {
		t.Fatalf("past half of its life: ok %t, %d cookies", ok, len(cookies))
	}
	f.clock.add(7 * time.Hour)
	if _, err := f.Authenticate(with("GET", cookies[0], "")); err != nil {
		t.Errorf("the renewed session: %v", err)
	}
	if _, err := f.Authenticate(with("GET", c, "")); !errors.Is(err, ErrNoSession) {
		t.Errorf("the old one: %v", err)
	}
}

func TestMemberSessionFollowsItsKey(t *testing.T) {
	f := open(t, t.TempDir(), Options{RequireKeys: true, AdminSecret: secret})
	k, keySecret, err := f.Create(t.Context(), KeySpec{Name: "holder", Customer: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := login(t, f, keySecret)
	if strings.Contains(c.Value, keySecret) {
		t.Error("the cookie holds the key")
	}
	if p, err := f.Authenticate(with("GET", c, "")); err != nil || p.Admin || p.KeyID != k.ID || p.Customer != "acme" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := f.Revoke(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(with("GET", c, "")); !errors.Is(err, ErrNoSession) {
		t.Errorf("after the key was revoked: %v", err)
	}
}

func TestLoginIsRateLimited(t *testing.T) {
	f := open(t, t.TempDir(), Options{RequireKeys: true, AdminSecret: secret})
	for i := range 10 {
		if _, _, err := f.Login(httptest.NewRecorder(), get(), "guess"); !errors.Is(err, ErrUnknownKey) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if _, _, err := f.Login(httptest.NewRecorder(), get(), secret); !errors.Is(err, ErrTooManyAttempts) {
		t.Errorf("the right secret after ten guesses: %v", err)
	}
	other := get()
	other.RemoteAddr = "203.0.113.7:5000"
	if _, _, err := f.Login(httptest.NewRecorder(), other, secret); err != nil {
		t.Errorf("from another address: %v", err)
	}
	f.clock.add(time.Minute)
	if _, _, err := f.Login(httptest.NewRecorder(), get(), secret); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

func TestLimiterIsBoundedAndSurvivesTheClock(t *testing.T) {
	l := limiter{max: 1, window: time.Minute}
	now := time.Unix(1000, 0)
	for i := range maxTracked + 100 {
		l.fail(string(rune(i))+"a", now)
	}
	if len(l.fails) > maxTracked+1 {
		t.Errorf("%d addresses are tracked", len(l.fails))
	}
	if !l.blocked("new", now) {
		t.Error("addresses beyond the bound do not share a count")
	}
	if l.blocked("new", now.Add(-time.Hour)) {
		t.Error("a clock that went back keeps blocking")
	}
}

func TestLoginLink(t *testing.T) {
	f := open(t, t.TempDir(), Options{})
	if _, _, err := f.Create(t.Context(), KeySpec{Name: "closes the open loopback"}); err != nil {
		t.Fatal(err)
	}
	code, expires, err := f.LoginCode(t.Context())
	if err != nil || !expires.Equal(f.clock.now().Add(LinkLife)) {
		t.Fatalf("%v, %v", expires, err)
	}
	c, _ := login(t, f, code)
	if p, err := f.Authenticate(with("GET", c, "")); err != nil || !p.Admin {
		t.Errorf("%+v, %v", p, err)
	}
	if _, _, err := f.Login(httptest.NewRecorder(), get(), code); !errors.Is(err, ErrLoginCode) {
		t.Errorf("used twice: %v", err)
	}
	late, _, err := f.LoginCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.clock.add(LinkLife)
	if _, _, err := f.Login(httptest.NewRecorder(), get(), late); !errors.Is(err, ErrLoginCode) {
		t.Errorf("expired: %v", err)
	}
	for range maxCodes + 5 {
		if _, _, err := f.LoginCode(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeepOpenConsole(t *testing.T) {
	f := open(t, t.TempDir(), Options{})
	w := httptest.NewRecorder()
	_, csrf, ok := f.Session(w, get())
	if !ok || csrf == "" {
		t.Fatal("an open console has no token")
	}
	if _, _, err := f.Create(t.Context(), KeySpec{Name: "first"}); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	if err := f.KeepOpenConsole(w, get()); err != nil {
		t.Fatal(err)
	}
	c := w.Result().Cookies()[0]
	if p, err := f.Authenticate(with("POST", c, csrf)); err != nil || !p.Admin {
		t.Errorf("with the token that the page already has: %+v, %v", p, err)
	}
	if _, err := f.Authenticate(with("POST", c, "")); !errors.Is(err, ErrCSRF) {
		t.Errorf("without a token: %v", err)
	}
}

func FuzzCookie(f *testing.F) {
	fx := open(f, f.TempDir(), Options{RequireKeys: true, AdminSecret: secret})
	f.Add("")
	f.Add(".")
	f.Add("eyJpIjoic2VzXzEifQ.AAAA")
	f.Fuzz(func(t *testing.T, value string) {
		if _, p, err := fx.parse(value); err == nil {
			t.Errorf("%q is a session of %+v", value, p)
		}
	})
}

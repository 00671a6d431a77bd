package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestGuardHostAndOrigin(t *testing.T) {
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("inside")) })
	loopback := GuardOptions{Loopback: true, Hosts: []string{"strata.lan"}, Origins: []string{"https://app.example"}}
	for _, c := range []struct {
		name         string
		options      GuardOptions
		method, path string
		host, origin string
		fetchSite    string
		status       int
	}{
		{"localhost", loopback, "POST", "/v1/x", "localhost:4000", "", "", 200},
		{"IPv4", loopback, "POST", "/v1/x", "127.0.0.1:4000", "", "", 200},
		{"IPv6", loopback, "POST", "/v1/x", "[::1]:4000", "", "", 200},
		{"IPv6 without a port", loopback, "POST", "/v1/x", "[::1]", "", "", 200},
		{"capitals and a final dot", loopback, "POST", "/v1/x", "LocalHost.:4000", "", "", 200},
		{"configured name", loopback, "POST", "/v1/x", "strata.lan", "", "", 200},
		{"rebound name", loopback, "GET", "/", "evil.example:4000", "", "", 403},
		{"rebound name on the API", loopback, "POST", "/v1/x", "evil.example", "", "", 403},
		{"name that begins like ours", loopback, "GET", "/", "localhost.evil.example", "", "", 403},
		{"other loopback address", loopback, "GET", "/", "127.0.0.2:4000", "", "", 403},
		{"no host", loopback, "GET", "/", "", "", "", 403},
		{"public address takes any name", GuardOptions{}, "GET", "/", "gateway.example", "", "", 200},
		{"public address with names", GuardOptions{Hosts: []string{"gateway.example"}}, "GET", "/", "evil.example", "", "", 403},
		{"own origin", loopback, "POST", "/api/v1/keys", "localhost:4000", "http://localhost:4000", "", 200},
		{"other port is another origin", loopback, "POST", "/api/v1/keys", "localhost:4000", "http://localhost:3000", "", 403},
		{"foreign origin", loopback, "POST", "/v1/chat/completions", "localhost:4000", "https://evil.example", "", 403},
		{"foreign origin reads", loopback, "GET", "/api/v1/calls", "localhost:4000", "https://evil.example", "", 403},
		{"null origin", loopback, "POST", "/v1/chat/completions", "localhost:4000", "null", "", 403},
		{"allowed origin", loopback, "POST", "/v1/chat/completions", "localhost:4000", "https://app.example", "", 200},
		{"cross-site GET without an origin", loopback, "GET", "/v1/models", "localhost:4000", "", "cross-site", 403},
		{"same-origin GET", loopback, "GET", "/v1/models", "localhost:4000", "", "same-origin", 200},
		{"link to the console", loopback, "GET", "/calls", "localhost:4000", "", "cross-site", 200},
		{"foreign preflight", loopback, "OPTIONS", "/v1/chat/completions", "localhost:4000", "https://evil.example", "", 403},
		{"allowed preflight", loopback, "OPTIONS", "/v1/chat/completions", "localhost:4000", "https://app.example", "", 204},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "http://ignored"+c.path, nil)
			r.Host = c.host
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.fetchSite != "" {
				r.Header.Set("Sec-Fetch-Site", c.fetchSite)
			}
			if c.method == "OPTIONS" {
				r.Header.Set("Access-Control-Request-Method", "POST")
			}
			w := httptest.NewRecorder()
			Guard(inner, c.options).ServeHTTP(w, r)
			if w.Code != c.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if c.status == 403 {
				if code, _, _ := errorOf(t, w.Body.String()); code != "forbidden" || strings.Contains(w.Body.String(), "inside") {
					t.Errorf("%s", w.Body)
				}
			}
			if allowed := w.Header().Get("Access-Control-Allow-Origin"); allowed != "" && c.origin != "https://app.example" {
				t.Errorf("%s is told that it may read", c.origin)
			}
			for _, name := range []string{"X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy"} {
				if w.Header().Get(name) == "" {
					t.Errorf("%s is missing", name)
				}
			}
		})
	}
}

// The access log names the request and holds no secret of it.
func TestAccessLog(t *testing.T) {
	var log bytes.Buffer
	h := Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Strata-Call-Id", "call-9")
		w.WriteHeader(418)
	}), GuardOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	r := httptest.NewRequest("POST", "/v1/chat/completions?token=query-secret", strings.NewReader("body-secret"))
	r.Header.Set("Authorization", "Bearer header-secret")
	r.Header.Set("Cookie", "session=cookie-secret")
	h.ServeHTTP(httptest.NewRecorder(), r)
	line := log.String()
	for _, want := range []string{"method=POST", "path=/v1/chat/completions", "status=418", "call=call-9"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}
	if strings.Contains(line, "secret") {
		t.Errorf("a secret is logged: %s", line)
	}
}

func TestGuardRecovers(t *testing.T) {
	w := httptest.NewRecorder()
	Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }), GuardOptions{}).
		ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if code, _, _ := errorOf(t, w.Body.String()); w.Code != 500 || code != "internal_error" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The official JavaScript client in a page of an allowed origin asks for headers
// of its own, without which its browser sends nothing.
func TestPreflightOfTheOfficialClient(t *testing.T) {
	inner := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a preflight reached the gateway") })
	r := httptest.NewRequest("OPTIONS", "http://ignored/v1/chat/completions", nil)
	r.Host = "localhost:4000"
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,content-type, X-Stainless-Retry-Count,x-stainless-lang,openai-project,x-evil,x-stainless-a b,cookie")
	w := httptest.NewRecorder()
	Guard(inner, GuardOptions{Loopback: true, Origins: []string{"https://app.example"}}).ServeHTTP(w, r)
	got := strings.ToLower(w.Header().Get("Access-Control-Allow-Headers"))
	for _, want := range []string{"authorization", "content-type", "x-stainless-retry-count", "x-stainless-lang", "openai-project", "x-strata-customer"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not allowed: %s", want, got)
		}
	}
	for _, forbidden := range []string{"x-evil", "a b", "cookie"} {
		if strings.Contains(got, forbidden) {
			t.Errorf("%s is allowed: %s", forbidden, got)
		}
	}
}

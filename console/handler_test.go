package console

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func testHandler(t *testing.T) http.Handler {
	t.Helper()
	h, err := newHandler(fstest.MapFS{
		"index.html":          {Data: []byte("<!doctype html><title>Strata</title>")},
		"assets/app-1a2b.js":  {Data: []byte(strings.Repeat("console.log('strata');\n", 200))},
		"assets/app-1a2b.css": {Data: []byte("body{}")},
		"strata.svg":          {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHandler(t *testing.T) {
	h := testHandler(t)
	for _, tt := range []struct {
		name, method, path string
		status             int
		mime, cache, body  string
	}{
		{"the page", "GET", "/", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"a client's route", "GET", "/calls/0193-x", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"a model's name with a dot", "GET", "/prices/openai/gpt-4.1", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"a hashed script", "GET", "/assets/app-1a2b.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "console.log"},
		{"a style", "GET", "/assets/app-1a2b.css", 200, "text/css; charset=utf-8", "public, max-age=31536000, immutable", "body{}"},
		{"an image", "GET", "/strata.svg", 200, "image/svg+xml", "no-cache", "<svg/>"},
		{"a script of an old build", "GET", "/assets/app-0000.js", 404, "text/plain; charset=utf-8", "", "reload the page"},
		{"an unknown endpoint", "GET", "/api/v1/nothing", 404, "application/json", "", `"code":"not_found"`},
		{"an unknown model path", "GET", "/v1/nothing", 404, "application/json", "", `"code":"not_found"`},
		{"a way around", "GET", "/calls/../api/v1/x", 404, "application/json", "", `"code":"not_found"`},
		{"a path that only begins alike", "GET", "/v1beta", 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"a change", "POST", "/", 405, "text/plain; charset=utf-8", "", "GET and HEAD only"},
		{"a head", "HEAD", "/", 200, "text/html; charset=utf-8", "no-cache", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			head := w.Header()
			if w.Code != tt.status || head.Get("Content-Type") != tt.mime || head.Get("Cache-Control") != tt.cache {
				t.Errorf("%d %q %q, want %d %q %q", w.Code, head.Get("Content-Type"), head.Get("Cache-Control"), tt.status, tt.mime, tt.cache)
			}
			if !strings.Contains(w.Body.String(), tt.body) || tt.method == "HEAD" && w.Body.Len() > 0 {
				t.Errorf("body %q, want %q", w.Body, tt.body)
			}
			csp := head.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'self'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
				if !strings.Contains(csp, want) {
					t.Errorf("the policy %q lacks %q", csp, want)
				}
			}
			if strings.Contains(csp, "unsafe") || head.Get("X-Content-Type-Options") != "nosniff" || head.Get("X-Frame-Options") != "DENY" {
				t.Errorf("headers %v", head)
			}
		})
	}
}

func TestHandlerCompresses(t *testing.T) {
	h := testHandler(t)
	get := func(path, accept, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept-Encoding", accept)
		if etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	plain, small := get("/assets/app-1a2b.js", "br", ""), get("/assets/app-1a2b.js", "br, gzip", "")
	if plain.Header().Get("Content-Encoding") != "" || small.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("encodings %q and %q", plain.Header().Get("Content-Encoding"), small.Header().Get("Content-Encoding"))
	}
	zr, err := gzip.NewReader(small.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(zr)
	if err != nil || string(got) != plain.Body.String() {
		t.Errorf("the compressed body differs (%v)", err)
	}
	if plain.Header().Get("ETag") == small.Header().Get("ETag") {
		t.Error("both encodings have one ETag")
	}
	for _, w := range []*httptest.ResponseRecorder{plain, small} {
		if w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("Vary is %q", w.Header().Get("Vary"))
		}
	}
	if w := get("/assets/app-1a2b.js", "gzip;q=0", ""); w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip was sent although it was refused")
	}
	if w := get("/assets/app-1a2b.css", "gzip", ""); w.Header().Get("Content-Encoding") != "" {
		t.Error("six bytes were compressed")
	}
	again := get("/assets/app-1a2b.js", "gzip", `"other", W/`+small.Header().Get("ETag"))
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("ETag") != small.Header().Get("ETag") {
		t.Errorf("the second request: %d, %d bytes", again.Code, again.Body.Len())
	}
}

// TestEmbeddedBuild shows that what is embedded is a whole build: every file
// that the page names is there, and nothing inline that the policy would stop.
func TestEmbeddedBuild(t *testing.T) {
	h := Handler()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	html := w.Body.String()
	if strings.Contains(html, "<style") || strings.Contains(html, " style=") || strings.Contains(html, "onload=") {
		t.Errorf("the page has inline code: %s", html)
	}
	named := 0
	for _, attr := range []string{`src="`, `href="`} {
		rest := html
		for {
			_, after, ok := strings.Cut(rest, attr)
			if !ok {
				break
			}
			path, tail, _ := strings.Cut(after, `"`)
			rest = tail
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if w.Code != 200 || strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
				t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
			}
			named++
		}
	}
	if named < 4 {
		t.Errorf("the page names %d files; a build has at least a script, a style, an icon and boot.js:\n%s", named, html)
	}
}

func TestHandlerNeedsIndex(t *testing.T) {
	if _, err := newHandler(fstest.MapFS{"assets/a.js": {Data: []byte("x")}}); err == nil || !strings.Contains(err.Error(), "npm run build") {
		t.Errorf("a build without index.html: %v", err)
	}
}

// Package console serves Strata's web user interface. The TypeScript source
// lies beside this file; its build in dist is committed and embedded, so that a
// plain `go build` needs no node. The console talks only to the documented
// JSON of package admin and to the OpenAI-compatible API.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist
var dist embed.FS

// ContentSecurityPolicy is sent with every file of the console. Nothing is
// loaded from elsewhere and nothing inline runs: scripts and styles come from
// this origin's files only. Images may be data: and blob: for chart downloads.
const ContentSecurityPolicy = "default-src 'self'; script-src 'self'; style-src 'self'; " +
	"img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; object-src 'none'; worker-src 'none'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// gzipMin is the size in bytes below which compression gains nothing on the wire.
const gzipMin = 1024

// file is one file of the build, ready to be sent.
type file struct {
	body     []byte
	gzipped  func() []byte // nil when the file is not worth compressing
	mimeType string
	etag     string
	// immutable files carry a hash of their content in their name.
	immutable bool
}

// Handler serves the console: its files, and index.html for every other path,
// so that a page's address can be reloaded and shared. Paths under /api/ and
// /v1/ are never answered with a page. It is safe for concurrent use.
func Handler() http.Handler {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // dist is embedded: it cannot be missing
	}
	h, err := newHandler(sub)
	if err != nil {
		panic(err)
	}
	return h
}

type handler struct{ files map[string]*file }

func newHandler(build fs.FS) (*handler, error) {
	h := &handler{files: map[string]*file{}}
	err := fs.WalkDir(build, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(build, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		f := &file{
			body:      body,
			mimeType:  mimeType(name),
			etag:      hex.EncodeToString(sum[:12]),
			immutable: strings.HasPrefix(name, "assets/"),
		}
		if len(body) >= gzipMin && compressible(f.mimeType) {
			f.gzipped = sync.OnceValue(func() []byte { return compress(body) })
		}
		h.files["/"+name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the console's build: %w", err)
	}
	if h.files["/index.html"] == nil {
		return nil, fmt.Errorf("the console's build has no index.html: run `npm ci && npm run build` in console/")
	}
	return h, nil
}

// mimeType is fixed for the kinds of file that a build holds: the machine's own
// MIME table may say otherwise, and nosniff would then stop scripts.
func mimeType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	case ".png":
		return "image/png"
	case ".ico":
		return "image/x-icon"
	case ".woff2":
		return "font/woff2"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func compressible(mimeType string) bool {
	return strings.HasPrefix(mimeType, "text/") || mimeType == "image/svg+xml" || mimeType == "application/json"
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant that the package accepts
	}
	if _, err = w.Write(body); err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // writing to memory does not fail
	}
	return b.Bytes()
}

// ServeHTTP answers GET and HEAD.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", ContentSecurityPolicy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("X-Frame-Options", "DENY")
	head.Set("Referrer-Policy", "same-origin")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")

	p := path.Clean("/" + r.URL.Path)
	if isUnder(p, "/api") || isUnder(p, "/v1") {
		head.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "{\"error\":{\"code\":\"not_found\",\"message\":\"no endpoint at this path\",\"type\":\"invalid_request_error\"}}\n")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "the console answers GET and HEAD only", http.StatusMethodNotAllowed)
		return
	}
	f := h.files[p]
	if f == nil {
		// A missing file under /assets/ is an old build's: answering it with a
		// page would give the browser HTML where it expects a script.
		if isUnder(p, "/assets") || path.Ext(p) == ".js" || path.Ext(p) == ".css" {
			http.Error(w, "this file is not part of the console's build; reload the page", http.StatusNotFound)
			return
		}
		f = h.files["/index.html"]
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", f.mimeType)
	if f.immutable {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		head.Set("Cache-Control", "no-cache")
	}
	body, etag := f.body, `"`+f.etag+`"`
	if f.gzipped != nil {
		head.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body, etag = f.gzipped(), `"`+f.etag+`-gz"`
			head.Set("Content-Encoding", "gzip")
		}
	}
	head.Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		head.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // a client that left is not an error of ours
}

func isUnder(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// acceptsGzip reads Accept-Encoding; a quality of 0 refuses.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if c := strings.ToLower(strings.TrimSpace(coding)); c != "gzip" && c != "*" {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
		if !found {
			return true
		}
		v, err := strconv.ParseFloat(q, 64)
		return err == nil && v > 0
	}
	return false
}

// matches reads If-None-Match.
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if p := strings.TrimPrefix(strings.TrimSpace(part), "W/"); p == etag || p == "*" {
			return true
		}
	}
	return false
}

package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/wire/openai"
)

// GuardOptions say which requests reach anything at all.
type GuardOptions struct {
	// Loopback says that the server listens on a loopback address. Then only
	// localhost, 127.0.0.1, [::1] and Hosts are accepted as Host: a web page
	// that makes its own name resolve to 127.0.0.1 (DNS rebinding) would
	// otherwise be of the same origin as this server. On other addresses every
	// caller needs a key, which a foreign page does not have, so Host is checked
	// only when Hosts names any.
	Loopback bool
	// Hosts are further accepted host names, without ports.
	Hosts []string
	// Origins are web origins ("https://app.example") that may call besides the
	// server's own.
	Origins []string
	Log     *slog.Logger
}

// Guard is the outermost handler: it refuses foreign hosts and origins, sets the
// headers of security, recovers panics and writes the access log. The log holds
// no header, query or body, and so no secret.
func Guard(next http.Handler, o GuardOptions) http.Handler {
	hosts := make(map[string]bool, len(o.Hosts)+3)
	for _, h := range o.Hosts {
		hosts[strings.ToLower(h)] = true
	}
	checkHost := o.Loopback || len(hosts) > 0
	if checkHost {
		hosts["localhost"], hosts["127.0.0.1"], hosts["::1"] = true, true, true
	}
	origins := make(map[string]bool, len(o.Origins))
	for _, origin := range o.Origins {
		origins[strings.ToLower(strings.TrimSuffix(origin, "/"))] = true
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &watchedWriter{ResponseWriter: rw}
		started := time.Now()
		defer func() {
			cause := recover()
			if cause != nil && cause != any(http.ErrAbortHandler) {
				o.Log.Error("a request panicked", "method", r.Method, "path", r.URL.Path, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
				if w.status == 0 {
					guardError(w, model.AsError(errors.New("panic")))
				} else {
					cause = http.ErrAbortHandler
				}
			}
			o.Log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", printable(r.Method)), slog.String("path", printable(r.URL.Path)),
				slog.Int("status", w.status), slog.Int64("bytes", w.bytes), slog.Duration("took", time.Since(started)),
				slog.String("call", w.Header().Get(headerCallID)), slog.String("remote", r.RemoteAddr))
			if cause == any(http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
		}()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		// The console sets its own policy; nothing else is a page.
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if checkHost && !hosts[hostName(r.Host)] {
			guardError(w, model.Errorf(http.StatusForbidden, model.CodeForbidden,
				"the host %q is not served here; use localhost or 127.0.0.1, or add the name to `hosts` in the configuration", printable(r.Host)))
			return
		}
		if foreign(r, origins) {
			guardError(w, model.Errorf(http.StatusForbidden, model.CodeForbidden,
				"a web page of another origin may not call this server; add the origin to `origins` in the configuration to allow it"))
			return
		}
		if allowed := r.Header.Get("Origin"); allowed != "" && origins[strings.ToLower(allowed)] {
			h.Set("Access-Control-Allow-Origin", allowed)
			h.Set("Access-Control-Expose-Headers", strings.Join([]string{headerCallID, headerCost, headerEstimated, headerMaxTokens, headerRequestID, "Retry-After"}, ", "))
			h.Add("Vary", "Origin")
			h.Del("Cross-Origin-Resource-Policy")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Set("Access-Control-Allow-Methods", "GET, POST")
				h.Set("Access-Control-Allow-Headers", strings.Join(corsHeaders(r.Header.Get("Access-Control-Request-Headers")), ", "))
				h.Add("Vary", "Access-Control-Request-Headers")
				h.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// corsHeaders are the request headers that a page of an allowed origin may send:
// ours, and of those that it asks for the ones of OpenAI's clients, which add
// several with the prefixes below to every request
// (github.com/openai/openai-node, src/client.ts and src/internal/detect-platform.ts).
func corsHeaders(asked string) []string {
	allowed := []string{"Authorization", "Content-Type", "X-Api-Key", headerCustomer, headerFeature, headerTags}
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if len(allowed) < 50 && isToken(name) && (strings.HasPrefix(name, "x-stainless-") || strings.HasPrefix(name, "openai-")) {
			allowed = append(allowed, name)
		}
	}
	return allowed
}

// isToken says that a name is made of lower-case letters, digits and hyphens.
func isToken(name string) bool {
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && name != ""
}

// guardError answers in OpenAI's shape, which is also that of /api/v1.
func guardError(w http.ResponseWriter, e *model.Error) {
	writeBody(w, clientStatus(e), openai.AppendError(nil, e))
}

// hostName is the name of a Host header in lower case, without port, brackets
// and the final dot.
func hostName(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// foreign says that a page of another origin sent the request, to something
// that changes state or spends money. Requests of programs carry neither Origin
// nor Sec-Fetch-Site. Pages may still link to the console.
func foreign(r *http.Request, allowed map[string]bool) bool {
	api := strings.HasPrefix(r.URL.Path, "/v1") || strings.HasPrefix(r.URL.Path, "/api")
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !api && safe {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		// Browsers leave Origin out of simple GETs, but tell the relation. A page
		// may be left for an address of /api, which knows which of its own (a
		// login link) may be followed from elsewhere; the page does not see it.
		if safe && r.Header.Get("Sec-Fetch-Mode") == "navigate" && strings.HasPrefix(r.URL.Path, "/api/") {
			return false
		}
		site := r.Header.Get("Sec-Fetch-Site")
		return site == "cross-site" || site == "same-site"
	}
	if allowed[strings.ToLower(origin)] {
		return false
	}
	u, err := url.Parse(origin)
	// "null" (sandboxed frames, files) has no host and is foreign.
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}

// watchedWriter remembers the status and size of a reply.
type watchedWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *watchedWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Started says that a status has been sent.
func (w *watchedWriter) Started() bool { return w.status != 0 }

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

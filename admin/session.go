package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/model"
)

const loginPath = "/api/v1/login"

// getSession says who the browser is. It never fails for want of a login.
func (s *service) getSession(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	if isTrusted(r.Context()) {
		writeJSON(w, http.StatusOK, Session{Authenticated: true, Role: "admin", Customer: access.LocalCustomer})
		return nil
	}
	p, csrf, ok := s.Access.Session(w, r)
	writeJSON(w, http.StatusOK, sessionOf(p, csrf, ok && (p.Admin || p.KeyID != "")))
	return nil
}

func sessionOf(p access.Principal, csrf string, ok bool) Session {
	if !ok {
		return Session{CSRF: csrf}
	}
	return Session{Authenticated: true, Role: p.Role(), Key: p.KeyID, Customer: p.Customer, CSRF: csrf}
}

// postSession logs in with the admin secret, a key, or the code of a login link.
func (s *service) postSession(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	var body struct {
		Key string `json:"key"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	if body.Key == "" {
		return badParam("key", "key is missing: send the admin secret, a key, or the code of a login link")
	}
	p, csrf, err := s.Access.Login(w, r, body.Key)
	if err != nil {
		e := access.ModelError(err)
		if e.Code == model.CodeInvalidKey {
			e.Message = "this is neither the admin secret nor a valid key"
		}
		return e
	}
	writeJSON(w, http.StatusOK, sessionOf(p, csrf, true))
	return nil
}

// deleteSession logs out.
func (s *service) deleteSession(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	if err := s.Access.Logout(w, r); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteSessions logs everyone out, on every machine.
func (s *service) deleteSessions(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	if err := s.Access.EndAllSessions(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// AdminLink is the answer of POST /api/v1/admin-link: an address that logs an
// administrator's browser in, once. URL is "" when no server is running; the
// path then works on the next one, if it starts before Expires.
type AdminLink struct {
	URL     string    `json:"url"`
	Path    string    `json:"path"`
	Expires time.Time `json:"expires"`
}

// postAdminLink makes a login link.
func (s *service) postAdminLink(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	code, expires, err := s.Access.LoginCode(r.Context())
	if err != nil {
		return err
	}
	link := AdminLink{Path: loginPath + "?code=" + code, Expires: expires}
	if s.Status != nil {
		if addr := s.Status().Address; addr != "" {
			link.URL = addr + link.Path
			if !hasScheme(addr) {
				link.URL = "http://" + link.URL
			}
		}
	}
	writeJSON(w, http.StatusCreated, link)
	return nil
}

func hasScheme(addr string) bool {
	return len(addr) > 7 && (addr[:7] == "http://" || addr[:8] == "https://")
}

// getLogin is where a login link leads: it uses the code up, sets the cookie and
// goes on to the console. It is a page for people, so it fails in plain words.
func (s *service) getLogin(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	q, err := s.parseQuery(r, "code")
	if err != nil {
		return err
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.Method == http.MethodHead {
		// A previewer that looks before it leaps must not use the code up.
		return nil
	}
	if _, _, err := s.Access.Login(w, r, q.get("code")); err != nil {
		e := asError(err)
		if e.Code == model.CodeInvalidKey {
			e = access.ModelError(access.ErrLoginCode)
		}
		if e.Status >= 500 {
			return err
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(e.Status)
		fmt.Fprintf(w, "Strata could not log you in: %s.\n", e.Message)
		return nil
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// every address with a method, and who may use it.
var addresses = []struct {
	method, path, body string
	role               string
}{
	{"GET", "/api/v1/status", "", "member"},
	{"GET", "/api/v1/models", "", "member"},
	{"GET", "/api/v1/calls", "", "member"},
	{"GET", "/api/v1/calls.csv", "", "member"},
	{"GET", "/api/v1/calls/01936000-0000-7000-8000-000000000001", "", "member"},
	{"GET", "/api/v1/spend", "", "member"},
	{"GET", "/api/v1/spend.csv", "", "member"},
	{"GET", "/api/v1/series", "", "member"},
	{"GET", "/api/v1/latency", "", "member"},
	{"GET", "/api/v1/prices", "", "member"},
	{"GET", "/api/v1/prices/openai/gpt-4o-mini", "", "member"},
	{"GET", "/api/v1/keys", "", "member"},
	{"GET", "/api/v1/budgets", "", "member"},
	{"GET", "/api/v1/ledger/verify", "", "admin"},
	{"GET", "/api/v1/audit", "", "admin"},
	{"POST", "/api/v1/keys", `{"name":"x"}`, "admin"},
	{"PATCH", "/api/v1/keys/key_1", `{}`, "admin"},
	{"DELETE", "/api/v1/keys/key_1", "", "admin"},
	{"PUT", "/api/v1/budgets", `{"customer":"acme","limit_usd":"1"}`, "admin"},
	{"DELETE", "/api/v1/budgets/bud_1", "", "admin"},
	{"POST", "/api/v1/reprice", `{"dry_run":true}`, "admin"},
	{"POST", "/api/v1/backup", `{"path":""}`, "admin"},
	{"POST", "/api/v1/sample-data", `{"calls":1}`, "admin"},
	{"DELETE", "/api/v1/sample-data", "", "admin"},
	{"POST", "/api/v1/admin-link", "", "admin"},
	{"DELETE", "/api/v1/sessions", "", "admin"},
}

func TestWhoMayDoWhat(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	for _, a := range addresses {
		name := a.method + " " + a.path
		if status, code, _ := w.refused("", a.method, a.path, a.body); status != 401 || code != CodeLoginRequired {
			t.Errorf("%s as nobody: %d %s", name, status, code)
		}
		if a.role == "admin" {
			if status, code, _ := w.refused("acme", a.method, a.path, a.body); status != 403 || code != CodeAdminRequired {
				t.Errorf("%s as a member: %d %s", name, status, code)
			}
		} else if got := w.request("acme", a.method, a.path, a.body); got.StatusCode != 200 {
			t.Errorf("%s as a member: %d %s", name, got.StatusCode, got.body)
		}
		for _, as := range []string{"admin", "socket"} {
			if got := w.request(as, a.method, a.path, a.body); got.StatusCode == 401 || got.StatusCode == 403 || got.StatusCode >= 500 {
				t.Errorf("%s as %s: %d %s", name, as, got.StatusCode, got.body)
			}
		}
		if status, code, _ := w.refused("admin", a.method, a.path+"?colour=red", a.body); status != 400 || code != CodeUnknownParameter {
			t.Errorf("%s with an unknown parameter: %d %s", name, status, code)
		}
	}
}

func TestMemberSeesNothingOfOthers(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	into[Budget](w, "admin", "PUT", "/api/v1/budgets", `{"customer":"acme","limit_usd":"5","period":"total","mode":"warn"}`)
	into[Budget](w, "admin", "PUT", "/api/v1/budgets", `{"key":"`+w.rival.ID+`","limit_usd":"7","period":"day","mode":"hard"}`)
	for _, a := range addresses {
		if a.method != "GET" || a.role != "member" {
			continue
		}
		got := w.request("acme", a.method, a.path, "")
		for _, forbidden := range []string{"rival", w.rival.ID, "secret-project", callID(3), "/var/lib/strata", "/etc/strata.yaml", "OPENAI_API_KEY", `"limit_usd"`} {
			if strings.Contains(got.body, forbidden) {
				t.Errorf("GET %s shows a member %q", a.path, forbidden)
			}
		}
	}
	for path, want := range map[string]int{
		"/api/v1/calls/" + callID(3):            404,
		"/api/v1/keys/" + w.rival.ID:            404,
		"/api/v1/calls?key=" + w.rival.ID:       403,
		"/api/v1/calls?customer=rival":          200, // nothing of the own key matches
		"/api/v1/calls?root=" + callID(3):       200,
		"/api/v1/spend?by=key&key=" + w.acme.ID: 200,
	} {
		got := w.request("acme", "GET", path, "")
		if got.StatusCode != want || strings.Contains(got.body, callID(3)) || strings.Contains(got.body, "secret-project") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	if got := w.request("acme", "GET", "/api/v1/calls/"+callID(2), ""); !strings.Contains(got.body, "Paris") {
		t.Errorf("a member does not see the own call: %s", got.body)
	}
}

func TestForeignHostsAndOrigins(t *testing.T) {
	w := newWorld(t, options{open: true})
	w.request("", "GET", "/api/v1/status", "")
	csrf := into[Session](w, "", "GET", "/api/v1/session", "").CSRF
	for _, c := range []struct {
		name   string
		method string
		header []string
		code   string // "" for accepted
	}{
		{"curl reads", "GET", nil, ""},
		{"curl changes", "POST", nil, ""},
		{"rebound name", "GET", []string{"Host", "evil.example:4000"}, CodeForeignHost},
		{"rebound name changes", "POST", []string{"Host", "evil.example:4000"}, CodeForeignHost},
		{"localhost", "GET", []string{"Host", "localhost:4000"}, ""},
		{"IPv6", "GET", []string{"Host", "[::1]:4000"}, ""},
		{"foreign page reads", "GET", []string{"Origin", "https://evil.example"}, CodeForeignOrigin},
		{"foreign page changes", "POST", []string{"Origin", "https://evil.example"}, CodeForeignOrigin},
		{"sandboxed page", "POST", []string{"Origin", "null"}, CodeForeignOrigin},
		{"another port", "POST", []string{"Origin", "http://127.0.0.1:8080"}, CodeForeignOrigin},
		{"cross-site image", "GET", []string{"Sec-Fetch-Site", "cross-site"}, CodeForeignOrigin},
		{"same-site, other subdomain", "POST", []string{"Sec-Fetch-Site", "same-site"}, CodeForeignOrigin},
		{"console reads", "GET", []string{"Sec-Fetch-Site", "same-origin"}, ""},
		{"console changes without a token", "POST", []string{"Origin", "http://127.0.0.1:4000"}, "csrf_failed"},
		{"console changes", "POST", []string{"Origin", "http://127.0.0.1:4000", "X-Strata-CSRF", csrf}, ""},
	} {
		path, body := "/api/v1/calls", ""
		if c.method == "POST" {
			path, body = "/api/v1/sample-data", `{"calls":1}`
		}
		got := w.request("", c.method, path, body, c.header...)
		if c.code == "" && got.StatusCode >= 300 || c.code != "" && (got.StatusCode != 403 || !strings.Contains(got.body, c.code)) {
			t.Errorf("%s: %d %s; want %q", c.name, got.StatusCode, got.body, c.code)
		}
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, options{})
	for _, c := range []struct {
		method, path, body string
		status             int
		code, param        string
	}{
		{"GET", "/api/v1/nothing", "", 404, CodeNotFound, ""},
		{"GET", "/api/v1//calls", "", 404, CodeNotFound, ""},
		{"GET", "/api/v1/calls/not-a-uuid", "", 404, CodeNotFound, ""},
		{"GET", "/api/v1/calls/" + callID(999), "", 404, CodeNotFound, ""},
		{"GET", "/api/v1/prices/openai/no-such-model-at-all", "", 404, CodeNotFound, ""},
		{"DELETE", "/api/v1/calls", "", 405, CodeBadMethod, ""},
		{"GET", "/api/v1/calls?custmer=x", "", 400, CodeUnknownParameter, "custmer"},
		{"GET", "/api/v1/calls?limit=1&limit=2", "", 400, CodeInvalidParameter, "limit"},
		{"GET", "/api/v1/calls?limit=-1", "", 400, CodeInvalidParameter, "limit"},
		{"GET", "/api/v1/calls?limit=1001", "", 400, CodeInvalidParameter, "limit"},
		{"GET", "/api/v1/calls?since=soon", "", 400, CodeInvalidParameter, "since"},
		{"GET", "/api/v1/calls?since=today&until=yesterday", "", 400, CodeInvalidParameter, "until"},
		{"GET", "/api/v1/calls?outcome=fine", "", 400, CodeInvalidParameter, "outcome"},
		{"GET", "/api/v1/calls?unknown_cost=maybe", "", 400, CodeInvalidParameter, "unknown_cost"},
		{"GET", "/api/v1/calls?cursor=AAAA", "", 400, CodeInvalidCursor, "cursor"},
		{"GET", "/api/v1/calls?root=x", "", 400, CodeInvalidParameter, ""},
		{"GET", "/api/v1/calls?q=%00", "", 400, CodeInvalidParameter, "q"},
		{"GET", "/api/v1/calls?q=%ff", "", 400, CodeInvalidParameter, "q"},
		{"GET", "/api/v1/calls?%zz", "", 400, CodeInvalidParameter, ""},
		{"GET", "/api/v1/spend?by=colour", "", 400, CodeInvalidParameter, "by"},
		{"GET", "/api/v1/series?step=minute", "", 400, CodeInvalidParameter, "step"},
		{"GET", "/api/v1/series?step=hour&since=2000-01-01", "", 400, CodeInvalidParameter, "since"},
		{"GET", "/api/v1/latency?metric=speed", "", 400, CodeInvalidParameter, "metric"},
		{"POST", "/api/v1/keys", `{"name":"a","colour":"red"}`, 400, CodeUnknownParameter, "colour"},
		{"POST", "/api/v1/keys", `{"name":1}`, 400, CodeInvalidParameter, "name"},
		{"POST", "/api/v1/keys", `{"name":""}`, 400, "invalid_request", ""},
		{"POST", "/api/v1/keys", `{"name":`, 400, "invalid_json", ""},
		{"POST", "/api/v1/keys", `{"name":"a"}{}`, 400, "invalid_json", ""},
		{"POST", "/api/v1/keys", `[]`, 400, CodeInvalidParameter, ""},
		{"PATCH", "/api/v1/keys/key_none", `{"name":"a"}`, 404, CodeNotFound, ""},
		{"DELETE", "/api/v1/keys/key_none", "", 404, CodeNotFound, ""},
		{"PUT", "/api/v1/budgets", `{"limit_usd":"1"}`, 400, CodeInvalidParameter, "key"},
		{"PUT", "/api/v1/budgets", `{"customer":"a","key":"b","limit_usd":"1"}`, 400, CodeInvalidParameter, "key"},
		{"PUT", "/api/v1/budgets", `{"customer":"a"}`, 400, CodeInvalidParameter, "limit_usd"},
		{"PUT", "/api/v1/budgets", `{"customer":"a","limit_usd":"-1"}`, 400, CodeInvalidParameter, "limit_usd"},
		{"PUT", "/api/v1/budgets", `{"customer":"a","limit_usd":"1e99"}`, 400, "invalid_json", ""},
		{"PUT", "/api/v1/budgets", `{"customer":"a","limit_usd":"1","period":"week"}`, 400, CodeInvalidParameter, "period"},
		{"PUT", "/api/v1/budgets", `{"customer":"a","limit_usd":"1","mode":"soft"}`, 400, CodeInvalidParameter, "mode"},
		{"PUT", "/api/v1/budgets", `{"key":"key_none","limit_usd":"1"}`, 400, CodeInvalidParameter, "key"},
		{"DELETE", "/api/v1/budgets/bud_none", "", 404, CodeNotFound, ""},
		{"POST", "/api/v1/reprice", `{"book":"other"}`, 400, CodeInvalidParameter, "book"},
		{"POST", "/api/v1/reprice", `{"prices":"x: {input: lots}"}`, 400, CodeInvalidParameter, "prices"},
		{"POST", "/api/v1/reprice", `{"since":"soon"}`, 400, CodeInvalidParameter, "since"},
		{"POST", "/api/v1/backup", `{"path":"../x.db"}`, 400, CodeInvalidParameter, "path"},
		{"POST", "/api/v1/backup", `{"path":"/tmp/x.db"}`, 403, "forbidden", ""},
		{"POST", "/api/v1/sample-data", `{"calls":20001}`, 400, CodeInvalidParameter, "calls"},
	} {
		status, code, param := w.refused("admin", c.method, c.path, c.body)
		if status != c.status || code != c.code || param != c.param {
			t.Errorf("%s %s %s: %d %s %q, want %d %s %q", c.method, c.path, c.body, status, code, param, c.status, c.code, c.param)
		}
	}
	if status, code, _ := w.refused("admin", "POST", "/api/v1/keys", `{"name":"a"}`, "Content-Type", "text/plain"); status != 415 || code != CodeBadContentType {
		t.Errorf("a form's content type: %d %s", status, code)
	}
	if status, code, _ := w.refused("admin", "POST", "/api/v1/keys", `{"name":"`+strings.Repeat("x", maxBody)+`"}`); status != 413 || code != "request_too_large" {
		t.Errorf("a huge body: %d %s", status, code)
	}
	if a := w.request("admin", "GET", "/api/v1/calls?custmer=x", ""); !strings.Contains(a.body, `did you mean \"customer\"?`) {
		t.Errorf("no suggestion: %s", a.body)
	}
}

// TestBrowserSession walks through what the console does.
func TestBrowserSession(t *testing.T) {
	w := newWorld(t, options{access: accessRequired})
	if s := into[Session](w, "", "GET", "/api/v1/session", ""); s.Authenticated || s.Role != "" {
		t.Errorf("before the login: %+v", s)
	}
	browser := []string{"Origin", "http://127.0.0.1:4000", "Sec-Fetch-Site", "same-origin"}
	if status, code, _ := w.refused("", "POST", "/api/v1/session", `{"key":"guess"}`, browser...); status != 401 || code != "invalid_api_key" {
		t.Errorf("a wrong secret: %d %s", status, code)
	}
	a := w.request("", "POST", "/api/v1/session", `{"key":"`+adminSecret+`"}`, browser...)
	var s Session
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || !s.Authenticated || s.Role != "admin" || s.CSRF == "" {
		t.Fatalf("login: %d %s", a.StatusCode, a.body)
	}
	c := a.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %+v", c)
	}
	cookie := append([]string{"Cookie", c.Name + "=" + c.Value}, browser...)
	if got := w.request("", "GET", "/api/v1/audit", "", cookie...); got.StatusCode != 200 || !strings.Contains(got.body, "session.login") {
		t.Errorf("with the cookie: %d %s", got.StatusCode, got.body)
	}
	if status, code, _ := w.refused("", "POST", "/api/v1/keys", `{"name":"a"}`, cookie...); status != 403 || code != "csrf_failed" {
		t.Errorf("without the token: %d %s", status, code)
	}
	withToken := append([]string{"X-Strata-CSRF", s.CSRF}, cookie...)
	if got := w.request("", "POST", "/api/v1/keys", `{"name":"a"}`, withToken...); got.StatusCode != 201 {
		t.Errorf("with the token: %d %s", got.StatusCode, got.body)
	}
	if got := w.request("", "DELETE", "/api/v1/session", "", withToken...); got.StatusCode != 204 {
		t.Errorf("logout: %d %s", got.StatusCode, got.body)
	}
	if status, code, _ := w.refused("", "GET", "/api/v1/audit", "", cookie...); status != 401 || code != "session_expired" {
		t.Errorf("after the logout: %d %s", status, code)
	}
	for range 10 {
		w.refused("", "POST", "/api/v1/session", `{"key":"guess"}`)
	}
	got := w.request("", "POST", "/api/v1/session", `{"key":"guess"}`)
	if got.StatusCode != 429 || got.Header.Get("Retry-After") != "60" {
		t.Errorf("after ten guesses: %d, Retry-After %q", got.StatusCode, got.Header.Get("Retry-After"))
	}
}

func TestLoginLink(t *testing.T) {
	w := newWorld(t, options{access: accessRequired})
	link := into[AdminLink](w, "socket", "POST", "/api/v1/admin-link", "")
	if !strings.HasPrefix(link.URL, "http://127.0.0.1:4000/api/v1/login?code=login-") || link.Path == "" {
		t.Fatalf("%+v", link)
	}
	if a := w.request("", "HEAD", link.Path, ""); a.StatusCode != 200 || len(a.Cookies()) != 0 {
		t.Errorf("a previewer: %d", a.StatusCode)
	}
	a := w.request("", "GET", link.Path, "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if a.StatusCode != 303 || a.Header.Get("Location") != "/" || len(a.Cookies()) != 1 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	c := a.Cookies()[0]
	if s := w.request("", "GET", "/api/v1/session", "", "Cookie", c.Name+"="+c.Value); !strings.Contains(s.body, `"role":"admin"`) {
		t.Errorf("after following the link: %s", s.body)
	}
	if a := w.request("", "GET", link.Path, ""); a.StatusCode != 401 || !strings.Contains(a.body, "strata key admin") || strings.Contains(a.body, "login-") {
		t.Errorf("used twice: %d %s", a.StatusCode, a.body)
	}
}

// TestFirstKeyKeepsTheConsole: the first key ends the open loopback, yet not for
// the browser that made it, and for every other.
func TestFirstKeyKeepsTheConsole(t *testing.T) {
	w := newWorld(t, options{open: true})
	s := into[Session](w, "", "GET", "/api/v1/session", "")
	if !s.Authenticated || s.Role != "admin" {
		t.Fatalf("an open console: %+v", s)
	}
	browser := []string{"Origin", "http://127.0.0.1:4000", "X-Strata-CSRF", s.CSRF}
	a := w.request("", "POST", "/api/v1/keys", `{"name":"first"}`, browser...)
	if a.StatusCode != 201 || len(a.Cookies()) != 1 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	c := a.Cookies()[0]
	browser = append(browser, "Cookie", c.Name+"="+c.Value)
	if got := w.request("", "POST", "/api/v1/keys", `{"name":"second"}`, browser...); got.StatusCode != 201 {
		t.Errorf("the browser that made the first key: %d %s", got.StatusCode, got.body)
	}
	if status, _, _ := w.refused("", "GET", "/api/v1/keys", ""); status != 401 {
		t.Errorf("anyone else: %d", status)
	}
}

func TestLoopbackHost(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:4000": true, "127.9.9.9": true, "localhost": true, "LOCALHOST:1": true, "[::1]:4000": true, "::1": true,
		"": false, "evil.example": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "10.0.0.1": false, "0.0.0.0": false,
	} {
		if got := LoopbackHost(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

func TestHeadAnswersWithoutBody(t *testing.T) {
	w := newWorld(t, options{})
	server := httptest.NewServer(Trusted(w.handler))
	defer server.Close()
	resp, err := server.Client().Head(server.URL + "/api/v1/calls")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	server.Client().CloseIdleConnections()
	if resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
}

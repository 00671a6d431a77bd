package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
)

var update = flag.Bool("update", false, "write docs/api.md anew")

const apiDoc = "../docs/api.md"

// documented is one address in docs/api.md.
type documented struct {
	method, path string // as routed
	who          string
	prose        string
	// the example: path with parameters filled in, and body; as is who sends it
	example, body, as string
	// plain says that the answer is shown as it is, cut after some lines.
	plain bool
}

const filterDoc = "The filters are `since`, `until`, `customer`, `feature`, `model`, `served_model`, `upstream`, `key` (an id), `outcome` (`ok`, `refused`, `error`, `canceled`, `recovered`), `q` (a part of an id, model, customer, feature, key or error), `unknown_cost=1`, `sample=0|1`, and `root` (all calls of one tree)."

func documentation(w *world) []documented {
	return []documented{
		{"GET", "/api/v1/session", "anyone", "Who the caller is. `csrf` must come back in `X-Strata-CSRF` with every changing request of a browser.", "/api/v1/session", "", "admin", false},
		{"POST", "/api/v1/session", "anyone", "Logs a browser in, with the admin secret, a key (for its own calls only), or the code of a login link, and sets the session's cookie. After ten failures in a minute from one address: 429 with `Retry-After`.", "/api/v1/session", `{"key": "sk-strata-…"}`, "", false},
		{"DELETE", "/api/v1/session", "anyone", "Logs out; copies of the cookie end too.", "/api/v1/session", "", "", false},
		{"DELETE", "/api/v1/sessions", "admin", "Logs everyone out everywhere.", "/api/v1/sessions", "", "admin", false},
		{"GET", "/api/v1/login", "anyone", "Where a login link leads: logs in and goes on to the console (303). A link works once, for ten minutes.", "/api/v1/login?code=login-0000", "", "", true},
		{"POST", "/api/v1/admin-link", "admin", "Makes a login link. `strata key admin` asks for it through the server's unix socket.", "/api/v1/admin-link", "", "socket", false},
		{"GET", "/api/v1/status", "member", "What is running. A member is not told of addresses, folders and upstreams, and `calls` counts the own ones.", "/api/v1/status", "", "admin", false},
		{"GET", "/api/v1/models", "member", "The models that can be asked for.", "/api/v1/models", "", "admin", false},
		{"GET", "/api/v1/calls", "member", "Calls, newest first, with the totals of all that the filter selects. " + filterDoc + " `limit` is at most 1000; `next` is the `cursor` of the next page. `usage` is null when nothing was consumed or nothing is known; a cost that is null is unknown.", "/api/v1/calls?feature=chat&limit=2", "", "admin", false},
		{"GET", "/api/v1/calls/{id}", "member", "The receipt of one call: its lines of cost and charge, decisions, children, corrections, and its text when content was logged.", "/api/v1/calls/" + callID(2), "", "admin", false},
		{"GET", "/api/v1/calls.csv", "member", "The same calls as a file, with the same filters; `limit` is at most 1,000,000. Text that a spreadsheet would run as a formula gets a quote in front. An unknown cost is an empty cell.", "/api/v1/calls.csv?customer=acme&outcome=ok&limit=2", "", "admin", true},
		{"GET", "/api/v1/calls/live", "member", "Calls as they settle, as server-sent events `call` whose id is the call's `seq`; it takes the same filters. A reader that comes back with `Last-Event-ID`, or with `after`, gets what it missed. A quiet stream sends a comment every 15 s.", "/api/v1/calls/live?after=2&customer=rival", "", "admin", true},
		{"GET", "/api/v1/spend", "member", "Cost, charge and margin by `customer`, `feature`, `model`, `key`, `day` or `hour`, corrections included. It takes the filters of calls. Calls of unknown cost are counted, and are in no sum.", "/api/v1/spend?by=model&since=today", "", "admin", false},
		{"GET", "/api/v1/spend.csv", "member", "The same groups as a file.", "/api/v1/spend.csv?by=customer", "", "admin", true},
		{"GET", "/api/v1/series", "member", "The same over time, with latency quantiles; `step` is `hour` or `day`. Steps without calls are there, with null amounts. Without `since`: 14 days, or 48 hours.", "/api/v1/series?step=hour&since=2026-11-24T11:00:00Z&until=2026-11-24T13:00:00Z", "", "admin", false},
		{"GET", "/api/v1/latency", "member", "How many calls with outcome ok took how long: `metric` is `duration` or `ttft`, `step` is `hour` or `day`. The last row of a step has no bound.", "/api/v1/latency?since=2026-11-24T11:00:00Z&until=2026-11-24T12:00:00Z", "", "admin", false},
		{"GET", "/api/v1/prices", "member", "The price book: `q`, `provider`, `mode`, `at` (a time), `limit`, `offset`.", "/api/v1/prices?q=gpt-4o-mini&provider=openai&limit=1", "", "admin", false},
		{"GET", "/api/v1/prices/{provider}/{model...}", "member", "The price of a model at a time (`at`), and its history.", "/api/v1/prices/openai/gpt-4o-mini", "", "admin", false},
		{"GET", "/api/v1/keys", "member", "The keys, without their secrets; a member sees the own one.", "/api/v1/keys", "", "admin", false},
		{"POST", "/api/v1/keys", "admin", "Makes a key: `name`, and if wanted `customer` (its calls cannot name another), `feature`, `log_content`, `admin`. The secret, in `key`, is shown this once. The first key ends the open loopback.", "/api/v1/keys", `{"name": "web", "customer": "acme"}`, "admin", false},
		{"GET", "/api/v1/keys/{id}", "member", "One key.", "/api/v1/keys/" + w.acme.ID, "", "admin", false},
		{"PATCH", "/api/v1/keys/{id}", "admin", "Changes `name` or `log_content`.", "/api/v1/keys/" + w.acme.ID, `{"log_content": true}`, "admin", false},
		{"DELETE", "/api/v1/keys/{id}", "admin", "Revokes a key, from the next call on. Its calls stay.", "/api/v1/keys/" + w.rival.ID, "", "admin", false},
		{"PUT", "/api/v1/budgets", "admin", "Sets the budget of a `key` (an id) or a `customer`: `limit_usd`, `period` (`day`, `month`, `total`; `month` when left out), `mode` (`hard` refuses, `warn` tells; `hard` when left out). There is one per key or customer and period.", "/api/v1/budgets", `{"customer": "acme", "limit_usd": "5.00", "period": "month", "mode": "hard"}`, "admin", false},
		{"GET", "/api/v1/budgets", "member", "The budgets with what is spent, held by running calls, and left. A member sees those of the own key.", "/api/v1/budgets", "", "admin", false},
		{"DELETE", "/api/v1/budgets/{id}", "admin", "Removes a budget.", "/api/v1/budgets/BUDGET", "", "admin", false},
		{"POST", "/api/v1/reprice", "admin", "Rates history again from the stored usage: under the `current` book or the `catalog` alone (`book`), with a price file's text laid over it (`prices`); limited by `since`, `until`, `customer`, `model`. With `dry_run` it only reports; otherwise it posts corrections, and none for calls that stay the same. `kept` counts calls of models that the book does not know.", "/api/v1/reprice", `{"dry_run": true, "prices": "openai/gpt-4o-mini: {input: 0.30 USD/Mtok, output: 1.20 USD/Mtok}"}`, "admin", false},
		{"GET", "/api/v1/ledger/verify", "admin", "Recomputes lines, postings, balances and the chain. Keep `head` elsewhere: a chain that nobody anchors can be rewritten.", "/api/v1/ledger/verify", "", "admin", false},
		{"POST", "/api/v1/backup", "admin", "Writes a consistent copy of the running database into the backups folder; through the unix socket also to an absolute `path`. A file that is there is never overwritten.", "/api/v1/backup", `{"path": "monday.db"}`, "admin", false},
		{"POST", "/api/v1/sample-data", "admin", "Fills an empty console with labelled sample calls over the last 14 days, priced by the real price book. They touch no budget and no account. `seed` and `calls` if wanted.", "/api/v1/sample-data", `{"calls": 100}`, "admin", false},
		{"DELETE", "/api/v1/sample-data", "admin", "Erases every sample call.", "/api/v1/sample-data", "", "admin", false},
		{"GET", "/api/v1/audit", "admin", "Administrative acts, newest first: who did what to what, and when. `limit`, `cursor`.", "/api/v1/audit?limit=2", "", "admin", false},
	}
}

const docHead = `<!-- Generated by admin/docs_test.go from requests that it sends: go test ./admin -run TestDocs -update -->

# The administrative interface

The console and the command line use these JSON endpoints, and so can you. Every example here is a request that a test sends, with the answer that it got; lists are cut after two entries, and random parts are shown as ` + "`…`" + `.

**Who.** *Member* means a key's holder, who sees the own key's calls and nothing else; *admin* means the admin secret, an admin key, a session opened with one or with a login link, the unix socket of the data directory, or, on loopback before the first key exists and without an admin secret, anyone. Scripts send ` + "`Authorization: Bearer …`" + ` or ` + "`x-api-key`" + `. Browsers use the session's cookie, and add ` + "`X-Strata-CSRF`" + ` to changing requests. Requests with a foreign ` + "`Host`" + ` or ` + "`Origin`" + ` are refused.

**Money** is a decimal string in USD; null is unknown, never zero. **Times** are RFC 3339 in UTC; durations are milliseconds. Where a time is asked for (` + "`since`, `until`, `at`" + `), these will do: a date (` + "`2026-11-24`" + `), an RFC 3339 time, ` + "`now`, `today`, `yesterday`, `month`" + `, or a span back from now (` + "`90m`, `24h`, `7d`, `4w`" + `). Dates and words are of the business time zone; as ` + "`until`" + `, a day means its end.

**Strictness.** Unknown parameters and fields are refused, with the nearest name. Bodies are JSON (` + "`Content-Type: application/json`" + `) of at most 8 MiB.

**Errors** are ` + "`{\"error\": {\"code\", \"message\", \"param\"}}`" + ` with a stable code:

| status | code | meaning |
|---|---|---|
| 400 | ` + "`unknown_parameter`, `invalid_parameter`, `invalid_cursor`, `invalid_json`, `invalid_request`" + ` | the request is wrong, in ` + "`param`" + ` if that is set |
| 401 | ` + "`login_required`, `invalid_api_key`, `session_expired`, `login_link_invalid`" + ` | log in, or send a valid key |
| 403 | ` + "`admin_required`, `csrf_failed`, `foreign_host`, `foreign_origin`, `forbidden`" + ` | not allowed |
| 404 | ` + "`not_found`" + ` | nothing has this id, or it is not yours to see |
| 405, 413, 415 | ` + "`method_not_allowed`, `request_too_large`, `unsupported_media_type`" + ` | |
| 409 | ` + "`conflict`" + ` | the file is there already, or history is being rewritten |
| 429 | ` + "`too_many_attempts`" + ` | wait a minute |
| 503 | ` + "`ledger_unavailable`" + ` | the database is full, locked or damaged |

**Long requests.** ` + "`ledger/verify`, `reprice` and `backup`" + ` answer plain JSON, or, with ` + "`Accept: application/x-ndjson`" + `, lines ` + "`{\"done\", \"total\"}`" + ` and at last ` + "`{\"result\"}` or `{\"error\"}`" + `.
`

// TestDocs sends every documented request and compares the page with what comes
// back; it also fails for an address without documentation.
func TestDocs(t *testing.T) {
	var seed [32]byte
	o := options{}
	o.access.AdminSecret = adminSecret
	o.access.Rand = rand.NewChaCha8(seed)
	w := newWorld(t, o)
	w.settle(nil)
	w.settle(func(c *ledger.Call) {
		c.Content = &ledger.Content{Request: []byte("What is the capital of France?"), Reply: []byte("Paris.")}
		c.Tags = map[string]string{"env": "prod"}
		c.Decisions = []ledger.Decision{{By: "meter", What: "max_tokens_capped", Detail: "1,000 tokens are what the budget allows"}}
	})
	w.settle(func(c *ledger.Call) { c.KeyID, c.Customer, c.Feature = w.rival.ID, "rival", "search" })
	w.settle(func(c *ledger.Call) {
		c.Outcome, c.Status, c.ErrorCode, c.ErrorText = ledger.OutcomeRefused, 402, "budget_exceeded", "the day budget of customer acme is 1 USD: 1 spent"
		c.Usage, c.Cost, c.Charge, c.CostLines, c.ChargeLines, c.TTFT, c.TPOT = nil, 0, 0, nil, nil, 0, 0
	})
	docs := documentation(w)
	known := map[string]bool{}
	var page strings.Builder
	page.WriteString(docHead)
	for _, d := range docs {
		known[d.method+" "+d.path] = true
		fmt.Fprintf(&page, "\n## %s `%s`\n\nFor %s. %s\n\n", d.method, d.path, map[string]string{"anyone": "anyone", "member": "members", "admin": "administrators"}[d.who], d.prose)
		page.WriteString(w.example(d))
	}
	routes := newService(Deps{}).routes
	for _, r := range routes {
		if !known[r.method+" "+r.path] {
			t.Errorf("%s %s is not documented", r.method, r.path)
		}
	}
	if len(routes) != len(docs) {
		t.Errorf("%d addresses are documented, %d are served", len(docs), len(routes))
	}
	for i, d := range docs {
		for _, r := range routes {
			if want := []string{"anyone", "member", "admin"}[r.role]; r.method == d.method && r.path == d.path && want != d.who {
				t.Errorf("%d: %s %s is for %s, documented for %s", i, d.method, d.path, want, d.who)
			}
		}
	}
	if *update {
		if err := os.WriteFile(apiDoc, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(apiDoc)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./admin -run TestDocs -update", err)
	}
	if a, b := strings.Split(string(have), "\n"), strings.Split(page.String(), "\n"); string(have) != page.String() {
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("docs/api.md differs at line %d:\n has   %s\n wants %s\nwrite it anew with: go test ./admin -run TestDocs -update", i+1, a[i], b[i])
			}
		}
		t.Fatalf("docs/api.md has %d lines, and should have %d", len(a), len(b))
	}
}

var lengthy = regexp.MustCompile(`\b[0-9a-f]{64}\b|login-[0-9a-f]{64}|sk-strata-\w{4,}|ses_\w+|bud_\w+`)

// firstEvent reads the live list until one event has come.
func (w *world) firstEvent(as, path string) answer {
	w.t.Helper()
	server := httptest.NewServer(w.handler)
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
	w.must(err)
	r.Header.Set("Authorization", "Bearer "+adminSecret)
	resp, err := server.Client().Do(r)
	w.must(err)
	defer resp.Body.Close()
	var b strings.Builder
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		b.WriteString(in.Text() + "\n")
		if strings.HasPrefix(in.Text(), "data: ") {
			break
		}
	}
	return answer{resp, b.String()}
}

// example sends the request of an entry and shows it with its answer.
func (w *world) example(d documented) string {
	w.t.Helper()
	path := d.example
	if strings.Contains(path, "BUDGET") {
		budgets, err := w.ledger.Budgets(w.t.Context())
		w.must(err)
		path = strings.Replace(path, "BUDGET", budgets[0].ID, 1)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "```http\n%s %s\n", d.method, mask(path))
	if d.body != "" {
		fmt.Fprintf(&out, "\n%s\n", d.body)
	}
	body := strings.Replace(d.body, "sk-strata-…", w.acmeSecret, 1)
	var a answer
	if strings.HasSuffix(d.path, "/live") {
		a = w.firstEvent(d.as, path)
	} else {
		a = w.request(d.as, d.method, path, body)
	}
	if a.StatusCode >= 400 && d.path != loginPath {
		w.t.Errorf("%s %s: %d %s", d.method, path, a.StatusCode, a.body)
	}
	fmt.Fprintf(&out, "```\n```%s\n", map[bool]string{true: "text", false: "json"}[d.plain || a.body == ""])
	switch {
	case a.body == "":
		fmt.Fprintf(&out, "%d, no body\n", a.StatusCode)
	case d.plain:
		out.WriteString(mask(strings.TrimPrefix(strings.TrimRight(a.body, "\n"), "\ufeff")) + "\n")
	default:
		out.WriteString(mask(pretty(w.t, a.body)) + "\n")
	}
	out.WriteString("```\n")
	return out.String()
}

// mask hides what differs from run to run, and everything like a secret.
func mask(s string) string {
	s = lengthy.ReplaceAllStringFunc(s, func(m string) string {
		if i := strings.IndexAny(m, "_-"); i >= 0 {
			if strings.HasPrefix(m, "sk-strata-") {
				return "sk-strata-…"
			}
			return m[:i+1] + "…"
		}
		return "…"
	})
	return regexp.MustCompile(`"path": "[^"]*/(monday\.db)"|"bytes": \d+`).ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, `"bytes"`) {
			return `"bytes": "…"`
		}
		return `"path": "/var/lib/strata/backups/monday.db"`
	})
}

// pretty indents JSON and cuts its lists after two entries.
func pretty(t testing.TB, s string) string {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var out bytes.Buffer
	if err := reindent(&out, d, ""); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return out.String()
}

// reindent copies one value in the order of its fields, objects of plain values
// on one line where they fit.
func reindent(out *bytes.Buffer, d *json.Decoder, indent string) error {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return err
	}
	return reindentRaw(out, raw, indent)
}

func reindentRaw(out *bytes.Buffer, raw json.RawMessage, indent string) error {
	if raw[0] != '{' && raw[0] != '[' {
		out.Write(raw)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return err
	}
	var parts []string
	n := 0
	for d.More() {
		var b bytes.Buffer
		if raw[0] == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%q: ", name)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return err
		}
		if n++; raw[0] == '[' && n > 2 {
			continue
		}
		if err := reindentRaw(&b, v, indent+"  "); err != nil {
			return err
		}
		parts = append(parts, b.String())
	}
	open, end := string(raw[0]), map[byte]string{'{': "}", '[': "]"}[raw[0]]
	if line := strings.Join(parts, ", "); len(line)+len(indent) < 100 && !strings.Contains(line, "\n") {
		out.WriteString(open + line + end)
		return nil
	}
	out.WriteString(open + "\n")
	for i, p := range parts {
		out.WriteString(indent + "  " + p)
		if i < len(parts)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString(indent + end)
	return nil
}

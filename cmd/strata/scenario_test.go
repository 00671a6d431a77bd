package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/server"
)

// lab writes a configuration with a priced and an unpriced model of a mock
// upstream, and points the commands at a fresh data directory.
func lab(t *testing.T) (config string) {
	t.Helper()
	quiet(t)
	upstream := httptest.NewServer(mock.New(mock.Options{}))
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	config = filepath.Join(dir, "strata.yaml")
	text := fmt.Sprintf(`time_zone: UTC
upstreams:
  lab: {module: provider.openai, base_url: %s/v1}
models:
  priced: {upstream: lab, name: mock}
  unpriced: {upstream: lab, name: mock@5}
prices:
  priced: {input: 1.00 USD/Mtok, output: 2.00 USD/Mtok}
tariffs:
  default: partner
  plans:
    partner: {markup: 50 %%}
`, upstream.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STRATA_CONFIG", config)
	t.Setenv("STRATA_DATA", filepath.Join(dir, "data"))
	return config
}

// up runs a server on the lab's data until the test, or stop, ends it.
func up(t *testing.T, config string) (base string, stop func()) {
	t.Helper()
	s, err := server.New(t.Context(), server.Options{Addr: "127.0.0.1:0", DataDir: os.Getenv("STRATA_DATA"), ConfigFile: config, NoLocal: true, Env: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return "http://" + s.Addr(), stop
}

// ask makes one call and returns its HTTP status.
func ask(t *testing.T, base, key, model, customer, feature string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+"/v1/chat/completions",
		strings.NewReader(fmt.Sprintf(`{"model":%q,"max_tokens":4,"messages":[{"role":"user","content":"one two three"}]}`, model)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, v := range map[string]string{"X-Strata-Customer": customer, "X-Strata-Feature": feature} {
		if v != "" {
			req.Header.Set(name, v)
		}
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// must runs a command that has to succeed, and returns what it printed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := strata(t, args...)
	if r.code != exitOK {
		t.Fatalf("strata %s = exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

func lines(s string) []string {
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// TestBesideARunningServer goes through a day with a server: keys, budgets,
// calls, spend, receipts, verification and backup, all while it runs.
func TestBesideARunningServer(t *testing.T) {
	config := lab(t)
	base, stop := up(t, config)

	var key struct{ ID, Key string }
	if err := json.Unmarshal([]byte(must(t, "key", "create", "--name", "acme-prod", "--customer", "acme", "--json")), &key); err != nil || !strings.HasPrefix(key.Key, "sk-strata-") {
		t.Fatalf("key create = %+v, %v", key, err)
	}
	if got := must(t, "key", "list"); !strings.Contains(got, key.ID) || strings.Contains(got, key.Key) {
		t.Errorf("key list must name the key and not its secret:\n%s", got)
	}
	if s := ask(t, base, "", "priced", "", ""); s != http.StatusUnauthorized {
		t.Errorf("a call without a key answers %d as soon as a command has made one", s)
	}
	for _, m := range []string{"priced", "unpriced"} {
		if s := ask(t, base, key.Key, m, "", "search"); s != http.StatusOK {
			t.Fatalf("a call of %s answers %d", m, s)
		}
	}

	// Every field that the interface promises is there, and unknown is null.
	for _, line := range lines(must(t, "calls", "--json", "--outcome", "ok")) {
		var c map[string]any
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("calls --json printed %q", line)
		}
		for _, f := range []string{"id", "root", "time", "customer", "feature", "model", "served_model", "outcome", "usage", "estimated", "cost_usd", "charge_usd", "ttft_ms", "duration_ms"} {
			if _, ok := c[f]; !ok {
				t.Errorf("a call lacks %s: %s", f, line)
			}
		}
		_, isText := c["cost_usd"].(string)
		if c["model"] == "priced" && !isText || c["model"] == "unpriced" && c["cost_usd"] != nil {
			t.Errorf("cost_usd must be a decimal string, and null when unknown: %s", line)
		}
	}
	if got := must(t, "calls", "--unknown-cost", "--jq", ".model"); got != "unpriced\n" {
		t.Errorf("calls of unknown cost = %q", got)
	}
	if table := must(t, "calls", "--model", "unpriced"); !strings.Contains(table, " ? ") || strings.Contains(table, "$") {
		t.Errorf("an unknown cost is drawn as ? and never as zero:\n%s", table)
	}

	// Prompt and output tokens of the mock: 3 words or more in, 4 out, at 1 and 2
	// dollars per million; the customer pays half again.
	id := strings.TrimSpace(must(t, "calls", "--model", "priced", "--jq", ".id"))
	var receipt struct {
		Cost   string `json:"cost_usd"`
		Charge string `json:"charge_usd"`
		Usage  map[string]int64
		Lines  []map[string]any `json:"cost_lines"`
	}
	if err := json.Unmarshal([]byte(must(t, "calls", id, "--json")), &receipt); err != nil {
		t.Fatal(err)
	}
	micro := receipt.Usage["input"] + 2*receipt.Usage["output"]
	if want := fmt.Sprintf("0.%06d", micro); strings.TrimRight(want, "0") != receipt.Cost || len(receipt.Lines) != 2 {
		t.Errorf("receipt = %+v, want a cost of %s in two lines", receipt, want)
	}
	for _, want := range []string{id, "cost  input", "charge", "margin", "Feature", "search"} {
		if got := must(t, "calls", "--id", id); !strings.Contains(got, want) {
			t.Errorf("the receipt lacks %q:\n%s", want, got)
		}
	}

	for by, want := range map[string]string{"customer": "acme 2 1", "feature": "search 2 1", "key": key.ID + " 2 1"} {
		if got := must(t, "spend", "--by", by, "--outcome", "ok", "--jq", `"\(.group) \(.calls) \(.unknown_cost_calls)"`); strings.TrimSpace(got) != want {
			t.Errorf("spend --by %s = %q, want %q", by, got, want)
		}
	}
	if got := must(t, "spend", "--by", "model", "--jq", `select(.group=="priced") | .cost_usd`); strings.TrimSpace(got) != receipt.Cost {
		t.Errorf("spend = %q, the receipt says %s", got, receipt.Cost)
	}
	if got := must(t, "spend"); !strings.Contains(got, "Total") || !strings.Contains(got, "acme") {
		t.Errorf("spend:\n%s", got)
	}

	// A budget set by a command holds for the next call.
	must(t, "budget", "set", "--customer", "acme", "--limit", "0.000001", "--period", "day", "--mode", "hard")
	if s := ask(t, base, key.Key, "priced", "", ""); s != http.StatusPaymentRequired {
		t.Errorf("a call beyond the budget answers %d", s)
	}
	budget := strings.TrimSpace(must(t, "budget", "list", "--jq", ".id"))
	must(t, "budget", "delete", budget)
	if s := ask(t, base, key.Key, "priced", "", ""); s != http.StatusOK {
		t.Errorf("a call after the budget is gone answers %d", s)
	}
	must(t, "key", "revoke", key.ID)
	if s := ask(t, base, key.Key, "priced", "", ""); s != http.StatusUnauthorized {
		t.Errorf("a call with a revoked key answers %d", s)
	}
	if got := must(t, "key", "admin"); !strings.HasPrefix(got, base) {
		t.Errorf("the login link is %q, the server is at %s", got, base)
	}

	if got := must(t, "ledger", "verify", "--jq", ".ok, .postings_sum"); got != "true\n0\n" {
		t.Errorf("verify = %q", got)
	}
	backup := filepath.Join(t.TempDir(), "safe.db")
	must(t, "backup", backup)
	if r := strata(t, "backup", backup); r.code == exitOK {
		t.Error("a backup was overwritten")
	}
	if r := strata(t, "restore", backup); r.code != exitFailed || !strings.Contains(r.stderr, "stop it") {
		t.Errorf("restore beside a running server = %+v", r)
	}
	before := must(t, "calls", "--json", "--limit", "0")
	stop()
	if got := must(t, "calls", "--json", "--limit", "0"); got != before {
		t.Errorf("the same calls without the server:\n%s\nand beside it:\n%s", got, before)
	}
	must(t, "restore", backup)
	if got := must(t, "calls", "--json", "--limit", "0"); got != before {
		t.Errorf("the calls after restoring:\n%s\nbefore:\n%s", got, before)
	}
}

// TestRepricing gives history a price that it lacked.
func TestRepricing(t *testing.T) {
	config := lab(t)
	base, stop := up(t, config)
	ask(t, base, "", "unpriced", "globex", "")
	stop()
	prices := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(prices, []byte("lab/mock@5: {input: 1.00 USD/Mtok, output: 2.00 USD/Mtok}\ncompatible/mock@5: {input: 1.00 USD/Mtok, output: 2.00 USD/Mtok}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unknown := func() string { return strings.TrimSpace(must(t, "spend", "--jq", ".unknown_cost_calls")) }
	if got := must(t, "reprice", "--prices", prices, "--dry-run", "--jq", ".dry_run, .changed, .now_known"); got != "true\n1\n1\n" {
		t.Fatalf("reprice --dry-run = %q", got)
	}
	if unknown() != "1" {
		t.Error("a dry run changed history")
	}
	if got := must(t, "reprice", "--prices", prices, "--reason", "list of November"); !strings.Contains(got, "1 correction is posted") {
		t.Errorf("reprice = %q", got)
	}
	if unknown() != "0" {
		t.Error("the cost is still unknown")
	}
	if got := must(t, "reprice", "--prices", prices); !strings.Contains(got, "Nothing changes") {
		t.Errorf("repricing again = %q", got)
	}
	if got := must(t, "calls", strings.TrimSpace(must(t, "calls", "--jq", ".id"))); !strings.Contains(got, "list of November") {
		t.Errorf("the receipt does not tell of the correction:\n%s", got)
	}
	must(t, "ledger", "verify")
}

// TestNothingThere is what the commands say before anything has happened.
func TestNothingThere(t *testing.T) {
	lab(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"calls"}, exitNoData, "strata chat"},
		{[]string{"calls", "--customer", "nobody"}, exitNoData, "no call matches"},
		{[]string{"calls", "018f0000-0000-7000-8000-000000000000"}, exitNoData, ""},
		{[]string{"spend"}, exitNoData, "strata chat"},
		{[]string{"key", "list"}, exitNoData, "strata key create"},
		{[]string{"budget", "list"}, exitNoData, "strata budget set"},
		{[]string{"key", "revoke", "key_nobody"}, exitNoData, ""},
		{[]string{"budget", "delete", "bud_nothing"}, exitNoData, ""},
		{[]string{"key", "admin"}, exitUsage, "strata up"},
		{[]string{"calls", "--follow"}, exitUsage, "strata up"},
		{[]string{"restore", "nosuch.db"}, exitNoData, "nosuch.db"},
		{[]string{"key", "create"}, exitUsage, "--name"},
		{[]string{"budget", "set", "--limit", "1"}, exitUsage, "--customer"},
		{[]string{"budget", "set", "--customer", "a"}, exitUsage, "--limit"},
		{[]string{"budget", "set", "--customer", "a", "--limit", "1", "--period", "week"}, exitUsage, "month"},
		{[]string{"budget", "set", "--customer", "a", "--limit", "0.0000000000001"}, exitUsage, "12 decimals"},
		{[]string{"spend", "--by", "planet"}, exitUsage, "customer"},
		{[]string{"calls", "--since", "soon"}, exitUsage, "2026-11-24"},
		{[]string{"calls", "--since", "today", "--until", "2020-01-01"}, exitUsage, "until"},
		{[]string{"calls", "--outcome", "fine"}, exitUsage, "refused"},
		{[]string{"calls", "--limit", "-1"}, exitUsage, "--limit"},
		{[]string{"reprice", "--book", "other"}, exitUsage, "catalog"},
		{[]string{"reprice", "--prices", "nosuch.yaml"}, exitUsage, "nosuch.yaml"},
		{[]string{"backup", "/nosuch/folder/x.db"}, exitUsage, "folder"},
	} {
		r := strata(t, c.args...)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
			t.Errorf("strata %s = exit %d %q %q, want exit %d and %q", strings.Join(c.args, " "), r.code, r.stdout, r.stderr, c.code, c.want)
		}
	}
}

// TestDamagedBackup is refused, and changes nothing.
func TestDamagedBackup(t *testing.T) {
	lab(t)
	must(t, "key", "create", "--name", "kept")
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	must(t, "backup", good)
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"truncated":      text[:len(text)/2],
		"not a database": []byte("hello"),
		"empty":          {},
		"damaged":        append(append(append([]byte{}, text[:8192]...), make([]byte, 8192)...), text[16384:]...),
	} {
		file := filepath.Join(dir, "bad.db")
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := strata(t, "restore", file); r.code != exitFailed || !strings.Contains(r.stderr, "nothing was changed") {
			t.Errorf("%s: restore = %+v", name, r)
		}
		if got := must(t, "key", "list", "--jq", ".name"); got != "kept\n" {
			t.Errorf("%s: after a refused restore the keys are %q", name, got)
		}
	}
}

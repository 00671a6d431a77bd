package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/server"
)

func chat(name, more string) string {
	return `{"model":"` + name + `",` + more + `"messages":[{"role":"user","content":"count"}]}`
}

// errorCode reads the code of an error in OpenAI's shape.
func errorCode(t *testing.T, body string) string {
	t.Helper()
	var shape struct {
		Error *struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal([]byte(body), &shape); err != nil || shape.Error == nil || shape.Error.Message == "" || shape.Error.Type == "" {
		t.Fatalf("not an error in OpenAI's shape: %v: %s", err, body)
	}
	return shape.Error.Code
}

// Every way in which an upstream can misbehave ends in a clear error or a
// corrected bill, in one outcome, and nowhere does its key or raw text show.
func TestUpstreamFaults(t *testing.T) {
	s := newScene(t, mockConfig(startMock(t, mock.Options{Tokens: 8})), nil)
	for _, c := range []struct {
		fault   mock.Fault
		status  int // of a whole reply
		code    string
		outcome ledger.Outcome
		flag    string
		// streamed: how a stream differs. An error before the first event has a
		// status; after it, it is an event in the stream.
		streamStatus int
		streamCode   string
	}{
		{fault: mock.Hang, status: 504, code: model.CodeDeadline, outcome: ledger.OutcomeError, streamStatus: 504, streamCode: model.CodeDeadline},
		{fault: mock.HangMid, status: 504, code: model.CodeDeadline, outcome: ledger.OutcomeError, streamStatus: 200, streamCode: model.CodeDeadline},
		{fault: mock.Reset, status: 502, code: model.CodeUpstreamReset, outcome: ledger.OutcomeError, streamStatus: 502, streamCode: model.CodeUpstreamReset},
		{fault: mock.ResetMid, status: 502, code: model.CodeUpstreamReset, outcome: ledger.OutcomeError, streamStatus: 200, streamCode: model.CodeUpstreamReset},
		{fault: mock.HalfEvent, status: 502, code: model.CodeUpstreamReset, outcome: ledger.OutcomeError, streamStatus: 200, streamCode: ""},
		{fault: mock.WrongJSON, status: 502, code: model.CodeUpstreamProtocol, outcome: ledger.OutcomeError, streamStatus: 502, streamCode: model.CodeUpstreamProtocol},
		{fault: mock.NotObject, status: 502, code: model.CodeUpstreamProtocol, outcome: ledger.OutcomeError, streamStatus: 502, streamCode: model.CodeUpstreamProtocol},
		{fault: mock.Empty, status: 502, code: model.CodeUpstreamProtocol, outcome: ledger.OutcomeError, streamStatus: 502, streamCode: model.CodeUpstreamProtocol},
		{fault: mock.NoUsage, status: 200, outcome: ledger.OutcomeOK, streamStatus: 200},
		{fault: mock.NegativeUsage, status: 200, outcome: ledger.OutcomeOK, streamStatus: 200},
		{fault: mock.AbsurdUsage, status: 200, outcome: ledger.OutcomeOK, streamStatus: 200},
		{fault: mock.Status401, status: 502, code: model.CodeUpstreamAuth, outcome: ledger.OutcomeError, streamStatus: 502, streamCode: model.CodeUpstreamAuth},
		{fault: mock.Status429, status: 429, code: model.CodeRateLimited, outcome: ledger.OutcomeError, streamStatus: 429, streamCode: model.CodeRateLimited},
		{fault: mock.Status500, status: 502, code: model.CodeUpstreamStatus, outcome: ledger.OutcomeError, streamStatus: 502, streamCode: model.CodeUpstreamStatus},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/stream=%t", c.fault, stream), func(t *testing.T) {
				s := &scene{Server: s.Server, t: t, url: s.url}
				before := len(s.calls())
				resp, body := s.post(chat("lab/mock-"+string(c.fault), fmt.Sprintf(`"max_tokens":100,"stream":%t,`, stream)))
				status, code := c.status, c.code
				if stream {
					status, code = c.streamStatus, c.streamCode
				}
				if resp.StatusCode != status {
					t.Fatalf("status %d, want %d: %s", resp.StatusCode, status, body)
				}
				if c.outcome == ledger.OutcomeError {
					last := body
					if status == 200 {
						events := strings.Split(strings.TrimSpace(body), "\n\n")
						last = strings.TrimPrefix(events[len(events)-1], "data: ")
						if strings.Contains(body, "[DONE]") {
							t.Errorf("a broken stream claims to be whole: %s", body)
						}
					}
					if got := errorCode(t, last); code != "" && got != code {
						t.Errorf("code %s, want %s", got, code)
					}
				}
				calls := s.calls()
				if len(calls) != before+1 {
					t.Fatalf("%d new outcomes, want 1", len(calls)-before)
				}
				row := calls[0]
				if row.ID != resp.Header.Get("X-Strata-Call-Id") || row.Outcome != c.outcome {
					t.Errorf("outcome %s of %s, want %s", row.Outcome, row.ID, c.outcome)
				}
				if c.outcome == ledger.OutcomeOK && (row.Usage == nil || row.Usage.Count[model.Output] < 0 || row.Usage.Count[model.Output] > 1000) {
					t.Errorf("an impossible usage was believed: %+v", row.Usage)
				}
				if c.outcome == ledger.OutcomeOK && !row.Estimated() {
					t.Errorf("the usage is not marked as an estimate: %+v", row.Usage)
				}
				for what, text := range map[string]string{"the reply": body, "the headers": fmt.Sprint(resp.Header), "the ledger": fmt.Sprintf("%+v", row)} {
					for _, secret := range []string{upstreamKey, mock.SecretInErrors} {
						if strings.Contains(text, secret) {
							t.Errorf("%s show %s: %s", what, secret, text)
						}
					}
				}
			})
		}
	}
	for _, secret := range []string{upstreamKey, mock.SecretInErrors} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log shows %s", secret)
		}
	}
	s.verify()
}

// 20,000 calls at 64 at once: as many rows, and the same sum everywhere.
func TestConservation(t *testing.T) {
	total := 20000
	if testing.Short() {
		total = 2000
	}
	up := mock.New(mock.Options{Tokens: 12, Key: upstreamKey})
	s := newScene(t, mockConfig(serve(t, up)), nil)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var next, failed atomic.Int64
	var costs sync.Map
	var wg sync.WaitGroup
	started := time.Now()
	for range 64 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(total) {
					return
				}
				stream := i%2 == 0
				req, _ := http.NewRequest("POST", s.url+"/v1/chat/completions", strings.NewReader(chat("fake", fmt.Sprintf(`"stream":%t,"max_tokens":%d,`, stream, 1+i%12))))
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("X-Strata-Customer", fmt.Sprintf("c%d", i%7))
				resp, err := client.Do(req)
				if err != nil {
					failed.Add(1)
					t.Error(err)
					continue
				}
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				cost := resp.Header.Get("X-Strata-Cost")
				if stream {
					cost = resp.Trailer.Get("X-Strata-Cost")
				}
				if resp.StatusCode != 200 || err != nil || cost == "" {
					failed.Add(1)
					t.Errorf("status %d, cost %q, %v", resp.StatusCode, cost, err)
				}
				costs.Store(resp.Header.Get("X-Strata-Call-Id"), cost)
			}
		})
	}
	wg.Wait()
	took := time.Since(started)
	t.Logf("%d calls in %s: %.0f a second", total, took.Round(time.Millisecond), float64(total)/took.Seconds())
	if failed.Load() > 0 {
		t.FailNow()
	}
	var fromClients money.Sum
	n := 0
	costs.Range(func(_, v any) bool {
		p, err := money.ParsePico(v.(string))
		if err != nil {
			t.Error(err)
		}
		fromClients = fromClients.Add(p)
		n++
		return true
	})
	ctx := context.Background()
	totals, err := s.Ledger().Totals(ctx, ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if n != total || totals.Calls != int64(total) || totals.UnknownCostCalls != 0 || totals.Errors != 0 {
		t.Errorf("%d call ids, ledger %+v, want %d calls", n, totals, total)
	}
	if totals.Cost != fromClients {
		t.Errorf("the ledger says %s, the clients were told %s", totals.Cost, fromClients)
	}
	stats := up.Stats()
	if got := totals.Usage.Count[model.Output]; got != stats.CompletionTokens || totals.Usage.Count[model.Input] != stats.PromptTokens {
		t.Errorf("usage %v, the upstream stated %+v", totals.Usage.Count, stats)
	}
	groups, err := s.Ledger().Spend(ctx, ledger.ByCustomer, ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var grouped money.Sum
	for _, g := range groups {
		grouped = grouped.AddSum(g.Cost)
	}
	if len(groups) != 7 || grouped != totals.Cost {
		t.Errorf("%d customers with %s, want 7 with %s", len(groups), grouped, totals.Cost)
	}
	var spent struct{ Totals admin.Spend }
	s.api("GET", "/api/v1/spend?by=model", "", &spent)
	if spent.Totals.CostUSD != totals.Cost || spent.Totals.Calls != int64(total) {
		t.Errorf("the interface says %+v", spent.Totals)
	}
	// The lines of each row sum to its cost, and the rows to the total.
	var lines money.Sum
	rows := 0
	s.eachCall(func(c *ledger.Call) {
		if len(c.CostLines) == 0 {
			got, err := s.Ledger().Call(ctx, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			c = got
		}
		var sum money.Sum
		for _, l := range c.CostLines {
			sum = sum.Add(l.Amount)
		}
		if sum != money.SumOf(c.Cost) {
			t.Fatalf("the lines of %s sum to %s, its cost is %s", c.ID, sum, c.Cost)
		}
		lines = lines.AddSum(sum)
		rows++
	})
	if rows != total || lines != totals.Cost {
		t.Errorf("%d rows whose lines sum to %s, want %d and %s", rows, lines, total, totals.Cost)
	}
	if v := s.verify(); v.Calls != int64(total) {
		t.Errorf("verify counts %d calls", v.Calls)
	}
}

// A client that leaves in mid-stream is charged for what was consumed, and the
// hold is released.
func TestDisconnect(t *testing.T) {
	s := newScene(t, mockConfig(startMock(t, mock.Options{Tokens: 1000, PerToken: 2 * time.Millisecond})), nil)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "POST", s.url+"/v1/chat/completions", strings.NewReader(chat("fake", `"stream":true,`)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for n := 0; n < 20 && lines.Scan(); n++ {
	}
	cancel()
	resp.Body.Close()
	eventually(t, func() bool { return len(s.calls()) == 1 })
	row := s.calls()[0]
	if row.Outcome != ledger.OutcomeCanceled || row.Usage == nil || row.Usage.Count[model.Output] == 0 || !row.CostKnown || row.Cost == 0 || !row.Estimated() {
		t.Errorf("row %+v, usage %+v", row, row.Usage)
	}
	s.verify()
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within 10 s")
		}
	}
}

// A stream that is open when the server stops is drained to its end; a cut one
// is settled all the same.
func TestShutdown(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%t", cut), func(t *testing.T) {
			tokens := 100
			if cut {
				tokens = 100000
			}
			s := newScene(t, mockConfig(startMock(t, mock.Options{Tokens: tokens, PerToken: 3 * time.Millisecond})), nil)
			resp, err := http.Post(s.url+"/v1/chat/completions", "application/json", strings.NewReader(chat("fake", `"stream":true,`)))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			stream := bufio.NewReader(resp.Body)
			if _, err := stream.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			s.stop()
			eventually(t, func() bool {
				conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.url, "http://"), time.Second)
				if err == nil {
					conn.Close()
				}
				return err != nil
			})
			if cut {
				s.Cut()
			}
			rest, err := io.ReadAll(stream)
			if whole := strings.HasSuffix(string(rest), "data: [DONE]\n\n"); whole == cut {
				t.Errorf("whole is %t (%v)", whole, err)
			}
			if err := <-s.served; err != nil {
				t.Errorf("the server ended with %v", err)
			}
			close(s.served)
			want := ledger.OutcomeOK
			if cut {
				want = ledger.OutcomeCanceled
			}
			again := newScene(t, mockConfig("http://127.0.0.1:1"), func(o *server.Options) { o.DataDir = s.data })
			if calls := again.calls(); len(calls) != 1 || calls[0].Outcome != want {
				t.Errorf("outcomes %+v, want one %s", calls, want)
			}
			again.verify()
		})
	}
}

func TestForeignHostAndOrigin(t *testing.T) {
	s := newScene(t, mockConfig(startMock(t, mock.Options{})), nil)
	for _, path := range []string{"/", "/v1/models", "/v1/chat/completions", "/api/v1/status", "/healthz"} {
		resp, body := s.do("GET", path, "", "Host: rebound.example:4000")
		if resp.StatusCode != 403 || errorCode(t, body) != "forbidden" {
			t.Errorf("a foreign host gets %s: %d %s", path, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"/v1/chat/completions", "/api/v1/keys", "/api/v1/sample-data"} {
		resp, body := s.do("POST", path, chat("fake", ""), "Origin: https://evil.example")
		if resp.StatusCode != 403 {
			t.Errorf("a foreign page may POST %s: %d %s", path, resp.StatusCode, body)
		}
	}
	if calls := s.calls(); len(calls) != 0 {
		t.Errorf("foreign requests made calls: %+v", calls)
	}
	resp, _ := s.post(chat("fake", ""), "Origin: "+s.url)
	if resp.StatusCode != 200 {
		t.Errorf("the console's own origin is refused: %d", resp.StatusCode)
	}
}

// A client that sends its headers too slowly is cut off.
func TestSlowHeaders(t *testing.T) {
	s := newScene(t, mockConfig("http://127.0.0.1:1")+"limits: {header_timeout: 100ms}\n", nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
	if strings.Contains(string(got), "200 OK") {
		t.Errorf("answered %s", got)
	}
	if resp, _ := s.do("GET", "/healthz", ""); resp.StatusCode != 200 {
		t.Errorf("others are held up: %d", resp.StatusCode)
	}
}

// A hard budget refuses with 402, which clients must not retry, and a call
// without a limit of its own is limited to what is left.
func TestBudget(t *testing.T) {
	s := newScene(t, mockConfig(startMock(t, mock.Options{Tokens: 5000})), nil)
	s.api("PUT", "/api/v1/budgets", `{"customer":"acme","limit_usd":"0.01","period":"total","mode":"hard"}`, nil)
	resp, body := s.post(chat("fake", ""), "X-Strata-Customer: acme")
	limit := resp.Header.Get("X-Strata-Max-Tokens")
	if resp.StatusCode != 200 || limit == "" {
		t.Fatalf("%d, limit %q: %s", resp.StatusCode, limit, body)
	}
	for range 3 {
		resp, body = s.post(chat("fake", `"max_tokens":4000,`), "X-Strata-Customer: acme")
		if resp.StatusCode != 402 || errorCode(t, body) != "budget_exceeded" || resp.Header.Get("X-Should-Retry") != "false" || resp.Header.Get("X-Strata-Call-Id") == "" {
			t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
		}
	}
	if resp, body := s.post(chat("fake", ""), "X-Strata-Customer: other"); resp.StatusCode != 200 {
		t.Errorf("another customer is refused: %d %s", resp.StatusCode, body)
	}
	var spent money.Sum
	refused := 0
	for _, c := range s.calls() {
		if c.Customer == "acme" {
			spent = spent.Add(c.Cost)
			if c.Outcome == ledger.OutcomeRefused {
				refused++
			}
		}
	}
	if spent.Decimal().Cmp(money.MustDecimal("0.01")) > 0 || refused != 3 {
		t.Errorf("spent %s of 0.01 USD, %d refused", spent, refused)
	}
	s.verify()
}

// The first key ends the open loopback, at once; a revoked key ends at once.
func TestKeys(t *testing.T) {
	s := newScene(t, mockConfig(startMock(t, mock.Options{})), nil)
	if resp, _ := s.post(chat("fake", "")); resp.StatusCode != 200 {
		t.Fatalf("the open loopback refuses: %d", resp.StatusCode)
	}
	if c := s.calls()[0]; c.Customer != "local" || c.KeyID != "" {
		t.Errorf("row %+v", c)
	}
	var key struct{ ID, Key string }
	s.api("POST", "/api/v1/keys", `{"name":"app","customer":"acme"}`, &key)
	auth := "Authorization: Bearer " + key.Key
	if resp, body := s.post(chat("fake", "")); resp.StatusCode != 401 || errorCode(t, body) != model.CodeMissingKey {
		t.Errorf("without a key: %d %s", resp.StatusCode, body)
	}
	if resp, body := s.post(chat("fake", ""), auth); resp.StatusCode != 200 {
		t.Errorf("with the key: %d %s", resp.StatusCode, body)
	}
	if c := s.calls()[0]; c.Customer != "acme" || c.KeyID != key.ID {
		t.Errorf("row %+v", c)
	}
	if resp, body := s.post(chat("fake", ""), auth, "X-Strata-Customer: other"); resp.StatusCode != 403 || errorCode(t, body) != model.CodeCustomerMismatch {
		t.Errorf("for another customer: %d %s", resp.StatusCode, body)
	}
	if strings.Contains(s.log.String(), key.Key) {
		t.Error("the key is in the log")
	}
}

// Names that pass through reach their upstream under its own name; others are
// refused with the nearest ones.
func TestModelNames(t *testing.T) {
	up := mock.New(mock.Options{Key: upstreamKey})
	s := newScene(t, mockConfig(serve(t, up)), nil)
	if resp, body := s.post(chat("lab/mock@3", "")); resp.StatusCode != 200 || !strings.Contains(string(up.LastBody()), `"model":"mock@3"`) {
		t.Errorf("%d %s; forwarded %s", resp.StatusCode, body, up.LastBody())
	}
	if c := s.calls()[0]; c.Model != "lab/mock@3" || c.ServedModel != "mock@3" || c.Upstream != "lab" || c.CostKnown {
		t.Errorf("row %+v", c)
	}
	resp, body := s.post(chat("fakee", ""))
	if resp.StatusCode != 404 || errorCode(t, body) != model.CodeModelNotFound || !strings.Contains(body, "did you mean fake?") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := s.post(chat("nowhere/mock", "")); resp.StatusCode != 404 {
		t.Errorf("an upstream that is not there: %d", resp.StatusCode)
	}
	// A model without a price is of unknown cost, never of none.
	resp, _ = s.post(chat("unpriced", ""))
	if c := s.calls()[0]; resp.Header.Get("X-Strata-Cost") != "unknown" || c.CostKnown {
		t.Errorf("cost %q, row %+v", resp.Header.Get("X-Strata-Cost"), c)
	}
}

// A clock that jumps back changes neither the order nor any duration's sign.
func TestClockJumpsBack(t *testing.T) {
	var jump atomic.Int64
	s := newScene(t, mockConfig(startMock(t, mock.Options{})), func(o *server.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
	})
	var ids []string
	for i := range 6 {
		if i == 3 {
			jump.Store(int64(-48 * time.Hour))
		}
		resp, body := s.post(chat("fake", ""))
		if resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		ids = append(ids, resp.Header.Get("X-Strata-Call-Id"))
	}
	calls := s.calls()
	for i, c := range calls {
		if c.ID != ids[len(ids)-1-i] {
			t.Errorf("the order follows the clock: %v", calls)
		}
		if c.Duration <= 0 || c.Duration > time.Minute || c.TTFT < 0 || c.TPOT < 0 {
			t.Errorf("durations %s %s %s", c.Duration, c.TTFT, c.TPOT)
		}
	}
	s.verify()
}

func TestRefusesToStart(t *testing.T) {
	s := newScene(t, mockConfig("http://127.0.0.1:1"), nil)
	dir := t.TempDir()
	file := filepath.Join(dir, "strata.yaml")
	writeFile(t, file, "time_zone: UTC\n")
	corrupt := filepath.Join(dir, "corrupt")
	if err := os.Mkdir(corrupt, 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(corrupt, "strata.db"), strings.Repeat("this is not a database ", 1000))
	bad := filepath.Join(dir, "bad.yaml")
	writeFile(t, bad, "upstreams:\n  lab: {module: provider.openia, base_url: http://127.0.0.1:1/v1}\n")
	for _, c := range []struct {
		name    string
		options server.Options
		invalid bool
		want    []string
	}{
		{"data in use", server.Options{Addr: "127.0.0.1:0", DataDir: s.data}, false, []string{"another strata", fmt.Sprint(os.Getpid()), s.Addr(), "--data"}},
		{"port in use", server.Options{Addr: s.Addr(), DataDir: filepath.Join(dir, "a")}, false, []string{"port in use", s.Addr(), "another strata", "try: strata up --addr 127.0.0.1:"}},
		{"no admin secret", server.Options{Addr: "0.0.0.0:0", DataDir: filepath.Join(dir, "b")}, true, []string{"STRATA_ADMIN_SECRET"}},
		{"no host means all", server.Options{Addr: ":0", DataDir: filepath.Join(dir, "b")}, true, []string{"STRATA_ADMIN_SECRET"}},
		{"address", server.Options{Addr: "localhost", DataDir: filepath.Join(dir, "b")}, true, []string{"host:port"}},
		{"no such file", server.Options{Addr: "127.0.0.1:0", ConfigFile: filepath.Join(dir, "none.yaml")}, true, []string{"none.yaml", "--config"}},
		{"unknown module", server.Options{Addr: "127.0.0.1:0", DataDir: filepath.Join(dir, "c"), ConfigFile: bad}, true, []string{"bad.yaml:2", "provider.openia", "provider.openai"}},
		{"corrupt database", server.Options{Addr: "127.0.0.1:0", DataDir: corrupt}, false, []string{"strata.db", "restore"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.NoLocal = true
			if c.options.ConfigFile == "" {
				c.options.ConfigFile = file
			}
			srv, err := server.New(t.Context(), c.options)
			if err == nil {
				srv.Shutdown(t.Context())
				t.Fatal("it started")
			}
			var invalid *server.InvalidError
			if errors.As(err, &invalid) != c.invalid {
				t.Errorf("invalid input is %t: %v", !c.invalid, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
		})
	}
}

// A second start answers soon.
func TestSecondStart(t *testing.T) {
	config := mockConfig(startMock(t, mock.Options{}))
	s := newScene(t, config, nil)
	for range 100 {
		s.post(chat("fake", ""))
	}
	s.end()
	started := time.Now()
	again := newScene(t, config, func(o *server.Options) { o.DataDir = s.data })
	if resp, _ := again.do("GET", "/readyz", ""); resp.StatusCode != 200 {
		t.Errorf("ready: %d", resp.StatusCode)
	}
	took := time.Since(started)
	t.Logf("ready after %s", took)
	if took > 2*time.Second {
		t.Errorf("a second start took %s", took)
	}
	if n := len(again.calls()); n != 100 {
		t.Errorf("%d calls are left of 100", n)
	}
}

// Beyond loopback keys are required, and the admin secret administers.
func TestPublicAddress(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	s := newScene(t, mockConfig(startMock(t, mock.Options{})), func(o *server.Options) {
		o.Addr = "0.0.0.0:0"
		o.Env = func(name string) string {
			if name == "STRATA_ADMIN_SECRET" {
				return secret
			}
			return ""
		}
	})
	_, port, _ := net.SplitHostPort(s.Addr())
	s.url = "http://127.0.0.1:" + port
	if resp, body := s.post(chat("fake", "")); resp.StatusCode != 401 {
		t.Errorf("a call without a key: %d %s", resp.StatusCode, body)
	}
	if resp, _ := s.do("GET", "/api/v1/calls", ""); resp.StatusCode != 401 {
		t.Errorf("the record without a login: %d", resp.StatusCode)
	}
	if resp, body := s.do("POST", "/api/v1/keys", `{"name":"n"}`, "Authorization: Bearer "+secret); resp.StatusCode/100 != 2 {
		t.Errorf("the admin secret: %d %s", resp.StatusCode, body)
	}
	if strings.Contains(s.log.String(), secret) {
		t.Error("the admin secret is in the log")
	}
}

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // the tests need Berlin on machines without a time zone database

	"go.uber.org/goleak"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const adminSecret = "correct horse battery staple"

// berlin is the business time zone of the tests: it is neither UTC nor constant.
var berlin = func() *time.Location {
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return z
}()

// noon is the time of the tests, a Tuesday.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is a server's insides with a known content.
type world struct {
	t       testing.TB
	db      *store.DB
	ledger  *ledger.Ledger
	access  *access.Access
	handler http.Handler
	seed    int

	mu  sync.Mutex
	now time.Time
	// two keys' ids and secrets
	acme, rival             access.Key
	acmeSecret, rivalSecret string
}

// accessRequired is a server that is not on loopback.
var accessRequired = access.Options{RequireKeys: true, AdminSecret: adminSecret}

type options struct {
	open   bool // no keys, no admin secret
	access access.Options
	book   *price.Book
}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	w := &world{t: t, now: noon}
	clock := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	ctx := context.Background()
	var err error
	if w.db, err = store.Open(ctx, store.Options{Path: t.TempDir(), Now: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.must(w.db.Close()) })
	if w.ledger, err = ledger.New(ctx, w.db, ledger.Options{Now: clock, TimeZone: berlin}); err != nil {
		t.Fatal(err)
	}
	o.access.Now = clock
	if !o.open && o.access.AdminSecret == "" {
		o.access.AdminSecret = adminSecret
	}
	if w.access, err = access.New(w.db, o.access); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.must(w.access.Close()) })
	if !o.open {
		w.acme, w.acmeSecret, err = w.access.Create(ctx, access.KeySpec{Name: "acme web", Customer: "acme"})
		w.must(err)
		w.rival, w.rivalSecret, err = w.access.Create(ctx, access.KeySpec{Name: "rival web", Customer: "rival"})
		w.must(err)
	}
	if o.book == nil {
		o.book = price.Catalog()
	}
	w.handler = New(Deps{
		Ledger: w.ledger, Access: w.access, DB: w.db, Book: func() *price.Book { return o.book },
		Models: func() []Model {
			return []Model{{Name: "gpt-4o-mini", Upstream: "openai", Module: "provider.openai", Ops: []string{"chat"}, Ready: true, Priced: true, MaxInput: 128000, MaxOutput: 16384}}
		},
		Status: func() Status {
			return Status{Version: "0.1.0", Commit: "abc", Started: noon.Add(-time.Hour), Address: "http://127.0.0.1:4000", DataDir: "/var/lib/strata", Config: "/etc/strata.yaml",
				Engine:    EngineStatus{State: "ready", Model: "smollm2", Detail: "decodes on 2 threads"},
				Upstreams: []Upstream{{Name: "openai", Module: "provider.openai", BaseURL: "https://api.openai.com/v1", KeyFrom: "env:OPENAI_API_KEY"}}}
		},
		TimeZone: berlin, Now: clock, BackupDir: t.TempDir(),
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// callID is a fixed UUIDv7 by number.
func callID(n int) string { return fmt.Sprintf("01936000-0000-7000-8000-%012d", n) }

// settle records a call of gpt-4o-mini with the given tokens, priced by the catalog.
func (w *world) settle(change func(c *ledger.Call)) *ledger.Call {
	w.t.Helper()
	w.seed++
	c := &ledger.Call{
		ID: callID(w.seed), Time: noon.Add(-time.Duration(w.seed) * time.Minute), Duration: 900 * time.Millisecond, TTFT: 200 * time.Millisecond, TPOT: 7 * time.Millisecond,
		KeyID: w.acme.ID, Customer: "acme", Feature: "chat", Op: model.OpChat, Model: "gpt-4o-mini", ServedModel: "gpt-4o-mini", Upstream: "openai", Provider: "openai",
		Outcome: ledger.OutcomeOK, Status: 200, Stream: true, Usage: &model.Usage{},
	}
	c.Root = c.ID
	c.Usage.Count[model.Input], c.Usage.Count[model.Output] = 1000, 100
	card, ok := price.Catalog().Find("openai", "gpt-4o-mini", c.Time)
	if !ok {
		w.t.Fatal("the catalog has no gpt-4o-mini")
	}
	rating, err := card.Rate(c.Usage, price.Query{At: c.Time})
	w.must(err)
	c.CostLines, c.ChargeLines, c.PriceVersion, c.PriceSource, c.Tariff = rating.Lines, rating.Lines, rating.Version, rating.Source, price.PassThrough
	c.Cost, err = sumOf(rating.Lines)
	w.must(err)
	c.Charge, c.CostKnown, c.ChargeKnown = c.Cost, true, true
	if change != nil {
		change(c)
	}
	// Record does not wait for the disk, which is not what these tests are about.
	w.must(w.ledger.Record(context.Background(), c))
	return c
}

// populate records one call of each kind that matters to who sees what.
func (w *world) populate() {
	w.settle(nil)
	w.settle(func(c *ledger.Call) {
		c.Content = &ledger.Content{Request: []byte("what is the capital?"), Reply: []byte("Paris")}
		c.Tags = map[string]string{"env": "prod"}
	})
	w.settle(func(c *ledger.Call) { // another customer's
		c.KeyID, c.Customer, c.Feature = w.rival.ID, "rival", "secret-project"
		c.Content = &ledger.Content{Request: []byte("rival-prompt"), Reply: []byte("rival-reply")}
	})
	w.settle(func(c *ledger.Call) { // unknown cost
		c.Model, c.ServedModel, c.Upstream, c.Provider = "lab-large", "large-v3", "lab", "lab"
		c.Cost, c.Charge, c.CostKnown, c.ChargeKnown, c.CostLines, c.ChargeLines = 0, 0, false, false, nil, nil
		c.Unpriced = []string{"input", "output"}
		c.PriceVersion, c.PriceSource = "", ""
	})
	w.settle(func(c *ledger.Call) { // refused: nothing was consumed
		c.Outcome, c.Status, c.ErrorCode, c.ErrorText = ledger.OutcomeRefused, 402, model.CodeBudgetExceeded, "=cmd|'/C calc'!A0"
		c.Usage, c.Cost, c.Charge, c.CostLines, c.ChargeLines, c.TTFT, c.TPOT = nil, 0, 0, nil, nil, 0, 0
		c.Feature = "=HYPERLINK(\"http://evil\")"
	})
}

type answer struct {
	*http.Response
	body string
}

// request sends a request; as is "" (nobody), "admin", "acme", "rival" or "socket".
func (w *world) request(as, method, path, body string, header ...string) answer {
	w.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://127.0.0.1:4000"+path, in)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	h := w.handler
	switch as {
	case "admin":
		r.Header.Set("Authorization", "Bearer "+adminSecret)
	case "acme":
		r.Header.Set("Authorization", "Bearer "+w.acmeSecret)
	case "rival":
		r.Header.Set("Authorization", "Bearer "+w.rivalSecret)
	case "socket":
		h = Trusted(h)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	a := answer{rec.Result(), rec.Body.String()}
	for _, never := range []string{adminSecret, w.acmeSecret, w.rivalSecret} {
		if never != "" && strings.Contains(a.body, never) {
			w.t.Errorf("%s %s as %q repeats a secret", method, path, as)
		}
	}
	if cc := a.Header.Get("Cache-Control"); cc != "no-store" {
		w.t.Errorf("%s %s: Cache-Control %q", method, path, cc)
	}
	return a
}

// into asks and decodes a successful answer.
func into[T any](w *world, as, method, path, body string) T {
	w.t.Helper()
	a := w.request(as, method, path, body)
	if a.StatusCode >= 300 {
		w.t.Fatalf("%s %s as %s: %d %s", method, path, as, a.StatusCode, a.body)
	}
	var v T
	d := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		w.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
	}
	return v
}

// refused asks and returns the error's status, code and parameter.
func (w *world) refused(as, method, path, body string, header ...string) (status int, code, param string) {
	w.t.Helper()
	a := w.request(as, method, path, body, header...)
	var e ErrorBody
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Error.Code == "" || e.Error.Message == "" {
		w.t.Fatalf("%s %s as %s: %d %q is no error", method, path, as, a.StatusCode, a.body)
	}
	if strings.Contains(e.Error.Message, "goroutine") || strings.Contains(e.Error.Message, "sqlite") {
		w.t.Errorf("%s %s: the message shows insides: %s", method, path, e.Error.Message)
	}
	return a.StatusCode, e.Error.Code, e.Error.Param
}

func usd(s string) money.Pico {
	p, err := money.ParsePico(s)
	if err != nil {
		panic(err)
	}
	return p
}

package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

var ctx = context.Background()

// at is the time at which most tests run: inside an hour and a day.
var at = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

type fixture struct {
	t   testing.TB
	dir string
	now time.Time
	db  *store.DB
	*Ledger
}

func newFixture(t testing.TB) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), now: at}
	f.open()
	t.Cleanup(f.close)
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	var err error
	if f.db, err = store.Open(ctx, store.Options{Path: f.dir}); err != nil {
		f.t.Fatal(err)
	}
	if f.Ledger, err = New(ctx, f.db, Options{Now: func() time.Time { return f.now }}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) close() {
	if err := f.db.Close(); err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	f.open()
}

// call makes a call of a customer that costs the given picodollars.
func (f *fixture) call(customer string, cost money.Pico) *Call {
	return makeCall(f.now, customer, cost)
}

func makeCall(now time.Time, customer string, cost money.Pico) *Call {
	line, err := money.NewLine("input", money.Int(int64(cost)), money.Int(1).Shift(-12))
	if err != nil {
		panic(err)
	}
	charge := line
	charge.Item = "markup"
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.Output] = 100, 20
	return &Call{ID: NewID(now), Time: now, KeyID: "key_1", Customer: customer, Feature: "search", EndUser: "u-1",
		Tags: map[string]string{"team": "blue"}, Op: model.OpChat, Model: "m", ServedModel: "m-1", Upstream: "up", Provider: "openai",
		Outcome: OutcomeOK, Status: 200, Usage: u, TTFT: 120 * time.Millisecond, TPOT: 8 * time.Millisecond, Duration: 900 * time.Millisecond,
		CostKnown: true, Cost: cost, CostLines: []money.Line{line}, ChargeKnown: true, Charge: cost, ChargeLines: []money.Line{charge},
		PriceVersion: "v1", PriceSource: "test", Tariff: "pass-through"}
}

func (f *fixture) settle(c *Call) *Call {
	f.t.Helper()
	if err := f.Settle(ctx, c); err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) verify() Verification {
	f.t.Helper()
	v, err := f.Verify(ctx, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if !v.OK || !v.PostingsSum.IsZero() {
		f.t.Fatalf("verification failed: %+v", v)
	}
	return v
}

func TestASettledCallComesBackWhole(t *testing.T) {
	f := newFixture(t)
	c := f.call("acme", 1_234_567)
	c.Parent, c.Root = NewID(f.now), NewID(f.now)
	c.Decisions = []Decision{{"meter", "max_tokens_capped", "to 100"}}
	c.OutputHash = []byte{1, 2, 3}
	c.Content = &Content{Request: []byte("hello"), Reply: []byte("world")}
	f.settle(c)
	got, err := f.Call(ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if g, w := fmt.Sprintf("%+v %+v %s", *got.Usage, got.Content, got.CostLines[0].UnitPrice), fmt.Sprintf("%+v %+v %s", *c.Usage, c.Content, c.CostLines[0].UnitPrice); g != w {
		t.Errorf("got %s\nwant %s", g, w)
	}
	g, w := *got, *c
	g.Usage, w.Usage, g.Content, w.Content, g.CostLines, w.CostLines, g.ChargeLines, w.ChargeLines = nil, nil, nil, nil, nil, nil, nil, nil
	if fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
		t.Errorf("got  %+v\nwant %+v", g, w)
	}
	kids, err := f.Children(ctx, c.Root)
	if err != nil || len(kids) != 1 || kids[0].ID != c.ID {
		t.Errorf("children = %v, %v", kids, err)
	}
	f.verify()
}

func TestSettlingTwiceRecordsOnce(t *testing.T) {
	f := newFixture(t)
	c := f.settle(f.call("acme", 5))
	again := *c
	again.Seq = 0
	f.settle(&again)
	if again.Seq != c.Seq {
		t.Errorf("second settle says seq %d, want %d", again.Seq, c.Seq)
	}
	s, err := f.Totals(ctx, Filter{})
	if err != nil || s.Calls != 1 || s.Cost.String() != "0.000000000005" {
		t.Errorf("totals = %+v, %v", s, err)
	}
	if _, err := f.Hold(ctx, Hold{CallID: c.ID, Known: true, Amount: 1}); !errors.Is(err, ErrSettled) {
		t.Errorf("holding a settled call: %v, want ErrSettled", err)
	}
	f.verify()
}

func TestACallThatContradictsItselfIsRefused(t *testing.T) {
	f := newFixture(t)
	for name, spoil := range map[string]func(*Call){
		"cost":    func(c *Call) { c.Cost++ },
		"charge":  func(c *Call) { c.Charge-- },
		"id":      func(c *Call) { c.ID = "x" },
		"outcome": func(c *Call) { c.Outcome = "fine" },
	} {
		c := f.call("acme", 5)
		spoil(c)
		if err := f.Settle(ctx, c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if v := f.verify(); v.Calls != 0 {
		t.Errorf("%d calls were recorded", v.Calls)
	}
}

func contextWithCancel() (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }

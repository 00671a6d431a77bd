package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// books makes a ledger with a bit of everything in it.
func books(t *testing.T) *fixture {
	f := newFixture(t)
	f.budget(Budget{Customer: "acme", Limit: money.PicoPerUSD, Period: PeriodMonth})
	for i := range 8 {
		c := f.call([]string{"acme", "zenith"}[i%2], money.Pico(1000+i))
		if err := f.hold(c, 5000); err != nil {
			t.Fatal(err)
		}
		if i < 3 {
			c.Content = &Content{Request: []byte("ask"), Reply: []byte("answer")}
		}
		if i == 5 {
			c.Outcome, c.Status, c.ErrorCode, c.ErrorText = OutcomeError, 502, "upstream_error", "it failed"
		}
		f.settle(c)
		if i == 2 {
			f.correct(c.ID, 77)
		}
	}
	s := f.call("sample", 9)
	s.Sample = true
	f.settle(s)
	f.reopen() // a second epoch
	f.settle(f.call("acme", 1))
	open := f.call("acme", 1)
	if err := f.hold(open, 500); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) correct(id string, cost money.Pico) {
	f.t.Helper()
	c := f.call("x", cost)
	err := f.Correct(ctx, []Correction{{CallID: id, Cost: cost, CostKnown: true, CostLines: c.CostLines,
		Charge: cost, ChargeKnown: true, ChargeLines: c.ChargeLines, PriceVersion: "v2", Tariff: "pass-through", Reason: "repriced"}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestVerifyAcceptsHonestBooks(t *testing.T) {
	f := books(t)
	v := f.verify()
	if v.Calls != 9 || v.OpenHolds != 1 || len(v.Head) != 64 || v.Postings == 0 {
		t.Errorf("verification = %+v", v)
	}
	before := v.Head
	f.settle(f.call("acme", 1))
	if f.verify().Head == before {
		t.Error("the head did not move")
	}
}

func TestVerifyFindsEveryTampering(t *testing.T) {
	for _, sql := range []string{
		"UPDATE calls SET cost = cost + 1 WHERE seq = 2",
		"UPDATE calls SET cost = NULL WHERE seq = 2",
		"UPDATE calls SET charge = charge - 1 WHERE seq = 2",
		"UPDATE calls SET time = time + 1 WHERE seq = 2",
		"UPDATE calls SET ttft = ttft + 1 WHERE seq = 2",
		"UPDATE calls SET tpot = tpot + 1 WHERE seq = 2",
		"UPDATE calls SET duration = duration + 1 WHERE seq = 2",
		"UPDATE calls SET op = model WHERE seq = 2",
		"UPDATE calls SET outcome = 3 WHERE seq = 2",
		"UPDATE calls SET status = 500 WHERE seq = 2",
		"UPDATE calls SET flags = flags | 1 WHERE seq = 2",
		"UPDATE calls SET flags = flags | 8 WHERE seq = 2", // hidden as a sample
		"UPDATE calls SET customer = (SELECT id FROM tenants WHERE name = 'zenith') WHERE seq = 1",
		"UPDATE calls SET key = feature WHERE seq = 2",
		"UPDATE calls SET feature = key WHERE seq = 2",
		"UPDATE calls SET model = served WHERE seq = 2",
		"UPDATE calls SET served = model WHERE seq = 2",
		"UPDATE calls SET upstream = model WHERE seq = 2",
		"UPDATE calls SET provider = model WHERE seq = 2",
		"UPDATE calls SET code = model WHERE seq = 2",
		"UPDATE calls SET version = source WHERE seq = 2",
		"UPDATE calls SET source = version WHERE seq = 2",
		"UPDATE calls SET tariff = version WHERE seq = 2",
		"UPDATE calls SET error = 'x' WHERE seq = 2",
		"UPDATE calls SET usage = NULL WHERE seq = 2",
		"UPDATE calls SET usage = usage || x'00' WHERE seq = 2",
		"UPDATE calls SET body = (SELECT body FROM calls WHERE seq = 4) WHERE seq = 2",
		"UPDATE calls SET private = NULL WHERE seq = 2",
		"UPDATE calls SET seal = zeroblob(32) WHERE seq = 2",
		"UPDATE calls SET id = zeroblob(16) WHERE seq = 2",
		"UPDATE calls SET root = zeroblob(16) WHERE seq = 2",
		"UPDATE calls SET parent = zeroblob(16) WHERE seq = 2",
		"UPDATE calls SET corrected = NULL WHERE seq = 3",
		"UPDATE calls SET corrected = 99 WHERE seq = 2",
		"UPDATE calls SET seq = 500 WHERE seq = 2",
		"DELETE FROM calls WHERE seq = 2",
		"DELETE FROM calls WHERE seq = (SELECT max(seq) FROM calls)",
		"INSERT INTO calls SELECT 999, zeroblob(16), root, parent, time, ttft, tpot, duration, op, outcome, status, flags, customer, key, feature, model, served, upstream, provider, code, version, source, tariff, error, cost, charge, usage, body, private, seal, corrected FROM calls WHERE seq = 2",
		"UPDATE names SET text = 'cheaper' WHERE text = 'm-1'",
		"DELETE FROM names WHERE text = 'm-1'",
		"UPDATE tenants SET name = 'someone' WHERE name = 'acme'",
		"UPDATE tenants SET key = zeroblob(32) WHERE name = 'acme'",
		"UPDATE tenants SET key = NULL WHERE name = 'acme'",
		"DELETE FROM tenants WHERE name = 'acme'",
		"UPDATE corrections SET cost = 78",
		"UPDATE corrections SET charge = NULL",
		"UPDATE corrections SET time = time + 1",
		"UPDATE corrections SET call = 2",
		"UPDATE corrections SET body = (SELECT body FROM calls WHERE seq = 4)",
		"DELETE FROM corrections",
		"UPDATE links SET hash = zeroblob(32) WHERE id = 2",
		"UPDATE links SET calls_to = calls_to + 1 WHERE id = 2",
		"UPDATE links SET epoch = 2 WHERE id = 2",
		"DELETE FROM links WHERE id = 2",
		"DELETE FROM links WHERE id = (SELECT max(id) FROM links)",
		"UPDATE epochs SET genesis = zeroblob(32) WHERE id = 2",
		"UPDATE epochs SET started = started + 1 WHERE id = 1",
		"DELETE FROM epochs WHERE id = 2",
		"UPDATE postings SET pico = pico + 1 WHERE link = 1 AND account = 1",
		"UPDATE postings SET pico = pico + CASE account WHEN 1 THEN 1 ELSE -1 END WHERE link = 1 AND account IN (1, 2)",
		"DELETE FROM postings WHERE link = 3",
		"INSERT INTO postings VALUES (900, 1, 0, 5)",
		"UPDATE accounts SET pico = pico + 1 WHERE id = 1",
		"UPDATE accounts SET ref = 99 WHERE kind = 2",
		"DELETE FROM accounts WHERE id = 2",
		"UPDATE content SET sealed = (SELECT sealed FROM content WHERE seq = 2) WHERE seq = 1",
		"UPDATE content SET seq = 900 WHERE seq = 1",
		"UPDATE budgets SET spent_pico = spent_pico - 1",
		"UPDATE budgets SET held_pico = 0",
		"UPDATE rollups SET cost_pico = cost_pico + 1",
		"UPDATE rollups SET calls = calls + 1 WHERE sample = 0",
		"UPDATE rollups SET model = 12345",
		"UPDATE rollups SET u0 = u0 + 1",
		"UPDATE rollups SET errors = errors + 1 WHERE sample = 1",
		"DELETE FROM rollups WHERE sample = 1",
		"DELETE FROM hours",
	} {
		t.Run(sql, func(t *testing.T) {
			f := books(t)
			f.exec("PRAGMA ignore_check_constraints = 1")
			f.exec(sql)
			v, err := f.Verify(ctx, nil)
			if err == nil && v.OK {
				t.Errorf("not noticed: %s", sql)
			}
			if err == nil && len(v.Errors) == 0 {
				t.Error("no error is named")
			}
		})
	}
}

func (f *fixture) exec(sql string) {
	f.t.Helper()
	err := f.db.Write(ctx, true, func(tx *store.Tx) error {
		r, err := tx.Exec(sql)
		if err == nil && r.RowsAffected == 0 && !strings.HasPrefix(sql, "PRAGMA") {
			err = errors.New("changed nothing: the test tests nothing")
		}
		return err
	})
	if err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

func TestRebuildRestoresTheProjections(t *testing.T) {
	f := books(t)
	before := fmt.Sprint(f.Budgets(ctx))
	for _, sql := range []string{"DELETE FROM rollups", "DELETE FROM hours", "UPDATE accounts SET usd = 5", "UPDATE budgets SET spent_pico = 0"} {
		f.exec(sql)
	}
	if err := f.Rebuild(ctx); err != nil {
		t.Fatal(err)
	}
	f.verify()
	if after := fmt.Sprint(f.Budgets(ctx)); after != before {
		t.Errorf("budgets %s\nwant    %s", after, before)
	}
}

func TestErasingACustomerKeepsTheRestVerifiable(t *testing.T) {
	f := books(t)
	f.reopen() // resolves the open hold, which names the customer
	calls, err := f.Calls(ctx, Filter{Customer: "acme"})
	if err != nil || len(calls) == 0 {
		t.Fatal(calls, err)
	}
	before, _ := f.Totals(ctx, Filter{})
	head := f.verify().Head
	if err := f.EraseCustomer(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	if v := f.verify(); v.Head != head {
		t.Error("the head moved")
	}
	if after, _ := f.Totals(ctx, Filter{}); after.Cost != before.Cost || after.Calls != before.Calls {
		t.Errorf("totals changed: %+v", after)
	}
	c, err := f.Call(ctx, calls[len(calls)-1].ID)
	if err != nil {
		t.Fatal(err)
	}
	if c.Content != nil || c.EndUser != "" || c.Tags != nil || !strings.HasPrefix(c.Customer, "erased-") {
		t.Errorf("the call still says %+v", c)
	}
	if got, err := f.Totals(ctx, Filter{Customer: c.Customer}); err != nil || got.Calls != int64(len(calls)) {
		t.Errorf("calls of %s: %d, want %d (%v)", c.Customer, got.Calls, len(calls), err)
	}
	if list, _ := f.Budgets(ctx); len(list) != 0 {
		t.Errorf("budgets of the customer remain: %v", list)
	}
	if err := f.EraseCustomer(ctx, "acme"); !errors.Is(err, ErrNotFound) {
		t.Errorf("erasing again: %v", err)
	}
	if err := f.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{store.FileName, store.FileName + "-wal"} {
		data, err := os.ReadFile(filepath.Join(f.dir, name))
		if err == nil && bytes.Contains(data, []byte("acme")) {
			t.Errorf("%s still holds the customer's name", name)
		}
	}
	f.open()
	f.settle(f.call("acme", 3)) // a new customer of that name
	f.verify()
}

func TestReadingLeavesTheHead(t *testing.T) {
	f := books(t)
	f.reopen() // resolves the open hold
	head := f.verify().Head
	for range 3 {
		f.reopen()
		if _, err := f.Totals(ctx, Filter{}); err != nil {
			t.Fatal(err)
		}
		if v := f.verify(); v.Head != head {
			t.Fatal("a process that wrote nothing moved the head")
		}
	}
	f.settle(f.call("acme", 3))
	if f.verify().Head == head {
		t.Error("a new call did not move the head")
	}
}

func TestSamplesStandBesideTheBooks(t *testing.T) {
	f := newFixture(t)
	real := f.settle(f.call("acme", 100))
	head := f.verify().Head
	for range 5 {
		s := f.call("acme", 7)
		s.Sample = true
		f.settle(s)
	}
	if f.verify().Head != head {
		t.Error("samples moved the chain")
	}
	if s, _ := f.Totals(ctx, Filter{}); s.Calls != 6 {
		t.Errorf("totals = %+v", s)
	}
	yes := true
	if s, _ := f.Totals(ctx, Filter{Sample: &yes}); s.Calls != 5 || s.Cost != money.SumOf(35) {
		t.Errorf("sample totals = %+v", s)
	}
	if n, err := f.EraseSamples(ctx); n != 5 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	f.reopen()
	f.settle(f.call("acme", 1))
	if list, _ := f.Calls(ctx, Filter{}); len(list) != 2 || list[1].ID != real.ID {
		t.Errorf("calls left: %v", list)
	}
	f.verify()
}

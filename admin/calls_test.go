package admin

import (
	"context"
	"encoding/csv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
)

func TestCalls(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	list := into[CallList](w, "admin", "GET", "/api/v1/calls", "")
	if len(list.Calls) != 5 || list.Next != "" || list.Totals.Calls != 5 || list.Totals.UnknownCostCalls != 1 || list.Totals.Errors != 1 {
		t.Fatalf("%d calls, next %q, totals %+v", len(list.Calls), list.Next, list.Totals)
	}
	// 1000 × 0.15 + 100 × 0.60 USD a million tokens, three times.
	if got := list.Totals.CostUSD.String(); got != "0.00063" {
		t.Errorf("totals cost %s", got)
	}
	for i := 1; i < len(list.Calls); i++ {
		if list.Calls[i].Seq >= list.Calls[i-1].Seq {
			t.Error("not newest first")
		}
	}
	refused, unknown, known := list.Calls[0], list.Calls[1], list.Calls[4]
	if refused.Usage != nil || refused.CostUSD == nil || refused.TTFTMs != nil || refused.Outcome != "refused" || refused.Status != 402 {
		t.Errorf("refused: %+v", refused)
	}
	if unknown.CostUSD != nil || unknown.ChargeUSD != nil || unknown.MarginUSD != nil || unknown.Usage == nil {
		t.Errorf("unknown cost: %+v", unknown)
	}
	if *known.CostUSD != usd("0.00021") || *known.MarginUSD != 0 || *known.TTFTMs != 200 || known.DurationMs != 900 {
		t.Errorf("known: %+v", known)
	}
	for query, want := range map[string]int{
		"customer=rival": 1, "feature=chat": 3, "model=lab-large": 1, "served_model=large-v3": 1, "upstream=openai": 4, "key=" + w.acme.ID: 4,
		"outcome=refused": 1, "unknown_cost=1": 1, "q=large": 1, "q=" + callID(2): 1, "since=today": 5, "until=yesterday": 0, "since=90s": -1,
		"sample=1": 0, "sample=false": 5, "root=" + callID(1): 1, "since=" + noon.Format("2006-01-02"): 5, "customer=nobody": 0,
	} {
		if want < 0 {
			w.refused("admin", "GET", "/api/v1/calls?"+query, "")
			continue
		}
		list := into[CallList](w, "admin", "GET", "/api/v1/calls?"+query, "")
		if len(list.Calls) != want || int(list.Totals.Calls) != want {
			t.Errorf("%s: %d calls, %d in the totals; want %d", query, len(list.Calls), list.Totals.Calls, want)
		}
	}
}

func TestCallsPages(t *testing.T) {
	w := newWorld(t, options{})
	for range 25 {
		w.settle(nil)
	}
	seen := map[string]bool{}
	cursor, pages := "", 0
	for {
		list := into[CallList](w, "admin", "GET", "/api/v1/calls?limit=10&cursor="+cursor, "")
		if list.Totals.Calls < 25 {
			t.Errorf("page %d: totals of %d calls", pages, list.Totals.Calls)
		}
		for _, c := range list.Calls {
			if seen[c.ID] {
				t.Errorf("%s twice", c.ID)
			}
			seen[c.ID] = true
		}
		pages++
		if pages == 1 {
			w.settle(nil) // a newcomer does not shift the pages
		}
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 25 || pages != 3 {
		t.Errorf("%d calls on %d pages", len(seen), pages)
	}
	if list := into[CallList](w, "admin", "GET", "/api/v1/calls?limit=0", ""); len(list.Calls) != 0 || list.Totals.Calls != 26 {
		t.Errorf("limit=0: %+v", list)
	}
}

func TestCallDetail(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	w.settle(func(c *ledger.Call) { c.Parent, c.Root = callID(1), callID(1) })
	w.settle(func(c *ledger.Call) { c.Parent, c.Root, c.KeyID = callID(1), callID(1), w.rival.ID })
	d := into[CallDetail](w, "admin", "GET", "/api/v1/calls/"+callID(1), "")
	if len(d.CostLines) != 2 || d.CostLines[0].Amount+d.CostLines[1].Amount != *d.CostUSD || d.PriceVersion == "" || d.PriceSource == "" || d.Tariff != "pass-through" || d.ContentLogged || len(d.Children) != 2 {
		t.Errorf("%+v", d)
	}
	if d := into[CallDetail](w, "acme", "GET", "/api/v1/calls/"+callID(1), ""); len(d.Children) != 1 {
		t.Errorf("a member sees %d children; one is another key's", len(d.Children))
	}
	if d := into[CallDetail](w, "admin", "GET", "/api/v1/calls/"+callID(2), ""); !d.ContentLogged || d.Reply != "Paris" || d.Request != "what is the capital?" || d.Tags["env"] != "prod" {
		t.Errorf("%+v", d)
	}
	if d := into[CallDetail](w, "admin", "GET", "/api/v1/calls/"+callID(4), ""); d.CostUSD != nil || strings.Join(d.Unpriced, ",") != "input,output" {
		t.Errorf("%+v", d)
	}
}

func TestCallsCSV(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	for range 2500 {
		w.settle(nil)
	}
	a := w.request("admin", "GET", "/api/v1/calls.csv", "")
	if a.Header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.Contains(a.Header.Get("Content-Disposition"), `filename="strata-calls.csv"`) {
		t.Errorf("%v", a.Header)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(a.body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 1+2505 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	ids := map[string]bool{}
	for _, r := range rows[1:] {
		ids[r[column["id"]]] = true
		for _, cell := range r {
			if cell != "" && strings.ContainsAny(cell[:1], "=+@") {
				t.Fatalf("the cell %q runs in a spreadsheet", cell)
			}
		}
	}
	if len(ids) != 2505 {
		t.Errorf("%d different calls", len(ids))
	}
	refused, unknown := rows[len(rows)-1-4], rows[len(rows)-1-3]
	if refused[column["feature"]] != `'=HYPERLINK("http://evil")` || refused[column["prompt_tokens"]] != "" {
		t.Errorf("refused: %q", refused)
	}
	if unknown[column["cost_usd"]] != "" || unknown[column["prompt_tokens"]] != "1000" {
		t.Errorf("an unknown cost is %q", unknown[column["cost_usd"]])
	}
	if got := strings.Count(w.request("rival", "GET", "/api/v1/calls.csv", "").body, "\n"); got != 2 {
		t.Errorf("a member's file has %d lines", got)
	}
	if got := strings.Count(w.request("admin", "GET", "/api/v1/calls.csv?limit=7", "").body, "\n"); got != 8 {
		t.Errorf("limit=7 gives %d lines", got)
	}
}

func TestCellsCannotBeFormulas(t *testing.T) {
	for in, want := range map[string]cell{"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "a=1": "a=1", "": "", "客户": "客户"} {
		if got := text(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if number(-5) != "-5" || amount(usd("-0.5")) != "-0.5" {
		t.Error("our own negative numbers must stay numbers")
	}
}

// BenchmarkCalls lists a page of 100 with totals from 200,000 calls.
func BenchmarkCalls(b *testing.B) {
	w := newWorld(b, options{})
	fill(b, w, 200_000)
	for _, query := range []string{"", "&customer=acme", "&since=7d", "&outcome=refused", "&q=mini"} {
		b.Run("limit=100"+query, func(b *testing.B) {
			for b.Loop() {
				if a := w.request("admin", "GET", "/api/v1/calls?limit=100"+query, ""); a.StatusCode != 200 {
					b.Fatal(a.body)
				}
			}
		})
	}
}

// fill records n calls quickly, over the last 14 days.
func fill(b *testing.B, w *world, n int) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range 64 {
		wg.Go(func() {
			for i := range next {
				c := &ledger.Call{ID: callID(i + 1), Root: callID(i + 1), Time: noon.Add(-time.Duration(n-i) * 14 * 24 * time.Hour / time.Duration(n)), Duration: time.Second,
					KeyID: w.acme.ID, Customer: []string{"acme", "rival", "third"}[i%3], Feature: "chat", Op: model.OpChat, Model: "gpt-4o-mini", ServedModel: "gpt-4o-mini",
					Upstream: "openai", Provider: "openai", Outcome: ledger.OutcomeOK, Status: 200, Usage: &model.Usage{}, CostKnown: true, ChargeKnown: true}
				if i%200 == 0 {
					c.Outcome = ledger.OutcomeRefused
				}
				c.Usage.Count[model.Input] = 1000
				if err := w.ledger.Record(context.Background(), c); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

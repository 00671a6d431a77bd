package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/money"
)

func TestSpend(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	for by, want := range map[string]string{
		"customer": "acme rival", "model": "gpt-4o-mini lab-large", "key": w.acme.ID + " " + w.rival.ID, "day": "2026-11-24",
		"feature": `chat secret-project =HYPERLINK("http://evil")`,
	} {
		r := into[SpendReport](w, "admin", "GET", "/api/v1/spend?by="+by, "")
		if r.By != by || r.TimeZone != berlin.String() || r.Totals.Calls != 5 {
			t.Errorf("%+v", r)
		}
		var calls int64
		var cost money.Sum
		for _, g := range r.Groups {
			if !strings.Contains(want, g.Group) {
				t.Errorf("by %s: group %q", by, g.Group)
			}
			calls += g.Calls
			cost = cost.AddSum(g.CostUSD)
		}
		if calls != r.Totals.Calls || cost != r.Totals.CostUSD || cost.String() != "0.00063" {
			t.Errorf("by %s: %d calls of %s USD, totals %d of %s", by, calls, cost, r.Totals.Calls, r.Totals.CostUSD)
		}
	}
	if r := into[SpendReport](w, "rival", "GET", "/api/v1/spend?by=customer", ""); len(r.Groups) != 1 || r.Totals.CostUSD.String() != "0.00021" {
		t.Errorf("a member: %+v", r)
	}
	body := w.request("admin", "GET", "/api/v1/spend.csv?by=feature", "").body
	if !strings.Contains(body, "feature,calls,errors,unknown_cost_calls,cost_usd") || !strings.Contains(body, "'=HYPERLINK") || strings.Contains(body, "\n\"=") {
		t.Errorf("%s", body)
	}
}

func TestSeriesHasEveryStep(t *testing.T) {
	w := newWorld(t, options{})
	w.populate() // all within the last minutes before noon UTC
	r := into[SeriesReport](w, "admin", "GET", "/api/v1/series?step=hour&since=today&until=today", "")
	if len(r.Points) != 24 {
		t.Fatalf("%d hours", len(r.Points))
	}
	for i, p := range r.Points {
		if want := time.Date(2026, 11, 23, 23, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Hour); !p.Start.Equal(want) {
			t.Fatalf("step %d starts at %v, want %v", i, p.Start, want)
		}
		if full := i == 12; full != (p.Calls == 5) || full != (p.CostUSD != nil) || full != (p.TTFTp50Ms != nil) {
			t.Errorf("step %d: %+v", i, p)
		}
	}
	if p := r.Points[12]; p.CostUSD.String() != "0.00063" || p.UnknownCostCalls != 1 || *p.TTFTp50Ms < 190 || *p.TTFTp50Ms > 210 {
		t.Errorf("%+v", p)
	}
	// The week with the change from summer time has a day of 25 hours.
	r = into[SeriesReport](w, "admin", "GET", "/api/v1/series?since=2026-10-24&until=2026-10-26", "")
	if len(r.Points) != 3 || r.Points[2].Start.Sub(r.Points[1].Start) != 25*time.Hour || r.Points[0].CostUSD != nil {
		t.Errorf("%+v", r.Points)
	}
	// Only calls of unknown cost: that is no amount, and not zero.
	r = into[SeriesReport](w, "admin", "GET", "/api/v1/series?model=lab-large&since=today", "")
	if p := r.Points[0]; p.Calls != 1 || p.CostUSD != nil || p.InputTokens != 1000 {
		t.Errorf("%+v", p)
	}
	if r := into[SeriesReport](w, "admin", "GET", "/api/v1/series", ""); len(r.Points) != 14 || r.Step != "day" {
		t.Errorf("by default %d steps of a %s", len(r.Points), r.Step)
	}
}

func TestLatency(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	for metric, as := range map[string]string{"duration": "admin", "ttft": "rival"} {
		h := into[Latency](w, as, "GET", "/api/v1/latency?since=today&metric="+metric, "")
		var n int64
		for _, step := range h.Counts {
			if len(step) != len(h.BoundsMs)+1 {
				t.Fatalf("%d rows for %d bounds", len(step), len(h.BoundsMs))
			}
			for _, c := range step {
				n += c
			}
		}
		want := map[string]int64{"admin": 4, "rival": 1}[as]
		if n != want || h.Metric != metric || len(h.Counts) != len(h.Starts) || h.StepMs != 3_600_000 {
			t.Errorf("%s as %s: %d calls, %+v", metric, as, n, h)
		}
	}
	if h := into[Latency](w, "admin", "GET", "/api/v1/latency?since=30d", ""); h.StepMs != 86_400_000 {
		t.Errorf("over a month the step is %d ms", h.StepMs)
	}
}

func TestPrices(t *testing.T) {
	w := newWorld(t, options{})
	l := into[PriceList](w, "acme", "GET", "/api/v1/prices?q=gpt-4o-mini&provider=openai&limit=2", "")
	if len(l.Prices) == 0 || len(l.Prices) > 2 || l.Total < len(l.Prices) || l.Date == "" || l.Credit == "" || len(l.Providers) < 20 {
		t.Fatalf("%d prices of %d, date %q, %d providers", len(l.Prices), l.Total, l.Date, len(l.Providers))
	}
	d := into[PriceDetail](w, "acme", "GET", "/api/v1/prices/openai/gpt-4o-mini", "")
	if p := d.Price; p.PerMillion["input"].String() != "0.15" || p.PerMillion["output"].String() != "0.6" || p.Origin != "catalog" || p.Mode != "chat" || p.Source == "" || len(d.History) == 0 {
		t.Errorf("%+v", p)
	}
	if l := into[PriceList](w, "acme", "GET", "/api/v1/prices?limit=0", ""); len(l.Prices) != 0 || l.Total < 1000 {
		t.Errorf("limit=0: %d prices of %d", len(l.Prices), l.Total)
	}
}

func TestStatusAndModels(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	st := into[Status](w, "admin", "GET", "/api/v1/status", "")
	if st.Calls != 5 || st.SampleCalls != 0 || st.OpenLoopback || st.PriceModels < 1000 || st.DataDir == "" || len(st.Upstreams) != 1 || st.TimeZone != berlin.String() {
		t.Errorf("%+v", st)
	}
	if st := into[Status](w, "rival", "GET", "/api/v1/status", ""); st.Calls != 1 {
		t.Errorf("a member's calls: %d", st.Calls)
	}
	if st := into[Status](newWorld(t, options{open: true}), "", "GET", "/api/v1/status", ""); !st.OpenLoopback {
		t.Error("an open loopback does not say so")
	}
}

func TestKeysAndBudgets(t *testing.T) {
	w := newWorld(t, options{})
	made := into[CreatedKey](w, "admin", "POST", "/api/v1/keys", `{"name":"ci","customer":"acme","feature":"tests","log_content":true}`)
	if !strings.HasPrefix(made.Secret, made.Prefix) || made.Customer != "acme" || !made.LogContent {
		t.Errorf("%+v", made)
	}
	a := w.request("admin", "GET", "/api/v1/keys", "")
	if !strings.Contains(a.body, made.ID) || strings.Contains(a.body, made.Secret) || strings.Contains(a.body, "hash") {
		t.Errorf("%s", a.body)
	}
	if k := into[Key](w, "admin", "PATCH", "/api/v1/keys/"+made.ID, `{"name":"ci 2","log_content":false}`); k.Name != "ci 2" || k.LogContent {
		t.Errorf("%+v", k)
	}
	b := into[Budget](w, "admin", "PUT", "/api/v1/budgets", `{"key":"`+made.ID+`","limit_usd":"1.00"}`)
	if b.Period != "month" || b.Mode != "hard" || b.RemainingUSD.String() != "1" || b.WindowStart == nil || !b.WindowStart.Equal(time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", b)
	}
	if again := into[Budget](w, "admin", "PUT", "/api/v1/budgets", `{"key":"`+made.ID+`","limit_usd":"2.50","period":"month","mode":"warn"}`); again.ID != b.ID || again.LimitUSD != usd("2.5") {
		t.Errorf("the same key and period made another budget: %+v", again)
	}
	w.settle(func(c *ledger.Call) { c.KeyID = made.ID })
	list := into[struct {
		Budgets []Budget `json:"budgets"`
	}](w, "admin", "GET", "/api/v1/budgets", "")
	if len(list.Budgets) != 1 || list.Budgets[0].SpentUSD.String() != "0.00021" || list.Budgets[0].RemainingUSD.String() != "2.49979" {
		t.Errorf("%+v", list)
	}
	if a := w.request("admin", "DELETE", "/api/v1/budgets/"+b.ID, ""); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if k := into[Key](w, "admin", "DELETE", "/api/v1/keys/"+made.ID, ""); k.Revoked == nil {
		t.Errorf("%+v", k)
	}
	trail := into[AuditList](w, "admin", "GET", "/api/v1/audit?limit=3", "")
	if len(trail.Entries) != 3 || trail.Next == "" || trail.Entries[0].Action != "key.revoke" || trail.Entries[1].Action != "budget.delete" || trail.Entries[0].Actor != "admin-secret" {
		t.Errorf("%+v", trail)
	}
	if rest := into[AuditList](w, "admin", "GET", "/api/v1/audit?cursor="+trail.Next, ""); len(rest.Entries) == 0 || rest.Entries[0].Seq >= trail.Entries[2].Seq || rest.Next != "" {
		t.Errorf("%+v", rest)
	}
}

func TestVerify(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	v := into[Verification](w, "admin", "GET", "/api/v1/ledger/verify", "")
	if !v.OK || v.Calls != 5 || !v.PostingsSum.IsZero() || v.Head == "" || v.Errors == nil {
		t.Errorf("%+v", v)
	}
	a := w.request("admin", "GET", "/api/v1/ledger/verify", "", "Accept", "application/x-ndjson")
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"result":{"ok":true`) {
		t.Errorf("%s", a.body)
	}
}

func TestBackup(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	b := into[Backup](w, "admin", "POST", "/api/v1/backup", `{"path":"one.db"}`)
	if b.Bytes == 0 || !strings.HasSuffix(b.Path, "one.db") {
		t.Errorf("%+v", b)
	}
	if status, code, _ := w.refused("admin", "POST", "/api/v1/backup", `{"path":"one.db"}`); status != 409 || code != CodeConflict {
		t.Errorf("the same file again: %d %s", status, code)
	}
	path := t.TempDir() + "/two.db"
	if b := into[Backup](w, "socket", "POST", "/api/v1/backup", `{"path":"`+path+`"}`); b.Path != path {
		t.Errorf("%+v", b)
	}
}

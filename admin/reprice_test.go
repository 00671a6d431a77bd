package admin

import (
	"strings"
	"testing"

	"github.com/stratahq/strata/ledger"
)

const dearer = `openai/gpt-4o-mini: {input: 0.30 USD/Mtok, output: 1.20 USD/Mtok}
lab-large: {input: 1 USD/Mtok, output: 2 USD/Mtok}
`

func TestReprice(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	w.settle(func(c *ledger.Call) { c.Sample = true })
	body := func(dry string) string {
		return `{"dry_run":` + dry + `,"prices":"` + strings.ReplaceAll(dearer, "\n", `\n`) + `"}`
	}
	dry := into[Reprice](w, "admin", "POST", "/api/v1/reprice", body("true"))
	// Three calls double, the one of the lab becomes known, the refused one stays.
	if dry.Calls != 5 || dry.Changed != 4 || dry.NowKnown != 1 || dry.NowUnknown != 0 || dry.Kept != 0 ||
		dry.CostBefore.String() != "0.00063" || dry.CostAfter.String() != "0.00246" || len(dry.ByModel) != 2 {
		t.Fatalf("%+v", dry)
	}
	if got := into[CallDetail](w, "admin", "GET", "/api/v1/calls/"+callID(1), ""); *got.CostUSD != usd("0.00021") || len(got.Corrections) != 0 {
		t.Errorf("a dry run changed a call: %+v", got)
	}
	into[Budget](w, "admin", "PUT", "/api/v1/budgets", `{"customer":"acme","limit_usd":"1","period":"total","mode":"hard"}`)
	done := into[Reprice](w, "admin", "POST", "/api/v1/reprice", body("false"))
	if done.Changed != dry.Changed || done.CostAfter != dry.CostAfter {
		t.Errorf("%+v differs from the dry run", done)
	}
	d := into[CallDetail](w, "admin", "GET", "/api/v1/calls/"+callID(1), "")
	if *d.CostUSD != usd("0.00042") || *d.ChargeUSD != usd("0.00042") || len(d.Corrections) != 1 || d.Corrections[0].Reason == "" || !strings.HasPrefix(d.Corrections[0].PriceVersion, "override/openai/gpt-4o-mini") {
		t.Errorf("%+v", d)
	}
	if d := into[CallDetail](w, "admin", "GET", "/api/v1/calls/"+callID(4), ""); d.CostUSD == nil || *d.CostUSD != usd("0.0012") {
		t.Errorf("the lab's call: %+v", d.CostUSD)
	}
	if s := into[SpendReport](w, "admin", "GET", "/api/v1/spend?sample=0", ""); s.Totals.CostUSD.String() != "0.00246" || s.Totals.UnknownCostCalls != 0 {
		t.Errorf("spend after: %+v", s.Totals)
	}
	if v := into[Verification](w, "admin", "GET", "/api/v1/ledger/verify", ""); !v.OK || !v.PostingsSum.IsZero() {
		t.Errorf("%+v", v)
	}
	if again := into[Reprice](w, "admin", "POST", "/api/v1/reprice", body("false")); again.Changed != 0 || again.CostBefore != done.CostAfter {
		t.Errorf("a second time: %+v", again)
	}
	// Back to the catalog, which knows nothing of the lab: that call is kept.
	back := into[Reprice](w, "admin", "POST", "/api/v1/reprice", `{"dry_run":false,"book":"catalog","reason":"mistake"}`)
	if back.Changed != 3 || back.Kept != 1 || back.NowUnknown != 0 || back.CostAfter.String() != "0.00183" {
		t.Errorf("%+v", back)
	}
	if trail := w.request("admin", "GET", "/api/v1/audit", "").body; strings.Count(trail, "ledger.reprice") != 3 {
		t.Errorf("%s", trail)
	}
}

func TestRepriceIsLimited(t *testing.T) {
	w := newWorld(t, options{})
	w.populate()
	prices := `,"prices":"` + strings.ReplaceAll(dearer, "\n", `\n`) + `"}`
	for body, want := range map[string]int64{
		`{"dry_run":true,"customer":"rival"` + prices:  1,
		`{"dry_run":true,"model":"lab-large"` + prices: 1,
		`{"dry_run":true,"until":"yesterday"` + prices: 0,
		`{"dry_run":true,"since":"today"` + prices:     4,
		`{"dry_run":true}`:                             0, // the book in force is the one that rated them
	} {
		if r := into[Reprice](w, "admin", "POST", "/api/v1/reprice", body); r.Changed != want {
			t.Errorf("%s: %+v", body, r)
		}
	}
	a := w.request("admin", "POST", "/api/v1/reprice", `{"dry_run":true}`, "Accept", "application/x-ndjson")
	if !strings.Contains(a.body, `{"done":5,"total":5}`) || !strings.Contains(a.body, `"result":{"dry_run":true,"calls":5`) {
		t.Errorf("%s", a.body)
	}
}

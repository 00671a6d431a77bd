package admin

import (
	"testing"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model/price"
)

func TestSampleData(t *testing.T) {
	w := newWorld(t, options{})
	own := w.settle(nil)
	into[Budget](w, "admin", "PUT", "/api/v1/budgets", `{"customer":"acme-travel","limit_usd":"1","period":"total","mode":"hard"}`)
	if r := into[SampleResult](w, "admin", "POST", "/api/v1/sample-data", `{"seed":7}`); r.Calls != sampleCalls {
		t.Fatalf("%+v", r)
	}
	st := into[Status](w, "admin", "GET", "/api/v1/status", "")
	if st.SampleCalls != sampleCalls || st.Calls != sampleCalls+1 {
		t.Errorf("%d sample calls of %d", st.SampleCalls, st.Calls)
	}
	seen := map[string]int{}
	f := ledger.Filter{Limit: 2 * sampleCalls}
	calls, err := w.ledger.Calls(t.Context(), f)
	w.must(err)
	for i := range calls {
		c := &calls[i]
		if c.ID == own.ID {
			continue
		}
		if !c.Sample || c.Time.Before(noon.AddDate(0, 0, -14)) || c.Time.After(noon) || c.Duration <= 0 || c.TTFT > c.Duration {
			t.Fatalf("%+v", c)
		}
		seen["model "+c.Model]++
		seen["customer "+c.Customer]++
		seen["feature "+c.Feature]++
		seen["outcome "+string(c.Outcome)]++
		seen["weekday "+c.Time.In(berlin).Weekday().String()]++
		if h := c.Time.In(berlin).Hour(); h >= 9 && h < 17 {
			seen["office hours"]++
		}
		if !c.CostKnown {
			seen["unknown"]++
		}
		if c.Estimated() {
			seen["estimated"]++
		}
	}
	for _, m := range sampleModels {
		if seen["model "+m.name] == 0 {
			t.Errorf("no call of %s", m.name)
		}
	}
	if len(sampleCustomers) != 4 || seen["customer acme-travel"] <= seen["customer kite-robotics"] || seen["outcome error"] == 0 || seen["outcome refused"] == 0 ||
		seen["outcome canceled"] == 0 || seen["unknown"] == 0 || seen["unknown"] > sampleCalls/10 || seen["estimated"] == 0 ||
		seen["office hours"] < sampleCalls/2 || seen["weekday Sunday"]*2 > seen["weekday Tuesday"] {
		t.Errorf("%v", seen)
	}
	// The prices are the book's: rated again, nothing changes.
	for i := range calls {
		c := &calls[i]
		if c.Usage == nil || c.Usage.IsZero() || c.Provider == "lab" {
			continue
		}
		card, ok := price.Catalog().Find(c.Provider, c.ServedModel, c.Time)
		if !ok {
			t.Fatalf("the catalog has no %s/%s: replace it among the sample models", c.Provider, c.ServedModel)
		}
		u := *c.Usage
		card.Complete(&u)
		r, err := card.Rate(&u, price.Query{At: c.Time})
		w.must(err)
		if sum, _ := sumOf(r.Lines); sum != c.Cost || r.Known != c.CostKnown {
			t.Fatalf("%s of %s: %s, rated again %s", c.ID, c.Model, c.Cost, sum)
		}
	}
	// No budget is touched.
	list := into[struct {
		Budgets []Budget `json:"budgets"`
	}](w, "admin", "GET", "/api/v1/budgets", "")
	if !list.Budgets[0].SpentUSD.IsZero() {
		t.Errorf("sample calls spend a budget: %+v", list.Budgets[0])
	}
	// Making them again replaces them; the same seed makes the same.
	before := into[SpendReport](w, "admin", "GET", "/api/v1/spend?by=model", "")
	into[SampleResult](w, "admin", "POST", "/api/v1/sample-data", `{"seed":7}`)
	if after := into[SpendReport](w, "admin", "GET", "/api/v1/spend?by=model", ""); after.Totals.CostUSD != before.Totals.CostUSD || after.Totals.Calls != before.Totals.Calls {
		t.Errorf("%+v, then %+v", before.Totals, after.Totals)
	}
	if r := into[SampleResult](w, "admin", "DELETE", "/api/v1/sample-data", ""); r.Calls != sampleCalls {
		t.Errorf("erased %d", r.Calls)
	}
	if list := into[CallList](w, "admin", "GET", "/api/v1/calls", ""); len(list.Calls) != 1 || list.Calls[0].ID != own.ID || list.Totals.Calls != 1 {
		t.Errorf("what is left: %+v", list)
	}
	if v := into[Verification](w, "admin", "GET", "/api/v1/ledger/verify", ""); !v.OK {
		t.Errorf("%+v", v)
	}
}

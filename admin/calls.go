package admin

import (
	"net/http"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/money"
)

// CallList is the answer of GET /api/v1/calls.
type CallList struct {
	Calls []Call `json:"calls"`
	// Next is the cursor of the next page; "" when this is the last.
	Next   string `json:"next"`
	Totals Spend  `json:"totals"`
}

// maxPage bounds the calls of one page.
const maxPage = 1000

// getCalls lists calls, newest first, with the totals of all that match.
func (s *service) getCalls(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	q, err := s.parseQuery(r, append([]string{"cursor", "limit"}, filterParams...)...)
	if err != nil {
		return err
	}
	f, err := q.filter(p)
	if err != nil {
		return err
	}
	limit, err := q.count("limit", 100, maxPage)
	if err != nil {
		return err
	}
	totals, err := s.Ledger.Totals(r.Context(), f)
	if err != nil {
		return err
	}
	list := CallList{Calls: []Call{}, Totals: spendOf(&totals)}
	if f.BeforeSeq, err = decodeCursor(q.get("cursor")); err != nil {
		return err
	}
	if limit > 0 {
		f.Limit = limit + 1 // one more tells whether there is a next page
		calls, err := s.Ledger.Calls(r.Context(), f)
		if err != nil {
			return err
		}
		if len(calls) > limit {
			calls = calls[:limit]
			list.Next = encodeCursor(calls[limit-1].Seq)
		}
		for i := range calls {
			list.Calls = append(list.Calls, callOf(&calls[i]))
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// callOf turns a ledger's call into the wire's. Unknown is null, never zero.
func callOf(c *ledger.Call) Call {
	v := Call{
		Seq: c.Seq, ID: c.ID, Parent: c.Parent, Root: c.Root, Time: c.Time.UTC(), Key: c.KeyID, Customer: c.Customer,
		Feature: c.Feature, EndUser: c.EndUser, Tags: c.Tags, Op: string(c.Op), Model: c.Model, ServedModel: c.ServedModel,
		Upstream: c.Upstream, Stream: c.Stream, Outcome: string(c.Outcome), Status: c.Status, ErrorCode: c.ErrorCode,
		ErrorText: c.ErrorText, Usage: c.Usage, Estimated: c.Estimated(), TTFTMs: msOrNull(c.TTFT), TPOTMs: msOrNull(c.TPOT),
		DurationMs: ms(c.Duration), Overrun: c.Overrun, Sample: c.Sample,
	}
	if v.Estimated {
		v.EstimatedBuckets = c.Usage.Estimated.Names()
	}
	if c.CostKnown {
		v.CostUSD = &c.Cost
	}
	if c.ChargeKnown {
		v.ChargeUSD = &c.Charge
	}
	if c.CostKnown && c.ChargeKnown {
		if m, err := c.Charge.Add(-c.Cost); err == nil {
			v.MarginUSD = &m
		}
	}
	return v
}

// ms is a duration in milliseconds, exact to a microsecond.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// msOrNull is null for a time that was not measured.
func msOrNull(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	v := ms(d)
	return &v
}

func spendOf(s *ledger.Spend) Spend {
	u := s.Usage
	return Spend{Group: s.Group, Calls: s.Calls, Errors: s.Errors, UnknownCostCalls: s.UnknownCostCalls,
		CostUSD: s.Cost, ChargeUSD: s.Charge, MarginUSD: s.Margin(), Usage: &u}
}

func sumOrNull(s money.Sum, any bool) *money.Sum {
	if !any {
		return nil
	}
	return &s
}

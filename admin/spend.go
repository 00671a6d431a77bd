package admin

import (
	"net/http"
	"strings"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
)

// SpendReport is the answer of GET /api/v1/spend.
type SpendReport struct {
	By       string  `json:"by"`
	TimeZone string  `json:"time_zone"`
	Groups   []Spend `json:"groups"`
	Totals   Spend   `json:"totals"`
}

// dimensions are what spend can be grouped by.
var dimensions = []string{"customer", "feature", "model", "key", "day", "hour"}

// getSpend sums cost, charge and margin by a dimension.
func (s *service) getSpend(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	report, err := s.spend(r, p)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, report)
	return nil
}

func (s *service) spend(r *http.Request, p access.Principal) (SpendReport, error) {
	q, err := s.parseQuery(r, append([]string{"by"}, filterParams...)...)
	if err != nil {
		return SpendReport{}, err
	}
	by, err := q.choice("by", "customer", dimensions...)
	if err != nil {
		return SpendReport{}, err
	}
	f, err := q.filter(p)
	if err != nil {
		return SpendReport{}, err
	}
	groups, err := s.Ledger.Spend(r.Context(), ledger.GroupBy(by), f)
	if err != nil {
		return SpendReport{}, err
	}
	totals, err := s.Ledger.Totals(r.Context(), f)
	if err != nil {
		return SpendReport{}, err
	}
	report := SpendReport{By: by, TimeZone: s.TimeZone.String(), Groups: make([]Spend, 0, len(groups)), Totals: spendOf(&totals)}
	for i := range groups {
		report.Groups = append(report.Groups, spendOf(&groups[i]))
	}
	return report, nil
}

// getSpendCSV is the same table as a file, without the totals row, which a
// spreadsheet would sum once more.
func (s *service) getSpendCSV(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	report, err := s.spend(r, p)
	if err != nil {
		return err
	}
	c := newCSV(w, "spend-by-"+report.By)
	c.row(text(report.By), text("calls"), text("errors"), text("unknown_cost_calls"), text("cost_usd"), text("charge_usd"), text("margin_usd"),
		text("prompt_tokens"), text("completion_tokens"))
	for _, g := range report.Groups {
		c.row(text(g.Group), number(g.Calls), number(g.Errors), number(g.UnknownCostCalls), amount(g.CostUSD), amount(g.ChargeUSD), amount(g.MarginUSD),
			number(g.Usage.Prompt()), number(g.Usage.Completion()))
	}
	return c.flush()
}

// csvName keeps a file name to letters that need no quoting anywhere.
func csvName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, s)
}

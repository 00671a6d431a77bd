package admin

import (
	"fmt"
	"net/http"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/money"
)

// BudgetSpec is the body of PUT /api/v1/budgets. Exactly one of Key and Customer
// is given; there is one budget per key or customer and period.
type BudgetSpec struct {
	Key      string      `json:"key,omitempty"`
	Customer string      `json:"customer,omitempty"`
	LimitUSD *money.Pico `json:"limit_usd"`
	Period   string      `json:"period"`
	Mode     string      `json:"mode"`
}

func budgetOf(b *ledger.Budget) Budget {
	return Budget{ID: b.ID, Key: b.KeyID, Customer: b.Customer, LimitUSD: b.Limit, Period: string(b.Period), Mode: string(b.Mode),
		SpentUSD: b.Spent, HeldUSD: b.Held, RemainingUSD: money.SumOf(b.Limit).Sub(b.Spent).Sub(b.Held),
		WindowStart: timeOrNull(b.WindowStart), WindowEnd: timeOrNull(b.WindowEnd)}
}

// getBudgets lists the budgets; a member sees those of the own key. A customer's
// budget tells what all keys of the customer spent, so it is not shown.
func (s *service) getBudgets(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	budgets, err := s.Ledger.Budgets(r.Context())
	if err != nil {
		return err
	}
	list := make([]Budget, 0, len(budgets))
	for i := range budgets {
		if p.Admin || budgets[i].KeyID != "" && budgets[i].KeyID == p.KeyID {
			list = append(list, budgetOf(&budgets[i]))
		}
	}
	writeJSON(w, http.StatusOK, struct {
		Budgets []Budget `json:"budgets"`
	}{list})
	return nil
}

// putBudget sets a budget; it holds for the next call.
func (s *service) putBudget(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	var body BudgetSpec
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	b := ledger.Budget{KeyID: body.Key, Customer: body.Customer, Period: ledger.Period(body.Period), Mode: ledger.Mode(body.Mode)}
	switch {
	case (b.KeyID == "") == (b.Customer == ""):
		return badParam("key", "give exactly one of key and customer")
	case body.LimitUSD == nil:
		return badParam("limit_usd", "limit_usd is missing: a decimal string in USD, such as \"5.00\"")
	case *body.LimitUSD < 0:
		return badParam("limit_usd", "limit_usd must not be negative")
	}
	b.Limit = *body.LimitUSD
	if b.Period == "" {
		b.Period = ledger.PeriodMonth
	}
	if b.Mode == "" {
		b.Mode = ledger.ModeHard
	}
	if p := b.Period; p != ledger.PeriodDay && p != ledger.PeriodMonth && p != ledger.PeriodTotal {
		return badParam("period", "period must be day, month or total, not %q", clip(string(p)))
	}
	if m := b.Mode; m != ledger.ModeHard && m != ledger.ModeWarn {
		return badParam("mode", "mode must be hard or warn, not %q", clip(string(m)))
	}
	if b.KeyID != "" {
		if _, err := s.Access.Get(b.KeyID); err != nil {
			return badParam("key", "no key has the id %q; `strata key list` shows the ids", clip(b.KeyID))
		}
	}
	set, err := s.Ledger.SetBudget(r.Context(), b)
	if err != nil {
		return err
	}
	if err := s.Access.Audit(r.Context(), "budget.set", set.ID, fmt.Sprintf("%s%s: %s USD per %s, %s", set.KeyID, set.Customer, set.Limit, set.Period, set.Mode)); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, budgetOf(&set))
	return nil
}

// deleteBudget removes a limit; what was spent stays in the ledger.
func (s *service) deleteBudget(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	id := r.PathValue("id")
	if err := s.Ledger.DeleteBudget(r.Context(), id); err != nil {
		return err
	}
	if err := s.Access.Audit(r.Context(), "budget.delete", id, ""); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

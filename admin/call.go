package admin

import (
	"encoding/hex"
	"net/http"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/money"
)

// getCall is the receipt of one call.
func (s *service) getCall(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	id := r.PathValue("id")
	c, err := s.Ledger.Call(r.Context(), id)
	if err != nil {
		return err
	}
	if !visible(c, p) {
		// The same answer as for an id that is not there, so that a member cannot
		// find out which calls others made.
		return notFound("nothing has this id")
	}
	d := detailOf(c)
	children, err := s.Ledger.Children(r.Context(), c.Root)
	if err != nil {
		return err
	}
	for i := range children {
		if children[i].Parent == c.ID && visible(&children[i], p) {
			d.Children = append(d.Children, callOf(&children[i]))
		}
	}
	corrections, err := s.Ledger.Corrections(r.Context(), c.ID)
	if err != nil {
		return err
	}
	for _, x := range corrections {
		v := CallCorrection{Time: x.Time.UTC(), PriceVersion: x.PriceVersion, Reason: x.Reason}
		if x.CostKnown {
			v.CostUSD = &x.Cost
		}
		if x.ChargeKnown {
			v.ChargeUSD = &x.Charge
		}
		d.Corrections = append(d.Corrections, v)
	}
	writeJSON(w, http.StatusOK, d)
	return nil
}

// visible says that the principal may see a call.
func visible(c *ledger.Call, p access.Principal) bool {
	return p.Admin || p.KeyID != "" && c.KeyID == p.KeyID
}

func detailOf(c *ledger.Call) CallDetail {
	d := CallDetail{
		Call: callOf(c), CostLines: c.CostLines, ChargeLines: c.ChargeLines, Unpriced: c.Unpriced,
		PriceVersion: c.PriceVersion, PriceSource: c.PriceSource, Tariff: c.Tariff, Decisions: c.Decisions,
		OutputSHA256: hex.EncodeToString(c.OutputHash),
	}
	if d.CostLines == nil {
		d.CostLines = []money.Line{}
	}
	if d.ChargeLines == nil {
		d.ChargeLines = []money.Line{}
	}
	if c.Held != 0 {
		d.HeldUSD = &c.Held
	}
	if c.Usage != nil {
		d.Flags = c.Usage.Flags
	}
	if c.Content != nil {
		d.ContentLogged = true
		d.Request, d.Reply = string(c.Content.Request), string(c.Content.Reply)
	}
	return d
}

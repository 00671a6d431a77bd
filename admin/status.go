package admin

import (
	"net/http"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
)

// getStatus says what is running. A member is not told where.
func (s *service) getStatus(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	var st Status
	if s.Status != nil {
		st = s.Status()
	}
	st.Now = s.Now().UTC()
	st.TimeZone = s.TimeZone.String()
	st.OpenLoopback = s.Access.Open()
	f := ledger.Filter{}
	if err := confine(&f, p); err != nil {
		return err
	}
	all, err := s.Ledger.Totals(r.Context(), f)
	if err != nil {
		return err
	}
	sample := true
	f.Sample = &sample
	samples, err := s.Ledger.Totals(r.Context(), f)
	if err != nil {
		return err
	}
	st.Calls, st.SampleCalls = all.Calls, samples.Calls
	if s.Models != nil {
		st.Models = len(s.Models())
	}
	if book := s.Book(); book != nil {
		st.PriceDate = dateOrEmpty(book.Date)
		_, st.PriceModels = book.List(listAll(1))
	}
	if st.Upstreams == nil {
		st.Upstreams = []Upstream{}
	}
	if !p.Admin {
		st.DataDir, st.Config, st.Address, st.Upstreams = "", "", "", []Upstream{}
		st.Engine.Detail = ""
	}
	writeJSON(w, http.StatusOK, st)
	return nil
}

func dateOrEmpty(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// getModels lists what can be asked for.
func (s *service) getModels(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	models := []Model{}
	if s.Models != nil {
		models = append(models, s.Models()...)
	}
	writeJSON(w, http.StatusOK, struct {
		Models []Model `json:"models"`
	}{models})
	return nil
}

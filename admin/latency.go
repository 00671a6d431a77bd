package admin

import (
	"net/http"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
)

// getLatency counts calls by time and by how long they took.
func (s *service) getLatency(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	q, err := s.parseQuery(r, append([]string{"metric", "step"}, filterParams...)...)
	if err != nil {
		return err
	}
	metric, err := q.choice("metric", "duration", "duration", "ttft")
	if err != nil {
		return err
	}
	f, err := q.filter(p)
	if err != nil {
		return err
	}
	if f.Until.IsZero() {
		f.Until = q.now.UTC()
	}
	if f.Since.IsZero() {
		f.Since = f.Until.AddDate(0, 0, -7)
	}
	// As many columns as fit a screen: hours up to a week, days beyond.
	fallback := "hour"
	if f.Until.Sub(f.Since) > 8*24*time.Hour {
		fallback = "day"
	}
	step, err := q.choice("step", fallback, "hour", "day")
	if err != nil {
		return err
	}
	heat, err := s.Ledger.Latency(r.Context(), f, ledger.GroupBy(step), ledger.Metric(metric))
	if err != nil {
		return err
	}
	out := Latency{Metric: metric, TimeZone: s.TimeZone.String(), Starts: []time.Time{}, StepMs: time.Hour.Milliseconds(), BoundsMs: []float64{}, Counts: heat.Counts}
	if step == "day" {
		out.StepMs = 24 * time.Hour.Milliseconds() // a day of a clock change is an hour off
	}
	for _, t := range heat.Starts {
		out.Starts = append(out.Starts, t.UTC())
	}
	for _, d := range heat.Bounds {
		out.BoundsMs = append(out.BoundsMs, ms(d))
	}
	if out.Counts == nil {
		out.Counts = [][]int64{}
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

package admin

import (
	"net/http"
	"slices"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
)

// SeriesReport is the answer of GET /api/v1/series.
type SeriesReport struct {
	Step     string  `json:"step"`
	TimeZone string  `json:"time_zone"`
	Points   []Point `json:"points"`
}

// maxPoints bounds a series: more than a year of hours.
const maxPoints = 10_000

// getSeries is spend, volume and latency over time. Steps without calls are
// there, with null amounts: no data is not zero.
func (s *service) getSeries(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	q, err := s.parseQuery(r, append([]string{"step"}, filterParams...)...)
	if err != nil {
		return err
	}
	step, err := q.choice("step", "day", "hour", "day")
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
		// Two weeks of days, or two days of hours, is what a first look needs.
		f.Since = f.Until.AddDate(0, 0, -13)
		if step == "hour" {
			f.Since = f.Until.Add(-47 * time.Hour)
		}
	}
	starts := stepStarts(step, f.Since, f.Until, s.TimeZone)
	if len(starts) > maxPoints {
		return badParam("since", "from %s to %s is more than %d steps of one %s; ask for less, or for days", f.Since.Format(time.DateOnly), f.Until.Format(time.DateOnly), maxPoints, step)
	}
	points, err := s.Ledger.Series(r.Context(), ledger.GroupBy(step), f)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, SeriesReport{Step: step, TimeZone: s.TimeZone.String(), Points: fillPoints(starts, points)})
	return nil
}

// stepStarts lists the beginnings of the steps that overlap [since, until), in
// the business time zone. It stops beyond maxPoints.
func stepStarts(step string, since, until time.Time, zone *time.Location) []time.Time {
	y, m, d := since.In(zone).Date()
	var starts []time.Time
	if step == "day" {
		for t := time.Date(y, m, d, 0, 0, 0, 0, zone); t.Before(until) && len(starts) <= maxPoints; {
			starts = append(starts, t.UTC())
			d++
			t = time.Date(y, m, d, 0, 0, 0, 0, zone)
		}
		return starts
	}
	// Whole hours of the zone: those with an offset of half an hour begin theirs
	// at half past, UTC.
	_, offset := since.In(zone).Zone()
	shift := time.Duration(offset) * time.Second
	for t := since.Add(shift).Truncate(time.Hour).Add(-shift); t.Before(until) && len(starts) <= maxPoints; t = t.Add(time.Hour) {
		starts = append(starts, t.UTC())
	}
	return starts
}

// fillPoints puts the ledger's points on the grid of steps.
func fillPoints(starts []time.Time, points []ledger.Point) []Point {
	have := make(map[int64]*ledger.Point, len(points))
	for i := range points {
		have[points[i].Start.UnixNano()] = &points[i]
	}
	out := make([]Point, 0, len(starts))
	for _, t := range starts {
		if lp, ok := have[t.UnixNano()]; ok {
			out = append(out, pointOf(lp))
			delete(have, t.UnixNano())
			continue
		}
		out = append(out, Point{Start: t})
	}
	for _, lp := range have { // never lose a point to a grid that differs
		out = append(out, pointOf(lp))
	}
	slices.SortFunc(out, func(a, b Point) int { return a.Start.Compare(b.Start) })
	return out
}

func pointOf(lp *ledger.Point) Point {
	any := lp.Calls > 0
	quantile := func(d time.Duration) *float64 {
		if !any || d < 0 {
			return nil
		}
		v := ms(d)
		return &v
	}
	// With nothing but calls of unknown cost there is no amount to show.
	known := any && lp.UnknownCostCalls < lp.Calls
	return Point{
		Start: lp.Start.UTC(), Calls: lp.Calls, Errors: lp.Errors, UnknownCostCalls: lp.UnknownCostCalls,
		CostUSD: sumOrNull(lp.Cost, known), ChargeUSD: sumOrNull(lp.Charge, known), MarginUSD: sumOrNull(lp.Margin(), known),
		InputTokens: lp.Usage.Prompt(), OutputTokens: lp.Usage.Completion(),
		TTFTp50Ms: quantile(lp.TTFTp50), TTFTp95Ms: quantile(lp.TTFTp95), DurationP50Ms: quantile(lp.DurationP50), DurationP95Ms: quantile(lp.DurationP95),
	}
}

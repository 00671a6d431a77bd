package admin

import (
	"strconv"
	"strings"
	"time"
)

// timeHelp ends every message about a time that cannot be read.
const timeHelp = "use a date (2026-11-24), an RFC 3339 time, now, today, yesterday, month, or a span back from now such as 24h, 7d or 4w"

// maxSpanDays bounds spans back from now: a century.
const maxSpanDays = 36_525

// ParseTime reads a point in time as the interface and the command line take it.
// Dates and words are of the business time zone. With end set, a date, today and
// yesterday mean the end of that day, and month the end of this month, so that
// since=2026-11-01 until=2026-11-30 is the whole of November. The empty string
// is the zero time, which does not limit.
func ParseTime(name, s string, now time.Time, zone *time.Location, end bool) (time.Time, error) {
	return parseTime(name, s, now, zone, end)
}

func parseTime(name, s string, now time.Time, zone *time.Location, end bool) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	bad := func() (time.Time, error) {
		return time.Time{}, badParam(name, "%s: %q is not a time: %s", name, clip(s), timeHelp)
	}
	local := now.In(zone)
	day := func(y int, m time.Month, d int) time.Time {
		if end {
			d++
		}
		return time.Date(y, m, d, 0, 0, 0, 0, zone).UTC()
	}
	y, m, d := local.Date()
	switch strings.ToLower(s) {
	case "now":
		return now.UTC(), nil
	case "today":
		return day(y, m, d), nil
	case "yesterday":
		return day(y, m, d-1), nil
	case "month":
		if end {
			return time.Date(y, m+1, 1, 0, 0, 0, 0, zone).UTC(), nil
		}
		return time.Date(y, m, 1, 0, 0, 0, 0, zone).UTC(), nil
	}
	if t, ok := parseSpan(s, local); ok {
		return t.UTC(), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		if t.Year() < 1970 {
			return bad()
		}
		return day(t.Date()), nil
	}
	// In a query string "+" means a space; an offset that was not escaped is
	// still clear.
	if t, err := time.Parse(time.RFC3339, strings.Replace(strings.ToUpper(s), " ", "+", 1)); err == nil && t.Year() >= 1970 && t.Year() <= 9999 {
		return t.UTC(), nil
	}
	return bad()
}

// parseSpan reads "90m", "24h", "7d", "4w" as that long before now. Days and
// weeks are of the calendar, so 1d crosses a clock change to the same hour.
func parseSpan(s string, local time.Time) (time.Time, bool) {
	n, err := strconv.Atoi(s[:len(s)-1])
	if err != nil || n <= 0 || s[0] == '+' {
		return time.Time{}, false
	}
	switch unit := s[len(s)-1]; {
	case unit == 'm' && n <= maxSpanDays*1440:
		return local.Add(-time.Duration(n) * time.Minute), true
	case unit == 'h' && n <= maxSpanDays*24:
		return local.Add(-time.Duration(n) * time.Hour), true
	case unit == 'd' && n <= maxSpanDays:
		return local.AddDate(0, 0, -n), true
	case unit == 'w' && n <= maxSpanDays/7:
		return local.AddDate(0, 0, -7*n), true
	}
	return time.Time{}, false
}

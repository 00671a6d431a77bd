package ledger

import "time"

// windowStart is the beginning of the window that holds t: midnight of the day,
// or of the first of the month, in the business time zone. Where a change of
// clocks skips midnight, it is the first instant of that date.
func windowStart(p Period, t time.Time, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	switch p {
	case PeriodDay:
		return dayStart(y, m, d, loc)
	case PeriodMonth:
		return dayStart(y, m, 1, loc)
	}
	return time.Time{}
}

// windowEnd is the beginning of the window after the one that begins at start.
func windowEnd(p Period, start time.Time, loc *time.Location) time.Time {
	y, m, d := start.In(loc).Date()
	switch p {
	case PeriodDay:
		return dayStart(y, m, d+1, loc)
	case PeriodMonth:
		return dayStart(y, m+1, 1, loc)
	}
	return time.Time{}
}

// dayStart is the first instant of a date. time.Date gives, for a midnight that
// does not exist, a time before or after the gap; and one of two for a midnight
// that comes twice. So start in the middle of the day and search.
func dayStart(y int, m time.Month, d int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	noon := time.Date(y, m, d, 12, 0, 0, 0, loc)
	wantY, wantM, wantD := noon.Date()
	same := func(t time.Time) bool {
		y, m, d := t.In(loc).Date()
		return y == wantY && m == wantM && d == wantD
	}
	// Clocks change by multiples of 15 minutes today, but historical zones had
	// changes of odd seconds; a search by halving finds every one.
	if same(t) && !same(t.Add(-time.Nanosecond)) {
		return t.UTC()
	}
	lo, hi := noon.Add(-18*time.Hour), noon
	for hi.Sub(lo) > time.Second {
		mid := lo.Add(hi.Sub(lo) / 2).Truncate(time.Second)
		if !mid.After(lo) {
			mid = lo.Add(time.Second)
		}
		if same(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi.UTC()
}

// nanos and fromNanos convert window starts; the zero time is 0.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// fromNanosExact converts a time; unlike fromNanos it has no zero time.
func fromNanosExact(n int64) time.Time { return time.Unix(0, n).UTC() }

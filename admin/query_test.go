package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC) // 13:30 in Berlin
	for _, c := range []struct{ in, since, until string }{
		{"now", "2026-11-24T12:30:00Z", "2026-11-24T12:30:00Z"},
		{"today", "2026-11-23T23:00:00Z", "2026-11-24T23:00:00Z"},
		{"Yesterday", "2026-11-22T23:00:00Z", "2026-11-23T23:00:00Z"},
		{"month", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"},
		{"2026-11-01", "2026-10-31T23:00:00Z", "2026-11-01T23:00:00Z"},
		{"2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}, // the day of 25 hours
		{"30m", "2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"},
		{"24h", "2026-11-23T12:30:00Z", "2026-11-23T12:30:00Z"},
		{"7d", "2026-11-17T12:30:00Z", "2026-11-17T12:30:00Z"},
		{"31d", "2026-10-24T11:30:00Z", "2026-10-24T11:30:00Z"}, // the same hour, in summer time
		{"4w", "2026-10-27T12:30:00Z", "2026-10-27T12:30:00Z"},
		{"2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z", "2026-11-24T10:00:00Z"},
		{"2026-11-24T10:00:00+02:00", "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"},
		{"2026-11-24T10:00:00 02:00", "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"}, // "+" not escaped
		{"2026-11-24t10:00:00.5z", "2026-11-24T10:00:00.5Z", "2026-11-24T10:00:00.5Z"},
	} {
		for end, want := range map[bool]string{false: c.since, true: c.until} {
			got, err := ParseTime("since", c.in, now, berlin, end)
			if err != nil || got.Format(time.RFC3339Nano) != want {
				t.Errorf("%q, end %t: %v, %v; want %s", c.in, end, got, err, want)
			}
		}
	}
	for _, bad := range []string{"soon", "d", "7", "-7d", "+7d", "0d", "7x", "7.5d", "99999999999999999999d", "36526d", "2026-13-01", "2026-02-30", "26-11-24", "1969-12-31",
		"2026-11-24T10:00:00", "0001-01-01T00:00:00Z", "9d9d", " 7d", "١d"} {
		got, err := ParseTime("since", bad, now, berlin, false)
		if err == nil {
			t.Errorf("%q is taken for %v", bad, got)
			continue
		}
		if e := model.AsError(err); e.Status != 400 || e.Param != "since" || !strings.Contains(e.Message, "7d") {
			t.Errorf("%q: %+v", bad, e)
		}
	}
	if got, err := ParseTime("since", "", now, berlin, false); err != nil || !got.IsZero() {
		t.Errorf("empty: %v, %v", got, err)
	}
}

func TestSuggest(t *testing.T) {
	for name, want := range map[string]string{
		"custmer": `did you mean "customer"?`, "Limit": `did you mean "limit"?`, "zzzzzzzz": "it takes cursor, customer",
	} {
		if got := suggest(name, []string{"customer", "limit", "cursor"}); !strings.Contains(got, want) {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestCursor(t *testing.T) {
	for _, seq := range []int64{1, 42, 1 << 40, 1<<63 - 1} {
		if got, err := decodeCursor(encodeCursor(seq)); err != nil || got != seq {
			t.Errorf("%d: %d, %v", seq, got, err)
		}
	}
	for _, bad := range []string{"1", "AAAA", encodeCursor(0), encodeCursor(-5), encodeCursor(7) + "A", "AgAAAAAAAAAB"} {
		if n, err := decodeCursor(bad); err == nil {
			t.Errorf("%q is %d", bad, n)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"today", "7d", "2026-11-24", "2026-11-24T10:00:00+02:00", "1", "", "d"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		since, err := ParseTime("since", s, now, berlin, false)
		until, err2 := ParseTime("since", s, now, berlin, true)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%q: %v and %v", s, err, err2)
		}
		if err != nil {
			if e := model.AsError(err); e.Status != 400 {
				t.Fatalf("%q: %+v", s, e)
			}
			return
		}
		if until.Before(since) || s != "" && (since.Year() < 1900 || since.Year() > 10000 || since.Location() != time.UTC) {
			t.Fatalf("%q: %v to %v", s, since, until)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"since=7d&limit=10", "custmer=x", "a=1&a=2", "%zz", "q=%00", "root=&outcome=ok&unknown_cost=1&sample=0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw, noon, berlin, filterParams...)
		if err == nil {
			var flt ledger.Filter
			flt, err = q.filter(access.Principal{KeyID: "key_1"})
			if err == nil && flt.KeyID != "key_1" {
				t.Fatalf("%q lets a member see the calls of %q", raw, flt.KeyID)
			}
		}
		if err != nil {
			if e := asError(err); e.Status != 400 && e.Status != 403 {
				t.Fatalf("%q: %+v", raw, e)
			}
		}
	})
}

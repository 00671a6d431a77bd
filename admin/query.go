package admin

import (
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/nearest"
)

// query is the parameters of a request, checked against the names that its
// endpoint knows. A parameter that is empty counts as not given.
type query struct {
	values url.Values
	now    time.Time
	zone   *time.Location
}

// parseQuery refuses unknown parameters, naming the nearest known one, and
// parameters that are given twice. A misspelt filter that is silently ignored
// would show everything as if it were the answer.
func (s *service) parseQuery(r *http.Request, allowed ...string) (query, error) {
	return parseQuery(r.URL.RawQuery, s.Now(), s.TimeZone, allowed...)
}

func parseQuery(raw string, now time.Time, zone *time.Location, allowed ...string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, model.Errorf(http.StatusBadRequest, CodeInvalidParameter, "the query string is not valid URL encoding")
	}
	// In a fixed order, so that the same request always gets the same error.
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(allowed, name) {
			e := model.Errorf(http.StatusBadRequest, CodeUnknownParameter, "there is no parameter %q here%s", clip(name), suggest(name, allowed))
			e.Param = clip(name)
			return query{}, e
		}
		if len(values[name]) > 1 {
			return query{}, badParam(name, "%s is given %d times", name, len(values[name]))
		}
		if v := values.Get(name); !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return query{}, badParam(name, "%s is not valid text", name)
		}
	}
	return query{values: values, now: now, zone: zone}, nil
}

// suggest names what was probably meant, and what there is.
func suggest(name string, known []string) string {
	if len(known) == 0 {
		return "; this address takes none"
	}
	best, distance := "", 1+len(name)/2
	for _, k := range known {
		if d := nearest.Distance(strings.ToLower(name), k); d < distance {
			best, distance = k, d
		}
	}
	list := slices.Sorted(slices.Values(known))
	if best != "" {
		return "; did you mean " + strconv.Quote(best) + "?"
	}
	return "; it takes " + strings.Join(list, ", ")
}

func (q query) get(name string) string { return q.values.Get(name) }

// count reads a whole number from 0 to limit.
func (q query) count(name string, fallback, limit int) (int, error) {
	v := q.get(name)
	if v == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > limit {
		return 0, badParam(name, "%s must be a whole number from 0 to %d, not %q", name, limit, clip(v))
	}
	return n, nil
}

// flag reads 1, true, 0 or false; given is false when the parameter is absent.
func (q query) flag(name string) (value, given bool, err error) {
	switch v := q.get(name); v {
	case "":
		return false, false, nil
	case "1", "true":
		return true, true, nil
	case "0", "false":
		return false, true, nil
	default:
		return false, false, badParam(name, "%s must be true or false, not %q", name, clip(v))
	}
}

// choice reads one of a few words.
func (q query) choice(name, fallback string, words ...string) (string, error) {
	v := q.get(name)
	if v == "" {
		return fallback, nil
	}
	if !slices.Contains(words, v) {
		return "", badParam(name, "%s must be one of %s, not %q", name, strings.Join(words, ", "), clip(v))
	}
	return v, nil
}

// span reads since and until, and refuses an empty or reversed range.
func (q query) span() (since, until time.Time, err error) {
	if since, err = parseTime("since", q.get("since"), q.now, q.zone, false); err != nil {
		return
	}
	if until, err = parseTime("until", q.get("until"), q.now, q.zone, true); err != nil {
		return
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		err = badParam("until", "until (%s) is not after since (%s)", until.Format(time.RFC3339), since.Format(time.RFC3339))
	}
	return
}

// filterParams are the parameters that select calls.
var filterParams = []string{"since", "until", "customer", "feature", "model", "served_model", "upstream", "key", "outcome", "q", "unknown_cost", "sample", "root"}

// filter reads the parameters that select calls, and confines a key's holder to
// the calls of the own key: that is where a member's view ends, everywhere.
func (q query) filter(p access.Principal) (ledger.Filter, error) {
	f := ledger.Filter{
		KeyID: q.get("key"), Customer: q.get("customer"), Feature: q.get("feature"), Model: q.get("model"),
		ServedModel: q.get("served_model"), Upstream: q.get("upstream"), Root: q.get("root"), Text: q.get("q"),
	}
	var err error
	if f.Since, f.Until, err = q.span(); err != nil {
		return f, err
	}
	outcome, err := q.choice("outcome", "", string(ledger.OutcomeOK), string(ledger.OutcomeRefused), string(ledger.OutcomeError),
		string(ledger.OutcomeCanceled), string(ledger.OutcomeRecovered))
	if err != nil {
		return f, err
	}
	f.Outcome = ledger.Outcome(outcome)
	if f.UnknownCost, _, err = q.flag("unknown_cost"); err != nil {
		return f, err
	}
	if v, given, err := q.flag("sample"); err != nil {
		return f, err
	} else if given {
		f.Sample = &v
	}
	if len(f.Text) > 200 {
		return f, badParam("q", "q is longer than 200 bytes")
	}
	return f, confine(&f, p)
}

// confine limits a filter to what the principal may see.
func confine(f *ledger.Filter, p access.Principal) error {
	if p.Admin {
		return nil
	}
	if p.KeyID == "" {
		return model.Errorf(http.StatusForbidden, CodeAdminRequired, "only an administrator may see calls that belong to no key")
	}
	if f.KeyID != "" && f.KeyID != p.KeyID {
		return model.Errorf(http.StatusForbidden, CodeAdminRequired, "a key's holder sees only the calls of the own key")
	}
	f.KeyID = p.KeyID
	return nil
}

// encodeCursor hides a sequence number in an opaque cursor.
func encodeCursor(seq int64) string {
	b := append([]byte{cursorVersion}, binary.BigEndian.AppendUint64(nil, uint64(seq))...)
	return base64.RawURLEncoding.EncodeToString(b)
}

const cursorVersion = 1

func decodeCursor(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 9 || b[0] != cursorVersion || int64(binary.BigEndian.Uint64(b[1:])) <= 0 {
		e := model.Errorf(http.StatusBadRequest, CodeInvalidCursor, "the cursor is not one that this server gave; start again without it")
		e.Param = "cursor"
		return 0, e
	}
	return int64(binary.BigEndian.Uint64(b[1:])), nil
}

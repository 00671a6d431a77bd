package admin

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/model"
)

// cell is a field of a CSV file that is safe to open in a spreadsheet.
type cell string

// text makes a cell of text that others wrote. A spreadsheet takes a cell that
// begins with = + - or @ (or a tab or carriage return before them) for a
// formula, and runs it; a quote in front makes it text again.
func text(s string) cell {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		s = "'" + s
	}
	return cell(s)
}

// number and amount make cells of our own numbers, which may begin with a minus
// and must stay numbers.
func number(n int64) cell { return cell(strconv.FormatInt(n, 10)) }

func amount(a fmt.Stringer) cell { return cell(a.String()) }

// amountOrNone leaves an unknown amount empty: it is not zero.
func amountOrNone[T fmt.Stringer](a *T) cell {
	if a == nil {
		return ""
	}
	return cell((*a).String())
}

func decimalOrNone(v *float64) cell {
	if v == nil {
		return ""
	}
	return cell(strconv.FormatFloat(*v, 'f', -1, 64))
}

type csvWriter struct{ w *csv.Writer }

func newCSV(w http.ResponseWriter, name string) csvWriter {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="strata-`+csvName(name)+`.csv"`)
	// A byte-order mark: without it Excel reads UTF-8 as the local code page,
	// and 客户 becomes noise.
	_, _ = w.Write([]byte("\ufeff"))
	return csvWriter{csv.NewWriter(w)}
}

// row writes a row; a failure is reported by flush.
func (c csvWriter) row(cells ...cell) {
	row := make([]string, len(cells))
	for i, v := range cells {
		row[i] = string(v)
	}
	_ = c.w.Write(row)
}

// flush writes what is buffered. The reader may be gone, which is no error of
// ours, and the status is out already in any case.
func (c csvWriter) flush() error {
	c.w.Flush()
	return nil
}

// getCallsCSV writes every call that the filter selects, newest first.
func (s *service) getCallsCSV(w http.ResponseWriter, r *http.Request, p access.Principal) error {
	q, err := s.parseQuery(r, append([]string{"limit"}, filterParams...)...)
	if err != nil {
		return err
	}
	f, err := q.filter(p)
	if err != nil {
		return err
	}
	left, err := q.count("limit", 1_000_000, 1_000_000)
	if err != nil {
		return err
	}
	f.Limit = min(1000, left)
	calls, err := s.Ledger.Calls(r.Context(), f) // before the head is out, so that a failure is an error
	if err != nil {
		return err
	}
	c := newCSV(w, "calls")
	c.row("seq", "id", "parent", "root", "time", "customer", "feature", "key", "model", "served_model", "upstream", "op", "stream", "outcome", "status", "error_code",
		"prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "estimated", "cost_usd", "charge_usd", "margin_usd", "ttft_ms", "duration_ms", "sample")
	for len(calls) > 0 && left > 0 {
		for i := range calls {
			v := callOf(&calls[i])
			usage := [4]cell{}
			if u := v.Usage; u != nil {
				cached := u.Count[model.CacheRead] + u.Count[model.CacheReadAudio] + u.Count[model.CacheReadImage]
				usage = [4]cell{number(u.Prompt()), number(cached), number(u.Completion()), number(u.Count[model.Reasoning])}
			}
			c.row(number(v.Seq), text(v.ID), text(v.Parent), text(v.Root), cell(v.Time.Format(time.RFC3339Nano)), text(v.Customer), text(v.Feature), text(v.Key),
				text(v.Model), text(v.ServedModel), text(v.Upstream), text(v.Op), cell(strconv.FormatBool(v.Stream)), text(v.Outcome), number(int64(v.Status)), text(v.ErrorCode),
				usage[0], usage[1], usage[2], usage[3], cell(strconv.FormatBool(v.Estimated)), amountOrNone(v.CostUSD), amountOrNone(v.ChargeUSD), amountOrNone(v.MarginUSD),
				decimalOrNone(v.TTFTMs), cell(strconv.FormatFloat(v.DurationMs, 'f', -1, 64)), cell(strconv.FormatBool(v.Sample)))
		}
		left -= len(calls)
		if len(calls) < f.Limit {
			break
		}
		f.BeforeSeq = calls[len(calls)-1].Seq
		f.Limit = min(1000, left)
		if f.Limit == 0 {
			break
		}
		if calls, err = s.Ledger.Calls(r.Context(), f); err != nil {
			// The head is out: cut the connection, so that nobody takes half a
			// file for the whole.
			s.Log.Warn("an export of calls was cut", "error", err)
			panic(http.ErrAbortHandler)
		}
	}
	return c.flush()
}

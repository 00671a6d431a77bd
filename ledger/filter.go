package ledger

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/stratahq/strata/store"
)

// condition is a filter as SQL over calls c and corrections k.
type condition struct {
	where []string
	args  []any
	none  bool // nothing can match
}

func (c *condition) and(sql string, args ...any) {
	c.where = append(c.where, sql)
	c.args = append(c.args, args...)
}

func (c *condition) String() string {
	if len(c.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.where, " AND ")
}

// ids are the attributes of a filter as stored; -1 where the filter has none.
type ids struct{ customer, key, feature, model int64 }

// lookup finds the ids of a filter's attributes. ok is false when one of them
// has never been seen, so that nothing matches.
func lookup(q store.Querier, f *Filter) (v ids, ok bool, err error) {
	v = ids{-1, -1, -1, -1}
	find := func(table, column, text string, dst *int64) {
		if err != nil || text == "" {
			return
		}
		err = q.QueryRow("SELECT id FROM "+table+" WHERE "+column+" = ?", text).Scan(dst)
	}
	find("names", "text", f.KeyID, &v.key)
	find("names", "text", f.Feature, &v.feature)
	find("names", "text", f.Model, &v.model)
	find("tenants", "name", f.Customer, &v.customer)
	if v.customer < 0 && errors.Is(err, sql.ErrNoRows) && strings.HasPrefix(f.Customer, "erased-") {
		var n int64
		if _, e := fmt.Sscanf(f.Customer, "erased-%d", &n); e == nil {
			err = nil
			v.customer = n
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return v, false, nil
	}
	return v, err == nil, err
}

// timeRange is a filter's Since and Until in nanoseconds.
func (f *Filter) timeRange() (since, until int64) {
	since, until = math.MinInt64, math.MaxInt64
	if !f.Since.IsZero() {
		since = f.Since.UnixNano()
	}
	if !f.Until.IsZero() {
		until = f.Until.UnixNano()
	}
	return since, until
}

// seqRange bounds the numbers of the calls of a time range, through the table of
// hours: numbers follow the order of settlement, not of time, so this is a
// superset. ok is false when there are none.
func seqRange(q store.Querier, since, until int64) (first, last int64, ok bool, err error) {
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	if since != math.MinInt64 {
		lo = hourOf(since)
	}
	if until != math.MaxInt64 {
		hi = hourOf(until)
	}
	var a, b nullInt
	err = q.QueryRow("SELECT min(first), max(last) FROM hours WHERE hour BETWEEN ? AND ?", lo, hi).Scan(&a, &b)
	return a.v, b.v, a.ok, err
}

// condition builds the SQL of a filter.
func (l *Ledger) condition(q store.Querier, f *Filter) (*condition, error) {
	c := &condition{}
	v, ok, err := lookup(q, f)
	if err != nil {
		return nil, err
	}
	if !ok {
		c.none = true
		return c, nil
	}
	for _, x := range []struct {
		column string
		id     int64
	}{{"c.customer", v.customer}, {"c.key", v.key}, {"c.feature", v.feature}, {"c.model", v.model}} {
		if x.id >= 0 {
			c.and(x.column+" = ?", x.id)
		}
	}
	for _, x := range []struct{ column, text string }{{"c.served", f.ServedModel}, {"c.upstream", f.Upstream}} {
		if x.text != "" {
			c.and(x.column+" = (SELECT id FROM names WHERE text = ?)", x.text)
		}
	}
	if f.Outcome != "" {
		code, ok := outcomeCodes[f.Outcome]
		if !ok {
			return nil, fmt.Errorf("%w: outcome %.40q", ErrInvalid, f.Outcome)
		}
		c.and("c.outcome = ?", code)
		if code != 1 {
			c.and("c.outcome <> 1") // lets SQLite use the index of failures
		}
	}
	if f.Root != "" {
		id, err := parseID("root", f.Root)
		if err != nil {
			return nil, err
		}
		c.and("c.seq IN (SELECT seq FROM calls WHERE id = ? UNION ALL SELECT seq FROM calls WHERE root = ?)", id, id)
	}
	if f.Text != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(f.Text) + "%"
		var any []string
		for _, column := range []string{"c.model", "c.served", "c.feature", "c.key", "c.upstream", "c.code"} {
			any = append(any, column+` IN (SELECT id FROM names WHERE text LIKE ? ESCAPE '\')`)
			c.args = append(c.args, like)
		}
		any = append(any, `c.customer IN (SELECT id FROM tenants WHERE name LIKE ? ESCAPE '\')`, `c.error LIKE ? ESCAPE '\'`, `hex(c.id) LIKE ? ESCAPE '\'`)
		c.args = append(c.args, like, like, strings.ReplaceAll(like, "-", ""))
		c.where = append(c.where, "("+strings.Join(any, " OR ")+")")
	}
	if f.UnknownCost {
		c.and(`c.seq IN (SELECT seq FROM calls WHERE cost IS NULL UNION ALL SELECT seq FROM calls WHERE corrected IS NOT NULL)
 AND CASE WHEN c.corrected IS NULL THEN c.cost ELSE k.cost END IS NULL`)
	}
	if f.Sample != nil {
		if *f.Sample {
			c.and("c.flags & 8")
		} else {
			c.and("NOT c.flags & 8")
		}
	}
	since, until := f.timeRange()
	if since != math.MinInt64 || until != math.MaxInt64 {
		first, last, ok, err := seqRange(q, since, until)
		if err != nil {
			return nil, err
		}
		if !ok || since >= until {
			c.none = true
			return c, nil
		}
		c.and("c.seq BETWEEN ? AND ?", first, last)
		c.and("c.time >= ? AND c.time < ?", since, until)
	}
	if f.BeforeSeq > 0 {
		c.and("c.seq < ?", f.BeforeSeq)
	}
	if f.AfterSeq > 0 {
		c.and("c.seq > ?", f.AfterSeq)
	}
	return c, nil
}

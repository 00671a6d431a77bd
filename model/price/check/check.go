// Package check runs metering and pricing cases: one provider reply with the
// prices to use, and what it must come to. The reply goes through the same
// parser and the same rating as a call of the gateway; no catalog and no network
// are used.
package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/usage"
	"github.com/stratahq/strata/money"
)

// Case is one line of a file of cases.
type Case struct {
	ID       Text `json:"id"`
	Why      Text `json:"why"`
	Source   Text `json:"source"`
	Provider Text `json:"provider"`
	Surface  Text `json:"surface"`
	Model    Text `json:"model"`

	BodyFormat Text            `json:"body_format"`
	Body       json.RawMessage `json:"body"`
	Context    Context         `json:"context"`
	Prices     json.RawMessage `json:"prices"`

	Buckets          map[string]json.RawMessage `json:"expected_buckets"`
	Cost             json.RawMessage            `json:"expected_cost_usd"`
	CostBasis        Text                       `json:"cost_basis"`
	Estimated        *bool                      `json:"estimated"`
	EstimatedBuckets *[]string                  `json:"estimated_buckets"`
	Policy           Text                       `json:"policy"`

	// unread says which field of the case could not be read; the case then fails.
	unread error
}

// Text is a string. Whatever else stands in its place is kept as it is written,
// so that a remark in another form does not make a file unreadable; null is "".
type Text string

// UnmarshalJSON reads a string, or keeps the text of anything else.
func (t *Text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		s = string(b)
	}
	*t = Text(s)
	return nil
}

// count is a whole number in any notation of JSON, or nil.
type count struct{ n *int64 }

// UnmarshalJSON reads 40, 40.0 or "40".
func (c *count) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var d money.Decimal
	if err := d.UnmarshalJSON(b); err != nil {
		return err
	}
	n, ok := d.Int64()
	if !ok {
		return fmt.Errorf("%s is no whole number", d)
	}
	c.n = &n
	return nil
}

func (c count) orZero() int64 {
	if c.n == nil {
		return 0
	}
	return *c.n
}

// Context is what the gateway knows besides the reply.
type Context struct {
	Request   json.RawMessage `json:"request"`
	At        Text            `json:"at"`
	Batch     bool            `json:"batch"`
	EndedBy   Text            `json:"ended_by"`
	MaxOutput count           `json:"model_max_output_tokens"`
	MaxInput  count           `json:"model_max_input_tokens"`
	Estimate  *struct {
		Prompt     count `json:"prompt_tokens"`
		Completion count `json:"completion_tokens"`
	} `json:"estimate"`
}

// usageContext is the context in the parser's form.
func (c *Case) usageContext(card *price.Card) usage.Context {
	ctx := usage.Context{
		Request: c.Context.Request, Model: string(c.Model), EndedBy: string(c.Context.EndedBy),
		MaxOutput: c.Context.MaxOutput.orZero(), MaxInput: c.Context.MaxInput.orZero(), Priced: card.Priced(),
	}
	if e := c.Context.Estimate; e != nil {
		ctx.Estimate = &usage.Estimate{Prompt: e.Prompt.n, Completion: e.Completion.n}
	}
	if card.Reported != nil {
		ctx.CostPath, ctx.CostDivisor = card.Reported.Path, card.Reported.DivideBy
	}
	return ctx
}

// Outcome is what a case came to.
type Outcome struct {
	ID               string       `json:"id"`
	OK               bool         `json:"ok"`
	Buckets          *model.Usage `json:"buckets"`
	CostUSD          *string      `json:"cost_usd"`
	Estimated        bool         `json:"estimated"`
	EstimatedBuckets []string     `json:"estimated_buckets"`
	Flags            []string     `json:"flags"`
	Unpriced         []string     `json:"unpriced"`
	// Error says what was expected and what came instead; null when ok.
	Error *string `json:"error"`
	// Policy is set on a case that differs where several expectations are
	// acceptable. It is no failure.
	Policy string `json:"policy,omitempty"`

	// Basis is where the cost comes from.
	Basis price.Basis `json:"-"`
	// Lines are the lines of the cost, for people.
	Lines []money.Line `json:"-"`
}

// Summary counts outcomes. A case that is neither ok nor failed differs where
// its policy allows it.
type Summary struct {
	Cases  int `json:"cases"`
	OK     int `json:"ok"`
	Failed int `json:"failed"`
	// Policy is the number of cases that differ from one of several acceptable
	// expectations.
	Policy int `json:"policy,omitempty"`
}

// Add counts one outcome.
func (s *Summary) Add(o *Outcome) {
	s.Cases++
	switch {
	case o.OK:
		s.OK++
	case o.Policy != "":
		s.Policy++
	default:
		s.Failed++
	}
}

// ErrFile is matched by the errors of Read.
var ErrFile = errors.New("cannot read the cases")

// Read reads a file of cases, one JSON object a line. Blank lines are skipped.
func Read(name string, r io.Reader) ([]Case, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	var cases []Case
	for i, line := range bytes.Split(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if !json.Valid(line) || line[0] != '{' {
			return nil, fmt.Errorf("%w: %s:%d: not a JSON object", ErrFile, name, i+1)
		}
		var c Case
		if err := json.Unmarshal(line, &c); err != nil {
			c.unread = fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		if c.ID == "" {
			c.ID = Text(fmt.Sprintf("line-%d", i+1))
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("%w: %s holds no case", ErrFile, name)
	}
	return cases, nil
}

// Run runs one case.
func Run(c *Case) Outcome {
	o := Outcome{ID: string(c.ID), Buckets: &model.Usage{}, EstimatedBuckets: []string{}, Flags: []string{}, Unpriced: []string{}}
	problems, err := c.run(&o)
	if err != nil {
		problems = append(problems, err.Error())
	}
	o.OK = len(problems) == 0
	if !o.OK {
		text := strings.Join(problems, "; ")
		o.Error = &text
		if c.Policy != "" && err == nil {
			o.Policy = string(c.Policy)
		}
	}
	return o
}

func (c *Case) run(o *Outcome) (problems []string, err error) {
	if c.unread != nil {
		return nil, c.unread
	}
	card, err := price.ParseCardLenient(orEmpty(c.Prices))
	if err != nil {
		return nil, err
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	at, err := c.at()
	if err != nil {
		return nil, err
	}
	r := usage.Parse(string(c.Provider), string(c.Surface), c.usageContext(card), body, string(c.BodyFormat))
	u := r.Usage
	card.Complete(u)
	for _, key := range card.Notes {
		u.Flag("unknown_price_key:" + key)
	}
	rating, err := card.Rate(u, price.Query{At: at, Batch: c.Context.Batch, Surface: string(c.Surface), SearchContext: r.SearchContext})
	if err != nil && !errors.Is(err, money.ErrOverflow) {
		return nil, err
	}
	o.Buckets, o.Basis, o.Lines = u, rating.Basis, rating.Lines
	o.Estimated, o.EstimatedBuckets = u.Estimated != 0, u.Estimated.Names()
	o.Flags = append(o.Flags, u.Flags...)
	o.Unpriced = rating.UnpricedNames()
	if rating.Known {
		cost := rating.Total.String()
		o.CostUSD = &cost
	}
	return c.compare(o, &rating)
}

func orEmpty(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return []byte("{}")
	}
	return raw
}

// body is the reply's bytes: a stream's text is given as a JSON string.
func (c *Case) body() ([]byte, error) {
	raw := bytes.TrimSpace(c.Body)
	if len(raw) > 0 && raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
		return []byte(text), nil
	}
	return raw, nil
}

var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02"}

func (c *Case) at() (time.Time, error) {
	if c.Context.At == "" {
		return time.Time{}, nil
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, string(c.Context.At)); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("context.at: %q is no time; write it as 2026-07-24T03:00:00Z", c.Context.At)
}

// compare lists how the outcome differs from what the case expects. A field
// that the case does not have is not compared.
func (c *Case) compare(o *Outcome, r *price.Rating) (problems []string, err error) {
	if c.Buckets != nil {
		want := &model.Usage{}
		data, err := json.Marshal(c.Buckets)
		if err != nil {
			return nil, fmt.Errorf("expected_buckets: %w", err)
		}
		if err := want.UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("expected_buckets: %w", err)
		}
		for b := range model.NumBuckets {
			if w, g := want.Quantity(b), o.Buckets.Quantity(b); w.Cmp(g) != 0 {
				problems = append(problems, fmt.Sprintf("%s: expected %s, got %s", b, w, g))
			}
		}
	}
	if len(c.Cost) > 0 {
		got := "null"
		if o.CostUSD != nil {
			got = *o.CostUSD
		}
		if string(c.Cost) == "null" {
			if o.CostUSD != nil {
				problems = append(problems, "cost_usd: expected null, got "+got)
			}
		} else {
			var want money.Decimal
			if err := want.UnmarshalJSON(c.Cost); err != nil {
				return nil, fmt.Errorf("expected_cost_usd: %w", err)
			}
			if o.CostUSD == nil || want.Cmp(r.Total) != 0 {
				problem := "cost_usd: expected " + want.String() + ", got " + got
				if len(o.Unpriced) > 0 {
					problem += " (no price for " + strings.Join(o.Unpriced, ", ") + ")"
				}
				problems = append(problems, problem)
			}
		}
	}
	if c.CostBasis != "" && o.CostUSD != nil && string(c.CostBasis) != string(o.Basis) {
		problems = append(problems, "cost_basis: expected "+string(c.CostBasis)+", got "+string(o.Basis))
	}
	if c.Estimated != nil && *c.Estimated != o.Estimated {
		problems = append(problems, fmt.Sprintf("estimated: expected %t, got %t", *c.Estimated, o.Estimated))
	}
	if c.EstimatedBuckets != nil {
		want, got := slices.Sorted(slices.Values(*c.EstimatedBuckets)), slices.Sorted(slices.Values(o.EstimatedBuckets))
		if !slices.Equal(want, got) {
			problems = append(problems, fmt.Sprintf("estimated_buckets: expected [%s], got [%s]", strings.Join(want, " "), strings.Join(got, " ")))
		}
	}
	return problems, nil
}

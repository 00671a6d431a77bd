package price

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// ErrTariff is matched by errors in the tariffs of a configuration.
var ErrTariff = errors.New("invalid tariffs")

// PassThrough is the name of the tariff that charges the cost.
const PassThrough = "pass-through"

// Sale is what a charge depends on besides the usage and its cost.
type Sale struct {
	At       time.Time
	Customer string
	Provider string
	Model    string // the name that the customer asked for
	Served   string // the upstream's own name for it
	Query    Query
}

// Tariff is what a customer is charged from a date on: a price of its own for
// the models in its list, and a share on top of the cost for all others.
type Tariff struct {
	Name string
	From time.Time // zero: always
	// Markup is the share on top of the cost: 0.2 is 20 %. It may be negative,
	// down to -1. Nil means that models outside the list are charged at cost
	// when there is no list, and have no known charge when there is one.
	Markup *money.Decimal
	// List holds the prices that do not depend on the cost.
	List *Book
	// PerCall is a fee on top of every call that consumed something.
	PerCall money.Decimal

	digest string
}

// Version names the tariff for good, such as "partner@2026-01-01#1a2b3c4d".
func (t *Tariff) Version() string {
	if t == nil || t.Name == PassThrough {
		return PassThrough
	}
	v := t.Name
	if !t.From.IsZero() {
		v += "@" + t.From.Format(time.DateOnly)
	}
	return v + "#" + t.digest
}

// Charge is what the customer pays for a call that was rated at cost. It is
// exact like a cost: Total is never rounded, each line once. The charge is not
// known when it depends on a cost that is not.
func (t *Tariff) Charge(cost Rating, u *model.Usage, s Sale) (Rating, error) {
	if t == nil {
		return cost, nil
	}
	out := Rating{Version: t.Version(), Source: "tariff " + t.Version(), Basis: BasisPriced}
	if t.List != nil {
		card, ok := t.List.Find(s.Provider, s.Model, s.At)
		if !ok && s.Served != "" {
			card, ok = t.List.Find(s.Provider, s.Served, s.At)
		}
		if ok {
			q := s.Query
			q.At = s.At
			r, err := card.Rate(u, q)
			if err != nil {
				return out, fmt.Errorf("tariff %s: %w", t.Name, err)
			}
			r.Version, r.Source = out.Version, out.Source
			return t.addFee(r, u)
		}
		if t.Markup == nil {
			return out, nil
		}
	}
	if !cost.Known {
		out.Unpriced = cost.Unpriced
		return out, nil
	}
	if t.Markup == nil || t.Markup.IsZero() {
		out.Lines, out.Total, out.Known, out.Basis = cost.Lines, cost.Total, true, cost.Basis
		return t.addFee(out, u)
	}
	factor := money.Int(1).Add(*t.Markup)
	for i := range cost.Lines {
		l := &cost.Lines[i]
		line, err := money.NewLine(l.Item, l.Quantity, l.UnitPrice.Mul(factor))
		if err != nil {
			return out, fmt.Errorf("tariff %s: %w", t.Name, err)
		}
		out.Lines = append(out.Lines, line)
		out.Total = out.Total.Add(amount(&line))
	}
	out.Known = true
	return t.addFee(out, u)
}

// addFee adds the fee per call.
func (t *Tariff) addFee(r Rating, u *model.Usage) (Rating, error) {
	if t.PerCall.IsZero() || !r.Known || u == nil || u.IsZero() {
		return r, nil
	}
	line, err := money.NewLine("call", money.Int(1), t.PerCall)
	if err != nil {
		return r, fmt.Errorf("tariff %s: %w", t.Name, err)
	}
	r.Lines = append(slices.Clip(r.Lines), line)
	r.Total = r.Total.Add(amount(&line))
	return r, nil
}

// Tariffs choose a tariff by customer and date.
type Tariffs struct {
	fallback  string
	customers map[string]string
	plans     map[string][]*Tariff // descending by From
}

// For is the tariff of a customer at a time; nil charges the cost. A customer
// whose plan has not begun is charged by the default plan.
func (t *Tariffs) For(customer string, at time.Time) *Tariff {
	if t == nil {
		return nil
	}
	for _, name := range []string{t.customers[customer], t.fallback} {
		for _, plan := range t.plans[name] {
			if at.IsZero() || !plan.From.After(at) {
				return plan
			}
		}
		if name == PassThrough {
			return nil
		}
	}
	return nil
}

// Charge chooses the customer's tariff and applies it.
func (t *Tariffs) Charge(cost Rating, u *model.Usage, s Sale) (tariff string, charge Rating, err error) {
	plan := t.For(s.Customer, s.At)
	charge, err = plan.Charge(cost, u, s)
	return plan.Version(), charge, err
}

// ParseTariffs reads tariffs:
//
//	default: partner            # pass-through when not given
//	customers: {acme: list}
//	plans:
//	  partner: {markup: 20 %}
//	  list:
//	    - {from: 2026-01-01, prices: {gpt-4o: {input: 3 USD/Mtok, output: 12 USD/Mtok}}}
//	    - {from: 2026-07-01, markup: 15 %, per_call: 0.001 USD}
//
// The file is read strictly: errors carry file:line.
func ParseTariffs(file string, data []byte) (*Tariffs, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrTariff, file, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.MappingNode && len(root.Content) == 2 && root.Content[0].Value == "tariffs" {
		root = root.Content[1]
	}
	return TariffsNode(file, root)
}

// TariffsNode is ParseTariffs for a mapping inside a larger YAML file. No
// mapping at all gives nil, which charges the cost.
func TariffsNode(file string, n *yaml.Node) (*Tariffs, error) {
	if n == nil || n.Kind == 0 || n.Tag == "!!null" {
		return nil, nil
	}
	p := tariffParser{file}
	t := &Tariffs{fallback: PassThrough, customers: map[string]string{}, plans: map[string][]*Tariff{}}
	var names []*yaml.Node // places where a plan is named
	err := p.members(n, func(k, v *yaml.Node) error {
		switch k.Value {
		case "default":
			t.fallback = v.Value
			names = append(names, v)
		case "customers":
			return p.members(v, func(k, v *yaml.Node) error {
				t.customers[k.Value] = v.Value
				names = append(names, v)
				return nil
			})
		case "plans":
			return p.members(v, func(k, v *yaml.Node) error {
				plans, err := p.plans(k, v)
				t.plans[k.Value] = plans
				return err
			})
		default:
			return p.errorf(k, "unknown key %q; the keys are default, customers and plans", k.Value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if _, ok := t.plans[n.Value]; !ok && n.Value != PassThrough {
			return nil, p.errorf(n, "there is no plan %q", n.Value)
		}
	}
	return t, nil
}

type tariffParser struct{ file string }

func (p tariffParser) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrTariff, p.file, n.Line, fmt.Sprintf(format, args...))
}

// members visits the members of a mapping, each key once.
func (p tariffParser) members(n *yaml.Node, visit func(k, v *yaml.Node) error) error {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		return p.errorf(n, "must be a mapping")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		if seen[k.Value] {
			return p.errorf(k, "the key %q stands twice", k.Value)
		}
		seen[k.Value] = true
		if err := visit(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (p tariffParser) plans(k, v *yaml.Node) ([]*Tariff, error) {
	if k.Value == PassThrough {
		return nil, p.errorf(k, "%s is the name of the tariff that charges the cost; choose another", PassThrough)
	}
	items := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		items = v.Content
	}
	var plans []*Tariff
	for _, item := range items {
		t, err := p.plan(k.Value, resolve(item))
		if err != nil {
			return nil, err
		}
		for _, other := range plans {
			if other.From.Equal(t.From) {
				return nil, p.errorf(item, "%s: two tariffs from the same date", k.Value)
			}
		}
		plans = append(plans, t)
	}
	slices.SortFunc(plans, func(a, b *Tariff) int { return b.From.Compare(a.From) })
	return plans, nil
}

func (p tariffParser) plan(name string, n *yaml.Node) (*Tariff, error) {
	t := &Tariff{Name: name}
	sum := sha256.New()
	err := p.members(n, func(k, v *yaml.Node) error {
		switch k.Value {
		case "from":
			from, err := time.Parse(time.DateOnly, v.Value)
			if err != nil {
				return p.errorf(v, "%s: from: %q is no date; write 2026-01-31", name, v.Value)
			}
			t.From = from
		case "markup":
			m, err := percentage(v.Value)
			if err != nil {
				return p.errorf(v, "%s: markup: %v", name, err)
			}
			t.Markup = &m
		case "per_call":
			d, err := rate(model.RequestFee, v)
			if err != nil {
				return p.errorf(v, "%s: per_call: %v", name, err)
			}
			t.PerCall = d
		case "prices":
			list, err := OverridesNode(p.file, v)
			if err != nil {
				return err
			}
			t.List = list
			for _, e := range list.all() {
				fmt.Fprintf(sum, "%s\n", e.get().Version)
			}
		default:
			return p.errorf(k, "%s: unknown key %q; the keys are from, markup, per_call and prices", name, k.Value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	markup := "none"
	if t.Markup != nil {
		markup = t.Markup.String()
	}
	fmt.Fprintf(sum, "%s %s", markup, t.PerCall)
	t.digest = hex.EncodeToString(sum.Sum(nil)[:4])
	return t, nil
}

// percentage reads "20 %" or "-5%". A number without the sign would be read as
// a share by some and as a percentage by others.
func percentage(s string) (money.Decimal, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(s), "%")
	if !ok {
		return money.Decimal{}, fmt.Errorf("%q is no percentage; write 20 %%", s)
	}
	d, err := money.ParseDecimal(strings.TrimSpace(number))
	if err != nil {
		return d, fmt.Errorf("%q is no percentage; write 20 %%", s)
	}
	if d.Cmp(money.Int(-100)) < 0 {
		return d, fmt.Errorf("%q takes off more than the cost", s)
	}
	return d.Shift(-2), nil
}

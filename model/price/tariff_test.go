package price

import (
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
)

const tariffText = `
default: partner
customers: {acme: list, globex: pass-through, late: soon}
plans:
  partner: {markup: 20 %}
  list:
    - {from: 2026-01-01, prices: {gpt-4o: {input: 3 USD/Mtok, output: 12 USD/Mtok}}}
    - {from: 2026-07-01, markup: -5 %, per_call: 0.001 USD, prices: {gpt-4o: {input: 4 USD/Mtok, output: 12 USD/Mtok}}}
  soon: {from: 2030-01-01, markup: 1 %}
`

func TestTariffs(t *testing.T) {
	tariffs, err := ParseTariffs("strata.yaml", []byte(tariffText))
	if err != nil {
		t.Fatal(err)
	}
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.Output] = 1000, 100
	card := mustCard(t, `{"per_million": {"input": "2.50", "output": "10"}}`)
	cost, err := card.Rate(u, Query{})
	if err != nil {
		t.Fatal(err)
	}
	unknown := Rating{Unpriced: []model.Bucket{model.Output}}
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tc := range []struct {
		name, customer, model, date string
		cost                        Rating
		want, version               string // want "" is an unknown charge
	}{
		{"markup", "someone", "gpt-4o", "2026-02-01", cost, "0.0042", "partner#"},
		{"pass-through", "globex", "gpt-4o", "2026-02-01", cost, "0.0035", "pass-through"},
		{"own list", "acme", "gpt-4o", "2026-02-01", cost, "0.0042", "list@2026-01-01#"},
		{"own list, served under another name", "acme", "alias", "2026-02-01", cost, "0.0042", "list@2026-01-01#"},
		{"own list needs no cost", "acme", "gpt-4o", "2026-02-01", unknown, "0.0042", "list@2026-01-01#"},
		{"later list and fee", "acme", "gpt-4o", "2026-07-01", cost, "0.0062", "list@2026-07-01#"},
		{"model outside the list without a markup", "acme", "other", "2026-02-01", cost, "", "list@2026-01-01#"},
		{"model outside the list with a discount and a fee", "acme", "other", "2026-07-01", cost, "0.004325", "list@2026-07-01#"},
		{"before the list begins the default holds", "acme", "gpt-4o", "2025-12-31", cost, "0.0042", "partner#"},
		{"a plan that has not begun", "late", "gpt-4o", "2026-02-01", cost, "0.0042", "partner#"},
		{"markup of an unknown cost", "someone", "gpt-4o", "2026-02-01", unknown, "", "partner#"},
		{"pass-through of an unknown cost", "globex", "gpt-4o", "2026-02-01", unknown, "", "pass-through"},
	} {
		s := Sale{At: day(tc.date), Customer: tc.customer, Provider: "openai", Model: tc.model}
		if tc.model == "alias" {
			s.Served = "gpt-4o"
		}
		version, charge, err := tariffs.Charge(tc.cost, u, s)
		got := ""
		if charge.Known {
			got = charge.Total.String()
		}
		if err != nil || got != tc.want || !strings.HasPrefix(version, tc.version) {
			t.Errorf("%s: charge %q by %s, error %v; want %q by %s", tc.name, got, version, err, tc.want, tc.version)
		}
	}
	var none *Tariffs
	if version, charge, err := none.Charge(cost, u, Sale{}); err != nil || version != PassThrough || charge.Total.Cmp(cost.Total) != 0 {
		t.Errorf("without tariffs: %s, %+v, %v", version, charge, err)
	}
	if len(cost.Lines) != 2 || cost.Total.String() != "0.0035" {
		t.Errorf("charging changed the cost: %+v", cost)
	}
}

func TestTariffErrorsNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"default: gold":                               `s.yaml:1: there is no plan "gold"`,
		"plans:\n  a: {markup: 20}":                   `s.yaml:2: a: markup: "20" is no percentage`,
		"plans:\n  a: {markup: -120 %}":               "takes off more than the cost",
		"plans:\n  a:\n    markdown: 3 %":             `s.yaml:3: a: unknown key "markdown"`,
		"plans:\n  a: {prices: {m: {input: 1}}}":      "s.yaml:2: m: input",
		"plan: {}":                                    `unknown key "plan"`,
		"plans:\n  pass-through: {markup: 1 %}":       "choose another",
		"plans:\n  a: [{markup: 1 %}, {markup: 2 %}]": "two tariffs from the same date",
		"customers: {x: a, x: b}":                     "s.yaml",
	} {
		_, err := ParseTariffs("s.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

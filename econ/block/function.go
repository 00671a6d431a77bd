package block

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/infra/catalog"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/unit"
)

// bind is what a [formula.Function] does with its texts.
type bind = func(texts []string) (unit.Unit, func([]float64) float64, error)

// Functions are the Go functions that every block and scenario may call; they
// look figures up in a catalog, which is the embedded one when nil, and in the
// price book.
func Functions(c *catalog.Catalog) []formula.Function {
	with := func(f func(c *catalog.Catalog, texts []string) (float64, string, error)) bind {
		return func(texts []string) (unit.Unit, func([]float64) float64, error) {
			c := c
			if c == nil {
				var err error
				if c, err = catalog.Load(); err != nil {
					return unit.Unit{}, nil, err
				}
			}
			v, name, err := f(c, texts)
			if err != nil {
				return unit.Unit{}, nil, err
			}
			u, err := unit.ParseUnit(name)
			return u, func([]float64) float64 { return v * u.Scale }, err
		}
	}
	return []formula.Function{
		{
			Name: "accelerator", Texts: 2, Bind: with(accelerator), Source: "strata catalog show NAME",
			Doc: "a figure of an accelerator: accelerator(NAME, WHAT), where WHAT is memory, bandwidth, tdp, or a number format such as fp16 for the dense peak",
		},
		{
			Name: "rental", Texts: 4, Bind: with(rental), Source: "strata catalog list offers --accelerator NAME",
			Doc: "the rent of one accelerator for an hour: rental(ACCELERATOR, PROVIDER, COMMITMENT, DAY), the cheapest of the provider's latest offers until then; COMMITMENT is on_demand, 1y, 3y or spot",
		},
		{
			Name: "model", Texts: 2, Bind: with(modelFigure), Source: "strata catalog show NAME",
			Doc: "a figure of a published model: model(NAME, WHAT), where WHAT is parameters, active (those that one token uses), context, or kv_bytes (per token, 16 bit)",
		},
		{
			Name: "electricity", Texts: 2, Bind: with(electricity), Source: "strata catalog show PLACE",
			Doc: "the price of electricity: electricity(PLACE, DAY)",
		},
		{
			Name: "api_price", Texts: 3, Bind: with(apiPrice), Source: "strata price show MODEL --at DAY",
			Doc: "what a provider charges: api_price(MODEL, WHAT, DAY), where MODEL may be PROVIDER/MODEL, and WHAT is input, output, cache_read or another bucket of the price book",
		},
	}
}

func dayOf(text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, fmt.Errorf("%q is no day; write for example 2026-01-31", text)
	}
	return day, nil
}

func accelerator(c *catalog.Catalog, texts []string) (float64, string, error) {
	a, err := c.Accelerator(texts[0])
	if err != nil {
		return 0, "", err
	}
	v, u := 0.0, "FLOP/s"
	switch texts[1] {
	case "memory":
		v, u = a.Memory, "B"
	case "bandwidth":
		v, u = a.Bandwidth, "B/s"
	case "tdp":
		v, u = a.TDP, "W"
	default:
		if v, err = a.PeakOf(catalog.DType(texts[1])); err != nil {
			return 0, "", fmt.Errorf("%w; or memory, bandwidth, tdp", err)
		}
	}
	if v == 0 {
		return 0, "", fmt.Errorf("the catalog has no %s of %s; give the figure with its source", texts[1], a.Name)
	}
	return v, u, nil
}

func rental(c *catalog.Catalog, texts []string) (float64, string, error) {
	day, err := dayOf(texts[3])
	if err != nil {
		return 0, "", err
	}
	offers, err := c.OffersFor(texts[0], day)
	if err != nil {
		return 0, "", err
	}
	var others []string
	for _, o := range offers { // the cheapest comes first
		if strings.EqualFold(o.Provider, texts[1]) && string(o.Commitment) == texts[2] {
			return o.Price, "USD/h", nil
		}
		if other := o.Provider + " " + string(o.Commitment); !slices.Contains(others, other) {
			others = append(others, other)
		}
	}
	hint := "there are none until then"
	if len(others) > 0 {
		slices.Sort(others)
		hint = "there are: " + strings.Join(others[:min(len(others), 8)], ", ")
	}
	return 0, "", fmt.Errorf("the catalog has no offer of %s by %s, %s, on %s; %s", texts[0], texts[1], texts[2], texts[3], hint)
}

func modelFigure(c *catalog.Catalog, texts []string) (float64, string, error) {
	m, err := c.Model(texts[0])
	if err != nil {
		return 0, "", err
	}
	switch texts[1] {
	case "parameters":
		return m.Params().Total(), "", nil
	case "active":
		return m.Params().Active(), "", nil
	case "context":
		return float64(m.Context), "tokens", nil
	case "kv_bytes":
		return m.KVBytesPerToken(catalog.FP16), "B/token", nil
	}
	return 0, "", fmt.Errorf("no figure %q of a model; there are parameters, active, context, kv_bytes", texts[1])
}

func electricity(c *catalog.Catalog, texts []string) (float64, string, error) {
	day, err := dayOf(texts[1])
	if err != nil {
		return 0, "", err
	}
	p, err := c.Power(texts[0])
	if err != nil {
		return 0, "", err
	}
	at, ok := p.At(day)
	if !ok {
		return 0, "", fmt.Errorf("the catalog has no price of electricity in %s on %s or before", p.Name, texts[1])
	}
	return at.Price, "USD/kWh", nil
}

// apiPrice finds a price for estimates; it is a float64 here and never becomes a
// ledger line.
func apiPrice(_ *catalog.Catalog, texts []string) (float64, string, error) {
	day, err := dayOf(texts[2])
	if err != nil {
		return 0, "", err
	}
	card, ok := price.Catalog().Find("", texts[0], day)
	if !ok {
		return 0, "", fmt.Errorf("the price book has no price of %q on %s; search with \"strata price list --search %s\"", texts[0], texts[2], texts[0])
	}
	usd, tokens, ok, err := card.Base.Named(texts[1])
	if err != nil {
		return 0, "", err
	}
	if !ok {
		return 0, "", fmt.Errorf("the price book has no price of %s for %q on %s", texts[1], texts[0], texts[2])
	}
	v, err := strconv.ParseFloat(usd.String(), 64)
	if err != nil {
		return 0, "", err
	}
	if tokens {
		return v, "USD/token", nil
	}
	return v, "USD", nil
}

package block

import (
	"fmt"
	"strconv"
	"time"

	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/infra/catalog"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/unit"
)

// Functions are the Go functions that every block and scenario may call.
func Functions() []formula.Function {
	return []formula.Function{
		{
			Name: "accelerator", Texts: 2,
			Doc:    "a figure of an accelerator of the catalog: accelerator(NAME, WHAT), where WHAT is memory, bandwidth, tdp, or a number format such as fp16 for the dense peak",
			Source: "strata catalog show NAME",
			Bind:   bindAccelerator,
		},
		{
			Name: "api_price", Texts: 3,
			Doc:    "what a provider charges: api_price(MODEL, WHAT, DAY), where MODEL may be PROVIDER/MODEL, WHAT is input, output, cache_read or another bucket of the price book, and DAY is written 2026-01-31",
			Source: "strata price show MODEL --at DAY",
			Bind:   bindPrice,
		},
	}
}

func bindAccelerator(texts []string) (unit.Unit, func([]float64) float64, error) {
	c, err := catalog.Load()
	if err != nil {
		return unit.Unit{}, nil, err
	}
	a, err := c.Accelerator(texts[0])
	if err != nil {
		return unit.Unit{}, nil, err
	}
	var v float64
	u := ""
	switch texts[1] {
	case "memory":
		v, u = a.Memory, "B"
	case "bandwidth":
		v, u = a.Bandwidth, "B/s"
	case "tdp":
		v, u = a.TDP, "W"
	default:
		u = "FLOP/s"
		if v, err = a.PeakOf(catalog.DType(texts[1])); err != nil {
			return unit.Unit{}, nil, fmt.Errorf("%w; or memory, bandwidth, tdp", err)
		}
	}
	if v == 0 {
		return unit.Unit{}, nil, fmt.Errorf("the catalog has no %s of %s; give the figure with its source", texts[1], a.Name)
	}
	p, err := unit.ParseUnit(u)
	return p, always(v), err
}

func always(v float64) func([]float64) float64 { return func([]float64) float64 { return v } }

// bindPrice finds a price for estimates; it is a float64 here and never becomes a
// ledger line.
func bindPrice(texts []string) (unit.Unit, func([]float64) float64, error) {
	day, err := time.Parse(time.DateOnly, texts[2])
	if err != nil {
		return unit.Unit{}, nil, fmt.Errorf("%q is no day; write for example 2026-01-31", texts[2])
	}
	card, ok := price.Catalog().Find("", texts[0], day)
	if !ok {
		return unit.Unit{}, nil, fmt.Errorf("the price book has no price of %q on %s; search with \"strata price list --search %s\"", texts[0], texts[2], texts[0])
	}
	usd, tokens, ok, err := card.Base.Named(texts[1])
	if err != nil {
		return unit.Unit{}, nil, err
	}
	if !ok {
		return unit.Unit{}, nil, fmt.Errorf("the price book has no price of %s for %q on %s", texts[1], texts[0], texts[2])
	}
	v, err := strconv.ParseFloat(usd.String(), 64)
	if err != nil {
		return unit.Unit{}, nil, err
	}
	name := "USD"
	if tokens {
		name = "USD/token"
	}
	u, err := unit.ParseUnit(name)
	return u, always(v), err
}

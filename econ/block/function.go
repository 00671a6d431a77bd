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
type bind = func(texts []string) (formula.Bound, error)

// figure is what was looked up: a number in a unit, and where it comes from.
type figure struct {
	value        float64
	unit, source string
}

// Functions are the Go functions that every block and scenario may call; they
// look figures up in a catalog, which is the embedded one when nil, and in the
// price book.
func Functions(c *catalog.Catalog) []formula.Function {
	with := func(f func(c *catalog.Catalog, texts []string) (figure, error)) bind {
		return func(texts []string) (formula.Bound, error) {
			c := c
			if c == nil {
				var err error
				if c, err = catalog.Load(); err != nil {
					return formula.Bound{}, err
				}
			}
			x, err := f(c, texts)
			if err != nil {
				return formula.Bound{}, err
			}
			u, err := unit.ParseUnit(x.unit)
			return formula.Bound{Unit: u, Call: func([]float64) float64 { return x.value * u.Scale }, Source: x.source}, err
		}
	}
	return []formula.Function{
		{
			Name: "accelerator", Texts: 2, Bind: with(accelerator), Source: "strata catalog show NAME",
			Doc: "a figure of an accelerator: accelerator(NAME, WHAT), where WHAT is memory, bandwidth, tdp, or a number format such as fp16 for the dense peak",
		},
		{
			Name: "rental", Texts: 4, Bind: with(rental), Source: "strata catalog list offers --accelerator NAME",
			Doc: "the rent of one accelerator for an hour: rental(ACCELERATOR, PROVIDER, COMMITMENT, DAY), the cheapest of the provider's offers on its latest day until then; COMMITMENT is on_demand, 1y, 3y or spot",
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

// per is the figure for n units instead of one.
func (f figure) per(n float64) figure {
	f.value *= n
	return f
}

// sourced is the source of a catalog entry; an unverified one says so.
func sourced(entry string, p catalog.Provenance) string {
	s := "catalog, " + entry + ": " + p.Source
	if p.Unverified {
		s += " (unverified)"
	}
	return s
}

func dayOf(text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, fmt.Errorf("%q is no day; write for example 2026-01-31", text)
	}
	return day, nil
}

func accelerator(c *catalog.Catalog, texts []string) (figure, error) {
	a, err := c.Accelerator(texts[0])
	if err != nil {
		return figure{}, err
	}
	v, u := 0.0, "TFLOP/s"
	switch texts[1] {
	case "memory":
		v, u = a.Memory, "B"
	case "bandwidth":
		v, u = a.Bandwidth, "B/s"
	case "tdp":
		v, u = a.TDP, "W"
	default:
		if v, err = a.PeakOf(catalog.DType(texts[1])); err != nil {
			return figure{}, fmt.Errorf("%w; or memory, bandwidth, tdp", err)
		}
		v /= 1e12
	}
	if v == 0 {
		return figure{}, fmt.Errorf("the catalog has no %s of %s; give the figure with its source", texts[1], a.Name)
	}
	return figure{v, u, sourced(a.Name, a.Provenance)}, nil
}

func rental(c *catalog.Catalog, texts []string) (figure, error) {
	day, err := dayOf(texts[3])
	if err != nil {
		return figure{}, err
	}
	offers, err := c.OffersFor(texts[0], day)
	if err != nil {
		return figure{}, err
	}
	// The cheapest comes first; an older offer of another machine would mislead, so
	// only those of the provider's latest day count.
	var best catalog.Offer
	var others []string
	for _, o := range offers {
		if strings.EqualFold(o.Provider, texts[1]) && string(o.Commitment) == texts[2] {
			if o.Date.After(best.Date.Time) {
				best = o
			}
			continue
		}
		if other := o.Provider + " " + string(o.Commitment); !slices.Contains(others, other) {
			others = append(others, other)
		}
	}
	if best.Provider != "" {
		return figure{best.Price, "USD/h", sourced(best.Provider+" "+best.Accelerator+" on "+best.Date.String(), best.Provenance)}, nil
	}
	hint := "there are none until then"
	if len(others) > 0 {
		slices.Sort(others)
		hint = "there are: " + strings.Join(others[:min(len(others), 8)], ", ")
	}
	return figure{}, fmt.Errorf("the catalog has no offer of %s by %s, %s, on %s; %s", texts[0], texts[1], texts[2], texts[3], hint)
}

func modelFigure(c *catalog.Catalog, texts []string) (figure, error) {
	m, err := c.Model(texts[0])
	if err != nil {
		return figure{}, err
	}
	source := sourced(m.Name, m.Provenance)
	switch texts[1] {
	case "parameters":
		return figure{m.Params().Total(), "", source}, nil
	case "active":
		return figure{m.Params().Active(), "", source}, nil
	case "context":
		return figure{float64(m.Context), "tokens", source}, nil
	case "kv_bytes":
		return figure{m.KVBytesPerToken(catalog.FP16), "B/token", source}, nil
	}
	return figure{}, fmt.Errorf("no figure %q of a model; there are parameters, active, context, kv_bytes", texts[1])
}

func electricity(c *catalog.Catalog, texts []string) (figure, error) {
	day, err := dayOf(texts[1])
	if err != nil {
		return figure{}, err
	}
	p, err := c.Power(texts[0])
	if err != nil {
		return figure{}, err
	}
	at, ok := p.At(day)
	if !ok {
		return figure{}, fmt.Errorf("the catalog has no price of electricity in %s on %s or before", p.Name, texts[1])
	}
	return figure{at.Price, "USD/kWh", sourced(p.Name+" from "+at.From.String()+" to "+at.To.String(), p.Provenance)}, nil
}

// apiPrice finds a price for estimates; it is a float64 here and never becomes a
// ledger line.
func apiPrice(_ *catalog.Catalog, texts []string) (figure, error) {
	day, err := dayOf(texts[2])
	if err != nil {
		return figure{}, err
	}
	card, ok := price.Catalog().Find("", texts[0], day)
	if !ok {
		return figure{}, fmt.Errorf("the price book has no price of %q on %s; search with \"strata price list --search %s\"", texts[0], texts[2], texts[0])
	}
	usd, tokens, ok, err := card.Base.Named(texts[1])
	if err != nil {
		return figure{}, err
	}
	if !ok {
		return figure{}, fmt.Errorf("the price book has no price of %s for %q on %s", texts[1], texts[0], texts[2])
	}
	v, err := strconv.ParseFloat(usd.String(), 64)
	if err != nil {
		return figure{}, err
	}
	source := "price book, " + card.Version + ": " + card.Source
	if tokens {
		return figure{v, "USD/Mtok", source}.per(1e6), nil
	}
	return figure{v, "USD", source}, nil
}

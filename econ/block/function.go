package block

import (
	"fmt"

	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/infra/catalog"
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
	return p, func([]float64) float64 { return v }, err
}

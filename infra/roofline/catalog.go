package roofline

import (
	"fmt"
	"strings"

	"github.com/stratahq/strata/infra/catalog"
)

// FromAccelerator takes from the catalog what the time model needs. An
// accelerator without a network bandwidth gets an eighth of its link's, so that
// a layout over many nodes is slow rather than impossible; the caller may set
// another.
func FromAccelerator(a *catalog.Accelerator) (*GPU, error) {
	g := &GPU{Name: a.Name, Peak: map[string]float64{}, Memory: a.Memory, Bandwidth: a.Bandwidth,
		Link: a.Link.Bandwidth, Domain: max(1, a.Link.Domain), Network: a.Network, Host: a.HostLink}
	for d, v := range a.Peak {
		g.Peak[string(d)] = v
	}
	g.Generation, g.SM = generation(a.Name)
	if g.Link == 0 {
		// Without a fabric of their own, devices of a server meet over its bus.
		g.Link, g.Domain = a.HostLink, 8
	}
	if g.Link == 0 {
		g.Domain = 1
	}
	if g.Network == 0 {
		g.Network = g.Link / 8
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("accelerator %s of the catalog: %w", a.Name, err)
	}
	return g, nil
}

// generation is the set of constants that an accelerator takes, and its number
// of multiprocessors where its data sheet is one of NVIDIA's. What was never
// measured takes Hopper's shares, and no wave effect.
func generation(name string) (string, int) {
	for _, g := range []struct {
		prefix, generation string
		sm                 int
	}{{"v100", "volta", 80}, {"a100", "ampere", 108}, {"a800", "ampere", 108}, {"a30", "ampere", 56}, {"a10", "ampere", 72},
		{"h100-pcie", "hopper", 114}, {"h100", "hopper", 132}, {"h200", "hopper", 132}, {"h800", "hopper", 132}, {"h20", "hopper", 78}} {
		if strings.HasPrefix(name, g.prefix) {
			return g.generation, g.sm
		}
	}
	return "hopper", 0
}

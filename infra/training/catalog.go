package training

import (
	"fmt"

	"github.com/stratahq/strata/infra/catalog"
	"github.com/stratahq/strata/infra/roofline"
)

// FromModel takes a shape from the catalog. Biases, extra norms and sliding
// windows are small or missing in it: attention counts the whole sequence.
func FromModel(m *catalog.Model) (*Shape, error) {
	s := &Shape{Name: m.Name, Layers: m.Layers, Hidden: m.Hidden, FFN: m.FFN, Heads: m.Heads, KVHeads: m.KVHeads, HeadDim: m.HeadDim,
		Vocab: m.Vocab, Gated: m.MLP == "gated", Tied: m.Tied, Positions: m.Positions, Source: m.Source}
	if s.HeadDim == 0 && s.Heads > 0 {
		s.HeadDim = m.Hidden / m.Heads
	}
	if s.KVHeads == 0 {
		s.KVHeads = s.Heads
	}
	if a := m.MLA; a != nil {
		s.MLA = &MLA{Q: a.QLoraRank, KV: a.KVLoraRank, Rope: a.QKRopeDim, Nope: a.QKNopeDim, V: a.VHeadDim}
		s.KVHeads = s.Heads
	}
	if e := m.MoE; e != nil {
		shared := e.Shared
		if e.SharedFFN > 0 && e.FFN > 0 {
			// A shared expert of another width counts as so many routed ones.
			shared = (e.Shared*e.SharedFFN + e.FFN/2) / e.FFN
		}
		s.MoE = &MoE{Experts: e.Experts, Active: e.Active, Shared: shared, FFN: e.FFN, Dense: e.DenseLayers}
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("from the catalog: %w", err)
	}
	return s, nil
}

// CatalogLookup finds shapes and GPUs in a catalog.
func CatalogLookup(c *catalog.Catalog) *Lookup {
	return &Lookup{
		Shape: func(name string) (*Shape, error) {
			m, err := c.Model(name)
			if err != nil {
				return nil, err
			}
			return FromModel(m)
		},
		GPU: func(name string) (*roofline.GPU, error) {
			a, err := c.Accelerator(name)
			if err != nil {
				return nil, err
			}
			return roofline.FromAccelerator(a)
		},
	}
}

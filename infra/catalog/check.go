package catalog

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The ranges below catch slips of units and of digits: no accelerator, machine
// or model outside of them existed when this was written, and a figure beyond
// them is far more likely a mistake than news.
const (
	leastPeak, mostPeak           = 1e12, 1e18    // FLOP/s of one device
	leastMemory, mostMemory       = 1e9, 4e12     // bytes
	leastBandwidth, mostBandwidth = 5e10, 1e14    // bytes/s of memory
	leastLink, mostLink           = 1e9, 1e13     // bytes/s, one direction
	leastTDP, mostTDP             = 10.0, 5000.0  // watts
	leastOffer, mostOffer         = 0.005, 500.0  // USD per accelerator-hour
	leastPurchase, mostPurchase   = 50.0, 1e6     // USD per accelerator
	leastPower, mostPower         = 0.001, 2.0    // USD/kWh
	leastParams, mostParams       = 1e5, 1e14     // parameters
	mostLayers, mostHidden        = 1000, 1 << 20 // of a model
	mostCount                     = 100_000       // accelerators of a machine or pod
)

// between reports a value that is outside of its range.
func between(d *decoder, n *yaml.Node, path, what string, v, least, most float64) {
	if v < least || v > most {
		d.failAt(n, path, "%s of %.6g is not between %.6g and %.6g; check the unit", what, v, least, most)
	}
}

func oneOf(d *decoder, n *yaml.Node, path, v string, known ...string) {
	if slices.Contains(known, v) {
		return
	}
	hint := suggest(v, known)
	if v == "" || hint == "" {
		hint = "; expected one of " + strings.Join(known, ", ")
	}
	d.failAt(n, path, "%q is not known%s", v, hint)
}

func checkAccelerator(d *decoder, n *yaml.Node, a *Accelerator) {
	at := "accelerators." + a.Name
	if a.Title == "" {
		a.Title = a.Name
	}
	if a.Vendor == "" {
		d.failAt(n, at, "has no vendor")
	}
	if a.Form != "" {
		oneOf(d, n, at+".form", a.Form, "sxm", "pcie", "oam", "module", "chip")
	}
	if len(a.Peak) == 0 {
		d.failAt(n, at, "has no peak; give at least one number format, such as peak: {bf16: 312 TFLOP/s}")
	}
	for _, k := range dtypes {
		v, ok := a.Peak[k]
		if ok {
			between(d, n, at+".peak."+string(k), "a peak (FLOP/s)", v, leastPeak, mostPeak)
		}
		s, sparse := a.SparsePeak[k]
		switch {
		case sparse && !ok:
			d.failAt(n, at+".sparse_peak."+string(k), "there is a sparse peak without a dense one")
		case sparse && (s < 0.99*v || s > 2.03*v):
			// Structured sparsity at most doubles the rate (Blackwell Ultra's FP4
			// gains less).
			d.failAt(n, at+".sparse_peak."+string(k), "the sparse peak is %.3g times the dense one; 2:4 sparsity gives 1 to 2", s/v)
		}
	}
	between(d, n, at+".memory", "memory (bytes)", a.Memory, leastMemory, mostMemory)
	between(d, n, at+".bandwidth", "memory bandwidth (bytes/s)", a.Bandwidth, leastBandwidth, mostBandwidth)
	if a.Link != (Link{}) {
		between(d, n, at+".link.bandwidth", "a link bandwidth (bytes/s)", a.Link.Bandwidth, leastLink, mostLink)
		if a.Link.Name == "" {
			d.failAt(n, at+".link", "has no name")
		}
		if a.Link.Domain < 0 || a.Link.Domain > mostCount {
			d.failAt(n, at+".link.domain", "%d accelerators in one domain is not possible", a.Link.Domain)
		}
	}
	for _, x := range []struct {
		key string
		v   float64
	}{{"host_link", a.HostLink}, {"network", a.Network}} {
		if x.v != 0 {
			between(d, n, at+"."+x.key, "a bandwidth (bytes/s)", x.v, leastLink, mostLink)
		}
	}
	if a.TDP != 0 {
		between(d, n, at+".tdp", "a thermal design power (watts)", a.TDP, leastTDP, mostTDP)
	}
	for who, r := range a.AsReported {
		if r.Where == "" || r.Note == "" {
			d.failAt(n, at+".as_reported."+who, "needs a source and a note that says how the figure differs")
		}
		for k, v := range r.Peak {
			between(d, n, at+".as_reported."+who+".peak."+string(k), "a peak (FLOP/s)", v, leastPeak, mostPeak)
		}
	}
}

func checkModel(d *decoder, n *yaml.Node, m *Model) {
	at := "models." + m.Name
	before := len(d.errs)
	if m.Title == "" {
		m.Title = m.Name
	}
	if m.Family == "" {
		d.failAt(n, at, "has no family")
	}
	whole := func(key string, v, least, most int) {
		if v < least || v > most {
			d.failAt(n, at+"."+key, "%d is not between %d and %d", v, least, most)
		}
	}
	whole("layers", m.Layers, 1, mostLayers)
	whole("hidden", m.Hidden, 1, mostHidden)
	whole("heads", m.Heads, 1, mostHidden)
	whole("vocab", m.Vocab, 1, 1<<24)
	whole("context", m.Context, 1, 1<<30)
	whole("positions", m.Positions, 0, 1<<24)
	whole("norms", m.Norms, 0, 8)
	whole("ffn", m.FFN, 0, mostHidden)
	whole("head_dim", m.HeadDim, 0, mostHidden)
	oneOf(d, n, at+".mlp", m.MLP, "gated", "plain")
	oneOf(d, n, at+".norm", m.Norm, "rms", "layer", "none")
	if m.QKNorm != "" {
		oneOf(d, n, at+".qk_norm", m.QKNorm, "head", "full")
	}
	for _, b := range m.Bias {
		oneOf(d, n, at+".bias", b, "qkv", "out", "ffn", "head", "router", "experts")
	}
	if a := m.MLA; a != nil {
		if m.KVHeads != 0 || m.HeadDim != 0 {
			d.failAt(n, at, "has mla and kv_heads or head_dim; under latent attention those have no meaning")
		}
		whole("mla.q_lora_rank", a.QLoraRank, 0, mostHidden)
		whole("mla.kv_lora_rank", a.KVLoraRank, 1, mostHidden)
		whole("mla.qk_rope_head_dim", a.QKRopeDim, 1, mostHidden)
		whole("mla.qk_nope_head_dim", a.QKNopeDim, 1, mostHidden)
		whole("mla.v_head_dim", a.VHeadDim, 1, mostHidden)
	} else {
		whole("kv_heads", m.KVHeads, 1, max(m.Heads, 1))
		if m.KVHeads > 0 && m.Heads%m.KVHeads != 0 {
			d.failAt(n, at+".kv_heads", "%d query heads do not divide over %d key and value heads", m.Heads, m.KVHeads)
		}
		if m.HeadDim == 0 && m.Heads > 0 && m.Hidden%m.Heads != 0 {
			d.failAt(n, at, "hidden %d does not divide over %d heads; give head_dim", m.Hidden, m.Heads)
		}
	}
	if e := m.MoE; e != nil {
		whole("moe.experts", e.Experts, 1, 1<<16)
		whole("moe.active", e.Active, 1, max(e.Experts, 1))
		whole("moe.expert_ffn", e.FFN, 1, mostHidden)
		whole("moe.shared", e.Shared, 0, 1<<10)
		whole("moe.shared_ffn", e.SharedFFN, 0, mostHidden)
		whole("moe.dense_layers", e.DenseLayers, 0, max(m.Layers-1, 0))
		if e.DenseLayers > 0 && m.FFN == 0 {
			d.failAt(n, at, "has %d dense layers and no ffn size", e.DenseLayers)
		}
	} else if m.FFN == 0 {
		d.failAt(n, at, "has no ffn size")
	}
	if w := m.Window; w != nil {
		whole("sliding_window.tokens", w.Tokens, 1, 1<<30)
		whole("sliding_window.layers", w.Layers, 1, max(m.Layers, 1))
	}
	between(d, n, at+".params.total", "a number of parameters", m.Stated.Total, leastParams, mostParams)
	if m.Stated.Active < 0 || m.Stated.Active > m.Stated.Total {
		d.failAt(n, at+".params.active", "is not between 0 and the total")
	}
	if len(d.errs) == before {
		if _, err := m.agrees(); err != nil {
			d.failAt(n, at, "%v", err)
		}
		if m.MLA == nil {
			m.HeadDim = m.headDim()
		}
	}
}

func checkPower(d *decoder, n *yaml.Node, p *Power) {
	at := "power." + p.Name
	if p.Title == "" {
		p.Title = p.Name
	}
	oneOf(d, n, at+".sector", p.Sector, "industrial", "commercial", "all")
	if len(p.Prices) == 0 {
		d.failAt(n, at, "has no prices")
	}
	for i, x := range p.Prices {
		path := fmt.Sprintf("%s.prices[%d]", at, i)
		between(d, n, path, "a price (USD/kWh)", x.Price, leastPower, mostPower)
		if x.From.IsZero() || x.To.IsZero() || x.To.Before(x.From.Time) {
			d.failAt(n, path, "needs a period: from a day to a day that is not before it")
		}
	}
}

func checkOffer(d *decoder, n *yaml.Node, at string, o *offerEntry) {
	if o.Provider == "" || o.Accelerator == "" || o.Date.IsZero() {
		d.failAt(n, at, "needs provider, accelerator and date")
	}
	if len(o.Prices)+len(o.InstancePrices) == 0 {
		d.failAt(n, at, "has no prices; write prices: {on_demand: 2.49 USD/h} per accelerator or instance_prices with count")
	}
	if o.Count < 0 || o.Count > mostCount {
		d.failAt(n, at+".count", "%d accelerators in one machine is not possible", o.Count)
	}
	if len(o.InstancePrices) > 0 && o.Count == 0 {
		d.failAt(n, at, "has instance_prices and no count of accelerators")
	}
	for k, v := range o.Prices {
		between(d, n, at+".prices."+string(k), "a price (USD per accelerator-hour)", v, leastOffer, mostOffer)
	}
	for k, v := range o.InstancePrices {
		if _, both := o.Prices[k]; both {
			d.failAt(n, at+".instance_prices."+string(k), "is also given per accelerator")
		}
		if o.Count > 0 {
			between(d, n, at+".instance_prices."+string(k), "a price (USD per accelerator-hour)", v/float64(o.Count), leastOffer, mostOffer)
		}
	}
}

func checkPurchase(d *decoder, n *yaml.Node, at string, p *Purchase) {
	if p.Accelerator == "" || p.Date.IsZero() {
		d.failAt(n, at, "needs accelerator and date")
	}
	oneOf(d, n, at+".kind", p.Kind, purchaseKinds...)
	if (p.Price > 0) == (p.Total > 0) {
		d.failAt(n, at, "needs either price (of one accelerator) or total (of a system with count)")
		return
	}
	price := p.Price
	if p.Total > 0 {
		if p.Count < 1 || p.Count > mostCount {
			d.failAt(n, at+".count", "a total needs the number of accelerators in the system")
			return
		}
		price = p.Total / float64(p.Count)
	}
	between(d, n, at, "a price (USD per accelerator)", price, leastPurchase, mostPurchase)
	if (p.Low != 0 || p.High != 0) && !(p.Low > 0 && p.Low <= price && price <= p.High) {
		d.failAt(n, at, "low %g, price %g and high %g are not in order", p.Low, price, p.High)
	}
}

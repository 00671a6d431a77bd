package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/infra/catalog"
)

var _ = register(groupPlan, catalogCommand)

func catalogCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "catalog",
		Short: "Accelerators, rental offers, model shapes and electricity prices, with their sources",
		Long: `The catalog is what plans are computed from: accelerators with their dense peak
rates, memory and links, what they rent and sell for by date, the shapes of
published models, and electricity prices. Every entry names its source; one whose
source is weak is marked "unverified". Files of your own, in the same format,
replace or add entries: --catalog FILE, as often as needed.`,
		Example: `  strata catalog list accelerators
  strata catalog list offers --accelerator h100 --at 2024-06-01
  strata catalog show deepseek-v3
  strata catalog check prices.yaml`,
	}
	c.AddCommand(catalogListCommand(), catalogShowCommand(), catalogCheckCommand())
	return c
}

// catalogFlags adds --catalog and the output flags.
func catalogFlags(c *cobra.Command) {
	c.Flags().StringArray("catalog", nil, "a catalog `FILE` of your own over the embedded one; may be repeated")
	outputFlags(c)
}

// loadCatalog reads the embedded catalog and the files of --catalog.
func loadCatalog(cmd *cobra.Command) (*catalog.Catalog, error) {
	files, _ := cmd.Flags().GetStringArray("catalog")
	c, err := catalog.Load(files...)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return c, nil
}

var catalogKinds = []string{"accelerators", "models", "offers", "purchases", "power"}

func catalogListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [" + strings.Join(catalogKinds, "|") + "]",
		Short: "List the entries of a kind; without a kind, count them",
		Long: `List the entries of a kind, one a line. Peaks are dense. Offers are the latest
observation of each provider, machine, region and commitment that is not after
--at; --history lists every one. "?" marks what is unverified.`,
		Example: `  strata catalog list
  strata catalog list models --search qwen3
  strata catalog list offers --accelerator h200
  strata catalog list purchases --accelerator a100-sxm-80 --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && !slices.Contains(catalogKinds, args[0]) {
				return fmt.Errorf("expected one of %s, found %q", strings.Join(catalogKinds, ", "), strings.Join(args, " "))
			}
			return nil
		},
		ValidArgs: catalogKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			cat, err := loadCatalog(cmd)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				counts := cat.Counts()
				return printList(p, counts, func(w io.Writer) { showCounts(w, counts) })
			}
			search, _ := cmd.Flags().GetString("search")
			return listCatalog(cmd, p, cat, args[0], strings.ToLower(search))
		},
	}
	c.Flags().String("search", "", "only entries whose name, title or alias has this `text`")
	c.Flags().String("accelerator", "", "only offers or purchases of this accelerator")
	c.Flags().String("at", "", "offers that held on that day (2026-01-31), instead of the latest")
	c.Flags().Bool("history", false, "every observation of an offer, not only the latest")
	catalogFlags(c)
	return c
}

func listCatalog(cmd *cobra.Command, p *printer, cat *catalog.Catalog, kind, search string) error {
	has := func(texts ...string) bool {
		return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), search) })
	}
	empty := func() error {
		return noDataf("the catalog has no %s like that; \"strata catalog list %s\" lists all", kind, kind)
	}
	switch kind {
	case "accelerators":
		list := slices.DeleteFunc(cat.Accelerators(), func(a *catalog.Accelerator) bool {
			return !has(append(a.Aliases, a.Name, a.Title, a.Vendor)...)
		})
		if len(list) == 0 {
			return empty()
		}
		return printList(p, list, func(w io.Writer) { listAccelerators(w, list) })
	case "models":
		list := slices.DeleteFunc(cat.Models(), func(m *catalog.Model) bool {
			return !has(append(m.Aliases, m.Name, m.Title, m.Family)...)
		})
		if len(list) == 0 {
			return empty()
		}
		return printList(p, list, func(w io.Writer) { listModels(w, list) })
	case "power":
		list := slices.DeleteFunc(cat.PowerPrices(), func(x *catalog.Power) bool {
			return !has(append(x.Aliases, x.Name, x.Title)...)
		})
		if len(list) == 0 {
			return empty()
		}
		return printList(p, list, func(w io.Writer) { listPower(w, list) })
	}
	name, _ := cmd.Flags().GetString("accelerator")
	if kind == "purchases" {
		list, err := cat.Purchases(name)
		if err != nil {
			return &exitError{exitNoData, err}
		}
		list = slices.DeleteFunc(list, func(x catalog.Purchase) bool { return !has(x.Accelerator, x.System, x.Kind) })
		if len(list) == 0 {
			return empty()
		}
		return printList(p, list, func(w io.Writer) { listPurchases(w, list) })
	}
	list, err := catalogOffers(cmd, cat, name)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(o catalog.Offer) bool { return !has(o.Provider, o.Instance, o.Accelerator, o.Region) })
	if len(list) == 0 {
		return empty()
	}
	return printList(p, list, func(w io.Writer) { listOffers(w, list) })
}

// catalogOffers applies --accelerator, --at and --history.
func catalogOffers(cmd *cobra.Command, cat *catalog.Catalog, name string) ([]catalog.Offer, error) {
	at, err := day(cmd, "at")
	if err != nil {
		return nil, err
	}
	if name != "" {
		a, err := cat.Accelerator(name)
		if err != nil {
			return nil, &exitError{exitNoData, err}
		}
		name = a.Name
	}
	if all, _ := cmd.Flags().GetBool("history"); all {
		return slices.DeleteFunc(cat.Offers(), func(o catalog.Offer) bool {
			return (name != "" && o.Accelerator != name) || o.Date.After(at)
		}), nil
	}
	var list []catalog.Offer
	for _, a := range cat.Accelerators() {
		if name != "" && a.Name != name {
			continue
		}
		offers, err := cat.OffersFor(a.Name, at)
		if err != nil {
			return nil, err
		}
		list = append(list, offers...)
	}
	return list, nil
}

// mark is "?" for what is unverified.
func mark(p catalog.Provenance) string {
	if p.Unverified {
		return "?"
	}
	return ""
}

// scaled writes a number of base units in a larger one, without a trailing .0.
func scaled(v, by float64, digits int) string {
	if v == 0 {
		return ""
	}
	s := strconv.FormatFloat(v/by, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func showCounts(w io.Writer, counts []catalog.Count) {
	g := newGrid(w, "kind", ">entries", ">unverified")
	for _, c := range counts {
		g.row(c.Kind, c.Entries, c.Unverified)
	}
	g.print()
}

func listAccelerators(w io.Writer, list []*catalog.Accelerator) {
	g := newGrid(w, "name", ">bf16 TFLOP/s", ">fp8", ">fp4", ">GiB", ">GB/s", ">link GB/s", ">W", "released", "")
	for _, a := range list {
		g.row(a.Name, scaled(a.HalfPeak(), 1e12, 1), scaled(a.Peak[catalog.FP8], 1e12, 1), scaled(a.Peak[catalog.FP4], 1e12, 1),
			scaled(a.Memory, 1<<30, 1), scaled(a.Bandwidth, 1e9, 0), scaled(a.Link.Bandwidth, 1e9, 1), scaled(a.TDP, 1, 0), a.Released.String(), mark(a.Provenance))
	}
	g.print()
	fmt.Fprintln(w, "\nPeaks are dense; the V100 and T4 have fp16 in the place of bf16. Links: one direction.")
}

func listModels(w io.Writer, list []*catalog.Model) {
	g := newGrid(w, "name", ">params", ">active", ">layers", ">hidden", ">heads", ">kv", ">experts", ">context", ">KV B/token", "")
	for _, m := range list {
		params := m.Params()
		kv, experts, active := strconv.Itoa(m.KVHeads), "", ""
		if m.MLA != nil {
			kv = "mla"
		}
		if m.MoE != nil {
			experts = fmt.Sprintf("%d of %d", m.MoE.Active, m.MoE.Experts)
			active = scaled(params.Active(), 1e9, 2) + "B"
		}
		g.row(m.Name, scaled(params.Total(), 1e9, 2)+"B", active, m.Layers, m.Hidden, m.Heads, kv, experts, m.Context,
			scaled(m.KVBytesPerToken(catalog.BF16), 1, 0), mark(m.Provenance))
	}
	g.print()
	fmt.Fprintln(w, "\nParameters are counted from the shape; KV bytes are of 16-bit numbers.")
}

func listOffers(w io.Writer, list []catalog.Offer) {
	g := newGrid(w, "accelerator", "provider", "machine", ">GPUs", "region", "commitment", ">USD/h each", "seen", "")
	for _, o := range list {
		n := ""
		if o.Count > 0 {
			n = strconv.Itoa(o.Count)
		}
		g.row(o.Accelerator, o.Provider, o.Instance, n, o.Region, string(o.Commitment), strconv.FormatFloat(o.Price, 'f', 2, 64), o.Date.String(), mark(o.Provenance))
	}
	g.print()
}

func listPurchases(w io.Writer, list []catalog.Purchase) {
	g := newGrid(w, "accelerator", "kind", "system", ">USD each", ">low", ">high", "date", "")
	for _, p := range list {
		g.row(p.Accelerator, p.Kind, p.System, scaled(p.Price, 1, 0), scaled(p.Low, 1, 0), scaled(p.High, 1, 0), p.Date.String(), mark(p.Provenance))
	}
	g.print()
}

func listPower(w io.Writer, list []*catalog.Power) {
	g := newGrid(w, "name", "place", ">USD/kWh", "period", "")
	for _, x := range list {
		latest, _ := x.At(time.Time{})
		g.row(x.Name, x.Title, strconv.FormatFloat(latest.Price, 'f', 4, 64), latest.From.String()+" to "+latest.To.String(), mark(x.Provenance))
	}
	g.print()
}

// shownModel is a model as JSON, with what follows from its shape.
type shownModel struct {
	*catalog.Model
	Computed struct {
		Total      float64                   `json:"total"`
		Active     float64                   `json:"active"`
		Matmul     float64                   `json:"matmul"`
		Parts      catalog.Params            `json:"parts"`
		KVPerToken map[catalog.DType]float64 `json:"kv_bytes_per_token"`
		Weights    map[catalog.DType]float64 `json:"weight_bytes"`
	} `json:"computed"`
}

// shownAccelerator is an accelerator as JSON, with its latest prices.
type shownAccelerator struct {
	*catalog.Accelerator
	Offers    []catalog.Offer    `json:"offers"`
	Purchases []catalog.Purchase `json:"purchases"`
}

func catalogShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show an accelerator, a model or a place's electricity, and where the figures come from",
		Example: `  strata catalog show h100-pcie
  strata catalog show meta-llama/Llama-3.1-8B
  strata catalog show us-industrial --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			cat, err := loadCatalog(cmd)
			if err != nil {
				return err
			}
			at, err := day(cmd, "at")
			if err != nil {
				return err
			}
			entry, err := cat.Lookup(args[0])
			if err != nil {
				return &exitError{exitNoData, err}
			}
			switch x := entry.(type) {
			case *catalog.Accelerator:
				offers, err := cat.OffersFor(x.Name, at)
				if err != nil {
					return err
				}
				bought, err := cat.Purchases(x.Name)
				if err != nil {
					return err
				}
				return p.report(shownAccelerator{x, offers, bought}, func(w io.Writer) { showAccelerator(w, x, offers, bought) })
			case *catalog.Model:
				s := shownModel{Model: x}
				params := x.Params()
				s.Computed.Total, s.Computed.Active, s.Computed.Matmul, s.Computed.Parts = params.Total(), params.Active(), params.Matmul(x), params
				s.Computed.KVPerToken, s.Computed.Weights = map[catalog.DType]float64{}, map[catalog.DType]float64{}
				for _, d := range []catalog.DType{catalog.BF16, catalog.FP8, catalog.FP4} {
					s.Computed.KVPerToken[d], s.Computed.Weights[d] = x.KVBytesPerToken(d), x.WeightBytes(d)
				}
				return p.report(s, func(w io.Writer) { showModel(w, x) })
			case *catalog.Power:
				return p.report(x, func(w io.Writer) { showPower(w, x) })
			}
			return fmt.Errorf("no way to show %T", entry)
		},
	}
	c.Flags().String("at", "", "offers that held on that day (2026-01-31), instead of the latest")
	catalogFlags(c)
	return c
}

// showSource writes the foot of an entry.
func showSource(w io.Writer, p catalog.Provenance) {
	fmt.Fprintln(w)
	if p.Unverified {
		fmt.Fprintln(w, "UNVERIFIED: the source is weak or contradicted.")
	}
	if p.Note != "" {
		fmt.Fprintf(w, "note: %s\n", plain(p.Note))
	}
	fmt.Fprintf(w, "source: %s\n", plain(or(p.Source, "none")))
	fmt.Fprintf(w, "entry: %s:%d\n", plain(p.File), p.Line)
}

func showAccelerator(w io.Writer, a *catalog.Accelerator, offers []catalog.Offer, bought []catalog.Purchase) {
	fmt.Fprintf(w, "%s (%s), %s", plain(a.Title), a.Name, plain(a.Vendor))
	if !a.Released.IsZero() {
		fmt.Fprintf(w, ", %s", a.Released)
	}
	fmt.Fprint(w, "\n\n")
	g := newGrid(w, "format", ">dense TFLOP/s", ">with sparsity")
	for _, d := range catalog.DTypes() {
		if v, ok := a.Peak[d]; ok {
			g.row(string(d), scaled(v, 1e12, 1), scaled(a.SparsePeak[d], 1e12, 1))
		}
	}
	g.print()
	fmt.Fprintf(w, "\nmemory     %s GiB at %s GB/s\n", scaled(a.Memory, 1<<30, 1), scaled(a.Bandwidth, 1e9, 0))
	if a.Link.Bandwidth > 0 {
		fmt.Fprintf(w, "link       %s, %s GB/s each way per accelerator", plain(a.Link.Name), scaled(a.Link.Bandwidth, 1e9, 1))
		if a.Link.Domain > 0 {
			fmt.Fprintf(w, ", %d together", a.Link.Domain)
		}
		fmt.Fprintln(w)
	}
	for _, l := range []struct {
		name string
		v    float64
	}{{"host", a.HostLink}, {"network", a.Network}} {
		if l.v > 0 {
			fmt.Fprintf(w, "%-10s %s GB/s each way\n", l.name, scaled(l.v, 1e9, 1))
		}
	}
	if a.TDP > 0 {
		fmt.Fprintf(w, "TDP        %s W\n", scaled(a.TDP, 1, 0))
	}
	for _, who := range sortedKeys(a.AsReported) {
		r := a.AsReported[who]
		for _, d := range catalog.DTypes() {
			if v, ok := r.Peak[d]; ok {
				fmt.Fprintf(w, "\n%s has %s TFLOP/s of %s: %s (%s)\n", plain(who), scaled(v, 1e12, 1), d, plain(r.Note), plain(r.Where))
			}
		}
	}
	if len(offers) > 0 {
		fmt.Fprintln(w, "\nRented, cheapest first:")
		listOffers(w, offers[:min(10, len(offers))])
		if more := len(offers) - 10; more > 0 {
			fmt.Fprintf(w, "and %d more: strata catalog list offers --accelerator %s\n", more, a.Name)
		}
	}
	if len(bought) > 0 {
		fmt.Fprintln(w, "\nSold:")
		listPurchases(w, bought)
	}
	showSource(w, a.Provenance)
}

func showModel(w io.Writer, m *catalog.Model) {
	fmt.Fprintf(w, "%s (%s)", plain(m.Title), m.Name)
	if !m.Released.IsZero() {
		fmt.Fprintf(w, ", %s", m.Released)
	}
	fmt.Fprint(w, "\n\n")
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("layers", "%d of width %d", m.Layers, m.Hidden)
	if a := m.MLA; a != nil {
		row("attention", "%d heads, latent: KV rank %d, query rank %d, head %d + %d (rotary), value %d", m.Heads, a.KVLoraRank, a.QLoraRank, a.QKNopeDim, a.QKRopeDim, a.VHeadDim)
	} else {
		row("attention", "%d heads of %d, %d for keys and values", m.Heads, m.HeadDim, m.KVHeads)
	}
	if s := m.Window; s != nil {
		row("window", "%d tokens in %d of %d layers", s.Tokens, s.Layers, m.Layers)
	}
	if m.FFN > 0 {
		row("feed-forward", "%d, %s", m.FFN, m.MLP)
	}
	if e := m.MoE; e != nil {
		s := fmt.Sprintf("%d of %d of %d each", e.Active, e.Experts, e.FFN)
		if e.Shared > 0 {
			s += fmt.Sprintf(", %d shared of %d", e.Shared, cmp.Or(e.SharedFFN, e.FFN))
		}
		if e.DenseLayers > 0 {
			s += fmt.Sprintf(", %d dense layers", e.DenseLayers)
		}
		row("experts", "%s", s)
	}
	row("vocabulary", "%d%s", m.Vocab, map[bool]string{true: ", tied"}[m.Tied])
	row("context", "%d tokens", m.Context)
	p := m.Params()
	row("parameters", "%sB from the shape, %sB stated (%+.2f%%)", scaled(p.Total(), 1e9, 3), scaled(m.Stated.Total, 1e9, 3), 100*(p.Total()/m.Stated.Total-1))
	if m.MoE != nil {
		row("active", "%sB from the shape, %sB stated", scaled(p.Active(), 1e9, 2), or(scaled(m.Stated.Active, 1e9, 2), "? "))
	}
	row("weights", "%s GB in bf16, %s GB in fp8", scaled(m.WeightBytes(catalog.BF16), 1e9, 1), scaled(m.WeightBytes(catalog.FP8), 1e9, 1))
	row("KV cache", "%s bytes a token in bf16, %s GB for a full context", scaled(m.KVBytesPerToken(catalog.BF16), 1, 0), scaled(m.KVBytes(float64(m.Context), catalog.BF16), 1e9, 2))
	showSource(w, m.Provenance)
}

func showPower(w io.Writer, x *catalog.Power) {
	fmt.Fprintf(w, "%s (%s)\n\n", plain(x.Title), x.Name)
	g := newGrid(w, "from", "to", ">USD/kWh")
	for _, p := range x.Prices {
		g.row(p.From.String(), p.To.String(), strconv.FormatFloat(p.Price, 'f', 4, 64))
	}
	g.print()
	showSource(w, x.Provenance)
}

// catalogFault is a fault of a file as JSON.
type catalogFault struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

func catalogCheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check [FILE...]",
		Short: "Check catalog files: keys, units, ranges, sources, and parameters against shapes",
		Long: `Check files over the embedded catalog and count the entries of both. Without a
file the embedded catalog is checked. Every fault is told with its line; nothing
is stored.

Exit codes: 0 no faults, 2 faults or a file that cannot be read.`,
		Example: `  strata catalog check
  strata catalog check prices.yaml --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			cat, err := catalog.Load(args...)
			var faults catalog.Errors
			switch {
			case errors.As(err, &faults) && p.json:
				for _, f := range faults {
					if err := p.object(catalogFault{f.File, f.Line, f.Column, f.Path, f.Message}); err != nil {
						return err
					}
				}
				return &exitError{exitUsage, nil}
			case err != nil:
				return &exitError{exitUsage, err}
			}
			counts := cat.Counts()
			return printList(p, counts, func(w io.Writer) {
				showCounts(w, counts)
				fmt.Fprintln(w, "\nno faults")
			})
		},
	}
	outputFlags(c)
	return c
}

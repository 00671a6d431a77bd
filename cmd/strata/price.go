package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/config"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/price/check"
	"github.com/stratahq/strata/model/price/litellm"
)

var _ = register(groupMoney, priceCommand)

func priceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "price",
		Short: "Show, import, compare and check prices",
		Long: `The price book holds what providers charge: an embedded catalog with its date and
credit, and over it the prices of the configuration. All amounts are exact
decimals in US dollars. A model without a price has an unknown cost, never zero.`,
		Example: `  strata price show gpt-4o-mini
  strata price list --provider anthropic
  strata price check cases.jsonl --json`,
	}
	c.AddCommand(priceShowCommand(), priceListCommand(), priceImportCommand(), priceDiffCommand(), priceCheckCommand())
	return c
}

// priceBook is the catalog under the prices of the configuration.
func priceBook(cmd *cobra.Command) (*price.Book, error) {
	_, file, err := place(cmd)
	if err != nil {
		return nil, err
	}
	book := price.Catalog()
	if file == "" {
		return book, nil
	}
	f, err := config.Load(file, os.Getenv)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	for _, name := range f.PriceFiles {
		o, err := price.LoadOverrides(name)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		book = book.With(o)
	}
	o, err := price.OverridesNode(file, &f.Prices)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return book.With(o), nil
}

// day reads a flag that names a day or a time; now when it is empty.
func day(cmd *cobra.Command, flag string) (time.Time, error) {
	s, _ := cmd.Flags().GetString(flag)
	if s == "" {
		return time.Now(), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--%s: %q is no day; write 2026-01-31 or 2026-01-31T09:00:00Z", flag, s)
}

// pricedModel is a model's price as JSON.
type pricedModel struct {
	Provider string       `json:"provider"`
	Model    string       `json:"model"`
	Version  string       `json:"version"`
	From     string       `json:"from,omitempty"`
	OnBefore bool         `json:"on_or_before,omitempty"`
	Source   string       `json:"source"`
	Prices   *price.Card  `json:"prices"`
	Facts    price.Facts  `json:"facts"`
	History  []historical `json:"history,omitempty"`
}

// historical is one dated price of a model.
type historical struct {
	From     string      `json:"from,omitempty"`
	OnBefore bool        `json:"on_or_before,omitempty"`
	Version  string      `json:"version"`
	Prices   *price.Card `json:"prices"`
}

func dateOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

func describe(c *price.Card) pricedModel {
	return pricedModel{Provider: c.Provider, Model: c.Model, Version: c.Version, From: dateOf(c.From), OnBefore: c.FromOnOrBefore, Source: c.Source, Prices: c, Facts: c.Facts}
}

func priceShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show MODEL",
		Short: "Show what a model costs, since when, and where the price comes from",
		Example: `  strata price show gpt-4o-mini
  strata price show anthropic/claude-sonnet-4-5 --at 2026-01-01
  strata price show gemini-2.5-flash --provider vertex_ai --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			book, err := priceBook(cmd)
			if err != nil {
				return err
			}
			at, err := day(cmd, "at")
			if err != nil {
				return err
			}
			provider, _ := cmd.Flags().GetString("provider")
			card, ok := book.Find(provider, args[0], at)
			if !ok {
				return noDataf("the price book has no price of %q on %s; search with \"strata price list --search %s\", or give a price in the configuration under prices", args[0], at.Format(time.DateOnly), args[0])
			}
			m := describe(card)
			for _, h := range book.History(card.Provider, card.Model) {
				m.History = append(m.History, historical{dateOf(h.From), h.FromOnOrBefore, h.Version, h})
			}
			return p.report(m, func(w io.Writer) { showPrice(w, book, card, m.History) })
		},
	}
	c.Flags().String("provider", "", "the provider whose price to show, when several sell the model")
	c.Flags().String("at", "", "the price of that day (2026-01-31), instead of today's")
	outputFlags(c)
	return c
}

// showPrice writes a card for people.
func showPrice(w io.Writer, book *price.Book, c *price.Card, history []historical) {
	name := c.Model
	if c.Provider != "" {
		name = c.Provider + "/" + c.Model
	}
	fmt.Fprintf(w, "%s\n", plain(name))
	since := "always"
	if !c.From.IsZero() {
		since = "since " + dateOf(c.From)
		if c.FromOnOrBefore {
			since = "since " + dateOf(c.From) + " or before"
		}
	}
	fmt.Fprintf(w, "%s, from %s\n", since, plain(c.Source))
	if book.Credit != "" && strings.HasPrefix(c.Version, "catalog-") {
		fmt.Fprintf(w, "catalog of %s: %s\n", dateOf(book.Date), book.Credit)
	}
	if c.Base.Has == 0 {
		fmt.Fprintf(w, "\nNo price: the cost of a call is unknown%s.\n", reportedNote(c))
	} else {
		fmt.Fprintln(w)
		g := newGrid(w, "what", ">USD", "per")
		rateRows(g, "", &c.Base)
		for _, tier := range sortedKeys(c.ServiceTiers) {
			rateRows(g, tier+" tier: ", &c.ServiceTiers[tier].Rates)
		}
		for _, mode := range sortedKeys(c.CacheModes) {
			rateRows(g, mode+" cache: ", &c.CacheModes[mode].Rates)
		}
		for i := range c.Tiers {
			rateRows(g, fmt.Sprintf("prompt above %s: ", count(c.Tiers[i].Above)), &c.Tiers[i].Rates)
		}
		for i := range c.Windows {
			rateRows(g, or(c.Windows[i].Name, "window")+": ", &c.Windows[i].Rates)
		}
		if c.Batch != nil {
			rateRows(g, "batch: ", &c.Batch.Rates)
		}
		g.print()
	}
	var notes []string
	if c.BatchMultiplier != nil {
		notes = append(notes, "batch: token prices × "+c.BatchMultiplier.String())
	}
	for _, region := range sortedKeys(c.GeoMultipliers) {
		notes = append(notes, "inference in "+region+": token prices × "+c.GeoMultipliers[region].String())
	}
	for _, size := range sortedKeys(c.RequestFeeBySize) {
		notes = append(notes, "a request with "+size+" search context: $"+c.RequestFeeBySize[size].String())
	}
	if c.Reported != nil && c.Base.Has != 0 {
		notes = append(notes, "a cost that the reply states ("+c.Reported.Path+") stands above these prices")
	}
	if c.Facts.MaxInput > 0 || c.Facts.MaxOutput > 0 {
		notes = append(notes, fmt.Sprintf("at most %s tokens in, %s out", known(c.Facts.MaxInput), known(c.Facts.MaxOutput)))
	}
	for _, u := range c.Facts.Unrepresented {
		notes = append(notes, "not in these prices: "+u)
	}
	if len(notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, n := range notes {
		fmt.Fprintln(w, plain(n))
	}
	if len(history) > 1 {
		fmt.Fprintln(w, "\nhistory:")
		g := newGrid(w, "from", ">input USD/Mtok", ">output USD/Mtok", ">cache read USD/Mtok")
		for _, h := range history {
			from := or(h.From, "always")
			if h.OnBefore {
				from = "≤ " + from
			}
			g.row(from, million(h.Prices, model.Input), million(h.Prices, model.Output), million(h.Prices, model.CacheRead))
		}
		g.print()
	}
	fmt.Fprintf(w, "\nversion %s\n", plain(c.Version))
}

func reportedNote(c *price.Card) string {
	if c.Reported == nil {
		return ""
	}
	return " unless the reply states it (" + c.Reported.Path + ")"
}

func known(n int64) string {
	if n == 0 {
		return unknown
	}
	return count(n)
}

func million(c *price.Card, b model.Bucket) string {
	d, ok := c.Base.Get(b)
	if !ok {
		return "-"
	}
	return d.Shift(6).String()
}

func rateRows(g *grid, prefix string, r *price.Rates) {
	for b := range model.NumBuckets {
		d, ok := r.Get(b)
		switch {
		case !ok:
		case b.IsToken():
			g.row(prefix+b.String(), d.Shift(6).String(), "million tokens")
		default:
			g.row(prefix+b.String(), d.String(), "each")
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func priceListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the models of the price book",
		Example: `  strata price list --provider openai
  strata price list --search sonnet --mode chat
  strata price list --provider groq --jq .model`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			book, err := priceBook(cmd)
			if err != nil {
				return err
			}
			at, err := day(cmd, "at")
			if err != nil {
				return err
			}
			q := price.ListQuery{At: at}
			q.Provider, _ = cmd.Flags().GetString("provider")
			q.Text, _ = cmd.Flags().GetString("search")
			q.Mode, _ = cmd.Flags().GetString("mode")
			q.Limit, _ = cmd.Flags().GetInt("limit")
			if q.Limit < 1 {
				return usagef("--limit must be at least 1")
			}
			cards, total := book.List(q)
			if total == 0 {
				return noDataf("no model of the price book matches")
			}
			items := make([]pricedModel, len(cards))
			for i, c := range cards {
				items[i] = describe(c)
			}
			return printList(p, items, func(w io.Writer) {
				g := newGrid(w, "provider", "model", "mode", ">input USD/Mtok", ">output USD/Mtok", "from")
				for _, c := range cards {
					g.row(or(c.Provider, "any"), c.Model, or(c.Facts.Mode, "-"), million(c, model.Input), million(c, model.Output), or(dateOf(c.From), "always"))
				}
				g.print()
				if total > len(cards) {
					fmt.Fprintf(w, "%d of %d; --limit shows more\n", len(cards), total)
				}
			})
		},
	}
	c.Flags().String("provider", "", "only this provider's models")
	c.Flags().String("search", "", "only models whose name holds this text")
	c.Flags().String("mode", "", "only this kind of model, such as chat, embedding or image_generation")
	c.Flags().String("at", "", "the prices of that day, instead of today's")
	c.Flags().Int("limit", 50, "how many to list")
	outputFlags(c)
	return c
}

func priceImportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Turn a LiteLLM price map into a file of prices for the configuration",
		Long: `Reads a LiteLLM price map (model_prices_and_context_window.json) and writes the
prices as a YAML file, which price_files in the configuration can name. What the
notation cannot express is told on standard error.`,
		Example: `  strata price import model_prices_and_context_window.json --out prices.yaml
  strata price import map.json --provider openai --from 2026-11-01 --out openai.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("reading the price map: %w", err)}
			}
			from, _ := cmd.Flags().GetString("from")
			var date time.Time
			if from != "" {
				if date, err = time.Parse(time.DateOnly, from); err != nil {
					return usagef("--from: %q is no date; write 2026-01-31", from)
				}
			}
			cards, rep, err := litellm.Parse(data, nil, date)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("%s: %w", args[0], err)}
			}
			provider, _ := cmd.Flags().GetString("provider")
			cards = slices.DeleteFunc(cards, func(c *price.Card) bool {
				return provider != "" && !strings.EqualFold(c.Provider, provider) || c.Base.Has == 0 && len(c.RequestFeeBySize) == 0
			})
			if len(cards) == 0 {
				return noDataf("%s holds no price%s", args[0], map[bool]string{true: " of " + provider}[provider != ""])
			}
			text, err := price.MarshalOverrides(cards)
			if err != nil {
				return err
			}
			out, _ := cmd.Flags().GetString("out")
			if out == "" || out == "-" {
				if _, err := cmd.OutOrStdout().Write(text); err != nil {
					return err
				}
			} else if err := os.WriteFile(out, text, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d prices; %d of %d entries of the map have none, %d have prices that cannot be expressed\n",
				len(cards), len(rep.Unpriced), rep.Entries, len(rep.Unrepresented))
			return nil
		},
	}
	c.Flags().String("out", "", "`file` to write; standard output when not given")
	c.Flags().String("provider", "", "only this provider's models")
	c.Flags().String("from", "", "the day from which the prices hold; always when not given")
	return c
}

// difference is one model whose price differs between two books.
type difference struct {
	Provider string      `json:"provider"`
	Model    string      `json:"model"`
	Change   string      `json:"change"` // added, removed, changed
	Old      *price.Card `json:"old"`
	New      *price.Card `json:"new"`
}

func priceDiffCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Compare two price books, or one book at two dates",
		Long: `OLD and NEW are each a date (the book of that day), "catalog", "current" (the
catalog under the configuration's prices), a YAML file of prices, or a LiteLLM
price map in JSON.`,
		Example: `  strata price diff 2025-06-01 2026-07-01 --provider openai
  strata price diff catalog prices.yaml
  strata price diff catalog model_prices_and_context_window.json --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			provider, _ := cmd.Flags().GetString("provider")
			sides := [2]map[string]*price.Card{}
			partial := false
			for i, name := range args {
				cards, some, err := bookNamed(cmd, name)
				if err != nil {
					return err
				}
				partial = partial || some && i == 1
				sides[i] = map[string]*price.Card{}
				for _, c := range cards {
					if provider == "" || strings.EqualFold(provider, c.Provider) {
						sides[i][c.Provider+"/"+c.Model] = c
					}
				}
			}
			diffs := compareBooks(sides[0], sides[1], partial)
			return printList(p, diffs, func(w io.Writer) {
				if len(diffs) == 0 {
					fmt.Fprintln(w, "no difference")
					return
				}
				g := newGrid(w, "model", "change", "what", ">old USD", ">new USD")
				for _, d := range diffs {
					diffRows(g, &d)
				}
				g.print()
			})
		},
	}
	c.Flags().String("provider", "", "only this provider's models")
	outputFlags(c)
	return c
}

// bookNamed lists the cards of a book. partial says that the book prices only
// some models, so that the absence of one means nothing.
func bookNamed(cmd *cobra.Command, name string) (cards []*price.Card, partial bool, err error) {
	if t, err := time.Parse(time.DateOnly, name); err == nil {
		book, err := priceBook(cmd)
		if err != nil {
			return nil, false, err
		}
		cards, _ = book.List(price.ListQuery{At: t, Limit: -1})
		// A first known price also stands for the time before it, so that no
		// call loses its price; but the book of that day did not have it.
		return slices.DeleteFunc(cards, func(c *price.Card) bool { return c.From.After(t) }), false, nil
	}
	switch name {
	case "catalog":
		cards, _ = price.Catalog().List(price.ListQuery{Limit: -1})
		return cards, false, nil
	case "current":
		book, err := priceBook(cmd)
		if err != nil {
			return nil, false, err
		}
		cards, _ = book.List(price.ListQuery{Limit: -1})
		return cards, false, nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, usagef("%q is neither a date, nor catalog, nor current, nor a file", name)
	}
	if err != nil {
		return nil, false, &exitError{exitUsage, err}
	}
	if json.Valid(data) && strings.HasSuffix(name, ".json") {
		cards, _, err = litellm.Parse(data, nil, time.Time{})
		if err != nil {
			return nil, false, &exitError{exitUsage, fmt.Errorf("%s: %w", name, err)}
		}
		return cards, false, nil
	}
	o, err := price.ParseOverrides(name, data)
	if err != nil {
		return nil, false, &exitError{exitUsage, err}
	}
	cards, _ = o.List(price.ListQuery{Limit: -1})
	return cards, true, nil
}

func compareBooks(old, new map[string]*price.Card, partial bool) []difference {
	names := sortedKeys(old)
	for _, k := range sortedKeys(new) {
		if old[k] == nil {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	diffs := []difference{}
	for _, k := range names {
		a, b := old[k], new[k]
		d := difference{Old: a, New: b}
		switch {
		case b == nil && partial:
			continue
		case b == nil:
			d.Change, d.Provider, d.Model = "removed", a.Provider, a.Model
		case a == nil:
			d.Change, d.Provider, d.Model = "added", b.Provider, b.Model
		case a.Digest() != b.Digest():
			d.Change, d.Provider, d.Model = "changed", b.Provider, b.Model
		default:
			continue
		}
		diffs = append(diffs, d)
	}
	return diffs
}

// diffRows writes one row per base price that differs, or one for the rest.
func diffRows(g *grid, d *difference) {
	name := strings.TrimPrefix(d.Provider+"/"+d.Model, "/")
	rows := 0
	for b := range model.NumBuckets {
		var was, is string
		show := func(c *price.Card) string {
			if c == nil {
				return "-"
			}
			usd, ok := c.Base.Get(b)
			if !ok {
				return "-"
			}
			if b.IsToken() {
				return usd.Shift(6).String() + "/Mtok"
			}
			return usd.String()
		}
		if was, is = show(d.Old), show(d.New); was != is {
			g.row(name, d.Change, b.String(), was, is)
			rows++
		}
	}
	if rows == 0 {
		g.row(name, d.Change, "tiers, multipliers or other terms", "", "")
	}
}

func priceCheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Run metering and pricing cases: replies with prices, and what they must come to",
		Long: `Each line of FILE is a case: a provider's reply, what the gateway knew besides, the
prices to use, and the buckets and the exact cost that must come out. The replies
go through the same code as calls do. No catalog, no network and no running
server are used. "-" reads standard input.

Exit codes: 0 all cases are ok, 99 some are not, 2 the file cannot be read. A
case that names a policy and differs is reported apart and is no failure.`,
		Example: `  strata price check model/price/testdata/cases/openai.jsonl
  strata price check cases.jsonl --json | jq 'select(.ok == false)'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			var in io.Reader = cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return &exitError{exitUsage, fmt.Errorf("%w: %w", check.ErrFile, err)}
				}
				defer f.Close()
				in = f
			}
			cases, err := check.Read(args[0], in)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			var sum check.Summary
			outcomes := make([]check.Outcome, len(cases))
			for i := range cases {
				outcomes[i] = check.Run(&cases[i])
				sum.Add(&outcomes[i])
				if p.json {
					if err := p.object(&outcomes[i]); err != nil {
						return err
					}
				}
			}
			if p.json {
				err = p.object(map[string]check.Summary{"summary": sum})
			} else {
				err = p.human(func(w io.Writer) { showOutcomes(w, cases, outcomes, sum) })
			}
			if err == nil && sum.Failed > 0 {
				err = &exitError{exitGate, nil}
			}
			return err
		},
	}
	outputFlags(c)
	return c
}

func showOutcomes(w io.Writer, cases []check.Case, outcomes []check.Outcome, sum check.Summary) {
	on := colourful(w)
	g := newGrid(w, "", "case", "provider", "surface", ">cost USD")
	for i := range outcomes {
		o := &outcomes[i]
		mark := paint(on, sgrGood, "✓")
		switch {
		case o.OK:
		case o.Policy != "":
			mark = paint(on, sgrWarn, "!")
		default:
			mark = paint(on, sgrBad, "✗")
		}
		cost := unknown
		if o.CostUSD != nil {
			cost = *o.CostUSD
		}
		if o.Estimated {
			cost = "~" + cost
		}
		g.t.AppendRow([]any{mark, plain(o.ID), plain(cases[i].Provider), plain(cases[i].Surface), cost})
	}
	g.print()
	for _, part := range []struct {
		title string
		is    func(*check.Outcome) bool
	}{
		{"failed", func(o *check.Outcome) bool { return !o.OK && o.Policy == "" }},
		{"differs where several answers are acceptable", func(o *check.Outcome) bool { return !o.OK && o.Policy != "" }},
	} {
		first := true
		for i := range outcomes {
			o := &outcomes[i]
			if !part.is(o) {
				continue
			}
			if first {
				fmt.Fprintf(w, "\n%s:\n", part.title)
				first = false
			}
			fmt.Fprintf(w, "  %s: %s\n", plain(o.ID), plain(*o.Error))
			if cases[i].Why != "" {
				fmt.Fprintf(w, "      %s\n", plain(cases[i].Why))
			}
			if o.Policy != "" {
				fmt.Fprintf(w, "      policy: %s\n", plain(o.Policy))
			}
		}
	}
	fmt.Fprintf(w, "\n%d cases, %d ok, %d failed", sum.Cases, sum.OK, sum.Failed)
	if sum.Policy > 0 {
		fmt.Fprintf(w, ", %d differ by policy", sum.Policy)
	}
	fmt.Fprintln(w)
}

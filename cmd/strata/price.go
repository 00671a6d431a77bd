package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/config"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
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
	if book, err = ownPrices(book, file, f); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return book, nil
}

// ownPrices lays the prices of a configuration, and of the files that it names,
// over a book.
func ownPrices(book *price.Book, file string, f *config.File) (*price.Book, error) {
	for _, name := range f.PriceFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(file), name)
		}
		o, err := price.LoadOverrides(name)
		if err != nil {
			return nil, err
		}
		book = book.With(o)
	}
	o, err := price.OverridesNode(file, &f.Prices)
	if err != nil {
		return nil, err
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

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

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/price/litellm"
)

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

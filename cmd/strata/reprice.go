package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/admin/client"
)

var _ = register(groupMoney, repriceCommand)

func repriceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reprice",
		Short: "Rate past calls again, and post the differences as corrections",
		Long: `Rate the recorded usage of past calls again, with the price book and the tariffs
as they are now. Prices are dated: each call is rated with the prices of its
time. --dry-run only shows what would change; without it the differences are
posted as corrections. The first amounts stay in the record, and budgets count
the corrected ones. Doing it twice changes nothing the second time.`,
		Example: `  strata reprice --dry-run
  strata reprice --since 2026-11-01 --prices prices.yaml --dry-run
  strata reprice --model lab-large --reason "price list of November"`,
		Args: cobra.NoArgs,
		RunE: runReprice,
	}
	timeFlags(c)
	f := c.Flags()
	f.Bool("dry-run", false, "only show what would change")
	f.String("prices", "", "a `file` of prices to lay over the book")
	f.String("book", "current", "current (the book in force, your prices included) or catalog (the embedded one alone)")
	f.String("customer", "", "only calls of this `customer`")
	f.String("model", "", "only calls of this `model`")
	f.String("reason", "", "a `text` that is recorded with each correction")
	_ = c.RegisterFlagCompletionFunc("book", cobra.FixedCompletions([]string{"current", "catalog"}, cobra.ShellCompDirectiveNoFileComp))
	outputFlags(c)
	return c
}

func runReprice(cmd *cobra.Command, _ []string) error {
	p, err := newPrinter(cmd)
	if err != nil {
		return err
	}
	get := func(name string) string { v, _ := cmd.Flags().GetString(name); return v }
	req := admin.RepriceRequest{Since: get("since"), Until: get("until"), Book: get("book"), Customer: get("customer"), Model: get("model"), Reason: get("reason")}
	req.DryRun, _ = cmd.Flags().GetBool("dry-run")
	if file := get("prices"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return usagef("reading prices: %w", err)
		}
		req.Prices = string(text)
	}
	return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
		tell, done := counter(cmd.ErrOrStderr(), "rated")
		r, err := c.Reprice(ctx, req, tell)
		done()
		if err != nil {
			return err
		}
		return p.report(r, func(w io.Writer) { printReprice(w, &r) })
	})
}

// repriceCells are the cells of one row. Where no call has a known cost there is
// no sum, which is not zero, and no difference to it.
func repriceCells(name string, l admin.RepriceLine) []any {
	before, after, difference := dollars(l.CostBefore), dollars(l.CostAfter), dollars(l.CostAfter.Sub(l.CostBefore))
	if l.Calls > 0 && l.UnknownBefore == l.Calls {
		before, difference = unknown, unknown
	}
	if l.Calls > 0 && l.UnknownAfter == l.Calls {
		after, difference = unknown, unknown
	}
	return []any{name, count(l.Calls), count(l.Changed), before, after, difference}
}

func printReprice(w io.Writer, r *admin.Reprice) {
	if r.Calls == 0 {
		fmt.Fprintln(w, "No call to rate.")
		return
	}
	if len(r.ByModel) > 0 {
		g := newGrid(w, "Model", ">Calls", ">Changed", ">Cost before", ">Cost after", ">Difference")
		for _, l := range r.ByModel {
			g.row(repriceCells(or(l.Model, "(none)"), l)...)
		}
		g.footer(repriceCells("Total", admin.RepriceLine{
			Calls: r.Calls, Changed: r.Changed, CostBefore: r.CostBefore, CostAfter: r.CostAfter,
			UnknownBefore: r.UnknownBefore, UnknownAfter: r.UnknownAfter,
		})...)
		g.print()
		fmt.Fprintln(w)
	}
	if r.NowKnown > 0 || r.NowUnknown > 0 {
		fmt.Fprintf(w, "%s %s a cost that was unknown, %s lost one.\n", count(r.NowKnown), plural(int(r.NowKnown), "call gets", "calls get"), count(r.NowUnknown))
	}
	if r.Kept > 0 {
		fmt.Fprintf(w, "%s as %s, since the book has no price of the model.\n", plural(int(r.Kept), "1 call stays", count(r.Kept)+" calls stay"), plural(int(r.Kept), "it is", "they are"))
	}
	if r.UnknownAfter > 0 {
		fmt.Fprintf(w, "%s of unknown cost, in no sum.\n", plural(int(r.UnknownAfter), "1 call remains", count(r.UnknownAfter)+" calls remain"))
	}
	switch {
	case r.Changed == 0:
		fmt.Fprintln(w, "Nothing changes.")
	case r.DryRun:
		fmt.Fprintln(w, "Nothing was changed. Post the corrections with the same command without --dry-run.")
	default:
		fmt.Fprintf(w, "%s %s posted.\n", count(r.Changed), plural(int(r.Changed), "correction is", "corrections are"))
	}
}

// counter shows the progress of long work on a terminal, and nothing elsewhere.
func counter(w io.Writer, what string) (tell func(done, total int64), end func()) {
	if !isTerminal(w) {
		return nil, func() {}
	}
	shown := time.Time{}
	tell = func(done, total int64) {
		if total == 0 || time.Since(shown) < 100*time.Millisecond {
			return
		}
		shown = time.Now()
		fmt.Fprintf(w, "\r%s of %s %s\x1b[K", count(done), count(total), what)
	}
	return tell, func() {
		if !shown.IsZero() {
			fmt.Fprint(w, "\r\x1b[K")
		}
	}
}

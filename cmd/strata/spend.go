package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/admin/client"
)

var _ = register(groupMoney, spendCommand)

// spendGroups are the values of --by.
var spendGroups = []string{"customer", "feature", "model", "key", "day"}

func spendCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "spend",
		Short: "Sum cost, charge and margin by customer, feature, model, key or day",
		Long: `Sum what calls cost, what was charged for them, and the margin between the two.
Calls whose cost is not known are counted in "Unknown" and are in no sum. Days
begin at midnight in the business time zone. The sums are of the ledger's own
postings, corrections included, to the picodollar.`,
		Example: `  strata spend --by model
  strata spend --by day --since 7d
  strata spend --by customer --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			by, _ := cmd.Flags().GetString("by")
			if !slices.Contains(spendGroups, by) {
				return usagef("--by %q: group by one of %s", by, strings.Join(spendGroups, ", "))
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				q := filterQuery(cmd)
				hasFilter := filtered(q)
				q.Set("by", by)
				answer, err := c.Spend(ctx, q)
				if err != nil {
					return err
				}
				if len(answer.Groups) == 0 {
					if hasFilter {
						return noDataf("no call matches; leave out a filter, or see all with: strata spend")
					}
					return noDataf("no calls yet; make one with: strata chat \"Hello\"")
				}
				return printList(p, answer.Groups, func(w io.Writer) { printSpend(w, by, answer.Groups, &answer.Totals) })
			})
		},
	}
	c.Flags().String("by", "customer", "group by customer, feature, model, key or day")
	filterFlags(c)
	outputFlags(c)
	_ = c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(spendGroups, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func printSpend(w io.Writer, by string, groups []admin.Spend, totals *admin.Spend) {
	g := newGrid(w, strings.ToUpper(by[:1])+by[1:], ">Calls", ">Errors", ">Unknown", ">Tokens", ">Cost", ">Charge", ">Margin")
	cells := func(name string, s *admin.Spend) []any {
		return []any{name, count(s.Calls), count(s.Errors), count(s.UnknownCostCalls), tokens(s.Usage, false),
			sumOf(s, s.CostUSD), sumOf(s, s.ChargeUSD), sumOf(s, s.MarginUSD)}
	}
	for i := range groups {
		g.row(cells(or(groups[i].Group, "(none)"), &groups[i])...)
	}
	g.footer(cells("Total", totals)...)
	g.print()
}

// sumOf draws a group's sum; a group in which no call has a known cost has no
// sum, which is not the same as zero.
func sumOf(s *admin.Spend, amount interface{ String() string }) string {
	if s.Calls > 0 && s.UnknownCostCalls == s.Calls {
		return unknown
	}
	return dollars(amount)
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/admin/client"
	"github.com/stratahq/strata/money"
)

var _ = register(groupMoney, budgetCommand)

// The values of --period and --mode.
var (
	budgetPeriods = []string{"day", "month", "total"}
	budgetModes   = []string{"hard", "warn"}
)

func budgetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "budget",
		Short: "Limit what a key or a customer may spend",
		Long: `A budget limits the cost of a key's or a customer's calls in a day, a month or
in total. Before a call goes out, an upper bound of its cost is held against
every budget that applies; a hard budget refuses what might exceed it with HTTP
402, a warn budget lets it pass and says so. Days and months begin at midnight
in the business time zone.`,
		Example: `  strata budget set --customer acme --limit 25.00 --period month
  strata budget list`,
	}
	c.AddCommand(budgetSetCommand(), budgetListCommand(), budgetDeleteCommand())
	return c
}

func budgetSetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "set",
		Short: "Set the budget of a key or a customer for one period",
		Example: `  strata budget set --customer acme --limit 25.00 --period month
  strata budget set --key key_0193… --limit 1.00 --period day --mode warn`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			f := cmd.Flags()
			get := func(name string) string { v, _ := f.GetString(name); return v }
			if (get("key") == "") == (get("customer") == "") {
				return usagef("a budget is for one key or one customer: give --key ID or --customer NAME")
			}
			if get("limit") == "" {
				return usagef("give the limit in US dollars: --limit 1.00")
			}
			limit, err := money.ParsePico(get("limit"))
			if err != nil || limit < 0 {
				return usagef("--limit %q: give an amount in US dollars such as 1.00, not negative and with at most 12 decimals", get("limit"))
			}
			if !slices.Contains(budgetPeriods, get("period")) {
				return usagef("--period %q: one of %s", get("period"), strings.Join(budgetPeriods, ", "))
			}
			if !slices.Contains(budgetModes, get("mode")) {
				return usagef("--mode %q: one of %s", get("mode"), strings.Join(budgetModes, ", "))
			}
			body := map[string]any{"limit_usd": limit, "period": get("period"), "mode": get("mode")}
			for _, who := range []string{"key", "customer"} {
				if v := get(who); v != "" {
					body[who] = v
				}
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				var b admin.Budget
				if err := c.Put(ctx, "/api/v1/budgets", body, &b); err != nil {
					return err
				}
				return p.report(b, func(w io.Writer) {
					fmt.Fprintf(w, "Budget %s: %s may spend %s %s (%s). Spent %s, held %s, left %s.\n", b.ID, plain(budgetOf(&b)),
						dollars(b.LimitUSD), perPeriod(b.Period), b.Mode, dollars(b.SpentUSD), dollars(b.HeldUSD), dollars(b.RemainingUSD))
				})
			})
		},
	}
	f := c.Flags()
	f.String("key", "", "limit this key, by its `ID` (key_…)")
	f.String("customer", "", "limit this `customer`, over all its keys")
	f.String("limit", "", "the limit in US `dollars`")
	f.String("period", "month", "day, month or total")
	f.String("mode", "hard", "hard refuses, warn only tells")
	_ = c.RegisterFlagCompletionFunc("period", cobra.FixedCompletions(budgetPeriods, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions(budgetModes, cobra.ShellCompDirectiveNoFileComp))
	outputFlags(c)
	return c
}

// budgetOf names whom a budget limits.
func budgetOf(b *admin.Budget) string {
	if b.Key != "" {
		return "key " + b.Key
	}
	return "customer " + b.Customer
}

func budgetListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List budgets with what is spent, held and left",
		Example: `  strata budget list
  strata budget list --jq 'select(.mode == "hard") | .remaining_usd'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				var answer struct {
					Budgets []admin.Budget `json:"budgets"`
				}
				if err := c.Get(ctx, "/api/v1/budgets", nil, &answer); err != nil {
					return err
				}
				if len(answer.Budgets) == 0 {
					return noDataf("no budgets; set one with: strata budget set --customer NAME --limit 25.00 --period month")
				}
				zone, err := zoneOf(ctx, c)
				if err != nil {
					return err
				}
				return printList(p, answer.Budgets, func(w io.Writer) {
					g := newGrid(w, "ID", "For", "Period", "Mode", ">Limit", ">Spent", ">Held", ">Left", "Until")
					for i := range answer.Budgets {
						b := &answer.Budgets[i]
						g.row(b.ID, budgetOf(b), b.Period, b.Mode, dollars(b.LimitUSD), dollars(b.SpentUSD), dollars(b.HeldUSD),
							dollars(b.RemainingUSD), maybeTime(b.WindowEnd, zone))
					}
					g.print()
				})
			})
		},
	}
	outputFlags(c)
	return c
}

func budgetDeleteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "delete ID",
		Aliases: []string{"rm"},
		Short:   "Remove a budget",
		Example: `  strata budget delete bud_0193…`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				if err := c.Delete(ctx, "/api/v1/budgets/"+url.PathEscape(args[0]), nil); err != nil {
					return err
				}
				return p.report(map[string]any{"id": args[0], "deleted": true}, func(w io.Writer) {
					fmt.Fprintf(w, "Budget %s is removed.\n", plain(args[0]))
				})
			})
		},
	}
	outputFlags(c)
	return c
}

// perPeriod says in a sentence what a limit holds for.
func perPeriod(period string) string {
	if period == "total" {
		return "in total"
	}
	return "per " + period
}

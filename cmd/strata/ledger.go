package main

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/admin/client"
)

var _ = register(groupRecord, ledgerCommand)

func ledgerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ledger",
		Short: "Verify the ledger, or show what is in it",
		Long: `Every call is one row of the ledger; its lines of cost and charge are posted as
balanced double entries, and each batch of rows is linked to the one before it
by a hash. "verify" recomputes all of it.`,
		Example: `  strata ledger verify
  strata ledger show`,
	}
	c.AddCommand(ledgerVerifyCommand(), ledgerShowCommand())
	return c
}

func ledgerVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Recompute every line, posting, balance and link of the chain",
		Long: `Recompute every line, posting, balance and link of the chain, and print the head
of the chain. Keep the head elsewhere, and compare later: a chain whose head
nobody keeps can be rewritten as a whole by who can write to the database.

The exit code is 1 when anything is wrong.`,
		Example: `  strata ledger verify
  strata ledger verify --jq .head >> heads.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				tell, done := counter(cmd.ErrOrStderr(), "calls verified")
				v, err := c.Verify(ctx, tell)
				done()
				if err != nil {
					return err
				}
				if err := p.report(v, func(w io.Writer) { printVerification(w, &v) }); err != nil {
					return err
				}
				if !v.OK {
					return &exitError{code: exitFailed}
				}
				return nil
			})
		},
	}
	outputFlags(c)
	return c
}

// shownErrors is how many faults of a ledger a person is shown.
const shownErrors = 20

func printVerification(w io.Writer, v *admin.Verification) {
	on := colourful(w)
	if v.OK {
		fmt.Fprintf(w, "%s The ledger is whole.\n", paint(on, sgrGood, "✓"))
	} else {
		fmt.Fprintf(w, "%s The ledger is NOT whole: %d %s.\n", paint(on, sgrBad, "✗"), len(v.Errors), plural(len(v.Errors), "fault", "faults"))
	}
	fmt.Fprintf(w, "  calls        %s\n", count(v.Calls))
	fmt.Fprintf(w, "  postings     %s, which sum to %s\n", count(v.Postings), dollars(v.PostingsSum))
	fmt.Fprintf(w, "  open holds   %s\n", count(v.OpenHolds))
	fmt.Fprintf(w, "  head         %s\n", or(v.Head, "none yet"))
	for i, e := range v.Errors {
		if i == shownErrors {
			fmt.Fprintf(w, "  … and %d more: strata ledger verify --json\n", len(v.Errors)-shownErrors)
			break
		}
		fmt.Fprintf(w, "%s %s\n", paint(on, sgrBad, "✗"), plain(e))
	}
	if !v.OK {
		fmt.Fprintln(w, "Keep a copy of the data directory as it is, then restore the newest backup that verifies: strata restore FILE")
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// ledgerSummary is what "ledger show" reports.
type ledgerSummary struct {
	DataDir  string      `json:"data_dir"`
	TimeZone string      `json:"time_zone"`
	Totals   admin.Spend `json:"totals"`
	// SampleCalls are labelled sample data; they are part of the totals.
	SampleCalls int64 `json:"sample_calls"`
}

func ledgerShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Show the totals of the whole ledger",
		Example: `  strata ledger show
  strata ledger show --jq .totals.cost_usd`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
				s, err := c.Status(ctx)
				if err != nil {
					return err
				}
				spend, err := c.Spend(ctx, url.Values{"by": {"model"}})
				if err != nil {
					return err
				}
				sum := ledgerSummary{DataDir: s.DataDir, TimeZone: s.TimeZone, Totals: spend.Totals, SampleCalls: s.SampleCalls}
				return p.report(sum, func(w io.Writer) {
					t := &sum.Totals
					fmt.Fprintf(w, "Data      %s\n", plain(sum.DataDir))
					fmt.Fprintf(w, "Days in   %s\n", sum.TimeZone)
					fmt.Fprintf(w, "Calls     %s (%s failed, %s of unknown cost, %s samples)\n", count(t.Calls), count(t.Errors), count(t.UnknownCostCalls), count(sum.SampleCalls))
					fmt.Fprintf(w, "Tokens    %s\n", tokens(t.Usage, false))
					fmt.Fprintf(w, "Cost      %s\n", sumOf(t, t.CostUSD))
					fmt.Fprintf(w, "Charge    %s\n", sumOf(t, t.ChargeUSD))
					fmt.Fprintf(w, "Margin    %s\n", sumOf(t, t.MarginUSD))
				})
			})
		},
	}
	outputFlags(c)
	return c
}

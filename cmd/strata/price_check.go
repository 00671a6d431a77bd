package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	pricecheck "github.com/stratahq/strata/model/price/check"
)

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
					return &exitError{exitUsage, fmt.Errorf("%w: %w", pricecheck.ErrFile, err)}
				}
				defer f.Close()
				in = f
			}
			cases, err := pricecheck.Read(args[0], in)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			var sum pricecheck.Summary
			outcomes := make([]pricecheck.Outcome, len(cases))
			for i := range cases {
				outcomes[i] = pricecheck.Run(&cases[i])
				sum.Add(&outcomes[i])
				if p.json {
					if err := p.object(&outcomes[i]); err != nil {
						return err
					}
				}
			}
			if p.json {
				err = p.object(map[string]pricecheck.Summary{"summary": sum})
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

func showOutcomes(w io.Writer, cases []pricecheck.Case, outcomes []pricecheck.Outcome, sum pricecheck.Summary) {
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
		g.t.AppendRow([]any{mark, plain(o.ID), plain(string(cases[i].Provider)), plain(string(cases[i].Surface)), cost})
	}
	g.print()
	for _, part := range []struct {
		title string
		is    func(*pricecheck.Outcome) bool
	}{
		{"failed", func(o *pricecheck.Outcome) bool { return !o.OK && o.Policy == "" }},
		{"differs where several answers are acceptable", func(o *pricecheck.Outcome) bool { return !o.OK && o.Policy != "" }},
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
				fmt.Fprintf(w, "      %s\n", plain(string(cases[i].Why)))
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

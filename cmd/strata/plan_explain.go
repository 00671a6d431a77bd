package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/econ/scenario"
	"github.com/stratahq/strata/unit"
)

// figureOf is a figure that only knows its quantity, for showing numbers.
func figureOf(q *formula.Quantity) *scenario.Figure { return scenario.FigureOf(q) }

// round4 shows a number with four significant digits.
func round4(show func(float64, unit.Unit) string, base float64, u unit.Unit) string {
	v := unit.Quantity{Base: base, Unit: u}.Value()
	if rounded := formula.Round(v, 4); rounded != v {
		scale := u.Scale
		if scale == 0 {
			scale = 1
		}
		base = rounded * scale
	}
	return show(base, u)
}

func planExplainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain FILE QUANTITY",
		Short: "Explain a quantity: its formula with numbers, its source, what it depends on",
		Example: `  strata plan explain plan.yaml server.margin
  strata plan explain plan.yaml server.margin --json --jq .with_numbers`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			variant, _ := cmd.Flags().GetString("variant")
			s, err := loadPlan(cmd, args[0], variant)
			if err != nil {
				return err
			}
			e, err := s.Explain(args[1])
			if err != nil {
				return planError(err)
			}
			return p.report(e, func(w io.Writer) { showExplanation(w, e) })
		},
	}
	planFlags(c)
	outputFlags(c)
	return c
}

func showExplanation(w io.Writer, e *scenario.Explanation) {
	on := colourful(w)
	fmt.Fprintf(w, "%s = %s\n", paint(on, sgrBold, e.Name), plain(e.Text))
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-14s %s\n", what, plain(text))
		}
	}
	line("what", e.Doc)
	line("formula", e.Formula)
	line("with numbers", e.WithNumbers)
	line("number", e.Number)
	line("reported", e.Reported)
	line("as reported", e.AsReported)
	line("like for like", e.LikeForLike)
	for _, b := range e.Because {
		line("", b)
	}
	line("note", e.Note)
	line("source", e.Source)
	if e.Block != "" {
		line("block", e.Block)
	}
	line("where", e.Place)
	if len(e.DependsOn) == 0 {
		return
	}
	fmt.Fprintln(w, "\ndepends on")
	showBelow(w, e.DependsOn, "  ")
}

func showBelow(w io.Writer, list []*scenario.Explanation, indent string) {
	for _, e := range list {
		text := e.Text
		if e.Number != "" {
			text = e.Number
		}
		fmt.Fprintf(w, "%s%s = %s\n", indent, e.Name, plain(text))
		if e.WithNumbers != "" {
			fmt.Fprintf(w, "%s    = %s\n", indent, plain(e.WithNumbers))
		} else if e.Source != "" {
			fmt.Fprintf(w, "%s    %s\n", indent, plain(e.Source))
		}
		if e.AsReported != "" {
			fmt.Fprintf(w, "%s    as reported: %s; like for like %s\n", indent, plain(e.AsReported), plain(e.LikeForLike))
		}
		showBelow(w, e.DependsOn, indent+"  ")
	}
}

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/econ/block"
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

// compared is one row of "plan compare".
type compared struct {
	Quantity string           `json:"quantity"`
	Unit     string           `json:"unit"`
	A        *scenario.Figure `json:"a"`
	B        *scenario.Figure `json:"b"`
	// Difference is b - a, and Ratio b / a where a is not 0.
	Difference *float64 `json:"difference,omitempty"`
	Ratio      *float64 `json:"ratio,omitempty"`
}

func planCompareCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Set two scenarios, or two variants, side by side",
		Long: `A and B are files, each with @VARIANT behind it for a variant of the file. Quantities
of the same name and kind of unit are compared. --set applies to both.`,
		Example: `  strata plan compare rent.yaml buy.yaml
  strata plan compare plan.yaml plan.yaml@cheap`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			var s [2]*scenario.Scenario
			var r [2]*scenario.Result
			for i, arg := range args {
				file, variant := arg, ""
				if at := strings.LastIndexByte(arg, '@'); at > 0 && !strings.ContainsAny(arg[at:], `/\.`) {
					file, variant = arg[:at], arg[at+1:]
				}
				if s[i], err = loadPlan(cmd, file, variant); err != nil {
					return err
				}
				if r[i], err = s[i].Run(); err != nil {
					return planError(err)
				}
			}
			all, _ := cmd.Flags().GetBool("all")
			rows := comparePlans(s, r, all)
			if len(rows) == 0 {
				return noDataf("%s and %s have no quantity in common; compare variants of one file, or files with the same names", args[0], args[1])
			}
			return printList(p, rows, func(w io.Writer) { showComparison(w, args, rows, r) })
		},
	}
	c.Flags().Bool("all", false, "compare every quantity, not only those of the show lists")
	c.Flags().StringArray("set", nil, "set a quantity in both: `NAME=VALUE` (may be repeated)")
	c.Flags().Int("samples", 0, "number of draws, instead of the files'")
	c.Flags().Int64("seed", -1, "seed of the draws, instead of the files'")
	outputFlags(c)
	return c
}

func comparePlans(s [2]*scenario.Scenario, r [2]*scenario.Result, all bool) []compared {
	names := chosen(s[0], r[0], all)
	for _, n := range chosen(s[1], r[1], all) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	var rows []compared
	for _, n := range names {
		a, b := r[0].Quantities[n], r[1].Quantities[n]
		if a == nil || b == nil || a.Quantity().Unit.Dim != b.Quantity().Unit.Dim {
			continue
		}
		row := compared{Quantity: n, Unit: a.Unit, A: a, B: b}
		// Both in the unit of A.
		d := (b.Base(b.Value) - a.Base(a.Value)) / a.Base(1)
		row.Difference = &d
		if a.Value != 0 {
			ratio := b.Base(b.Value) / a.Base(a.Value)
			row.Ratio = &ratio
		}
		rows = append(rows, row)
	}
	return rows
}

func showComparison(w io.Writer, args []string, rows []compared, r [2]*scenario.Result) {
	uncertain := len(r[0].Uncertain)+len(r[1].Uncertain) > 0
	headers := []string{"quantity", ">" + args[0], ">" + args[1], ">difference", ">ratio"}
	if uncertain {
		headers = append(headers, "80 % interval of the first", "of the second")
	}
	g := newGrid(w, headers...)
	for _, row := range rows {
		u := row.A.Quantity().Unit
		ratio := ""
		if row.Ratio != nil {
			ratio = formula.ShowNumber(formula.Round(*row.Ratio, 4))
		}
		cells := []any{row.Quantity, formula.Show(row.A.Base(row.A.Value), u), formula.Show(row.B.Base(row.B.Value), row.B.Quantity().Unit), formula.Show(row.A.Base(*row.Difference), u), ratio}
		if uncertain {
			for _, f := range []*scenario.Figure{row.A, row.B} {
				cell := ""
				if f.P10 != f.P90 {
					cell = interval(f, f.P10, f.P90)
				}
				cells = append(cells, cell)
			}
		}
		g.row(cells...)
	}
	g.print()
	if uncertain {
		fmt.Fprintf(w, "\n%s and %s draws (scrambled Sobol), seeds %d and %d\n", count(int64(r[0].Samples)), count(int64(r[1].Samples)), r[0].Seed, r[1].Seed)
	}
}

// blockJSON is a block as JSON.
type blockJSON struct {
	Block   string       `json:"block"`
	Doc     string       `json:"doc"`
	Source  string       `json:"source"`
	Inputs  []inputJSON  `json:"inputs"`
	Outputs []outputJSON `json:"outputs"`
}

type inputJSON struct {
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	Default  string `json:"default,omitempty"`
	Required bool   `json:"required"`
	Doc      string `json:"doc"`
	Source   string `json:"source,omitempty"`
}

type outputJSON struct {
	Name    string `json:"name"`
	Unit    string `json:"unit"`
	Formula string `json:"formula"`
	Doc     string `json:"doc"`
}

func planBlocksCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "blocks [BLOCK]",
		Short: "List the blocks that scenarios are made of, or show one",
		Example: `  strata plan blocks
  strata plan blocks gpu_server`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				b, ok := block.Find(args[0])
				if !ok {
					var names []string
					for _, b := range block.All() {
						names = append(names, b.Name)
					}
					return noDataf("there is no block %q%s", args[0], formula.Suggest(args[0], names))
				}
				return p.report(describeBlock(b), func(w io.Writer) { showBlock(w, b) })
			}
			var list []blockJSON
			for _, b := range block.All() {
				list = append(list, describeBlock(b))
			}
			return printList(p, list, func(w io.Writer) {
				g := newGrid(w, "block", "what it computes")
				for _, b := range list {
					g.row(b.Block, b.Doc)
				}
				g.print()
			})
		},
	}
	outputFlags(c)
	return c
}

func describeBlock(b *block.Block) blockJSON {
	j := blockJSON{Block: b.Name, Doc: b.Doc, Source: b.Source}
	for _, in := range b.Inputs {
		j.Inputs = append(j.Inputs, inputJSON{in.Name, in.Unit.Text, in.Default, !in.HasDefault, in.Doc, in.Source})
	}
	for _, o := range b.Outputs {
		j.Outputs = append(j.Outputs, outputJSON{o.Name, o.Unit.Text, o.Formula, o.Doc})
	}
	return j
}

func showBlock(w io.Writer, b *block.Block) {
	fmt.Fprintf(w, "%s: %s\n%s\n\n", b.Name, b.Doc, b.Source)
	g := newGrid(w, "input", "unit", "default", "what")
	for _, in := range b.Inputs {
		value := in.Default
		if !in.HasDefault {
			value = "(must be given)"
		}
		g.row(in.Name, in.Unit.Text, value, in.Doc)
	}
	g.print()
	fmt.Fprintln(w)
	g = newGrid(w, "output", "unit", "formula", "what")
	for _, o := range b.Outputs {
		g.row(o.Name, o.Unit.Text, o.Formula, o.Doc)
	}
	g.print()
}

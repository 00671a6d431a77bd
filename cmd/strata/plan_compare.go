package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/econ/scenario"
)

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

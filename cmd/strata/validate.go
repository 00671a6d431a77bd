package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/infra/training"
)

var _ = register(groupPlan, validateCommand)

func validateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "validate",
		Short: "Compare what the models of Strata predict with what others measured",
		Long: `Every model of Strata that predicts a time or a memory is compared here with
published measurements, of which small copies are part of the program. Errors are
those of constants that were fitted without the case's own model.`,
		Example: `  strata validate training
  strata validate training --json --jq .summary`,
	}
	c.AddCommand(validateTrainingCommand())
	return c
}

func validateTrainingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "training",
		Short: "Step times, throughput, memory and GPU-hours of training runs, predicted and measured",
		Long: `Predict every published training run that Strata knows and compare it with what
was measured, with its 80 % interval. A case is never given its own measurement:
constants are fitted again for each model without that model's runs. Runs that do
not state their layout use the best one that fits the memory.

With --csv, the cases of a file take the place of the embedded ones. Its columns:
` + strings.Join(training.Columns(), ",") + `
quantity is step_time (s), activation_memory or peak_memory (GiB), tokens_per_s_per_gpu,
hardware_tflops_per_gpu, model_tflops_per_gpu or gpu_hours (needs a column
tokens); recompute is none, selective or full; an empty tp, pp, micro_batch or
interleave is searched. Optional columns: group, stack, cp, sequence_parallel,
shard (ZeRO stage), tokens. Stacks: ` + strings.Join(training.StackNames(), ", ") + `.
Rows that cannot be predicted are listed with the reason.`,
		Example: `  strata validate training
  strata validate training --csv mine.csv --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			rep, err := validateTraining(cmd)
			if err != nil {
				return err
			}
			if len(rep.Cases) == 0 {
				for _, s := range rep.Skipped {
					fmt.Fprintln(cmd.ErrOrStderr(), s.Reason)
				}
				return usagef("no row could be predicted")
			}
			all, _ := cmd.Flags().GetBool("all")
			return p.report(rep, func(w io.Writer) { writeTraining(w, rep, all) })
		},
	}
	c.Flags().String("csv", "", "check the cases of this `FILE` instead of the embedded ones")
	c.Flags().Bool("all", false, "list every case; without it, at most ten of a group, the worst first")
	c.Flags().StringArray("catalog", nil, "a catalog `FILE` of your own over the embedded one; may be repeated")
	outputFlags(c)
	return c
}

func validateTraining(cmd *cobra.Command) (*training.Report, error) {
	file, _ := cmd.Flags().GetString("csv")
	if file == "" {
		return training.Validate(nil, nil)
	}
	cat, err := loadCatalog(cmd)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, usagef("--csv: %w", err)
	}
	defer f.Close()
	cases, bad, err := training.ReadCases(file, f, training.CatalogLookup(cat))
	if err != nil {
		return nil, usagef("--csv: %w", err)
	}
	if cases == nil {
		cases = []training.Case{} // not the embedded ones
	}
	return training.Validate(cases, bad)
}

func writeTraining(w io.Writer, rep *training.Report, all bool) {
	groups := map[string][]training.Result{}
	for _, r := range rep.Cases {
		groups[r.Group] = append(groups[r.Group], r)
	}
	var order []string
	for _, r := range rep.Cases {
		if !slices.Contains(order, r.Group) {
			order = append(order, r.Group)
		}
	}
	for _, name := range order {
		list := slices.Clone(groups[name])
		note := ""
		if !all && len(list) > 12 {
			slices.SortStableFunc(list, func(a, b training.Result) int {
				return cmp.Compare(math.Abs(b.Error), math.Abs(a.Error))
			})
			note = fmt.Sprintf(": the 10 worst of %d; --all lists every one", len(list))
			list = list[:10]
		}
		fmt.Fprintf(w, "%s%s\n", strings.ReplaceAll(name, "_", " "), note)
		g := newGrid(w, "case", ">measured", ">predicted", "unit", ">error", ">p10", ">p90", "covered", "layout")
		for _, r := range list {
			covered := "yes"
			if !r.Covered {
				covered = "no"
			}
			g.row(r.Name, fourFigures(r.Measured), fourFigures(r.Predicted), strings.Replace(r.Unit, "1", "", 1), fmt.Sprintf("%+.1f %%", 100*r.Error), fourFigures(r.P10), fourFigures(r.P90), covered, r.Layout)
		}
		g.print()
		fmt.Fprintln(w)
	}
	g := newGrid(w, "group", ">cases", ">mean error", ">max error", ">bias", ">in 80 % interval", ">mean width")
	for _, key := range training.SummaryGroups {
		s, ok := rep.Summary[key]
		if !ok {
			continue
		}
		g.row(key, s.Cases, validatedPercent(s.MeanAbsError), validatedPercent(s.MaxAbsError), fmt.Sprintf("%+.1f %%", 100*s.Bias), validatedPercent(s.Coverage80), validatedPercent(s.MeanWidth))
	}
	g.print()
	c := rep.Coverage
	fmt.Fprintf(w, "\nAll groups: %d of %d in their 80 %% interval, %s (exact 95 %% interval %s to %s), mean width %s of the prediction.\n",
		c.Covered, c.Cases, validatedPercent(c.Share), validatedPercent(c.Low), validatedPercent(c.High), validatedPercent(c.MeanWidth))
	fmt.Fprintln(w, "\nErrors are leave-one-model-out: constants are fitted again without the runs of a case's model.")
	for _, line := range rep.FittedOn {
		fmt.Fprintln(w, "  "+line)
	}
	if len(rep.Skipped) > 0 {
		fmt.Fprintf(w, "\nNot predicted: %d\n", len(rep.Skipped))
		for _, s := range rep.Skipped {
			fmt.Fprintf(w, "  %s: %s\n", s.Name, s.Reason)
		}
	}
}

func validatedPercent(f float64) string { return fmt.Sprintf("%.1f %%", 100*f) }

// fourFigures writes a number with four figures and no exponent below a billion.
func fourFigures(f float64) string {
	switch a := math.Abs(f); {
	case a >= 1e9:
		return fmt.Sprintf("%.3e", f)
	case a >= 1000:
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.4g", f)
}

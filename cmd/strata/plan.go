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

var _ = register(groupPlan, planCommand)

func planCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Compute a scenario: from a GPU's price to what a product costs",
		Long: `A scenario is a YAML file of documented quantities: blocks such as a GPU server, a
training run, inference or a product, joined by formulas. Every number is a value
("24.21 USD/h"), a range from the 5th to the 95th percentile ("2.10 to 2.60 USD/h")
or a best guess with a range ("2.30 (2.10 to 2.60) USD/h"). Results are estimates,
with intervals where something is uncertain.`,
		Example: `  strata plan init plan.yaml
  strata plan plan.yaml
  strata plan plan.yaml --set server.price="30 USD/h" --json
  strata plan plan.yaml --drivers server.margin
  strata plan plan.yaml --goal server.margin=60% --by server.price
  strata plan explain plan.yaml server.margin`,
		Args: cobra.ExactArgs(1),
		RunE: runPlan,
	}
	c.AddCommand(planExplainCommand(), planCompareCommand(), planInitCommand(), planBlocksCommand(), planSchemaCommand())
	planFlags(c)
	c.Flags().Bool("all", false, "print every quantity, not only those of the file's show list")
	c.Flags().String("drivers", "", "show what drives this `quantity`: Sobol indices and the swing of each uncertain input")
	c.Flags().String("goal", "", "find the input at which a quantity is a target: `NAME=VALUE`, with --by")
	c.Flags().String("by", "", "the `input` that --goal may change")
	c.Flags().String("between", "", "the bounds within which --by is searched: `LOW,HIGH`")
	outputFlags(c)
	return c
}

// planFlags adds what changes a scenario.
func planFlags(c *cobra.Command) {
	c.Flags().String("variant", "", "use this `variant` of the file")
	c.Flags().StringArray("set", nil, "set a quantity: `NAME=VALUE`, or NAME==FORMULA (may be repeated)")
	c.Flags().Int("samples", 0, "number of draws, instead of the file's")
	c.Flags().Int64("seed", -1, "seed of the draws, instead of the file's")
}

// loadPlan reads a scenario with the flags of the command.
func loadPlan(cmd *cobra.Command, file, variant string) (*scenario.Scenario, error) {
	o := scenario.Options{Variant: variant}
	o.Set, _ = cmd.Flags().GetStringArray("set")
	s, err := scenario.Load(file, o)
	if err != nil {
		return nil, planError(err)
	}
	if variant == "" {
		// A fault in a variant that nobody chose is told now, not on the day when
		// somebody chooses it.
		for _, v := range s.Variants {
			if _, err := scenario.Load(file, scenario.Options{Variant: v.Name}); err != nil {
				return nil, planError(fmt.Errorf("in the variant %s: %w", v.Name, err))
			}
		}
	}
	if n, _ := cmd.Flags().GetInt("samples"); cmd.Flags().Changed("samples") {
		if n < 16 || n > scenario.MaxSamples {
			return nil, usagef("--samples is a number from 16 to %d", scenario.MaxSamples)
		}
		s.Samples = n
	}
	if seed, _ := cmd.Flags().GetInt64("seed"); cmd.Flags().Changed("seed") {
		if seed < 0 {
			return nil, usagef("--seed is a number from 0 on")
		}
		s.Seed = uint64(seed)
	}
	return s, nil
}

// planError gives faults of the input their exit code.
func planError(err error) error {
	if scenario.IsInputError(err) {
		return &exitError{exitUsage, err}
	}
	return err
}

func runPlan(cmd *cobra.Command, args []string) error {
	p, err := newPrinter(cmd)
	if err != nil {
		return err
	}
	variant, _ := cmd.Flags().GetString("variant")
	s, err := loadPlan(cmd, args[0], variant)
	if err != nil {
		return err
	}
	drivers, _ := cmd.Flags().GetString("drivers")
	goal, by, between, err := goalFlags(cmd)
	if err != nil {
		return err
	}
	r, err := s.Run()
	if err != nil {
		return planError(err)
	}
	if drivers != "" {
		if r.Drivers, err = s.Drivers(drivers); err != nil {
			return planError(err)
		}
	}
	if goal[0] != "" {
		if r.Goal, err = s.Seek(goal[0], goal[1], by, between[0], between[1]); err != nil {
			return planError(err)
		}
	}
	all, _ := cmd.Flags().GetBool("all")
	return p.report(r, func(w io.Writer) {
		switch {
		case r.Drivers != nil || r.Goal != nil:
			planTitle(w, r)
			if r.Drivers != nil {
				showDrivers(w, s, r.Drivers)
			}
			if r.Goal != nil {
				showGoal(w, s, r.Goal)
			}
		default:
			showPlan(w, s, r, all)
		}
		planFooter(w, r)
	})
}

func goalFlags(cmd *cobra.Command) (goal [2]string, by string, between [2]string, err error) {
	text, _ := cmd.Flags().GetString("goal")
	by, _ = cmd.Flags().GetString("by")
	bounds, _ := cmd.Flags().GetString("between")
	if text == "" {
		if by != "" || bounds != "" {
			err = usagef("--by and --between belong to --goal NAME=VALUE")
		}
		return goal, by, between, err
	}
	name, target, ok := strings.Cut(text, "=")
	if !ok || strings.TrimSpace(target) == "" || by == "" {
		return goal, by, between, usagef("write --goal NAME=VALUE --by INPUT, such as --goal infra.margin=60%% --by infra.price")
	}
	if bounds != "" {
		low, high, ok := strings.Cut(bounds, ",")
		if !ok {
			return goal, by, between, usagef("write --between LOW,HIGH, such as --between \"1 USD/h,50 USD/h\"")
		}
		between = [2]string{strings.TrimSpace(low), strings.TrimSpace(high)}
	}
	return [2]string{strings.TrimSpace(name), strings.TrimSpace(target)}, strings.TrimSpace(by), between, nil
}

func planTitle(w io.Writer, r *scenario.Result) {
	title := or(r.Title, r.File)
	if r.Variant != "" {
		title += " (variant " + r.Variant + ")"
	}
	fmt.Fprintf(w, "%s\n\n", paint(colourful(w), sgrBold, plain(title)))
}

// planFooter says what the figures rest on.
func planFooter(w io.Writer, r *scenario.Result) {
	fmt.Fprintln(w)
	switch n := len(r.Uncertain); n {
	case 0:
		fmt.Fprintln(w, "Nothing is uncertain here: every input is one number.")
	default:
		inputs := "inputs are"
		if n == 1 {
			inputs = "input is"
		}
		fmt.Fprintf(w, "%d %s uncertain; %s draws (scrambled Sobol), seed %d. Values are those of the best guesses.\n", n, inputs, count(int64(r.Samples)), r.Seed)
	}
	if len(r.Variants) > 0 && r.Variant == "" {
		names := make([]string, len(r.Variants))
		for i, v := range r.Variants {
			names[i] = v.Name
		}
		fmt.Fprintf(w, "Variants: %s\n", strings.Join(names, ", "))
	}
}

// chosen are the names to print: the show list, or what is no input.
func chosen(s *scenario.Scenario, r *scenario.Result, all bool) []string {
	if !all && len(s.Show) > 0 {
		return s.Show
	}
	var names []string
	for name, f := range r.Quantities {
		if all || !f.Input {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func showPlan(w io.Writer, s *scenario.Scenario, r *scenario.Result, all bool) {
	planTitle(w, r)
	names := chosen(s, r, all)
	reported, uncertain, invalid := false, false, false
	for _, n := range names {
		f := r.Quantities[n]
		reported = reported || f.Reported != nil
		uncertain = uncertain || f.P2_5 != f.P97_5
		invalid = invalid || f.Invalid > 0
	}
	headers := []string{"quantity", ">value"}
	if reported {
		headers = append(headers, ">reported")
	}
	if uncertain {
		headers = append(headers, "80 % interval", "95 % interval", ">above 0")
	}
	g := newGrid(w, headers...)
	for _, n := range names {
		f := r.Quantities[n]
		show := func(v float64) string { return formula.Show(f.Base(v), f.Quantity().Unit) }
		value := show(f.Value)
		if f.Quantity().IsSeries() {
			value += " in month " + fmt.Sprint(r.Months)
		}
		row := []any{n, value}
		if reported {
			cell := ""
			if f.Reported != nil {
				cell = show(*f.Reported)
			}
			row = append(row, cell)
		}
		if uncertain {
			if f.P2_5 == f.P97_5 {
				row = append(row, "", "", "")
			} else {
				row = append(row, interval(f, f.P10, f.P90), interval(f, f.P2_5, f.P97_5), share(f.Positive))
			}
		}
		g.row(row...)
	}
	g.print()
	if reported {
		showNotes(w, r, names)
	}
	if invalid {
		fmt.Fprintln(w, "\nSome draws have no value (they divide by zero or leave the numbers) and are left out:")
		for _, n := range names {
			if f := r.Quantities[n]; f.Invalid > 0 {
				fmt.Fprintf(w, "  %s: %s of %s\n", n, count(int64(f.Invalid)), count(int64(r.Samples)))
			}
		}
	}
}

// showNotes says why a reported figure differs from the exact one.
func showNotes(w io.Writer, r *scenario.Result, names []string) {
	first := true
	for _, n := range names {
		f := r.Quantities[n]
		if f.Reported == nil || f.Note == "" || formula.Round(*f.Reported, 9) == formula.Round(f.Value, 9) {
			continue
		}
		if first {
			fmt.Fprintln(w, "\nWhere the reported figure differs:")
			first = false
		}
		fmt.Fprintf(w, "  %s: %s\n", n, plain(f.Note))
	}
}

// interval is "LOW to HIGH UNIT" with four significant digits.
func interval(f *scenario.Figure, low, high float64) string {
	u := f.Quantity().Unit
	unitText := ""
	switch u.Text {
	case "":
	case "%":
		unitText = "%"
	default:
		unitText = " " + u.Text
	}
	u.Text = ""
	return round4(formula.Show, f.Base(low), u) + " to " + round4(formula.Show, f.Base(high), u) + unitText
}

// share is a probability in percent.
func share(p float64) string { return fmt.Sprintf("%.1f%%", p*100) }

func showDrivers(w io.Writer, s *scenario.Scenario, d *scenario.Drivers) {
	fmt.Fprintf(w, "What drives %s\n", d.Quantity)
	if len(d.Inputs) == 0 {
		fmt.Fprintln(w, "No uncertain input is behind it.")
		return
	}
	out, _ := s.Graph.Quantity(d.Quantity)
	g := newGrid(w, "input", ">alone", ">with others", "from p10 to p90 of the input", d.Quantity+" there")
	for _, i := range d.Inputs {
		in, _ := s.Graph.Quantity(i.Input)
		f, o := figureOf(in), figureOf(out)
		g.row(i.Input, share(max(0, i.First)), share(i.Total), interval(f, i.InputLow, i.InputHigh), interval(o, i.Low, i.High))
	}
	g.print()
	fmt.Fprintln(w, "alone: share of the variance that goes when the input is known (first-order Sobol index);\nwith others: share that stays when only it is unknown (total index).")
}

func showGoal(w io.Writer, s *scenario.Scenario, r *scenario.GoalResult) {
	out, _ := s.Graph.Quantity(r.Quantity)
	in, _ := s.Graph.Quantity(r.Input)
	o, f := figureOf(out), figureOf(in)
	fmt.Fprintf(w, "%s is %s at %s = %s\n", r.Quantity, formula.Show(o.Base(r.Target), out.Unit), r.Input, formula.Show(f.Base(r.Value), in.Unit))
	if r.P2_5 != r.P97_5 {
		fmt.Fprintf(w, "80 %% interval %s, 95 %% interval %s, of %s draws\n", interval(f, r.P10, r.P90), interval(f, r.P2_5, r.P97_5), count(int64(r.Samples)))
	}
	if r.Unreached > 0 {
		fmt.Fprintf(w, "in %s of the draws no value from %s reaches it\n", share(r.Unreached), interval(f, r.Low, r.High))
	}
}

func planSchemaCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files, for editors",
		Example: `  strata plan schema > strata-scenario.schema.json
  # and in the first line of a scenario:
  # yaml-language-server: $schema=./strata-scenario.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			return p.object(scenario.Schema())
		},
	}
	c.Flags().String("jq", "", "filter the JSON with a jq `expression`")
	return c
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/econ/block"
	"github.com/stratahq/strata/econ/dist"
	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/econ/scenario"
)

func planInitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Ask what to plan and write a first scenario",
		Long: `Asks for a block and for each of its inputs, checks the answers, and writes a scenario
with every optional input as a comment. Answers are read from standard input, so that
they can be piped in. Nothing is written unless the whole scenario is valid.`,
		Example: `  strata plan init
  strata plan init server.yaml --block gpu_server
  printf '200000 USD\n20 to 28 USD/h\n' | strata plan init server.yaml --block gpu_server`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "plan.yaml"
			if len(args) == 1 {
				file = args[0]
			}
			force, _ := cmd.Flags().GetBool("force")
			if _, err := os.Stat(file); err == nil && !force {
				return usagef("%s exists; choose another name, or --force to replace it", file)
			}
			name, _ := cmd.Flags().GetString("block")
			a := &asker{in: bufio.NewScanner(cmd.InOrStdin()), out: cmd.ErrOrStderr()}
			text, err := a.scenario(name)
			if err != nil {
				return err
			}
			if _, err := scenario.Parse(file, []byte(text), scenario.Options{}); err != nil {
				return planError(err)
			}
			if err := writeWhole(file, text); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; next: strata plan %s\n", file, file)
			return err
		},
	}
	c.Flags().String("block", "", "the `block` to start from, instead of asking")
	c.Flags().Bool("force", false, "replace a file that exists")
	return c
}

// writeWhole writes a file at once: either all of it is there, or what was there
// before.
func writeWhole(file, text string) error {
	t, err := os.CreateTemp(filepath.Dir(file), ".strata-plan-*")
	if err != nil {
		return fmt.Errorf("writing the scenario: %w", err)
	}
	defer os.Remove(t.Name())
	_, err = t.WriteString(text)
	if err == nil {
		err = t.Chmod(0o644)
	}
	if e := t.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(t.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("writing the scenario: %w", err)
	}
	return nil
}

// asker asks on one side and reads answers on the other.
type asker struct {
	in  *bufio.Scanner
	out io.Writer
}

var errNoAnswer = errors.New("the input ended before all questions were answered; nothing was written")

func (a *asker) ask(question string) (string, error) {
	fmt.Fprintf(a.out, "%s: ", question)
	if !a.in.Scan() {
		fmt.Fprintln(a.out)
		if err := a.in.Err(); err != nil {
			return "", err
		}
		return "", &exitError{exitUsage, errNoAnswer}
	}
	return strings.TrimSpace(a.in.Text()), nil
}

// block asks which block to use.
func (a *asker) block(name string) (*block.Block, error) {
	blocks := block.All()
	var names []string
	for _, b := range blocks {
		names = append(names, b.Name)
	}
	if name != "" {
		b, ok := block.Find(name)
		if !ok {
			return nil, usagef("there is no block %q%s", name, formula.Suggest(name, names))
		}
		return b, nil
	}
	fmt.Fprintln(a.out, "What do you want to plan?")
	for i, b := range blocks {
		fmt.Fprintf(a.out, "  %d  %-14s %s\n", i+1, b.Name, b.Doc)
	}
	for {
		answer, err := a.ask("number or name")
		if err != nil {
			return nil, err
		}
		if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(blocks) {
			return blocks[n-1], nil
		}
		if i := slices.Index(names, answer); i >= 0 {
			return blocks[i], nil
		}
		fmt.Fprintf(a.out, "  there is no block %q%s\n", answer, formula.Suggest(answer, names))
	}
}

// scenario asks everything and returns the file.
func (a *asker) scenario(name string) (string, error) {
	k, err := a.block(name)
	if err != nil {
		return "", err
	}
	instance := map[string]string{"gpu_server": "server", "training_run": "training", "inference": "serving"}[k.Name]
	if instance == "" {
		instance = k.Name
	}
	fmt.Fprintln(a.out, "A number has a unit; \"2.10 to 2.60 USD/h\" is a range from the 5th to the 95th percentile.")
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n# See what comes out: strata plan FILE; why: strata plan explain FILE %s.%s\n", k.Doc, instance, k.Outputs[len(k.Outputs)-1].Name)
	fmt.Fprintf(&b, "title: %s\nquantities:\n  %s:\n    block: %s\n", strconv.Quote(strings.TrimSuffix(k.Doc, ".")), instance, k.Name)
	for i := range k.Inputs {
		in := &k.Inputs[i]
		if in.HasDefault {
			continue
		}
		answer, err := a.input(in)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "    %s: %s # %s\n", in.Name, strconv.Quote(answer), in.Doc)
	}
	for i := range k.Inputs {
		if in := &k.Inputs[i]; in.HasDefault {
			fmt.Fprintf(&b, "    # %s: %s # %s\n", in.Name, strconv.Quote(in.Default), in.Doc)
		}
	}
	return b.String(), nil
}

// input asks for one input until the answer is possible.
func (a *asker) input(in *block.Input) (string, error) {
	question := in.Doc
	if in.Unit.Text != "" {
		question += " (" + in.Unit.Text + ")"
	}
	for {
		answer, err := a.ask(question)
		if err != nil {
			return "", err
		}
		if in.Text && answer != "" {
			return answer, nil
		}
		d, err := dist.Parse(answer, dist.Options{Unit: &in.Unit})
		if err == nil {
			err = d.Within(block.Limits(in.Min, in.Max))
		}
		if err == nil {
			return answer, nil
		}
		fmt.Fprintf(a.out, "  %v\n", err)
	}
}

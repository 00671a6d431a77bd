package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/econ/block"
	"github.com/stratahq/strata/econ/formula"
)

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

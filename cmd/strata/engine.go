package main

import (
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/model/local/engine"
)

var _ = register(groupHidden, engineCommand)

// engineCommand is the child process of the local engine. It is started by
// strata itself and speaks a private protocol on its standard input and output,
// until its input closes.
func engineCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "engine",
		Hidden: true,
		Short:  "Run a model for the process that started this one",
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			// The parent decides when to end: it may have streams to drain.
			signal.Ignore(os.Interrupt)
			return engine.Serve(os.Stdin, os.Stdout)
		},
	}
}

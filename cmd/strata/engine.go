package main

import (
	"errors"

	"github.com/spf13/cobra"
)

var _ = register(groupHidden, engineCommand)

// engineCommand is the child process of the local engine. It is started by
// `strata up` and speaks a private protocol on its standard input and output.
func engineCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "engine",
		Hidden: true,
		Short:  "Serve a model on standard input and output (started by strata itself)",
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.New("engine: nothing to serve yet")
		},
	}
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/server"
)

var _ = register(groupRun, versionCommand)

func versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the platform of this binary",
		Example: `  strata version
  strata version --jq .commit`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			b := server.ReadBuild()
			return p.report(b, func(w io.Writer) {
				fmt.Fprintf(w, "strata %s (%s)\n", b.Version, or(b.Commit, "no commit recorded"))
				fmt.Fprintf(w, "%s, %s/%s\n", b.Go, b.OS, b.Arch)
			})
		},
	}
	outputFlags(c)
	return c
}

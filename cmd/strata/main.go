// Command strata is the whole of Strata in one binary: a gateway that answers,
// meters and prices calls of language models, and the tools around it.
//
// One file per command. A command's file holds a constructor and registers it:
//
//	var _ = register(groupMoney, budgetCommand)
//
// so that adding a command touches no other file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stratahq/strata/server"
)

// The exit codes of every command.
const (
	exitOK     = 0  // done
	exitFailed = 1  // it was tried and failed
	exitUsage  = 2  // wrong usage or input
	exitNoData = 3  // nothing found, or no data
	exitDenied = 4  // not allowed
	exitGate   = 99 // a gate or threshold was not met
)

// exitError is an error that chooses the exit code. An err of nil ends the
// program with the code and without a message, for commands that have already
// printed their verdict.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is an exitError for wrong usage or input.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// noDataf is an exitError for something that is not there.
func noDataf(format string, args ...any) error {
	return &exitError{exitNoData, fmt.Errorf(format, args...)}
}

// The groups of the help page, in its order.
const (
	groupRun    = "run"
	groupRecord = "record"
	groupMoney  = "money"
	groupModels = "models"
	groupPlan   = "plan"
	groupHidden = "" // commands that help does not list under a heading
)

var groups = []*cobra.Group{
	{ID: groupRun, Title: "Run:"},
	{ID: groupRecord, Title: "The record:"},
	{ID: groupMoney, Title: "Prices, keys and budgets:"},
	{ID: groupModels, Title: "Models:"},
	{ID: groupPlan, Title: "Infrastructure and economics:"},
}

type registration struct {
	group string
	build func() *cobra.Command
}

var registered []registration

// register adds a command to the program, under one of the groups. It returns
// a value only so that it can stand in a package-level declaration.
func register(group string, build func() *cobra.Command) struct{} {
	registered = append(registered, registration{group, build})
	return struct{}{}
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	// cobra would add this command while it executes, when nothing could make
	// it refuse a shell that it does not know. It takes the output of now.
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		checkUsage(c)
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		code = exit.code
		if exit.err == nil {
			return code
		}
	// cobra reports these without a type.
	case strings.HasPrefix(err.Error(), "unknown command "), strings.HasPrefix(err.Error(), "required flag(s) "),
		strings.HasPrefix(err.Error(), "if any flags in the group "), strings.HasPrefix(err.Error(), "at least one of the flags in the group "):
		code = exitUsage
	}
	fmt.Fprintln(stderr, "strata:", strings.TrimSpace(err.Error()))
	return code
}

func rootCommand() *cobra.Command {
	// A command's own PersistentPreRun must not switch off the environment.
	cobra.EnableTraverseRunHooks = true
	root := &cobra.Command{
		Use:   "strata",
		Short: "A gateway that answers, meters and prices every call of a language model",
		Long: `Strata answers model calls through an OpenAI-compatible endpoint, records what
each one consumed and cost, and keeps budgets. "strata up" starts it; the other
commands work beside a running one, or alone on the same data.

Every flag can be given as an environment variable: --data is STRATA_DATA,
--log-content is STRATA_LOG_CONTENT. A flag wins over the environment, and the
environment over the configuration file.

Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 nothing found or no
data, 4 not allowed, 99 a gate or threshold was not met.`,
		Example: `  strata up
  strata chat "Why is the sky blue?"
  strata spend --by model`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return flagsFromEnv(cmd.Flags(), os.LookupEnv) },
	}
	root.AddGroup(groups...)
	pf := root.PersistentFlags()
	pf.String("data", "", "data directory (default "+server.DefaultDataDir(os.Getenv)+")")
	pf.String("config", "", "configuration file (default "+server.DefaultConfigFile(os.Getenv)+", if it exists)")
	for _, r := range registered {
		c := r.build()
		c.GroupID = r.group
		root.AddCommand(c)
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w; see \"%s --help\"", err, c.CommandPath())
	})
	checkUsage(root)
	return root
}

// checkUsage makes every command of the tree report wrong arguments with
// exitUsage, and makes a command that only groups others refuse a name that it
// does not have (cobra would print help and exit 0, which hides the mistake).
func checkUsage(c *cobra.Command) {
	for _, sub := range c.Commands() {
		checkUsage(sub)
	}
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w; see \"%s --help\"", err, cmd.CommandPath())
			}
			return nil
		}
	}
	if c.Runnable() || !c.HasSubCommands() || !c.HasParent() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return usagef("unknown command %q for %q%s; see \"%s --help\"", args[0], cmd.CommandPath(), hint, cmd.CommandPath())
	}
}

// flagsFromEnv sets each flag that was not given on the command line from
// STRATA_<NAME>, with dashes as underscores, when that variable is set and not
// empty.
func flagsFromEnv(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || failed != nil {
			return
		}
		name := "STRATA_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := lookup(name)
		if !ok || value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = usagef("environment variable %s: %w", name, err)
		}
	})
	return failed
}

// place is where a command finds the data: the data directory and the
// configuration file ("" when there is none) after flags, environment, file
// and defaults.
func place(cmd *cobra.Command) (dataDir, configFile string, err error) {
	data, _ := cmd.Flags().GetString("data")
	file, _ := cmd.Flags().GetString("config")
	dataDir, configFile, err = server.Place(data, file, os.Getenv)
	if err != nil {
		return "", "", &exitError{exitUsage, err}
	}
	return dataDir, configFile, nil
}

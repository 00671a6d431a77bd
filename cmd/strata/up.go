package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/server"
)

var _ = register(groupRun, upCommand)

func upCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "up",
		Short: "Start the gateway, the console and the local model",
		Long: `Start the gateway and the console on one address, and a small local model behind
them, so that calls are answered with no account and no key. Keys of providers
found in the environment (OPENAI_API_KEY and others) are used for their models.

On a loopback address calls without a key are accepted until the first key is
made. On any other address keys are required, and an admin secret must be set:
STRATA_ADMIN_SECRET, or admin_secret in the configuration file.

Ctrl-C stops accepting calls and waits up to 30 seconds for open replies; a
second Ctrl-C ends them at once. Either way every call is settled.`,
		Example: `  strata up
  strata up --addr 127.0.0.1:8080 --data ./data
  STRATA_ADMIN_SECRET=$(openssl rand -hex 32) strata up --addr 0.0.0.0:4000`,
		Args: cobra.NoArgs,
		RunE: runUp,
	}
	c.Flags().String("addr", "", "address to listen on (default "+server.DefaultAddr+")")
	c.Flags().Bool("no-local", false, "do not run the local model")
	c.Flags().String("local-price", "", `what an hour of this machine costs, such as "0.08 USD/h", or free (default: an assumed `+server.AssumedPerHour+")")
	c.Flags().String("log-level", "warn", "what to log on standard error: debug, info, warn or error")
	return c
}

func runUp(cmd *cobra.Command, _ []string) error {
	flags := cmd.Flags()
	var level slog.Level
	name, _ := flags.GetString("log-level")
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return usagef("--log-level %q: use debug, info, warn or error", name)
	}
	o := server.Options{Env: os.Getenv, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))}
	log.SetFlags(0)
	log.SetOutput(libraryLog{o.Log})
	o.Addr, _ = flags.GetString("addr")
	o.DataDir, _ = flags.GetString("data")
	o.ConfigFile, _ = flags.GetString("config")
	o.NoLocal, _ = flags.GetBool("no-local")
	o.LocalPrice, _ = flags.GetString("local-price")
	progress := newProgress(cmd.ErrOrStderr())
	o.OnFetch = progress.report

	// A signal during the start ends it.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := server.New(ctx, o)
	if err != nil {
		var invalid *server.InvalidError
		if errors.As(err, &invalid) {
			return &exitError{exitUsage, err}
		}
		return err
	}
	printStart(cmd.OutOrStdout(), s.Summary())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watchEngine(ctx, cmd.ErrOrStderr(), s, progress)
	}()
	// The first signal drains, the second cuts open replies, and a third is the
	// system's: it ends the process.
	ended := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-ctx.Done():
		case <-ended:
			return
		}
		second := make(chan os.Signal, 1)
		signal.Notify(second, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(second)
		if s.InFlight() > 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "\nstopping: waiting for open replies (Ctrl-C again ends them at once)")
		}
		select {
		case <-second:
			s.Cut()
			stop()
		case <-ended:
		}
	})
	err = s.Serve(ctx)
	close(ended)
	stop()
	waiter.Wait()
	<-watched
	return err
}

// libraryLog takes what libraries write with package log. net/http quotes there
// the bytes that an upstream sent unasked, which may be anything: the quotation
// is left out.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Write(p []byte) (int, error) {
	text, _, quoted := strings.Cut(strings.TrimSpace(string(p)), " starting with ")
	if quoted {
		text += "; what it was is left out"
	}
	l.log.Warn(text)
	return len(p), nil
}

// printStart tells what was found, one address and one next command.
func printStart(w io.Writer, s server.Summary) {
	b := server.ReadBuild()
	version := b.Version
	if len(b.Commit) >= 7 {
		version += " " + b.Commit[:7]
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "strata %s\n\n", version)
	line("console", "%s", s.URL)
	line("model", "%s", s.Model)
	if s.LocalPrice != "" {
		line("price", "%s", s.LocalPrice)
	}
	line("data", "%s (%s)", s.DataDir, s.Ledger)
	if s.Config != "" {
		line("config", "%s", s.Config)
	}
	if len(s.Keys) > 0 {
		line("keys", "found in the environment: %s", strings.Join(s.Keys, ", "))
	}
	line("access", "%s", s.Access)
	if s.Try != "" {
		fmt.Fprintf(w, "\ntry:\n\n%s\n", s.Try)
	}
	fmt.Fprintln(w)
}

// watchEngine tells when the local model is ready, or why it is not.
func watchEngine(ctx context.Context, w io.Writer, s *server.Server, progress *progress) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	started := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch st := s.EngineStatus(); st.State {
		case "off":
			return
		case "ready":
			progress.finish()
			fmt.Fprintf(w, "the local model %s is ready (%.1f s)\n", st.Model, time.Since(started).Seconds())
			return
		case "missing", "failed":
			progress.finish()
			fmt.Fprintf(w, "no local model is available: %s\n", st.Detail)
			return
		}
	}
}

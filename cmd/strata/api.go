package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin/client"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/server"
)

// withAPI runs fn with the administrative interface of the data that a command
// names: that of the running "strata up", or one opened for this command alone.
func withAPI(cmd *cobra.Command, fn func(ctx context.Context, c *client.Client) error) error {
	dataDir, configFile, err := place(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	c, err := client.Dial(ctx, dataDir, func(ctx context.Context) (http.Handler, io.Closer, error) {
		return server.OpenOffline(ctx, dataDir, configFile)
	})
	if err != nil {
		return explain(fmt.Errorf("opening %s: %w", dataDir, err))
	}
	err = fn(ctx, c)
	if cerr := c.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("closing %s: %w", dataDir, cerr)
	}
	return explain(err)
}

// explain gives an error of the interface its exit code.
func explain(err error) error {
	var exit *exitError
	if err == nil || errors.As(err, &exit) {
		return err
	}
	var refused *client.Error
	switch {
	case errors.As(err, &refused):
		code := exitFailed
		switch refused.Status {
		case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
			code = exitUsage
		case http.StatusNotFound:
			code = exitNoData
		case http.StatusUnauthorized, http.StatusForbidden:
			code = exitDenied
		}
		return &exitError{code, err}
	}
	return err
}

// zoneOf asks for the business time zone, in which days begin.
func zoneOf(ctx context.Context, c *client.Client) (*time.Location, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("business time zone %q: %w; this system lacks the time zone database: set time_zone: UTC in the configuration, or install tzdata", s.TimeZone, err)
	}
	return zone, nil
}

// filterFlags adds the filters that lists of calls share. The interface reads
// the times, so that the console and the command line mean the same by "today".
func filterFlags(c *cobra.Command) {
	f := c.Flags()
	timeFlags(c)
	f.String("customer", "", "only this `customer`")
	f.String("feature", "", "only this `feature`")
	f.String("model", "", "only this requested `model`")
	f.String("key", "", "only this key, by its `ID` (key_…)")
	f.String("outcome", "", "only this outcome: "+strings.Join(outcomes, ", "))
	_ = c.RegisterFlagCompletionFunc("outcome", cobra.FixedCompletions(outcomes, cobra.ShellCompDirectiveNoFileComp))
}

// outcomes are the values of --outcome.
var outcomes = []string{string(ledger.OutcomeOK), string(ledger.OutcomeRefused), string(ledger.OutcomeError),
	string(ledger.OutcomeCanceled), string(ledger.OutcomeRecovered)}

func timeFlags(c *cobra.Command) {
	c.Flags().String("since", "", "from this `time` on: 2026-11-24, today, month, 24h, 7d, or RFC 3339")
	c.Flags().String("until", "", "up to this `time`; a date means the end of that day")
}

// filterQuery reads the filters as the interface's parameters.
func filterQuery(cmd *cobra.Command) url.Values {
	q := url.Values{}
	for _, name := range []string{"since", "until", "customer", "feature", "model", "key", "outcome"} {
		if v, _ := cmd.Flags().GetString(name); v != "" {
			q.Set(name, v)
		}
	}
	return q
}

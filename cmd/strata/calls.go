package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/admin/client"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

var _ = register(groupRecord, callsCommand)

// pageSize is how many calls are asked for at once.
const pageSize = 500

func callsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "calls [ID]",
		Short: "List calls, newest first, or show the receipt of one",
		Long: `List what the gateway answered or refused, newest first, with the tokens, the
cost (what the provider charges) and the charge (what the customer pays) of each
call. With an ID, print that call's receipt: every line of cost and charge, its
timing, and the decisions taken on the way.

An amount that is not known is "?" in tables and null in JSON, never zero.
A "~" marks token counts that are estimates.`,
		Example: `  strata calls --limit 5
  strata calls --follow
  strata calls --since today --customer acme --outcome ok
  strata calls --json --limit 0 > calls.jsonl
  strata calls --jq 'select(.cost_usd == null) | .model'`,
		Args: cobra.MaximumNArgs(1),
		RunE: runCalls,
	}
	filterFlags(c)
	c.Flags().Int("limit", 20, "print at most `N` calls; 0 prints all")
	c.Flags().String("id", "", "show the receipt of the call with this `ID`")
	c.Flags().String("text", "", "only calls whose ID, customer, feature or model contain this `text`")
	c.Flags().Bool("unknown-cost", false, "only calls whose cost is not known")
	c.Flags().BoolP("follow", "f", false, "print calls as they end, until Ctrl-C; needs a running server")
	outputFlags(c)
	return c
}

func runCalls(cmd *cobra.Command, args []string) error {
	p, err := newPrinter(cmd)
	if err != nil {
		return err
	}
	id, _ := cmd.Flags().GetString("id")
	if len(args) == 1 {
		if id != "" && id != args[0] {
			return usagef("name one call: %s or --id %s", args[0], id)
		}
		id = args[0]
	}
	limit, _ := cmd.Flags().GetInt("limit")
	if limit < 0 {
		return usagef("--limit %d: give 0 for all calls, or how many", limit)
	}
	return withAPI(cmd, func(ctx context.Context, c *client.Client) error {
		zone, err := zoneOf(ctx, c)
		if err != nil {
			return err
		}
		if id != "" {
			d, err := c.CallDetail(ctx, id)
			var refused *client.Error
			if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
				return noDataf("no call has the id %q; `strata calls` shows the ids", id)
			}
			if err != nil {
				return err
			}
			return p.report(d, func(w io.Writer) { printReceipt(w, &d, zone) })
		}
		q := filterQuery(cmd)
		if v, _ := cmd.Flags().GetString("text"); v != "" {
			q.Set("q", v)
		}
		if v, _ := cmd.Flags().GetBool("unknown-cost"); v {
			q.Set("unknown_cost", "1")
		}
		if follow, _ := cmd.Flags().GetBool("follow"); follow {
			return followCalls(ctx, c, p, q, zone)
		}
		return listCalls(ctx, c, p, q, limit, zone)
	})
}

// listCalls prints page by page as JSON, so that a million calls need no
// memory, and collects them for a table.
func listCalls(ctx context.Context, c *client.Client, p *printer, q url.Values, limit int, zone *time.Location) error {
	var all []admin.Call
	var totals *admin.Spend
	printed := 0
	for {
		want := pageSize
		if limit > 0 {
			want = min(want, limit-printed)
		}
		q.Set("limit", strconv.Itoa(want))
		page, err := c.Calls(ctx, q)
		if err != nil {
			return err
		}
		if totals == nil {
			totals = &page.Totals
		}
		printed += len(page.Calls)
		if p.json {
			if err := printList(p, page.Calls, nil); err != nil {
				return err
			}
		} else {
			all = append(all, page.Calls...)
		}
		if page.Next == "" || len(page.Calls) == 0 || (limit > 0 && printed >= limit) {
			break
		}
		q.Set("cursor", page.Next)
	}
	if printed == 0 {
		if filtered(q) {
			return noDataf("no call matches; leave out a filter, or see all with: strata calls")
		}
		return noDataf("no calls yet; make one with: strata chat \"Hello\"")
	}
	if p.json {
		return nil
	}
	return p.human(func(w io.Writer) { printCalls(w, all, totals, zone) })
}

// followCalls prints each call as it ends. Ctrl-C is the way to end it, and no
// failure.
func followCalls(ctx context.Context, c *client.Client, p *printer, q url.Values, zone *time.Location) error {
	if !c.Running() {
		return usagef("no server is running on this data, so there is nothing to follow; start one with: strata up")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	err := c.Live(ctx, q, func(call *admin.Call) error {
		return p.report(call, func(w io.Writer) {
			d := call.DurationMs
			fmt.Fprintf(w, "%s  %s  %s  %s  %s  %s  %s\n", localTime(call.Time, zone), plain(or(call.Customer, "-")), plain(or(call.Model, "-")),
				strings.TrimSpace(call.Outcome+" "+call.ErrorCode), callTokens(call), maybeDollars(call.CostUSD), millis(&d))
		})
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// filtered says that a query has more than paging in it.
func filtered(q url.Values) bool {
	for name := range q {
		if name != "limit" && name != "cursor" {
			return true
		}
	}
	return false
}

// usedNothing says that a call is known to have consumed nothing: it was refused,
// or failed before anything was used. Its cost is then known too, which tells it
// from a call whose usage nobody knows.
func usedNothing(c *admin.Call) bool { return c.Usage == nil && c.CostUSD != nil }

// callTokens draws the tokens of one call.
func callTokens(c *admin.Call) string {
	if usedNothing(c) {
		return "-"
	}
	return tokens(c.Usage, c.Estimated)
}

func printCalls(w io.Writer, calls []admin.Call, totals *admin.Spend, zone *time.Location) {
	g := newGrid(w, "Time", "Customer", "Feature", "Model", "Outcome", ">Tokens", ">Cost", ">Charge", ">First token", ">Duration", "ID")
	for i := range calls {
		c := &calls[i]
		outcome := c.Outcome
		if c.ErrorCode != "" {
			outcome += " " + c.ErrorCode
		}
		if c.Sample {
			outcome += " (sample)"
		}
		d := c.DurationMs
		g.row(localTime(c.Time, zone), or(c.Customer, "-"), or(c.Feature, "-"), or(c.Model, "-"), outcome,
			callTokens(c), maybeDollars(c.CostUSD), maybeDollars(c.ChargeUSD), firstToken(c), millis(&d), c.ID)
	}
	g.print()
	if totals == nil || totals.Calls <= int64(len(calls)) {
		return
	}
	fmt.Fprintf(w, "\n%s of %s calls shown; all of them: cost %s, charge %s%s. More with --limit N, 0 for all.\n",
		count(int64(len(calls))), count(totals.Calls), dollars(totals.CostUSD), dollars(totals.ChargeUSD), unknownNote(totals.UnknownCostCalls))
}

// firstToken is the time to the first token, "-" where none came.
func firstToken(c *admin.Call) string {
	if c.TTFTMs == nil {
		return "-"
	}
	return millis(c.TTFTMs)
}

// unknownNote says how many calls a sum leaves out.
func unknownNote(n int64) string {
	switch n {
	case 0:
		return ""
	case 1:
		return " (1 call of unknown cost is not in the sum)"
	}
	return fmt.Sprintf(" (%s calls of unknown cost are not in the sum)", count(n))
}

func printReceipt(w io.Writer, d *admin.CallDetail, zone *time.Location) {
	on := colourful(w)
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s  %s\n", paint(on, sgrDim, fmt.Sprintf("%-14s", name)), plain(value))
		}
	}
	field("Call", d.ID)
	if d.Parent != "" {
		field("Part of", d.Root)
	}
	field("Time", localTime(d.Time, zone)+" "+d.Time.In(zone).Format("MST"))
	outcome := d.Outcome
	if d.Status != 0 {
		outcome += fmt.Sprintf(" (HTTP %d)", d.Status)
	}
	field("Outcome", outcome)
	field("Error", strings.TrimSpace(d.ErrorCode+"  "+d.ErrorText))
	field("Customer", d.Customer)
	field("Feature", d.Feature)
	field("End user", d.EndUser)
	field("Key", d.Key)
	field("Tags", tagList(d.Tags))
	served := d.Model
	if d.ServedModel != "" && d.ServedModel != d.Model {
		served += " → " + d.ServedModel
	}
	if d.Upstream != "" {
		served += " at " + d.Upstream
	}
	field("Model", served)
	field("First token", firstToken(&d.Call))
	if d.TPOTMs != nil {
		field("Per token", millis(d.TPOTMs))
	}
	field("Duration", millis(&d.DurationMs))
	if usedNothing(&d.Call) {
		field("Usage", "none, nothing was consumed")
	} else {
		field("Usage", usageList(d.Usage, d.EstimatedBuckets))
	}
	field("Flags", strings.Join(d.Flags, ", "))
	for _, dec := range d.Decisions {
		field("Decision", strings.TrimSpace(dec.By+": "+dec.What+"  "+dec.Detail))
	}
	field("Held before", picoOrEmpty(d.HeldUSD))
	field("Price", strings.TrimSpace(d.PriceVersion+"  "+d.PriceSource))
	field("Tariff", d.Tariff)
	field("Output SHA-256", d.OutputSHA256)

	fmt.Fprintln(w)
	g := newGrid(w, "Line", ">Quantity", ">Per unit", ">Amount")
	bill := func(side string, lines []money.Line, total *money.Pico) {
		for _, l := range lines {
			g.row(side+"  "+l.Item, l.Quantity.String(), "$"+l.UnitPrice.String(), dollars(l.Amount))
		}
		g.row(side+"  total", "", "", maybeDollars(total))
	}
	bill("cost", d.CostLines, d.CostUSD)
	bill("charge", d.ChargeLines, d.ChargeUSD)
	g.row("margin", "", "", maybeDollars(d.MarginUSD))
	g.print()
	if d.CostUSD == nil {
		fmt.Fprintf(w, "\nThe cost is unknown%s. Give the model a price (see: strata price --help), then: strata reprice --dry-run\n", unpriced(d.Unpriced))
	}
	for _, k := range d.Corrections {
		fmt.Fprintf(w, "\nCorrected %s: cost %s, charge %s (%s)\n", localTime(k.Time, zone), maybeDollars(k.CostUSD), maybeDollars(k.ChargeUSD), plain(strings.TrimSpace(k.Reason+" "+k.PriceVersion)))
	}
	if len(d.Children) > 0 {
		fmt.Fprintln(w)
		printCalls(w, d.Children, nil, zone)
	}
	if d.ContentLogged {
		fmt.Fprintf(w, "\n%s\n%s\n\n%s\n%s\n", paint(on, sgrDim, "Request"), contentText(d.Request), paint(on, sgrDim, "Reply"), contentText(d.Reply))
	}
}

// contentText keeps line breaks and tabs of logged content, and no other control
// characters.
func contentText(s string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) && r != '\n' && r != '\t' {
			return '�'
		}
		return r
	}, s)
}

func unpriced(buckets []string) string {
	if len(buckets) == 0 {
		return ""
	}
	return ": no price for " + strings.Join(buckets, ", ")
}

func picoOrEmpty(p *money.Pico) string {
	if p == nil {
		return ""
	}
	return dollars(*p)
}

func tagList(tags map[string]string) string {
	var list []string
	for k, v := range tags {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// usageList names each bucket with its quantity; "~" marks an estimate.
func usageList(u *model.Usage, estimated []string) string {
	if u == nil {
		return "unknown"
	}
	var list []string
	for b := range model.NumBuckets {
		q := u.Quantity(b)
		if q.IsZero() {
			continue
		}
		mark := ""
		if slices.Contains(estimated, b.String()) {
			mark = "~"
		}
		list = append(list, b.String()+" "+mark+q.String())
	}
	if len(list) == 0 {
		return "nothing consumed"
	}
	return strings.Join(list, ", ")
}

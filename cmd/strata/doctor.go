package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratahq/strata/config"
	"github.com/stratahq/strata/model/local/artifact"
	"github.com/stratahq/strata/model/local/gguf"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/provider/openai"
	"github.com/stratahq/strata/store"
)

var _ = register(groupRun, doctorCommand)

// The verdicts of a check.
const (
	checkOK   = "ok"
	checkWarn = "warning"
	checkBad  = "failed"
)

// finding is one thing that the doctor looked at.
type finding struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	// Mend is the command or the step that puts it right; "" when all is well.
	Mend string `json:"mend,omitempty"`
}

// diagnosis is what "doctor" reports.
type diagnosis struct {
	OK     bool      `json:"ok"` // no check failed; warnings do not count
	Checks []finding `json:"checks"`
}

func doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check engine, weights, database, port, clock and configuration",
		Long: `Look at everything that Strata needs, one line each: ✓ is well, ! works but
wants attention, ✗ is broken. Under what is not well stands the step that mends
it. The doctor changes nothing, and works beside a running server.

The exit code is 1 when anything is broken.`,
		Example: `  strata doctor
  strata doctor --jq '.checks[] | select(.status != "ok") | .mend'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd)
			if err != nil {
				return err
			}
			addr, _ := cmd.Flags().GetString("addr")
			full, _ := cmd.Flags().GetBool("full")
			d := &doctor{addr: addr, full: full, now: time.Now, env: os.Getenv}
			d.data, d.config, err = place(cmd)
			if err != nil {
				d.add("configuration", checkBad, err.Error(), configMend(cmd))
			} else {
				d.examine(cmd.Context())
			}
			found := diagnosis{OK: true, Checks: d.checks}
			for _, c := range found.Checks {
				found.OK = found.OK && c.Status != checkBad
			}
			if err := p.report(found, func(w io.Writer) { printDiagnosis(w, found) }); err != nil {
				return err
			}
			if !found.OK {
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
	c.Flags().String("addr", "", "check that this `address` is free (default the configured one)")
	c.Flags().Bool("full", false, "read all of the weights and check their SHA-256 too")
	outputFlags(c)
	return c
}

func printDiagnosis(w io.Writer, d diagnosis) {
	on := colourful(w)
	marks := map[string]string{checkOK: paint(on, sgrGood, "✓"), checkWarn: paint(on, sgrWarn, "!"), checkBad: paint(on, sgrBad, "✗")}
	for _, c := range d.Checks {
		fmt.Fprintf(w, "%s %-14s %s\n", marks[c.Status], c.Name, plain(c.Detail))
		if c.Mend != "" {
			fmt.Fprintf(w, "  %-14s → %s\n", "", plain(c.Mend))
		}
	}
}

// doctor examines one data directory and configuration. Time and environment
// are given, so that tests can make them sick.
type doctor struct {
	data, config string
	addr         string
	full         bool
	now          func() time.Time
	env          func(string) string

	checks []finding
	local  config.Local
	zone   *time.Location
	last   time.Time // of the newest call
	held   bool
	holder store.LockInfo
}

func (d *doctor) add(name, status, detail, mend string) {
	d.checks = append(d.checks, finding{name, status, detail, mend})
}

func (d *doctor) examine(ctx context.Context) {
	d.zone = time.UTC
	d.configuration()
	d.dataDir()
	d.running()
	d.database(ctx)
	d.port(ctx)
	d.clock()
	d.engine()
	d.prices()
}

// configuration reads the file strictly, and says which providers have a key.
func (d *doctor) configuration() {
	f := &config.File{}
	if d.config == "" {
		d.add("configuration", checkOK, "no file, the defaults hold", "")
	} else {
		var err error
		if f, err = config.Load(d.config, d.env); err != nil {
			d.add("configuration", checkBad, err.Error(), "correct "+d.config)
			return
		}
		if err := checkMoney(d.config, f); err != nil {
			d.add("configuration", checkBad, err.Error(), "correct "+d.config)
		} else {
			d.add("configuration", checkOK, d.config, "")
		}
	}
	d.local = f.Local
	f.AddKnown(openai.Known(), d.env)
	if d.addr == "" {
		d.addr = f.Addr
	}
	d.zone = time.Local
	if f.TimeZone != "" {
		if zone, err := time.LoadLocation(f.TimeZone); err != nil {
			d.add("time zone", checkBad, fmt.Sprintf("%q is not known to this system", f.TimeZone), "set time_zone to an IANA name such as Europe/Berlin, or install tzdata")
		} else {
			d.zone = zone
		}
	}
	var names []string
	for name, u := range f.Upstreams {
		switch from := u.KeyFrom(); from {
		case "none":
			names = append(names, name+" (no key)")
		case "literal":
			names = append(names, name+" (key in the file)")
		default:
			names = append(names, name+" (key from "+from+")")
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		d.add("providers", checkWarn, "no provider's key in the environment or the configuration; only the local model answers", "export OPENAI_API_KEY=… (or another provider's key), then: strata up")
		return
	}
	d.add("providers", checkOK, strings.Join(names, ", "), "")
}

// checkMoney reads the prices and tariffs that a configuration holds or names,
// as the server does when it starts.
func checkMoney(file string, f *config.File) error {
	if _, err := ownPrices(price.Catalog(), file, f); err != nil {
		return err
	}
	_, err := price.TariffsNode(file, &f.Tariffs)
	return err
}

// configMend says what to do about a configuration that cannot be used: a file
// that is not there is named anew, and one that is there is corrected.
func configMend(cmd *cobra.Command) string {
	file, _ := cmd.Flags().GetString("config")
	if file != "" {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return "name a file that exists with --config, or unset STRATA_CONFIG"
		}
	}
	return "correct the file; docs/configuration.md lists what it may hold"
}

// dataDir checks that the directory can be written and is private, and that the
// disk has room.
func (d *doctor) dataDir() {
	info, err := os.Stat(d.data)
	if errors.Is(err, os.ErrNotExist) {
		d.add("data", checkOK, d.data+" is not there yet; strata up makes it", "")
		return
	} else if err != nil {
		d.add("data", checkBad, err.Error(), "make "+d.data+" readable for this user, or name another with --data")
		return
	}
	if !info.IsDir() {
		d.add("data", checkBad, d.data+" is not a directory", "name a directory with --data")
		return
	}
	probe, err := os.CreateTemp(d.data, ".doctor-")
	if err != nil {
		d.add("data", checkBad, "cannot write to "+d.data+": "+err.Error(), "chown or chmod it for this user, or name another with --data")
		return
	}
	probe.Close()
	os.Remove(probe.Name())
	if isPosix && info.Mode().Perm()&0o077 != 0 {
		d.add("data", checkWarn, fmt.Sprintf("%s can be entered by other users (mode %o)", d.data, info.Mode().Perm()), "chmod 700 "+d.data)
	} else {
		d.add("data", checkOK, d.data, "")
	}
	free, err := freeSpace(d.data)
	switch {
	case err != nil:
		d.add("disk", checkWarn, "free space is not known: "+err.Error(), "")
	case free < lowSpace:
		d.add("disk", checkBad, size(free)+" free; the ledger refuses calls when the disk is full", "free space on the disk of "+d.data)
	case free < scarceSpace:
		d.add("disk", checkWarn, size(free)+" free", "free space on the disk of "+d.data)
	default:
		d.add("disk", checkOK, size(free)+" free", "")
	}
}

// Free space in bytes below which the doctor warns, and below which it calls
// the disk full: the log alone may grow to 64 MB before it is cut.
const (
	scarceSpace = 2_000_000_000
	lowSpace    = 200_000_000
)

// running says whether a server holds the data.
func (d *doctor) running() {
	var err error
	d.holder, d.held, err = store.ReadLock(d.data)
	switch {
	case err != nil:
		d.add("server", checkWarn, err.Error(), "make "+d.data+" readable for this user")
	case d.held && d.holder.Address != "":
		d.add("server", checkOK, fmt.Sprintf("running as process %d at %s since %s", d.holder.PID, d.holder.Address, localTime(d.holder.Started, d.zone)), "")
	case d.held:
		d.add("server", checkWarn, fmt.Sprintf("another command (process %d) is using the data", d.holder.PID), "wait for it to end")
	default:
		d.add("server", checkOK, "not running", "")
	}
}

// database checks every page and the schema, and notes the newest call.
func (d *doctor) database(ctx context.Context) {
	if _, err := os.Stat(d.data + string(os.PathSeparator) + store.FileName); errors.Is(err, os.ErrNotExist) {
		d.add("database", checkOK, "none yet; strata up makes it", "")
		return
	}
	db, err := store.Open(ctx, store.Options{Path: d.data, ReadOnly: true})
	if err != nil {
		d.add("database", checkBad, err.Error(), "strata restore FILE, with your newest backup")
		if errors.Is(err, store.ErrOlderSchema) {
			d.checks[len(d.checks)-1] = finding{"database", checkWarn, err.Error(), "strata up"}
		}
		return
	}
	defer db.Close()
	var faults []string
	var last, calls int64
	err = db.Read(ctx, func(q store.Querier) error {
		rows, err := q.Query("PRAGMA integrity_check(5)")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			if line != "ok" {
				faults = append(faults, line)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return q.QueryRow("SELECT count(*), coalesce((SELECT time FROM calls ORDER BY seq DESC LIMIT 1), 0) FROM calls").Scan(&calls, &last)
	})
	switch {
	case err != nil:
		d.add("database", checkBad, err.Error(), "strata restore FILE, with your newest backup")
	case len(faults) > 0:
		d.add("database", checkBad, strings.Join(faults, "; "), "strata restore FILE, with your newest backup")
	default:
		d.add("database", checkOK, fmt.Sprintf("every page is sound, schema %d, %s %s", store.SchemaVersion(), count(calls), plural(int(calls), "call", "calls")), "")
	}
	if last > 0 {
		d.last = time.Unix(0, last)
	}
}

// clockSlack is how far a call may lie in the future before the doctor minds:
// clocks that are kept by NTP differ by less.
const clockSlack = 2 * time.Second

// port checks that the address can be listened on, when no server runs.
func (d *doctor) port(ctx context.Context) {
	if d.held && d.holder.Address != "" {
		return
	}
	addr := or(d.addr, defaultAddr)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err == nil {
		l.Close()
		d.add("port", checkOK, addr+" is free", "")
		return
	}
	mend := "strata up --addr 127.0.0.1:0"
	if host, port, perr := net.SplitHostPort(addr); perr == nil {
		if n, perr := strconv.Atoi(port); perr == nil && n < 65535 {
			mend = "strata up --addr " + net.JoinHostPort(host, strconv.Itoa(n+1))
		}
	}
	d.add("port", checkBad, err.Error(), mend)
}

// buildYear is the year in which this code was written: no clock shows less.
const buildYear = 2026

// clock checks that the wall clock is plausible, not behind the newest call, and runs as fast as the
// monotonic clock, which no one can set.
func (d *doctor) clock() {
	start, wall := time.Now(), d.now().Round(0)
	time.Sleep(20 * time.Millisecond)
	drift := d.now().Round(0).Sub(wall) - time.Since(start)
	now := d.now()
	switch {
	case now.Year() < buildYear:
		d.add("clock", checkBad, "it is "+now.UTC().Format(time.RFC3339)+", which is before this program was written", "set the clock (timedatectl set-ntp true)")
	case d.last.Sub(now) > clockSlack:
		d.add("clock", checkBad, fmt.Sprintf("the newest call is %s in the future: the clock has jumped back", d.last.Sub(now).Round(time.Second)), "set the clock (timedatectl set-ntp true); days and budgets follow it")
	case drift.Abs() > time.Second:
		d.add("clock", checkWarn, fmt.Sprintf("the clock was set by %s while the doctor looked", drift.Round(time.Millisecond)), "see that only one program sets the clock (timedatectl status)")
	default:
		d.add("clock", checkOK, fmt.Sprintf("%s; days begin at midnight in %s", now.In(d.zone).Format("2006-01-02 15:04:05"), zoneName(d.zone, now)), "")
	}
}

// zoneName names a time zone; the machine's own is named by its offset.
func zoneName(zone *time.Location, now time.Time) string {
	if zone == time.Local {
		return "the machine's time zone (" + now.In(zone).Format("MST, -0700") + ")"
	}
	return zone.String()
}

// engine checks the files of the local model: those of the configuration, and
// the cached ones.
func (d *doctor) engine() {
	if d.local.Enabled != nil && !*d.local.Enabled {
		d.add("engine", checkOK, "the local model is switched off in the configuration", "")
		return
	}
	if d.local.Path != "" {
		if _, err := gguf.Check(d.local.Path); err != nil {
			d.add("local.path", checkBad, err.Error(), "name a whole .gguf file under local.path in "+d.config+", or leave it out")
		} else {
			d.add("local.path", checkOK, d.local.Path, "")
		}
	}
	dir, err := artifact.CacheDir()
	if err != nil {
		d.add("engine", checkBad, err.Error(), "set "+artifact.CacheEnv+" to a directory")
		return
	}
	for _, a := range artifact.All() {
		path, cached := artifact.Cached(dir, a)
		switch {
		case cached && d.full:
			if err := artifact.Check(dir, a); err != nil {
				d.add(a.Name, checkBad, err.Error(), "strata model pull "+a.Name)
				continue
			}
			d.add(a.Name, checkOK, a.Title+", every checksum right: "+path, "")
		case cached:
			d.add(a.Name, checkOK, a.Title+": "+path, "")
		case a.Unfit != "":
			d.add(a.Name, checkWarn, a.Unfit, "serve models of a provider, or start with: strata up --no-local")
		default:
			d.add(a.Name, checkWarn, a.Title+" is not fetched yet; strata up fetches it in the background", "strata model pull "+a.Name)
		}
	}
}

// priceAge is how old the embedded prices may be before the doctor says so.
const priceAge = 90 * 24 * time.Hour

func (d *doctor) prices() {
	b := price.Catalog()
	_, models := b.List(price.ListQuery{Limit: 1})
	date := b.Date
	switch {
	case models == 0 || date.IsZero():
		d.add("prices", checkBad, "this build has no price book", "build it again from the repository: make build")
	case d.now().Sub(date) > priceAge:
		d.add("prices", checkWarn, fmt.Sprintf("%s models, read on %s, %d days ago", count(int64(models)), date.Format(time.DateOnly), int(d.now().Sub(date).Hours()/24)), "install a newer strata, or keep your own prices: strata price import FILE")
	default:
		d.add("prices", checkOK, fmt.Sprintf("%s models, read on %s", count(int64(models)), date.Format(time.DateOnly)), "")
	}
}

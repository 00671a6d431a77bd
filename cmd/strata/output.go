package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/itchyny/gojq"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// printer writes what a command found: a table for people, or JSON for
// programs. Lists are JSON Lines, one object per line; reports are one object.
type printer struct {
	out  io.Writer
	json bool
	jq   *gojq.Code
}

// outputFlags adds --json and --jq to a command.
func outputFlags(c *cobra.Command) {
	c.Flags().Bool("json", false, "print JSON: one object, or one object per line for a list")
	c.Flags().String("jq", "", "filter the JSON with a jq `expression`, applied to each object (implies --json)")
}

// newPrinter reads --json and --jq. A jq expression that does not parse is
// refused before anything is done.
func newPrinter(cmd *cobra.Command) (*printer, error) {
	p := &printer{out: cmd.OutOrStdout()}
	p.json, _ = cmd.Flags().GetBool("json")
	expr, _ := cmd.Flags().GetString("jq")
	if expr == "" {
		return p, nil
	}
	q, err := gojq.Parse(expr)
	if err != nil {
		return nil, usagef("--jq %q: %w; an example is --jq .id", expr, err)
	}
	// Without an environment loader, `env` and $ENV are empty: a filter copied
	// from somewhere cannot read secrets.
	if p.jq, err = gojq.Compile(q); err != nil {
		return nil, usagef("--jq %q: %w", expr, err)
	}
	p.json = true
	return p, nil
}

// object writes v as one line of JSON, or what the filter makes of it. A
// string that a filter yields is written raw, so that it can be used in shell.
func (p *printer) object(v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding the result as JSON: %w", err)
	}
	if p.jq == nil {
		_, err := p.out.Write(buf.Bytes())
		return err
	}
	dec := json.NewDecoder(&buf)
	dec.UseNumber() // keeps whole numbers exact
	var in any
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("encoding the result as JSON: %w", err)
	}
	for it := p.jq.Run(in); ; {
		got, ok := it.Next()
		if !ok {
			return nil
		}
		if err, ok := got.(error); ok {
			if halt, ok := err.(*gojq.HaltError); ok && halt.Value() == nil {
				return nil
			}
			return usagef("--jq: %w", err)
		}
		if s, ok := got.(string); ok {
			if _, err := fmt.Fprintln(p.out, s); err != nil {
				return err
			}
			continue
		}
		line, err := gojq.Marshal(got)
		if err != nil {
			return fmt.Errorf("--jq: %w", err)
		}
		if _, err := fmt.Fprintf(p.out, "%s\n", line); err != nil {
			return err
		}
	}
}

// report prints one object, or what human writes for people.
func (p *printer) report(v any, human func(w io.Writer)) error {
	if p.json {
		return p.object(v)
	}
	return p.human(human)
}

// human lets fn write, and returns the first error of writing: a full disk or
// a closed pipe must not look like success.
func (p *printer) human(fn func(w io.Writer)) error {
	w := &errWriter{w: p.out}
	fn(w)
	return w.err
}

// printList prints each item as a line of JSON, or what human writes.
func printList[T any](p *printer, items []T, human func(w io.Writer)) error {
	if !p.json {
		return p.human(human)
	}
	for i := range items {
		if err := p.object(items[i]); err != nil {
			return err
		}
	}
	return nil
}

// errWriter remembers the first error and writes nothing after it.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(b []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(b)
	e.err = err
	return n, err
}

// isTerminal says that w is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colourful says that w may be given colours: NO_COLOR and CLICOLOR_FORCE
// (bixense.com/clicolors, no-color.org) win over what w is.
func colourful(w io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	if f := os.Getenv("CLICOLOR_FORCE"); f != "" && f != "0" {
		return true
	}
	if e, ok := w.(*errWriter); ok {
		w = e.w
	}
	return isTerminal(w) && os.Getenv("TERM") != "dumb"
}

// The colours of the command line, by meaning.
const (
	sgrDim   = "2"
	sgrBold  = "1"
	sgrGood  = "32"
	sgrWarn  = "33"
	sgrBad   = "31"
	sgrFaint = "36"
)

// paint wraps s in a colour when on.
func paint(on bool, sgr, s string) string {
	if !on || s == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// grid is a table without frames: a header, rows, and a footer of totals.
type grid struct {
	t     table.Writer
	w     io.Writer
	count int
}

// newGrid makes a grid; a header that starts with ">" aligns its column right.
func newGrid(w io.Writer, headers ...string) *grid {
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.Options{SeparateFooter: true}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Box.MiddleHorizontal = "─"
	style.Format.Header, style.Format.Footer = text.FormatDefault, text.FormatDefault
	t.SetStyle(style)
	row := make(table.Row, len(headers))
	cols := make([]table.ColumnConfig, len(headers))
	on := colourful(w)
	for i, h := range headers {
		cols[i].Number = i + 1
		if name, right := strings.CutPrefix(h, ">"); right {
			h = name
			cols[i].Align, cols[i].AlignHeader, cols[i].AlignFooter = text.AlignRight, text.AlignRight, text.AlignRight
		}
		row[i] = paint(on, sgrDim, h)
	}
	t.AppendHeader(row)
	t.SetColumnConfigs(cols)
	return &grid{t: t, w: w}
}

func (g *grid) row(cells ...any) {
	g.t.AppendRow(clean(cells))
	g.count++
}

func (g *grid) footer(cells ...any) { g.t.AppendFooter(clean(cells)) }

// clean makes cells safe for a terminal: text that came from clients may hold
// control characters.
func clean(cells []any) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		row[i] = c
		if s, ok := c.(string); ok {
			row[i] = plain(s)
		}
	}
	return row
}

// plain replaces control characters other than colours set by this program.
func plain(s string) string {
	if !strings.ContainsFunc(s, isControl) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return '�'
		}
		return r
	}, s)
}

func isControl(r rune) bool { return r < 0x20 || (r >= 0x7f && r < 0xa0) }

// print writes the table without trailing blanks.
func (g *grid) print() {
	for line := range strings.Lines(g.t.Render() + "\n") {
		fmt.Fprintln(g.w, strings.TrimRight(line, " \n"))
	}
}

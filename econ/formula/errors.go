package formula

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratahq/strata/nearest"
)

// Pos is a place in a file; the zero Pos is none.
type Pos struct {
	File         string
	Line, Column int
}

// Error is a fault in a scenario, a block or a formula, with its place.
type Error struct {
	Pos
	Path    string // the quantity, such as "infra.price"
	Message string
}

// Where is "file:line", or just the file.
func (e *Error) Where() string {
	if e.Line == 0 {
		return e.File
	}
	return fmt.Sprintf("%s:%d", e.File, e.Line)
}

// Error is "file:line:column: path: message".
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		if s != "" {
			s += ": "
		}
		s += e.Path
	}
	if s == "" {
		return e.Message
	}
	return s + ": " + e.Message
}

// Errors is every fault that was found, in the order of files and lines.
type Errors []*Error

// Error joins the faults, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted puts the faults in the order of files and lines, and is nil when there
// are none.
func (e Errors) Sorted() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		return a.Line - b.Line
	})
	return e
}

// Suggest is `; did you mean "x"?` for the known name nearest to a wrong one, or
// "" when none is near. A name that ends in the wrong one after a dot is near.
func Suggest(wrong string, known []string) string {
	best, at := "", len(wrong)/2+1
	for _, k := range known {
		n := nearest.Distance(strings.ToLower(wrong), strings.ToLower(k))
		if strings.HasSuffix(k, "."+wrong) {
			n = 1
		}
		if n < at || n == at && best != "" && k < best {
			best, at = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

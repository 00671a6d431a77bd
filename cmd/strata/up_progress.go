package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress shows how far the local model's files have been fetched: a bar on a
// terminal, and a line every ten seconds elsewhere.
type progress struct {
	w        io.Writer
	terminal bool

	mu      sync.Mutex
	drawn   bool
	last    time.Time
	started time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w: w, terminal: isTerminal(w)} }

// report is told of every step; it draws at most ten times a second.
func (p *progress) report(name, source string, fetched, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.started.IsZero() {
		p.started = now
	}
	pause := 10 * time.Second
	if p.terminal {
		pause = 100 * time.Millisecond
	}
	if now.Sub(p.last) < pause && fetched < total {
		return
	}
	p.last = now
	line := progressLine(name, source, fetched, total)
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	// Erase to the end of the line: the next text may be shorter.
	fmt.Fprintf(p.w, "\r%s\x1b[K", line)
	p.drawn = true
}

// finish leaves the bar and begins a new line.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprintln(p.w)
		p.drawn = false
	}
}

// progressLine is "fetching NAME from SOURCE [#####.....] 12.3 of 98.4 MB".
func progressLine(name, source string, fetched, total int64) string {
	const width = 24
	full := 0
	if total > 0 {
		full = int(min(fetched, total) * width / total)
	}
	from := ""
	if source != "" {
		from = " from " + source
	}
	return fmt.Sprintf("fetching %s%s [%s%s] %.1f of %.1f MB", name, from, strings.Repeat("#", full), strings.Repeat(".", width-full),
		float64(fetched)/1e6, float64(total)/1e6)
}

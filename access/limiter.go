package access

import (
	"sync"
	"time"
)

// maxTracked bounds the memory of a limiter: beyond it, addresses share one count.
const maxTracked = 10_000

// limiter counts failures per address in fixed windows.
type limiter struct {
	max    int
	window time.Duration

	mu    sync.Mutex
	start time.Time
	fails map[string]int
}

// blocked says that an address has failed too often in this window.
func (l *limiter) blocked(addr string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(now)
	return l.fails[l.slot(addr)] >= l.max
}

// fail counts a failure.
func (l *limiter) fail(addr string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll(now)
	l.fails[l.slot(addr)]++
}

func (l *limiter) roll(now time.Time) {
	// A clock that has gone back starts a window too: it must not lock out for
	// as long as the jump.
	if d := now.Sub(l.start); l.fails == nil || d >= l.window || d < 0 {
		l.start, l.fails = now, map[string]int{}
	}
}

func (l *limiter) slot(addr string) string {
	if _, ok := l.fails[addr]; !ok && len(l.fails) >= maxTracked {
		return ""
	}
	return addr
}

package engine

import (
	"testing"
	"time"
)

// TestPace walks a machine from idle to busy and back: threads follow.
func TestPace(t *testing.T) {
	p := newPace(2)
	idle := map[int]time.Duration{2: 8, 1: 11}
	busy := map[int]time.Duration{2: 300, 1: 25}
	use := func(cost map[int]time.Duration, rounds int) (twos int, spent time.Duration) {
		for range rounds {
			level, threads := p.next(1)
			d := cost[threads] * time.Millisecond
			p.observe(level, 1, d)
			spent += d
			if threads == 2 {
				twos++
			}
		}
		return twos, spent
	}
	if twos, spent := use(idle, 1000); twos < 985 || spent > 8100*time.Millisecond {
		t.Errorf("idle: %d of 1000 rounds with two threads, %v", twos, spent)
	}
	if twos, _ := use(busy, 1000); twos > 15 {
		t.Errorf("busy: %d of 1000 rounds with two threads", twos)
	}
	if twos, _ := use(idle, 1000); twos < 800 {
		t.Errorf("idle again: %d of 1000 rounds with two threads", twos)
	}
	one := newPace(1)
	for range 300 {
		if level, threads := one.next(1); level != 0 || threads != 1 {
			t.Fatal("one thread is one thread")
		}
	}
}

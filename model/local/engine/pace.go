package engine

import "time"

// pace chooses how many threads compute. All of them are fastest on a machine
// that is otherwise idle. Beside other work they are the slowest choice by far:
// native threads wait for each other several hundred times per token, and each
// wait for one that is not running costs a slice of the scheduler (on two cores
// with a load of eight: 8 tokens/s with two threads, 40 with one). So a round
// is timed, and where fewer threads prove faster, fewer are used; the other
// choice is tried again now and then.
type pace struct {
	levels []int // thread counts, most first
	at     int   // the level in use
	// took is the smoothed duration of a round per level and number of rows.
	took   []map[int]time.Duration
	rounds int // since the other level was tried
}

// tryEvery is how many rounds pass between trials. A trial is one round, so on
// an idle machine trials cost well below 1 %.
const tryEvery = 128

func newPace(threads int) *pace {
	p := &pace{levels: []int{threads}}
	if threads > 1 {
		p.levels = append(p.levels, max(1, threads/2))
	}
	for range p.levels {
		p.took = append(p.took, map[int]time.Duration{})
	}
	return p
}

// next is the level for the next round of so many rows.
func (p *pace) next(rows int) (level, threads int) {
	level = p.at
	if len(p.levels) > 1 {
		other := 1 - p.at
		p.rounds++
		mine, known := p.took[p.at][rows]
		theirs, tried := p.took[other][rows]
		switch {
		case known && !tried, p.rounds >= tryEvery:
			level, p.rounds = other, 0
		case known && tried && theirs < mine:
			p.at, level = other, other
		}
	}
	return level, p.levels[level]
}

// observe tells how long a round took.
func (p *pace) observe(level, rows int, d time.Duration) {
	was, known := p.took[level][rows]
	switch {
	case !known, level != p.at: // a trial counts as it is
		p.took[level][rows] = d
	default:
		p.took[level][rows] = was + (d-was)/4
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// idleSync is how long a commit that nobody waits for may stay without fsync.
// It bounds, together with the settlements' own fsyncs, what a power failure
// can take: holds and refusals of at most this time.
const idleSync = 500 * time.Millisecond

// checkpointFrames is the length of the log, in pages of 4 KiB, from which on it
// is copied into the database file.
const checkpointFrames = 4000

// syncer makes commits durable.
type syncer struct {
	mu      sync.Mutex
	waiting []*request
	dirty   bool // something was committed since the last fsync began
	stopped bool
	wake    chan struct{}
	broken  atomic.Bool // the log could not be read back: no more writing
}

func (s *syncer) add(wait []*request) {
	s.mu.Lock()
	s.waiting = append(s.waiting, wait...)
	s.dirty = true
	s.mu.Unlock()
	if len(wait) > 0 {
		s.poke()
	}
}

func (s *syncer) stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.poke()
}

func (s *syncer) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns all who wait. Whoever is added later is not covered by the
// fsync that follows.
func (s *syncer) take() (wait []*request, dirty, stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait, dirty, stopped = s.waiting, s.dirty, s.stopped
	s.waiting, s.dirty = nil, false
	return
}

func (db *DB) syncLoop() {
	defer db.wg.Done()
	tick := time.NewTicker(idleSync)
	defer tick.Stop()
	for {
		select {
		case <-db.sync.wake:
		case <-tick.C:
		}
		wait, dirty, stopped := db.sync.take()
		if dirty || db.files.suspect.Load() {
			err := db.makeDurable()
			for _, r := range wait {
				r.done <- err
			}
		}
		if stopped {
			return // the writer has ended, so nobody waits any more
		}
	}
}

// makeDurable returns nil only when everything committed before the call is on
// the disk.
func (db *DB) makeDurable() error {
	if db.skipSync {
		return nil
	}
	if db.files.suspect.Load() {
		return db.mend()
	}
	l := db.files.log()
	if l == nil {
		return &Error{Kind: ErrNotDurable, Path: db.file, Err: errors.New("the log is not open")}
	}
	err := l.watched.Sync(vfs.SYNC_FULL)
	l.mu.Unlock()
	if err == nil && db.files.suspect.Load() {
		// Another fsync failed meanwhile, and may have consumed the error of ours.
		return db.mend()
	}
	if err != nil {
		return &Error{Kind: ErrNotDurable, Path: db.file, Err: err}
	}
	return nil
}

// mend restores trust after a failed fsync, by the rule of the package comment.
func (db *DB) mend() error {
	db.group.Lock() // no commits meanwhile
	defer db.group.Unlock()
	fail := func(err error) error {
		return &Error{Kind: ErrNotDurable, Path: db.file, Err: fmt.Errorf("after a failed fsync: %w", err)}
	}
	failures := db.files.failures.Load()
	n, _, err := db.tx.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_NOOP) // only counts the frames
	if err != nil {
		return fail(err)
	}
	l := db.files.log()
	if l == nil {
		return fail(errors.New("the log is not open"))
	}
	defer l.mu.Unlock()
	if err := l.rewriteLog(int64(n)); err != nil {
		if errors.Is(err, errLogBroken) && !db.sync.broken.Swap(true) {
			db.log.Error("the log cannot be read back whole after a failed fsync; writing has stopped; restart Strata", "file", db.file, "error", err)
		}
		return fail(err)
	}
	if err := l.watched.Sync(vfs.SYNC_FULL); err != nil {
		return fail(err)
	}
	if db.files.failures.Load() != failures {
		// A checkpoint's fsync failed between our writing and our fsync, and may
		// have dropped what we wrote.
		return fail(errors.New("another fsync failed meanwhile"))
	}
	db.files.suspect.Store(false)
	db.log.Info("the database is whole and on the disk again after a failed fsync", "file", db.file)
	return nil
}

// checkpointLoop copies the log into the database file when it has grown: most
// of it beside the writer, and the rest by the writer between two groups.
func (db *DB) checkpointLoop() {
	defer db.wg.Done()
	for {
		select {
		case <-db.quit:
			return
		case <-db.ckptCh:
		}
		db.copying.Lock()
		n, copied, err := db.ckpt.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
		db.copying.Unlock()
		switch {
		case errors.Is(err, sqlite3.BUSY):
			continue
		case err != nil:
			db.log.Warn("checkpoint failed; it is tried again", "file", db.file, "error", err)
			continue
		}
		if n-copied < checkpointFrames/2 {
			db.wantFinish.Store(true)
			select {
			case db.finishCh <- struct{}{}:
			default:
			}
		}
	}
}

// EmptyLog copies the whole log into the database file and truncates it, so that
// no earlier version of a page is left in it. It waits for readers of such
// versions, at most five seconds each time.
func (db *DB) EmptyLog(ctx context.Context) error {
	for {
		db.group.Lock()
		if db.closed.Load() {
			db.group.Unlock()
			return ErrClosed
		}
		_, _, err := db.tx.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
		if err == nil {
			db.frames.Store(0)
		}
		db.group.Unlock()
		if !errors.Is(err, sqlite3.BUSY) {
			return db.explain(ctx, err)
		}
		if ctx.Err() != nil {
			return db.explain(ctx, err)
		}
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
)

// maxGroup bounds how many functions share a transaction, so that one group
// does not grow the latency of its first member without limit.
const maxGroup = 256

// Hooks let the owner of tables act once per group. They run on the writer's
// goroutine, never concurrently with a function given to Write.
type Hooks struct {
	// BeforeCommit runs in the group's transaction after its functions. An
	// error rolls the whole group back, and fails all of it.
	BeforeCommit func(tx *Tx) error
	// AfterRollback runs when a whole group was rolled back: state derived
	// from functions that had succeeded must be forgotten and read again.
	AfterRollback func()
}

// AddHooks registers hooks. Call it before the first Write.
func (db *DB) AddHooks(h Hooks) {
	db.group.Lock()
	defer db.group.Unlock()
	db.hooks = append(db.hooks, h)
}

// request is a function that waits for the writer.
type request struct {
	fn      func(*Tx) error
	durable bool
	alone   bool
	// claimed decides between the writer, which starts fn, and the caller,
	// which gives up waiting: whoever sets it first.
	claimed atomic.Bool
	done    chan error
}

// Write runs fn in its own savepoint in the writer's next group and returns
// after the commit, if durable also after an fsync that covers it. When fn
// fails, only its own changes are undone and its error is returned as it is.
// fn runs on the writer's goroutine, must not block, and must not call Write;
// it may run when ctx ends meanwhile, and Write then still waits for it. Errors
// of the database match the sentinels of this package.
func (db *DB) Write(ctx context.Context, durable bool, fn func(tx *Tx) error) error {
	return db.write(ctx, &request{fn: fn, durable: durable, done: make(chan error, 1)})
}

// WriteAlone is a durable Write whose function has the group for itself: it
// sees all that BeforeCommit of earlier groups has written. It is for rare,
// larger work, such as corrections.
func (db *DB) WriteAlone(ctx context.Context, fn func(tx *Tx) error) error {
	return db.write(ctx, &request{fn: fn, durable: true, alone: true, done: make(chan error, 1)})
}

func (db *DB) write(ctx context.Context, r *request) error {
	if db.o.ReadOnly {
		return &Error{Kind: ErrReadOnly, Path: db.file}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	db.closeM.RLock()
	if db.closed.Load() {
		db.closeM.RUnlock()
		return ErrClosed
	}
	select {
	case db.reqs <- r:
		db.closeM.RUnlock()
	case <-ctx.Done():
		db.closeM.RUnlock()
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if !r.claimed.Swap(true) {
			return ctx.Err()
		}
		return <-r.done
	}
}

func (db *DB) writeLoop() {
	defer db.wg.Done()
	defer db.sync.stop()
	batch := make([]*request, 0, maxGroup)
	for {
		batch = batch[:0]
		select {
		case r := <-db.reqs:
			batch = append(batch, r)
		case <-db.finishCh:
		case <-db.quit:
			// Close holds off new requests before it closes quit.
			select {
			case r := <-db.reqs:
				batch = append(batch, r)
			default:
				return
			}
		}
	more:
		for len(batch) < maxGroup {
			select {
			case r := <-db.reqs:
				batch = append(batch, r)
			default:
				break more
			}
		}
		db.runGroup(batch)
	}
}

// runGroup runs the functions in one transaction and answers each of them.
func (db *DB) runGroup(batch []*request) {
	db.group.Lock()
	defer db.group.Unlock()
	n := 0
	for _, r := range batch {
		if !r.claimed.Swap(true) {
			batch[n] = r
			n++
		}
	}
	batch = batch[:n]
	for len(batch) > 0 {
		n := 1
		for !batch[0].alone && n < len(batch) && !batch[n].alone {
			n++
		}
		db.transact(batch[:n])
		batch = batch[n:]
	}
	frames := db.frames.Load()
	db.forced = min(db.forced, frames)
	if frames > 2*checkpointFrames && frames-db.forced > checkpointFrames {
		// We have outrun the checkpoint. Wait for it and copy the rest, or the
		// log would grow without limit. (A long reader lets it grow all the same:
		// hence only once per so many frames.)
		db.copying.Lock()
		db.forced = frames
		db.copying.Unlock()
		db.wantFinish.Store(true)
	}
	if db.wantFinish.Swap(false) {
		// Everything but the newest frames was copied beside us; copying the rest
		// while no one writes lets the log restart at its beginning.
		if _, _, err := db.tx.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE); err != nil && !errors.Is(err, sqlite3.BUSY) {
			db.log.Warn("checkpoint failed; it is tried again", "file", db.file, "error", err)
		}
	}
}

func (db *DB) transact(batch []*request) {
	if db.sync.broken.Load() {
		fail(batch, &Error{Kind: ErrCorrupt, Path: db.file, Err: errors.New("after a failed fsync the log could not be read back whole; restart Strata to recover what is whole")})
		return
	}
	conn := db.tx.conn
	if err := conn.Exec("BEGIN IMMEDIATE"); err != nil {
		fail(batch, db.explain(context.Background(), err))
		return
	}
	tx := &Tx{session: db.tx}
	var after []func()
	committed := batch[:0]
	var lost error // the transaction was rolled back under us
	for i, r := range batch {
		err := db.runOne(tx, r)
		if err == nil {
			for _, f := range tx.onRelease {
				f()
			}
			after = append(after, tx.afterCommit...)
			committed = append(committed, r)
			continue
		}
		r.done <- db.explain(context.Background(), err)
		if conn.GetAutocommit() {
			// SQLite has rolled back everything: disk full, I/O error, no memory.
			lost = err
			fail(batch[i+1:], db.explain(context.Background(), err))
			break
		}
	}
	err := lost
	tx.onRelease, tx.afterCommit = nil, nil
	if err == nil {
		for _, h := range db.hooks {
			if h.BeforeCommit != nil && err == nil {
				err = h.BeforeCommit(tx)
			}
		}
	}
	if err == nil {
		err = conn.Exec("COMMIT")
	}
	if err != nil {
		if !conn.GetAutocommit() {
			if e := conn.Exec("ROLLBACK"); e != nil {
				db.log.Error("rollback failed", "file", db.file, "error", e)
			}
		}
		for _, h := range db.hooks {
			if h.AfterRollback != nil {
				h.AfterRollback()
			}
		}
		fail(committed, db.explain(context.Background(), err))
		return
	}
	for _, f := range append(after, tx.afterCommit...) {
		f()
	}
	var wait []*request
	for _, r := range committed {
		if r.durable {
			wait = append(wait, r)
		} else {
			r.done <- nil
		}
	}
	db.sync.add(wait)
	if db.frames.Load() > checkpointFrames {
		select {
		case db.ckptCh <- struct{}{}:
		default:
		}
	}
}

// runOne runs one function in its savepoint. A panic counts as its error.
func (db *DB) runOne(tx *Tx, r *request) (err error) {
	tx.onRelease, tx.afterCommit = nil, nil
	if _, err := tx.Exec("SAVEPOINT one"); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			db.log.Error("a write panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("store: a write panicked: %v", p)
		}
		if err == nil {
			_, err = tx.Exec("RELEASE one")
			return
		}
		if tx.conn.GetAutocommit() {
			return
		}
		for _, undo := range []string{"ROLLBACK TO one", "RELEASE one"} {
			if _, e := tx.Exec(undo); e != nil {
				db.log.Error("undoing a failed write failed", "file", db.file, "error", e)
			}
		}
	}()
	return r.fn(tx)
}

func fail(batch []*request, err error) {
	for _, r := range batch {
		r.done <- err
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// The ways in which the database can fail. Errors of this package match one of
// them with errors.Is, and say what to do.
var (
	// ErrCorrupt: the file is not a database or its pages are damaged.
	ErrCorrupt = errors.New("the database is damaged")
	// ErrLocked: another process holds the database.
	ErrLocked = errors.New("the database is locked by another process")
	// ErrNewerSchema: a newer Strata has upgraded this database.
	ErrNewerSchema = errors.New("the database was written by a newer Strata")
	// ErrOlderSchema: opened read-only, and the schema must be upgraded first.
	ErrOlderSchema = errors.New("the database must be upgraded first")
	// ErrFull: no space is left. Writing works again as soon as there is space.
	ErrFull = errors.New("no space is left for the database")
	// ErrIO: the disk or its driver failed.
	ErrIO = errors.New("the database's disk failed")
	// ErrNotDurable: a write was committed, but the fsync that had to cover it
	// failed, so that it may be lost with a power failure. Repeating an
	// idempotent write is right: it succeeds once the data are safe again.
	ErrNotDurable = errors.New("the write could not be made durable")
	// ErrReadOnly: a write through a database that was opened read-only.
	ErrReadOnly = errors.New("the database is open read-only")
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("the database is closed")
	// ErrHeld is matched by *HeldError.
	ErrHeld = errors.New("the data directory is in use")
	// ErrExists: the destination of a backup is there already.
	ErrExists = errors.New("the file exists already")
)

// Error is a failure of the database with its kind, its cause and the mend.
type Error struct {
	Kind error  // one of the sentinels above
	Path string // the database file
	Err  error  // SQLite's or the system's own error
}

// Error says what happened, where, and what to do.
func (e *Error) Error() string {
	s := fmt.Sprintf("%v: %s", e.Kind, e.Path)
	if e.Err != nil {
		s += fmt.Sprintf(" (%v)", e.Err)
	}
	switch e.Kind {
	case ErrCorrupt:
		s += "; run `strata doctor`, and bring back a backup with `strata restore` (the damaged file is kept aside)"
	case ErrLocked:
		s += "; stop the other process, or wait for it"
	case ErrNewerSchema:
		s += "; install that version of Strata again, or restore a backup made before the upgrade"
	case ErrOlderSchema:
		s += "; start `strata up` once, which upgrades it"
	case ErrFull:
		s += "; free some space: writing goes on by itself"
	case ErrIO, ErrNotDurable:
		s += "; check the disk and the system's log"
	}
	return s
}

// Unwrap gives both the kind and the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }

// kindOf finds the sentinel for an error of SQLite; nil when it is none of them.
func kindOf(err error) error {
	var code sqlite3.ErrorCode
	if !errors.As(err, &code) {
		switch {
		case errors.Is(err, syscall.ENOSPC):
			return ErrFull
		case errors.Is(err, syscall.EIO):
			return ErrIO
		}
		return nil
	}
	switch code {
	case sqlite3.FULL:
		return ErrFull
	case sqlite3.IOERR, sqlite3.CANTOPEN, sqlite3.NOLFS:
		// A full disk while SQLite grows a file without writing to it, such as
		// the shared index of the log, is reported as an I/O error.
		if errors.Is(err, syscall.ENOSPC) {
			return ErrFull
		}
		return ErrIO
	case sqlite3.CORRUPT, sqlite3.NOTADB:
		return ErrCorrupt
	case sqlite3.BUSY, sqlite3.LOCKED, sqlite3.PROTOCOL:
		return ErrLocked
	case sqlite3.READONLY, sqlite3.PERM:
		return ErrReadOnly
	}
	return nil
}

// explain turns SQLite's errors into *Error and passes all others on. A cancelled
// context is reported as such, not as the interrupt that it causes.
func (db *DB) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sqlite3.INTERRUPT) && ctx != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	if kind := kindOf(err); kind != nil {
		return &Error{Kind: kind, Path: db.file, Err: err}
	}
	return err
}

package store

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/stratahq/strata/store/filelayer"
)

// files watches the files that the connections of one database open: it keeps
// the open handles of the log, so that the syncer can fsync it beside SQLite,
// and it notices every fsync that fails, whoever asked for it.
type files struct {
	under vfs.VFS
	db    *DB

	mu   sync.Mutex
	logs []*logFile

	// suspect is set by a failed fsync and cleared by a successful mend.
	suspect  atomic.Bool
	failures atomic.Int64 // failed fsyncs so far
}

func (f *files) layer() vfs.VFS {
	return filelayer.VFS{VFS: f.under, Wrap: func(_ string, flags vfs.OpenFlag, inner vfs.File) vfs.File {
		w := watched{filelayer.File{File: inner}, f}
		switch {
		case flags&vfs.OPEN_MAIN_DB != 0:
			return w
		case flags&vfs.OPEN_WAL != 0:
			l := &logFile{watched: w}
			f.mu.Lock()
			f.logs = append(f.logs, l)
			f.mu.Unlock()
			return l
		}
		return inner
	}}
}

// watched notices failed fsyncs, and tells a full disk from a broken one.
type watched struct {
	filelayer.File
	files *files
}

// WriteAt names a lack of space as SQLite knows it. The binding does so only for
// a bare errno, but package os wraps every errno in a path error, so that a full
// disk would look like a failing one.
func (w watched) WriteAt(p []byte, off int64) (int, error) {
	n, err := w.File.File.WriteAt(p, off)
	if err != nil && errors.Is(err, syscall.ENOSPC) {
		err = vfs.SystemError(err, sqlite3.FULL)
	}
	return n, err
}

func (w watched) Sync(flags vfs.SyncFlag) error {
	err := w.File.File.Sync(flags)
	if err == nil {
		return nil
	}
	w.files.failures.Add(1)
	if !w.files.suspect.Swap(true) {
		w.files.db.log.Error("fsync failed; the database is suspect until it is mended",
			"file", w.files.db.file, "error", err)
	}
	return err
}

// logFile is an open handle of the log. Its lock keeps the syncer from using a
// handle that SQLite closes.
type logFile struct {
	watched
	mu sync.Mutex
}

func (l *logFile) Sync(flags vfs.SyncFlag) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watched.Sync(flags)
}

func (l *logFile) Close() error {
	l.files.mu.Lock()
	l.files.logs = slices.DeleteFunc(l.files.logs, func(x *logFile) bool { return x == l })
	l.files.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watched.File.Close()
}

// log returns an open handle of the log, locked; nil when there is none. Any
// handle will do: fsync covers the file, whoever wrote to it.
func (f *files) log() *logFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.logs) == 0 {
		return nil
	}
	l := f.logs[0]
	l.mu.Lock()
	return l
}

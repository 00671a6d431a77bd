// Package store is the database beneath the ledger, the keys and the jobs:
// SQLite in its write-ahead log (WAL) mode, through a binding whose file layer
// is Go, so that faults of the disk can be injected in tests.
//
// # Writing
//
// One goroutine writes. It takes all waiting functions, up to a limit, runs
// each in its own savepoint inside one transaction, and commits them together.
// The commit itself does not fsync. A second goroutine fsyncs the log and then
// releases those writers that asked for durability. So a writer that does not
// ask (a hold) never waits for an fsync, yet its row is in the log, in the
// page cache, before Write returns: it survives kill -9. Commits go on while an
// fsync is under way, and one fsync releases all who committed before it began.
//
// # Why that is safe
//
// In WAL mode with synchronous=NORMAL, SQLite (1) appends frames to the log
// without fsync; (2) before a checkpoint copies frames into the database file,
// fsyncs the log, and after it, the database file; (3) restarts the log at its
// beginning only when all of it was so copied, and fsyncs the new log header
// before frames follow it. Hence at each moment every committed frame is either
// in the log, where an fsync of the log that starts after the commit makes it
// durable, or in the database file, already fsynced. Frames carry a checksum
// chain, so after a power failure SQLite recovers the longest whole prefix of
// commits: never a part of one. The tests lose random unsynced writes to show it.
//
// # When fsync fails
//
// After a failed fsync the kernel may have dropped the data and call the next
// fsync a success. So one failed fsync, of any file of the database, makes the
// database suspect: waiting durable writers fail with [ErrNotDurable] (they may
// repeat an idempotent write), and none is told "durable" by an fsync of the
// log again by the next fsync alone. Instead the store, with the writer held,
// reads the whole log back, verifies its checksum chain, writes the same bytes in
// place again, so that the kernel holds them as unwritten, and fsyncs: only a
// success of that restores trust. (Copying the log into the database file
// instead would not do: after a power failure, the part of the log that is on
// the disk would be replayed over the newer file.) An fsync of the database file
// that fails ends its checkpoint, which is done again whole. If the log does
// not verify, all writing stops with [ErrCorrupt] until a restart, which
// recovers the longest whole prefix.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// FileName is the database's name inside the data directory.
const FileName = "strata.db"

// Options say how to open a database.
type Options struct {
	// Path is the data directory. It is created with mode 0700.
	Path string
	// ReadOnly opens beside a running server, without migrating and without a lock.
	ReadOnly bool
	// Readers is the number of pooled read connections; 0 means 4.
	Readers int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log receives what an operator must know; nil means discard.
	Log *slog.Logger
	// VFS names the registered file layer to use; "" is the operating system's.
	// Tests use it to inject faults.
	VFS string
}

// DB is an open database.
type DB struct {
	o    Options
	file string
	log  *slog.Logger
	now  func() time.Time

	vfsName string
	files   *files

	// writer's side
	reqs   chan *request
	quit   chan struct{}
	wg     sync.WaitGroup
	hooks  []Hooks
	closed atomic.Bool
	closeM sync.RWMutex // held for reading while a request is handed over
	tx     *session     // the writing connection; guarded by group
	group  sync.Mutex   // held while a group runs, and while the database is mended

	sync   syncer
	ckpt   *session // checkpoints
	ckptCh chan struct{}
	frames atomic.Int64 // frames in the log after the newest commit
	// copying is held while a checkpoint runs beside the writer. forced is the
	// log's length when the writer last waited for it; the writer's own.
	copying sync.Mutex
	forced  int64
	// wantFinish asks the writer for the last part of a checkpoint.
	wantFinish atomic.Bool
	finishCh   chan struct{}

	pool    chan *session
	readers []*session // all of the pool's

	// skipSync is a hook for the tests of this package: it releases durable
	// writers without the fsync, to prove that the power-loss test notices.
	skipSync bool
}

var vfsNumber atomic.Int64

// quickCheckLimit is the size in bytes up to which Open checks every page. A
// larger file would delay the start (measured in November 2026: 20 ms per MB on
// two busy cores), so only its header and schema are read: damage elsewhere is
// reported by the statement that meets it, and CheckFile looks at everything.
const quickCheckLimit = 4 << 20

// Open opens, and unless read-only creates and migrates, the database in
// o.Path. The caller must hold the directory's lock, see [TryLock], unless it
// opens read-only. Errors match ErrCorrupt, ErrLocked, ErrNewerSchema,
// ErrOlderSchema, ErrFull or ErrIO.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	db := &DB{o: o, file: filepath.Join(o.Path, FileName), log: o.Log, now: o.Now,
		reqs: make(chan *request, 256), quit: make(chan struct{}), ckptCh: make(chan struct{}, 1), finishCh: make(chan struct{}, 1),
		pool: make(chan *session, o.Readers)}
	db.sync.wake = make(chan struct{}, 1)

	under := vfs.Find(o.VFS)
	if under == nil {
		return nil, fmt.Errorf("store: no file layer is named %q", o.VFS)
	}
	db.files = &files{under: under, db: db}
	db.vfsName = fmt.Sprintf("strata-%d", vfsNumber.Add(1))
	vfs.Register(db.vfsName, db.files.layer())

	if err := db.open(ctx); err != nil {
		db.closeConns()
		vfs.Unregister(db.vfsName)
		return nil, db.explain(ctx, err)
	}
	if !o.ReadOnly {
		db.wg.Add(3)
		go db.writeLoop()
		go db.syncLoop()
		go db.checkpointLoop()
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	if !db.o.ReadOnly {
		if err := os.MkdirAll(db.o.Path, 0o700); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		// SQLite would create the file readable by everyone that the umask allows.
		f, err := os.OpenFile(db.file, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		f.Close()
	} else if _, err := os.Stat(db.file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("database: %w; start `strata up` once to create it", err)
	}
	if !db.o.ReadOnly {
		s, err := db.connect(ctx, sqlite3.OPEN_READWRITE,
			"PRAGMA journal_mode=WAL",
			"PRAGMA synchronous=NORMAL", // see the package comment
			"PRAGMA secure_delete=ON",   // what is deleted is overwritten: erasure is real
			"PRAGMA wal_autocheckpoint=0",
			"PRAGMA journal_size_limit=33554432",
			"PRAGMA cache_size=-16384",
			"PRAGMA temp_store=MEMORY")
		if err != nil {
			return err
		}
		db.tx = s
		if err := db.checkFile(s); err != nil {
			return err
		}
		if err := db.migrate(s.conn); err != nil {
			return err
		}
		// The log holds what the database holds, and is nobody else's either.
		// SQLite made both files just now, with the process's own mask.
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.Chmod(db.file+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		// What an earlier process left in the log goes into the file now, so that
		// the log restarts, with a header that is fsynced, at the next commit.
		if _, _, err := s.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil && !errors.Is(err, sqlite3.BUSY) {
			return err
		}
		s.conn.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
			db.frames.Store(int64(pages))
			return nil
		})
		if db.ckpt, err = db.connect(ctx, sqlite3.OPEN_READWRITE,
			"PRAGMA synchronous=NORMAL", "PRAGMA wal_autocheckpoint=0"); err != nil {
			return err
		}
	}
	for i := range db.o.Readers {
		s, err := db.connect(ctx, sqlite3.OPEN_READONLY, "PRAGMA query_only=ON", "PRAGMA cache_size=-8192",
			"PRAGMA temp_store=MEMORY")
		if err != nil {
			return err
		}
		db.readers = append(db.readers, s)
		db.pool <- s
		if i == 0 && db.o.ReadOnly {
			if err := db.migrate(s.conn); err != nil {
				return err
			}
		}
	}
	return nil
}

func (db *DB) checkFile(s *session) error {
	info, err := os.Stat(db.file)
	if err != nil {
		return err
	}
	check := "SELECT CASE WHEN count(*) >= 0 THEN 'ok' END FROM sqlite_schema"
	if info.Size() <= quickCheckLimit {
		check = "PRAGMA quick_check(1)"
	}
	var found string
	if err := s.QueryRow(check).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return &Error{Kind: ErrCorrupt, Path: db.file, Err: errors.New(found)}
	}
	return nil
}

func (db *DB) connect(ctx context.Context, flags sqlite3.OpenFlag, pragmas ...string) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := filepath.Abs(db.file)
	if err != nil {
		return nil, err
	}
	name = filepath.ToSlash(name)
	if name[0] != '/' {
		name = "/" + name // a Windows drive: file:///C:/…
	}
	uri := "file://" + (&url.URL{Path: name}).EscapedPath() + "?vfs=" + db.vfsName
	c, err := sqlite3.OpenFlags(uri, flags|sqlite3.OPEN_URI)
	if err != nil {
		return nil, err
	}
	for _, p := range append([]string{"PRAGMA busy_timeout=5000"}, pragmas...) {
		if err := c.Exec(p); err != nil {
			c.Close()
			return nil, err
		}
	}
	return &session{conn: c, stmts: map[string]*sqlite3.Stmt{}}, nil
}

// Read runs fn on a read-only snapshot of the database: all that was committed
// when fn first reads, and nothing later. It waits for a pooled connection
// until ctx ends; ctx also interrupts running queries.
func (db *DB) Read(ctx context.Context, fn func(q Querier) error) error {
	if db.closed.Load() {
		return ErrClosed
	}
	var s *session
	select {
	case s = <-db.pool:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.quit:
		return ErrClosed
	}
	defer func() { db.pool <- s }()
	s.conn.SetInterrupt(ctx)
	defer s.conn.SetInterrupt(context.Background())
	if err := s.conn.Exec("BEGIN"); err != nil {
		return db.explain(ctx, err)
	}
	err := fn(s)
	s.conn.SetInterrupt(context.Background()) // the end must not be interrupted
	if !s.conn.GetAutocommit() {
		if e := s.conn.Exec("ROLLBACK"); e != nil && err == nil {
			err = e
		}
	}
	return db.explain(ctx, err)
}

// Path is the database file.
func (db *DB) Path() string { return db.file }

// Close writes what is waiting, fsyncs it, and closes. Later calls fail with ErrClosed.
func (db *DB) Close() error {
	db.closeM.Lock()
	if db.closed.Swap(true) {
		db.closeM.Unlock()
		return nil
	}
	close(db.quit)
	db.closeM.Unlock()
	db.wg.Wait()
	err := db.closeConns()
	vfs.Unregister(db.vfsName)
	return db.explain(context.Background(), err)
}

// closeConns closes every connection. At Close it first waits until readers
// have given theirs back.
func (db *DB) closeConns() (err error) {
	for _, s := range db.readers {
		if db.closed.Load() {
			<-db.pool
		}
		defer func() { err = errors.Join(err, s.close()) }()
	}
	for _, s := range []*session{db.ckpt, db.tx} {
		if s != nil {
			defer func() { err = errors.Join(err, s.close()) }()
		}
	}
	return nil
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Backup writes a consistent copy of the database, as of now, to destFile while
// writing goes on. The copy is one file, fsynced, and appears under its name
// only when it is whole. It holds all that the database holds, keys of tenants
// included: protect it alike. ErrExists when destFile is there already.
func (db *DB) Backup(ctx context.Context, destFile string) (err error) {
	if _, err := os.Lstat(destFile); err == nil {
		return fmt.Errorf("backup: %w: %s", ErrExists, destFile)
	}
	part := destFile + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %w", err)
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	f.Close()
	defer func() {
		if err != nil {
			os.Remove(part)
		}
	}()
	s, err := db.connect(ctx, sqlite3.OPEN_READONLY)
	if err != nil {
		return db.explain(ctx, err)
	}
	defer s.close()
	s.conn.SetInterrupt(ctx)
	if err := s.conn.Exec("VACUUM INTO " + sqlite3.Quote(part)); err != nil {
		return fmt.Errorf("backup: %w", db.explain(ctx, err))
	}
	if err := syncPath(part); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(part, destFile); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return syncDir(filepath.Dir(destFile))
}

// CheckFile opens a database file read-only, checks every page, and returns its
// schema's number. Errors match ErrCorrupt or ErrNewerSchema.
func CheckFile(ctx context.Context, file string) (schema int, err error) {
	db := &DB{file: file}
	if _, err := os.Stat(file); err != nil {
		return 0, err
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return 0, err
	}
	abs = filepath.ToSlash(abs)
	if abs[0] != '/' {
		abs = "/" + abs
	}
	c, err := sqlite3.OpenFlags("file://"+(&url.URL{Path: abs}).EscapedPath()+"?immutable=1", sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	if err != nil {
		return 0, db.explain(ctx, err)
	}
	s := &session{conn: c, stmts: map[string]*sqlite3.Stmt{}}
	defer s.close()
	c.SetInterrupt(ctx)
	var found string
	if err := s.QueryRow("PRAGMA quick_check(1)").Scan(&found); err != nil {
		return 0, db.explain(ctx, err)
	}
	if found != "ok" {
		return 0, &Error{Kind: ErrCorrupt, Path: file, Err: errors.New(found)}
	}
	if schema, err = schemaOf(c); err != nil {
		return 0, db.explain(ctx, err)
	}
	if schema == 0 {
		return 0, &Error{Kind: ErrCorrupt, Path: file, Err: errors.New("it is not a database of Strata")}
	}
	if schema > SchemaVersion() {
		return schema, &Error{Kind: ErrNewerSchema, Path: file,
			Err: fmt.Errorf("its schema is %d, this program knows %d", schema, SchemaVersion())}
	}
	return schema, nil
}

// Restore puts a backup in place of the database in dataDir. It takes the
// directory's lock (a *HeldError when a server runs), checks every page of the
// backup first, and keeps the old database beside the new one: aside is its
// name, "" when there was none. The database that Open then finds may be of an
// older schema, and is upgraded. Calls made after the backup are not in it.
func Restore(ctx context.Context, backupFile, dataDir string) (aside string, err error) {
	if _, err := CheckFile(ctx, backupFile); err != nil {
		return "", fmt.Errorf("restore: the backup cannot be used: %w", err)
	}
	lock, err := TryLock(dataDir)
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()

	file := filepath.Join(dataDir, FileName)
	part := file + ".restoring"
	if err := copyFile(ctx, part, backupFile); err != nil {
		os.Remove(part)
		return "", fmt.Errorf("restore: %w", err)
	}
	// The copy, too, is checked: what was read may differ from what was checked.
	if _, err := CheckFile(ctx, part); err != nil {
		os.Remove(part)
		return "", fmt.Errorf("restore: the copy cannot be used: %w", err)
	}
	if _, err := os.Lstat(file); err == nil {
		base := file + ".before-restore-" + time.Now().UTC().Format("20060102T150405Z")
		aside = base
		for n := 2; ; n++ {
			if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
				break
			}
			aside = base + "-" + strconv.Itoa(n)
		}
		// The log goes with its database: a log beside another database file
		// would damage it. It moves last but is looked at first, so that a crash
		// in between leaves the new file absent, never paired with an old log.
		if err := os.Rename(file, aside); err != nil {
			return "", fmt.Errorf("restore: %w", err)
		}
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		err := os.Rename(file+suffix, aside+suffix)
		if aside == "" {
			err = os.Remove(file + suffix)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return aside, fmt.Errorf("restore: %w", err)
		}
	}
	if err := os.Rename(part, file); err != nil {
		return aside, fmt.Errorf("restore: %w", err)
	}
	return aside, syncDir(dataDir)
}

func copyFile(ctx context.Context, dst, src string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, readerOf(ctx, in)); err != nil {
		return err
	}
	return out.Sync()
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

func readerOf(ctx context.Context, r io.Reader) io.Reader {
	return reader(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

func syncPath(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir makes renames in a directory durable. Windows has no such call: its
// file system journals them itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

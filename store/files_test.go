package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STRATA_LOCK_DIR"); dir != "" {
		l, err := TryLock(dir)
		if err == nil {
			err = l.Publish(LockInfo{Socket: "sock", Address: "127.0.0.1:4000"})
		}
		fmt.Println("locked", err)
		time.Sleep(time.Minute) // it is killed long before
	}
	goleak.VerifyTestMain(m)
}

func TestALockEndsWithItsProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STRATA_LOCK_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var line [64]byte
	n, _ := out.Read(line[:])
	if got := string(line[:n]); got != "locked <nil>\n" {
		t.Fatalf("the child says %q", got)
	}
	var held *HeldError
	if _, err := TryLock(dir); !errors.Is(err, ErrHeld) || !errors.As(err, &held) || held.Info.PID != cmd.Process.Pid {
		t.Errorf("locking a held directory: %v", err)
	}
	if info, held, err := ReadLock(dir); err != nil || !held || info.Socket != "sock" || info.Address != "127.0.0.1:4000" || info.PID != cmd.Process.Pid {
		t.Errorf("ReadLock = %+v, %v, %v", info, held, err)
	}
	if _, err := Restore(context.Background(), backupOf(t), dir); !errors.Is(err, ErrHeld) {
		t.Errorf("restoring into a held directory: %v", err)
	}
	cmd.Process.Kill() // kill -9
	cmd.Wait()
	if info, held, err := ReadLock(dir); held || err != nil || info.PID != 0 {
		t.Errorf("after the kill: %+v, %v, %v", info, held, err)
	}
	l, err := TryLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Release(), l.Release()); err != nil {
		t.Error(err)
	}
	if _, held, _ := ReadLock(t.TempDir()); held {
		t.Error("an empty directory is held")
	}
}

func TestReadLockNeverKeepsAnotherFromLocking(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				ReadLock(dir)
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	for range 50 {
		l, err := TryLock(dir)
		if err != nil {
			t.Error(err)
			break
		}
		l.Release()
	}
	close(stop)
	wg.Wait()
}

func backupOf(t *testing.T) string {
	t.Helper()
	db := open(t, Options{})
	if err := set(db, true, "from the backup", "1"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	if err := db.Backup(context.Background(), file); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(context.Background(), file); !errors.Is(err, ErrExists) {
		t.Errorf("backing up over a file: %v", err)
	}
	return file
}

func TestABackupIsRestoredAndTheOldDatabaseKept(t *testing.T) {
	backup := backupOf(t)
	dir := t.TempDir()
	db, err := Open(context.Background(), Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := set(db, true, fmt.Sprint(i), "1"); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	aside, err := Restore(context.Background(), backup, dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, Options{Path: dir})); n != 1 {
		t.Errorf("%d rows restored, want 1", n)
	}
	if _, err := CheckFile(context.Background(), aside); err != nil {
		t.Errorf("the database kept aside: %v", err)
	}
	if aside, err := Restore(context.Background(), backup, filepath.Join(t.TempDir(), "new")); err != nil || aside != "" {
		t.Errorf("restoring into a new directory: %q, %v", aside, err)
	}
}

func TestWhatIsNoBackupIsNotRestored(t *testing.T) {
	good := backupOf(t)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte{}, data...)
	for i := 5000; i < 9000; i++ {
		damaged[i] ^= 0x5a
	}
	dir := t.TempDir()
	db, err := Open(context.Background(), Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	set(db, true, "mine", "1")
	db.Close()
	for name, content := range map[string][]byte{"text": []byte(strings.Repeat("not a database ", 100)), "damaged": damaged, "cut": data[:len(data)/2], "empty": {}} {
		file := filepath.Join(t.TempDir(), name)
		os.WriteFile(file, content, 0o600)
		if _, err := Restore(context.Background(), file, dir); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	if _, err := Restore(context.Background(), filepath.Join(dir, "nothing"), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if n := count(t, open(t, Options{Path: dir})); n != 1 {
		t.Errorf("the old database has %d rows, want 1", n)
	}
}

func TestADamagedDatabaseIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(context.Background(), Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		set(db, false, fmt.Sprint(i), strings.Repeat("x", 500))
	}
	db.Close()
	file := filepath.Join(dir, FileName)
	good, _ := os.ReadFile(file)
	for name, spoil := range map[string]func([]byte) []byte{
		"no database": func([]byte) []byte { return []byte(strings.Repeat("hello", 1000)) },
		"cut":         func(b []byte) []byte { return b[:len(b)/3] },
		"overwritten": func(b []byte) []byte {
			for i := 4096; i < len(b); i += 3 {
				b[i] = 0xff
			}
			return b
		},
	} {
		os.WriteFile(file, spoil(append([]byte{}, good...)), 0o600)
		db, err := Open(context.Background(), Options{Path: dir})
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "strata restore") {
			t.Errorf("%s: the error does not say what to do: %v", name, err)
		}
		if db != nil {
			db.Close()
		}
	}
}

func TestANewerSchemaIsRefusedAndAnOlderOneReadOnly(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(context.Background(), Options{Path: dir, ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading where nothing is: %v", err)
	}
	db, err := Open(context.Background(), Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	ro := open(t, Options{Path: dir, ReadOnly: true})
	if err := set(ro, true, "x", "1"); !errors.Is(err, ErrReadOnly) {
		t.Errorf("writing read-only: %v", err)
	}
	if err := set(db, true, "x", "1"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, ro); n != 1 {
		t.Errorf("a reader beside a writer sees %d rows, want 1", n)
	}
	version := func(n int) {
		db.Write(context.Background(), true, func(tx *Tx) error {
			_, err := tx.Exec(fmt.Sprint("PRAGMA user_version = ", n))
			return err
		})
	}
	version(SchemaVersion() - 1)
	if _, err := Open(context.Background(), Options{Path: dir, ReadOnly: true}); !errors.Is(err, ErrOlderSchema) {
		t.Errorf("an older schema, read-only: %v", err)
	}
	version(SchemaVersion() + 1)
	db.Close()
	if _, err := Open(context.Background(), Options{Path: dir}); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("a newer schema: %v", err)
	}
}

// A released schema file never changes: databases that have seen it would differ
// from new ones. Add a hash when a file is released; never change one.
func TestReleasedSchemas(t *testing.T) {
	list, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	released := map[string]string{
		"0001_first.sql": "1d7a3a23474be955ceac69faba82f90d727b976aa2ef6172953b5401fced81d6",
	}
	for _, m := range list {
		sum := sha256.Sum256([]byte(m.sql))
		if want, ok := released[m.name]; ok && hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s was changed; its hash is %x", m.name, sum)
		}
		delete(released, m.name)
	}
	if len(released) > 0 {
		t.Errorf("released schemas are missing: %v", released)
	}
}

func TestClosingAnswersEveryone(t *testing.T) {
	db, err := Open(context.Background(), Options{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			for j := range 20 {
				if err := set(db, j%2 == 0, fmt.Sprint(i, "-", j), "1"); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				db.Read(context.Background(), func(q Querier) error {
					var n int
					return q.QueryRow("SELECT count(*) FROM settings").Scan(&n)
				})
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := set(db, true, "late", "1"); !errors.Is(err, ErrClosed) {
		t.Errorf("writing after Close: %v", err)
	}
}

func TestACancelledWriteEitherRunsOrDoesNot(t *testing.T) {
	db := open(t, Options{})
	for i := range 200 {
		c, cancel := context.WithCancel(context.Background())
		go cancel()
		ran := false
		err := db.Write(c, false, func(tx *Tx) error {
			ran = true
			_, err := tx.Exec("INSERT INTO settings (name, value) VALUES (?, '')", fmt.Sprint(i))
			return err
		})
		if ran != (err == nil) {
			t.Fatalf("ran: %v, error: %v", ran, err)
		}
	}
}

func TestTheLogDoesNotGrowWithoutLimit(t *testing.T) {
	db := open(t, Options{})
	big := strings.Repeat("x", 20_000)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				if err := set(db, false, fmt.Sprint(w, "-", i), big); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	info, err := os.Stat(db.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(4 * checkpointFrames * 4120); info.Size() > limit {
		t.Errorf("after writing 80 MB the log has %d bytes, more than %d", info.Size(), limit)
	}
}

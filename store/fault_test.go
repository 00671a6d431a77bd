package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/stratahq/strata/store/faultfs"
)

// powerLoss writes from many goroutines, fails the power at a random moment,
// and says how many acknowledged durable writes are missing afterwards.
func powerLoss(t *testing.T, seed uint64, prepare func(*DB)) (lost int) {
	t.Helper()
	fs := faultfs.New()
	defer fs.Close()
	db, err := Open(context.Background(), Options{Path: t.TempDir(), VFS: fs.Name})
	if err != nil {
		t.Fatal(err)
	}
	prepare(db)
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	rng := rand.New(rand.NewPCG(seed, 1))
	after := 20 + rng.IntN(400)
	fail := make(chan struct{})
	var once sync.Once
	after0 := t.TempDir()
	var kept map[string]bool
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-fail:
					return
				default:
				}
				name := fmt.Sprintf("%d-%d", w, i)
				if err := set(db, true, name, string(make([]byte, 700))); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[name] = true
				if len(acked) == after {
					once.Do(func() {
						kept = map[string]bool{}
						for n := range acked {
							kept[n] = true
						}
						if err := fs.PowerLoss(rng, after0); err != nil {
							t.Error(err)
						}
						close(fail)
					})
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db2, err := Open(context.Background(), Options{Path: after0})
	if err != nil {
		if db.skipSync {
			return len(kept) // the file is not even a database
		}
		t.Fatalf("seed %d: opening after the power failure: %v", seed, err)
	}
	defer db2.Close()
	err = db2.Read(context.Background(), func(q Querier) error {
		rows, err := q.Query("SELECT name FROM settings")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var n string
			if err := rows.Scan(&n); err != nil {
				return err
			}
			delete(kept, n)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckFile(context.Background(), db2.Path()); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	return len(kept)
}

func TestPowerLossTakesNoDurableWrite(t *testing.T) {
	losses := uint64(12)
	if os.Getenv("STRATA_SOAK") != "" {
		losses = 200
	}
	for seed := range losses {
		if lost := powerLoss(t, seed, func(*DB) {}); lost > 0 {
			t.Errorf("seed %d: %d acknowledged writes are lost", seed, lost)
		}
	}
}

// Without the fsync the test above must fail, or it would prove nothing.
func TestPowerLossTestNoticesAMissingFsync(t *testing.T) {
	lost := 0
	for seed := range uint64(4) {
		lost += powerLoss(t, seed, func(db *DB) { db.skipSync = true })
	}
	if lost == 0 {
		t.Fatal("no write was lost although nothing was fsynced")
	}
}

func TestAFullDiskFailsWritesUntilThereIsSpace(t *testing.T) {
	fs := faultfs.New()
	defer fs.Close()
	db := open(t, Options{VFS: fs.Name})
	if err := set(db, true, "before", "1"); err != nil {
		t.Fatal(err)
	}
	fs.Full.Store(true)
	for i := range 3 {
		if err := set(db, true, fmt.Sprint("during", i), "1"); !errors.Is(err, ErrFull) {
			t.Errorf("on a full disk: %v, want ErrFull", err)
		}
	}
	if n := count(t, db); n != 1 {
		t.Errorf("reading on a full disk: %d rows, want 1", n)
	}
	fs.Full.Store(false)
	if err := set(db, true, "after", "1"); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	if n := count(t, db); n != 2 {
		t.Errorf("%d rows, want 2: what was refused must not appear", n)
	}
	dir := t.TempDir()
	if err := fs.PowerLoss(rand.New(rand.NewPCG(1, 1)), dir); err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, Options{Path: dir})); n != 2 {
		t.Errorf("%d rows after a power failure, want 2", n)
	}
}

func TestAfterAFailedFsyncNothingIsCalledDurableThatIsNot(t *testing.T) {
	fs := faultfs.New()
	defer fs.Close()
	db := open(t, Options{VFS: fs.Name})
	if err := set(db, true, "before", "1"); err != nil {
		t.Fatal(err)
	}
	fs.FailSyncs.Store(1)
	if err := set(db, true, "unlucky", "1"); !errors.Is(err, ErrNotDurable) {
		t.Fatalf("with a failing fsync: %v, want ErrNotDurable", err)
	}
	// The disk has dropped the frames of "unlucky" and will not say so again.
	// The store must not trust the log's next fsync.
	if err := set(db, true, "after", "1"); err != nil {
		t.Fatalf("after the disk works again: %v", err)
	}
	dir := t.TempDir()
	if err := fs.PowerLoss(rand.New(rand.NewPCG(2, 2)), dir); err != nil {
		t.Fatal(err)
	}
	lost := open(t, Options{Path: dir})
	if n := count(t, lost); n != 3 {
		t.Errorf("%d rows after a power failure, want 3", n)
	}
}

func TestALogThatCannotBeReadBackStopsWriting(t *testing.T) {
	fs := faultfs.New()
	defer fs.Close()
	db := open(t, Options{VFS: fs.Name})
	if err := set(db, true, "before", "1"); err != nil {
		t.Fatal(err)
	}
	l := db.files.log()
	if _, err := l.watched.File.File.WriteAt([]byte("damage"), 32+24+100); err != nil {
		t.Fatal(err)
	}
	l.mu.Unlock()
	fs.FailSyncs.Store(1)
	if err := set(db, true, "unlucky", "1"); !errors.Is(err, ErrNotDurable) {
		t.Fatalf("with a failing fsync: %v, want ErrNotDurable", err)
	}
	var err error
	for range 3 {
		err = set(db, true, "after", "1")
	}
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("with a damaged log: %v, want ErrCorrupt", err)
	}
}

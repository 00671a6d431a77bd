package ledger

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/store"
	"github.com/stratahq/strata/store/faultfs"
)

// powerLoss makes calls from many goroutines, fails the power at a random
// moment, and counts acknowledged settlements that are then missing.
func powerLoss(t *testing.T, seed uint64, lie bool) (lost int) {
	t.Helper()
	fs := faultfs.New()
	defer fs.Close()
	db, err := store.Open(ctx, store.Options{Path: t.TempDir(), VFS: fs.Name})
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(ctx, db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.SetBudget(ctx, Budget{KeyID: "key_1", Limit: 1_000_000, Period: PeriodTotal}); err != nil {
		t.Fatal(err)
	}
	fs.Lie.Store(lie)
	rng := rand.New(rand.NewPCG(seed, 3))
	stop := 10 + rng.IntN(300)
	after := t.TempDir()
	var mu sync.Mutex
	var acked, kept []string
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				c := makeCall(time.Now(), "acme", 30)
				_, err := l.Hold(ctx, Hold{CallID: c.ID, Time: c.Time, KeyID: c.KeyID, Customer: c.Customer, Amount: 50, Known: true, Call: c})
				if err == nil {
					err = l.Settle(ctx, c)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked = append(acked, c.ID)
				if len(acked) == stop {
					kept = append(kept, acked...)
					if err := fs.PowerLoss(rng, after); err != nil {
						t.Error(err)
					}
					close(done)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err = store.Open(ctx, store.Options{Path: after})
	if err != nil {
		if lie {
			return len(kept)
		}
		t.Fatalf("seed %d: %v", seed, err)
	}
	defer db.Close()
	l, err = New(ctx, db, Options{})
	if err != nil {
		if lie {
			return len(kept)
		}
		t.Fatalf("seed %d: %v", seed, err)
	}
	for _, id := range kept {
		if c, err := l.Call(ctx, id); errors.Is(err, ErrNotFound) || err == nil && c.Outcome != OutcomeOK {
			lost++
		} else if err != nil && !lie {
			t.Fatal(err)
		}
	}
	if v, err := l.Verify(ctx, nil); !lie && (err != nil || !v.OK || v.OpenHolds != 0) {
		t.Errorf("seed %d: verification after a power failure: %+v, %v", seed, v, err)
	}
	return lost
}

func TestPowerLossTakesNoSettledCall(t *testing.T) {
	losses := uint64(8)
	if os.Getenv("STRATA_SOAK") != "" {
		losses = 200
	}
	for seed := range losses {
		if lost := powerLoss(t, seed, false); lost > 0 {
			t.Errorf("seed %d: %d settled calls are lost", seed, lost)
		}
	}
}

// On a disk that does not write what it says it wrote, the test above must fail.
func TestThePowerLossTestNoticesAMissingFsync(t *testing.T) {
	lost := 0
	for seed := range uint64(3) {
		lost += powerLoss(t, seed, true)
	}
	if lost == 0 {
		t.Fatal("no call was lost although nothing was fsynced")
	}
}

func TestAFullDiskRefusesCallsAndKeepsTheBooks(t *testing.T) {
	fs := faultfs.New()
	defer fs.Close()
	f := &fixture{t: t, dir: t.TempDir(), now: at}
	var err error
	if f.db, err = store.Open(ctx, store.Options{Path: f.dir, VFS: fs.Name}); err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if f.Ledger, err = New(ctx, f.db, Options{Now: func() time.Time { return f.now }}); err != nil {
		t.Fatal(err)
	}
	f.budget(Budget{Customer: "acme", Limit: 100, Period: PeriodTotal})
	running := f.call("acme", 30)
	if err := f.hold(running, 40); err != nil {
		t.Fatal(err)
	}
	fs.Full.Store(true)
	for range 3 {
		err := f.hold(f.call("acme", 30), 40)
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, store.ErrFull) {
			t.Fatalf("hold on a full disk: %v", err)
		}
		if err := f.Settle(ctx, running); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("settle on a full disk: %v", err)
		}
	}
	fs.Full.Store(false)
	f.settle(running)
	c := f.call("other", 1)
	if err := f.hold(c, 1); err != nil {
		t.Fatal(err)
	}
	f.settle(c)
	if b := f.only(); b.Spent.String() != "0.00000000003" || !b.Held.IsZero() {
		t.Errorf("budget after the disk was full: spent %s, held %s", b.Spent, b.Held)
	}
	if v := f.verify(); v.Calls != 2 {
		t.Errorf("%d calls, want 2", v.Calls)
	}
}

func TestASettlementWhoseFsyncFailsCanBeRepeated(t *testing.T) {
	fs := faultfs.New()
	defer fs.Close()
	db, err := store.Open(ctx, store.Options{Path: t.TempDir(), VFS: fs.Name})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l, err := New(ctx, db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The first commit into an empty log syncs the log's head within the commit;
	// the fault is meant for the fsync that comes after one.
	if err := l.Settle(ctx, makeCall(at, "acme", 1)); err != nil {
		t.Fatal(err)
	}
	c := makeCall(at, "acme", 9)
	fs.FailSyncs.Store(1)
	if err := l.Settle(ctx, c); !errors.Is(err, ErrUnavailable) || !errors.Is(err, store.ErrNotDurable) {
		t.Fatalf("with a failing fsync: %v", err)
	}
	if err := l.Settle(ctx, c); err != nil {
		t.Fatalf("repeated: %v", err)
	}
	dir := t.TempDir()
	if err := fs.PowerLoss(rand.New(rand.NewPCG(1, 1)), dir); err != nil {
		t.Fatal(err)
	}
	db2, err := store.Open(ctx, store.Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db2.Close()
	s, err := Reader(db2, Options{}).Totals(ctx, Filter{})
	if err != nil || s.Calls != 2 {
		t.Fatalf("after a power failure: %+v, %v", s, err)
	}
}

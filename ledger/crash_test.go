package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

const (
	crashLimit = 400_000 // picodollars per customer
	crashBound = 100
	crashCost  = 60
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STRATA_CRASH_DIR"); dir != "" {
		crashChild(dir)
		return
	}
	code := m.Run()
	closeBig()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// crashChild makes calls until it is killed. It writes a line to standard
// output before each hold (H), after each (A) and after each settlement (S).
func crashChild(dir string) {
	db, err := store.Open(ctx, store.Options{Path: dir})
	if err != nil {
		fmt.Println("E", err)
		os.Exit(1)
	}
	l, err := New(ctx, db, Options{})
	if err != nil {
		fmt.Println("E", err)
		os.Exit(1)
	}
	l.ackEarly = os.Getenv("STRATA_CRASH_EARLY") != ""
	for i := range 3 {
		if os.Getenv("STRATA_CRASH_BUDGETS") != "" {
			if _, err := l.SetBudget(ctx, Budget{Customer: fmt.Sprint("c", i), Limit: crashLimit, Period: PeriodTotal}); err != nil {
				fmt.Println("E", err)
				os.Exit(1)
			}
		}
	}
	var mu sync.Mutex
	say := func(what, id string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(os.Stdout, what, id) // unbuffered: written before it returns
	}
	say("R", "ready")
	for w := range 64 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(w)))
			for {
				c := makeCall(time.Now(), fmt.Sprint("c", w%3), crashCost)
				say("H", c.ID)
				_, err := l.Hold(ctx, Hold{CallID: c.ID, Time: c.Time, KeyID: c.KeyID, Customer: c.Customer, Amount: crashBound, Known: true, Call: c})
				if errors.Is(err, ErrBudgetExceeded) {
					time.Sleep(time.Millisecond)
					continue
				}
				if err == nil {
					say("A", c.ID)
					time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond) // the upstream answers
					err = l.Settle(ctx, c)
				}
				if err != nil {
					say("E", err.Error())
					return
				}
				say("S", c.ID)
			}
		}()
	}
	select {}
}

// crash runs a child on dir, kills it at a random moment, and returns the ids
// whose holds and settlements it has acknowledged.
func crash(t *testing.T, rng *rand.Rand, dir string, env ...string) (held, settled map[string]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "STRATA_CRASH_DIR="+dir), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	held, settled = map[string]bool{}, map[string]bool{}
	r := bufio.NewReaderSize(out, 1<<20)
	var timer *time.Timer
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			break // a line that was cut off was not acknowledged
		}
		if err != nil {
			t.Fatal(err)
		}
		what, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "R":
			timer = time.AfterFunc(time.Duration(2+rng.IntN(120))*time.Millisecond, func() { cmd.Process.Kill() })
		case "A":
			held[id] = true
		case "S":
			settled[id] = true
		case "E":
			t.Errorf("the child reports: %s", id)
		}
	}
	if timer != nil {
		timer.Stop()
	}
	cmd.Process.Kill()
	cmd.Wait()
	return held, settled
}

// lostAfterCrash opens the database that a crash has left and counts what is wrong.
func lostAfterCrash(t *testing.T, dir string, held, settled map[string]bool) (missing, unresolved int) {
	t.Helper()
	db, err := store.Open(ctx, store.Options{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l, err := New(ctx, db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for id := range held {
		c, err := l.Call(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound) && settled[id]:
			missing++
		case errors.Is(err, ErrNotFound):
			unresolved++
		case err != nil:
			t.Fatal(err)
		case settled[id] && c.Outcome != OutcomeOK:
			missing++
		case c.Outcome == OutcomeRecovered && (c.CostKnown || c.Held != crashBound || c.Customer == "" || c.Model != "m"):
			t.Errorf("a recovered call is %+v", c)
		}
	}
	v, err := l.Verify(ctx, nil)
	if err != nil || !v.OK || !v.PostingsSum.IsZero() || v.OpenHolds != 0 {
		t.Fatalf("verification after a crash: %+v, %v", v, err)
	}
	list, err := l.Budgets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if b.Spent.AddSum(b.Held).Cmp(money.SumOf(b.Limit)) > 0 {
			t.Errorf("budget of %s: %s spent of %s", b.Customer, b.Spent, b.Limit)
		}
	}
	return missing, unresolved
}

// kills is how often the crash test kills: 20, or what STRATA_KILLS says.
func kills(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("STRATA_KILLS"))
	if err != nil {
		n = 20
	}
	if testing.Short() {
		n = min(n, 3)
	}
	return n
}

func TestKilledAtRandomMomentsItLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("STRATA_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("STRATA_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	held, settled := map[string]bool{}, map[string]bool{}
	interrupted := 0
	for i := range kills(t) {
		if i%50 == 0 { // checking grows with what is there
			dir = t.TempDir()
			held, settled = map[string]bool{}, map[string]bool{}
		}
		var env []string
		if i%50 == 0 {
			env = []string{"STRATA_CRASH_BUDGETS=1"}
		}
		h, s := crash(t, rng, dir, env...)
		for id := range h {
			held[id] = true
			if !s[id] {
				interrupted++
			}
		}
		for id := range s {
			if settled[id] {
				t.Errorf("call %s was acknowledged twice", id)
			}
			settled[id] = true
		}
		if missing, unresolved := lostAfterCrash(t, dir, held, settled); missing+unresolved > 0 {
			t.Fatalf("kill %d: %d acknowledged calls are missing, %d holds unresolved", i, missing, unresolved)
		}
	}
	if len(settled) == 0 || interrupted == 0 {
		t.Fatalf("%d calls settled, %d interrupted: the test tests nothing", len(settled), interrupted)
	}
	t.Logf("%d calls settled and %d interrupted in the last round", len(settled), interrupted)
}

// When Settle reports success before the commit, the test above must notice.
func TestTheCrashTestNoticesAnEarlyAcknowledgement(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 10 {
		dir := t.TempDir()
		held, settled := crash(t, rng, dir, "STRATA_CRASH_EARLY=1")
		if missing, _ := lostAfterCrash(t, dir, held, settled); missing > 0 {
			return
		}
	}
	t.Fatal("no call was missing although none waited for its commit")
}

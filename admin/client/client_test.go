package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// insides is what a server holds open on a data directory.
type insides struct {
	lock    *store.Lock
	db      *store.DB
	access  *access.Access
	ledger  *ledger.Ledger
	handler http.Handler
}

func openInsides(ctx context.Context, dir string) (*insides, error) {
	lock, err := store.TryLock(dir)
	if err != nil {
		return nil, err
	}
	s := &insides{lock: lock}
	if s.db, err = store.Open(ctx, store.Options{Path: dir}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.ledger, err = ledger.New(ctx, s.db, ledger.Options{}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.access, err = access.New(s.db, access.Options{RequireKeys: true}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.handler = admin.New(admin.Deps{Ledger: s.ledger, Access: s.access, DB: s.db, Book: price.Catalog, BackupDir: filepath.Join(dir, "backups")})
	return s, nil
}

func (s *insides) Close() error {
	var errs []error
	if s.access != nil {
		errs = append(errs, s.access.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.lock.Release())...)
}

// offline is what server.OpenOffline does for commands.
func offline(dir string) func(ctx context.Context) (http.Handler, io.Closer, error) {
	return func(ctx context.Context) (http.Handler, io.Closer, error) {
		s, err := openInsides(ctx, dir)
		if err != nil {
			return nil, nil, err
		}
		return s.handler, s, nil
	}
}

func forbidden(t *testing.T) func(ctx context.Context) (http.Handler, io.Closer, error) {
	return func(context.Context) (http.Handler, io.Closer, error) {
		t.Error("the directory was opened beside a running server")
		return nil, nil, errors.New("forbidden")
	}
}

// serve runs a server's admin socket on a data directory.
func serve(t *testing.T, dir string) (*insides, func()) {
	t.Helper()
	s, err := openInsides(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(short, "a.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: admin.Trusted(s.handler)}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	if err := s.lock.Publish(store.LockInfo{Socket: socket, Address: "127.0.0.1:4000"}); err != nil {
		t.Fatal(err)
	}
	return s, func() {
		server.Close()
		<-done
		os.RemoveAll(short)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func dial(t *testing.T, dir string, open func(ctx context.Context) (http.Handler, io.Closer, error)) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir, open)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var callNumber atomic.Int64

func settle(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	id := fmt.Sprintf("01936000-0000-7000-8000-%012d", callNumber.Add(1))
	c := &ledger.Call{ID: id, Root: id, Time: time.Now(), Duration: time.Second, Customer: "acme", Op: model.OpChat, Model: "m", ServedModel: "m", Provider: "p", Upstream: "u",
		Outcome: ledger.OutcomeOK, Status: 200, Usage: &model.Usage{}}
	c.Usage.Count[model.Input] = 1_000_000
	if err := l.Record(context.Background(), c); err != nil {
		t.Error(err)
	}
}

// TestBothWays runs every method against a running server and in-process.
func TestBothWays(t *testing.T) {
	for _, way := range []string{"running", "in-process"} {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			var c *Client
			var l *ledger.Ledger
			if way == "running" {
				s, stop := serve(t, dir)
				defer stop()
				l = s.ledger
				c = dial(t, dir, forbidden(t))
			} else {
				c = dial(t, dir, func(ctx context.Context) (http.Handler, io.Closer, error) {
					s, err := openInsides(ctx, dir)
					if err != nil {
						return nil, nil, err
					}
					l = s.ledger
					return s.handler, s, nil
				})
			}
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			if c.Running() != (way == "running") {
				t.Errorf("running is %t", c.Running())
			}
			everyMethod(t, c, l)
		})
	}
}

func everyMethod(t *testing.T, c *Client, l *ledger.Ledger) {
	ctx := t.Context()
	fail := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for range 5 {
		settle(t, l)
	}
	key, err := c.CreateKey(ctx, admin.KeySpec{Name: "n", Customer: "acme"})
	fail("create key", err)
	on := true
	_, err = c.UpdateKey(ctx, key.ID, admin.KeyChange{LogContent: &on})
	fail("update key", err)
	if keys, err := c.Keys(ctx); err != nil || len(keys) != 1 || !keys[0].LogContent {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	limit := money.Pico(money.PicoPerUSD)
	b, err := c.SetBudget(ctx, admin.BudgetSpec{Key: key.ID, LimitUSD: &limit, Period: "day", Mode: "hard"})
	fail("set budget", err)
	if list, err := c.Budgets(ctx); err != nil || len(list) != 1 || list[0].ID != b.ID {
		t.Errorf("budgets: %+v, %v", list, err)
	}
	fail("delete budget", c.DeleteBudget(ctx, b.ID))
	if k, err := c.RevokeKey(ctx, key.ID); err != nil || k.Revoked == nil {
		t.Errorf("revoke: %+v, %v", k, err)
	}
	n := 0
	fail("each call", c.EachCall(ctx, url.Values{"limit": {"2"}}, func(*admin.Call) error { n++; return nil }))
	if n != 5 {
		t.Errorf("each call: %d of 5", n)
	}
	list, err := c.Calls(ctx, url.Values{"limit": {"1"}})
	fail("calls", err)
	if d, err := c.CallDetail(ctx, list.Calls[0].ID); err != nil || d.ID != list.Calls[0].ID {
		t.Errorf("detail: %v", err)
	}
	if s, err := c.Spend(ctx, url.Values{"by": {"model"}}); err != nil || len(s.Groups) != 1 || s.Groups[0].UnknownCostCalls != 5 {
		t.Errorf("spend: %+v, %v", s, err)
	}
	_, err = c.Series(ctx, url.Values{"step": {"hour"}})
	fail("series", err)
	_, err = c.Latency(ctx, nil)
	fail("latency", err)
	_, err = c.Prices(ctx, url.Values{"q": {"gpt-4o"}})
	fail("prices", err)
	_, err = c.Models(ctx)
	fail("models", err)
	_, err = c.Status(ctx)
	fail("status", err)
	_, err = c.Audit(ctx, nil)
	fail("audit", err)
	link, err := c.AdminLink(ctx)
	if err != nil || !strings.Contains(link.Path, "code=login-") {
		t.Errorf("admin link: %+v, %v", link, err)
	}
	v, err := c.Verify(ctx, nil)
	if err != nil || !v.OK || v.Calls != 5 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	told := int64(0)
	r, err := c.Reprice(ctx, admin.RepriceRequest{Prices: "m: {input: 1 USD/Mtok}"}, func(done, _ int64) { told = done })
	if err != nil || r.NowKnown != 5 || r.CostAfter.String() != "5" || told != 5 {
		t.Errorf("reprice: %+v, %v, progress %d", r, err, told)
	}
	backup, err := c.Backup(ctx, filepath.Join(t.TempDir(), "b.db"))
	if err != nil || backup.Bytes == 0 {
		t.Errorf("backup: %+v, %v", backup, err)
	}
	made, err := c.CreateSampleData(ctx)
	fail("sample data", err)
	if erased, err := c.EraseSampleData(ctx); err != nil || erased.Calls != made.Calls {
		t.Errorf("erased %d of %d, %v", erased.Calls, made.Calls, err)
	}
	_, err = c.CallDetail(ctx, "01936000-0000-7000-8000-999999999999")
	var refused *Error
	if !errors.As(err, &refused) || refused.Status != 404 || refused.Code != "not_found" || !errors.Is(err, &Error{Code: "not_found"}) {
		t.Errorf("an unknown call: %v", err)
	}
	_, err = c.Calls(ctx, url.Values{"colour": {"red"}})
	if !errors.As(err, &refused) || refused.Status != 400 || refused.Param != "colour" {
		t.Errorf("an unknown parameter: %v", err)
	}
	_, err = c.Reprice(ctx, admin.RepriceRequest{Book: "none"}, nil)
	if !errors.As(err, &refused) || refused.Param != "book" {
		t.Errorf("a bad reprice: %v", err)
	}
	liveCalls(t, c, l)
}

func liveCalls(t *testing.T, c *Client, l *ledger.Ledger) {
	enough := errors.New("enough")
	got := make(chan int64, 10)
	result := make(chan error, 1)
	go func() {
		result <- c.Live(t.Context(), url.Values{"customer": {"acme"}}, func(call *admin.Call) error {
			got <- call.Seq
			if len(got) == 3 {
				return enough
			}
			return nil
		})
	}()
	// Calls settle until three have come; those before the connection do not count.
	deadline := time.After(10 * time.Second)
	for {
		settle(t, l)
		select {
		case err := <-result:
			if !errors.Is(err, enough) {
				t.Errorf("live: %v", err)
			}
			if a, b, c := <-got, <-got, <-got; b != a+1 || c != b+1 {
				t.Errorf("live: %d %d %d", a, b, c)
			}
			return
		case <-deadline:
			t.Fatal("no live calls within 10 s")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestStaleLeftovers: what a killed server leaves behind is not taken for a
// running one.
func TestStaleLeftovers(t *testing.T) {
	dir := t.TempDir()
	info := `{"pid":999999,"socket":"` + filepath.Join(dir, "gone.sock") + `","address":"127.0.0.1:4000"}`
	if err := os.WriteFile(filepath.Join(dir, store.LockName), []byte(info), 0o600); err != nil {
		t.Fatal(err)
	}
	// A socket file that nobody listens on, as kill -9 leaves it.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "gone.sock")})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	start := time.Now()
	c := dial(t, dir, offline(dir))
	if c.Running() || time.Since(start) > 3*time.Second {
		t.Errorf("running %t after %v", c.Running(), time.Since(start))
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestTwoCommandsAtOnce: the second waits for the first.
func TestTwoCommandsAtOnce(t *testing.T) {
	dir := t.TempDir()
	first := dial(t, dir, offline(dir))
	done := make(chan error, 1)
	go func() {
		second, err := Dial(context.Background(), dir, offline(dir))
		if err == nil {
			_, err = second.Status(context.Background())
			err = errors.Join(err, second.Close())
		}
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("the second command: %v", err)
	}
}

// TestHeldForLong: a holder that neither answers nor goes away is named.
func TestHeldForLong(t *testing.T) {
	dir := t.TempDir()
	lock, err := store.TryLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, dir, offline(dir)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a short deadline: %v", err)
	}
	if testing.Short() {
		t.Skip("the rest waits 5 s")
	}
	if _, err := Dial(t.Context(), dir, offline(dir)); !errors.Is(err, store.ErrHeld) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("%v", err)
	}
}

func TestErrorsOfOpeningAreNotRetried(t *testing.T) {
	broken := errors.New("the configuration is wrong")
	tries := 0
	_, err := Dial(t.Context(), t.TempDir(), func(context.Context) (http.Handler, io.Closer, error) {
		tries++
		return nil, nil, broken
	})
	if !errors.Is(err, broken) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

func TestHandlerThatPanicsCutsItsAnswer(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			w.Write([]byte(`{"calls":`))
		}
		panic(http.ErrAbortHandler)
	})
	c := inProcess(h, nil)
	defer c.Close()
	for _, path := range []string{"/early", "/late"} {
		var out map[string]any
		if err := c.Get(t.Context(), path, nil, &out); err == nil {
			t.Errorf("%s: half an answer was taken for a whole one", path)
		}
	}
}

package local

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/artifact"
)

// waitState waits until the engine is in a state.
func waitState(t *testing.T, e *Engine, want State, limit time.Duration) Status {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		s := e.Status()
		if s.State == want {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("after %v the state is %q, not %q: %+v", limit, s.State, want, s)
		}
	}
}

func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestChildKilled kills the child amid requests: each fails with 503 and may be
// retried, requests meanwhile get 503, and a new child answers.
func TestChildKilled(t *testing.T) {
	e := ready(t, start(t, Config{Path: stories, Threads: 1}))
	want := collect(t, e, complete("Once upon a time", 20)).Text()
	first := e.Status().PID
	var wg sync.WaitGroup
	began := make(chan struct{}, 16)
	for range 6 {
		wg.Go(func() {
			var sent bool
			for _, err := range e.Generate(t.Context(), complete("Once", 2000, func(c *model.Completion) { c.N, c.LogitBias = 64, map[string]float64{"1": -100, "2": -100} })) {
				if !sent {
					began <- struct{}{}
					sent = true
				}
				if err == nil {
					continue
				}
				me := model.AsError(err)
				if me.Status != 503 || me.Code != model.CodeUnavailable || !me.Retryable || me.RetryAfter == 0 || strings.Contains(me.Message, "signal") {
					t.Errorf("got %+v", me)
				}
				return
			}
			t.Error("a request survived its process", whenSent(sent))
		})
	}
	<-began
	kill(t, first)
	wg.Wait()
	if _, err := model.Collect(e.Generate(t.Context(), complete("x", 1))); err != nil {
		if me := model.AsError(err); me.Status != 503 || !me.Retryable {
			t.Errorf("meanwhile: %+v", me)
		}
	}
	waitRestarts(t, e, 1)
	if got := collect(t, e, complete("Once upon a time", 20)).Text(); got != want {
		t.Errorf("before %q, after %q", want, got)
	}
	s := e.Status()
	if s.PID == first || s.Restarts != 1 {
		t.Errorf("got %+v", s)
	}
	// Once more: a row of deaths still recovers.
	kill(t, s.PID)
	waitRestarts(t, e, 2)
	collect(t, e, complete("Once", 2))
}

// waitRestarts waits until the engine is ready again after its nth restart. (A
// killed child is noticed a moment after the kill, so ready alone says little.)
func waitRestarts(t *testing.T, e *Engine, n int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s := e.Status(); s.Restarts == n && s.State == StateReady {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no restart %d: %+v", n, e.Status())
		}
	}
}

func whenSent(sent bool) string {
	if sent {
		return "(after its first event)"
	}
	return "(before any event)"
}

// TestBadFiles: damaged files are refused with the reason and without a child
// that dies again and again; when the file is mended, the engine comes up.
func TestBadFiles(t *testing.T) {
	good, err := os.ReadFile(stories)
	if err != nil {
		t.Fatal(err)
	}
	// A file whose header is in order but whose vocabulary type llama.cpp does
	// not know.
	strange := bytes.Replace(good, []byte("\x05\x00\x00\x00\x00\x00\x00\x00llama"), []byte("\x05\x00\x00\x00\x00\x00\x00\x00lxama"), 1)
	if bytes.Equal(strange, good) {
		t.Fatal("nothing replaced")
	}
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"garbage":              {bytes.Repeat([]byte("no model "), 1000), "instead of GGUF"},
		"truncated":            {good[:len(good)/2], "truncated"},
		"empty":                {nil, "0 bytes"},
		"no tokenizer":         {bytes.Replace(good, []byte("tokenizer.ggml.tokens"), []byte("tokenizer.ggml.tokenz"), 1), "no tokenizer"},
		"unknown architecture": {strange, "cannot load"},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempFile(t, "bad.gguf", c.data)
			e := start(t, Config{Path: path, Threads: 1})
			s := waitState(t, e, StateFailed, 30*time.Second)
			if !strings.Contains(s.Detail, c.says) || !strings.Contains(s.Detail, path) {
				t.Errorf("the detail %q does not say %q", s.Detail, c.says)
			}
			_, err := model.Collect(e.Generate(t.Context(), complete("x", 1)))
			me := model.AsError(err)
			if me == nil || me.Status != 503 || me.Code != model.CodeUnavailable || me.Retryable || strings.Contains(me.Message, path) {
				t.Errorf("got %+v", me)
			}
			if name != "truncated" {
				return
			}
			if err := os.WriteFile(path, good, 0o644); err != nil {
				t.Fatal(err)
			}
			waitState(t, e, StateReady, 30*time.Second)
			collect(t, e, complete("Once", 2))
		})
	}
}

// TestChildDiesLoading: a child that dies while loading is tried a few times,
// with pauses, and then no more.
func TestChildDiesLoading(t *testing.T) {
	e, err := New(Config{Path: stories, Libraries: t.TempDir()}, Deps{Command: []string{os.Args[0], deadChildArg}})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(context.Background())
	defer e.Close()
	s := waitState(t, e, StateFailed, 30*time.Second)
	if s.Restarts != maxStillborn-1 || s.PID != 0 || !strings.Contains(s.Detail, "GGML_ASSERT(false) failed") {
		t.Errorf("got %+v", s)
	}
	time.Sleep(300 * time.Millisecond)
	if again := e.Status(); again.Restarts != s.Restarts || again.State != StateFailed {
		t.Errorf("it goes on: %+v", again)
	}
}

// TestKilledAgainAndAgain: children of a model that was served once are started
// again however often they die, also while they load.
func TestKilledAgainAndAgain(t *testing.T) {
	e := start(t, Config{Path: stories, Threads: 1})
	last := waitState(t, e, StateReady, 30*time.Second).PID
	for range maxStillborn + 2 {
		kill(t, last)
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if s := e.Status(); s.PID != 0 && s.PID != last {
				last = s.PID
				break
			} else if s.State == StateFailed {
				t.Fatalf("it was given up: %+v", s)
			}
			if time.Now().After(end) {
				t.Fatalf("no new child: %+v", e.Status())
			}
		}
	}
	waitState(t, e, StateReady, 30*time.Second)
	collect(t, e, complete("Once", 2))
}

func TestMissingLibraries(t *testing.T) {
	e, err := New(Config{Path: stories, Libraries: t.TempDir()}, Deps{Command: childCommand()})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(context.Background())
	defer e.Close()
	s := waitState(t, e, StateFailed, 30*time.Second)
	if !strings.Contains(s.Detail, "libraries") || !strings.Contains(s.Detail, "strata model check") {
		t.Errorf("got %q", s.Detail)
	}
}

// TestMissingFilesAppear: without files and network the engine says what to do,
// and comes up by itself once the files are there.
func TestMissingFilesAppear(t *testing.T) {
	libs := fetched(t, artifact.Libraries())
	weights := fetched(t, artifact.Weights())
	dir := t.TempDir()
	e, err := New(Config{Libraries: libs, Offline: true, Threads: 1, Context: 256, Parallel: 1}, Deps{Command: childCommand(), CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(context.Background())
	defer e.Close()
	s := waitState(t, e, StateMissing, 10*time.Second)
	if !strings.Contains(s.Detail, "strata model pull") {
		t.Errorf("got %q", s.Detail)
	}
	_, err = model.Collect(e.Generate(t.Context(), chat("x", 1)))
	if me := model.AsError(err); me == nil || me.Status != 503 || !strings.Contains(me.Message, "strata model pull") {
		t.Errorf("got %v", err)
	}
	if _, err := artifact.Pull(t.Context(), artifact.Weights(), artifact.Options{Dir: dir, From: []string{weights}, Offline: true}); err != nil {
		t.Fatal(err)
	}
	waitState(t, e, StateReady, 60*time.Second)
}

// TestReadySoon: with cached files the engine answers within 3 seconds. (Beside
// other work on few cores there is no telling; the loaded time is stated.)
func TestReadySoon(t *testing.T) {
	fetched(t, artifact.Weights())
	began := time.Now()
	e := ready(t, start(t, Config{Threads: 1}))
	t.Logf("ready after %v, of which loading %v; %.0f tokens/s", time.Since(began), e.Status().Loaded, e.Status().TokensPerSecond)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("ready only after %v", took)
	}
	if s := e.Status(); s.TokensPerSecond <= 0 || s.Context != DefaultContext || s.Parallel != DefaultParallel || s.Template != "gguf" {
		t.Errorf("got %+v", s)
	}
}

// TestParentKilled kills a parent and expects its child to end too.
func TestParentKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals")
	}
	libs := fetched(t, artifact.Libraries())
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperParent$")
	pidFile := filepath.Join(t.TempDir(), "pid")
	cmd.Env = append(os.Environ(), "STRATA_HELPER_PARENT="+pidFile, "STRATA_HELPER_LIBS="+libs)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var pid string
	for end := time.Now().Add(30 * time.Second); pid == ""; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(pidFile)
		pid = string(b)
		if time.Now().After(end) {
			t.Fatal("the parent did not get ready")
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if exec.Command("kill", "-0", pid).Run() != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the child %s outlives its parent", pid)
		}
	}
}

// TestHelperParent is the parent of TestParentKilled: it keeps a child busy
// until it is killed.
func TestHelperParent(t *testing.T) {
	pidFile := os.Getenv("STRATA_HELPER_PARENT")
	if pidFile == "" {
		return
	}
	e, err := New(Config{Path: stories, Libraries: os.Getenv("STRATA_HELPER_LIBS"), Threads: 1}, Deps{Command: childCommand()})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(context.Background())
	ready(t, e)
	pid := e.Status().PID
	for range 4 {
		go model.Collect(e.Generate(context.Background(), complete("Once", 500)))
	}
	if err := os.WriteFile(pidFile+".tmp", []byte(strconv.Itoa(pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Rename(pidFile+".tmp", pidFile)
	time.Sleep(time.Minute)
}

// TestQueueFull: more requests than slots and queue hold are refused at once.
func TestQueueFull(t *testing.T) {
	e := ready(t, start(t, Config{Path: stories, Threads: 1, Parallel: 1, Queue: 2}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	endless := complete("Once", 2000, func(c *model.Completion) { c.N, c.LogitBias = 64, map[string]float64{"1": -100, "2": -100} })
	var wg sync.WaitGroup
	began := make(chan struct{})
	wg.Go(func() {
		first := true
		for range e.Generate(ctx, endless) {
			if first {
				close(began)
				first = false
			}
		}
	})
	<-began
	// The one place is taken until the test ends: of 11 more, 2 can wait.
	results := make(chan *model.Error, 11)
	for range 11 {
		wg.Go(func() {
			for _, err := range e.Generate(ctx, endless) {
				results <- model.AsError(err)
				return
			}
			results <- nil
		})
	}
	refused := 0
	for range 9 {
		select {
		case me := <-results:
			if me == nil || me.Status != 503 || !me.Retryable || !strings.Contains(me.Message, "queue") {
				t.Errorf("got %v, want a refusal because the queue is full", me)
			}
			refused++
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of 11 were refused", refused)
		}
	}
	cancel()
	wg.Wait()
	for range 2 {
		if me := <-results; me != nil && strings.Contains(me.Message, "queue") {
			t.Errorf("a third was refused: %v", me)
		}
	}
}

func TestCloseAmidRequests(t *testing.T) {
	e := ready(t, start(t, Config{Path: stories, Threads: 1}))
	endless := func(c *model.Completion) { c.N, c.LogitBias = 64, map[string]float64{"1": -100, "2": -100} }
	began, done := make(chan struct{}), make(chan error, 1)
	go func() {
		first := true
		var last error
		for _, err := range e.Generate(context.Background(), complete("Once", 2000, endless)) {
			if first {
				close(began)
				first = false
			}
			last = err
		}
		done <- last
	}()
	<-began
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if me := model.AsError(<-done); me == nil || me.Status != 503 {
		t.Errorf("got %v", me)
	}
	if s := e.Status(); s.State != StateOff || s.PID != 0 {
		t.Errorf("got %+v", s)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

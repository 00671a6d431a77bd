package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/artifact"
	"github.com/stratahq/strata/model/local/engine"
)

// childArg makes the test binary act as the child process, and deadChildArg as
// one that dies at once, as native code does on a file that it cannot stand.
const (
	childArg     = "engine-child"
	deadChildArg = "engine-dead-child"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		if err := engine.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == deadChildArg {
		fmt.Fprintln(os.Stderr, "llama.cpp:1: GGML_ASSERT(false) failed")
		os.Exit(134)
	}
	code := m.Run()
	shared.close()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// stories is the small model that stands beside the tests.
const stories = "testdata/stories260K.gguf"

// fetched pulls an artifact into the user's cache, through the package clients
// when it is not there. In CI a failure is a failure.
func fetched(t testing.TB, a *artifact.Artifact) string {
	t.Helper()
	if !engine.Built {
		t.Skip("no engine on this platform")
	}
	path, err := artifact.Pull(t.Context(), a, artifact.Options{})
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

func childCommand() []string { return []string{os.Args[0], childArg} }

// start runs an engine of its own for a test.
func start(t testing.TB, cfg Config) *Engine {
	t.Helper()
	cfg.Libraries = fetched(t, artifact.Libraries())
	e, err := New(cfg, Deps{Command: childCommand()})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(context.Background())
	t.Cleanup(func() { e.Close() })
	return e
}

func ready(t testing.TB, e *Engine) *Engine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := e.WaitReady(ctx); err != nil {
		t.Fatalf("not ready: %v; status %+v", err, e.Status())
	}
	return e
}

// shared are engines that several tests use: starting one costs half a second.
var shared sharedEngines

type sharedEngines struct {
	mu      sync.Mutex
	engines map[string]*Engine
}

func (s *sharedEngines) get(t testing.TB, name string, cfg Config) *Engine {
	t.Helper()
	cfg.Libraries = fetched(t, artifact.Libraries())
	if cfg.Path == "" {
		fetched(t, artifact.Weights())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.engines[name]; e != nil {
		return ready(t, e)
	}
	e, err := New(cfg, Deps{Command: childCommand()})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(context.Background())
	if s.engines == nil {
		s.engines = map[string]*Engine{}
	}
	s.engines[name] = e
	return ready(t, e)
}

func (s *sharedEngines) close() {
	for _, e := range s.engines {
		e.Close()
	}
}

// smol is the bundled model and tales the small one, each shared.
func smol(t testing.TB) *Engine { return shared.get(t, "smol", Config{Context: 2048, Threads: 1}) }
func tales(t testing.TB) *Engine {
	return shared.get(t, "tales", Config{Path: stories, Context: 512, Threads: 1})
}

func ptr[T any](v T) *T { return &v }

// chat is a request with one user message, greedy unless changed.
func chat(text string, max int, change ...func(*model.Chat)) *model.Request {
	c := &model.Chat{Messages: []model.Message{model.UserMessage(text)}}
	c.MaxTokens, c.Temperature = ptr(max), ptr(0.0)
	for _, f := range change {
		f(c)
	}
	return &model.Request{Op: model.OpChat, Chat: c}
}

// complete is a raw prompt, greedy unless changed.
func complete(text string, max int, change ...func(*model.Completion)) *model.Request {
	c := &model.Completion{Prompts: []string{text}}
	c.MaxTokens, c.Temperature = ptr(max), ptr(0.0)
	for _, f := range change {
		f(c)
	}
	return &model.Request{Op: model.OpComplete, Completion: c}
}

func embedding(texts ...string) *model.Request {
	return &model.Request{Op: model.OpEmbed, Embedding: &model.Embedding{Inputs: texts}}
}

func collect(t testing.TB, e *Engine, req *model.Request) *model.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := model.Collect(e.Generate(ctx, req))
	if err != nil {
		t.Fatalf("%v (cause %v)", err, model.AsError(err).Err)
	}
	if !r.Ended || r.Usage == nil {
		t.Fatalf("the reply ended %v with usage %v", r.Ended, r.Usage)
	}
	return r
}

func tempFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

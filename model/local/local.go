// Package local is the embedded engine: a small real language model that
// answers with no key, no account and no network once its files are cached.
//
// The model runs in llama.cpp, inside a child process of this same binary
// (`strata engine`), so that a native crash ends only the child: the gateway
// answers 503 while a new child starts, and never dies with it. Parent and child
// speak the framed messages of package proto over the child's standard input
// and output; the child exits when its standard input closes, which is also what
// happens when the parent is killed.
//
// Package artifact fetches the two files that the engine needs (weights and
// libraries), and package engine is the child's side.
package local

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ModuleID is the id under which configurations name this module.
const ModuleID = "provider.local"

// Defaults of a [Config].
const (
	// DefaultContext is the context length in tokens per request. The bundled
	// model was trained on 8,192; half of it keeps the memory of four parallel
	// requests under 400 MB.
	DefaultContext = 4096
	// DefaultParallel is how many requests are decoded together.
	DefaultParallel = 4
	// DefaultQueue is how many requests may wait for a slot.
	DefaultQueue = 256
)

// Config configures the engine (module provider.local). The zero value serves
// the bundled model with defaults.
type Config struct {
	// Path is a GGUF file to serve. Empty means the bundled model
	// (SmolLM2-135M-Instruct), which is fetched when it is not cached.
	Path string `yaml:"path"`
	// Libraries is a directory with llama.cpp's shared libraries. Empty means
	// the pinned build for this platform, which is fetched when not cached.
	Libraries string `yaml:"libraries"`
	// Threads is how many threads compute. 0 means one per physical core.
	Threads int `yaml:"threads"`
	// Context is the context length in tokens of each request: prompt and
	// answer together. 0 means 4096, or what the model was trained on when that
	// is less.
	Context int `yaml:"context"`
	// Parallel is how many requests are decoded together (continuous batching);
	// memory for the context is reserved for each. 0 means 4.
	Parallel int `yaml:"parallel"`
	// Queue is how many further requests may wait; one more is refused with 503.
	// 0 means 256.
	Queue int `yaml:"queue"`
	// GPULayers is how many layers to move to a GPU where the libraries support
	// one. 0 means none; -1 means all.
	GPULayers int `yaml:"gpu_layers"`
	// Offline forbids fetching: only cached files are used.
	Offline bool `yaml:"offline"`
}

// Validate checks the ranges of the fields.
func (c *Config) Validate() error {
	switch {
	case c.Threads < 0 || c.Threads > 1024:
		return fmt.Errorf("threads: %d is outside 0 to 1024 (0 means one per physical core)", c.Threads)
	case c.Context < 0 || c.Context > 1<<21 || c.Context > 0 && c.Context < 64:
		return fmt.Errorf("context: %d is outside 64 to 2097152 tokens (0 means %d)", c.Context, DefaultContext)
	case c.Parallel < 0 || c.Parallel > 64:
		return fmt.Errorf("parallel: %d is outside 0 to 64 (0 means %d)", c.Parallel, DefaultParallel)
	case c.Queue < 0 || c.Queue > 1<<20:
		return fmt.Errorf("queue: %d is outside 0 to 1048576 (0 means %d)", c.Queue, DefaultQueue)
	case c.GPULayers < -1 || c.GPULayers > 100000:
		return fmt.Errorf("gpu_layers: %d is outside -1 to 100000 (-1 means all)", c.GPULayers)
	}
	return nil
}

// Name is the name under which the model is served: "smollm2" for the bundled
// model, or the file's name without its extension.
func (c *Config) Name() string {
	if c.Path == "" {
		return "smollm2"
	}
	base := filepath.Base(c.Path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// Deps are what an engine needs from its surroundings. The zero value works in
// the strata binary.
type Deps struct {
	Log *slog.Logger
	Now func() time.Time
	// Command starts the child; nil means this executable with the argument
	// "engine". Tests use their own binary.
	Command []string
	// CacheDir holds the fetched files; "" means [artifact.CacheDir].
	CacheDir string
	// OnFetch, when set, is told the progress of fetching in bytes, with the
	// name of the artifact and the source in use. Total is the size of all that
	// is fetched.
	OnFetch func(name, source string, fetched, total int64)
}

func (d *Deps) fill() error {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if len(d.Command) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("local engine: this program cannot find its own file, which it needs to start the engine: %w", err)
		}
		d.Command = []string{exe, "engine"}
	}
	return nil
}

// State is the state of the engine, as in admin.EngineStatus.
type State string

// The states.
const (
	StateOff        State = "off"        // not started, or closed
	StateMissing    State = "missing"    // files are neither cached nor could be fetched
	StateFetching   State = "fetching"   // files are being fetched
	StateStarting   State = "starting"   // the child is loading the model
	StateReady      State = "ready"      // answers
	StateRestarting State = "restarting" // the child died; another will start
	StateFailed     State = "failed"     // the model cannot be served; see Detail
)

// Status is a snapshot of the engine.
type Status struct {
	State State
	// Model is the served name, and File the GGUF file ("" until it is known).
	Model, File string
	// Detail says for people what is wrong and what to do; "" when all is well.
	Detail string
	// Fetched and Total are bytes while files are being fetched.
	Fetched, Total int64
	// TokensPerSecond is measured output throughput of one request: from real
	// traffic once there was some, else from the short measurement at start.
	// 0 before any measurement.
	TokensPerSecond float64
	// Context is the context length per request and ContextTrained what the
	// model was trained on, in tokens; 0 until ready.
	Context, ContextTrained int
	Parallel, Threads       int
	// Active and Queued count requests.
	Active, Queued int
	// Restarts counts how often a child was replaced after it died.
	Restarts int
	// PID is the child's process id; 0 when there is none.
	PID int
	// Template says where the chat template comes from: "gguf" or
	// "builtin:NAME", with the reason in Detail of the log.
	Template string
	// Loaded is how long the child took from start to ready.
	Loaded time.Duration
}

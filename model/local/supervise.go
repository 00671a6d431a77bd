package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stratahq/strata/model/local/artifact"
	"github.com/stratahq/strata/model/local/gguf"
	"github.com/stratahq/strata/model/local/proto"
)

// Timing of the supervisor.
const (
	// loadTimeout bounds the loading of a model. Large files on slow disks need
	// minutes.
	loadTimeout = 10 * time.Minute
	// firstBackoff and maxBackoff bound the pause before a new child; it
	// doubles with each death in a row.
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
	// proven is how long a child must have lived to end a row of deaths.
	proven = time.Minute
	// maxStillborn is how many children may die in a row while loading before
	// the model counts as one that cannot be served. A model that was ready once
	// is no such: its children die of something else, which may pass.
	maxStillborn = 3
	// revive is how long after that another child is tried, in case it was not
	// the model that they died of.
	revive = time.Minute
	// recheck is how often a failed engine looks whether its file has changed,
	// and one without files whether they have appeared.
	recheck = 2 * time.Second
	// refetch is how often fetching is tried again.
	refetch = 5 * time.Minute
)

// supervise fetches files and keeps a child running until ctx ends.
func (e *Engine) supervise(ctx context.Context) {
	defer close(e.done)
	defer e.update(func(s *Status) { s.State, s.Detail, s.PID = StateOff, "the engine is stopped", 0 })
	deaths, stillborn, served := 0, 0, false
	for ctx.Err() == nil {
		spec, err := e.prepare(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			var pe *artifact.PullError
			if errors.As(err, &pe) {
				e.setFailed(StateMissing, pe.Short(), err)
				e.awaitFiles(ctx)
			} else {
				e.setFailed(StateFailed, err.Error(), err)
				e.awaitChange(ctx, e.cfg.Path, 0)
			}
			continue
		}
		began := time.Now()
		wasReady, final, err := e.serve(ctx, spec)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > proven {
			deaths = 0
		}
		deaths++
		if wasReady {
			stillborn, served = 0, true
		} else {
			stillborn++
		}
		if final || stillborn >= maxStillborn && !served {
			e.setFailed(StateFailed, err.Error(), err)
			limit := revive
			if final {
				limit = 0 // the child itself said that the file is at fault
			}
			e.awaitChange(ctx, spec.Model, limit)
			deaths, stillborn, served = 0, 0, false
			continue
		}
		pause := min(firstBackoff<<min(deaths-1, 20), maxBackoff)
		e.deps.Log.Error("local engine: the child process ended; restarting", "error", err, "pause", pause)
		e.update(func(s *Status) {
			s.State, s.PID = StateRestarting, 0
			s.Detail = fmt.Sprintf("%v; a new process starts in %v", err, pause)
			s.Restarts++
		})
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (e *Engine) setFailed(state State, detail string, err error) {
	e.deps.Log.Error("local engine: no local model is served", "state", string(state), "error", err)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastErr = err
	e.status.State, e.status.Detail, e.status.PID = state, detail, 0
}

// awaitFiles waits until the missing files are in the cache (another process
// may pull them), or fetching is due again.
func (e *Engine) awaitFiles(ctx context.Context) {
	deadline := time.After(refetch)
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	dir, err := e.cacheDir()
	for {
		select {
		case <-ctx.Done():
			return
		case <-deadline:
			return
		case <-tick.C:
			if err == nil && e.cached(dir) {
				return
			}
		}
	}
}

// awaitChange waits until the model file changes, or for limit if it is not 0.
func (e *Engine) awaitChange(ctx context.Context, path string, limit time.Duration) {
	was, _ := os.Stat(path)
	var deadline <-chan time.Time // nil never fires
	if limit > 0 {
		deadline = time.After(limit)
	}
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-deadline:
			return
		case <-tick.C:
			is, err := os.Stat(path)
			if err == nil && (was == nil || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime())) {
				return
			}
		}
	}
}

func (e *Engine) cacheDir() (string, error) {
	if e.deps.CacheDir != "" {
		return e.deps.CacheDir, nil
	}
	return artifact.CacheDir()
}

// needed are the artifacts that the configuration does not replace.
func (e *Engine) needed() []*artifact.Artifact {
	var out []*artifact.Artifact
	if e.cfg.Libraries == "" {
		out = append(out, artifact.Libraries())
	}
	if e.cfg.Path == "" {
		out = append(out, artifact.Weights())
	}
	return out
}

func (e *Engine) cached(dir string) bool {
	for _, a := range e.needed() {
		if _, ok := artifact.Cached(dir, a); !ok {
			return false
		}
	}
	return true
}

// prepare makes sure of the files and describes the child's work.
func (e *Engine) prepare(ctx context.Context) (*proto.LoadSpec, error) {
	spec := &proto.LoadSpec{Model: e.cfg.Path, Libraries: e.cfg.Libraries, Threads: e.cfg.Threads, Context: e.cfg.Context,
		Parallel: e.cfg.Parallel, Queue: e.cfg.Queue, GPULayers: e.cfg.GPULayers}
	setDefault(&spec.Context, DefaultContext)
	setDefault(&spec.Parallel, DefaultParallel)
	setDefault(&spec.Queue, DefaultQueue)
	if e.cfg.Path == "" {
		// What the model's card recommends for chats (HuggingFaceTB, February 2025).
		spec.Temperature, spec.TopP = 0.2, 0.9
	}
	if err := e.fetch(ctx, spec); err != nil {
		return nil, err
	}
	var err error
	if spec.Model, err = filepath.Abs(spec.Model); err != nil {
		return nil, err
	}
	if spec.Libraries, err = filepath.Abs(spec.Libraries); err != nil {
		return nil, err
	}
	if _, err := gguf.Check(spec.Model); err != nil {
		return nil, fmt.Errorf("the model file cannot be served: %w", err)
	}
	e.update(func(s *Status) { s.File = spec.Model })
	return spec, nil
}

func setDefault(p *int, v int) {
	if *p == 0 {
		*p = v
	}
}

func (e *Engine) fetch(ctx context.Context, spec *proto.LoadSpec) error {
	dir, err := e.cacheDir()
	if err != nil {
		return err
	}
	need := e.needed()
	var total, before int64
	for _, a := range need {
		if _, ok := artifact.Cached(dir, a); !ok {
			total += a.Download
		}
	}
	for _, a := range need {
		_, had := artifact.Cached(dir, a)
		path, err := artifact.Pull(ctx, a, artifact.Options{Dir: dir, Offline: e.cfg.Offline, Progress: func(a *artifact.Artifact, source string, done, _ int64) {
			e.update(func(s *Status) {
				s.State, s.Fetched, s.Total = StateFetching, before+done, total
				s.Detail = "fetching " + a.Title
				if source != "" {
					s.Detail += " from " + source
				}
			})
			if e.deps.OnFetch != nil {
				e.deps.OnFetch(a.Title, source, before+done, total)
			}
		}})
		if err != nil {
			return err
		}
		if !had {
			before += a.Download
		}
		if a.File {
			spec.Model = path
		} else {
			spec.Libraries = path
		}
	}
	e.update(func(s *Status) { s.Fetched, s.Total = 0, 0 })
	return nil
}

// serve runs one child until it ends or ctx does. Final says that another
// child would fare no better.
func (e *Engine) serve(ctx context.Context, spec *proto.LoadSpec) (wasReady, final bool, err error) {
	e.update(func(s *Status) {
		if s.State != StateRestarting {
			s.State, s.Detail = StateStarting, "loading "+spec.Model
		}
	})
	began := time.Now()
	c, err := startChild(e.deps.Command, spec)
	if err != nil {
		return false, false, err
	}
	defer c.stop()
	e.update(func(s *Status) { s.PID = c.cmd.Process.Pid })
	lctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	c.mu.Lock()
	ready := c.calls[0]
	c.mu.Unlock()
	m, err := ready.next(lctx)
	switch {
	case ctx.Err() != nil:
		return false, false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return false, true, fmt.Errorf("loading %s took longer than %v", spec.Model, loadTimeout)
	case err != nil:
		<-c.exited
		return false, false, fmt.Errorf("the engine's process ended while it loaded %s (%v): %s", spec.Model, c.exit, c.log.complaint())
	case m.Kind == proto.Failed:
		return false, true, errors.New(m.Error.Message)
	case m.Kind != proto.Ready || m.Info == nil:
		return false, true, fmt.Errorf("the engine's process answered %q", m.Kind)
	}
	info := m.Info
	c.mu.Lock()
	delete(c.calls, 0)
	c.mu.Unlock()
	took := time.Since(began)
	e.deps.Log.Info("local engine: ready", "model", e.Name(), "description", info.Description, "context", info.Context, "parallel", info.Parallel,
		"threads", info.Threads, "template", info.Template, "template_note", info.TemplateNote, "tokens_per_second", info.Rate, "took", took)
	e.mu.Lock()
	e.child, e.lastErr = c, nil
	s := &e.status
	s.State, s.Detail = StateReady, ""
	s.Context, s.ContextTrained, s.Parallel, s.Threads = info.Context, info.ContextTrained, info.Parallel, info.Threads
	s.Template, s.Loaded = info.Template, took
	if info.TemplateNote != "" {
		s.Detail = info.TemplateNote
	}
	if !e.rated {
		s.TokensPerSecond = info.Rate
	}
	e.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-c.exited:
	}
	e.mu.Lock()
	e.child = nil
	if ctx.Err() == nil {
		e.status.State = StateRestarting
	}
	e.mu.Unlock()
	if ctx.Err() != nil {
		return true, false, ctx.Err()
	}
	return true, false, fmt.Errorf("the engine's process ended (%v): %s", c.exit, c.log.complaint())
}

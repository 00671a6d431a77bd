package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Package pins an archive that holds an artifact.
type Package struct {
	// File is the archive's file name, by which a local directory is searched.
	File string
	// Size and SHA256 of the archive; "" when the archive cannot be pinned and
	// the artifact's own checksum decides.
	Size   int64
	SHA256 string
	// Want says which entries to take. Nil takes the whole file as it is.
	Want func(entry string) bool
}

// take checks the archive at file and unpacks it to dest.
func (p *Package) take(ctx context.Context, a *Artifact, file, dest string) error {
	sum, size, err := hashFile(file)
	if err != nil {
		return err
	}
	if p.SHA256 != "" {
		if err := checkSum(filepath.Base(file), size, p.Size, sum, p.SHA256); err != nil {
			return err
		}
	} else if !a.File {
		return fmt.Errorf("%s has no pinned checksum", filepath.Base(file))
	}
	if p.Want == nil {
		return moveOrCopy(ctx, file, dest)
	}
	return unpack(ctx, a, file, dest, p.Want)
}

func moveOrCopy(ctx context.Context, file, dest string) error {
	if os.Rename(file, dest) == nil {
		return nil
	}
	return copyFile(ctx, file, dest)
}

func copyFile(ctx context.Context, file, dest string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeFile(ctx, dest, in)
}

// packaged is a source whose archive a local directory may hold as well.
type packaged interface{ packages() []*Package }

// LocalSource is a file or directory on this machine: the file itself, or one
// of the archives that the artifact's other sources would have fetched.
type LocalSource struct{ Path string }

func (s *LocalSource) String() string { return "local " + s.Path }

// Hint is empty: what to do is said by the error.
func (s *LocalSource) Hint() string { return "" }

// Fetch copies or unpacks the file.
func (s *LocalSource) Fetch(ctx context.Context, a *Artifact, dest, _, _ string, progress func(int64)) error {
	st, err := os.Stat(s.Path)
	if err != nil {
		return err
	}
	known := []*Package{}
	if a.File {
		known = append(known, &Package{File: path.Base(a.Path), Size: a.Size, SHA256: a.SHA256})
	}
	for _, src := range a.Sources {
		if p, ok := src.(packaged); ok {
			known = append(known, p.packages()...)
		}
	}
	var names []string
	for _, p := range known {
		file := s.Path
		if st.IsDir() {
			file = filepath.Join(s.Path, p.File)
			if _, err := os.Stat(file); err != nil {
				names = append(names, p.File)
				continue
			}
		} else if filepath.Base(file) != p.File && filepath.Ext(file) != filepath.Ext(p.File) {
			names = append(names, p.File)
			continue
		}
		if p.Want == nil {
			err = copyFile(ctx, file, dest) // the user's own file stays where it is
		} else {
			err = p.take(ctx, a, file, dest)
		}
		if err == nil {
			progress(a.Download)
			return nil
		}
		os.RemoveAll(dest)
		return err
	}
	return fmt.Errorf("there is none of %s", strings.Join(names, ", "))
}

// HTTPSource is an address. A transfer that breaks is resumed by the next pull.
type HTTPSource struct {
	URL     string
	Package Package
	// Home names the publisher in progress lines, such as "Hugging Face".
	Home string
	// Client is http.DefaultClient when nil.
	Client *http.Client
	// Digest, when set, finds the checksum of a package that is not pinned.
	Digest func(ctx context.Context, c *http.Client) (size int64, sha256 string, err error)
}

// stall is how long a transfer may stand still.
const stall = 30 * time.Second

func (s *HTTPSource) String() string       { return s.Home }
func (s *HTTPSource) packages() []*Package { return []*Package{&s.Package} }
func (s *HTTPSource) Hint() string         { return "curl -LO " + s.URL }
func (s *HTTPSource) httpClient() *http.Client {
	if s.Client != nil {
		return s.Client
	}
	return http.DefaultClient
}

// Fetch transfers the file, resuming where an earlier attempt stopped.
func (s *HTTPSource) Fetch(ctx context.Context, a *Artifact, dest, _, keep string, progress func(int64)) error {
	pkg := s.Package
	if s.Digest != nil {
		dctx, cancel := context.WithTimeout(ctx, stall)
		size, sum, err := s.Digest(dctx, s.httpClient())
		cancel()
		if err != nil {
			return fmt.Errorf("finding the published checksum: %w", plainNetError(err))
		}
		pkg.Size, pkg.SHA256 = size, sum
	}
	if pkg.SHA256 == "" {
		pkg.Size, pkg.SHA256 = a.Size, a.SHA256
	}
	part := filepath.Join(keep, pkg.File)
	if err := s.download(ctx, part, pkg.Size, progress); err != nil {
		return err
	}
	if err := pkg.take(ctx, a, part, dest); err != nil {
		os.Remove(part) // whole, and wrong: resuming would not mend it
		return err
	}
	os.Remove(part)
	return nil
}

func (s *HTTPSource) download(ctx context.Context, part string, size int64, progress func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errStall := fmt.Errorf("no data for %v", stall)
	watch := time.AfterFunc(stall, func() { cancel(errStall) })
	defer watch.Stop()

	tag, _ := os.ReadFile(part + ".etag")
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > 0 && have == size {
		return nil
	}
	if len(tag) == 0 || size > 0 && have > size {
		have = 0 // without a validator the rest may belong to another version
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "strata")
	if have > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
		req.Header.Set("If-Range", string(tag))
	}
	resp, err := s.httpClient().Do(req)
	if err != nil {
		if c := context.Cause(ctx); errors.Is(c, errStall) {
			return c
		}
		return plainNetError(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && have > 0 &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(have, 10)+"-"):
	case resp.StatusCode == http.StatusOK:
		have = 0
	default:
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	if err := f.Truncate(have); err != nil {
		return err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	if t := resp.Header.Get("ETag"); t != "" && !strings.HasPrefix(t, "W/") {
		os.WriteFile(part+".etag", []byte(t), 0o644)
	} else {
		os.Remove(part + ".etag")
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			watch.Reset(stall)
			if size > 0 && have+int64(n) > size {
				return fmt.Errorf("the server sent more than the %d bytes expected", size)
			}
			if _, err := f.Write(buf[:n]); err != nil {
				return err
			}
			have += int64(n)
			progress(have)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if c := context.Cause(ctx); errors.Is(c, errStall) {
				err = c
			}
			return fmt.Errorf("the transfer broke after %d bytes (the next pull resumes it): %w", have, plainNetError(err))
		}
	}
	return f.Sync()
}

// plainNetError drops the address, which progress and hints name already, and
// which may hold credentials of a proxy.
func plainNetError(err error) error {
	var u interface{ Unwrap() error }
	if errors.As(err, &u) && strings.HasPrefix(err.Error(), "Get ") {
		return u.Unwrap()
	}
	return err
}

// GitHubRelease is a source for an asset of a release on GitHub. Its checksum
// is the one that GitHub publishes with the asset.
func GitHubRelease(repo, tag, asset string, want func(string) bool) *HTTPSource {
	return &HTTPSource{
		URL:     "https://github.com/" + repo + "/releases/download/" + tag + "/" + asset,
		Home:    "GitHub " + repo + " " + tag,
		Package: Package{File: asset, Want: want},
		Digest: func(ctx context.Context, c *http.Client) (int64, string, error) {
			return gitHubDigest(ctx, c, "https://api.github.com/repos/"+repo+"/releases/tags/"+tag, asset)
		},
	}
}

func gitHubDigest(ctx context.Context, c *http.Client, api, asset string) (int64, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("User-Agent", "strata")
	req.Header.Set("Accept", "application/vnd.github+json")
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, "", fmt.Errorf("the server answered %s", resp.Status)
	}
	var release struct {
		Assets []struct {
			Name, Digest string
			Size         int64
		}
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&release); err != nil {
		return 0, "", err
	}
	for _, as := range release.Assets {
		if as.Name != asset {
			continue
		}
		sum, ok := strings.CutPrefix(as.Digest, "sha256:")
		if !ok || len(sum) != 64 {
			return 0, "", fmt.Errorf("the release states no SHA-256 for %s", asset)
		}
		return as.Size, sum, nil
	}
	return 0, "", fmt.Errorf("the release has no file %s", asset)
}

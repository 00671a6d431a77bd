package artifact

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxUnpacked bounds what an archive may unpack to, so that a damaged or
// hostile one cannot fill the disk.
const maxUnpacked = 4 << 30

// unpack writes what a wants from the archive at file (zip, tar.gz, or the bare
// file itself) to dest. Only the wanted entries are read; their directories
// are dropped, so no entry can name a place outside dest.
func unpack(ctx context.Context, a *Artifact, file, dest string, want func(name string) bool) error {
	if !a.File {
		if err := os.Mkdir(dest, 0o755); err != nil {
			return err
		}
	}
	target := func(name string) string {
		if a.File {
			return dest
		}
		return filepath.Join(dest, path.Base(name))
	}
	found := false
	var err error
	switch name := strings.ToLower(file); {
	case strings.HasSuffix(name, ".zip"), strings.HasSuffix(name, ".whl"):
		found, err = unpackZip(ctx, file, target, want)
	case strings.HasSuffix(name, ".tgz"), strings.HasSuffix(name, ".tar.gz"):
		found, err = unpackTar(ctx, file, target, want)
	default:
		return fmt.Errorf("%s is neither a .zip, a .whl, a .tgz nor a .tar.gz", filepath.Base(file))
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(file), err)
	}
	if !found {
		return fmt.Errorf("%s holds none of the files of %s", filepath.Base(file), a.Title)
	}
	return nil
}

func unpackZip(ctx context.Context, file string, target func(string) string, want func(string) bool) (found bool, err error) {
	r, err := zip.OpenReader(file)
	if err != nil {
		return false, err
	}
	defer r.Close()
	for _, e := range r.File {
		if !e.Mode().IsRegular() || !want(e.Name) {
			continue
		}
		in, err := e.Open()
		if err != nil {
			return false, err
		}
		err = writeFile(ctx, target(e.Name), in)
		in.Close()
		if err != nil {
			return false, err
		}
		found = true
	}
	return found, nil
}

func unpackTar(ctx context.Context, file string, target func(string) string, want func(string) bool) (found bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return false, err
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return false, err
		}
		if !want(h.Name) {
			continue
		}
		switch h.Typeflag {
		case tar.TypeReg:
			if err := writeFile(ctx, target(h.Name), r); err != nil {
				return false, err
			}
			found = true
		case tar.TypeSymlink:
			// Libraries link among themselves; a link elsewhere is not ours.
			if h.Linkname != path.Base(h.Linkname) || h.Linkname == ".." {
				return false, fmt.Errorf("the link %s leads out of its directory", h.Name)
			}
			if err := os.Symlink(h.Linkname, target(h.Name)); err != nil {
				return false, err
			}
		}
	}
}

func writeFile(ctx context.Context, name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, &ctxReader{ctx, io.LimitReader(r, maxUnpacked)})
	if err == nil && n == maxUnpacked {
		err = fmt.Errorf("%s is larger than %d bytes", filepath.Base(name), int64(maxUnpacked))
	}
	if err == nil {
		// The record that vouches for the file must not outlive its content.
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ctxReader stops reading when its context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

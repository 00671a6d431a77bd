// Package faultfs is a file layer for tests that breaks as disks do: a power
// failure loses writes that were not fsynced, at random and also in part; the
// disk is full; fsync fails and drops what it should have written.
//
// It keeps, beside the real files, an image of what the disk would hold if
// power failed now: writes enter the image only by a successful fsync.
package faultfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/stratahq/strata/store/filelayer"
)

// FS is a faulty file layer, registered under a name for store.Options.VFS.
type FS struct {
	Name string

	// Full makes every write write only half and fail for want of space.
	Full atomic.Bool
	// Lie makes fsync report success without doing anything.
	Lie atomic.Bool
	// FailSyncs is how many of the next fsyncs of the log fail with an I/O
	// error. A failed fsync drops the writes it should have made durable, as
	// Linux does, while they can still be read back.
	FailSyncs atomic.Int64
	// Syncs counts the fsyncs of all files.
	Syncs atomic.Int64

	mu    sync.Mutex
	disks map[string]*image
}

// image is what the disk holds of a file, and the writes that it may not hold.
type image struct {
	data    []byte
	pending []op
}

type op struct {
	off  int64
	data []byte // nil: truncate to off
}

var number atomic.Int64

// New registers a faulty file layer over the operating system's. Call Close when
// its databases are closed.
func New() *FS {
	fs := &FS{Name: fmt.Sprintf("fault-%d", number.Add(1)), disks: map[string]*image{}}
	vfs.Register(fs.Name, layer{filelayer.VFS{VFS: vfs.Find(""), Wrap: fs.wrap}, fs})
	return fs
}

// Close ends the registration.
func (fs *FS) Close() { vfs.Unregister(fs.Name) }

type layer struct {
	filelayer.VFS
	fs *FS
}

// Delete forgets the file's image; a deleted log is one that was copied whole.
func (l layer) Delete(name string, syncDir bool) error {
	l.fs.mu.Lock()
	delete(l.fs.disks, name)
	l.fs.mu.Unlock()
	return l.VFS.VFS.Delete(name, syncDir)
}

func (fs *FS) wrap(name string, flags vfs.OpenFlag, inner vfs.File) vfs.File {
	if flags&(vfs.OPEN_MAIN_DB|vfs.OPEN_WAL) == 0 {
		return inner
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	im := fs.disks[name]
	if im == nil {
		im = &image{}
		if data, err := os.ReadFile(name); err == nil {
			im.data = data
		}
		fs.disks[name] = im
	}
	return &file{filelayer.File{File: inner}, fs, im, flags&vfs.OPEN_WAL != 0}
}

type file struct {
	filelayer.File
	fs  *FS
	im  *image
	log bool
}

// WriteAt writes, remembers the write as not durable, or runs out of space.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	full := f.fs.Full.Load()
	if full {
		p = p[:len(p)/2]
	}
	f.fs.mu.Lock()
	f.im.pending = append(f.im.pending, op{off, append([]byte{}, p...)})
	f.fs.mu.Unlock()
	n, err := f.File.File.WriteAt(p, off)
	if full && err == nil {
		// As package os says it, which SQLite's binding takes for a failing disk.
		err = &os.PathError{Op: "write", Path: "on a full disk", Err: syscall.ENOSPC}
	}
	return n, err
}

// Truncate is a write like others.
func (f *file) Truncate(size int64) error {
	f.fs.mu.Lock()
	f.im.pending = append(f.im.pending, op{size, nil})
	f.fs.mu.Unlock()
	return f.File.File.Truncate(size)
}

// Sync makes the writes before it durable, or fails, or lies.
func (f *file) Sync(flags vfs.SyncFlag) error {
	f.fs.Syncs.Add(1)
	if f.fs.Lie.Load() {
		return nil
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.log && f.fs.FailSyncs.Load() > 0 {
		f.fs.FailSyncs.Add(-1)
		f.im.pending = nil
		return vfs.SystemError(syscall.EIO, sqlite3.IOERR_FSYNC)
	}
	for _, o := range f.im.pending {
		f.im.apply(o)
	}
	f.im.pending = nil
	return nil // the real file needs no fsync: the image is the disk
}

func (im *image) apply(o op) {
	if o.data == nil {
		if o.off < int64(len(im.data)) {
			im.data = im.data[:o.off]
		}
		return
	}
	if end := o.off + int64(len(o.data)); end > int64(len(im.data)) {
		im.data = append(im.data, make([]byte, end-int64(len(im.data)))...)
	}
	copy(im.data[o.off:], o.data)
}

// PowerLoss writes into dir the files as the disk would hold them if power
// failed now: of the writes that no fsync covers, each reached the disk or not,
// or in part, at random, also out of order.
func (fs *FS) PowerLoss(rng *rand.Rand, dir string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for name, im := range fs.disks {
		left := &image{data: append([]byte{}, im.data...)}
		keep := rng.Float64() // of each writes, this share survives
		for _, o := range im.pending {
			if rng.Float64() >= keep {
				continue
			}
			if len(o.data) > 512 && rng.IntN(4) == 0 {
				o.data = o.data[:512*(1+rng.IntN(len(o.data)/512))]
			}
			left.apply(o)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), left.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

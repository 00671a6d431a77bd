// Package filelayer forwards everything that SQLite may ask of a file to
// another file. Embed a [File] and override single methods to watch or to
// disturb what reaches the disk: store watches every fsync this way, and the
// fault tests lose, tear and refuse writes.
package filelayer

import (
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// File forwards to Inner, including the optional interfaces that the shared
// memory of a write-ahead log needs.
type File struct{ vfs.File }

// Unwrap returns the file that calls are forwarded to.
func (f File) Unwrap() vfs.File { return f.File }

// SharedMemory is the inner file's, or nil.
func (f File) SharedMemory() vfs.SharedMemory {
	if s, ok := f.File.(vfs.FileSharedMemory); ok {
		return s.SharedMemory()
	}
	return nil
}

// LockState is the lock that the inner file holds.
func (f File) LockState() vfs.LockLevel {
	if s, ok := f.File.(vfs.FileLockState); ok {
		return s.LockState()
	}
	return vfs.LOCK_EXCLUSIVE + 1 // the binding reads a level above exclusive as "not known"
}

// PersistWAL says whether the log outlives its last connection.
func (f File) PersistWAL() bool {
	s, ok := f.File.(vfs.FilePersistWAL)
	return ok && s.PersistWAL()
}

// SetPersistWAL sets it.
func (f File) SetPersistWAL(keep bool) {
	if s, ok := f.File.(vfs.FilePersistWAL); ok {
		s.SetPersistWAL(keep)
	}
}

// PowersafeOverwrite says whether a torn write spares its neighbours.
func (f File) PowersafeOverwrite() bool {
	s, ok := f.File.(vfs.FilePowersafeOverwrite)
	return ok && s.PowersafeOverwrite()
}

// SetPowersafeOverwrite sets it.
func (f File) SetPowersafeOverwrite(psow bool) {
	if s, ok := f.File.(vfs.FilePowersafeOverwrite); ok {
		s.SetPowersafeOverwrite(psow)
	}
}

// HasMoved says whether the file's name leads to another file by now.
func (f File) HasMoved() (bool, error) {
	if s, ok := f.File.(vfs.FileHasMoved); ok {
		return s.HasMoved()
	}
	return false, nil
}

// Open opens a file of the VFS beneath, whichever way that VFS wants to be asked.
func Open(under vfs.VFS, name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if v, ok := under.(vfs.VFSFilename); ok {
		return v.OpenFilename(name, flags)
	}
	return under.Open(name.String(), flags)
}

// VFS forwards to another VFS and passes each file that it opens through Wrap.
type VFS struct {
	vfs.VFS
	Wrap func(name string, flags vfs.OpenFlag, f vfs.File) vfs.File
}

// Open is answered by OpenFilename; SQLite's binding prefers that one.
func (v VFS) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN
}

// OpenFilename opens through the inner VFS and wraps.
func (v VFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := Open(v.VFS, name, flags)
	if err != nil {
		return nil, flags, err
	}
	return v.Wrap(name.String(), flags, f), flags, nil
}

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// LockName is the lock file's name inside the data directory.
const LockName = "strata.lock"

// LockInfo says who holds a data directory and how to reach it.
type LockInfo struct {
	PID     int       `json:"pid"`
	Socket  string    `json:"socket"`  // of the admin interface; "" when there is none
	Address string    `json:"address"` // of the gateway; "" for a command
	Started time.Time `json:"started"`
}

// HeldError says who holds the data directory. It matches ErrHeld.
type HeldError struct {
	Dir  string
	Info LockInfo
}

// Error names the holder.
func (e *HeldError) Error() string {
	s := fmt.Sprintf("%v: %s is held by process %d", ErrHeld, e.Dir, e.Info.PID)
	if e.Info.PID == 0 {
		s = fmt.Sprintf("%v: %s is held by another process", ErrHeld, e.Dir)
	}
	if e.Info.Address != "" {
		s += ", which serves " + e.Info.Address
	}
	return s + "; stop it, or choose another data directory"
}

// Is matches ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// Lock is the right to write in a data directory. The operating system ends it
// with the process, however the process ends; what the file says is stale then,
// and ignored.
type Lock struct {
	mu sync.Mutex
	f  *os.File
}

// locks keeps held locks reachable: a Lock that its owner forgot would else be
// given back when the garbage collector closes its file.
var locks sync.Map

// TryLock takes the lock of a data directory, which it creates with mode 0700
// when it is missing. When another process holds the lock, the error is a
// *HeldError.
func TryLock(dataDir string) (*Lock, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dataDir, LockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	// ReadLock holds the lock for an instant to see whether it is free.
	for try := 0; ; try++ {
		err = lockFile(f, true)
		if err == nil || !errors.Is(err, errWouldBlock) || try == 10 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if errors.Is(err, errWouldBlock) {
		info, _ := readInfo(f)
		f.Close()
		return nil, &HeldError{dataDir, info}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	l := &Lock{f: f}
	locks.Store(l, nil)
	if err := l.Publish(LockInfo{PID: os.Getpid(), Started: time.Now().UTC()}); err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

// Publish replaces what the lock file tells others. An empty PID is filled in.
func (l *Lock) Publish(info LockInfo) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return fs.ErrClosed
	}
	if info.PID == 0 {
		info.PID = os.Getpid()
	}
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if _, err := l.f.WriteAt(append(b, '\n'), 0); err != nil {
		return fmt.Errorf("lock file: %w", err)
	}
	return l.f.Truncate(int64(len(b) + 1))
}

// Release gives the lock back. The file stays: removing it would race with a
// process that has just opened it.
func (l *Lock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	locks.Delete(l)
	err := l.f.Truncate(0)
	err = errors.Join(err, unlockFile(l.f), l.f.Close())
	l.f = nil
	return err
}

// ReadLock says whether a data directory is held, and by whom. Information of a
// holder that is gone is not returned.
func ReadLock(dataDir string) (info LockInfo, held bool, err error) {
	f, err := os.OpenFile(filepath.Join(dataDir, LockName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return LockInfo{}, false, nil
	}
	if err != nil {
		return LockInfo{}, false, fmt.Errorf("lock file: %w", err)
	}
	defer f.Close()
	switch err := lockFile(f, false); {
	case err == nil:
		return LockInfo{}, false, unlockFile(f)
	case !errors.Is(err, errWouldBlock):
		return LockInfo{}, false, fmt.Errorf("lock file: %w", err)
	}
	// The holder may be writing it just now.
	for range 20 {
		if info, err = readInfo(f); err == nil {
			return info, true, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return LockInfo{}, true, fmt.Errorf("lock file: %w", err)
}

func readInfo(f *os.File) (info LockInfo, err error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<16))
	if err != nil {
		return info, err
	}
	return info, json.Unmarshal(b, &info)
}

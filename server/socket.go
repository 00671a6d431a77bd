package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/stratahq/strata/store"
)

// The names of the socket's directory and file.
const (
	socketDir  = "strata-"
	socketFile = "admin.sock"
)

// adminSocket is a unix socket that only the owner of this process can reach:
// commands beside a running server administer through it without a secret. It
// lies in a directory of mode 0700 below the system's directory for temporary
// files, because a path below the data directory may be longer than the 104 to
// 108 bytes that systems allow for a socket. The lock file tells where it is.
type adminSocket struct {
	net.Listener
	dir string
}

// listenAdmin makes the socket.
func listenAdmin(ctx context.Context) (*adminSocket, error) {
	dir, err := os.MkdirTemp("", socketDir)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	// MkdirTemp makes the directory with mode 0700 less the umask.
	path := filepath.Join(dir, socketFile)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		os.RemoveAll(dir)
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return &adminSocket{l, dir}, nil
}

// Close stops listening and removes the socket. It may be called again.
func (s *adminSocket) Close() error {
	err := s.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// leftSocket is the socket's directory that a killed server left behind on a
// data directory, or "". It is asked before the lock is taken, which overwrites
// the information, and removed after, when it is certain that nobody uses it.
func leftSocket(dataDir string) string {
	data, err := os.ReadFile(filepath.Join(dataDir, store.LockName))
	if err != nil {
		return ""
	}
	var info store.LockInfo
	if json.Unmarshal(data, &info) != nil || filepath.Base(info.Socket) != socketFile {
		return ""
	}
	// Only a directory that this program could have made is ever removed.
	dir := filepath.Dir(info.Socket)
	if filepath.Dir(dir) != filepath.Clean(os.TempDir()) || !strings.HasPrefix(filepath.Base(dir), socketDir) {
		return ""
	}
	return dir
}

// removeLeft removes a socket's directory, if it holds nothing else.
func removeLeft(dir string) {
	if dir == "" {
		return
	}
	os.Remove(filepath.Join(dir, socketFile))
	os.Remove(dir)
}

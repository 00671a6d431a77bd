package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
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
	dir, err := os.MkdirTemp("", "strata-")
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	// MkdirTemp makes the directory with mode 0700 less the umask.
	path := filepath.Join(dir, "admin.sock")
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

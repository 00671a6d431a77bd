package server

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stratahq/strata/store"
)

// What a killed server left is removed, and nothing else is, whatever a lock
// file says.
func TestLeftSocket(t *testing.T) {
	data := t.TempDir()
	write := func(socket string) {
		b, err := json.Marshal(store.LockInfo{PID: 1, Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, store.LockName), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := leftSocket(data); got != "" {
		t.Errorf("without a lock file: %q", got)
	}
	s, err := listenAdmin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	path := s.Addr().String()
	if info, err := os.Stat(filepath.Dir(path)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("directory %v %v", info.Mode(), err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v %v", info.Mode(), err)
	}
	write(path)
	if got := leftSocket(data); got != s.dir {
		t.Errorf("left %q, want %q", got, s.dir)
	}
	for _, other := range []string{"", "/etc/passwd", "/etc/admin.sock", filepath.Join(os.TempDir(), "mine", "admin.sock"),
		filepath.Join(os.TempDir(), "strata-1", "other"), filepath.Join(os.TempDir(), "strata-1", "deep", "admin.sock"), "admin.sock"} {
		write(other)
		if got := leftSocket(data); got != "" {
			t.Errorf("%q would be removed for %q", got, other)
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	removeLeft(s.dir)
	if _, err := os.Stat(filepath.Join(s.dir, "precious")); err != nil {
		t.Errorf("a foreign file is gone: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the directory stays: %v", err)
	}
}

//go:build unix

package main

import "golang.org/x/sys/unix"

// isPosix says that file modes mean what POSIX says.
const isPosix = true

// freeSpace is how many bytes this user may still write on the disk of dir.
func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(uint64(s.Bavail) * uint64(s.Bsize)), nil
}

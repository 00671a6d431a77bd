package main

import "golang.org/x/sys/windows"

// isPosix says that file modes mean what POSIX says.
const isPosix = false

// freeSpace is how many bytes this user may still write on the disk of dir.
func freeSpace(dir string) (int64, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(free), nil
}

package local

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// isolate puts the child into a process group of its own, so that Ctrl-C in a
// console reaches only the parent, which then drains. The child ends when its
// standard input closes, as it does when the parent ends.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

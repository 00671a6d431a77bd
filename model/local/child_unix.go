//go:build unix && !linux

package local

import (
	"os/exec"
	"syscall"
)

// isolate puts the child into a process group of its own, so that Ctrl-C in a
// terminal reaches only the parent, which then drains. The child ends when its
// standard input closes, as it does when the parent ends.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

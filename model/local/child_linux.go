package local

import (
	"os/exec"
	"syscall"
)

// isolate puts the child into a process group of its own, so that Ctrl-C in a
// terminal reaches only the parent, which then drains; and has the kernel end
// the child when the parent ends, should closing its input not suffice.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

package accuracy

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the system kill a program when this one ends in whatever way: a
// cluster that nobody stops would run for ever.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

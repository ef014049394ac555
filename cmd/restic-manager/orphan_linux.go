package main

import (
	"os/exec"
	"syscall"
)

// followParent has a program asked to end when the thread that starts it ends,
// however that came about: whoever starts it keeps its thread.
func followParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

package launcher

import (
	"os/exec"
	"runtime"
	"syscall"
)

// begin starts the child, which the kernel ends when this process dies. It does so when the
// thread dies that made the child: that one waits here until the child has ended.
func begin(cmd *exec.Cmd) (ended <-chan error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	return done, <-started
}

// inUse reports whether another program holds a file; here none can.
func inUse(error) bool { return false }

//go:build !linux && !windows

package launcher

import "os/exec"

// begin starts the child. When this process dies, the child's standard input ends, and so
// does the child.
func begin(cmd *exec.Cmd) (ended <-chan error, err error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	return done, nil
}

// inUse reports whether another program holds a file; here none can.
func inUse(error) bool { return false }

//go:build linux || darwin || freebsd

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// A group is a started program with a process group of its own.
type group struct{ pid int }

// start starts cmd, so that a signal of the terminal or the service manager
// meant for the agent does not reach it.
func start(cmd *exec.Cmd, low bool) (group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := fork(cmd, low); err != nil {
		return group{}, err
	}
	return group{cmd.Process.Pid}, nil
}

// interrupt asks the group to end.
func (g group) interrupt() error {
	_ = unix.Kill(-g.pid, unix.SIGINT) // fails if it is gone, which is as well
	return nil
}

// unenclosed is for Windows: a process group is always one.
func (group) unenclosed() error { return nil }

func (g group) kill() { _ = unix.Kill(-g.pid, unix.SIGKILL) }

func (group) close() {}

// vanish is for Windows: a process that was collected is gone.
func vanish(int) {}

// Exists reports whether there is a process of this number, even a zombie, so that others
// take what belongs to it for in use.
func Exists(pid int) bool { return unix.Kill(pid, 0) == nil }

func signalOf(s *os.ProcessState) string {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return w.Signal().String()
	}
	return ""
}

// FullDisk reports whether an error says that a disk or a quota is full.
func FullDisk(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// Temporary points the program at dir for its temporary files.
func Temporary(dir string) []string { return []string{"TMPDIR=" + dir} }

// Space is how many bytes of the disk of a path are free for us, and how many it has.
func Space(path string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	blocks, size := uint64(max(s.Bavail, 0)), uint64(s.Bsize) // each is signed on some systems
	if os.Geteuid() == 0 {
		blocks = s.Bfree // what is kept for root
	}
	return blocks * size, s.Blocks * size, nil
}

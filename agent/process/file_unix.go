//go:build linux || darwin || freebsd

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/words"
)

// openTrusted opens a file that only root or our own user can write to, and which
// may be run.
func openTrusted(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0) // does not wait for a pipe's other end
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	var s unix.Stat_t
	if err = unix.Fstat(fd, &s); err == nil {
		switch {
		case s.Mode&unix.S_IFMT != unix.S_IFREG:
			err = errors.New("it is no regular file")
		case s.Uid != 0 && int(s.Uid) != os.Geteuid():
			err = fmt.Errorf("it belongs to user %d: give it to root, as in chown root %s", s.Uid, words.Quoted(path))
		case s.Mode&0o022 != 0:
			err = fmt.Errorf("others may write to it (mode %04o): take that away, as in chmod go-w %s", s.Mode&0o7777, words.Quoted(path))
		case s.Mode&0o111 == 0:
			err = fmt.Errorf("it may not be run (mode %04o): allow that, as in chmod u+x %s", s.Mode&0o7777, words.Quoted(path))
		}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// spell is for Windows: elsewhere a program is given its arguments one by one.
func spell(*exec.Cmd, string) {}

// Decode is for Windows: elsewhere programs write UTF-8, or nobody knows what.
func Decode(line []byte) []byte { return line }

// Console is for Windows: signals need none.
func Console() error { return nil }

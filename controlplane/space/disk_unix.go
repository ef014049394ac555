//go:build linux || darwin || freebsd

package space

import (
	"os"

	"golang.org/x/sys/unix"
)

// Measure says how many bytes of a directory's disk are free for us, and how large it is.
func Measure(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	blocks, size := uint64(max(s.Bavail, 0)), uint64(s.Bsize) // each is signed on some systems
	if os.Geteuid() == 0 {
		blocks = s.Bfree // what is kept for root
	}
	return blocks * size, s.Blocks * size, nil
}

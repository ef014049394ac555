//go:build linux || darwin || freebsd

package copies

import (
	"os"

	"golang.org/x/sys/unix"
)

// free is how many bytes of a directory's disk are free for us.
func free(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	blocks := uint64(max(s.Bavail, 0)) // signed on some systems, as is s.Bsize
	if os.Geteuid() == 0 {
		blocks = s.Bfree // what is kept for root
	}
	return blocks * uint64(s.Bsize), nil
}

package space

import (
	"os"

	"golang.org/x/sys/unix"
)

// measure says how many bytes of a directory's disk are free for us, and how large it is.
func measure(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	blocks, size := s.Bavail, uint64(s.Bsize) // s.Bsize is signed on some systems
	if os.Geteuid() == 0 {
		blocks = s.Bfree // what is kept for root
	}
	return blocks * size, s.Blocks * size, nil
}

// allocate gives a file its place without writing, where the file system can.
func allocate(f *os.File, size int64) error { return unix.Fallocate(int(f.Fd()), 0, 0, size) }

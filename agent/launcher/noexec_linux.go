package launcher

import "golang.org/x/sys/unix"

// noexec reports whether nothing can be run in a directory.
func noexec(dir string) bool {
	var is unix.Statfs_t
	return unix.Statfs(dir, &is) == nil && is.Flags&unix.ST_NOEXEC != 0
}

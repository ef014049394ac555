//go:build unix

package agent

import "golang.org/x/sys/unix"

// writable reports whether the agent may write into a directory.
func writable(dir string) bool {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS) == nil
}

//go:build unix

package agent

import "golang.org/x/sys/unix"

// writable reports whether the agent may write into a directory.
func writable(dir string) bool { return unix.Access(dir, unix.W_OK) == nil }

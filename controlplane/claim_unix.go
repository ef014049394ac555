//go:build unix

package controlplane

import (
	"os"
	"syscall"
)

// errLocked is what lock says of a file that somebody else has locked.
const errLocked = syscall.EWOULDBLOCK

func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

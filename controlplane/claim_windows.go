package controlplane

import (
	"os"

	"golang.org/x/sys/windows"
)

// errLocked is what lock says of a file that somebody else has locked.
const errLocked = windows.ERROR_LOCK_VIOLATION

func lock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
		&windows.Overlapped{})
}

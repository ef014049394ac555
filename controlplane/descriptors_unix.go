//go:build unix

package controlplane

import "syscall"

// descriptors is how many files and sockets this process may have open, 0 if that is
// not known. Go has raised it to what the system allows.
func descriptors() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Cur > 1<<30 {
		return 0
	}
	return int(l.Cur)
}

//go:build !linux

package agent

// waits says why an empty directory looks like a mount point on which nothing is mounted.
// Here that is never known: on Windows a drive that is not there has no letter, and a
// folder in which a volume would be mounted opens no more without it.
func waits(string) string { return "" }

// awaited returns the directory on the way to a path on which something is to be mounted
// and is not. Here that is never known either.
func awaited(string) (dir, by string) { return "", "" }

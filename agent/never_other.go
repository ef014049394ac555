//go:build !linux && !windows

package agent

// elsewhere is for Linux, where a directory may be mounted at several paths, and for
// Windows with its junctions.
func elsewhere(string) []string { return nil }

// processes is for Linux, where processes are files.
func processes() []string { return nil }

func ofProcesses(string) bool { return false }

// sameDisk is for Linux, where a part of a file system may be mounted anywhere.
func sameDisk(string) []string { return nil }

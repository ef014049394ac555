//go:build !linux

package doctor

import (
	"os"
	"runtime"
)

// ClockKept says that nobody knows.
func ClockKept() (known, is bool) { return false, false }

// FileSystem names the kind of file system that a path is on; nobody knows.
func FileSystem(string) string { return "" }

// Writable reports whether a directory is there: only writing would show more.
func Writable(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// OpenFiles is how many files and sockets this process may open, 0 if that is not known.
func OpenFiles() int { return 0 }

// System names this machine's system.
func System() string { return runtime.GOOS }

//go:build unix

package agent

import (
	"io/fs"
	"syscall"
)

// device identifies the file system that a file is on.
func device(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev)
	}
	return 0
}

// junction is for Windows: elsewhere there is no link that filepath.EvalSymlinks leaves.
func junction(path string) (string, error) { return path, nil }

//go:build unix

package agent

import (
	"io/fs"
	"os"
	"syscall"
)

// idOf identifies what a path leads to.
func idOf(path string) (fileID, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}, false
	}
	return idIn(info)
}

func idIn(info fs.FileInfo) (fileID, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, false
	}
	return fileID{volume: uint64(s.Dev), low: uint64(s.Ino), high: 0}, true
}

// linked returns a file that has more than one name, which its size and age do not tell.
func linked(path string) (fileID, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return fileID{}, false
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Nlink < 2 {
		return fileID{}, false
	}
	return idIn(info)
}

// device identifies the file system that a file is on.
func device(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev)
	}
	return 0
}

// junction is for Windows: elsewhere there is no link that filepath.EvalSymlinks leaves.
func junction(path string) (string, error) { return path, nil }

package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// device is the same for all files: on Windows restic cannot stay on one file system.
func device(fs.FileInfo) uint64 { return 0 }

// junction follows a path's last part while it is a junction, which
// filepath.EvalSymlinks leaves as it is. A volume that is mounted there stays: it has
// no other path.
func junction(path string) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if err != nil {
			return path, err
		}
		if info.Mode()&(fs.ModeIrregular|fs.ModeSymlink) == 0 {
			return path, nil
		}
		to, err := os.Readlink(path)
		if err != nil || len(to) < 3 || to[1] != ':' {
			return path, nil
		}
		if path, err = filepath.EvalSymlinks(to); err != nil {
			return to, err
		}
	}
	return path, errors.New("too many links")
}

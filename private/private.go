// Package private keeps what a program has on disk for its owner alone.
//
// Both programs make their files so (see their umask), but a directory may have
// been made by somebody else, restored from a backup, or opened up by hand.
package private

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir makes a directory, and the files of these patterns in it, readable and
// writable for their owner alone: 0700 and 0600. It returns what it changed, and
// what it could not, one sentence each. Links are not followed. On Windows they are for
// the system and its administrators alone, and for the user this runs as if that is
// neither; so is what is made in the directory after that.
func Dir(dir string, patterns ...string) (said []string) {
	paths := []string{dir}
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(Quote(dir), p))
		if err != nil {
			panic(err) // a pattern of ours that is none
		}
		paths = append(paths, found...)
	}
	return Files(paths...)
}

// Files is Dir for the given files and directories. It skips those that do not exist.
func Files(paths ...string) (said []string) {
	for _, path := range paths {
		if s := mend(path); s != "" {
			said = append(said, s)
		}
	}
	return said
}

// Quote quotes a directory's name, so that a pattern takes it literally.
func Quote(dir string) string {
	var b []byte
	for i := range len(dir) {
		switch dir[i] {
		case '*', '?', '[':
			b = append(b, '[', dir[i], ']')
		case '\\':
			if os.PathSeparator != '\\' {
				b = append(b, '\\')
			}
			b = append(b, '\\')
		default:
			b = append(b, dir[i])
		}
	}
	return string(b)
}

// MakeDir makes a directory for its owner alone, if it is not there. It belongs to the
// user of the one it is in if root makes it; see [Own].
func MakeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeOwn(dir); err != nil {
		return err
	}
	return Own(dir, filepath.Dir(dir))
}

// Claim makes a directory that is to hold keys, with those above it, or takes one that is
// there. One with something in it that others could have put there is not taken. It says
// what it changed.
func Claim(dir string) (said []string, err error) {
	if err := MakeDir(dir); err != nil {
		return nil, err
	}
	if err := plainDir(dir); err != nil {
		return nil, err
	}
	others, stranger, err := shared(dir)
	if err != nil {
		return nil, err
	}
	if stranger != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		if len(entries) > 0 {
			return nil, fmt.Errorf("%s belongs to %s, who may have put there what is in it: remove it, or choose another directory",
				dir, stranger)
		}
	}
	if len(others) > 0 || stranger != "" {
		said = Files(dir)
	}
	return said, nil
}

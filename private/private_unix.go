//go:build unix

package private

import (
	"fmt"
	"os"
)

// mend removes the rights of group and others, and returns what it did.
func mend(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	mode := info.Mode()
	if mode.Perm()&0o077 == 0 || !mode.IsRegular() && !mode.IsDir() {
		return ""
	}
	want := mode.Perm() &^ 0o077
	if err := os.Chmod(path, want); err != nil {
		return fmt.Sprintf("%s can be used by others (mode %04o), and that cannot be changed (%v); see that only the user this runs as "+
			"can get there", path, mode.Perm(), err)
	}
	return fmt.Sprintf("%s could be used by others (mode %04o); it is for its owner alone now (%04o)", path, mode.Perm(), want)
}

// plainDir is for Windows: here a link is another's only where directories are, too.
func plainDir(string) error { return nil }

// Ours is for Windows, where everybody may make a directory beside those of all programs.
func Ours(...string) error { return nil }

func makeOwn(dir string) error { return os.MkdirAll(dir, 0o700) }

// shared says who else may use a directory. Root takes one of any user's.
func shared(dir string) (others []string, stranger string, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		others = []string{"others"}
	}
	return others, "", nil
}

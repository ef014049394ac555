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

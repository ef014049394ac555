//go:build unix

package private

import (
	"fmt"
	"os"
)

// mend takes from others what rights they have, and says so.
func mend(path string) (said string, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	mode := info.Mode()
	if mode.Perm()&0o077 == 0 || !mode.IsRegular() && !mode.IsDir() {
		return "", nil
	}
	want := mode.Perm() &^ 0o077
	if err := os.Chmod(path, want); err != nil {
		return "", fmt.Errorf("others may use %s (mode %04o), and that cannot be changed: %w; make it the property of the user this runs as", path, mode.Perm(), err)
	}
	return fmt.Sprintf("%s could be used by others (mode %04o); it is for its owner alone now (%04o)", path, mode.Perm(), want), nil
}

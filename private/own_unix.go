//go:build unix

package private

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Own gives what this made to the user of the first of likes that is there: the program
// often runs as a user of its own, and root's commands beside it must not leave files
// that it cannot read, nor must it leave some that root's commands take for a stranger's.
// It does nothing for who may give nothing away, and without one of likes.
func Own(path string, likes ...string) error {
	for _, like := range likes {
		info, err := os.Lstat(like)
		if err != nil {
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(st.Uid) == os.Geteuid() && os.Geteuid() != 0 {
			return nil
		}
		err = os.Lchown(path, int(st.Uid), int(st.Gid))
		if os.Geteuid() != 0 && errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	}
	return nil
}

// Hand is for Windows: here a file belongs to whom it is given, see [Own].
func Hand(string) error { return nil }

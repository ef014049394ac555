//go:build unix

package agent

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ours returns an error for a file that another user can read or may have written.
func ours(_ string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("its mode is %v; make it readable for its owner alone, chmod 600", info.Mode().Perm())
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to the user %d; make it root's", s.Uid)
	}
	return nil
}

// roots is the whole file system.
func roots() []string { return []string{"/"} }

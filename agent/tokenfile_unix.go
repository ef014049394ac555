//go:build unix

package agent

import (
	"fmt"
	"os"
	"syscall"
)

// onlyOurs says why others than root, or the user this runs as, can change a file or a
// directory.
func onlyOurs(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to another user: chown root it")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write to it (mode %04o): chmod go-w it", info.Mode().Perm())
	}
	return nil
}

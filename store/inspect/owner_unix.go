//go:build unix

package inspect

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner says whose a file is, and as whom this runs.
func owner(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Sprintf("the directory cannot be looked into as %s; run this as the user that restic-manager serve runs as",
			name(os.Geteuid()))
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return fmt.Sprintf("its mode is %04o; make it writable for its owner: chmod 600 %s", info.Mode().Perm(), path)
	}
	whose := name(int(st.Uid))
	return fmt.Sprintf("it belongs to the user %s, and this runs as %s: run it as %[1]s (sudo -u %[1]s …), or give %[1]s's files to "+
		"this user", whose, name(os.Geteuid()))
}

func name(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func readOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

package doctor

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ClockKept reports whether the kernel knows its clock to be kept right.
func ClockKept() (known, is bool) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t) // with no mode it only asks
	if err != nil {
		return false, false
	}
	return true, state != unix.TIME_ERROR
}

// FileSystem names the kind of file system that a path is on, "" for one that needs no
// word.
func FileSystem(path string) string {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return ""
	}
	return map[uint32]string{0x6969: "nfs", 0xff534d42: "cifs", 0xfe534d42: "smb2", 0x01021997: "9p", 0x65735546: "fuse",
		0x01021994: "tmpfs", 0x858458f6: "ramfs"}[uint32(s.Type)] //nolint:unconvert // its type differs
}

// Writable reports whether this process may write into a directory.
func Writable(dir string) bool {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS) == nil
}

// OpenFiles is how many files and sockets this process may open, 0 if that is not known.
func OpenFiles() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil || l.Max > 1<<30 {
		return 0
	}
	return int(l.Max)
}

// System names this machine's system.
func System() string {
	name := "Linux"
	if b, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				if u, err := strconv.Unquote(v); err == nil {
					v = u
				}
				name = v
			}
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		name += ", Linux " + strings.TrimSpace(string(b))
	}
	return name
}

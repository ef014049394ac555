package agent

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A mount is a line of /proc/self/mountinfo.
type mount struct {
	device string // major:minor
	root   string // what of the file system is mounted
	at     string // where
}

func mounts() (all []mount) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if field := strings.Fields(s.Text()); len(field) > 4 {
			all = append(all, mount{device: field[2], root: unescaped(field[3]), at: unescaped(field[4])})
		}
	}
	return all
}

// unescaped replaces what the kernel writes as a backslash and three octal digits.
func unescaped(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// elsewhere returns the other paths at which a directory, or a directory below it, is
// mounted once more (mount --bind). Only mounts of the same file system are looked at:
// a share whose server is gone would not answer.
func elsewhere(dir string) (paths []string) {
	own, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	all := mounts()
	var home *mount
	for i := range all {
		if m := &all[i]; within(dir, m.at) && (home == nil || len(m.at) >= len(home.at)) {
			home = m
		}
	}
	if home == nil {
		return nil
	}
	rel, err := filepath.Rel(home.at, dir)
	if err != nil {
		return nil
	}
	inside := filepath.Join(home.root, rel) // of its file system
	for _, m := range all {
		if m.device != home.device {
			continue
		}
		path, same := "", own
		switch {
		case within(inside, m.root):
			rel, err := filepath.Rel(m.root, inside)
			if err != nil {
				continue
			}
			path = filepath.Join(m.at, rel)
		case within(m.root, inside):
			rel, err := filepath.Rel(inside, m.root)
			if err != nil {
				continue
			}
			path = m.at
			if same, err = os.Stat(filepath.Join(dir, rel)); err != nil {
				continue
			}
		default:
			continue
		}
		if info, err := os.Stat(path); err == nil && path != dir && os.SameFile(info, same) {
			paths = append(paths, path)
		}
	}
	return paths
}

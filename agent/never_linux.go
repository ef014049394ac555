package agent

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A mount is a line of /proc/self/mountinfo.
type mount struct {
	device string // major:minor
	root   string // what of the file system is mounted
	at     string // where
	kind   string // of file system
}

func mounts() (all []mount) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		field := strings.Fields(s.Text())
		if len(field) <= 4 {
			continue
		}
		m := mount{device: field[2], root: unescaped(field[3]), at: unescaped(field[4])}
		if i := slices.Index(field, "-"); i > 4 && i+1 < len(field) {
			m.kind = field[i+1]
		}
		all = append(all, m)
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

// homeOf returns the mount that a directory is on.
func homeOf(dir string, all []mount) (home *mount) {
	for i := range all {
		if m := &all[i]; within(dir, m.at) && (home == nil || len(m.at) >= len(home.at)) {
			home = m
		}
	}
	return home
}

// sameDisk returns where file systems are mounted that are the one a directory is on.
func sameDisk(dir string) (paths []string) {
	if real, err := resolve(dir); err == nil {
		dir = real
	}
	all := mounts()
	home := homeOf(dir, all)
	for _, m := range all {
		if home != nil && m.device == home.device {
			paths = append(paths, m.at)
		}
	}
	return paths
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
	home := homeOf(dir, all)
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

// ofKernels are the files below /proc that show what processes and memory hold: restic's
// environment, which has passwords, and the agent's memory with its keys.
var ofKernels = [][]string{{"*", "environ"}, {"*", "auxv"}, {"*", "task", "*", "environ"}, {"*", "task", "*", "auxv"}, {"kcore"}}

// restOfKernels returns what is left of each of ofKernels below a place that is itself so far below
// /proc, "" if it is that place.
func restOfKernels(place []string) (rest []string) {
	for _, file := range ofKernels {
		if len(place) > len(file) {
			continue
		}
		fits := true
		for i, name := range place {
			fits = fits && (file[i] == "*" || file[i] == name)
		}
		if fits {
			rest = append(rest, strings.Join(file[len(place):], "/"))
		}
	}
	return rest
}

// partsBelow returns the names of a path, none for the root.
func partsBelow(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// processes returns patterns of ofKernels, wherever /proc or a part of it is mounted.
func processes() (excludes []string) {
	for _, m := range mounts() {
		if m.kind != "proc" {
			continue
		}
		at := strings.TrimSuffix(plain(m.at, false), "/")
		for _, rest := range restOfKernels(partsBelow(m.root)) {
			if rest != "" {
				rest = "/" + rest
			}
			excludes = append(excludes, at+rest)
		}
	}
	return excludes
}

// ofProcesses reports whether a source is itself one of ofKernels. From 0.19 on, restic
// leaves out nothing that it is given by name, whatever the patterns say.
func ofProcesses(source string) bool {
	return slices.ContainsFunc(mounts(), func(m mount) bool {
		if m.kind != "proc" { // the server of another may be gone, and never answer
			return false
		}
		inside, ok := here.beneath(source, m.at)
		return ok && slices.Contains(restOfKernels(append(partsBelow(m.root), inside...)), "")
	})
}

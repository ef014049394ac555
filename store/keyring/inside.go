package keyring

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Inside returns where in a directory a file lies, or would lie, and "" if it does not:
// however the two are spelt, through relative paths, symbolic links or another mount of
// the same directory, and as one more hard link to a file in it. Whoever copies the
// directory has the file then.
func Inside(path, dir string) (name string) {
	file, root := resolved(path), resolved(dir)
	if rel, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(rel) {
		return file
	}
	home, err := os.Stat(root)
	if err != nil {
		return ""
	}
	for at := filepath.Dir(file); ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && os.SameFile(info, home) {
			return file
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be read here cannot be copied by us either
		}
		if other, err := d.Info(); err == nil && os.SameFile(info, other) {
			name = p
			return fs.SkipAll
		}
		return nil
	})
	return name
}

// resolved is a path without relative parts and symbolic links, as far as it is there.
func resolved(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	for range 40 { // links that lead to what is not there yet
		at, rest := path, ""
		for {
			real, err := filepath.EvalSymlinks(at)
			if err == nil {
				return filepath.Join(real, rest)
			}
			if _, err := os.Readlink(at); err == nil || at == filepath.Dir(at) {
				break
			}
			at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest)
		}
		to, err := os.Readlink(at)
		if err != nil {
			return path
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(at), to)
		}
		path = filepath.Join(to, rest)
	}
	return path
}

// MoveOut is the command that moves a key file out of a data directory, to where it is
// looked for by itself: name is what [Inside] returned for the key file at path.
func MoveOut(path, name, dir string) string {
	if name != resolved(path) { // another name of the same file
		return "rm " + quoted(name)
	}
	to := Beside(dir)
	if abs, err := filepath.Abs(to); err == nil {
		to = abs
	}
	return "mv -n " + quoted(name) + " " + quoted(to)
}

// Misplaced says that a master key lies inside a data directory, and how it is moved
// out of it; "" and "" if it does not.
func (m Master) Misplaced(dir string) (say, remedy string) {
	if m.File == "" {
		return "", ""
	}
	name := Inside(m.File, dir)
	if name == "" {
		return "", ""
	}
	say = "The key of all secrets lies inside the data directory, as " + name + ": whoever copies or backs up that directory can read every " +
		"secret."
	return say, "Stop the control plane, run " + MoveOut(m.File, name, dir) + ", and start it again without --key-file. Copies made before " +
		"hold the key, too: restic-manager key rotate makes a new one."
}

// Exposed says that everybody on the machine can read or change a master key's file, and how
// that is mended; "" and "" if not, or if it is not known.
func (m Master) Exposed() (say, remedy string) {
	if m.File == "" || runtime.GOOS == "windows" {
		return "", ""
	}
	info, err := os.Stat(m.File)
	if err != nil || info.Mode().Perm()&0o006 == 0 {
		return "", ""
	}
	return "Everybody on this machine can read or change the file with the key of all secrets, " + m.File + ".",
		"Run chmod 600 " + quoted(m.File) + ". If others may have read it, restic-manager key rotate makes a new one."
}

func quoted(path string) string { return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'" }

package agent

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// awaited returns the directory on the way to a path on which something is to be mounted
// and is not, and what says so.
func awaited(path string) (dir, by string) { return awaitedIn("/", path) }

// awaitedIn is awaited by the files of a system below root, "/" but for tests. What is
// mounted below such a directory is a disk of its own.
func awaitedIn(root, path string) (dir, by string) {
	mounted, points := mountedIn(root), mountPoints(root)
	for dir = path; !mounted[dir]; dir = filepath.Dir(dir) {
		if points[dir] != "" {
			return dir, points[dir]
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return "", ""
}

// waits says why an empty directory looks like a mount point on which nothing is mounted:
// most of the directories beside it are.
func waits(dir string) string { return waitsIn("/", dir) }

// waitsIn is waits by the files of a system below root, "/" but for tests.
func waitsIn(root, dir string) string {
	mounted := mountedIn(root)
	if mounted[dir] {
		return ""
	}
	parent := filepath.Dir(dir)
	if parent == "/" {
		return "" // there the kernel's own file systems are beside it
	}
	entries, _ := os.ReadDir(filepath.Join(root, parent))
	beside, disks, one := 0, 0, ""
	for _, d := range entries {
		if path := filepath.Join(parent, d.Name()); d.IsDir() && path != dir {
			if beside++; mounted[path] {
				disks, one = disks+1, path
			}
		}
	}
	if disks == 0 || 2*disks < beside {
		return ""
	}
	return "on the file system of its parent, while disks are mounted beside it, as on " + one
}

// mountedIn lists the directories on which something is mounted for this process. An
// automount that waits for somebody to come by is not.
func mountedIn(root string) map[string]bool {
	on := map[string]bool{}
	f, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return on
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		dash := slices.Index(fields, "-")
		if len(fields) > 4 && (dash < 0 || dash+1 >= len(fields) || fields[dash+1] != "autofs") {
			on[unescaped(fields[4])] = true
		}
	}
	return on
}

// mountPoints lists where the host's own files say that something is to be mounted, and
// which file says so: /etc/fstab, and units of systemd.
func mountPoints(root string) map[string]string {
	points := map[string]string{}
	if f, err := os.Open(filepath.Join(root, "etc/fstab")); err == nil {
		for s := bufio.NewScanner(f); s.Scan(); {
			fields := strings.Fields(s.Text())
			if len(fields) >= 3 && !strings.HasPrefix(fields[0], "#") && fields[2] != "swap" {
				points[filepath.Clean(unescaped(fields[1]))] = "/etc/fstab"
			}
		}
		_ = f.Close()
	}
	for _, dir := range []string{"etc/systemd/system", "run/systemd/system", "run/systemd/generator", "usr/local/lib/systemd/system",
		"lib/systemd/system", "usr/lib/systemd/system"} {
		entries, _ := os.ReadDir(filepath.Join(root, dir))
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext != ".mount" && ext != ".automount" {
				continue
			}
			if where := whereOf(filepath.Join(root, dir, e.Name())); where != "" && points[where] == "" {
				points[where] = "systemd's unit " + e.Name()
			}
		}
	}
	return points
}

// whereOf is the Where= of a unit, "" if it has none.
func whereOf(unit string) string {
	f, err := os.Open(unit)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if where, ok := strings.CutPrefix(strings.TrimSpace(s.Text()), "Where="); ok {
			return filepath.Clean(strings.ReplaceAll(where, "%%", "%"))
		}
	}
	return ""
}

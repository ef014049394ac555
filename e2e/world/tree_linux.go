package world

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Odd are names that programs trip over, one file of each in the folder odd of a tree.
var Odd = []string{
	"two words", " begins with a blank", "ends with one ", "line\nbreak", "tab\there", "bell\a", "escape\x1b[31m", `quote"s'`, `back\slash`,
	"star*", "question?", "[brackets]", "{braces}", "$HOME", "`id`", "--help", "-rf", "<b onmouseover=alert(1)>bold</b>", "&amp;", "%2e%2e",
	"colon: here", "käse", "日本語", "🐟", "e\u0301 combined", "right-to-left\u202Etxt.exe", "zero\u200bwidth", strings.Repeat("n", 255),
}

// Invalid are names that are not UTF-8, which restic can bring back and nobody can name.
var Invalid = []string{"latin1-\xe4\xf6", "\xff\xfe", "cut-\xe2\x82"}

// A Tree is files of every kind, and what it takes to compare them. The same seed makes the
// same tree.
type Tree struct {
	Files int    // how many, about; at least 300. A fifth of them is in one folder
	Seed  uint64 // 0 is one of its own
	Root  bool   // with what only root can make: owners, devices, capabilities
}

// Big is the tree that the proofs of restores take: 50,000 files, 10,000 in one folder.
var Big = Tree{Files: 50_000, Root: true}

// Plant makes the tree in a folder, which is made if it is not there. All times lie in the
// past, to the nanosecond.
func (p Tree) Plant(t testing.TB, dir string) {
	t.Helper()
	if err := p.plant(dir); err != nil {
		t.Fatalf("plant a tree: %v", err)
	}
}

func (p Tree) plant(dir string) error {
	g := gardener{dir: dir, rand: rand.New(rand.NewPCG(p.Seed, 17))}
	crowd := max(p.Files/5, 50)
	for i := range crowd {
		g.file(fmt.Sprintf("crowd/%05d.txt", i), g.text(40))
	}
	deep := "deep"
	for i := range 40 {
		deep += fmt.Sprintf("/level-%02d", i)
		g.file(deep+"/leaf", g.text(20))
	}
	for i, name := range slices.Concat(Odd, Invalid) {
		g.file("odd/"+name, []byte(fmt.Sprintf("odd %d", i)))
		if len(name) < 200 {
			g.file("odd-folders/"+name+"/inside", []byte(fmt.Sprintf("inside %d", i)))
		}
	}
	long := "long"
	for len(long) < 3500 {
		long += "/" + strings.Repeat("l", 200)
	}
	g.file("kinds/empty", nil)
	g.file("kinds/large", g.text(3<<20))
	g.sparse("kinds/sparse", 8<<20)
	g.file("kinds/hard-1", []byte("one file of two names"))
	g.link("kinds/hard-1", "kinds/hard-2")
	g.link("kinds/hard-1", "kinds/elsewhere/hard-3")
	g.symlink("empty", "kinds/link")
	g.symlink("/nonexistent/target", "kinds/dangling")
	g.symlink("..", "kinds/up")
	g.fifo("kinds/pipe")
	g.file("kinds/setuid", []byte("#!/bin/sh\n"))
	g.mode("kinds/setuid", 0o4755)
	g.file("kinds/setgid", []byte("#!/bin/sh\n"))
	g.mode("kinds/setgid", 0o2755)
	g.file("kinds/closed", []byte("nobody reads this"))
	g.mode("kinds/closed", 0)
	g.folder("kinds/sticky")
	g.mode("kinds/sticky", 0o1777)
	g.folder("kinds/setgid-folder")
	g.mode("kinds/setgid-folder", 0o2775)
	g.folder("kinds/empty-folder")
	g.file("kinds/attributes", []byte("with attributes"))
	g.xattr("kinds/attributes", "user.comment", []byte("a\x00b"))
	if p.Root {
		g.file("kinds/of-anna", []byte("anna's"))
		g.owner("kinds/of-anna", 1001, 1002)
		g.file("kinds/capable", []byte("#!/bin/sh\n"))
		g.mode("kinds/capable", 0o755)
		g.xattr("kinds/capable", "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		g.owner("kinds/setgid-folder", 1001, 1002)
		g.mode("kinds/setgid-folder", 0o2775)
	}
	for g.files < p.Files {
		g.file(fmt.Sprintf("many/%02d/%02d/file-%d.bin", g.rand.IntN(40), g.rand.IntN(25), g.files), g.text(g.rand.IntN(600)))
	}
	if g.err == nil {
		g.err = g.longPath(long)
	}
	g.times()
	return g.err
}

// A gardener plants, until something goes wrong.
type gardener struct {
	dir   string
	rand  *rand.Rand
	files int
	err   error
	made  map[string]bool
}

func (g *gardener) do(err error) {
	if g.err == nil {
		g.err = err
	}
}

func (g *gardener) at(name string) string { return filepath.Join(g.dir, name) }

func (g *gardener) text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rand.Uint32())
	}
	return b
}

func (g *gardener) folder(name string) {
	if g.made == nil {
		g.made = map[string]bool{}
	}
	if !g.made[name] {
		g.made[name] = true
		g.do(os.MkdirAll(g.at(name), 0o755))
	}
}

func (g *gardener) file(name string, content []byte) {
	i := strings.LastIndexByte(name, '/')
	g.folder(name[:i])
	g.files++
	g.do(os.WriteFile(g.at(name), content, 0o644))
}

func (g *gardener) sparse(name string, size int64) {
	g.file(name, nil)
	f, err := os.OpenFile(g.at(name), os.O_WRONLY, 0)
	if err != nil {
		g.do(err)
		return
	}
	_, err = f.WriteAt([]byte("in the middle"), size/2)
	g.do(errors.Join(err, f.Truncate(size), f.Close()))
}

func (g *gardener) link(from, to string) {
	g.folder(to[:strings.LastIndexByte(to, '/')])
	g.files++
	g.do(os.Link(g.at(from), g.at(to)))
}

func (g *gardener) symlink(to, name string) { g.files++; g.do(os.Symlink(to, g.at(name))) }
func (g *gardener) fifo(name string)        { g.files++; g.do(syscall.Mkfifo(g.at(name), 0o600)) }
func (g *gardener) owner(name string, uid, gid int) {
	g.do(os.Lchown(g.at(name), uid, gid))
}
func (g *gardener) mode(name string, mode uint32) { g.do(syscall.Chmod(g.at(name), mode)) }
func (g *gardener) xattr(name, attribute string, value []byte) {
	g.do(syscall.Setxattr(g.at(name), attribute, value, 0))
}

// longPath makes a file whose path from the tree on has almost 3,900 bytes: with what is
// before it, it is longer than the system takes at once.
func (g *gardener) longPath(name string) error {
	here, err := os.Open(g.dir)
	if err != nil {
		return err
	}
	fd := int(here.Fd())
	defer here.Close()
	var open []int
	defer func() {
		for _, fd := range open {
			syscall.Close(fd)
		}
	}()
	for part := range strings.SplitSeq(name, "/") {
		if err := syscall.Mkdirat(fd, part, 0o755); err != nil && !errors.Is(err, syscall.EEXIST) {
			return err
		}
		if fd, err = syscall.Openat(fd, part, syscall.O_DIRECTORY|syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err != nil {
			return err
		}
		open = append(open, fd)
		if len(g.dir)+len(name) > 3900 && len(open) > (3900-len(g.dir)-200)/201 {
			break // restic names files by their whole path, and takes what the system takes
		}
	}
	file, err := syscall.Openat(fd, "leaf", syscall.O_CREAT|syscall.O_WRONLY|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	_, err = syscall.Write(file, []byte("far down"))
	return errors.Join(err, syscall.Close(file))
}

// times gives each entry a time of its own, folders last.
func (g *gardener) times() {
	if g.err != nil {
		return
	}
	base, n := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), 0
	var all []string
	g.do(filepath.WalkDir(g.dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	for _, path := range slices.Backward(all) {
		n++
		at := base.Add(time.Duration(n)*time.Second + time.Duration(n%1000)*time.Microsecond + time.Duration(n%997))
		ts := []unix.Timespec{unix.NsecToTimespec(at.UnixNano()), unix.NsecToTimespec(at.UnixNano())}
		g.do(unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// Leave says what Differences does not compare.
type Leave struct {
	Owners bool // a restore without owners: nor the bits that go with them
	Times  bool
}

// Differences compares two trees, byte by byte: contents, kinds, rights, owners, times, links
// and what they lead to, names of one file, attributes. It returns at most 20 of what
// differs.
func Differences(want, got string, leave Leave) (all []string) {
	differ := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	inodes := map[uint64]string{} // of want, and the inode in got
	seen := map[string]bool{}
	err := filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if len(all) >= 20 {
			return fs.SkipAll
		}
		rel, _ := filepath.Rel(want, path)
		seen[rel] = true
		other := filepath.Join(got, rel)
		a, err := os.Lstat(path)
		if err != nil {
			return err
		}
		b, err := os.Lstat(other)
		if err != nil {
			differ("%q is missing: %v", rel, err)
			return nil
		}
		if a.Mode().Type() != b.Mode().Type() {
			differ("%q is %v, want %v", rel, b.Mode(), a.Mode())
			return nil
		}
		was, is := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
		if a.Mode()&fs.ModeSymlink != 0 {
			one, _ := os.Readlink(path)
			two, _ := os.Readlink(other)
			if one != two {
				differ("%q leads to %q, want %q", rel, two, one)
			}
		} else if mask := uint32(0o7777); leave.Owners {
			if is.Mode&0o6000 != 0 || is.Mode&0o1777 != was.Mode&0o1777 {
				differ("%q has the rights %o, want %o without set-user-ID and set-group-ID", rel, is.Mode&mask, was.Mode&mask)
			}
		} else if is.Mode&mask != was.Mode&mask {
			differ("%q has the rights %o, want %o", rel, is.Mode&mask, was.Mode&mask)
		}
		if !leave.Owners && (is.Uid != was.Uid || is.Gid != was.Gid) {
			differ("%q belongs to %d:%d, want %d:%d", rel, is.Uid, is.Gid, was.Uid, was.Gid)
		}
		if !leave.Times && !a.ModTime().Equal(b.ModTime()) && rel != "." {
			differ("%q is of %v, want %v", rel, b.ModTime(), a.ModTime())
		}
		if a.Mode().IsRegular() {
			if a.Size() != b.Size() {
				differ("%q has %d bytes, want %d", rel, b.Size(), a.Size())
			} else if one, two := sum(path), sum(other); one != two {
				differ("%q has other bytes", rel)
			}
			if key := fmt.Sprint(is.Dev, ":", is.Ino); was.Nlink > 1 {
				if known, there := inodes[was.Ino]; there && known != key {
					differ("%q is not one file with its other names", rel)
				}
				inodes[was.Ino] = key
			}
		}
		if one, two := attributes(path, leave.Owners), attributes(other, false); a.Mode()&fs.ModeSymlink == 0 && one != two {
			differ("%q has the attributes %q, want %q", rel, two, one)
		}
		return nil
	})
	if err != nil {
		differ("%v", err)
	}
	err = filepath.WalkDir(got, func(path string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(got, path); err == nil && !seen[rel] && len(all) < 20 {
			differ("%q is too much", rel)
		}
		return err
	})
	if err != nil {
		differ("%v", err)
	}
	return all
}

func sum(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err.Error()
	}
	return string(h.Sum(nil))
}

// attributes are the extended attributes of a file in one text.
func attributes(path string, withoutCapability bool) string {
	names := make([]byte, 64<<10)
	n, err := syscall.Listxattr(path, names)
	if err != nil {
		return ""
	}
	var all []string
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		if len(name) == 0 || withoutCapability && string(name) == "security.capability" {
			continue
		}
		value := make([]byte, 64<<10)
		m, err := syscall.Getxattr(path, string(name), value)
		all = append(all, fmt.Sprintf("%s=%x %v", name, value[:max(m, 0)], err))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

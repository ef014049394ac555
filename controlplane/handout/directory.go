package handout

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/shelf"
)

// A File is one program or package of the agent that is handed out.
type File struct {
	Name     string
	Version  string
	OS, Arch string // "linux" or "windows", and as Go names processors; armv7 is arm
	Kind     string // one of Kinds
	Size     int64
	SHA256   string // in hexadecimal digits
	Modified time.Time
}

// Kinds of files: packages, and the program itself.
const (
	Deb    = "deb"
	RPM    = "rpm"
	APK    = "apk"
	MSI    = "msi"
	Zip    = "zip" // of the program for Windows
	Binary = "binary"
)

// Kinds lists them.
var Kinds = []string{Deb, RPM, APK, MSI, Zip, Binary}

const prefix = "restic-manager-agent_"

var architectures = map[string]string{"amd64": "amd64", "arm64": "arm64", "aarch64": "arm64", "armv7": "armv7", "armhf": "armv7",
	"armv7hl": "armv7", "arm": "armv7", "386": "386", "i386": "386"}

// fileOf reads from a name what a file is: restic-manager-agent_VERSION_ARCH.deb, and of
// the program itself restic-manager-agent_VERSION_linux_ARCH or …_windows_ARCH.exe.
func fileOf(name string) (f File, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+~-", r))
	}) {
		return f, false
	}
	f = File{Name: name, Kind: Binary, OS: "linux"}
	for _, kind := range []string{Deb, RPM, APK, MSI, Zip} {
		if cut, ok := strings.CutSuffix(rest, "."+kind); ok {
			rest, f.Kind = cut, kind
		}
	}
	if cut, ok := strings.CutSuffix(rest, ".exe"); ok {
		rest = cut
	}
	rest = strings.ReplaceAll(rest, "x86_64", "amd64")
	rest, arch, ok := cutLast(rest, "_")
	if !ok || architectures[arch] == "" {
		return f, false
	}
	f.Arch = architectures[arch]
	if version, system, ok := cutLast(rest, "_"); ok && (system == "linux" || system == "windows") {
		rest, f.OS = version, system
	} else if f.Kind == Binary {
		return f, false
	}
	if f.Kind == MSI || f.Kind == Zip {
		f.OS = "windows"
	}
	f.Version = rest
	return f, rest != "" && !strings.Contains(rest, "_")
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// newer compares versions: numbers count as numbers, and what follows ~ or - comes before
// what has none, as 1.2.0~rc1 before 1.2.0.
func newer(a, b string) int {
	for {
		var x, y string
		x, a = part(a)
		y, b = part(b)
		if x == "" && y == "" {
			return 0
		}
		n, xerr := strconv.ParseUint(x, 10, 64)
		m, yerr := strconv.ParseUint(y, 10, 64)
		c := 0
		switch {
		case xerr == nil && yerr == nil:
			c = cmp.Compare(n, m)
		default:
			c = cmp.Compare(rank(x), rank(y))
			if c == 0 {
				c = cmp.Compare(x, y)
			}
		}
		if c != 0 {
			return c
		}
	}
}

// rank orders what is no number: a beta is less than nothing, and a number is more.
func rank(part string) int {
	switch {
	case part == "":
		return 1
	case part[0] == '~' || part[0] == '-':
		return 0
	}
	return 2
}

// part takes the first run of digits, or of anything else, off a version.
func part(s string) (first, rest string) {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	for i := 1; i < len(s); i++ {
		if digit(s[i]) != digit(s[0]) {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// A directory knows the files and their checksums, which are computed again when a file
// changes.
type directory struct {
	dirs []string // of which it is one

	mu    sync.Mutex
	path  string // which one it was
	files []File
	at    time.Time // when it was looked at last
}

// mostFiles bounds what is looked at; a release has about twenty.
const mostFiles = 500

// choose is the first directory with the name of an agent in it, or the last.
func (d *directory) choose() string {
	path := ""
	for _, path = range d.dirs {
		entries, _ := os.ReadDir(path) // what is wrong with it is seen when it is looked into
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
			_, ok := fileOf(e.Name())
			return ok
		}) {
			break
		}
	}
	return path
}

// list is the newest file for each system, processor and kind, by name, and the directory
// they are in, "" if there is none. What the manifest names goes before what is newer:
// hosts are updated to it. It looks there at most once a second.
func (d *directory) list() (path string, files []File, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files != nil && time.Since(d.at) < time.Second && time.Since(d.at) >= 0 {
		return d.path, d.files, nil
	}
	path = d.choose()
	if path != d.path {
		d.path, d.files = path, nil
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return path, nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return path, nil, err
	}
	if info, err := root.Stat("."); err != nil {
		return path, nil, err
	} else if strangers(info) {
		return path, nil, errStrangers
	}
	best, named := map[[3]string]File{}, shelf.Named(path)
	for i, e := range entries {
		f, ok := fileOf(e.Name())
		if !ok || i >= mostFiles {
			continue
		}
		if info, err := root.Stat(f.Name); err != nil || !info.Mode().IsRegular() {
			continue
		} else if strangers(info) {
			return path, nil, errStrangers
		}
		key := [3]string{f.OS, f.Arch, f.Kind}
		if was, ok := best[key]; !ok || named[f.Name] && !named[was.Name] ||
			named[f.Name] == named[was.Name] && newer(f.Version, was.Version) > 0 {
			best[key] = f
		}
	}
	files = make([]File, 0, len(best))
	for _, f := range best {
		if f, err = d.summed(root, f); errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		} else if err != nil {
			return path, nil, err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	d.files, d.at = files, time.Now()
	return path, files, nil
}

// summed is a file with its checksum, as it was computed before if the file is the same.
func (d *directory) summed(root *os.Root, f File) (File, error) {
	r, err := root.Open(f.Name)
	if err != nil {
		return f, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return f, err
	}
	f.Size, f.Modified = info.Size(), info.ModTime()
	for _, was := range d.files {
		if was.Name == f.Name && was.Size == f.Size && was.Modified.Equal(f.Modified) {
			return was, nil
		}
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return f, fmt.Errorf("read %s: %w", f.Name, err)
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

// open opens a file that is on the list, as it is there.
func (d *directory) open(name string) (File, *os.File, error) {
	path, files, err := d.list()
	if err != nil {
		return File{}, nil, err
	}
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return File{}, nil, fs.ErrNotExist
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return File{}, nil, err
	}
	defer root.Close()
	r, err := root.Open(name)
	if err != nil {
		return File{}, nil, err
	}
	if info, err := r.Stat(); err != nil || info.Size() != files[i].Size || !info.ModTime().Equal(files[i].Modified) {
		return File{}, nil, errors.Join(errChanged, err, r.Close())
	}
	return files[i], r, nil
}

// strangers reports whether any user of this machine may write to a file or directory. What
// is handed out runs as root on the hosts.
func strangers(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o002 != 0
}

var errStrangers = errors.New("any user of this machine may write there")

var errChanged = errors.New("the file was changed a moment ago")

package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"github.com/restic-manager/restic-manager/topics"
)

// A fileID is what a system says a file is: its volume and its number there. Two paths
// with the same one lead to the same file, however they are spelt.
type fileID struct {
	volume uint64
	low    uint64
	high   uint64 // of 128 bits, where a file system numbers its files so
}

// A system answers what paths lead to. Its functions compare files and never names; a
// test makes one up to have another system's rules here.
type system struct {
	windows bool
	id      func(path string) (fileID, bool) // of what is there, links followed
	names   func(dir string) []string        // as a listing of the directory spells them
}

// here is this machine.
var here = system{windows: runtime.GOOS == "windows", id: idOf, names: namesIn}

// namesIn lists a directory, as far as it can be read.
func namesIn(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// parent returns the directory of a path, and the path's last part; a path without a
// directory is its own.
func (s system) parent(path string) (dir, name string) {
	if !s.windows {
		if dir = filepath.Dir(path); dir == path {
			return path, ""
		}
		return dir, filepath.Base(path)
	}
	root := windowsRoot(path)
	rest := strings.TrimRight(path[len(root):], `\/`)
	if rest == "" {
		return path, ""
	}
	i := strings.LastIndexAny(rest, `\/`)
	return root + rest[:max(i, 0)], rest[i+1:]
}

func (s system) join(dir string, names []string) string {
	separator := "/"
	if s.windows {
		separator = `\`
	}
	if len(names) == 0 {
		return dir
	}
	if dir == "" || !s.parts(dir[len(dir)-1]) {
		dir += separator
	}
	return dir + strings.Join(names, separator)
}

// beneath reports whether path is root or lies below it, by what the system says they
// are and not by their names, and how path continues after root, as listings spell it.
func (s system) beneath(path, root string) (rest []string, ok bool) {
	top, ok := s.id(root)
	if !ok {
		return nil, false
	}
	for at := path; ; {
		if id, there := s.id(at); there && id == top {
			return rest, true
		}
		dir, name := s.parent(at)
		if name == "" {
			return nil, false
		}
		rest = append([]string{s.listed(dir, name)}, rest...)
		at = dir
	}
}

// listed returns a name as a listing of its directory has it: restic compares patterns
// with that, and a file system that takes capitals for the same, or short names beside
// the long ones, finds the file by others, too.
func (s system) listed(dir, name string) string {
	at := s.join(dir, []string{name})
	id, ok := s.id(at)
	if !ok || !s.windows { // elsewhere only some file systems do so
		other := swapped(name)
		if again, found := s.id(s.join(dir, []string{other})); !ok || other == name || !found || again != id {
			return name
		}
	}
	for _, n := range s.names(dir) {
		if n == name {
			return name
		}
	}
	for _, n := range s.names(dir) {
		if again, found := s.id(s.join(dir, []string{n})); found && again == id {
			return n
		}
	}
	return name
}

// swapped returns a name with its capitals small and the other way round.
func swapped(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, name)
}

// leftOut returns where what no backup saves lies below the sources.
func (s system) leftOut(all []own, sources []string) (found []topics.Own) {
	for _, source := range sources {
		for _, o := range all {
			for _, dir := range o.seen {
				rest, ok := s.beneath(dir, source)
				if !ok || len(rest) == 0 {
					continue
				}
				path := s.join(source, rest)
				inside := func(f topics.Own) bool { return s.inside(path, f.Path) }
				if !slices.ContainsFunc(found, inside) {
					found = append(found, topics.Own{Path: path, What: o.what})
				}
			}
		}
	}
	return found
}

// inside reports whether a path is another or continues it, by their names.
func (s system) inside(path, dir string) bool {
	if s.windows {
		path, dir = strings.ToLower(strings.ReplaceAll(path, "/", `\`)), strings.ToLower(strings.ReplaceAll(dir, "/", `\`))
	}
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || s.parts(rest[0]) || dir != "" && s.parts(dir[len(dir)-1]))
}

// parts reports whether a byte parts the names in a path.
func (s system) parts(c byte) bool { return c == '/' || s.windows && c == '\\' }

// windowsRoots are the beginnings of a path on Windows that name no directory: a drive, a
// share, a volume by its GUID, a shadow copy.
var windowsRoots = regexp.MustCompile(`(?i)^(?:[\\/]{2}\?[\\/]UNC[\\/][^\\/]+[\\/][^\\/]+[\\/]?` +
	`|[\\/]{2}\?[\\/]GLOBALROOT[\\/]Device[\\/]HarddiskVolumeShadowCopy[0-9]+[\\/]` +
	`|[\\/]{2}\?[\\/]Volume\{[0-9a-f-]+\}[\\/]` +
	`|[\\/]{2}\?[\\/][a-z]:[\\/]` +
	`|[\\/]{2}[^\\/?.][^\\/]*[\\/][^\\/]+[\\/]?` +
	`|[a-z]:[\\/])`)

// windowsRoot returns the part of a path that windowsRoots is, "" if there is none.
func windowsRoot(path string) string { return windowsRoots.FindString(path) }

// misspelt says why a path on Windows is not used, "" if it is: Windows drops dots and
// blanks at the end of a name, and restic does not, so that both would mean two files; a
// colon names a stream of a file beside its content; and a device is no directory.
func misspelt(path string) string {
	root := windowsRoot(path)
	if root == "" {
		return "it begins with neither a drive nor a share. Write such as C:\\Data or \\\\server\\share"
	}
	for _, name := range strings.FieldsFunc(path[len(root):], func(r rune) bool { return r == '\\' || r == '/' }) {
		switch {
		case name == "." || name == "..":
		case strings.TrimRight(name, ". ") != name:
			return "a name in it ends in a dot or a blank, which Windows takes for the name without. Leave out what ends it"
		case strings.ContainsRune(name, ':'):
			return "a name in it holds a colon, which names a stream of a file and not the file. Leave out the colon and what follows"
		}
	}
	return ""
}

// ordinary returns a path of Windows without the prefix that turns off its rules.
func ordinary(path string) string {
	if rest, ok := cutFold(path, `\\?\UNC\`); ok {
		return `\\` + rest
	}
	if rest, ok := strings.CutPrefix(path, `\\?\`); ok && len(rest) > 2 && rest[1] == ':' {
		return rest
	}
	return path
}

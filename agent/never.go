package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// An own is a directory or file that no backup to a repository saves, whatever the policy says:
// the repository itself, which would grow with every run, and the agent's own files,
// with its keys, its cache and what was restored beside them.
type own struct {
	dir  string // where it really is
	what string // one of topics.OwnRepository, OwnAgent and ofKernel
	seen []string
}

// ownDirectories lists what no backup to the repository saves. seen of each has all the
// paths under which it, or a part of it, is found on this system.
func ownDirectories(state string, also []string, repository location.Address) (all []own) {
	add := func(dir, what string) {
		real, err := resolve(dir)
		if err != nil {
			real = filepath.Clean(dir)
		}
		if !slices.ContainsFunc(all, func(o own) bool { return o.dir == real }) {
			all = append(all, own{dir: real, what: what, seen: append([]string{real}, elsewhere(real)...)})
		}
	}
	if path := localPath(repository); path != "" {
		for _, part := range partsOf(path) {
			add(part, topics.OwnRepository)
		}
	}
	for _, dir := range append([]string{state, filepath.Join(state, quarantine)}, also...) {
		add(dir, topics.OwnAgent)
	}
	return all
}

// ofKernel is a file by which the kernel shows what processes hold, passwords among it.
const ofKernel = "kernel"

// layout are the names in the directory of a repository that are restic's.
var layout = []string{"config", "data", "index", "keys", "locks", "snapshots"}

// partsOf returns what no backup saves of the directory of a repository: all of it, or
// what is restic's if there is anything else in it. On a disk that is a repository from
// its root on, somebody's files may lie beside.
func partsOf(dir string) (parts []string) {
	entries, err := os.ReadDir(dir)
	if err != nil || !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return !slices.Contains(layout, e.Name()) }) {
		return []string{dir}
	}
	for _, name := range layout {
		parts = append(parts, filepath.Join(dir, name))
	}
	return parts
}

// localPath returns the directory of a repository that is a path on this host, also one
// that is reached through rclone; "" if it is elsewhere, or nobody can tell.
func localPath(a location.Address) string {
	path := ""
	switch a.Scheme() {
	case location.Local:
		path = a.Path()
	case "rclone":
		rest := a.Rest()
		if after, ok := strings.CutPrefix(rest, ":local"); ok {
			if i := strings.Index(after, ":"); i >= 0 {
				rest = after[i+1:]
			}
		}
		path = rest
	}
	if !filepath.IsAbs(path) {
		return ""
	}
	return filepath.Clean(path)
}

// holds returns the one of them that a source is, or is a part of.
func holds(all []own, source string) (own, bool) {
	for _, o := range all {
		for _, dir := range o.seen {
			if _, ok := here.beneath(source, dir); ok {
				return o, true
			}
		}
	}
	return own{}, false
}

// reaches reports whether a directory holds one of them somewhere below it, or is one.
func reaches(all []own, dir string) bool {
	return slices.ContainsFunc(all, func(o own) bool {
		return slices.ContainsFunc(o.seen, func(at string) bool {
			_, ok := here.beneath(at, dir)
			return ok
		})
	})
}

// leftOut returns where they are below the sources that restic is given, each spelt as
// restic comes by it.
func leftOut(all []own, sources []string) []topics.Own { return here.leftOut(all, sources) }

// never returns the patterns of what is left out. They come after a group's own: what
// that takes back in with "!" stays out.
func never(out []topics.Own) (excludes []string) {
	for _, o := range out {
		excludes = append(excludes, plain(o.Path, runtime.GOOS == "windows"))
	}
	return excludes
}

// plain returns the pattern that matches this path alone.
func plain(path string, windows bool) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch {
		case strings.IndexByte("*?[", c) >= 0:
			b.WriteString("[" + string(c) + "]")
		case c == '\\' && !windows:
			b.WriteString(`\\`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// An ownSource is why a source is not saved: it is one of ours.
type ownSource struct{ own }

func (e ownSource) Error() string {
	if e.what == topics.OwnRepository {
		return fmt.Sprintf("lies in the repository %.200q that it would go into, and no backup saves that", e.dir)
	}
	if e.what == ofKernel {
		return "shows what a process holds, its passwords among it, and no backup saves that"
	}
	return fmt.Sprintf("lies in the agent's own files, %.200q, and no backup saves those", e.dir)
}

// ownWords says in the log what is left out.
func ownWords(o topics.Own) string {
	what := "the agent's own files"
	if o.What == topics.OwnRepository {
		what = "the repository that this backup goes into"
	}
	return fmt.Sprintf("%q is left out: it is %s", o.Path, what)
}

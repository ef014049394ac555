package agent

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// listDirectory lists the directories in one whose links were resolved. It is opened below
// its root, so that a link which was put into its way since leads nowhere.
func listDirectory(allowed []string, real string, hidden func(string) bool) topics.Answer {
	failed := func(err error) topics.Answer {
		return topics.Answer{Cause: topics.CausePermission, Message: err.Error()}
	}
	top := ""
	for _, root := range allowed {
		if to, err := resolve(root); err == nil && within(real, to) && len(to) > len(top) {
			top = to
		}
	}
	root, err := os.OpenRoot(top)
	if err != nil {
		return failed(err)
	}
	defer root.Close()
	rel, err := filepath.Rel(top, real)
	if err != nil {
		return failed(err)
	}
	dir, err := root.Open(rel)
	if err != nil {
		return failed(err)
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		return topics.Answer{Cause: topics.CauseNotFound, Message: "This is no directory."}
	}
	a := topics.Answer{Path: real}
	if free, _, err := process.Space(real); err == nil {
		a.FreeBytes = &free
	}
	entries, err := dir.ReadDir(-1)
	if err != nil && len(entries) == 0 {
		return failed(err)
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	for _, e := range entries {
		at := filepath.Join(real, e.Name())
		to := at
		switch {
		case e.IsDir():
		case e.Type()&fs.ModeSymlink != 0:
			var err error
			if to, err = filepath.EvalSymlinks(at); err != nil || !leads(to, allowed) {
				continue
			}
			if info, err := os.Stat(to); err != nil || !info.IsDir() {
				continue
			}
		default:
			continue
		}
		if hidden(to) {
			continue
		}
		if len(a.Directories) == mostDirectories {
			a.Truncated = true
			break
		}
		a.Directories = append(a.Directories, topics.Directory{Name: e.Name(), Writable: writable(to)})
	}
	return a
}

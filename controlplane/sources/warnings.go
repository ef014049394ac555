package sources

import (
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/patterns"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// maxWarnings is how many paths warnings name one by one.
const maxWarnings = 5

// Warnings says, in sentences for people, what is wrong with a source group as it is
// saved: a pattern that restic refuses, from before these were refused, and what most
// likely is not meant: patterns that leave out everything of a path.
func Warnings(g store.SourceGroup) (all []string) {
	if said := Broken(g); said != "" {
		all = append(all, "Every backup of this source group fails, because restic refuses a pattern of it. "+
			"Nothing that was saved before is lost. Change the source group. "+said)
	}
	out := map[string]string{} // by path
	for _, path := range g.Paths {
		if by := patterns.Parse(g.Excludes, !strings.HasPrefix(path, "/")).All(path); by != "" {
			out[path] = by
		}
	}
	if len(out) == 0 {
		return all
	}
	if len(out) == len(g.Paths) {
		all = append(all, "Backups of this source group save nothing: its patterns leave out everything in every path.")
	}
	for _, path := range g.Paths {
		by, is := out[path]
		if !is {
			continue
		}
		if len(all) == maxWarnings {
			all = append(all, "The same goes for other paths.")
			break
		}
		all = append(all, fmt.Sprintf("Nothing in %.200q is saved: the pattern %.200q leaves out all of it.", path, by))
		delete(out, path)
	}
	return all
}

// Leads says which sources of a backup were symbolic links, and where they led.
func Leads(s topics.Summary) (all []string) {
	for _, source := range s.Sources {
		if source.Read == "" {
			continue
		}
		text := source.Path + " leads to " + source.Read
		if source.Was != "" {
			text += ", before to " + source.Was
		}
		all = append(all, text)
	}
	return all
}

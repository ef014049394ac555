package sources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
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

// LeftOut says what backups of a source group leave out by themselves, as far as the
// names say it: a repository that is a path below one of the group's. address is the
// repository's. The host knows it by what its paths lead to.
func LeftOut(g store.SourceGroup, address string) (all []string) {
	if location.Scheme(address) != location.Local {
		return nil
	}
	repository := parts(strings.TrimPrefix(address, location.Local+":"))
	for _, path := range g.Paths {
		switch of := parts(path); {
		case len(of) > len(repository) && slices.Equal(of[:len(repository)], repository), slices.Equal(of, repository):
			all = append(all, fmt.Sprintf("Nothing in %.200q is saved: it lies in the repository that the backup goes into.", path))
		case len(of) < len(repository) && slices.Equal(repository[:len(of)], of):
			all = append(all, fmt.Sprintf("The repository lies below %.200q. Backups leave it out, so that it does not save itself.", path))
		}
	}
	return all
}

// parts takes a path of Linux or Windows apart.
func parts(path string) []string {
	windows := !strings.HasPrefix(path, "/")
	if windows {
		path = strings.ToLower(path)
	}
	return slices.DeleteFunc(strings.FieldsFunc(path, func(r rune) bool { return r == '/' || windows && r == '\\' }),
		func(part string) bool { return part == "." })
}

// Owned says where a backup found the repository it goes into, and left it out.
func Owned(s topics.Summary) (all []string) {
	for _, o := range s.Own {
		if o.What == topics.OwnRepository {
			all = append(all, o.Path+" is left out: the repository that the backup goes into")
		}
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

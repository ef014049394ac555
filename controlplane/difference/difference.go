// Package difference puts what a diff of two snapshots found together by folder.
package difference

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// A Kind is what became of a file.
type Kind string

// The kinds, the gravest first.
const (
	Damaged  Kind = "damaged"  // restic's ?: other content though size and times are the same
	Removed  Kind = "removed"  // -
	Typed    Kind = "type"     // T: a file became a folder, a link or the like
	Changed  Kind = "changed"  // M: other content
	Added    Kind = "added"    // +
	Metadata Kind = "metadata" // U: owner, rights or times alone
	Other    Kind = "other"    // what a later restic says
)

// Kinds are all kinds.
var Kinds = []Kind{Damaged, Removed, Typed, Changed, Added, Metadata, Other}

// KindOf is the gravest of what restic's modifiers say.
func KindOf(modifier string) Kind {
	for _, m := range []struct {
		sign string
		kind Kind
	}{{"?", Damaged}, {"-", Removed}, {"T", Typed}, {"M", Changed}, {"+", Added}, {"U", Metadata}} {
		if strings.Contains(modifier, m.sign) {
			return m.kind
		}
	}
	return Other
}

// A Change is one path that differs.
type Change struct {
	Path   string // as restic says it: a folder ends with a slash
	Name   string // its last part, a folder's with its slash
	Folder string // in which it is: "/" or "/srv/data"
	Kind   Kind
}

// A Sum counts changes by kind.
type Sum map[Kind]int

// Total is how many there are.
func (s Sum) Total() (n int) {
	for _, m := range s {
		n += m
	}
	return n
}

// A Folder holds what changed directly in it, and sums over all below it.
type Folder struct {
	Path    string
	Changes []Change
	Sum     Sum // of all below, its own included
}

// A View is a diff as a page shows it.
type View struct {
	Sum     Sum // of everything, whatever the filter
	Found   int // changes that the filter finds
	Folders []Folder
}

// Of puts changes together: those of a kind, "" is each, with a text in their paths, in
// capitals or not; by folder, in order, from one change on and at most so many.
func Of(changes []topics.Change, kind Kind, text string, from, most int) View {
	v := View{Sum: Sum{}}
	text = strings.ToLower(text)
	var list []Change
	below := map[string]Sum{}
	for _, c := range changes {
		one := Change{Path: c.Path, Kind: KindOf(c.Modifier)}
		bare := strings.TrimRight(c.Path, "/")
		one.Folder = path.Dir(bare)
		one.Name = c.Path[strings.LastIndex(bare, "/")+1:]
		v.Sum[one.Kind]++
		if kind != "" && one.Kind != kind || text != "" && !strings.Contains(strings.ToLower(c.Path), text) {
			continue
		}
		for dir := one.Folder; ; dir = path.Dir(dir) {
			if below[dir] == nil {
				below[dir] = Sum{}
			}
			below[dir][one.Kind]++
			if dir == "/" || dir == "." {
				break
			}
		}
		list = append(list, one)
	}
	slices.SortStableFunc(list, func(a, b Change) int { return cmp.Or(cmp.Compare(a.Folder, b.Folder), cmp.Compare(a.Name, b.Name)) })
	v.Found = len(list)
	from = min(max(from, 0), len(list))
	for _, c := range list[from:min(from+most, len(list))] {
		if n := len(v.Folders); n == 0 || v.Folders[n-1].Path != c.Folder {
			v.Folders = append(v.Folders, Folder{Path: c.Folder, Sum: below[c.Folder]})
		}
		f := &v.Folders[len(v.Folders)-1]
		f.Changes = append(f.Changes, c)
	}
	return v
}

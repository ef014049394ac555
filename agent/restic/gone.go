package restic

import (
	"slices"
	"strings"
)

// A needing operation reads snapshots that it names.
type needing interface{ needs() []string }

func (d *diff) needs() []string      { return []string{d.From, d.To} }
func (r *restore) needs() []string   { return []string{r.Snapshot} }
func (l *listing) needs() []string   { return []string{l.snapshot} }
func (d *directory) needs() []string { return []string{d.id} }

// absent are the words by which storages say that there is no such object, besides the status
// 404: a bare number may be of a name.
var absent = []string{"not exist", "doesn't exist", "no such file", "not found", "nosuchkey", "cannot find the file"}

// gone returns the ID of a snapshot that an operation needs and that a line says is not
// there, "" if the line does not say that. All versions look for the beginning of an ID among
// the names of all snapshots; from 0.17 on a whole ID is loaded at once, and its file is not
// there.
func gone(op operation, line string) string {
	n, is := op.(needing)
	if !is || strings.Contains(line, " returned error, retrying after ") {
		return ""
	}
	low := strings.ToLower(line)
	says := func(w string) bool { return strings.Contains(low, w) }
	for _, id := range n.needs() {
		if id == "" {
			continue
		}
		named := strings.Contains(line, "<snapshot/"+cut(id, 10)) || strings.Contains(line, "load snapshot "+cut(id, 8))
		if strings.Contains(line, `no matching ID found for prefix "`+id+`"`) ||
			named && !says("bucket") && (slices.Contains(statuses(low), "404") || slices.ContainsFunc(absent, says)) {
			return id
		}
	}
	return ""
}

// noSnapshotWords is how an ending says that a snapshot is not there.
func noSnapshotWords(id string) string { return "the repository has no snapshot " + id }

package web

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestTheFormOfAWindowsHostFitsIt(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.permits("windows", topics.Permits{Kinds: []topics.JobKind{topics.BackupJob}})
	admin := w.person(store.Admin)
	begin := "/hosts/" + string(attic.id) + "/source-groups/new"
	page := admin.do("GET", begin, nil).text
	if !strings.Contains(page, "pagefile.sys\nhiberfil.sys") || !strings.Contains(page, "$RECYCLE.BIN") ||
		strings.Contains(page, "one_file_system") {
		t.Errorf("the form of a new source group:\n%s", page)
	}
	form := url.Values{"repository": {string(g.Repository)}, "paths": {"/srv/data"}, "excludes": {"/C/Data/*.tmp"}}
	edit := "/hosts/" + string(attic.id) + "/source-groups/letters/edit"
	if r := admin.do("POST", edit, form); r.StatusCode != 422 || !strings.Contains(r.text, "no path of Windows") {
		t.Errorf("a path of Linux: %s", r.Status)
	}
	form.Set("paths", "/c/Data\n\\\\server\\share")
	if r := admin.do("POST", edit, form); r.StatusCode != 303 {
		t.Fatalf("save: %s %s", r.Status, r.text)
	}
	saved := must(w.store.SourceGroups(t.Context(), attic.id))[0].Topic()
	if !slices.Equal(saved.Paths, []string{`C:\Data`, `\\server\share`}) || !slices.Equal(saved.Excludes, []string{`C:\Data\*.tmp`}) {
		t.Errorf("saved as %q without %q", saved.Paths, saved.Excludes)
	}
}

func TestAHostSaysThatItsKeysCouldBeRead(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	admin := w.person(store.Admin)
	page := "/hosts/" + string(attic.id)
	moved := &topics.Moved{From: `C:\var\lib\restic-manager-agent`, At: time.Now().UnixMilli()}
	attic.permits("windows", topics.Permits{Kinds: []topics.JobKind{topics.BackupJob}, Moved: moved})
	admin.shows(page, "The keys of this host could be read by others", `C:\var\lib\restic-manager-agent`)
	now := *moved
	now.Keys = now.At
	attic.permits("windows", topics.Permits{Kinds: []topics.JobKind{topics.SnapshotsJob}, Moved: &now})
	admin.shows(page, "This host has new keys")
}

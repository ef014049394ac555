package web

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestSourceGroupsOfOneNameAreToldApartWhereSnapshotsAreChanged: a fleet calls them alike.
func TestSourceGroupsOfOneNameAreToldApartWhereSnapshotsAreChanged(t *testing.T) {
	w := newWorld(t)
	var into topics.RepositoryID
	for _, name := range []string{"attic", "barn"} {
		a := w.enrol(name)
		a.name = name
		g := a.group("letters")
		if into == "" {
			into = g.Repository
		}
		g.Repository = into
		must(w.store.PutSourceGroup(t.Context(), "test", g))
		a.found(into)
		a.connect()
		a.ran(w.backup(a), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &topics.Snapshot{
			ID: strings.Repeat(name[:1], 64), Time: time.Now().UnixMilli(), Tags: []string{"plan=" + string(g.ID)}}})
	}
	w.person(store.Admin).shows("/repositories/"+string(into)+"/change", "attic · letters", "barn · letters")
}

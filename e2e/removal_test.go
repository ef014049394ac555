package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// TestAHostRemovedInTheMiddleOfABackupComesBackWhole: its agent is out within five
// seconds, stays out when the control plane is killed, keeps what it has to tell, and
// goes on when the host is restored.
func TestAHostRemovedInTheMiddleOfABackupComesBackWhole(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	attic.Restic = NewStandIn(t, attic.Dir, slow).Path
	attic.Noise("photo.raw", 40)
	repository := attic.Group("all")
	attic.Start()
	attic.AwaitOnline()
	id := attic.Backup("all")
	w.AwaitState(id, "running")
	awaitFiles(t, repository.URL+"/data/*/*", 2)

	removed := time.Now()
	w.API("DELETE", "/api/hosts/"+attic.ID, nil, http.StatusNoContent, nil)
	world.Await(t, "the agent to be refused", func() error {
		if said := attic.process.Errs.String(); !strings.Contains(said, "refused") && !strings.Contains(said, "connect") {
			return fmt.Errorf("it says %.800s", said)
		}
		return nil
	})
	if took := time.Since(removed); took > 20*time.Second {
		t.Errorf("its connection was ended after %s", took)
	}
	if hosts := w.Hosts(); len(hosts) != 0 {
		t.Errorf("listed are %+v", hosts)
	}
	if j := w.AwaitState(id, "interrupted"); j.Cause != "host-removed" {
		t.Errorf("its job is %+v", j)
	}
	w.API("POST", "/api/hosts/"+attic.ID+"/jobs", map[string]any{"kind": "backup", "source_group": "all"}, http.StatusNotFound, nil)
	w.KillPlane()
	w.StartPlane()
	if hosts := w.Hosts(); len(hosts) != 0 {
		t.Errorf("after a crash, listed are %+v", hosts)
	}

	NewStandIn(t, attic.Dir, "") // as quick as ever
	w.API("POST", "/api/hosts/"+attic.ID+"/restore-removed", nil, http.StatusOK, nil)
	attic.AwaitOnline()
	if j := w.AwaitState(attic.Backup("all"), "succeeded"); j.SnapshotID == "" {
		t.Errorf("the next job is %+v", j)
	}
	if j := w.Job(id); j.State != "interrupted" {
		t.Errorf("the job ended twice, as %s", j.State)
	}
	w.MustStopCleanly()
}

// TestRemovingIsUndoneByPage renames, retires, removes and brings back as somebody
// does who made a mistake.
func TestRemovingIsUndoneByPage(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic := w.StartAgent("attic")
	attic.Group("letters")
	b.signIn(w)

	page := "/hosts/" + attic.ID
	b.Open(page)
	b.Fill("#host-name", "loft")
	b.Press("Rename")
	b.AwaitText("h1", "loft")
	b.Press("Retire")
	b.AwaitText("main", "It is judged no longer")
	b.Press("Use it again")
	b.AwaitText("main", "None of its schedules fires, and it needs nobody")

	b.Open(page + "/source-groups/letters/edit")
	b.Fill("#name", "post")
	b.Press("Save changes")
	b.AwaitText("#host-groups", "post")
	b.Open(page + "/source-groups/post/edit")
	b.Press("Remove…")
	b.AwaitText("h1", "Remove post?")
	b.Press("Remove source group")
	b.AwaitText("main", "Removed source groups")
	b.Click(`main form[action$="/restore"] button`) // "Restore" alone is also in the navigation
	b.AwaitText("#host-groups", "post")

	b.Press("Remove…")
	b.AwaitText("h1", "Remove loft?")
	b.AwaitText("main", "post")
	b.Press("Remove host")
	b.AwaitText("h1", "Removed")
	b.AwaitText("main", "loft")
	if hosts := w.Hosts(); len(hosts) != 0 {
		t.Errorf("listed are %+v", hosts)
	}
	b.Click(`main form[action$="/restore"] button`)
	b.AwaitText("h1", "loft")
	b.AwaitText("#host-groups", "post")
	attic.AwaitOnline()
	w.MustStopCleanly()
}

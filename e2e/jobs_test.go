package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

func TestTheJobsPageFollowsTheFleetInTheBrowser(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, `[ -e "$0.slow" ] && words 1 5 && gate end`)
	attic.Restic = standIn.Path
	attic.Write("a", "a")
	// One repository for them all: jobs in two of them would run side by side, and the
	// agent allows none but the first that worked.
	one := attic.Group("letters")
	attic.PutGroup("photos", one.ID)
	attic.PutGroup("gone", one.ID, attic.Home+"/nowhere")
	attic.Start()
	cellar := w.Enrol("cellar")
	cellar.Write("a", "a")
	cellar.Group("wine")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	if j := w.AwaitState(attic.Backup("gone"), "failed"); j.Cause != "source-missing" {
		t.Errorf("a backup of nothing failed for %q: %s", j.Cause, j.Message)
	}
	standIn.Open("slow")
	running := attic.Backup("letters")
	standIn.AwaitAt("end")
	behind := attic.Backup("photos")
	away := cellar.Backup("wine")

	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/jobs")
	row := func(id string) string { return "#job-" + id }
	b.AwaitText(row(running), "Running")
	b.AwaitText(row(behind), "Starts when the host is done in this repository with the backup of attic")
	b.AwaitText(row(away), "Starts when the agent connects")
	b.AwaitText("#nav-jobs", "1")
	b.Inspect("jobs")
	b.Open("/settings")
	b.AwaitText("main", "--log-lines")
	b.Inspect("settings")

	// The list is narrowed in place, and what it shows then goes on changing.
	b.Open("/jobs")
	b.Mark()
	b.Fill("#filter", "cellar")
	world.Await(t, "only the cellar's job to be listed", func() error {
		rows, err := eval[[]string](b, `[...document.querySelectorAll("#job-rows > tr")].map((r) => r.id)`)
		if err != nil || strings.Join(rows, " ") != "job-"+away {
			return fmt.Errorf("there are %v (%v)", rows, err)
		}
		return nil
	})
	if q := Eval[string](b, `location.search`); !strings.Contains(q, "q=cellar") {
		t.Errorf("the address is %s", q)
	}
	if focus := Eval[string](b, `document.activeElement.id + "=" + document.activeElement.value`); focus != "filter=cellar" {
		t.Errorf("whoever typed is at %s", focus)
	}
	cellar.Start()
	b.AwaitText(row(away), "Succeeded")
	b.MustBeUnmoved()

	// Cancelling leaves the list where it is.
	b.Open("/jobs?state=queued")
	b.Mark()
	b.Click(row(behind) + " summary")
	b.Inspect("jobs-cancel")
	b.Press("Cancel backup")
	b.AwaitText(row(behind), "Cancelled by")
	b.AwaitText("#jobs-changed", "Order changed. Refresh") // it is no longer a queued one
	b.MustBeUnmoved()
	standIn.Open("end")
	w.AwaitState(running, "succeeded")
	b.MustNotHaveBeenCut()
	w.MustStopCleanly()
}

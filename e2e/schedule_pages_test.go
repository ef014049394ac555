package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// TestASchedulesLifeInTheBrowser has somebody plan backups, see what comes of it
// while typing, and have the host go by it.
func TestASchedulesLifeInTheBrowser(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("a", "a")
	attic.Group("letters")
	attic.PutGroup("photos", w.AddRepository("vault", attic.Dir+"/vault", password))
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)

	b.Open("/schedules")
	b.AwaitText("main", "Nothing is scheduled")
	b.AwaitText("main", "Group “photos” has no schedule.")
	b.Inspect("schedules-empty")
	b.Press("New schedule")
	b.AwaitPath("/schedules/new")
	b.Inspect("schedule-host")
	b.Press("attic")
	b.AwaitPath("/hosts/" + attic.ID + "/schedules/new")
	b.AwaitText("#preview", "Every day at 02:30, in")
	b.Inspect("schedule-new")

	b.Fill("#name", "nightly")
	b.Fill("#zone", "Europe/Atlantis")
	b.AwaitText("#preview", "not a time zone")
	b.Press("Save schedule")
	b.Refused("/hosts/"+attic.ID+"/schedules/new", 422)
	b.AwaitText("#zone-err", "IANA name")
	if got := Eval[string](b, `document.querySelector("#zone").value`); got != "Europe/Atlantis" {
		t.Errorf("after the refusal the field says %q", got)
	}
	b.Inspect("schedule-refused")
	b.Fill("#zone", "Europe/Berlin")
	b.Click(`input[name=kind][value=weekly]`)
	for _, day := range []string{"1", "5"} {
		b.Click(`input[name=day][value="` + day + `"]`)
	}
	b.Fill("#time", "12:15, 19:15")
	b.AwaitText("#preview", "Every Monday and Friday at 12:15 and 19:15, in Europe/Berlin.")
	b.AwaitText("#preview", "15 12,19 * * 1,5")
	if n := Eval[int](b, `document.querySelectorAll(".nextruns li").length`); n != 5 {
		t.Errorf("%d next runs", n)
	}
	b.Inspect("schedule-weekly")
	b.Click(`input[name=kind][value=cron]`)
	b.Fill("#cron", "30 2 * * *")
	b.AwaitText("#preview", "Every day at 02:30, in Europe/Berlin.")
	b.Press("Save schedule")
	b.AwaitPath("/schedules")
	b.AwaitText("table", "Every day at 02:30")
	b.AwaitText("table .st-ok", "The host has this schedule") // by itself; the first had no schedule
	attic.awaitInForce("nightly")
	b.AwaitText("table", "letters, photos")
	b.Inspect("schedules")

	b.Press("nightly") // words of a cron line: the form has the pattern again
	b.AwaitText("h1", "nightly")
	if got := Eval[string](b,
		`document.querySelector("input[name=kind]:checked").value + " " + document.querySelector("#time").value`); got != "daily 02:30" {
		t.Errorf("the form has %q", got)
	}
	b.Inspect("schedule-edit")
	b.Open("/schedules")
	b.Click("td form button")
	b.AwaitText("table", "paused")
	var s struct {
		Enabled bool   `json:"enabled"`
		Cron    string `json:"cron"`
		Zone    string `json:"zone"`
		Jitter  int    `json:"jitter_seconds"`
	}
	w.API("GET", "/api/hosts/"+attic.ID+"/schedules/nightly", nil, http.StatusOK, &s)
	if s.Enabled || s.Cron != "30 2 * * *" || s.Zone != "Europe/Berlin" || s.Jitter != 3600 {
		t.Errorf("the API says %+v", s)
	}
	attic.awaitInForce("nightly")

	b.Press("nightly")
	b.AwaitText("h1", "nightly")
	b.Click("details.card summary")
	b.Press("Delete nightly")
	b.AwaitPath("/schedules")
	world.Await(t, "the schedule to be gone", func() error {
		if text := b.Text("main"); !strings.Contains(text, "Nothing is scheduled") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	b.MustNotHaveBeenCut()
	w.MustStopCleanly()
}

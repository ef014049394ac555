package layout

import (
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestWhoAskedForAJobInWords(t *testing.T) {
	for _, c := range []struct {
		by       string
		schedule topics.ScheduleID
		said     string // in a sentence
		cell     string // in a table
	}{
		{"anna", "", "anna", "anna"},
		{"api:nightly", "", "the API token nightly", "API token nightly"},
		{"mqtt:home", "", "the MQTT consumer home", "MQTT consumer home"},
		{"schedule:nightly", "06h27u0gl688ofr39tn3iturjg", "the schedule nightly", "Schedule"},
		{store.Plane, "", "this server", "This server"},
	} {
		j := store.Job{RequestedBy: c.by, Schedule: c.schedule}
		if got := AskedBy(j); got != c.said {
			t.Errorf("%s is %q in a sentence, want %q", c.by, got, c.said)
		}
		if got := Asker(j); got != c.cell {
			t.Errorf("%s is %q in a table, want %q", c.by, got, c.cell)
		}
	}
}

// A drill that proved all it took is a success under another word; what did less than its
// kind says is none.
func TestTheToneOfASuccessUnderAnotherWord(t *testing.T) {
	proven := store.Job{Kind: topics.DrillJob, State: topics.Succeeded}
	proven.Result.V = &topics.Result{Drill: &topics.Drilled{Files: 3, Complete: true}}
	if got := JobStatus(proven); got.Word != "Proven" || got.Tone != "ok" || got.Icon != "circle-check" {
		t.Errorf("a drill: %+v", got)
	}
	nothing := store.Job{Kind: topics.FindJob, State: topics.Succeeded}
	nothing.Result.V = &topics.Result{}
	if got := JobStatus(nothing); got.Word != "Nothing found" || got.Tone != "idle" {
		t.Errorf("a search: %+v", got)
	}
}

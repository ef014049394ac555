package views_test

import (
	"time"

	"github.com/restic-manager/restic-manager/views"
)

// replacement is the checklist of a host's replacement, at one of its steps.
func replacement(step string) views.Replacement {
	r := views.Replacement{HostID: "attic", Name: "attic", Warnings: []string{"This host is the keeper of vault."},
		Groups: []views.ReplacedGroup{
			{Name: "letters", Repository: views.Link{Text: "nas", URL: "/repositories/nas"}, Snapshot: "4f2a9b1c", SavedAt: past(60 * time.Hour),
				Holds: "418 files, 2 GiB", Schedules: "nightly"},
			{Name: hostile, Repository: views.Link{Text: hostile, URL: "/repositories/x"}, Local: true},
		}}
	if step == "before" {
		return r
	}
	r.Begun, r.BegunBy = past(40*time.Hour), "anna"
	r.Machines = []views.ReplacedFact{{Name: "Hostname", Old: "attic", New: hostile, Differs: true}, {Name: "System", Old: "Debian 13"}}
	if step == "token" {
		r.Token = &views.Token{Secret: "rmt_1", Valid: "Valid for 15 min, for attic alone", Expires: views.NewWhen(now.Add(time.Minute), now)}
		r.Command = "restic-manager-agent enroll --server plane:8883 --token rmt_1 --state /var/lib/restic-manager-agent --policy backup"
		r.Status = views.OfReplacement(views.Enrol{State: "waiting", ForHost: "attic"})
		return r
	}
	r.Enrolled, r.Late, r.Problem = past(30*time.Hour), true, hostile
	for i := range r.Groups {
		r.Groups[i].Waits = true
	}
	r.Groups[0].Restore = views.RestoreSnapshotURL("attic", "nas", "4f2a9b1c")
	r.Groups[0].Restores = []views.JobRow{{ID: "0b9e", Kind: "restore", Status: views.JobStatus("succeeded"), At: past(time.Hour)},
		{ID: "0b9d", Kind: "restore", DryRun: true, Status: views.JobStatus("failed"), At: past(2 * time.Hour)}}
	if step == "decided" {
		r.Ended, r.Late, r.Problem = past(time.Minute), false, ""
		for i := range r.Groups {
			g := &r.Groups[i]
			g.Waits, g.Decision, g.DecidedAt, g.Restore = false, "Restored, said "+hostile, past(time.Minute), ""
			g.Pinned = views.NewWhen(now.Add(30*24*time.Hour), now)
		}
	}
	return r
}

package protocol_test

import (
	"fmt"
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// TestOneRunServesTheSlotsOfAGroupThatMeet: those due together, and those that come
// while it runs, whoever asked for it; and nothing else.
func TestOneRunServesTheSlotsOfAGroupThatMeet(t *testing.T) {
	const minute, photos, other = int64(60_000), topics.SourceGroupID("photos-0001"), topics.RepositoryID("other-00001")
	slot := func(s topics.ScheduleID, n int64) topics.Slot { return topics.Slot{Schedule: s, At: n * minute} }
	group := func(id topics.SourceGroupID, r topics.RepositoryID) topics.PlannedGroup {
		return topics.PlannedGroup{SourceGroup: topics.SourceGroup{ID: id}, Repository: r}
	}
	groups := func(ids ...topics.SourceGroupID) (out []topics.ScheduledGroup) {
		for _, id := range ids {
			out = append(out, topics.ScheduledGroup{Group: id, After: 1})
		}
		return out
	}
	config := topics.Config{Revision: 1, Schedules: []topics.Schedule{{ID: nightly, Groups: groups(letters, photos)},
		{ID: weekly, Groups: groups(letters)}}, Groups: []topics.PlannedGroup{group(letters, vault), group(photos, vault)},
		Repositories: []topics.Repository{{ID: vault}, {ID: other}}}
	run := func(kind topics.JobKind, g topics.SourceGroupID, r topics.RepositoryID) *topics.Run {
		return &topics.Run{Kind: kind, Group: topics.SourceGroup{ID: g}, Repository: topics.Repository{ID: r}}
	}
	ask := func(r *topics.Run) Commanded { return Commanded{Command: topics.Command{Job: "asked-00001", Run: r}} }
	fire := func(job topics.JobID, s topics.Slot, also ...topics.Slot) Fired {
		return Fired{Job: job, Slot: s, Also: also, Group: letters, At: 10 * minute}
	}
	first, later := fire("first-00001", slot(nightly, 5)), fire("later-00001", slot(weekly, 6))
	for name, c := range map[string]struct {
		in   []AgentInput
		want string // the job of each slot, as schedule@slot=job
	}{
		"due together": {[]AgentInput{fire("first-00001", slot(nightly, 5), slot(weekly, 3))},
			"nightly-0001@5=first-00001 weekly-00001@3=first-00001 "},
		"the other comes meanwhile": {[]AgentInput{first, later}, "nightly-0001@5=first-00001 weekly-00001@6=first-00001 "},
		"its own next one comes meanwhile": {[]AgentInput{first, fire("later-00001", slot(nightly, 6))},
			"nightly-0001@5=first-00001 "},
		"its own next one and another": {[]AgentInput{first, fire("later-00001", slot(nightly, 6), slot(weekly, 6))},
			"nightly-0001@5=first-00001 weekly-00001@6=first-00001 "},
		"a person's backup runs": {[]AgentInput{ask(run(topics.BackupJob, letters, vault)), later},
			"weekly-00001@6=asked-00001 "},
		"a backup of another group runs":            {[]AgentInput{ask(run(topics.BackupJob, photos, vault)), later}, ""},
		"a backup of the group goes somewhere else": {[]AgentInput{ask(run(topics.BackupJob, letters, other)), later}, ""},
		"another kind of job runs":                  {[]AgentInput{ask(run(topics.CheckJob, letters, vault)), later}, ""},
		"it is being cancelled": {[]AgentInput{ask(run(topics.BackupJob, letters, vault)),
			Commanded{Command: topics.Command{Job: "asked-00001", Cancel: true}}, later}, ""},
		"one of them began before": {[]AgentInput{fire("first-00001", slot(weekly, 3)),
			Ended{Job: "first-00001", End: topics.Finished{State: topics.Succeeded}},
			fire("later-00001", slot(weekly, 3), slot(nightly, 5))}, "nightly-0001@5=later-00001 weekly-00001@3=first-00001 "},
	} {
		t.Run(name, func(t *testing.T) {
			a := protocoltest.NewAgent(1)
			starts := 0
			for _, in := range append([]AgentInput{Configured{Config: config}}, c.in...) {
				effects, err := a.Step(in)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range effects {
					if _, ok := e.(Start); ok {
						starts++
					}
				}
			}
			got := ""
			known, _ := a.Slots()
			for _, s := range known {
				got += fmt.Sprintf("%s@%d=%s ", s.Schedule, s.At/minute, s.Job)
			}
			if got != c.want {
				t.Errorf("served: %q, want %q", got, c.want)
			}
			if jobs := len(a.Jobs); starts != jobs {
				t.Errorf("%d starts of %d jobs", starts, jobs)
			}
			for _, j := range a.Order { // its end is that of all its slots
				if _, err := a.Step(Ended{Job: j, End: topics.Finished{State: topics.Failed}}); err != nil {
					t.Fatal(err)
				}
			}
			known, _ = a.Slots()
			for _, s := range known {
				if s.State == "" {
					t.Errorf("the end of job %s did not reach slot %d of %s", s.Job, s.At/minute, s.Schedule)
				}
			}
			p, n := protocoltest.NewPlane(), map[string]bool{}
			for _, j := range a.Order {
				if a.Jobs[j].ID == "asked-00001" {
					p.Queue(PlaneJob{ID: j, Host: attic, Kind: topics.BackupJob, Group: letters})
				}
			}
			if _, err := p.Step(DefaultTiming(), Arrived{Host: attic, Events: a.Batch(0, 100)}); err != nil {
				t.Fatal(err)
			}
			for s, jobs := range servedBy(p) {
				n[fmt.Sprintf("%s@%d=%s", s.Schedule, s.At/minute, jobs[len(jobs)-1])] = true
			}
			for _, s := range known {
				if !n[fmt.Sprintf("%s@%d=%s", s.Schedule, s.At/minute, s.Job)] {
					t.Errorf("the control plane heard of %v, and not of slot %d of %s", n, s.At/minute, s.Schedule)
				}
			}
		})
	}
}

// TestABackupOfARemovedHostKeepsItsEndAndItsSnapshot: what its host says of the end once
// it is back changes nothing, but its snapshot is the job's.
func TestABackupOfARemovedHostKeepsItsEndAndItsSnapshot(t *testing.T) {
	for _, kind := range []topics.JobKind{topics.BackupJob, topics.SnapshotsJob} {
		p := protocoltest.NewPlane()
		p.Queue(PlaneJob{ID: "a", Host: "attic", Kind: kind})
		j := p.Jobs["a"]
		j.State = topics.Running
		p.Jobs["a"] = j
		step := func(in PlaneInput) {
			t.Helper()
			if _, err := p.Step(DefaultTiming(), in); err != nil {
				t.Fatal(err)
			}
		}
		step(HostRemoved{Host: "attic", By: "anna", Now: 1})
		for n := range uint64(2) {
			step(Arrived{Host: "attic", Now: 2, Events: topics.Events{Epoch: 1, First: n + 1, Events: []topics.Event{
				{Finished: &topics.Finished{Job: "a", State: topics.Succeeded, Snapshot: &topics.Snapshot{ID: "s"}}}}}})
		}
		if j := p.Jobs["a"]; j.State != topics.Interrupted || len(p.Ends["a"]) != 1 {
			t.Errorf("a job of kind %s is %s after %d ends", kind, j.State, len(p.Ends["a"]))
		}
		if got := p.Late["a"] == "s"; got != (kind == topics.BackupJob) {
			t.Errorf("the snapshot of a job of kind %s is noted: %t", kind, got)
		}
	}
}

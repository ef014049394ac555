package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// firing adds a host whose agent runs its schedules by itself.
func (w *world) firing(name string) topics.HostID {
	h := w.host(name)
	w.exec(`UPDATE hosts SET config_applied = 1, config_revision = 1 WHERE id = ?`, h)
	return h
}

// fires tells that a host began a slot by itself, at a moment of its clock.
func (w *world) fires(sc store.Schedule, g topics.SourceGroupID, slot, at time.Time) store.Job {
	w.t.Helper()
	id := topics.JobID(topics.NewID(time.Now()))
	err := w.store.Steps(ctx, func(tx protocol.PlaneTx) error {
		j, known, err := tx.Fired(sc.Host, topics.Fired{Job: id, Slot: topics.Slot{Schedule: sc.ID, At: slot.UnixMilli()}, Group: g,
			Repository: topics.RepositoryID(g)}, at.UnixMilli())
		if err == nil && !known {
			err = fmt.Errorf("the job is not recorded")
		}
		if err == nil {
			j.State = topics.Running
			err = tx.PutJob(j)
		}
		if err == nil {
			err = tx.Started(j, topics.Started{Job: j.ID}, at.UnixMilli())
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return must(w.store.Job(ctx, id))
}

// asked adds a job that a person asked for, and runs it from one moment to another;
// without an end it goes on.
func (w *world) asked(h topics.HostID, kind topics.JobKind, g topics.SourceGroupID, repo topics.RepositoryID,
	from, to time.Time) store.Job {
	w.t.Helper()
	j, added, err := w.store.Ask(ctx, "anna", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: h, Kind: kind, SourceGroup: g,
		Repository: repo, QueuedAt: from.UnixMilli(), NotAfter: from.Add(day).UnixMilli()})
	if err != nil || !added {
		w.t.Fatalf("ask: %v, %v", added, err)
	}
	w.exec(`UPDATE jobs SET state = 'running', started_at = ? WHERE id = ?`, from.UnixMilli(), j.ID)
	if !to.IsZero() {
		now := w.now
		w.now = to
		w.end(j, topics.Succeeded, "")
		w.now = now
	}
	return j
}

// became is what a schedule's slots became, by their moments.
func (w *world) became(sc store.Schedule) map[int64]slotlog.Named {
	w.t.Helper()
	out := map[int64]slotlog.Named{}
	for _, r := range must(w.store.SlotPage(ctx, sc.ID, slotlog.Page{Limit: 100_000})) {
		out[r.Slot] = r
	}
	return out
}

func (w *world) wants(sc store.Schedule, slot time.Time, want slotlog.Outcome, job topics.JobID) {
	w.t.Helper()
	got := w.became(sc)[slot.UnixMilli()]
	if got.Outcome != want || got.Job != job {
		w.t.Fatalf("slot %s is %q by job %q (%s), want %q by %q", moment(slot.UnixMilli()), got.Outcome, got.Job, got.Reason, want, job)
	}
	if got.Outcome.Missed() && (got.Reason == "" || strings.ContainsFunc(got.Reason, unicode.IsDigit)) {
		w.t.Fatalf("the reason of %s is %q: want a sentence without moments", want, got.Reason)
	}
}

// TestEverySlotHasAnOutcome: each word, and beside it what is nearly the same.
func TestEverySlotHasAnOutcome(t *testing.T) {
	const grace = slots.Grace
	type scene struct {
		*world
		h    topics.HostID
		sc   store.Schedule
		g    topics.SourceGroupID
		slot time.Time
		wait func(time.Duration) // ticks until a while after the slot
	}
	for _, c := range []struct {
		name string
		play func(s *scene) (slotlog.Outcome, topics.JobID)
	}{
		{"in time", func(s *scene) (slotlog.Outcome, topics.JobID) {
			j := s.fires(s.sc, s.g, s.slot, s.slot.Add(time.Second))
			s.wait(10 * time.Minute)
			s.end(j, topics.Succeeded, "")
			return slotlog.Ran, j.ID
		}},
		{"at the end of the grace", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.wait(grace)
			j := s.fires(s.sc, s.g, s.slot, s.slot.Add(grace))
			s.end(j, topics.Succeeded, "")
			return slotlog.Ran, j.ID
		}},
		{"after the grace", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.wait(grace + time.Second)
			j := s.fires(s.sc, s.g, s.slot, s.slot.Add(grace+time.Second))
			s.end(j, topics.Succeeded, "")
			return slotlog.Late, j.ID
		}},
		{"incomplete", func(s *scene) (slotlog.Outcome, topics.JobID) {
			j := s.fires(s.sc, s.g, s.slot, s.slot)
			s.end(j, topics.Warnings, topics.CauseUnreadable)
			return slotlog.Ran, j.ID
		}},
		{"empty", func(s *scene) (slotlog.Outcome, topics.JobID) {
			j := s.fires(s.sc, s.g, s.slot, s.slot)
			s.end(j, topics.Warnings, topics.CauseEmptySource)
			return slotlog.Failed, j.ID
		}},
		{"failed", func(s *scene) (slotlog.Outcome, topics.JobID) {
			j := s.fires(s.sc, s.g, s.slot, s.slot)
			s.end(j, topics.Failed, topics.CausePassword)
			s.wait(day)
			return slotlog.Failed, j.ID
		}},
		{"failed, and well when tried again", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.end(s.fires(s.sc, s.g, s.slot, s.slot), topics.Failed, topics.CauseUnreachable)
			s.wait(5 * time.Minute)
			j := s.one(s.h)
			s.exec(`UPDATE jobs SET started_at = ? WHERE id = ?`, s.now.UnixMilli(), j.ID)
			s.end(j, topics.Succeeded, "")
			return slotlog.Ran, j.ID
		}},
		{"well, and failed after that for a later one", func(s *scene) (slotlog.Outcome, topics.JobID) {
			j := s.fires(s.sc, s.g, s.slot, s.slot)
			s.end(j, topics.Succeeded, "")
			s.end(s.fires(s.sc, s.g, s.slot.Add(day), s.slot.Add(day)), topics.Failed, topics.CausePassword)
			return slotlog.Ran, j.ID
		}},
		{"cancelled", func(s *scene) (slotlog.Outcome, topics.JobID) {
			j := s.fires(s.sc, s.g, s.slot, s.slot)
			s.end(j, topics.Cancelled, topics.CauseCancelled)
			return slotlog.Failed, j.ID
		}},
		{"away", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.wait(grace)
			return slotlog.MissedOffline, ""
		}},
		{"away, caught up with", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.wait(3 * grace)
			s.wants(s.sc, s.slot, slotlog.MissedOffline, "")
			s.hello(s.h)
			j := s.fires(s.sc, s.g, s.slot, s.now.Add(time.Minute))
			s.end(j, topics.Succeeded, "")
			return slotlog.Late, j.ID
		}},
		{"away, and it turns out that the host ran it alone", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.wait(3 * grace)
			s.wants(s.sc, s.slot, slotlog.MissedOffline, "")
			j := s.fires(s.sc, s.g, s.slot, s.slot.Add(time.Second))
			s.end(j, topics.Succeeded, "")
			return slotlog.Ran, j.ID
		}},
		{"away when it was due, back within the grace, and nothing begun", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.exec(`UPDATE schedules SET retry_max = 0`)
			s.wait(10 * time.Minute)
			s.hello(s.h)
			s.wait(grace)
			return slotlog.MissedOffline, ""
		}},
		{"asleep", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.exec(`UPDATE hosts SET intermittent = 1 WHERE id = ?`, s.h)
			s.wait(grace)
			return slotlog.MissedAsleep, ""
		}},
		{"paused", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.put(s.h, s.sc.Name, func(sc *store.Schedule) { sc.Enabled = false })
			s.wait(grace)
			return slotlog.MissedPaused, ""
		}},
		{"paused and resumed within the grace", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.put(s.h, s.sc.Name, func(sc *store.Schedule) { sc.Enabled = false })
			s.wait(time.Minute)
			s.put(s.h, s.sc.Name, func(sc *store.Schedule) { sc.Enabled = true })
			s.exec(`UPDATE schedules SET since = ? WHERE id = ?`, s.now.UnixMilli(), s.sc.ID) // by the clock of this test
			s.wait(grace)
			return slotlog.MissedPaused, ""
		}},
		{"paused after it was due", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.wait(time.Minute)
			s.put(s.h, s.sc.Name, func(sc *store.Schedule) { sc.Enabled = false })
			s.exec(`UPDATE schedules SET paused_at = ? WHERE id = ?`, s.now.UnixMilli(), s.sc.ID)
			s.wait(grace)
			return slotlog.MissedOffline, ""
		}},
		{"another plan after it was due", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.wait(time.Minute)
			s.put(s.h, s.sc.Name, func(sc *store.Schedule) { sc.Cron = "30 12 * * *" })
			s.exec(`UPDATE schedules SET since = ? WHERE id = ?`, s.now.UnixMilli(), s.sc.ID)
			s.wait(grace)
			return slotlog.MissedOffline, ""
		}},
		{"busy", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.asked(s.h, topics.CheckJob, "", topics.RepositoryID(s.g), s.slot.Add(-time.Minute), time.Time{})
			s.wait(grace)
			return slotlog.MissedBusy, ""
		}},
		{"busy with one after another", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.asked(s.h, topics.CheckJob, "", topics.RepositoryID(s.g), s.slot.Add(-time.Minute), s.slot.Add(20*time.Minute))
			s.asked(s.h, topics.PruneJob, "", topics.RepositoryID(s.g), s.slot.Add(20*time.Minute+time.Second), time.Time{})
			s.wait(grace)
			return slotlog.MissedBusy, ""
		}},
		{"busy for half of it", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.asked(s.h, topics.CheckJob, "", topics.RepositoryID(s.g), s.slot.Add(-time.Minute), s.slot.Add(20*time.Minute))
			s.wait(grace)
			return slotlog.Failed, ""
		}},
		{"busy elsewhere, with room for one more", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.exec(`UPDATE hosts SET agent_jobs = 16 WHERE id = ?`, s.h)
			s.asked(s.h, topics.CheckJob, "", s.vault("other"), s.slot.Add(-time.Minute), time.Time{})
			s.asked(s.h, topics.CheckJob, "", s.vault("third"), s.slot.Add(-time.Minute), time.Time{})
			s.wait(grace)
			return slotlog.Failed, ""
		}},
		{"busy elsewhere with as many as it may", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.exec(`UPDATE hosts SET agent_jobs = 16, jobs_at_once = 2 WHERE id = ?`, s.h)
			s.asked(s.h, topics.CheckJob, "", s.vault("other"), s.slot.Add(-time.Minute), time.Time{})
			s.asked(s.h, topics.CheckJob, "", s.vault("third"), s.slot.Add(-time.Minute), time.Time{})
			s.wait(grace)
			return slotlog.MissedBusy, ""
		}},
		{"busy in its repository, with room elsewhere", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.exec(`UPDATE hosts SET agent_jobs = 16 WHERE id = ?`, s.h)
			s.asked(s.h, topics.CheckJob, "", topics.RepositoryID(s.g), s.slot.Add(-time.Minute), time.Time{})
			s.wait(grace)
			return slotlog.MissedBusy, ""
		}},
		{"first its repository was busy, then all that it may run", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.exec(`UPDATE hosts SET agent_jobs = 16, jobs_at_once = 2 WHERE id = ?`, s.h)
			s.asked(s.h, topics.CheckJob, "", topics.RepositoryID(s.g), s.slot.Add(-time.Minute), s.slot.Add(30*time.Minute))
			s.asked(s.h, topics.CheckJob, "", s.vault("other"), s.slot.Add(29*time.Minute), time.Time{})
			s.asked(s.h, topics.CheckJob, "", s.vault("third"), s.slot.Add(29*time.Minute), time.Time{})
			s.wait(grace)
			return slotlog.MissedBusy, ""
		}},
		{"busy with as many as it may for half of it", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.exec(`UPDATE hosts SET agent_jobs = 16, jobs_at_once = 2 WHERE id = ?`, s.h)
			s.asked(s.h, topics.CheckJob, "", s.vault("other"), s.slot.Add(-time.Minute), time.Time{})
			s.asked(s.h, topics.CheckJob, "", s.vault("third"), s.slot.Add(-time.Minute), s.slot.Add(30*time.Minute))
			s.wait(grace)
			return slotlog.Failed, ""
		}},
		{"busy, and begun after that", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			busy := s.asked(s.h, topics.CheckJob, "", topics.RepositoryID(s.g), s.slot.Add(-time.Minute), time.Time{})
			s.wait(2 * grace)
			s.wants(s.sc, s.slot, slotlog.MissedBusy, "")
			s.end(busy, topics.Succeeded, "")
			j := s.fires(s.sc, s.g, s.slot, s.now)
			s.end(j, topics.Succeeded, "")
			return slotlog.Late, j.ID
		}},
		{"the agent's disk is full", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.runner.Full = func(topics.HostID) bool { return true }
			s.wait(grace)
			return slotlog.MissedDisk, ""
		}},
		{"here, idle, and nothing begun", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			s.wait(grace)
			return slotlog.Failed, ""
		}},
		{"a person's backup ran when it was due", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			j := s.asked(s.h, topics.BackupJob, s.g, topics.RepositoryID(s.g), s.slot.Add(-time.Minute), s.slot.Add(time.Minute))
			s.wait(grace)
			return slotlog.Ran, j.ID
		}},
		{"a person's backup still runs", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.online[s.h] = true
			j := s.asked(s.h, topics.BackupJob, s.g, topics.RepositoryID(s.g), s.slot.Add(-time.Minute), time.Time{})
			s.wait(2 * grace)
			if _, said := s.became(s.sc)[s.slot.UnixMilli()]; said {
				s.world.t.Fatal("an outcome before it has one")
			}
			s.end(j, topics.Succeeded, "")
			return slotlog.Ran, j.ID
		}},
		{"a person's backup failed meanwhile", func(s *scene) (slotlog.Outcome, topics.JobID) {
			j := s.asked(s.h, topics.BackupJob, s.g, topics.RepositoryID(s.g), s.slot.Add(time.Minute), time.Time{})
			s.end(j, topics.Failed, topics.CauseUnreachable)
			s.wait(grace)
			return slotlog.MissedOffline, ""
		}},
		{"a person's backup ended before", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.asked(s.h, topics.BackupJob, s.g, topics.RepositoryID(s.g), s.slot.Add(-time.Hour), s.slot.Add(-time.Minute))
			s.wait(grace)
			return slotlog.MissedOffline, ""
		}},
		{"a person's backup after it failed", func(s *scene) (slotlog.Outcome, topics.JobID) {
			s.end(s.fires(s.sc, s.g, s.slot, s.slot), topics.Failed, topics.CausePassword)
			s.wait(5 * grace)
			j := s.asked(s.h, topics.BackupJob, s.g, topics.RepositoryID(s.g), s.now, s.now.Add(time.Minute))
			return slotlog.Late, j.ID
		}},
		{"it waits for its repository", func(s *scene) (slotlog.Outcome, topics.JobID) {
			put := func(tx store.Slots) error {
				ctx, x := tx.Tx()
				return slotlog.Put(ctx, x, slotlog.Row{Schedule: s.sc.ID, Group: s.g, Slot: s.slot.UnixMilli(), Host: s.h, Outcome: slotlog.Waiting,
					At: s.slot.UnixMilli()})
			}
			if err := s.store.SlotStep(ctx, put); err != nil {
				s.world.t.Fatal(err)
			}
			s.wait(3 * grace)
			s.wants(s.sc, s.slot, slotlog.Waiting, "")
			j := s.fires(s.sc, s.g, s.slot, s.now)
			s.end(j, topics.Succeeded, "")
			return slotlog.Late, j.ID
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, open(t))
			s := &scene{world: w, h: w.firing("attic"), slot: w.now.Add(day)}
			s.g = w.group(s.h, "letters")
			s.sc = w.nightly(s.h, "nightly", s.g)
			w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
			s.wait = func(d time.Duration) {
				for end := s.slot.Add(d); w.now.Before(end); {
					w.tick(min(end.Sub(w.now), 20*time.Minute))
				}
			}
			w.tick(0)
			want, job := c.play(s)
			w.wants(s.sc, s.slot, want, job)
		})
	}
}

// TestASlotIsMissedWhenItsGraceIsOver: not before, with the jitter on top.
func TestASlotIsMissedWhenItsGraceIsOver(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.firing("attic")
	g := w.group(h, "letters")
	sc := w.put(h, "nightly", func(sc *store.Schedule) {
		sc.Cron, sc.Zone, sc.Enabled, sc.JitterSeconds, sc.Groups = "0 0 * * *", "UTC", true, 3600, []topics.SourceGroupID{g}
	})
	w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
	slot := w.now.Add(day)
	due := must(Of(sc)).Start(slot).Add(slots.Grace)
	w.tick(0)
	w.tick(due.Sub(w.now) - time.Second)
	if got := w.became(sc); len(got) != 0 {
		t.Fatalf("before the grace is over: %+v", got)
	}
	w.tick(time.Second)
	w.wants(sc, slot, slotlog.MissedOffline, "")
}

// TestAHostThatIsUnknownIsWaitedFor: after the control plane's start nothing is called
// missed that a host may yet tell of.
func TestAHostThatIsUnknownIsWaitedFor(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.firing("attic")
	g := w.group(h, "letters")
	sc := w.nightly(h, "nightly", g)
	w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
	away := false
	w.runner.Offline = func(topics.HostID) bool { return away }
	w.tick(10*day + 2*slots.Grace)
	w.tick(time.Minute)
	if got := w.became(sc); len(got) != 0 {
		t.Fatalf("of a host that is unknown: %+v", got)
	}
	slot := w.now.Truncate(day)
	j := w.fires(sc, g, slot, slot) // its hello comes with what it ran alone
	w.end(j, topics.Succeeded, "")
	w.hello(h)
	w.tick(w.runner.Timing.Tick)
	w.wants(sc, slot, slotlog.Ran, j.ID)
	w.wants(sc, slot.Add(-day), slotlog.MissedOffline, "")
	if n := len(w.became(sc)); n != 10 {
		t.Errorf("%d slots have an outcome, want 10", n)
	}

	other := w.firing("cellar")
	sc = w.nightly(other, "nightly", w.group(other, "wine"))
	w.exec(`UPDATE schedules SET since = ? WHERE id = ?`, w.now.UnixMilli(), sc.ID)
	w.tick(day)
	if n := len(w.became(sc)); n != 0 {
		t.Fatal("unknown and judged")
	}
	away = true
	w.tick(w.runner.Timing.Tick)
	w.wants(sc, slot.Add(day), slotlog.MissedOffline, "")
}

// TestClocksAndSlots: each slot is judged once, whatever the clocks do.
func TestClocksAndSlots(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.firing("attic")
	g := w.group(h, "letters")
	began := time.Date(w.now.Year()+1, 3, 27, 0, 0, 0, 0, time.UTC)
	w.now = began
	sc := w.put(h, "gap", func(sc *store.Schedule) {
		sc.Cron, sc.Zone, sc.Enabled, sc.Groups = "30 2 * * *", "Europe/Berlin", true, []topics.SourceGroupID{g}
	})
	minutely := w.put(h, "often", func(sc *store.Schedule) {
		sc.Cron, sc.Zone, sc.Enabled, sc.Groups = "* * * * *", "UTC", true, []topics.SourceGroupID{g}
	})
	w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
	w.tick(0)
	for w.now.Before(began.Add(4 * day)) {
		w.tick(time.Hour)
	}
	if n := len(w.became(sc)); n != 4 {
		t.Errorf("%d outcomes of four nights, of which one has no half past two", n)
	}
	if n := len(w.became(minutely)); n < 900 || n > 1000+1440+5 {
		t.Errorf("%d outcomes of 5,700 slots are kept", n)
	}

	t.Log("far ahead, and back")
	is := w.now
	w.tick(100 * day)
	if n := len(w.became(sc)); n < 100 {
		t.Fatalf("%d outcomes", n)
	}
	w.now = is
	w.tick(time.Minute)
	w.tick(day)
	w.tick(slots.Grace)
	got := w.became(sc)
	if n := len(got); n != 5 {
		t.Errorf("%d outcomes after the clock was set back, want 5", n)
	}
	for slot := range got {
		if slot > w.now.UnixMilli() {
			t.Errorf("an outcome of a slot to come, %s", moment(slot))
		}
	}
}

// TestAGroupThatJoinsOrGoes: slots of before it joined are not its own; what it has
// stays when it is gone.
func TestAGroupThatJoinsOrGoes(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.firing("attic")
	letters, photos := w.group(h, "letters"), w.group(h, "photos")
	sc := w.nightly(h, "nightly", letters)
	w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
	w.tick(0)
	w.tick(day + time.Minute)
	w.put(h, "nightly", func(sc *store.Schedule) { sc.Groups = []topics.SourceGroupID{letters, photos} })
	w.exec(`UPDATE schedule_groups SET joined_at = ? WHERE source_group = ?`, w.now.UnixMilli(), photos)
	w.tick(day + slots.Grace)
	var names []string
	for _, r := range must(w.store.SlotPage(ctx, sc.ID, slotlog.Page{Limit: 10})) {
		names = append(names, r.GroupName)
	}
	if got := fmt.Sprint(names); got != "[letters photos letters]" {
		t.Errorf("outcomes of %s", got)
	}
	w.exec(`DELETE FROM source_groups WHERE id = ?`, photos)
	w.tick(day)
	rows := must(w.store.SlotPage(ctx, sc.ID, slotlog.Page{Limit: 10}))
	if len(rows) != 4 || rows[2].GroupName != string(photos) && rows[1].GroupName != string(photos) {
		t.Errorf("after it has gone: %+v", rows)
	}
}

// TestWhatAHostOwesThatRunsItsSchedulesItself: it is seen at once, the host begins it
// by itself, and is asked to only if it does not.
func TestWhatAHostOwesThatRunsItsSchedulesItself(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.firing("attic")
	g := w.group(h, "letters")
	sc := w.nightly(h, "nightly", g)
	w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
	w.tick(0)
	for range 3 {
		w.tick(day)
	}
	slot := w.now
	rows := w.pending(h)
	if len(rows) != 1 || rows[0].Slot != slot.UnixMilli() || rows[0].Reason != ReasonHost {
		t.Fatalf("owed: %+v", rows)
	}
	if n, _ := w.audited("pending_run.created", sc.ID); n != 1 {
		t.Errorf("%d entries of a host that is away", n)
	}
	w.hello(h)
	w.tick(time.Minute)
	if n := len(w.open(h)); n != 0 {
		t.Fatal("it is asked to while it may begin by itself")
	}
	j := w.fires(sc, g, slot, w.now)
	if n := len(w.pending(h)); n != 0 {
		t.Error("what it began is still owed")
	}
	w.end(j, topics.Succeeded, "")
	w.tick(w.runner.Timing.CatchUp)
	if n := len(w.jobs(h)); n != 1 {
		t.Errorf("%d jobs, want its own", n)
	}

	w.online[h] = false
	w.tick(slot.Add(day).Sub(w.now))
	w.hello(h)
	w.tick(w.runner.Timing.CatchUp)
	if j := w.one(h); j.Slot != slot.Add(day).UnixMilli() || j.Schedule != sc.ID {
		t.Errorf("asked for %+v", j)
	}
}

// TestSchedulesOfOneGroupThatMeetAreServedByOneRun, of agents that are too old to run
// schedules by themselves.
func TestSchedulesOfOneGroupThatMeetAreServedByOneRun(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.host("attic")
	g := w.group(h, "letters")
	a, b := w.nightly(h, "nightly", g), w.nightly(h, "weekly", g)
	w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
	w.online[h] = true
	w.tick(0)
	w.tick(day)
	j := w.one(h)
	for range 5 { // it fails each time, and they share the attempts
		w.end(j, topics.Failed, topics.CauseUnreachable)
		w.wants(a, w.now.Truncate(day), slotlog.Failed, j.ID)
		w.wants(b, w.now.Truncate(day), slotlog.Failed, j.ID)
		for range 3 {
			w.tick(20 * time.Minute)
		}
		if open := w.open(h); len(open) == 1 {
			j = open[0]
		} else if len(open) > 1 {
			t.Fatalf("%d jobs for two slots that meet", len(open))
		} else {
			break
		}
	}
	if n := len(w.jobs(h)); n != 4 || len(w.pending(h)) != 0 {
		t.Errorf("%d jobs, %+v owed; want one and three retries", n, w.pending(h))
	}
	w.tick(w.now.Truncate(day).Add(day).Sub(w.now))
	j = w.one(h)
	w.end(j, topics.Succeeded, "")
	w.wants(a, w.now, slotlog.Ran, j.ID)
	w.wants(b, w.now, slotlog.Ran, j.ID)
}

// TestAFailureThatNobodyRecognisesIsTriedThreeTimesMore, whatever the schedule allows; a
// person's own job is not tried again.
func TestAFailureThatNobodyRecognisesIsTriedThreeTimesMore(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.host("attic")
	g := w.group(h, "letters")
	sc := w.nightly(h, "nightly", g)
	w.exec(`UPDATE schedules SET since = ?, retry_max = 20`, w.now.UnixMilli())
	w.online[h] = true
	w.tick(0)
	w.tick(day)
	for range 10 {
		open := w.open(h)
		if len(open) == 0 {
			break
		}
		w.end(open[0], topics.Failed, topics.CauseUnknown)
		w.tick(20 * time.Minute)
		w.tick(20 * time.Minute)
	}
	if n, owed := len(w.jobs(h)), w.pending(h); n != 4 || len(owed) != 0 {
		t.Errorf("%d jobs, %+v owed; want one and three retries", n, owed)
	}
	const said = "tried again 3 times, the last failure is unknown, which is not tried again for ever"
	if n, why := w.audited("pending_run.abandoned", sc.ID); n != 1 || !strings.Contains(why, said) {
		t.Errorf("%d entries: %s", n, why)
	}
	w.end(w.asked(h, topics.BackupJob, g, topics.RepositoryID(g), w.now, time.Time{}), topics.Failed, topics.CauseUnknown)
	w.tick(20 * time.Minute)
	if n, owed := len(w.jobs(h)), w.pending(h); n != 5 || len(owed) != 0 {
		t.Errorf("after a person's own job %d jobs, %+v owed", n, owed)
	}
}

// TestChartsOfDaysShowBackupsAndMissedSlots, and no other job.
func TestChartsOfDaysShowBackupsAndMissedSlots(t *testing.T) {
	w := newWorld(t, open(t))
	h := w.firing("attic")
	g := w.group(h, "letters")
	sc := w.nightly(h, "nightly", g)
	w.exec(`UPDATE schedules SET since = ?`, w.now.UnixMilli())
	began := w.now
	w.tick(0)
	w.asked(h, topics.CheckJob, "", topics.RepositoryID(g), began.Add(time.Hour), began.Add(2*time.Hour))
	w.end(w.fires(sc, g, began.Add(day), began.Add(day)), topics.Warnings, topics.CauseUnreadable)
	w.tick(2*day + slots.Grace)
	got := fmt.Sprint(must(w.store.HostDays(ctx, []topics.HostID{h}, began.UnixMilli())))
	if want := fmt.Sprint([]slotlog.Day{{Host: h, At: began.UnixMilli(), State: topics.Warnings},
		{Host: h, At: began.Add(2 * day).UnixMilli(), Outcome: slotlog.MissedOffline}}); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// vault adds a repository.
func (w *world) vault(name string) topics.RepositoryID {
	w.t.Helper()
	id := topics.RepositoryID("vault-" + name)
	if err := w.store.AddRepository(ctx, "test", store.Repository{ID: id, Name: name},
		store.RepositoryAccess{URL: topics.Secret("/srv/" + name), Password: "hunter2hunter2"}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

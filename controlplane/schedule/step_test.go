package schedule

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

const day = 24 * time.Hour

func TestASlotBecomesOneJobOfEachGroup(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"), w.group(attic, "photos"))
	w.tick(-time.Minute)
	w.open(attic) // the clock's first midnight lies in the past: this is about the next one
	for _, j := range w.open(attic) {
		w.end(j, topics.Succeeded, "")
	}
	before, stirs := len(w.jobs(attic)), w.stirs
	w.tick(time.Minute)
	w.tick(30 * time.Second)
	w.tick(30 * time.Second)
	jobs := w.jobs(attic)[before:]
	if len(jobs) != 2 || w.stirs != stirs+1 {
		t.Fatalf("%d jobs after %d stirs, want 2 after one", len(jobs), w.stirs-stirs)
	}
	for _, j := range jobs {
		if j.State != topics.Queued || j.RequestedBy != "schedule:nightly" || j.Schedule != sc.ID || j.Attempt != 0 ||
			j.Slot != w.now.Truncate(day).UnixMilli() || j.NotAfter != w.now.Add(day-time.Minute).UnixMilli() {
			t.Errorf("the job is %+v", j)
		}
	}
}

func TestAHostAwayForThreeSlotsOwesOneRunTheLatest(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	began := w.now
	for range 3 {
		w.tick(time.Minute)
		w.tick(day - time.Minute)
	}
	want := began.Add(3 * day)
	rows := w.pending(attic)
	if len(rows) != 1 || rows[0].Slot != want.UnixMilli() || rows[0].Attempt != 0 || rows[0].Reason != ReasonHost {
		t.Fatalf("pending %+v, want one of %s", rows, want)
	}
	if n := len(w.jobs(attic)); n != 0 {
		t.Fatalf("%d jobs for a host that is away", n)
	}
	w.hello(attic)
	w.hello(attic)
	w.tick(time.Minute)
	if j := w.one(attic); j.Slot != want.UnixMilli() || j.Schedule != sc.ID || j.Attempt != 1 {
		t.Errorf("the job is %+v", j)
	}
	if rows := w.pending(attic); len(rows) != 0 {
		t.Errorf("still pending: %+v", rows)
	}
}

func TestAControlPlaneThatWasAwayNamesTheLatestSlotToo(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	w.tick(10*day + time.Hour)
	if j := w.one(attic); j.Slot != w.now.Add(-time.Hour).UnixMilli() {
		t.Errorf("the job is for %s", moment(j.Slot))
	}
	if n, last := w.audited("schedule.slots_passed", sc.ID); n != 1 || !strings.Contains(last, "stands for 1") {
		t.Errorf("passed slots are audited %d times: %q", n, last)
	}
}

func TestAHelloDrainsEveryRowDueOrNot(t *testing.T) {
	w := newWorld(t, open(t))
	attic, cellar := w.host("attic"), w.host("cellar")
	letters, photos := w.group(attic, "letters"), w.group(attic, "photos")
	w.nightly(attic, "first", letters)
	w.nightly(attic, "second", photos)
	w.nightly(cellar, "other", w.group(cellar, "wine"))
	w.online[attic] = true
	w.tick(0)
	for _, j := range w.open(attic) {
		w.end(j, topics.Failed, topics.CauseUnreachable)
	}
	if rows := w.pending(attic); len(rows) != 2 || rows[0].NextAttemptAt <= w.now.UnixMilli() ||
		rows[0].Reason != string(topics.CauseUnreachable) {
		t.Fatalf("pending %+v, want two that are not due", rows)
	}
	w.hello(attic)
	if n := len(w.open(attic)); n != 2 || len(w.pending(attic)) != 0 {
		t.Errorf("%d jobs, pending %+v", n, w.pending(attic))
	}
	if len(w.pending(cellar)) != 1 || len(w.open(cellar)) != 0 {
		t.Error("another host's hello drained the cellar's")
	}
}

func TestATickDrainsOneOfEachHostAndSkipsWhoIsAway(t *testing.T) {
	w := newWorld(t, open(t))
	attic, cellar, shed := w.host("attic"), w.host("cellar"), w.host("shed")
	for _, h := range []topics.HostID{attic, cellar, shed} {
		w.nightly(h, "first", w.group(h, "letters"))
		w.nightly(h, "second", w.group(h, "photos"))
		w.nightly(h, "third", w.group(h, "wine"))
	}
	w.tick(0)
	w.online[attic], w.online[cellar] = true, true
	for n := 1; n <= 3; n++ {
		w.tick(30 * time.Second)
		if a, c, s := len(w.open(attic)), len(w.open(cellar)), len(w.open(shed)); a != n || c != n || s != 0 {
			t.Errorf("after %d ticks %d, %d and %d jobs", n, a, c, s)
		}
	}
	if n := len(w.pending(shed)); n != 3 {
		t.Errorf("%d rows of the host that is away", n)
	}
}

func TestAFailureIsTriedAgainLaterEachTimeAndNotForEver(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	w.nightly(attic, "nightly", w.group(attic, "letters"))
	sc := w.put(attic, "nightly", func(sc *store.Schedule) { sc.RetryMax = 7 })
	w.tick(0)
	for attempt, wait := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if j := w.one(attic); j.Attempt != attempt {
			t.Fatalf("attempt %d, want %d", j.Attempt, attempt)
		}
		w.end(w.one(attic), topics.Failed, topics.CauseLocked)
		w.tick(wait*time.Minute - time.Second)
		if rows := w.pending(attic); len(rows) != 1 || rows[0].Attempt != attempt || len(w.open(attic)) != 0 {
			t.Fatalf("attempt %d is not waited for: %+v, %d jobs", attempt, rows, len(w.open(attic)))
		}
		w.tick(time.Second)
	}
	w.end(w.one(attic), topics.Failed, topics.CauseLocked)
	w.tick(time.Hour)
	if n, last := w.audited("pending_run.abandoned", sc.ID); n != 1 || !strings.Contains(last, "locked") || len(w.pending(attic)) != 0 ||
		len(w.open(attic)) != 0 {
		t.Errorf("after the last try: abandoned %d times (%s), pending %+v", n, last, w.pending(attic))
	}
	w.hello(attic)
	if n := len(w.jobs(attic)); n != 8 {
		t.Errorf("%d jobs of one slot, want 8", n)
	}
	w.tick(day)
	if j := w.one(attic); j.Attempt != 0 {
		t.Errorf("the next slot begins with attempt %d", j.Attempt)
	}
}

func TestAPendingRunWithoutItsScheduleOrGroupIsAbandoned(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(*world, store.Schedule)
		why  string
	}{
		"schedule gone": {func(w *world, sc store.Schedule) {
			if err := w.store.DeleteSchedule(ctx, "anna", sc.Host, sc.Name); err != nil {
				w.t.Fatal(err)
			}
		}, "schedule is gone"},
		"disabled": {func(w *world, sc store.Schedule) {
			w.put(sc.Host, sc.Name, func(sc *store.Schedule) { sc.Enabled = false })
		}, "disabled"},
		"group gone": {func(w *world, sc store.Schedule) { w.exec(`DELETE FROM source_groups WHERE id = ?`, sc.Groups[0]) }, "groups are gone"},
		"fewer tries": {func(w *world, sc store.Schedule) {
			w.put(sc.Host, sc.Name, func(sc *store.Schedule) { sc.RetryMax = 0 })
		}, "tried again 0 times"},
	} {
		for _, by := range []string{"tick", "hello"} {
			w := newWorld(t, open(t))
			attic := w.host("attic")
			sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
			w.tick(0)
			if len(w.pending(attic)) != 1 {
				t.Fatalf("%s: nothing is pending", name)
			}
			c.harm(w, sc)
			if by == "tick" { // the host need not come back for that
				w.tick(30 * time.Second)
			} else {
				w.hello(attic)
			}
			n, last := w.audited("pending_run.abandoned", sc.ID)
			if n != 1 || !strings.Contains(last, c.why) || len(w.pending(attic)) != 0 || len(w.jobs(attic)) != 0 {
				t.Errorf("%s, by %s: abandoned %d times (%s), pending %+v, %d jobs", name, by, n, last, w.pending(attic), len(w.jobs(attic)))
			}
		}
	}
}

func TestOfSeveralGroupsOnlyThoseInNeedAreTriedAgain(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	good, bad, hopeless, gone := w.group(attic, "good"), w.group(attic, "bad"), w.group(attic, "hopeless"), w.group(attic, "stopped")
	sc := w.nightly(attic, "nightly", good, bad, hopeless, gone)
	w.tick(0)
	by := map[topics.SourceGroupID]store.Job{}
	for _, j := range w.open(attic) {
		by[j.SourceGroup] = j
	}
	w.end(by[bad], topics.Failed, topics.CauseUnreachable)
	w.end(by[good], topics.Warnings, topics.CauseUnreadable)
	w.end(by[hopeless], topics.Failed, topics.CausePassword)
	w.end(by[gone], topics.Cancelled, topics.CauseCancelled)
	if rows := w.pending(attic); len(rows) != 1 || rows[0].Schedule != sc.ID {
		t.Fatalf("pending %+v", rows)
	}
	w.tick(time.Minute)
	j := w.one(attic)
	if j.SourceGroup != bad || j.Attempt != 1 || j.Slot != by[bad].Slot {
		t.Errorf("tried again: %+v", j)
	}
	w.end(j, topics.Succeeded, "")
	w.tick(time.Hour)
	if n := len(w.jobs(attic)); n != 5 || len(w.pending(attic)) != 0 {
		t.Errorf("%d jobs, pending %+v", n, w.pending(attic))
	}
}

func TestASlotDuringAJobIsAnsweredByIt(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	letters := w.group(attic, "letters")
	sc := w.nightly(attic, "nightly", letters)
	persons, _, err := w.store.Ask(ctx, "anna", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: attic, Kind: topics.BackupJob,
		SourceGroup: letters, Repository: topics.RepositoryID(letters), NotAfter: 1 << 50})
	if err != nil {
		t.Fatal(err)
	}
	w.tick(0)
	if j := w.one(attic); j.ID != persons.ID || j.Schedule != "" {
		t.Errorf("open is %+v", j)
	}
	if n, last := w.audited("schedule.slot_answered", sc.ID); n != 1 || !strings.Contains(last, string(persons.ID)) {
		t.Errorf("answered %d times: %s", n, last)
	}
	// The slot is held against it: that it was a person's wish does not settle the slot.
	w.end(persons, topics.Failed, topics.CauseUnreachable)
	w.tick(time.Minute)
	if j := w.one(attic); j.Schedule != sc.ID || j.Attempt != 1 {
		t.Errorf("after its failure: %+v", j)
	}
	again, fresh, err := w.store.Ask(ctx, "anna", store.Job{
		ID:          "person-0001",
		Host:        attic,
		Kind:        topics.BackupJob,
		SourceGroup: letters,
		Repository:  topics.RepositoryID(letters),
	})
	if err != nil || fresh || again.ID != w.one(attic).ID {
		t.Errorf("a person's request is answered with %s, fresh %t, %v", again.ID, fresh, err)
	}
	w.end(again, topics.Succeeded, "")
	if len(w.pending(attic)) != 0 {
		t.Errorf("pending %+v", w.pending(attic))
	}
}

func TestAPersonsFailureIsNotTriedAgain(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	letters := w.group(attic, "letters")
	w.nightly(attic, "nightly", letters)
	w.tick(0)
	w.end(w.one(attic), topics.Succeeded, "")
	persons, _, err := w.store.Ask(ctx, "anna", store.Job{
		ID:          "person-0001",
		Host:        attic,
		Kind:        topics.BackupJob,
		SourceGroup: letters,
		Repository:  topics.RepositoryID(letters),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.end(persons, topics.Failed, topics.CauseUnreachable)
	w.tick(time.Hour)
	w.hello(attic)
	if len(w.pending(attic)) != 0 || len(w.open(attic)) != 0 {
		t.Errorf("pending %+v, %d jobs", w.pending(attic), len(w.open(attic)))
	}
}

func TestWhatAPersonWantedToEndStaysEnded(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	w.nightly(attic, "nightly", w.group(attic, "letters"))
	w.tick(0)
	w.exec(`UPDATE jobs SET cancel_asked = 1`) // and then the machine went down before it could
	w.end(w.one(attic), topics.Interrupted, topics.CauseAgentDied)
	w.tick(time.Hour)
	if len(w.pending(attic)) != 0 || len(w.open(attic)) != 0 {
		t.Errorf("pending %+v, %d jobs", w.pending(attic), len(w.open(attic)))
	}
}

// TestWhatRanOutOfSightDoesNotAnswerALaterSlot: the backup of Monday, told on
// Thursday, is no backup of Wednesday.
func TestWhatRanOutOfSightDoesNotAnswerALaterSlot(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	w.nightly(attic, "nightly", w.group(attic, "letters"))
	w.tick(0)
	monday := w.one(attic)
	w.online[attic] = false
	w.tick(day)
	w.tick(day)
	w.tick(12 * time.Hour)
	w.end(monday, topics.Succeeded, "") // its hello's endings first
	if len(w.pending(attic)) != 1 {
		t.Fatalf("pending %+v", w.pending(attic))
	}
	w.hello(attic)
	if j := w.one(attic); j.Slot != monday.Slot+2*day.Milliseconds() {
		t.Errorf("open is %+v", j)
	}
}

func TestAJobThatStillRunsWhenItsHostIsBackAnswersTheSlot(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	w.nightly(attic, "nightly", w.group(attic, "letters"))
	w.tick(0)
	long := w.one(attic)
	w.online[attic] = false
	w.tick(day)
	w.hello(attic)
	if w.one(attic).ID != long.ID || len(w.pending(attic)) != 0 {
		t.Fatalf("open %+v, pending %+v", w.open(attic), w.pending(attic))
	}
	w.end(long, topics.Interrupted, topics.CauseAgentDied)
	if rows := w.pending(attic); len(rows) != 1 || rows[0].Slot != long.Slot+day.Milliseconds() || rows[0].Attempt != 0 {
		t.Errorf("pending %+v, want the later slot", rows)
	}
}

func TestAGoodBackupAfterTheSlotMakesUpForIt(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	letters := w.group(attic, "letters")
	sc := w.nightly(attic, "nightly", letters)
	w.tick(time.Minute)
	slot := time.Now().Add(-time.Hour).UnixMilli() // AskBackup stamps with the real clock
	w.exec(`UPDATE schedules SET last_slot = ?`, slot)
	w.exec(`UPDATE schedule_groups SET fired = ?`, slot)
	w.exec(`UPDATE pending_runs SET slot = ?`, slot)
	persons, _, err := w.store.Ask(ctx, "anna", store.Job{
		ID:          "person-0001",
		Host:        attic,
		Kind:        topics.BackupJob,
		SourceGroup: letters,
		Repository:  topics.RepositoryID(letters),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.end(persons, topics.Succeeded, "")
	if n, _ := w.audited("pending_run.served", sc.ID); n != 1 || len(w.pending(attic)) != 0 {
		t.Errorf("served %d times, pending %+v", n, w.pending(attic))
	}
}

func TestANewerSlotTakesThePlaceOfWhatWasPending(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	w.put(attic, "nightly", func(sc *store.Schedule) { sc.Cron, sc.RetryMax = "* * * * *", 100 })
	w.tick(0)
	for range 3 { // fails once a minute, and its next slot comes as soon as its next try
		w.end(w.one(attic), topics.Failed, topics.CauseLocked)
		w.tick(time.Minute)
		if j := w.one(attic); j.Attempt != 0 || j.Slot != w.now.UnixMilli() {
			t.Fatalf("open is %+v", j)
		}
	}
	if n, _ := w.audited("pending_run.superseded", sc.ID); n != 3 || len(w.pending(attic)) != 0 {
		t.Errorf("superseded %d times, pending %+v", n, w.pending(attic))
	}
}

func TestAChangedPlanDoesNotLookBack(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	letters := w.group(attic, "letters")
	w.nightly(attic, "nightly", letters)
	w.tick(time.Hour)
	w.end(w.one(attic), topics.Succeeded, "")
	// The store stamps the change by the real clock; the world's is brought there.
	w.exec(`UPDATE schedules SET last_slot = 0`)
	w.now = time.Now().Add(time.Second)
	w.put(attic, "nightly", func(sc *store.Schedule) { sc.Enabled = false })
	w.exec(`UPDATE schedules SET since = 0`)
	back := w.put(attic, "nightly", func(sc *store.Schedule) { sc.Enabled = true })
	w.tick(0)
	if n := len(w.open(attic)); n > 0 || back.Since == 0 {
		t.Errorf("%d jobs for slots while it was disabled", n)
	}
	same := w.put(attic, "nightly", func(sc *store.Schedule) { sc.RetryMax = 5 })
	if same.Since != back.Since {
		t.Error("a change that leaves the plan alone moves it")
	}
	w.exec(`UPDATE schedules SET since = 0`)
	if other := w.put(attic, "nightly", func(sc *store.Schedule) { sc.Cron = "0 1 * * *" }); other.Since == 0 {
		t.Error("another plan looks back")
	}
	photos := w.group(attic, "photos")
	if more := w.put(attic, "nightly", func(sc *store.Schedule) { sc.Groups = append(sc.Groups, photos) }); len(more.Groups) != 2 {
		t.Errorf("groups %v", more.Groups)
	}
	w.tick(0)
	if n := len(w.open(attic)); n > 0 {
		t.Errorf("%d jobs of a group that joined after the slot", n)
	}
}

func TestAClockThatWasFarAheadDoesNotSilenceASchedule(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	right := w.now
	w.tick(1000 * day)
	w.end(w.one(attic), topics.Succeeded, "")
	w.now = right
	w.tick(time.Hour)
	w.tick(day)
	if j := w.one(attic); j.Slot != right.Add(day).UnixMilli() {
		t.Errorf("open is %+v", j)
	}
	if n, _ := w.audited("schedule.rewound", sc.ID); n != 1 {
		t.Errorf("rewound %d times", n)
	}
	w.end(w.one(attic), topics.Succeeded, "")
	w.tick(-time.Hour) // a little back: the slot is not run again
	w.tick(time.Hour)
	if n := len(w.open(attic)); n != 0 {
		t.Errorf("%d jobs after a small step back", n)
	}
}

func TestAScheduleNobodyCanReadHoldsUpNoOther(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	bad := w.nightly(attic, "a bad one", w.group(attic, "letters"))
	w.nightly(attic, "nightly", w.group(attic, "photos"))
	w.exec(`UPDATE schedules SET zone = 'Mars/Olympus' WHERE id = ?`, bad.ID)
	w.tick(0)
	if j := w.one(attic); j.Schedule == bad.ID {
		t.Errorf("open is %+v", j)
	}
}

func TestASlotThatRanIsDropped(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	w.tick(0)
	w.end(w.one(attic), topics.Failed, topics.CauseLocked)
	// As if the agent had run the next attempt of this slot on its own.
	w.exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after, finished_at,
		schedule, slot, attempt)
		SELECT 'agents-own', host, kind, source_group, repository, 'succeeded', 'agent', queued_at, not_after, finished_at, schedule,
		slot, 1 FROM jobs`)
	w.tick(time.Minute)
	if len(w.open(attic)) != 0 || len(w.pending(attic)) != 0 {
		t.Errorf("%d jobs, pending %+v", len(w.open(attic)), w.pending(attic))
	}
	if _, err := w.store.raw.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at,
		not_after, schedule, slot, attempt)
		SELECT 'twice', host, kind, source_group, repository, 'queued', 'agent', queued_at, not_after, schedule, slot, 1 FROM jobs
		WHERE id = 'agents-own'`); err == nil {
		t.Error("the database takes one attempt of a slot twice")
	}
	if rows := must(w.store.Schedules(ctx, attic)); len(rows) != 1 || rows[0].ID != sc.ID || len(rows[0].Groups) != 1 {
		t.Errorf("schedules %+v", rows)
	}
}

// TestRunLooksEveryHalfMinuteAndAtEachHello has the loop itself at work, by
// fake time.
func TestRunLooksEveryHalfMinuteAndAtEachHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, open(t))
		w.runner.Now = time.Now
		attic := w.host("attic")
		letters := w.group(attic, "letters")
		w.put(attic, "often", func(sc *store.Schedule) {
			sc.Cron, sc.Zone, sc.Enabled, sc.RetryMax, sc.Groups = "*/10 * * * *", "UTC", true, 3, []topics.SourceGroupID{letters}
		})
		there := make(chan bool, 1)
		online := false
		w.runner.Online = func(topics.HostID) bool {
			select {
			case online = <-there:
			default:
			}
			return online
		}
		run, stop := newRun(w)
		time.Sleep(10*time.Minute + 31*time.Second)
		synctest.Wait()
		if n := len(w.pending(attic)); n != 1 || len(w.jobs(attic)) != 0 {
			t.Errorf("%d pending, %d jobs", n, len(w.jobs(attic)))
		}
		there <- true
		w.runner.HostCame(attic)
		synctest.Wait()
		if n := len(w.pending(attic)); n != 0 || len(w.open(attic)) != 1 {
			t.Errorf("after the hello %d pending, %d jobs", n, len(w.open(attic)))
		}
		stop()
		if err := <-run; err != nil {
			t.Error(err)
		}
	})
}

// TestWhateverComesASlotIsServedOnce lets chance play, and holds the database to
// what was promised after every step.
func TestWhateverComesASlotIsServedOnce(t *testing.T) {
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, s)
		attic := w.host("attic")
		groups := []topics.SourceGroupID{w.group(attic, "a"), w.group(attic, "b"), w.group(attic, "c")}
		names := []string{"one", "two"}
		put := func(name string) {
			w.put(attic, name, func(sc *store.Schedule) {
				sc.Cron, sc.Zone, sc.Enabled = rapid.SampledFrom([]string{"*/10 * * * *", "@hourly", "@daily"}).Draw(t,
					"cron"), "UTC", rapid.IntRange(0, 4).Draw(t, "enabled") > 0
				sc.RetryMax = rapid.IntRange(0, 3).Draw(t, "retry max")
				sc.Groups = nil
				for _, g := range groups {
					if rapid.Bool().Draw(t, "group") {
						sc.Groups = append(sc.Groups, g)
					}
				}
				if len(sc.Groups) == 0 {
					sc.Groups = groups[:1]
				}
			})
		}
		put("one")
		put("two")
		for range rapid.IntRange(1, 16).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"tick", "tick", "tick", "tick", "away", "hello",
				"end", "end", "end", "ask", "put", "delete"}).Draw(t, "what") {
			case "tick":
				w.tick(rapid.SampledFrom([]time.Duration{30 * time.Second, 2 * time.Minute, 11 * time.Minute, 3 * time.Hour, 2 * day}).Draw(t, "later"))
			case "away":
				w.online[attic] = false
			case "hello":
				w.hello(attic)
			case "end":
				if open := w.open(attic); len(open) > 0 {
					end := rapid.SampledFrom([]struct {
						state topics.JobState
						cause topics.Cause
					}{
						{topics.Succeeded, ""},
						{topics.Warnings, topics.CauseUnreadable},
						{topics.Failed, topics.CauseLocked},
						{topics.Failed, topics.CauseLocked},
						{topics.Failed, topics.CausePassword},
						{topics.Interrupted, topics.CauseAgentDied},
						{topics.Abandoned, topics.CauseExpired},
						{topics.Cancelled, topics.CauseCancelled},
					}).Draw(t, "end")
					w.end(rapid.SampledFrom(open).Draw(t, "job"), end.state, end.cause)
				}
			case "ask":
				g := rapid.SampledFrom(groups).Draw(t, "asked for")
				if _, _, err := w.store.Ask(ctx, "anna", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: attic, Kind: topics.BackupJob,
					SourceGroup: g, Repository: topics.RepositoryID(g), NotAfter: 1 << 50}); err != nil {
					t.Fatal(err)
				}
			case "put":
				put(rapid.SampledFrom(names).Draw(t, "schedule"))
			case "delete":
				if err := w.store.DeleteSchedule(ctx, "anna", attic, rapid.SampledFrom(names).Draw(t, "deleted")); err != nil &&
					!errors.Is(err, store.ErrNotFound) {
					t.Fatal(err)
				}
			}
			w.holds(t, attic)
		}
		// In the end the host is there and everything works: nothing stays owed.
		w.hello(attic)
		for range 8 {
			for _, j := range w.open(attic) {
				w.end(j, topics.Succeeded, "")
			}
			if w.tick(31 * time.Second); len(w.open(attic)) == 0 {
				break
			}
		}
		for _, j := range w.open(attic) {
			w.end(j, topics.Succeeded, "")
		}
		w.holds(t, attic)
		if rows := w.pending(attic); len(rows) > 0 {
			t.Fatalf("still pending in the end: %+v", rows)
		}
		for _, name := range names { // the next round has its own
			if _, err := w.store.ScheduleNamed(ctx, attic, name); err == nil {
				w.put(attic, name, func(sc *store.Schedule) { sc.Enabled = false })
			}
		}
	})
}

// holds checks what must be true at any moment.
func (w *world) holds(t *rapid.T, h topics.HostID) {
	t.Helper()
	type slot struct {
		schedule store.ScheduleID
		group    topics.SourceGroupID
		at       int64
	}
	open, good, tries := map[topics.SourceGroupID]int{}, map[slot]bool{}, map[slot]int{}
	retryMax := map[store.ScheduleID]int{}
	last := map[store.ScheduleID]int64{}
	for _, sc := range must(w.store.Schedules(ctx, h)) {
		retryMax[sc.ID], last[sc.ID] = sc.RetryMax, sc.LastSlot
	}
	for _, j := range w.jobs(h) {
		if !j.State.Ended() {
			if open[j.SourceGroup]++; open[j.SourceGroup] > 1 {
				t.Fatalf("two jobs of group %s are open", j.SourceGroup)
			}
		}
		if j.Schedule == "" {
			if j.Slot != 0 || j.Attempt != 0 {
				t.Fatalf("a person's job has a slot: %+v", j)
			}
			continue
		}
		k := slot{j.Schedule, j.SourceGroup, j.Slot}
		if good[k] {
			t.Fatalf("slot %s of %s ran again after it was served", moment(j.Slot), j.Schedule)
		}
		if tries[k]++; tries[k] > 4 { // retry_max is 3 at most
			t.Fatalf("slot %s of %s became %d jobs", moment(j.Slot), j.Schedule, tries[k])
		}
		good[k] = j.State == topics.Succeeded || j.State == topics.Warnings || j.State == topics.Cancelled || j.Cause == topics.CausePassword
	}
	seen := map[store.ScheduleID]bool{}
	for _, row := range w.pending(h) {
		if seen[row.Schedule] {
			t.Fatalf("schedule %s has two pending runs", row.Schedule)
		}
		seen[row.Schedule] = true
		if at, known := last[row.Schedule]; known && at != row.Slot {
			t.Fatalf("%+v does not name the latest slot, %s", row, moment(at))
		}
	}
}

package schedule

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

func (w *world) pause(h topics.HostID, until time.Time) {
	w.t.Helper()
	if _, err := (&pause.Service{Store: w.store.Store, Now: func() time.Time { return w.now }}).Pause(ctx, "mqtt:home", h, until); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) resume(h topics.HostID) {
	w.t.Helper()
	if _, ended, err := (&pause.Service{Store: w.store.Store, Now: func() time.Time { return w.now }}).Resume(ctx, "anna",
		h); err != nil || !ended {
		w.t.Fatalf("%t, %v", ended, err)
	}
}

// A host whose agent is too old to run schedules by itself: the control plane begins nothing
// in a pause, and nothing of it afterwards.
func TestNothingIsFiredForAPausedHost(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.host("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	midnight := w.now
	w.tick(time.Hour)
	w.end(w.one(attic), topics.Succeeded, "")
	w.pause(attic, midnight.Add(2*day+time.Hour))
	for range 50 {
		w.tick(time.Hour)
	}
	if n := len(w.jobs(attic)) - 1; n != 0 {
		t.Fatalf("%d jobs in a pause, or of it", n)
	}
	for _, slot := range []time.Time{midnight.Add(day), midnight.Add(2 * day)} {
		w.wants(sc, slot, slotlog.MissedPaused, "")
	}
	row := must(w.store.ScheduleNamed(ctx, attic, "nightly"))
	if next := must(NextStarts(row, w.now, 1)); len(next) != 1 || !next[0].Equal(midnight.Add(3*day)) {
		t.Errorf("the next runs are %s", next)
	}
	for range 24 {
		w.tick(time.Hour)
	}
	if j := w.one(attic); j.Slot != midnight.Add(3*day).UnixMilli() {
		t.Errorf("the job is for %s", moment(j.Slot))
	}
	if n, _ := w.audited("host.resumed", store.ScheduleID(attic)); n != 1 {
		t.Errorf("its end is audited %d times", n)
	}
}

// What a host owed before a pause, because it was away or because its backup failed, waits for
// its end.
func TestWhatIsOwedWaitsForTheEndOfAPause(t *testing.T) {
	for what, owe := range map[string]func(w *world, h topics.HostID){
		"away": func(w *world, h topics.HostID) {
			w.tick(day)
			w.pause(h, w.now.Add(12*time.Hour))
			w.hello(h)
		},
		"failed": func(w *world, h topics.HostID) {
			w.online[h] = true
			w.tick(day)
			w.end(w.one(h), topics.Failed, topics.CauseLocked)
			w.pause(h, w.now.Add(12*time.Hour))
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, open(t))
			attic := w.host("attic")
			w.nightly(attic, "nightly", w.group(attic, "letters"))
			slot := w.now.Add(day)
			owe(w, attic)
			for range 11 {
				w.tick(time.Hour)
			}
			if n := len(w.open(attic)); n != 0 {
				t.Fatalf("%d jobs begin in a pause", n)
			}
			if rows := w.pending(attic); len(rows) != 1 {
				t.Fatalf("pending %+v: it is to wait", rows)
			}
			w.tick(time.Hour)
			w.tick(time.Minute)
			if n := len(w.open(attic)); n != 0 {
				t.Fatalf("%d jobs are asked for before the agent can begin what it owes", n)
			}
			w.tick(10 * time.Minute)
			if j := w.one(attic); j.Slot != slot.UnixMilli() {
				t.Errorf("the job is for %s", moment(j.Slot))
			}
		})
	}
}

// Resumed by hand, a host owes nothing of the time before, and its next slot is begun.
func TestAHostThatIsResumedGoesOnWithItsNextSlot(t *testing.T) {
	w := newWorld(t, open(t))
	attic := w.firing("attic")
	w.online[attic] = true
	sc := w.nightly(attic, "nightly", w.group(attic, "letters"))
	midnight := w.now
	w.tick(time.Hour)
	w.pause(attic, midnight.Add(5*day))
	w.tick(2 * day)
	w.resume(attic)
	w.tick(2 * time.Hour)
	w.wants(sc, midnight.Add(day), slotlog.MissedPaused, "")
	w.wants(sc, midnight.Add(2*day), slotlog.MissedPaused, "")
	if rows := w.pending(attic); len(rows) != 0 {
		t.Errorf("pending %+v", rows)
	}
	w.tick(day)
	w.tick(time.Hour)
	if got := w.became(sc)[midnight.Add(3*day).UnixMilli()]; got.Outcome != slotlog.Failed { // it was here, and began nothing
		t.Errorf("the slot after the pause is %+v", got)
	}
}

package life

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
)

const year = 365 * 24 * time.Hour

// What was written while the clock was a year ahead keeps nothing silent, and nothing open,
// until that year has passed.
func TestAClockThatIsSetBack(t *testing.T) {
	t.Run("what explained does not go on for a year", func(t *testing.T) {
		w := newWorld(t)
		w.after(0, unreachable("vault"))
		w.after(time.Hour)
		fails := failed("letters", "attic", "vault", w.now.Add(-time.Minute))
		fails.Since -= year.Milliseconds()
		w.said = nil
		w.after(-year, fails)
		w.told("opened backup-failed")
	})
	t.Run("one that flapped is over an hour later", func(t *testing.T) {
		w := newWorld(t)
		for range 3 {
			w.after(time.Minute, offline("attic"))
			w.after(time.Minute)
		}
		w.said = nil
		w.after(-year)
		w.after(59 * time.Minute)
		w.told()
		w.after(time.Minute)
		w.told("recovered host-offline")
	})
	t.Run("one that began once does not flap", func(t *testing.T) {
		w := newWorld(t)
		w.after(0, offline("attic"))
		w.after(time.Minute)
		w.after(-year, offline("attic"))
		if a := w.live(conditions.HostOffline); a.Flaps || a.Count != 1 {
			t.Errorf("it is %+v", a)
		}
	})
	t.Run("a snooze is over", func(t *testing.T) {
		w := newWorld(t)
		w.after(0, offline("attic"))
		w.book.Live[offline("attic").Key].SnoozedUntil = w.now.Add(MostSnoozed).UnixMilli()
		w.after(0, offline("attic"))
		w.told("opened host-offline")
		w.after(-year, offline("attic"))
		w.told("reminded host-offline")
	})
}

// A backup that fails long after what explained the failures before is another matter.
func TestWhatFailsAfterTheExplanationIsOverIsTold(t *testing.T) {
	w := newWorld(t)
	fails := failed("letters", "attic", "vault", w.now)
	fails.At = w.now.UnixMilli()
	w.after(time.Minute, unreachable("vault"), fails)
	w.after(time.Hour, fails)
	fails.At = w.now.Add(Slack).UnixMilli() // it had begun before
	w.after(2*time.Hour, fails)
	w.told("opened repository-unreachable", "recovered repository-unreachable")
	fails.At = w.now.UnixMilli()
	w.after(0, fails)
	w.told("opened backup-failed")
}

// Who looks after a disk that fills up has to know that it is full.
func TestWhatGetsWorseIsNotAcknowledgedAnyMore(t *testing.T) {
	w := newWorld(t)
	low := offline("attic")
	low.Condition = string(conditions.HostDisk)
	full := low
	full.Severity = alerts.Critical
	w.after(0, low)
	w.book.Live[low.Key].AckedAt = w.now.UnixMilli()
	w.after(time.Minute, full)
	w.told("opened host-disk", "opened host-disk")
	if a := w.live(conditions.HostDisk); a.State(w.now.UnixMilli()) != alerts.Open {
		t.Errorf("it is %s", a.State(w.now.UnixMilli()))
	}
	// One that is now full and now nearly so is not told each time, and stays acknowledged.
	w.book.Live[low.Key].AckedAt = w.now.UnixMilli()
	for range 3 {
		w.after(time.Minute, low)
		w.after(time.Minute, full)
	}
	w.told()
	if a := w.live(conditions.HostDisk); a.State(w.now.UnixMilli()) != alerts.Acknowledged {
		t.Errorf("it is %s", a.State(w.now.UnixMilli()))
	}
}

// Who ended an alert of snapshots that somebody removed has not seen those removed since.
func TestMoreOfItIsAnotherAlert(t *testing.T) {
	w := newWorld(t)
	lost := func(n int64) conditions.Finding {
		f := failed("letters", "attic", "vault", w.now)
		f.Condition, f.Since, f.Body.Much = string(conditions.SnapshotsLost), 1, n
		return f
	}
	w.after(0, lost(3))
	a := w.book.Live[lost(3).Key]
	delete(w.book.Live, a.Key)
	a.EndedAt, a.EndedBy = w.now.Add(time.Minute).UnixMilli(), "anna"
	w.book.Late[a.Key] = a
	w.after(time.Hour, lost(3))
	w.after(time.Hour, lost(2))
	w.told("opened snapshots-lost")
	w.after(time.Hour, lost(4))
	w.told("opened snapshots-lost")
}

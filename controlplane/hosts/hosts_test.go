package hosts

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

const attic = topics.HostID("attic-0001")

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func session(n uint64) topics.Session { return topics.Session{Epoch: 1, N: n} }

func TestALateWillEndsOnlyItsOwnSession(t *testing.T) {
	c := &clock{time.UnixMilli(1_000_000)}
	p := NewPresence(DefaultTiming(), c.now, nil)
	p.Born(attic, session(1))
	p.Greeted(attic, session(1))
	p.Born(attic, session(2))
	p.Greeted(attic, session(2))
	if p.Died(attic, session(1)) {
		t.Error("the death of session 1 ended session 2")
	}
	if got, _ := p.Connection(attic); got != Online || !p.Reachable(attic) {
		t.Errorf("after a late will the host is %s", got)
	}
	if !p.Died(attic, session(2)) {
		t.Error("the death of session 2 did not end it")
	}
	if got, _ := p.Connection(attic); got != Offline {
		t.Errorf("after its death the host is %s", got)
	}
	if p.Born(attic, session(2)) {
		t.Error("a birth that was repeated revived a dead session")
	}
}

func TestAHostIsStaleAfterThreeMissedBeats(t *testing.T) {
	c := &clock{time.UnixMilli(1_000_000)}
	p := NewPresence(DefaultTiming(), c.now, nil)
	p.Born(attic, session(1))
	if got, _ := p.Connection(attic); got == Online {
		t.Error("online before anything sealed was heard")
	}
	p.Heard(attic, topics.Stamp{Session: session(1), N: 1})
	c.t = c.t.Add(99 * time.Second)
	if got, _ := p.Connection(attic); got != Online {
		t.Errorf("%s after 99 s", got)
	}
	c.t = c.t.Add(2 * time.Second)
	if got, _ := p.Connection(attic); got != Offline {
		t.Errorf("%s after 101 s", got)
	}
}

func TestOnlyRisingNumbersOfThisSessionAreHeard(t *testing.T) {
	c := &clock{time.UnixMilli(1_000_000)}
	p := NewPresence(DefaultTiming(), c.now, nil)
	p.Born(attic, session(2))
	for _, step := range []struct {
		what  string
		stamp topics.Stamp
		want  bool
	}{
		{"the first", topics.Stamp{Session: session(2), N: 1}, true},
		{"the same again", topics.Stamp{Session: session(2), N: 1}, false},
		{"a later one", topics.Stamp{Session: session(2), N: 5}, true},
		{"one in between", topics.Stamp{Session: session(2), N: 4}, false},
		{"one of an older session", topics.Stamp{Session: session(1), N: 9}, false},
		{"one of a session not born yet", topics.Stamp{Session: session(3), N: 9}, false},
	} {
		if got := p.Heard(attic, step.stamp); got != step.want {
			t.Errorf("%s was heard: %t", step.what, got)
		}
	}
}

func TestAfterARestartHostsAreUnknownForAWhile(t *testing.T) {
	c := &clock{time.UnixMilli(1_000_000)}
	p := NewPresence(DefaultTiming(), c.now, []store.Host{{ID: attic, BirthEpoch: 1, BirthN: 4, HelloEpoch: 1, HelloN: 4}})
	if got, _ := p.Connection(attic); got != Unknown || p.Reachable(attic) {
		t.Errorf("just after the start: %s", got)
	}
	if got, _ := p.Connection("other-0001"); got != Offline {
		t.Errorf("a host that never connected is %s", got)
	}
	c.t = c.t.Add(2*time.Minute + time.Second)
	if got, _ := p.Connection(attic); got != Offline {
		t.Errorf("after two minutes: %s", got)
	}
}

func TestRunningNeverHidesAFailure(t *testing.T) {
	for _, c := range []struct {
		what    string
		host    store.Host
		running bool
		want    Status
	}{
		{"new", store.Host{}, false, NoBackupYet},
		{"first one runs", store.Host{}, true, Running},
		{"good", store.Host{Standing: topics.Succeeded, GoodAt: 1}, false, Protected},
		{"good, and runs", store.Host{Standing: topics.Succeeded, GoodAt: 1}, true, Running},
		{"failed after a good one", store.Host{Standing: topics.Failed, GoodAt: 1}, false, Failed},
		{"failed, and runs", store.Host{Standing: topics.Failed, GoodAt: 1}, true, Failed},
		{"interrupted", store.Host{Standing: topics.Interrupted}, false, Failed},
		{"incomplete", store.Host{Standing: topics.Warnings}, false, Warning},
		{"cancelled by a person", store.Host{LastState: topics.Cancelled, Standing: topics.Succeeded, GoodAt: 1}, false, Protected},
		{"cancelled after a failed one", store.Host{LastState: topics.Cancelled, Standing: topics.Failed, GoodAt: 1}, false, Failed},
		{"cancelled, never a good one", store.Host{LastState: topics.Cancelled}, false, NoBackupYet},
	} {
		if got := StatusOf(c.host, c.running); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestALaptopSleepsWithoutAlarmUntilItIsOverdue(t *testing.T) {
	now := time.UnixMilli(100 * 86_400_000)
	ago := func(days int64) int64 { return (100 - days) * 86_400_000 }
	laptop := store.Host{Intermittent: true, OverdueDays: 7, CreatedAt: ago(50), Standing: topics.Succeeded, GoodAt: ago(3)}
	change := func(f func(*store.Host)) store.Host {
		h := laptop
		f(&h)
		return h
	}
	for _, c := range []struct {
		what    string
		host    store.Host
		running bool
		at      Connection
		want    Status
	}{
		{"away", laptop, false, Offline, Asleep},
		{"here", laptop, false, Online, Protected},
		{"not known yet", laptop, false, Unknown, Protected},
		{"away, and its last backup failed", change(func(h *store.Host) { h.Standing = topics.Failed }), false, Offline, Failed},
		{"away for too long", change(func(h *store.Host) { h.GoodAt = ago(8) }), false, Offline, Overdue},
		{"here, and no good backup for too long", change(func(h *store.Host) { h.GoodAt = ago(8) }), false, Online, Overdue},
		{"overdue, and backs up", change(func(h *store.Host) { h.GoodAt = ago(8) }), true, Online, Running},
		{"away for long, and nobody minds", change(func(h *store.Host) { h.GoodAt, h.OverdueDays = ago(40), 0 }), false, Offline, Asleep},
		{"new and away", change(func(h *store.Host) { h.Standing, h.GoodAt, h.CreatedAt = "", 0, ago(1) }), false, Offline, Asleep},
		{"never backed up", change(func(h *store.Host) { h.Standing, h.GoodAt = "", 0 }), false, Offline, Overdue},
		{"a server away", change(func(h *store.Host) { h.Intermittent = false }), false, Offline, Protected},
	} {
		f := FactsOf(c.host, c.running, c.at)
		got, until := Judge(f, now)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		if until.IsZero() {
			until = now.AddDate(100, 0, 0)
		} else if then, _ := Judge(f, until); then == got {
			t.Errorf("%s: still %s at %s, when it may be another", c.what, got, until)
		}
		if last, _ := Judge(f, until.Add(-1)); last != got {
			t.Errorf("%s: %s before %s, it was %s", c.what, last, until, got)
		}
	}
}

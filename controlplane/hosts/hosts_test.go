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

package link

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

const (
	host = topics.HostID("attic-0001")
	job  = topics.JobID("0mk3a7q2job1")
)

// message is one that came.
type message struct {
	mqtt.Message
	topic    string
	payload  []byte
	retained bool
}

func (m message) Topic() string   { return m.topic }
func (m message) Payload() []byte { return m.payload }
func (m message) Retained() bool  { return m.retained }

func channels(t *testing.T) (agent, plane *seal.Channel) {
	t.Helper()
	a, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	p, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if agent, err = seal.NewChannel(a, p.Public(), seal.Agent, string(host)); err != nil {
		t.Fatal(err)
	}
	if plane, err = seal.NewChannel(p, a.Public(), seal.Plane, string(host)); err != nil {
		t.Fatal(err)
	}
	return agent, plane
}

func TestOnlyANewSealedMessageOfThisSessionCounts(t *testing.T) {
	agent, plane := channels(t)
	session := topics.Session{Epoch: 1000, N: 7}
	command := topics.Topic{Kind: topics.KindCommand, Host: host, Job: job}
	other := command
	other.Job = "0mk3a7q2job2"
	stamped := func(s topics.Session, n uint64) []byte {
		return topics.Encode(topics.Command{Stamp: topics.Stamp{Session: s, N: n}, Job: job, Cancel: true})
	}
	sealed := func(n uint64) message {
		return message{topic: command.String(), payload: plane.Seal(command.String(), stamped(session, n))}
	}
	retained := sealed(7)
	retained.retained = true
	moved := sealed(7)
	moved.topic = other.String()
	conn := &Conn{Session: session, channel: agent, config: Config{Host: host, Log: slog.New(slog.DiscardHandler)}}
	for _, c := range []struct { // one after the other, on one connection
		what string
		m    message
		want bool
	}{
		{"retained", retained, false},
		{"in clear", message{topic: command.String(), payload: stamped(session, 7)}, false},
		{"sealed by an agent", message{topic: command.String(), payload: agent.Seal(command.String(), stamped(session, 7))}, false},
		{"moved to another topic", moved, false},
		{"about another job than its topic", message{topic: other.String(), payload: plane.Seal(other.String(), stamped(session, 7))}, false},
		{"of an earlier session",
			message{topic: command.String(), payload: plane.Seal(command.String(), stamped(topics.Session{Epoch: 1000, N: 6}, 9))}, false},
		{"new", sealed(5), true},
		{"the same again", sealed(5), false},
		{"an older one", sealed(4), false},
		{"the next but one", sealed(7), true},
		{"on nobody's topic", message{topic: "rm/v1/ctl/attic-0001/shell", payload: plane.Seal("rm/v1/ctl/attic-0001/shell",
			stamped(session, 8))}, false},
	} {
		if _, got := conn.read(c.m).(topics.Command); got != c.want {
			t.Errorf("%s: taken %v, want %v", c.what, got, c.want)
		}
	}
}

func TestTheWaitGrowsAndIsRandom(t *testing.T) {
	timing := DefaultTiming()
	for attempts, limit := range map[int]time.Duration{
		0:   10 * time.Second,
		1:   20 * time.Second,
		2:   40 * time.Second,
		3:   time.Minute,
		500: time.Minute,
	} {
		longest := time.Duration(0)
		for range 2000 {
			longest = max(longest, jitter(timing, attempts))
		}
		if longest > limit || longest < limit*9/10 {
			t.Errorf("after %d attempts the longest wait is %v, want nearly %v", attempts, longest, limit)
		}
	}
}

func TestNoSessionIsBegunWithoutItsNumberOnDisk(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	full := func() (topics.Session, error) {
		if asked++; asked == 3 {
			cancel()
		}
		return topics.Session{}, errors.New("no space left on device")
	}
	timing := Timing{Backoff: time.Millisecond, BackoffCap: time.Millisecond}
	Keep(ctx, Config{Next: full, Timing: timing, Log: slog.New(slog.DiscardHandler)}, nil) // without a server: to dial would panic
	if asked != 3 {
		t.Errorf("asked for a session %d times, want again and again", asked)
	}
}

// What the control plane tells all agents: that it stops, and that another has begun.
func TestAnAgentHearsThatItsControlPlaneStops(t *testing.T) {
	first, second := topics.Session{Epoch: 1, N: 1}, topics.Session{Epoch: 1, N: 2}
	birth := func(s topics.Session) any { return topics.PlaneBirth{Session: s, Spread: 3000} }
	death := func(s topics.Session, spread int64) any {
		return topics.PlaneDeath{Session: s, Reason: topics.Stopped, Spread: spread}
	}
	for _, c := range []struct {
		what   string
		told   []any
		spread time.Duration
		leaves bool
	}{
		{"nothing", nil, 0, false},
		{"its birth, once more", []any{birth(first), birth(first)}, 0, false},
		{"that it stops", []any{birth(first), death(first, 5000)}, 5 * time.Second, false},
		{"that one before it had stopped", []any{birth(second), death(first, 5000)}, 0, false},
		{"that one before it had stopped, first", []any{death(first, 5000), birth(second)}, 0, false},
		{"that another has begun, where the broker outlives both", []any{birth(first), birth(second)}, 3 * time.Second, true},
		{"a spread that is none", []any{birth(first), death(first, -1)}, time.Second, false},
		{"a spread of a year", []any{birth(first), death(first, 1<<62)}, 90 * time.Second, false},
	} {
		conn := &Conn{config: Config{Log: slog.New(slog.DiscardHandler)}}
		leaves := false
		for _, m := range c.told {
			leaves = conn.hears(m) != nil || leaves
		}
		if conn.spread != c.spread || leaves != c.leaves {
			t.Errorf("%s: comes back within %s, and leaves is %t; want %s, %t", c.what, conn.spread, leaves, c.spread, c.leaves)
		}
	}
}

// A control plane that stops before its birth came here is the one that says so now; what is
// retained is of one before it, maybe.
func TestAStopThatIsSaidNowIsOfThisControlPlane(t *testing.T) {
	for retained, want := range map[bool]time.Duration{false: 5 * time.Second, true: 0} {
		conn := &Conn{config: Config{Log: slog.New(slog.DiscardHandler)}}
		told := conn.read(message{topic: topics.Topic{Kind: topics.KindPlaneDeath}.String(), retained: retained,
			payload: topics.Encode(topics.PlaneDeath{Session: topics.Session{Epoch: 1, N: 1}, Reason: topics.Stopped, Spread: 5000})})
		if err := conn.hears(told); err != nil || conn.spread != want || conn.Refused() != 0 {
			t.Errorf("retained %t: comes back within %s, %v; %d refused", retained, conn.spread, err, conn.Refused())
		}
	}
}

// TestAnAgentComesBackAtItsPace: quickly and spread while the control plane is expected to
// begin anew, whatever happened in between, and with a growing wait else.
func TestAnAgentComesBackAtItsPace(t *testing.T) {
	timing := DefaultTiming()
	cut, busy := errors.New("connection lost"), errors.New("no answer in time")
	absent := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	type attempt struct {
		after  time.Duration // since the one before
		began  bool
		spread time.Duration // that its control plane said
		err    error
		most   time.Duration // of the wait that follows
	}
	for what, list := range map[string][]attempt{
		"nobody ever said anything": {{err: absent, most: 10 * time.Second}, {err: absent, most: 20 * time.Second},
			{began: true, err: cut, most: 10 * time.Second}, {err: absent, most: 20 * time.Second}, {err: absent, most: 40 * time.Second}},
		"it stops, and nobody listens": {{began: true, spread: 3 * time.Second, err: cut, most: 3 * time.Second},
			{err: absent, most: 3 * time.Second}, {err: absent, most: 3 * time.Second}},
		"it stops, and the next has its hands full": {{began: true, spread: 3 * time.Second, err: cut, most: 3 * time.Second},
			{err: busy, most: 6 * time.Second}, {err: busy, most: 12 * time.Second}, {err: absent, most: 12 * time.Second},
			{err: busy, most: 24 * time.Second}, {err: busy, most: 48 * time.Second}, {err: busy, most: 90 * time.Second},
			{err: busy, most: 90 * time.Second}},
		"it stops, and a connection after that is cut before it said anything": {
			{began: true, spread: time.Second, err: cut, most: time.Second}, {began: true, err: cut, most: time.Second},
			{began: true, err: cut, most: time.Second}},
		"it stops, and stays away": {{began: true, spread: time.Second, err: cut, most: time.Second},
			{after: 119 * time.Second, err: absent, most: time.Second}, {after: time.Second, err: absent, most: 10 * time.Second},
			{err: absent, most: 20 * time.Second}, {began: true, err: cut, most: 10 * time.Second}},
		"it stops twice": {{began: true, spread: 5 * time.Second, err: cut, most: 5 * time.Second},
			{began: true, spread: 2 * time.Second, err: cut, most: 2 * time.Second}, {err: absent, most: 2 * time.Second}},
		"it cannot work with this agent": {{began: true, spread: time.Second, err: cut, most: time.Second},
			{err: Refuse("too old"), most: 10 * time.Minute}},
	} {
		longest := make([]time.Duration, len(list))
		for range 500 {
			var p pace
			now := time.Now()
			for i, a := range list {
				now = now.Add(a.after)
				if a.began {
					p.began()
					p.stopped(timing, now, a.spread)
				}
				longest[i] = max(longest[i], p.wait(timing, now, a.began, a.err))
			}
		}
		for i, a := range list {
			if longest[i] > a.most || longest[i] < a.most*9/10 {
				t.Errorf("%s: after attempt %d the longest wait is %s, want nearly %s", what, i, longest[i], a.most)
			}
		}
	}
}

// The more agents there are, the longer they take to come back; each before it would count as offline.
func TestAgentsComeBackSpread(t *testing.T) {
	for n, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 500: 10 * time.Second, 10_000: 90 * time.Second,
		1_000_000: 90 * time.Second} {
		if got := topics.SpreadOf(n); got != want {
			t.Errorf("%d agents come back over %s, want %s", n, got, want)
		}
	}
}

// What came just before the connection's end counts: nearly always it is that the control
// plane stops.
func TestAStopIsHeardThoughTheConnectionHasEnded(t *testing.T) {
	for range 50 { // a select between both would pick either
		conn := &Conn{config: Config{Log: slog.New(slog.DiscardHandler)}, inbox: make(chan mqtt.Message, 1), lost: make(chan struct{}),
			context: t.Context(), why: io.EOF}
		conn.inbox <- message{topic: topics.Topic{Kind: topics.KindPlaneDeath}.String(),
			payload: topics.Encode(topics.PlaneDeath{Session: topics.Session{Epoch: 1, N: 1}, Reason: topics.Stopped, Spread: 5000})}
		close(conn.lost)
		if err := conn.serve(t.Context(), nil); !errors.Is(err, io.EOF) || conn.spread != 5*time.Second {
			t.Fatalf("ended with %v, comes back within %s", err, conn.spread)
		}
	}
}

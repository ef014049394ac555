package link

import (
	"context"
	"errors"
	"log/slog"
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

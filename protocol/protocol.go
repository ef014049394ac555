// Package protocol is how a job gets from the control plane to an agent and its
// story back, as two pure step functions: [AgentStep] and [PlaneStep].
//
// A step reads and writes one journal transaction and returns effects. Whoever
// drives it commits first and performs the effects afterwards; a crash in
// between loses effects, never facts, and every effect is asked for again: by a
// re-sent command, an un-receipted event, a reaped job. There is no clock, no
// socket, no SQL and no goroutine in here, so that a simulation can run exactly
// this code through every crash.
//
// What it promises: an accepted job is started at most once, ends exactly once,
// and its lines arrive without holes that are not recorded as such.
package protocol

import (
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Timing holds the protocol's durations.
type Timing struct {
	// Resend is how long the control plane waits for an event to answer a
	// command, attempt by attempt; the last one repeats.
	Resend []time.Duration
	// Forsake is how long after its not_after a job that was sent, and about
	// which its host never said a word, is abandoned all the same.
	Forsake time.Duration
	// Silent is how long the host of an init job may say nothing of it until it is asked
	// to leave it to another.
	Silent time.Duration
	// Again is how long a host that failed to make a repository waits until it tries again;
	// the time doubles with each failure, up to AgainMost.
	Again, AgainMost time.Duration
	// Retry is how long an agent waits for a receipt before it sends its events
	// again from the last one.
	Retry time.Duration
	// Yield is how long a process that begins waits for the last word of the one before,
	// until that one's connection is cut; Probe how long that one then has to come back.
	// It is longer than a link's first back-off, and shorter than an agent waits for its
	// welcome.
	Yield, Probe time.Duration
	// Bounds are how much a host may say.
	Bounds Bounds
}

// DefaultTiming is what both sides use unless a test says otherwise.
func DefaultTiming() Timing {
	return Timing{
		Resend:    []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second, time.Minute},
		Forsake:   24 * time.Hour,
		Silent:    2 * time.Minute,
		Again:     time.Minute,
		AgainMost: 30 * time.Minute,
		Retry:     10 * time.Second,
		Yield:     300 * time.Millisecond,
		Probe:     12 * time.Second,
		Bounds:    DefaultBounds(),
	}
}

func (t Timing) resend(attempts int) int64 {
	return t.Resend[min(max(attempts-1, 0), len(t.Resend)-1)].Milliseconds()
}

// Limits of a batch of events on the wire, before sealing.
const (
	BatchBytes  = 48 << 10
	BatchEvents = 500
	// Window is how many batches may be under way without a receipt. What waits
	// behind it goes together: the more there is, the larger the batches. It is
	// less than the 128 messages an agent's queue in the broker holds.
	Window = 16
)

// clean bounds what an agent may put into a row.
func clean(f topics.Finished) topics.Finished {
	if len(f.Message) > 2000 {
		f.Message = strings.ToValidUTF8(f.Message[:2000], "")
	}
	return f
}

package protocol

import (
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// An Outbox decides which events an agent sends next: from the last receipt on, one
// window at a time, and again from there if no receipt arrives for a while. It
// belongs to one connection and is not safe for concurrent use.
type Outbox struct {
	epoch    int64
	retry    time.Duration
	wait     time.Duration // until the next attempt: from retry on, longer each time
	received uint64        // receipted
	sent     uint64        // sent in this round
	under    []uint64      // the last event of each batch under way
	moved    time.Time
}

// NewOutbox returns an outbox for a session whose welcome named this receipt, and for
// a journal of this epoch. A receipt of another epoch confirms nothing.
func NewOutbox(t Timing, epoch int64, received topics.Received, now time.Time) *Outbox {
	o := &Outbox{epoch: epoch, retry: t.Retry, wait: t.Retry, moved: now}
	if received.Epoch == epoch {
		o.received, o.sent = received.Seq, received.Seq
	}
	return o
}

// After returns the event after which the next batch begins, if one may be sent.
func (o *Outbox) After(now time.Time) (uint64, bool) {
	if len(o.under) > 0 && now.Sub(o.moved) >= o.wait {
		o.sent, o.under, o.moved = o.received, nil, now
		o.wait = min(2*o.wait, 4*o.retry) // a control plane that does not keep up is not helped by more
	}
	return o.sent, len(o.under) < Window
}

// Sent records that a batch up to this event was sent.
func (o *Outbox) Sent(last uint64, now time.Time) {
	if len(o.under) == 0 {
		o.moved = now
	}
	o.sent = last
	o.under = append(o.under, last)
}

// Receipt records what is committed.
func (o *Outbox) Receipt(r topics.Received, now time.Time) {
	seq := r.Seq
	if r.Epoch != o.epoch || seq <= o.received {
		return
	}
	o.received, o.moved, o.wait = seq, now, o.retry
	o.sent = max(o.sent, seq)
	for len(o.under) > 0 && o.under[0] <= seq {
		o.under = o.under[1:]
	}
}

// Due returns when After may answer differently just because time has passed.
func (o *Outbox) Due() time.Time {
	if len(o.under) == 0 {
		return time.Time{}
	}
	return o.moved.Add(o.wait)
}

package jobs

import (
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// Intake bounds what one host, and all together, can make others wait for. A host with
// more to say waits on its own connection; nothing is dropped.
type Intake struct {
	Host  int // bytes of one host that wait: more than the window of an agent, 16 batches of 48 KiB
	Fleet int // bytes that wait of all hosts
	Batch int // messages of one transaction
	// Turn is how long a transaction takes messages, and Slice how long those of one host
	// while others wait: a person's change waits for one transaction, an event for one slice
	// of each host that has something to say.
	Turn, Slice time.Duration
}

// DefaultIntake is what production uses.
func DefaultIntake() Intake {
	return Intake{Host: 1 << 20, Fleet: 64 << 20, Batch: 256, Turn: 10 * time.Millisecond, Slice: 5 * time.Millisecond}
}

// An inbox holds the messages that wait, by host. Hosts take turns, however much one of
// them sends.
type inbox struct {
	Intake
	ready chan struct{} // has an element while messages may wait

	mu     sync.Mutex
	room   *sync.Cond // something was taken, or it is closed
	queues map[topics.HostID]*queue
	turns  []topics.HostID             // hosts with messages; the next one first
	rests  map[topics.HostID]time.Time // until when those hosts have no turn that used up their last one
	bytes  int
	came   uint64 // messages since the start
	closed bool
}

type queue struct {
	list  []arrival
	bytes int
}

func newInbox(i Intake) *inbox {
	in := &inbox{Intake: i, ready: make(chan struct{}, 1), queues: map[topics.HostID]*queue{}, rests: map[topics.HostID]time.Time{}}
	in.room = sync.NewCond(&in.mu)
	return in
}

// put adds a message, and waits while its host, or all together, have too many.
func (in *inbox) put(a arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.closed {
		q := in.queues[a.topic.Host]
		if (q == nil || q.bytes+a.size() <= in.Host) && (in.bytes == 0 || in.bytes+a.size() <= in.Fleet) {
			in.add(a, false)
			in.came++
			return
		}
		in.room.Wait()
	}
}

// size is what a message counts: its bytes, and what holding it costs.
func (a arrival) size() int { return len(a.payload) + 512 }

func (in *inbox) add(a arrival, front bool) {
	host := a.topic.Host
	q := in.queues[host]
	if q == nil {
		q = &queue{}
		in.queues[host] = q
		in.turns = append(in.turns, host)
	}
	if front {
		q.list = append([]arrival{a}, q.list...)
	} else {
		q.list = append(q.list, a)
	}
	q.bytes += a.size()
	in.bytes += a.size()
	in.ring()
}

func (in *inbox) ring() {
	select {
	case in.ready <- struct{}{}:
	default:
	}
}

// take returns a batch: a message of each host, then another of each, and so on. A host
// that rests has none.
func (in *inbox) take() (batch []arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	bytes, now := 0, time.Now()
	var resting []topics.HostID
	var first time.Duration
	for len(in.turns) > 0 && len(batch) < in.Batch && bytes < in.Host {
		host := in.turns[0]
		in.turns = in.turns[1:]
		if left := in.rests[host].Sub(now); left > 0 {
			if resting = append(resting, host); first == 0 || left < first {
				first = left
			}
			continue
		}
		delete(in.rests, host)
		q := in.queues[host]
		a := q.list[0]
		q.list, q.bytes, in.bytes = q.list[1:], q.bytes-a.size(), in.bytes-a.size()
		if len(q.list) > 0 {
			in.turns = append(in.turns, host)
		} else {
			delete(in.queues, host)
		}
		batch, bytes = append(batch, a), bytes+len(a.payload)
	}
	in.room.Broadcast()
	if len(in.turns) > 0 {
		in.ring()
	} else if first > 0 {
		time.AfterFunc(first, in.ring)
	}
	in.turns = append(in.turns, resting...)
	return batch
}

// rest has a host wait for as long as its messages took, if that was a whole slice: half
// of the time is for everybody else, and for whoever looks at pages.
func (in *inbox) rest(took map[topics.HostID]time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := time.Now()
	for host, d := range took {
		if d >= in.Slice {
			in.rests[host] = now.Add(d)
		}
	}
	if len(in.rests) > 1000 {
		for host, until := range in.rests {
			if until.Before(now) {
				delete(in.rests, host)
			}
		}
	}
}

// back puts messages back, before what came after them; none of them was lost.
func (in *inbox) back(list []arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := len(list) - 1; i >= 0; i-- {
		in.add(list[i], true)
	}
}

// An Inflow is what agents send: what waits to be handled now, and counts since the start.
type Inflow struct {
	Messages, Bytes   int
	Received, Refused uint64
}

// Inflow is how much agents send.
func (e *Engine) Inflow() Inflow {
	in := e.inbox
	in.mu.Lock()
	defer in.mu.Unlock()
	now := Inflow{Bytes: in.bytes, Received: in.came, Refused: e.turnedAway.Load()}
	for _, q := range in.queues {
		now.Messages += len(q.list)
	}
	return now
}

// close lets whoever waits go on; what they had to say is not taken any more.
func (in *inbox) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.room.Broadcast()
}

// A clock says when a step has taken long enough.
type clock struct {
	turn, slice time.Duration
	began, this time.Time
}

func (c *clock) next() { c.this = time.Now() }

// over reports whether the transaction has to end.
func (c *clock) over() bool { return time.Since(c.began) > c.turn }

// enough reports whether it is another host's turn.
func (c *clock) enough() bool { return c.over() || time.Since(c.this) > c.slice }

// clock begins a transaction over some messages.
func (in *inbox) clock(list []arrival) *clock {
	c := &clock{turn: in.Turn, slice: in.Slice, began: time.Now()}
	if !several(list) {
		c.slice = in.Turn
	}
	return c
}

func several(list []arrival) bool {
	for _, a := range list {
		if a.topic.Host != list[0].topic.Host {
			return true
		}
	}
	return false
}

// opened is an arrival of events that was decrypted, and is not handled yet.
func (a arrival) opened(in protocol.Arrived) arrival {
	a.events = &in
	return a
}

package gauges

import (
	"sync/atomic"
	"time"
)

// Bounds are the longest that the transactions of a bucket of [Taken] took, but for the
// last bucket, whose took longer.
var Bounds = [...]time.Duration{time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second}

// A Meter counts what is written, and how long that takes. Its zero value has counted
// nothing; any goroutine may use it.
type Meter struct {
	buckets [len(Bounds) + 1]atomic.Uint64
	nanos   atomic.Int64
	failed  atomic.Uint64
}

// Took counts a transaction that was committed, by the time from when it was asked for:
// waiting for others is part of it.
func (m *Meter) Took(d time.Duration) {
	at := 0
	for at < len(Bounds) && d > Bounds[at] {
		at++
	}
	m.buckets[at].Add(1)
	m.nanos.Add(int64(d))
}

// Failed counts a transaction that the database would not begin or commit.
func (m *Meter) Failed() { m.failed.Add(1) }

// Taken is what a meter has counted since the start.
type Taken struct {
	Buckets [len(Bounds) + 1]uint64 // each for itself
	All     uint64
	Sum     time.Duration
	Failed  uint64
}

// Taken reads the meter.
func (m *Meter) Taken() (t Taken) {
	for i := range m.buckets {
		t.Buckets[i] = m.buckets[i].Load()
		t.All += t.Buckets[i]
	}
	t.Sum, t.Failed = time.Duration(m.nanos.Load()), m.failed.Load()
	return t
}

package schedule

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// Timing holds the durations of this package.
type Timing struct {
	Tick     time.Duration // how often due work is looked for: a slot begins at most this late
	NotAfter time.Duration // how long a scheduled job waits for its host after it was queued
	// Grace is how late a slot may begin until it counts as late, or as missed if
	// nobody began it.
	Grace time.Duration
	// CatchUp is how long a host that runs its schedules by itself has, after it is
	// back, to begin what it missed, until it is asked to.
	CatchUp time.Duration
	Sweep   time.Duration // between two removals of old outcomes
}

// DefaultTiming is what production uses.
func DefaultTiming() Timing {
	return Timing{Tick: 30 * time.Second, NotAfter: 24 * time.Hour, Grace: slots.Grace, CatchUp: 3 * time.Minute, Sweep: 10 * time.Minute}
}

// Config holds what a runner needs.
type Config struct {
	Store  *store.Store
	Online func(topics.HostID) bool // whether commands can reach a host
	// Offline is whether a host is known to be away. One that is neither is unknown
	// yet. nil is that each host that is not online is away.
	Offline func(topics.HostID) bool
	// Full is whether a host's agent says that it cannot write its journal; nil is
	// that none says so.
	Full func(topics.HostID) bool
	// Changed is called with each host about which something changed, and Stir when
	// jobs may be sent. Neither may block.
	Changed func(topics.HostID)
	Stir    func()
	Log     *slog.Logger
	Timing  Timing
	Limits  slotlog.Limits // of the outcomes that are kept; the zero value is the default
	Now     func() time.Time
}

// A Runner fires schedules and runs what is pending. Run does the work; HostCame may
// be called from any goroutine.
type Runner struct {
	Config
	wake chan struct{}
	due  chan struct{} // something is owed that need not wait for a tick

	began   time.Time
	watch   watch
	watched time.Time // when the watch looked last
	swept   time.Time
	turned  atomic.Pointer[time.Time] // when a tick that did its work ended last

	mu   sync.Mutex
	came map[topics.HostID]bool
	last map[topics.HostID]time.Time // when each host said hello last
}

// NewRunner returns a runner; Run starts it. From now on, the end of a job is applied
// to the slot it worked on.
func NewRunner(c Config) *Runner {
	if c.Limits == (slotlog.Limits{}) {
		c.Limits = slotlog.DefaultLimits()
	}
	r := &Runner{Config: c, wake: make(chan struct{}, 1), due: make(chan struct{}, 1), began: c.Now(), came: map[topics.HostID]bool{},
		last: map[topics.HostID]time.Time{}}
	c.Store.OnEnded(func(tx store.Slots, j store.Job) error {
		if j.Cause == topics.CauseUnmade { // what is owed now is due; a tick waits for this transaction
			select {
			case r.due <- struct{}{}:
			default:
			}
		}
		return endedAfter(tx, j, c.Timing.Grace)
	})
	c.Store.OnFired(Fired)
	return r
}

func (r *Runner) offline(h topics.HostID) bool {
	if r.Offline == nil {
		return !r.Online(h)
	}
	return r.Offline(h)
}

// cameAt is when a host said hello last, the zero time if it has not since the start.
func (r *Runner) cameAt(h topics.HostID) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[h]
}

// HostCame tells the runner that a host's hello is committed. It does not block;
// hosts are queued at most once.
func (r *Runner) HostCame(h topics.HostID) {
	r.mu.Lock()
	r.came[h] = true
	r.last[h] = r.Now()
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run executes steps until ctx ends. A step that fails is repeated at the next tick.
func (r *Runner) Run(ctx context.Context) error {
	tick := time.NewTicker(r.Timing.Tick)
	defer tick.Stop()
	r.tick(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			r.greet(ctx)
		case <-r.due:
			r.tick(ctx)
		case <-tick.C:
			r.greet(ctx)
			r.tick(ctx)
		}
	}
}

func (r *Runner) tick(ctx context.Context) {
	done := r.step(ctx, func(tx store.Slots, now, notAfter time.Time) (Done, error) { return Tick(tx, now, notAfter, r.Online) })
	r.watchTick(ctx)
	if done {
		now := time.Now()
		r.turned.Store(&now)
	}
}

// Turned is when the runner last looked for due slots and could begin them, the zero time if
// it has not yet.
func (r *Runner) Turned() time.Time {
	if t := r.turned.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// greet runs what is pending for the hosts that said hello.
func (r *Runner) greet(ctx context.Context) {
	r.mu.Lock()
	came := r.came
	r.came = map[topics.HostID]bool{}
	r.mu.Unlock()
	for h := range came {
		if !r.step(ctx, func(tx store.Slots, now, notAfter time.Time) (Done, error) {
			return HostCame(tx, now, notAfter, h, r.Timing.CatchUp)
		}) {
			r.mu.Lock()
			r.came[h] = true
			r.mu.Unlock()
		}
	}
}

func (r *Runner) step(ctx context.Context, step func(tx store.Slots, now, notAfter time.Time) (Done, error)) bool {
	var done Done
	now := r.Now()
	err := r.Store.SlotStep(ctx, func(tx store.Slots) (err error) {
		done, err = step(tx, now, now.Add(r.Timing.NotAfter))
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			r.Log.Error("firing schedules failed", "err", err)
		}
		return false
	}
	for _, odd := range done.Odd {
		r.Log.Error("reading a schedule failed", "err", odd)
	}
	for _, h := range done.Hosts {
		r.Changed(h)
	}
	if len(done.Hosts) > 0 {
		r.Stir()
	}
	return true
}

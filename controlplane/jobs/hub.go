package jobs

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// buffer is how many messages wait for one subscriber before some are dropped.
const buffer = 64

// A Hub publishes committed changes of jobs to subscribers. Publishing never blocks:
// a slow subscriber loses messages, is told so, and reads what it missed from the
// store.
type Hub struct {
	// Now is the clock for the time a job was last heard of. Set it, if at all,
	// before the first use.
	Now func() time.Time

	mu     sync.Mutex
	subs   map[topics.JobID]map[*subscriber]bool
	latest map[topics.JobID]topics.Progress
	heard  map[topics.JobID]time.Time // for jobs that have not ended
	quiet  map[topics.HostID]quiet
	began  time.Time
}

// NewHub returns a hub without subscribers.
func NewHub() *Hub {
	return &Hub{Now: time.Now, subs: map[topics.JobID]map[*subscriber]bool{}, latest: map[topics.JobID]topics.Progress{},
		heard: map[topics.JobID]time.Time{}, quiet: map[topics.HostID]quiet{}, began: time.Now()}
}

// news is one change of a job; the zero value means that its row changed.
type news struct {
	progress *topics.Progress
	lines    []store.LogEntry
}

type subscriber struct {
	c      chan news
	missed atomic.Bool
}

func (h *Hub) subscribe(id topics.JobID) *subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &subscriber{c: make(chan news, buffer)}
	if h.subs[id] == nil {
		h.subs[id] = map[*subscriber]bool{}
	}
	h.subs[id][s] = true
	return s
}

func (h *Hub) unsubscribe(id topics.JobID, s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs[id], s)
	if len(h.subs[id]) == 0 {
		delete(h.subs, id)
	}
}

func (h *Hub) publish(id topics.JobID, n news) {
	h.mu.Lock()
	defer h.mu.Unlock()
	moved := n.lines != nil
	if n.progress != nil {
		before, known := h.latest[id]
		moved = moved || !known || !still(before, *n.progress)
		if n.progress.Trouble != nil {
			n.progress.Trouble.Heard = h.Now().UnixMilli()
		}
		h.latest[id] = *n.progress
	}
	if moved {
		h.heard[id] = h.Now()
	}
	for s := range h.subs[id] {
		select {
		case s.c <- n:
		default:
			s.missed.Store(true) // its buffer is full; it sees this flag after reading that
		}
	}
}

// forget drops what is kept only for jobs that have not ended.
func (h *Hub) forget(id topics.JobID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.latest, id)
	delete(h.heard, id)
}

// still reports whether nothing but the clock moved between two statuses.
func still(a, b topics.Progress) bool {
	for _, p := range []*topics.Progress{&a, &b} {
		p.Stamp, p.Seconds, p.SecondsLeft, p.Trouble = topics.Stamp{}, 0, 0, nil // to try again is not to move
	}
	return reflect.DeepEqual(a, b)
}

// A Silence is how long a running job has done nothing.
type Silence struct {
	For     time.Duration
	Watched bool          // its agent looks, and knows bytes and processor time, too; else it only says nothing
	Limit   time.Duration // its agent ends it then; 0 is never
	Last    string        // what restic said last, as the agent tells
}

// Words says how long, and what becomes of it.
func (s Silence) Words() string {
	switch {
	case !s.Watched:
		return "Nothing heard of restic for " + words.Span(s.For)
	case s.Limit == 0:
		return "Silent for " + words.Span(s.For) + ", is not ended by itself"
	}
	return "Silent for " + words.Span(s.For) + ", is ended after " + words.Span(s.Limit)
}

// A quiet is what an agent said last of what its jobs do.
type quiet struct {
	at   time.Time
	jobs map[topics.JobID]topics.Silence
}

// fresh is how long what an agent said is believed without another word.
const fresh = 100 * time.Second

// silences takes what a heartbeat says; nil is an agent that does not look.
func (h *Hub) silences(host topics.HostID, list []topics.Silence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.quiet, host)
	if list == nil {
		return
	}
	q := quiet{h.Now(), map[topics.JobID]topics.Silence{}}
	for _, s := range list {
		q.jobs[s.Job] = s
	}
	h.quiet[host] = q
}

// Silence returns how long a running job has done nothing: as its agent says, or, if that
// does not look or is not connected, how long it has sent neither a log line nor progress.
// Time before the job's or the hub's start does not count. It is 0 for a job that
// does not run.
func (h *Hub) Silence(j store.Job) Silence {
	if j.State != topics.Running {
		return Silence{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.quiet[j.Host]
	if said, watched := q.jobs[j.ID]; watched && h.Now().Sub(q.at) < fresh {
		return Silence{For: time.Duration(said.Seconds) * time.Second, Watched: true, Limit: time.Duration(said.Limit) * time.Second,
			Last: said.Last}
	}
	last := h.heard[j.ID]
	for _, t := range []time.Time{h.began, time.UnixMilli(j.StartedAt)} {
		if t.After(last) {
			last = t
		}
	}
	return Silence{For: max(0, h.Now().Sub(last))}
}

// Progress returns the newest progress of a running job, if there was any.
func (h *Hub) Progress(id topics.JobID) (topics.Progress, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.latest[id]
	return p, ok
}

// watched lists the jobs that have subscribers.
func (h *Hub) watched() []topics.JobID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.subs))
}

// Watching counts the subscribers of all jobs.
func (h *Hub) Watching() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.subs {
		n += len(s)
	}
	return n
}

// The types of an [Envelope].
const (
	JobStarted  = "job.started"
	JobProgress = "job.progress"
	LogStream   = "log.stream"
	JobFinished = "job.finished"
)

// An Envelope is one message to a subscriber of a job. Type says which of the other
// fields is set: Job for started and finished (as it is in the database now),
// Progress, or Lines.
type Envelope struct {
	Type     string
	Job      *store.Job
	Progress *topics.Progress
	Lines    []store.LogEntry
}

// refill is how many lines are read from the store at a time.
const refill = 500

// Follow calls yield with everything about a job after log line number after: first
// what is stored, then what arrives, without gaps or repetitions, until the job has
// ended and yield was told. It then returns nil, or else the error of ctx or yield.
// It runs on the caller's goroutine, so a slow yield delays nobody else.
func Follow(ctx context.Context, s *store.Store, h *Hub, id topics.JobID, after int, yield func(Envelope) error) error {
	sub := h.subscribe(id)
	defer h.unsubscribe(id, sub)

	job, err := s.Job(ctx, id)
	if err != nil {
		return err
	}
	f := follower{s: s, id: id, at: after, yield: yield}
	if err := f.row(ctx, job); err != nil {
		return err
	}
	if p, ok := h.Progress(id); ok && !f.done {
		if err := yield(Envelope{Type: JobProgress, Progress: &p}); err != nil {
			return err
		}
	}
	for !f.done {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-sub.c:
			if err := f.tell(ctx, sub, n); err != nil {
				return err
			}
		}
	}
	return nil
}

type follower struct {
	s       *store.Store
	id      topics.JobID
	at      int // number of the last line passed on
	started bool
	done    bool
	yield   func(Envelope) error
}

// tell passes on a message and whatever else is buffered: lines together, and of
// several progresses the last.
func (f *follower) tell(ctx context.Context, sub *subscriber, n news) error {
	var lines []store.LogEntry
	var progress *topics.Progress
	changed := false
	for more := true; more; {
		switch {
		case n.progress != nil:
			progress = n.progress
		case n.lines != nil:
			lines = append(lines, n.lines...)
		default:
			changed = true
		}
		select {
		case n = <-sub.c:
		default:
			more = false
		}
	}
	missed := sub.missed.Swap(false)
	for len(lines) > 0 && lines[0].Last() <= f.at {
		lines = lines[1:]
	}
	if missed || len(lines) > 0 && lines[0].N > f.at+1 {
		if err := f.fill(ctx); err != nil {
			return err
		}
	} else if len(lines) > 0 {
		if err := f.lines(lines); err != nil {
			return err
		}
	}
	if progress != nil && !changed {
		if err := f.yield(Envelope{Type: JobProgress, Progress: progress}); err != nil {
			return err
		}
	}
	if !changed && !missed {
		return nil
	}
	job, err := f.s.Job(ctx, f.id)
	if err != nil {
		return err
	}
	return f.row(ctx, job)
}

// row passes on what the job's row says: new stored lines, the start, the end.
func (f *follower) row(ctx context.Context, job store.Job) error {
	if job.StartedAt > 0 && !f.started {
		f.started = true
		if err := f.yield(Envelope{Type: JobStarted, Job: &job}); err != nil {
			return err
		}
	}
	if err := f.fill(ctx); err != nil {
		return err
	}
	if !job.State.Ended() {
		return nil
	}
	f.done = true
	return f.yield(Envelope{Type: JobFinished, Job: &job})
}

func (f *follower) fill(ctx context.Context) error {
	for {
		lines, err := f.s.Log(ctx, f.id, f.at, refill)
		if err != nil || len(lines) == 0 {
			return err
		}
		if err := f.lines(lines); err != nil {
			return err
		}
	}
}

func (f *follower) lines(lines []store.LogEntry) error {
	f.at = lines[len(lines)-1].Last()
	return f.yield(Envelope{Type: LogStream, Lines: lines})
}

// Over reports whether an error of Follow only means that the watcher left.
func Over(err error) bool { return errors.Is(err, context.Canceled) }

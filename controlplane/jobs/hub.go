package jobs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// buffer is how many messages wait for one subscriber before it loses some.
const buffer = 64

// A Hub tells whoever watches a job what was committed about it. Publishing
// never blocks: a subscriber that does not keep up loses messages, only its
// own, knows that it did, and reads from the store what it missed.
type Hub struct {
	// Now is the clock by which it notes when a job was last heard of. It is set,
	// if at all, before the first use.
	Now func() time.Time

	mu     sync.Mutex
	subs   map[topics.JobID]map[*subscriber]bool
	latest map[topics.JobID]topics.Progress
	heard  map[topics.JobID]time.Time // of jobs that have not ended
	began  time.Time
}

// NewHub returns a hub that nobody listens to yet.
func NewHub() *Hub {
	return &Hub{Now: time.Now, subs: map[topics.JobID]map[*subscriber]bool{}, latest: map[topics.JobID]topics.Progress{},
		heard: map[topics.JobID]time.Time{}, began: time.Now()}
}

// news is one thing that happened to a job; the zero value means its row changed.
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
	if n.progress != nil {
		h.latest[id] = *n.progress
	}
	if n.progress != nil || n.lines != nil {
		h.heard[id] = h.Now()
	}
	for s := range h.subs[id] {
		select {
		case s.c <- n:
		default:
			s.missed.Store(true) // it has a full buffer to read, and will see this after it
		}
	}
}

// forget drops what is only known of jobs that have not ended.
func (h *Hub) forget(id topics.JobID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.latest, id)
	delete(h.heard, id)
}

// Silence is how long a running job has said nothing: no line and no progress.
// Before the job's start, and before the hub's, nobody listened: that does not
// count. A job that does not run is never silent.
func (h *Hub) Silence(j store.Job) time.Duration {
	if j.State != topics.Running {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.heard[j.ID]
	for _, t := range []time.Time{h.began, time.UnixMilli(j.StartedAt)} {
		if t.After(last) {
			last = t
		}
	}
	return max(0, h.Now().Sub(last))
}

// Progress is the newest progress of a running job, if there was any.
func (h *Hub) Progress(id topics.JobID) (topics.Progress, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.latest[id]
	return p, ok
}

// watched lists the jobs that somebody follows.
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

// An Envelope is one message to somebody who follows a job. Which of the other
// fields is set follows from Type: Job for started and finished (as it is in
// the database now), Progress, or Lines.
type Envelope struct {
	Type     string
	Job      *store.Job
	Progress *topics.Progress
	Lines    []store.LogEntry
}

// refill is how many lines are read from the store at a time.
const refill = 500

// Follow tells yield the story of a job from after line number after on: what
// is stored, then what comes, without a gap or a repetition, until the job has
// ended and its end was told. It returns nil then, or the error of ctx or yield.
// It is the caller's goroutine that does all the work; a slow yield costs
// nobody else anything.
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
	at      int // the last line told
	started bool
	done    bool
	yield   func(Envelope) error
}

// tell passes on what came and whatever else waits by now: lines together,
// of several progresses the last.
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

// row tells what the job's row says: the lines that are stored by now, that it
// runs, that it is over.
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

// Over reports whether an error of Follow is only the watcher having gone.
func Over(err error) bool { return errors.Is(err, context.Canceled) }

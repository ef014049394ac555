package base

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
)

// MostStreams is how many streams one session or token may have open at a time. A
// hidden tab has none, and a page one; each costs a goroutine, a place among the
// server's connections, and a drawing of its page whenever something happens.
const MostStreams = 20

// crowded refuses a stream more.
func crowded() *problem.Problem {
	return &problem.Problem{Kind: problem.TooMany, Title: "Too many pages are open at once",
		Say: fmt.Sprintf("This session or token follows %d live pages or jobs already, and may follow no more.", MostStreams),
		Do:  "Close some of them; this one becomes live by itself then.", After: 10 * time.Second}
}

// ErrOut is why a stream ended whose visitor may not listen any more.
var ErrOut = errors.New("the visitor may not listen any more")

// Streams are all answers that go on: of tabs and of sockets. They end when the
// server stops, and when whoever opened them may not listen any more.
type Streams struct {
	check   time.Duration
	running sync.WaitGroup
	closing chan struct{}

	mu      sync.Mutex
	closed  bool
	open    map[string]int // by whose they are
	changed chan struct{}  // closed, and another put in its place, when somebody's rights changed
}

// NewStreams returns streams that look so often whether their visitors may still
// listen; what [Streams.Recheck] is told of, they look at at once.
func NewStreams(check time.Duration) *Streams {
	return &Streams{check: check, closing: make(chan struct{}), changed: make(chan struct{}), open: map[string]int{}}
}

// Begin notes a stream of a session or token, of which so many may be open. Its
// context ends with the request's, with the server, and with the cause [ErrOut] when
// still says no.
func (s *Streams) Begin(r *http.Request, whose string, still func(context.Context) bool) (ctx context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, problem.Stopping
	}
	if s.open[whose] >= MostStreams {
		return nil, nil, crowded()
	}
	s.open[whose]++
	ctx, cancel := context.WithCancelCause(r.Context())
	s.running.Add(2)
	go func() {
		defer s.running.Done()
		s.watchOver(ctx, still, cancel)
	}()
	return ctx, func() {
		cancel(nil)
		s.mu.Lock()
		if s.open[whose]--; s.open[whose] == 0 {
			delete(s.open, whose)
		}
		s.mu.Unlock()
		s.running.Done()
	}, nil
}

// watchOver ends a stream with the server, or with its visitor's rights.
func (s *Streams) watchOver(ctx context.Context, still func(context.Context) bool, cancel context.CancelCauseFunc) {
	check := time.NewTicker(s.check)
	defer check.Stop()
	for {
		s.mu.Lock()
		changed := s.changed // before the look, so that nothing falls between
		s.mu.Unlock()
		if !still(ctx) {
			cancel(ErrOut)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.closing:
			cancel(problem.Stopping)
			return
		case <-changed:
		case <-check.C:
		}
	}
}

// Recheck has every stream look at once whether its visitor may still listen.
func (s *Streams) Recheck() {
	s.mu.Lock()
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
}

// Close ends every stream, lets no new one begin, and returns when the last has
// gone.
func (s *Streams) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
}

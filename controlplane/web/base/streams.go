package base

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
)

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
	changed chan struct{} // closed, and another put in its place, when somebody's rights changed
}

// NewStreams returns streams that look so often whether their visitors may still
// listen; what [Streams.Recheck] is told of, they look at at once.
func NewStreams(check time.Duration) *Streams {
	return &Streams{check: check, closing: make(chan struct{}), changed: make(chan struct{})}
}

// Begin notes a stream. Its context ends with the request's, with the server, and
// with the cause [ErrOut] when still says no.
func (s *Streams) Begin(r *http.Request, still func(context.Context) bool) (ctx context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, problem.Stopping
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	s.running.Add(2)
	go func() {
		defer s.running.Done()
		s.watchOver(ctx, still, cancel)
	}()
	return ctx, func() {
		cancel(nil)
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

package web

import (
	"context"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/room"
)

// writes is whether the database could be written when that was tried last. Whoever
// asks often gets the same answer for a while: strangers may ask, too.
type writes struct {
	gate  *room.Gate
	every time.Duration // how long an answer holds

	mu  sync.Mutex
	at  time.Time
	err error
}

const (
	tryEvery = 5 * time.Second
	tryFor   = 2 * time.Second // longer than a batch of events takes to be stored
)

// try writes to the database, or returns what came of it a moment ago. [room.Why] has
// the cause.
func (t *writes) try(ctx context.Context, s *store.Store) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.IsZero() && time.Since(t.at) < t.every {
		return t.err
	}
	ctx = context.WithoutCancel(ctx) // the answer is for those who ask after this one, too
	if t.err = s.Ping(ctx); t.err == nil {
		t.err = t.gate.Soon(ctx, tryFor, s.Try)
	}
	t.at = time.Now()
	return t.err
}

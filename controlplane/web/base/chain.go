package base

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/chain"
)

// A Chain is what is known of the audit log's. All of it is read when the server
// starts, once in a while, and when somebody asks; in between only what is new,
// so that a page does not wait for a hundred thousand entries.
type Chain struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time

	mu     sync.Mutex
	head   chain.Head
	at     time.Time     // when all of it was read
	broken *chain.Broken // nil if all was well
}

// NewChain returns a chain of which nothing was read yet.
func NewChain(s *store.Store, log *slog.Logger, now func() time.Time) *Chain {
	return &Chain{store: s, log: log, now: now}
}

// Verify reads the chain, all of it or what is new, and says how it is.
func (c *Chain) Verify(ctx context.Context, all bool) (head chain.Head, at time.Time, broken *chain.Broken, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all = all || c.at.IsZero()
	if c.broken != nil && !all {
		return c.head, c.at, c.broken, nil
	}
	from, known := c.head, []chain.Head(nil)
	if all {
		from = chain.Head{}
		if c.head.N > 0 && c.broken == nil {
			known = append(known, c.head) // what this process has seen must still be there
		}
	}
	found, err := c.store.VerifyAudit(ctx, from, known...)
	switch {
	case errors.As(err, &broken):
		c.log.Error("audit log is broken", "entry", broken.N, "err", broken.Why)
	case err != nil:
		return c.head, c.at, c.broken, err
	default:
		c.head = found
	}
	c.broken = broken
	if all {
		c.at = c.now()
	}
	return c.head, c.at, c.broken, nil
}

// Keep reads the whole chain again and again until ctx ends.
func (c *Chain) Keep(ctx context.Context, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if _, _, _, err := c.Verify(ctx, true); err != nil && ctx.Err() == nil {
			c.log.Error("verifying the audit log failed", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

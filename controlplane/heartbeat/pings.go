package heartbeat

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store/heartbeats"
)

const (
	first  = 5 * time.Second  // until the second try; three times as long each time
	slow   = time.Hour        // between two tries at most
	life   = 24 * time.Hour   // of what could not be said
	atOnce = 8                // addresses that are told something at the same time
	rest   = 15 * time.Second // without a word; whoever has something to say stirs
	pause  = time.Second      // between two looks at the queue
)

// pings says what is to be said of backups, whenever there is something.
func (s *Service) pings(ctx context.Context) {
	for {
		wait := rest
		switch next, err := s.Step(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.Log.Warn("telling services of backups failed", "err", err)
		case next > 0:
			wait = min(max(time.UnixMilli(next).Sub(s.Now()), pause), rest)
		}
		again := time.After(wait)
		select {
		case <-ctx.Done():
			return
		case <-again:
			continue
		case <-s.queued:
		}
		select { // however much happens, the queue is looked at once a second
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Step says what is due of backups now, to each address in order, and returns when something
// is due next, 0 if nothing waits. What could not be said is tried again for a day.
func (s *Service) Step(ctx context.Context) (next int64, err error) {
	s.begin()
	for {
		due, next, err := s.Store.DuePings(ctx, s.Now().UnixMilli())
		if err != nil || len(due) == 0 {
			return next, err
		}
		rows, err := s.Store.Heartbeats(ctx)
		if err != nil {
			return 0, err
		}
		of := map[string]heartbeats.Heartbeat{}
		for _, h := range rows {
			of[h.ID] = h
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		for _, p := range due {
			g.Go(func() error { return s.ping(ctx, of[p.Heartbeat], p) })
		}
		if err := g.Wait(); err != nil {
			return 0, err
		}
	}
}

// ping says one thing of a backup. Whoever is killed between the answer and its record says
// it once more.
func (s *Service) ping(ctx context.Context, h heartbeats.Heartbeat, p heartbeats.Ping) error {
	now := s.Now().UnixMilli()
	tooLate := p.Event == heartbeats.Start && now-p.At > time.Hour.Milliseconds() // its end follows, and says more
	if h.ID == "" || tooLate || now-p.At > life.Milliseconds() {
		return s.Store.PingOver(ctx, h, p)
	}
	if p.Event == heartbeats.Success {
		bad, err := s.Store.BadGroup(ctx, h)
		if err != nil {
			return err
		}
		if bad != "" { // that was told when it failed
			return s.Store.PingOver(ctx, h, p)
		}
	}
	told := s.tell(ctx, &h, saying{event: p.Event, words: spoken[p.Event] + string(p.Job)})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failpoint.Here("ping-answered")
	if !told || h.Failures == 0 {
		return s.Store.PingOver(ctx, h, p)
	}
	p.Tries++
	p.NextAt = s.Now().Add(backoff(p.Tries)).UnixMilli()
	return s.Store.PingLater(ctx, h, p)
}

// spoken is what is said of a backup, before its job's ID.
var spoken = map[heartbeats.Event]string{
	heartbeats.Start: "Backup began, job ", heartbeats.Success: "Backup done, job ", heartbeats.Fail: "Backup failed, job ",
}

// backoff is how long a ping waits after so many tries that failed.
func backoff(tries int64) time.Duration {
	wait := first
	for range min(tries, 10) - 1 {
		wait *= 3
	}
	return min(wait, slow)
}

package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/room"
)

// A shelf is the store of sessions, which goes on while the database cannot be written:
// what it was to write is kept in memory and written when it can be again. So a full
// disk signs nobody out and keeps nobody out.
//
// What is kept is lost if the process ends. A session that was begun meanwhile lives
// for ShelfLife at most, and there are at most mostShelved changes: of more, those of
// sessions that ended or are used least are lost.
type shelf struct {
	store.Sessions
	log     *slog.Logger
	now     func() time.Time
	gate    *room.Gate
	patient time.Duration // how long a write may keep its request waiting

	mu   sync.Mutex
	kept map[string]shelved // by the token's hash
}

// A shelved change is the newest one of a session.
type shelved struct {
	at     time.Time
	data   []byte
	expiry time.Time
	begun  context.Context // with what a new session has to be written; nil for one that has a row
	user   string          // of a new session
	ended  bool            // it is to be removed
	end    func(context.Context) error
}

const (
	// ShelfLife is how long a session lasts that could not be written down.
	ShelfLife   = time.Hour
	mostShelved = 1024
	mostBegun   = 64 // sessions that were begun meanwhile
)

// FindCtx implements scs.CtxStore.
func (s *shelf) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	s.mu.Lock()
	k, kept := s.kept[token]
	s.mu.Unlock()
	switch {
	case !kept:
		return s.Sessions.FindCtx(ctx, token)
	case k.ended || !s.now().Before(k.expiry):
		return nil, false, nil
	case k.begun != nil:
		return k.data, true, nil
	}
	there, err := s.Has(ctx, token) // somebody may have ended it
	return k.data, there && err == nil, err
}

// CommitCtx implements scs.CtxStore.
func (s *shelf) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	s.mu.Lock()
	before, kept := s.kept[token]
	s.mu.Unlock()
	k := shelved{at: s.now(), data: b, expiry: expiry}
	if user, fresh := store.Begins(ctx); fresh {
		k.begun, k.user = context.WithoutCancel(ctx), user
	}
	if kept {
		if before.ended {
			return nil
		}
		if before.begun != nil { // it has no row yet
			k.begun, k.user = before.begun, before.user
			if k.expiry.After(before.expiry) && k.expiry.After(before.at.Add(ShelfLife)) {
				k.expiry = before.expiry
			}
			k.at = before.at
		}
		return s.keep(token, k)
	}
	err := s.gate.Soon(ctx, s.patient, func(ctx context.Context) error { return s.Sessions.CommitCtx(ctx, token, b, expiry) })
	if room.Why(err) == "" {
		return err
	}
	if until := k.at.Add(ShelfLife); k.begun != nil && expiry.After(until) {
		k.expiry = until
	}
	if kept := s.keep(token, k); kept != nil {
		return err
	}
	s.log.Warn("a session could not be written down and is kept in memory", "err", err)
	return nil
}

// errShelf says that no more sessions may begin in memory.
var errShelf = errors.New("too many sessions are kept in memory")

func (s *shelf) keep(token string, k shelved) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string]shelved{}
	}
	if _, known := s.kept[token]; !known {
		begun, oldest, at := 0, "", time.Time{}
		for of, other := range s.kept {
			switch {
			case other.begun != nil && !s.now().Before(other.expiry):
				delete(s.kept, of)
				continue
			case other.begun != nil:
				begun++
				continue
			}
			if oldest == "" || other.at.Before(at) {
				oldest, at = of, other.at
			}
		}
		if k.begun != nil && begun >= mostBegun {
			return errShelf
		}
		if len(s.kept) >= mostShelved {
			delete(s.kept, oldest)
		}
	}
	s.kept[token] = k
	return nil
}

// DeleteCtx implements scs.CtxStore.
func (s *shelf) DeleteCtx(ctx context.Context, token string) error {
	return s.end(ctx, token, func(ctx context.Context) error { return s.Sessions.DeleteCtx(ctx, token) })
}

// end ends a session: by a write, or, if the database cannot be written, at once in
// memory and by the write later.
func (s *shelf) end(ctx context.Context, token string, write func(context.Context) error) error {
	s.mu.Lock()
	k, kept := s.kept[token]
	s.mu.Unlock()
	if kept && k.begun != nil { // it has no row yet, but a write that takes long may still make it one
		return s.keep(token, shelved{at: s.now(), ended: true, end: write})
	}
	err := s.gate.Soon(ctx, s.patient, write)
	if room.Why(err) == "" {
		s.mu.Lock()
		delete(s.kept, token)
		s.mu.Unlock()
		return err
	}
	return s.keep(token, shelved{at: s.now(), ended: true, end: write})
}

// settle writes what was kept, if the database can be written again.
func (s *shelf) settle(ctx context.Context) error {
	s.mu.Lock()
	waiting := make(map[string]shelved, len(s.kept))
	for token, k := range s.kept {
		waiting[token] = k
	}
	s.mu.Unlock()
	for token, k := range waiting {
		err := s.gate.Soon(ctx, s.patient, func(ctx context.Context) error { return s.write(ctx, token, k) })
		switch {
		case room.Why(err) != "":
			return nil // still not
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict):
			// Neither somebody who may not sign in any more, nor a session that is there already.
			s.log.Error("a session that was kept in memory is lost", "err", err)
		}
		s.mu.Lock()
		if s.kept[token].at.Equal(k.at) && s.kept[token].ended == k.ended {
			delete(s.kept, token)
		}
		s.mu.Unlock()
	}
	return nil
}

func (s *shelf) write(ctx context.Context, token string, k shelved) error {
	s.mu.Lock()
	over := s.kept[token].ended && !k.ended
	s.mu.Unlock()
	switch {
	case over: // since then
		return nil
	case k.ended:
		return k.end(ctx)
	case k.begun == nil:
		return s.Sessions.CommitCtx(ctx, token, k.data, k.expiry)
	case !s.now().Before(k.expiry):
		return nil
	}
	// Whoever had all sessions of this user ended meant this one, too.
	if out, err := s.SignedOut(ctx, k.user, k.at.UnixMilli()); err != nil || out {
		return err
	}
	return s.Sessions.CommitCtx(store.BeginAs(ctx, k.begun), token, k.data, k.expiry)
}

// Find implements scs.Store.
func (s *shelf) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (s *shelf) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

// Delete implements scs.Store.
func (s *shelf) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/topics"
)

// Heartbeats lists all heartbeats with their addresses, the plane's first. One whose address
// cannot be read says why.
func (s *Store) Heartbeats(ctx context.Context) ([]heartbeats.Heartbeat, error) {
	rows, err := heartbeats.List(ctx, s.r)
	if err != nil {
		return nil, ours(err)
	}
	list := make([]heartbeats.Heartbeat, len(rows))
	for i, r := range rows {
		list[i] = s.heartbeat(ctx, r)
	}
	return list, nil
}

// Heartbeat returns the heartbeat of a scope and subject, [heartbeats.ErrNone] if there is none.
func (s *Store) Heartbeat(ctx context.Context, scope heartbeats.Scope, subject string) (heartbeats.Heartbeat, error) {
	r, err := heartbeats.Find(ctx, s.r, scope, subject)
	if err != nil {
		return heartbeats.Heartbeat{}, ours(err)
	}
	return s.heartbeat(ctx, r), nil
}

func (s *Store) heartbeat(ctx context.Context, r heartbeats.Row) heartbeats.Heartbeat {
	plain, err := s.keys.open(ctx, s.r, keyring.Place("heartbeats", r.ID, "url"), r.Sealed)
	r.Heartbeat.URL, r.Heartbeat.Unread = topics.Secret(plain), err
	return r.Heartbeat
}

// PutHeartbeat sets the heartbeat of a scope and subject, or removes it if it has no address.
// The version is the one that was read, 0 for none: [heartbeats.ErrMoved] is that somebody
// changed it meanwhile.
func (s *Store) PutHeartbeat(ctx context.Context, actor string, h heartbeats.Heartbeat) (heartbeats.Heartbeat, error) {
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		was, err := heartbeats.Find(ctx, tx, h.Scope, h.Subject)
		if err != nil && !errors.Is(err, heartbeats.ErrNone) {
			return err
		}
		if was.Version != h.Version {
			return heartbeats.ErrMoved
		}
		target, kind := string(h.Scope), h.Kind
		if h.Subject != "" {
			target += " " + h.Subject
		}
		if h.URL == "" {
			if was.ID == "" {
				return nil
			}
			if err := heartbeats.Drop(ctx, tx, was.ID); err != nil {
				return err
			}
			return s.audit(ctx, tx, actor, "heartbeat.removed", target, "")
		}
		if h.ID = was.ID; h.ID == "" {
			h.ID = topics.NewID(s.now())
		}
		h.Version, h.ChangedAt, h.ChangedBy = was.Version+1, s.Now(), actor
		h.LastAt, h.LastOKAt, h.LastAnswer, h.FailingSince, h.Failures = 0, 0, "", 0, 0
		sealed, err := s.keys.seal(ctx, tx, keyring.Place("heartbeats", h.ID, "url"), []byte(h.URL))
		if err != nil {
			return err
		}
		if err := heartbeats.Put(ctx, tx, heartbeats.Row{Heartbeat: h, Sealed: sealed}); err != nil {
			return err
		}
		detail := kind
		if h.Scope == heartbeats.OfPlane {
			detail = fmt.Sprintf("%s, every %d s", kind, h.Every)
		}
		return s.audit(ctx, tx, actor, "heartbeat.saved", target, detail)
	})
	return h, err
}

// SaidHeartbeat writes down how a try went.
func (s *Store) SaidHeartbeat(ctx context.Context, h heartbeats.Heartbeat) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return heartbeats.Said(ctx, tx, h) })
}

// DuePings lists what is to be said of backups now, the oldest of each heartbeat; next is when
// to ask again, 0 if nothing waits.
func (s *Store) DuePings(ctx context.Context, now int64) (due []heartbeats.Ping, next int64, err error) {
	if due, err = heartbeats.Due(ctx, s.r, now); err == nil {
		next, err = heartbeats.Next(ctx, s.r)
	}
	return due, next, ours(err)
}

// WaitingPings counts what is still to be said of backups, by heartbeat.
func (s *Store) WaitingPings(ctx context.Context) (map[string]int, error) {
	n, err := heartbeats.Waiting(ctx, s.r)
	return n, ours(err)
}

// BadGroup is [heartbeats.Bad].
func (s *Store) BadGroup(ctx context.Context, h heartbeats.Heartbeat) (string, error) {
	name, err := heartbeats.Bad(ctx, s.r, h)
	return name, ours(err)
}

// PingOver writes down how the last try of a ping went, and that it is over: it was answered,
// given up, or there was nothing to say.
func (s *Store) PingOver(ctx context.Context, h heartbeats.Heartbeat, p heartbeats.Ping) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		return errors.Join(heartbeats.Over(ctx, tx, p.ID), heartbeats.Said(ctx, tx, h))
	})
}

// PingLater writes down how a try of a ping went, and when it is tried again.
func (s *Store) PingLater(ctx context.Context, h heartbeats.Heartbeat, p heartbeats.Ping) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		return errors.Join(heartbeats.Later(ctx, tx, p.ID, p.Tries, p.NextAt), heartbeats.Said(ctx, tx, h),
			heartbeats.Trim(ctx, tx, p.Heartbeat))
	})
}

// ping queues what is to be said elsewhere of a backup that began or ended. A backup with
// warnings that made a snapshot is a good one: what it left out has an alert of its own. One
// that somebody cancelled is neither good nor bad.
func (j journal) ping(job Job) error {
	b := heartbeats.Backup{Job: job.ID, Host: job.Host, Group: job.SourceGroup}
	event := heartbeats.Fail
	switch {
	case job.Kind != topics.BackupJob || job.State == topics.Cancelled || job.Cause == topics.CauseServed || job.Cause == topics.CauseUnmade:
		return nil
	case !job.State.Ended():
		event = heartbeats.Start
	case job.State == topics.Succeeded, job.State == topics.Warnings && job.Cause != topics.CauseEmptySource:
		event = heartbeats.Success
	}
	return heartbeats.Note(j.ctx, j.tx, b, event, j.s.Now())
}

package store

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/restored"
	"github.com/restic-manager/restic-manager/topics"
)

// makeWithin is the NotAfter of an init job that the control plane adds, after now. Its
// host is asked to leave it to another much sooner.
const makeWithin = 24 * time.Hour

// A site reads where repositories lie, for package protocol.
type site struct {
	ctx context.Context
	q   sqlx.QueryerContext
}

// Sites says where repositories lie and who has tried to make them.
func (s *Store) Sites(ctx context.Context) protocol.Sites { return site{ctx, s.r} }

// Unheard implements protocol.Sites.
func (s site) Unheard() (bool, error) { return restored.Unheard(s.ctx, s.q) }

func (s site) Place(id topics.RepositoryID) (protocol.Place, error) {
	return places.Where(s.ctx, s.q, id)
}

func (s site) Maker(p protocol.PlaneJob) (protocol.Maker, error) {
	return places.MakerOf(s.ctx, s.q, p.Host, p.Group)
}

func (s site) Try(id topics.RepositoryID, host topics.HostID) (protocol.Try, error) {
	return places.TryOf(s.ctx, s.q, id, host)
}

// PutTry implements protocol.PlaneTx.
func (j journal) PutTry(t protocol.Try) error { return places.PutTry(j.ctx, j.tx, t) }

// AddInit implements protocol.PlaneTx.
func (j journal) AddInit(b protocol.PlaneJob, now int64) (p protocol.PlaneJob, err error) {
	job := Job{ID: topics.JobID(topics.NewID(time.UnixMilli(now))), Host: b.Host, Kind: topics.InitJob, Repository: b.Repository,
		State: topics.Queued, RequestedBy: Plane, QueuedAt: now, NotAfter: now + makeWithin.Milliseconds(), Behalf: b.Group}
	if b.Other != "" {
		job.Operation.V = &topics.Operation{From: string(b.Other)}
		// Who gave the repositories for a copy gave them for what it takes, too; else the copy waits
		// for ever, for init jobs that are not sent.
		if job.GivenBy, err = get[string](j.ctx, j.q, `SELECT given_by FROM jobs WHERE id = $1`, b.ID); err != nil {
			return p, err
		}
	}
	if err := j.s.queue(j.ctx, j.tx, job); err != nil {
		return p, err
	}
	p, _, err = j.Job(job.ID)
	return p, err
}

// Unready lists the open jobs at whose place no repository was found or made yet.
func (s *Store) Unready(ctx context.Context) (map[topics.JobID]bool, error) {
	ids, err := all[topics.JobID](ctx, s.r, `SELECT id FROM (SELECT id, `+places.ReadyAt+` FROM jobs WHERE finished_at = 0)
		WHERE ready_at = 0`)
	out := make(map[topics.JobID]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, err
}

// UnreadyTargets lists the open copies for which nobody has found or made a repository yet
// where they go.
func (s *Store) UnreadyTargets(ctx context.Context) (map[topics.JobID]bool, error) {
	ids, err := all[topics.JobID](ctx, s.r, `SELECT id FROM (SELECT id, `+places.OtherReadyAt+`
		FROM jobs WHERE finished_at = 0 AND other <> '')
		WHERE other_ready_at = 0`)
	out := make(map[topics.JobID]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, err
}

// RepositoryPlaces lists where a repository was used, and since when there is one.
func (s *Store) RepositoryPlaces(ctx context.Context, id topics.RepositoryID) ([]places.Place, error) {
	return places.Of(ctx, s.r, id)
}

// PlaceOf returns where a host finds a repository.
func (s *Store) PlaceOf(ctx context.Context, id topics.RepositoryID, host topics.HostID) (places.Place, error) {
	return places.At(ctx, s.r, id, host)
}

// Beginning returns who is at work making a repository, or ErrNotFound.
func (s *Store) Beginning(ctx context.Context, id topics.RepositoryID) (places.Beginning, error) {
	by, err := places.Begun(ctx, s.r, id)
	return by, ours(err)
}

// MakingTries lists how hosts failed to make a repository where there is none yet.
func (s *Store) MakingTries(ctx context.Context, id topics.RepositoryID) ([]protocol.Try, error) {
	return places.Tries(ctx, s.r, id)
}

// ReleaseMaking takes an init job from its host, with its audit entry, and runs the
// protocol's step. It returns ErrEnded if the job has ended.
func (s *Store) ReleaseMaking(ctx context.Context, actor string, id topics.JobID, step Step) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		job, err := get[Job](ctx, tx, `SELECT * FROM jobs WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if job.State.Ended() {
			return ErrEnded
		}
		if err := s.audit(ctx, tx, actor, "repository.making_released", string(job.Repository), "job "+string(id)+" of "+
			nameIn(ctx, tx, "hosts", string(job.Host))); err != nil {
			return err
		}
		return step(newJournal(ctx, s, tx))
	})
}

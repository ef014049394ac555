package store

import (
	"context"

	"github.com/restic-manager/restic-manager/store/found"
	"github.com/restic-manager/restic-manager/topics"
)

// A Lock was found in a repository by a job.
type Lock = found.Lock

// Locks lists the locks that the last listing found in a repository, oldest first.
func (s *Store) Locks(ctx context.Context, id topics.RepositoryID) ([]Lock, error) {
	return all[Lock](ctx, s.r, `SELECT * FROM repository_locks WHERE repository = $1 ORDER BY time, id`, id)
}

// AllLocks lists the locks that the last listings found, in all repositories.
func (s *Store) AllLocks(ctx context.Context) ([]Lock, error) {
	return all[Lock](ctx, s.r, `SELECT * FROM repository_locks ORDER BY repository, time, id`)
}

// DiedSince reports whether a job on a repository ended since a time in a way that
// may have left its lock behind.
func (s *Store) DiedSince(ctx context.Context, id topics.RepositoryID, since int64) (bool, error) {
	n, err := get[int](ctx, s.r, `SELECT count(*) FROM jobs WHERE repository = $1 AND finished_at > $2 AND started_at > 0 AND
		(state IN ('interrupted', 'cancelled') OR state = 'failed' AND cause IN ('locked', 'killed', 'agent-died', 'unreachable',
		'stalled', 'disk-full', 'host-disk-full', 'unknown', ''))`, id, since)
	return n > 0, err
}

// LockedSince reports whether a job on a repository failed because of a lock since a
// time.
func (s *Store) LockedSince(ctx context.Context, id topics.RepositoryID, since int64) (bool, error) {
	n, err := get[int](ctx, s.r, `SELECT count(*) FROM jobs WHERE repository = $1 AND state = 'failed' AND cause = 'locked'
		AND finished_at >= $2`, id, since)
	return n > 0, err
}

// JobsSince lists at most a thousand of a repository's jobs that have not ended, or
// ended since a time, newest first.
func (s *Store) JobsSince(ctx context.Context, id topics.RepositoryID, since int64) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE repository = $1 AND (finished_at = 0 OR finished_at >= $2)
		ORDER BY queued_at DESC, id LIMIT 1000`, id, since)
}

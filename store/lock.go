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
	const died = ` AND finished_at > $2 AND started_at > 0 AND
		(state IN ('interrupted', 'cancelled') OR state = 'failed' AND cause IN ('locked', 'killed', 'agent-died', 'unreachable',
		'stalled', 'disk-full', 'host-disk-full', 'unknown', '')))`
	return get[bool](ctx, s.r, `SELECT EXISTS (SELECT 1 FROM jobs WHERE repository = $1`+died+` OR
		EXISTS (SELECT 1 FROM jobs WHERE other = $1 AND other <> ''`+died, id, since)
}

// LockedSince reports whether a job on a repository failed because of a lock since a
// time.
func (s *Store) LockedSince(ctx context.Context, id topics.RepositoryID, since int64) (bool, error) {
	const locked = ` AND state = 'failed' AND cause = 'locked' AND finished_at >= $2)`
	return get[bool](ctx, s.r, `SELECT EXISTS (SELECT 1 FROM jobs WHERE repository = $1`+locked+` OR
		EXISTS (SELECT 1 FROM jobs WHERE other = $1 AND other <> ''`+locked, id, since)
}

// JobsSince lists at most a thousand of a repository's jobs that have not ended, or
// ended since a time, newest first: those that work in it, and copies into it.
func (s *Store) JobsSince(ctx context.Context, id topics.RepositoryID, since int64) ([]Job, error) {
	return all[Job](ctx, s.r, `SELECT * FROM jobs WHERE repository = $1 AND (finished_at = 0 OR finished_at >= $2)
		UNION ALL SELECT * FROM jobs WHERE other = $1 AND other <> '' AND (finished_at = 0 OR finished_at >= $2)
		ORDER BY queued_at DESC, id LIMIT 1000`, id, since)
}

package store

import (
	"context"

	"github.com/restic-manager/restic-manager/store/moments"
	"github.com/restic-manager/restic-manager/topics"
)

// Moments lists snapshots that exist, the newest first; see moments.List.
func (s *Store) Moments(ctx context.Context, f moments.Filter, after moments.Place, limit int) ([]moments.Row, error) {
	rows, err := moments.List(ctx, s.r, f, after, limit)
	return rows, ours(err)
}

// MomentSizes lists what snapshots of some time held; see moments.Sizes.
func (s *Store) MomentSizes(ctx context.Context, f moments.Filter) ([]moments.Size, error) {
	rows, err := moments.Sizes(ctx, s.r, f)
	return rows, ours(err)
}

// GroupsWithSnapshots lists the source groups of a host that have snapshots in a repository.
func (s *Store) GroupsWithSnapshots(ctx context.Context, r topics.RepositoryID, h topics.HostID) ([]topics.SourceGroupID, error) {
	ids, err := moments.Groups(ctx, s.r, r, h)
	return ids, ours(err)
}

// RepositoriesWithSnapshots lists the repositories in which a host has snapshots.
func (s *Store) RepositoriesWithSnapshots(ctx context.Context, host topics.HostID) ([]topics.RepositoryID, error) {
	ids, err := moments.Repositories(ctx, s.r, host)
	return ids, ours(err)
}

// SnapshotTimes says when snapshots of a repository were taken, gone ones too.
func (s *Store) SnapshotTimes(ctx context.Context, id topics.RepositoryID, ids []string) (map[string]int64, error) {
	at, err := moments.Times(ctx, s.r, id, ids)
	return at, ours(err)
}

// PreviousSnapshot is the one before a snapshot of the same source group; "" if there is none.
func (s *Store) PreviousSnapshot(ctx context.Context, n Snapshot) (string, error) {
	id, err := moments.Previous(ctx, s.r, n)
	return id, ours(err)
}

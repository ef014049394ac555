package store

import (
	"context"

	"github.com/restic-manager/restic-manager/store/having"
	"github.com/restic-manager/restic-manager/topics"
)

// HasRepository reports whether a host has a repository at the place of a host, "" for its
// own: it backs up into it there, or is its keeper.
func (s *Store) HasRepository(ctx context.Context, host topics.HostID, id topics.RepositoryID, place topics.HostID) (bool, error) {
	yes, err := having.Has(ctx, s.r, host, id, place)
	return yes, ours(err)
}

// Strays lists the queued jobs whose host lost the repository since they were asked for.
func (s *Store) Strays(ctx context.Context) ([]topics.JobID, error) {
	ids, err := having.Strays(ctx, s.r)
	return ids, ours(err)
}

// Stray reports whether a job's host lost the repository since the job was asked for.
func (s *Store) Stray(ctx context.Context, id topics.JobID) (bool, error) {
	yes, err := having.Stray(ctx, s.r, id)
	return yes, ours(err)
}

package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/found"
	"github.com/restic-manager/restic-manager/topics"
)

// A Key opens a repository.
type Key = found.Key

// Keys lists a repository's keys, those that are not ours first.
func (s *Store) Keys(ctx context.Context, id topics.RepositoryID) ([]Key, error) {
	return all[Key](ctx, s.r, `SELECT * FROM repository_keys WHERE repository = $1 ORDER BY trusted OR opened, first_seen, id`, id)
}

// ForeignKeys counts the keys by repository that are not ours.
func (s *Store) ForeignKeys(ctx context.Context) (map[topics.RepositoryID]int, error) {
	type count struct {
		Repository topics.RepositoryID `db:"repository"`
		N          int                 `db:"n"`
	}
	rows, err := all[count](ctx, s.r, `SELECT repository, count(*) AS n FROM repository_keys
		WHERE trusted = 0 AND opened = 0 GROUP BY repository`)
	counts := make(map[topics.RepositoryID]int, len(rows))
	for _, c := range rows {
		counts[c.Repository] = c.N
	}
	return counts, err
}

// TrustKey marks a key as trusted.
func (s *Store) TrustKey(ctx context.Context, actor string, repository topics.RepositoryID, key string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := change(ctx, tx, `UPDATE repository_keys SET trusted = 1 WHERE repository = $1 AND id = $2`, repository, key); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "repository.key_trusted", string(repository), key)
	})
}

// KeyAt returns the key that our password opened at a host's place in the last listing of its
// keys, "" if that is not known. It is for repositories in which hosts have places of their own.
func (s *Store) KeyAt(ctx context.Context, repository topics.RepositoryID, host topics.HostID) (string, error) {
	id, err := get[string](ctx, s.r, `SELECT id FROM repository_keys WHERE repository = $1 AND place = $2 AND opened <> 0 LIMIT 1`,
		repository, host)
	return id, ignoreMissing(err)
}

package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// RepositoryPage lists repositories in care whose name or location holds a text, by
// name: at most so many from a place of the list on, and how many there are.
func (s *Store) RepositoryPage(ctx context.Context, text string, from, limit int) (rows []Repository, total int, err error) {
	where, args := `removed_at = 0`, []any{}
	if text != "" {
		name, names := column.Holds("name", text)
		place, places := column.Holds("location", text)
		where, args = where+` AND (`+name+` OR `+place+`)`, append(names, places...)
	}
	total, err = get[int](ctx, s.r, sqlx.Rebind(sqlx.DOLLAR, `SELECT count(*) FROM repositories WHERE `+where), args...)
	if err != nil {
		return nil, 0, err
	}
	rows, err = all[Repository](ctx, s.r, sqlx.Rebind(sqlx.DOLLAR, `SELECT `+repositoryColumns+` FROM repositories WHERE `+where+
		` ORDER BY name, id LIMIT ? OFFSET ?`), append(args, limit, from)...)
	return rows, total, err
}

// RepositoriesAmong lists those of some repositories that are in care, by name.
func (s *Store) RepositoriesAmong(ctx context.Context, ids []topics.RepositoryID) ([]Repository, error) {
	return among[Repository](ctx, s.r, `SELECT `+repositoryColumns+` FROM repositories WHERE id IN (?) AND removed_at = 0
		ORDER BY name, id`, ids)
}

// HostCounts counts the hosts that have a source group in each of some
// repositories.
func (s *Store) HostCounts(ctx context.Context, ids []topics.RepositoryID) (map[topics.RepositoryID]int, error) {
	return countsOf(ctx, s, `SELECT repository, count(DISTINCT host) AS n FROM source_groups WHERE repository IN (?) GROUP BY repository`, ids)
}

// ForeignKeysOf counts the keys in some repositories that are not ours.
func (s *Store) ForeignKeysOf(ctx context.Context, ids []topics.RepositoryID) (map[topics.RepositoryID]int, error) {
	return countsOf(ctx, s, `SELECT repository, count(*) AS n FROM repository_keys WHERE repository IN (?) AND trusted = 0 AND opened = 0
		GROUP BY repository`, ids)
}

func countsOf(ctx context.Context, s *Store, query string, ids []topics.RepositoryID) (map[topics.RepositoryID]int, error) {
	type count struct {
		Repository topics.RepositoryID `db:"repository"`
		N          int                 `db:"n"`
	}
	rows, err := among[count](ctx, s.r, query, ids)
	counts := make(map[topics.RepositoryID]int, len(rows))
	for _, c := range rows {
		counts[c.Repository] = c.N
	}
	return counts, err
}

// LocksOf lists what the last looks found in some repositories.
func (s *Store) LocksOf(ctx context.Context, ids []topics.RepositoryID) ([]Lock, error) {
	return among[Lock](ctx, s.r, `SELECT * FROM repository_locks WHERE repository IN (?) ORDER BY repository, time, id`, ids)
}

// DaysOf lists what is known of the growth of some repositories since a moment, the
// oldest day first.
func (s *Store) DaysOf(ctx context.Context, ids []topics.RepositoryID, since int64) ([]Day, error) {
	return among[Day](ctx, s.r, `SELECT * FROM repository_days WHERE repository IN (?) AND day >= ? ORDER BY repository, day`,
		ids, since/dayMillis)
}

// SourceGroupsInto lists the source groups that are backed up into a repository, by
// name.
func (s *Store) SourceGroupsInto(ctx context.Context, id topics.RepositoryID) ([]SourceGroup, error) {
	return all[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE repository = $1 ORDER BY name, id`, id)
}

// SourceGroupsAround lists the source groups of every host that backs up into a
// repository, or has snapshots in it.
func (s *Store) SourceGroupsAround(ctx context.Context, id topics.RepositoryID) ([]SourceGroup, error) {
	return all[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE host IN (SELECT host FROM source_groups WHERE repository = $1
		UNION SELECT host FROM snapshots WHERE repository = $1 AND gone_at = 0) ORDER BY name, id`, id)
}

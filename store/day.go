package store

import (
	"context"

	"github.com/restic-manager/restic-manager/store/found"
	"github.com/restic-manager/restic-manager/topics"
)

// A Day holds the size of a repository on one day.
type Day = found.Day

const dayMillis = found.DayMillis

// Days lists the sizes of a repository since a time, oldest day first; of all
// repositories if the ID is empty.
func (s *Store) Days(ctx context.Context, id topics.RepositoryID, since int64) ([]Day, error) {
	return all[Day](ctx, s.r, `SELECT * FROM repository_days WHERE `+one("repository", id)+` AND day >= $2 ORDER BY repository, day`,
		id, since/dayMillis)
}

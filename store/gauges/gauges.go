// Package gauges reads what programs that watch are told of the database: counts that
// it keeps by itself, what waits in it, how large it is and how long it takes to write. It
// reads a fixed number of rows, however large the installation.
package gauges

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// Gauges reads.
type Gauges struct {
	R      sqlx.QueryerContext
	File   string // of the database
	Writes *Meter
}

// An Ended counts the jobs of a kind that ended in a state. It never goes down.
type Ended struct {
	Kind   topics.JobKind  `db:"kind"`
	State  topics.JobState `db:"state"`
	Jobs   int64           `db:"jobs"`
	Millis int64           `db:"millis"` // that they ran, together
}

// Ended lists the counts of jobs, since there are any.
func (g Gauges) Ended(ctx context.Context) ([]Ended, error) {
	return rows[Ended](ctx, g.R, `SELECT kind, state, jobs, millis FROM ended_counts ORDER BY kind, state`)
}

// Waiting is what is still to be told to people.
type Waiting struct {
	Messages int64 `db:"messages"`
	Oldest   int64 `db:"oldest"` // when the oldest of them was made, in Unix milliseconds; 0 is none
}

// Waiting counts the messages about alerts that wait to be delivered.
func (g Gauges) Waiting(ctx context.Context) (Waiting, error) {
	list, err := rows[Waiting](ctx, g.R, `SELECT count(*) AS messages, coalesce(min(created_at), 0) AS oldest FROM channel_messages
		WHERE state = 'waiting'`)
	if err != nil {
		return Waiting{}, err
	}
	return list[0], nil
}

// Sizes is how many bytes the database's file has, and the log of what was written last
// beside it.
func (g Gauges) Sizes() (database, log int64, err error) {
	if database, err = size(g.File); err == nil {
		log, err = size(g.File + "-wal")
	}
	return database, log, err
}

func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("look how large the database is: %w", err)
	}
	return info.Size(), nil
}

func rows[T any](ctx context.Context, q sqlx.QueryerContext, query string) ([]T, error) {
	list := []T{}
	return list, sqlx.SelectContext(ctx, q, &list, query)
}

package snapshots

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// A Neighbourhood is what exists around a snapshot that is gone. Each may be nil.
type Neighbourhood struct {
	Instead *Snapshot // the one that took its place
	Before  *Snapshot // the nearest of the same source group that are older and newer; of a foreign one,
	After   *Snapshot // of the same host name and paths
}

// Near finds the snapshots of the same repository that exist around n.
func Near(ctx context.Context, q sqlx.QueryerContext, n Snapshot) (near Neighbourhood, err error) {
	first := func(query string, args ...any) *Snapshot {
		if err != nil {
			return nil
		}
		var found Snapshot
		err = sqlx.GetContext(ctx, q, &found, query, args...)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
			return nil
		}
		if err != nil {
			err = fmt.Errorf("look for the snapshots around %s: %w", n.ID, err)
		}
		return &found
	}
	same, with := `source_group = $2 AND $3 = $3`, []any{n.Repository, n.SourceGroup, ""}
	if n.SourceGroup == "" {
		same, with = `source_group = '' AND hostname = $2 AND paths = $3`, []any{n.Repository, n.Hostname, n.Paths}
	}
	with = append(with, n.Time, n.ID)
	near.Before = first(`SELECT * FROM snapshots WHERE repository = $1 AND gone_at = 0 AND `+same+` AND time <= $4 AND id <> $5
		ORDER BY time DESC, id LIMIT 1`, with...)
	near.After = first(`SELECT * FROM snapshots WHERE repository = $1 AND gone_at = 0 AND `+same+` AND time > $4 AND id <> $5
		ORDER BY time, id LIMIT 1`, with...)
	// What took its place may have been replaced in turn.
	for next, steps := n.ReplacedBy, 0; next != "" && steps < 100; steps++ {
		found := first(`SELECT * FROM snapshots WHERE repository = $1 AND id = $2`, n.Repository, next)
		if found == nil {
			break
		}
		if found.GoneAt == 0 {
			near.Instead = found
			break
		}
		next = found.ReplacedBy
	}
	return near, err
}

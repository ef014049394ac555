// Package atonce reads how many jobs hosts run at once.
package atonce

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// Of returns how many jobs each host runs at once that has more than one open job: what
// is set for it, as far as its agent can. An agent that does not say runs one.
func Of(ctx context.Context, q sqlx.QueryerContext) (map[topics.HostID]int, error) {
	var rows []struct {
		Host   topics.HostID `db:"id"`
		AtOnce int           `db:"at_once"`
	}
	err := sqlx.SelectContext(ctx, q, &rows, `SELECT id, max(1, min(jobs_at_once, agent_jobs)) AS at_once FROM hosts WHERE removed_at = 0
		AND id IN (SELECT host FROM jobs WHERE finished_at = 0 GROUP BY host HAVING count(*) > 1)`)
	out := make(map[topics.HostID]int, len(rows))
	for _, r := range rows {
		out[r.Host] = r.AtOnce
	}
	return out, err
}

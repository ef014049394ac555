// Package having says which repositories a host has: those that its source groups name,
// and those that it is the keeper of. Only there does it get jobs; whatever else it is sent
// gives it secrets that it does not have, which an administrator does for one job at a time.
package having

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// has is the condition that a host has a repository at a place, "" for its own. Who keeps a
// repository has it at every place.
func has(host, repository, place string) string {
	return fmt.Sprintf(`(EXISTS (SELECT 1 FROM repositories r WHERE r.id = %[2]s AND r.keeper = %[1]s)
		OR %[3]s IN ('', %[1]s) AND EXISTS (SELECT 1 FROM source_groups g WHERE g.host = %[1]s AND g.repository = %[2]s))`,
		host, repository, place)
}

// Has reports whether a host has a repository at the place of a host, "" for its own.
func Has(ctx context.Context, q sqlx.QueryerContext, host topics.HostID, repository topics.RepositoryID, place topics.HostID) (
	yes bool, err error) {
	err = sqlx.GetContext(ctx, q, &yes, `SELECT `+has("x.host", "x.repository", "x.place")+
		` FROM (SELECT $1 AS host, $2 AS repository, $3 AS place) x`, host, repository, place)
	return yes, err
}

// stray is the condition that a job is of no repository that its host has, and that nobody
// gave it that one for this job. A backup is of its source group's; what takes a repository
// for itself is its keeper's, if it has one. An update is in none.
var stray = `(kind <> 'update' AND given_by = '' AND NOT CASE kind WHEN 'backup'
		THEN EXISTS (SELECT 1 FROM source_groups g WHERE g.id = jobs.source_group AND g.host = jobs.host AND g.repository = jobs.repository)
		ELSE ` + has("jobs.host", "jobs.repository", "jobs.place") + ` AND (jobs.other = '' OR ` + has("jobs.host", "jobs.other", "''") + `) END
	OR kind IN ('forget', 'prune', 'check')
		AND EXISTS (SELECT 1 FROM repositories r WHERE r.id = jobs.repository AND r.keeper NOT IN ('', jobs.host)))`

// Strays lists the jobs that wait here and are not to be sent any more: since they were
// asked for, their host lost the repository they are for.
func Strays(ctx context.Context, q sqlx.QueryerContext) (ids []topics.JobID, err error) {
	err = sqlx.SelectContext(ctx, q, &ids, `SELECT id FROM jobs WHERE finished_at = 0 AND state = 'queued' AND `+stray)
	return ids, err
}

// Stray reports whether that holds for one job, which may have been sent.
func Stray(ctx context.Context, q sqlx.QueryerContext, id topics.JobID) (yes bool, err error) {
	err = sqlx.GetContext(ctx, q, &yes, `SELECT EXISTS (SELECT 1 FROM jobs WHERE id = $1 AND `+stray+`)`, id)
	return yes, err
}

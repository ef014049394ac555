package drills

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// Grown reports whether a source group with the paths now backs up something that it did not
// with those of before.
func Grown(was, now []string) bool {
	return slices.ContainsFunc(now, func(p string) bool {
		return !slices.ContainsFunc(was, func(w string) bool {
			w = strings.TrimRight(w, `/\`)
			return p == w || strings.HasPrefix(p, w+"/") || strings.HasPrefix(p, w+`\`)
		})
	})
}

// Outgrown takes the proof of a source group back, as it backs up more than it did: what a
// drill restores of a backup that was begun before now says nothing of that. A drill that
// failed still has.
func Outgrown(ctx context.Context, tx sqlx.ExtContext, group topics.SourceGroupID, host topics.HostID, repository topics.RepositoryID,
	now int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO drill_verdicts
		(source_group, host, repository, job, at, proven, why, proven_at, proven_job, since)
		VALUES ($1, $2, $3, '', 0, 0, '', 0, '', $4)
		ON CONFLICT (source_group) DO UPDATE SET since = excluded.since, `+unproven, group, host, repository, now)
	if err != nil {
		return fmt.Errorf("take the proof of a source group back: %w", err)
	}
	return nil
}

// unproven leaves of a verdict only that the last drill failed.
const unproven = `proven_at = 0, proven_job = '', job = CASE WHEN drill_verdicts.proven <> 0 THEN '' ELSE drill_verdicts.job END,
	at = CASE WHEN drill_verdicts.proven <> 0 THEN 0 ELSE drill_verdicts.at END, proven = 0`

// Lost takes the proof of a source group back of which snapshots are gone that no job of
// ours removed, if none is left of those that were there when it was proven: the repository
// may be another one by now, whose disk nobody tried.
func Lost(ctx context.Context, tx sqlx.ExtContext, group topics.SourceGroupID, repository topics.RepositoryID) error {
	_, err := tx.ExecContext(ctx, `UPDATE drill_verdicts SET `+unproven+` WHERE source_group = $1 AND repository = $2 AND proven_at > 0
		AND NOT EXISTS (SELECT 1 FROM snapshots WHERE repository = $2 AND source_group = $1 AND gone_at = 0 AND job <> ''
			AND `+made+` <= drill_verdicts.proven_at)`, group, repository)
	if err != nil {
		return fmt.Errorf("take the proof of lost snapshots back: %w", err)
	}
	return nil
}

// outdated reports whether what a drill restored of a snapshot is no proof of its group any
// more: it was lost meanwhile, or its backup began before the group was [Outgrown].
func outdated(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, group topics.SourceGroupID,
	snapshot string) (bool, error) {
	var n int
	err := sqlx.GetContext(ctx, q, &n, `SELECT count(*) FROM snapshots n LEFT JOIN drill_verdicts v ON v.source_group = n.source_group
		WHERE n.repository = $1 AND n.id = $2 AND n.source_group = $3
		AND (n.gone_at > 0 AND n.named_by = '' AND n.replaced_by = '' OR max(n.queued_at, n.begun_at) < coalesce(v.since, 0))`,
		repository, snapshot, group)
	if err != nil {
		return false, fmt.Errorf("what a drill proved: %w", err)
	}
	return n > 0, nil
}

package removal

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// Own are the columns by which the rows of other tables are of one host, group or
// repository and tell nothing of anything else. A purge erases these rows.
var Own = map[Kind][]string{
	Host: {"slot_outcomes.host", "repository_looks.host", "repository_places.host", "places.host", "making_tries.host",
		"enroll_tokens.host", "enroll_tokens.for_host", "enroll_held.host", "rollout_hosts.host", "rollouts.host",
		"host_lanes.host", "host_gaps.host",
		"host_asides.host", "host_hours.host",
		"former_plans.host", "kits_shown.subject",
		"drill_slots.host", "drill_plans.subject", "drill_verdicts.host", "alerts.host", "alert_pauses.subject", "heartbeats.subject",
		"endings.host", "endings.subject",
		"replaced_groups.host", "replaced_pins.host", "replaced_schedules.host", "replacements.host", "password_change_hosts.host",
		"password_change_places.host"},
	Group: {"slot_outcomes.source_group", "drill_verdicts.source_group", "replaced_groups.source_group", "replaced_pins.source_group",
		"endings.subject"},
	Repository: {"repository_looks.repository", "repository_damage.repository", "repository_places.repository", "places.repository",
		"making_tries.repository",
		"mirrors.repository", "mirrors.target", "repository_days.repository", "maintenance_duties.repository", "maintenance_reviews.repository",
		"retention_measures.repository", "restore_drafts.repository", "drill_verdicts.repository", "alerts.repository",
		"endings.repository", "endings.subject",
		"kits_shown.subject", "imports.repository", "import_rows.repository", "key_passwords.repository", "password_change_hosts.repository",
		"password_change_places.repository", "password_changes.repository"},
}

// Rows is how many rows one transaction erases at most.
const Rows = 2000

// Due lists a few of what was removed before a time and can still come back, the
// oldest first.
func Due(ctx context.Context, q sqlx.QueryerContext, before int64, most int) ([]Removed, error) {
	rows := []Removed{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT `+columns+` FROM removed WHERE body <> '' AND removed_at < $1
		ORDER BY removed_at LIMIT $2`, before, most)
}

// Erase removes the rows that are of what was removed alone, in small transactions. It
// looks for them beside whoever writes. If it is interrupted, the next call continues.
func Erase(ctx context.Context, q sqlx.QueryerContext, tx func(context.Context, func(*sqlx.Tx) error) error, r Removed) error {
	for _, own := range Own[r.Kind] {
		table, column, _ := strings.Cut(own, ".")
		for {
			rows := []int64{}
			if err := sqlx.SelectContext(ctx, q, &rows, `SELECT rowid FROM `+table+` WHERE `+column+` = $1 LIMIT $2`, r.ID, Rows); err != nil {
				return fmt.Errorf("rows of %s: %w", table, err)
			}
			if len(rows) == 0 {
				break
			}
			query, args, err := sqlx.In(`DELETE FROM `+table+` WHERE `+column+` = ? AND rowid IN (?)`, r.ID, rows)
			if err != nil {
				return err
			}
			if err := tx(ctx, func(tx *sqlx.Tx) error {
				_, err := tx.ExecContext(ctx, tx.Rebind(query), args...)
				return err
			}); err != nil {
				return fmt.Errorf("erase rows of %s: %w", table, err)
			}
		}
	}
	return nil
}

// Purge erases what brings something back. Of a host nothing is left that lets its
// agent in; the secrets of a repository are the caller's. Names stay for the jobs and
// snapshots that refer to them, and so does whether rules go on for a group.
func Purge(ctx context.Context, tx sqlx.ExtContext, r Removed) error {
	if err := exec(ctx, tx, []any{r.Kind, r.ID}, `UPDATE removed SET body = '' WHERE kind = $1 AND id = $2`); err != nil {
		return err
	}
	if r.Kind != Host {
		return nil
	}
	return exec(ctx, tx, []any{r.ID}, `UPDATE hosts SET serial = '', next_serial = '', permits = '', config_digest = '' WHERE id = $1`)
}

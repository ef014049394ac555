// Package triggers holds what the database does by itself in the transaction of a
// change: it notes which hosts lists have to read anew, and keeps counts. No query and
// no other process can forget to.
package triggers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
)

// A Trigger is a trigger of the database, by name. The syntax is SQLite's.
type Trigger struct{ Name, When, Do string }

// Put creates triggers, and replaces those whose text has changed.
func Put(ctx context.Context, db *sqlx.DB, list []Trigger) error {
	for _, t := range list {
		if err := put(ctx, db, t); err != nil {
			return fmt.Errorf("trigger %s: %w", t.Name, err)
		}
	}
	return nil
}

func put(ctx context.Context, db *sqlx.DB, t Trigger) (err error) {
	want, is := `CREATE TRIGGER `+t.Name+` `+t.When+` BEGIN `+t.Do+` END`, ""
	err = sqlx.GetContext(ctx, db, &is, `SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = $1`, t.Name)
	if err == nil && is == want || err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	for _, statement := range []string{`DROP TRIGGER IF EXISTS ` + t.Name, want} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// differs says in SQL that one of some columns is another than before.
func differs(columns []string) string {
	var terms []string
	for _, c := range columns {
		terms = append(terms, "OLD."+c+" IS NOT NEW."+c)
	}
	return strings.Join(terms, " OR ")
}

// ofSchedule is the host of a member's schedule.
func ofSchedule(row string) string {
	return `(SELECT host FROM schedules WHERE id = ` + row + `.schedule)`
}

// HostChanges note in host_changes which hosts changed, as far as the board of the
// fleet shows it: in these columns of hosts and of jobs.
func HostChanges(hostColumns, jobColumns []string) []Trigger {
	note := func(host string) string {
		return `INSERT INTO host_changes (host, n) SELECT ` + host + `, (SELECT coalesce(max(n), 0) + 1 FROM host_changes) WHERE ` +
			host + ` <> ''
			ON CONFLICT (host) DO UPDATE SET n = excluded.n; `
	}
	groupColumns := []string{"host", "name", "repository", "created_at", "allow_empty"}
	scheduleColumns := []string{"host", "name", "cron", "zone", "jitter_seconds", "enabled", "since", "paused_at", "paused_from",
		"owed"}
	return []Trigger{
		{"host_changes_host_added", `AFTER INSERT ON hosts`, note(`NEW.id`)},
		{"host_changes_host", `AFTER UPDATE OF ` + strings.Join(hostColumns, ", ") + ` ON hosts WHEN ` + differs(hostColumns), note(`NEW.id`)},
		{"host_changes_host_gone", `AFTER DELETE ON hosts`, note(`OLD.id`)},
		{"host_changes_job_added", `AFTER INSERT ON jobs`, note(`NEW.host`)},
		{"host_changes_job", `AFTER UPDATE OF ` + strings.Join(jobColumns, ", ") + ` ON jobs WHEN ` + differs(jobColumns), note(`NEW.host`)},
		{"host_changes_job_gone", `AFTER DELETE ON jobs`, note(`OLD.host`)},
		{"host_changes_group_added", `AFTER INSERT ON source_groups`, note(`NEW.host`)},
		{"host_changes_group_gone", `AFTER DELETE ON source_groups`, note(`OLD.host`)},
		{"host_changes_group", `AFTER UPDATE OF ` + strings.Join(groupColumns, ", ") + ` ON source_groups WHEN ` + differs(groupColumns),
			note(`OLD.host`) + note(`NEW.host`)},
		{"host_changes_facts_added", `AFTER INSERT ON group_facts`, note(`NEW.host`)},
		{"host_changes_facts", `AFTER UPDATE ON group_facts`, note(`OLD.host`) + note(`NEW.host`)},
		{"host_changes_facts_gone", `AFTER DELETE ON group_facts`, note(`OLD.host`)},
		{"host_changes_schedule_added", `AFTER INSERT ON schedules`, note(`NEW.host`)},
		{"host_changes_schedule", `AFTER UPDATE OF ` + strings.Join(scheduleColumns, ", ") + ` ON schedules WHEN ` + differs(scheduleColumns),
			note(`OLD.host`) + note(`NEW.host`)},
		{"host_changes_schedule_gone", `AFTER DELETE ON schedules`, note(`OLD.host`)},
		{"host_changes_member_added", `AFTER INSERT ON schedule_groups`, note(ofSchedule("NEW"))},
		{"host_changes_member_gone", `AFTER DELETE ON schedule_groups`, note(ofSchedule("OLD"))},
		{"host_changes_replaced_added", `AFTER INSERT ON replaced_groups`, note(`NEW.host`)},
		{"host_changes_replaced", `AFTER UPDATE OF held ON replaced_groups`, note(`NEW.host`)},
		{"host_changes_drill_added", `AFTER INSERT ON drill_verdicts`, note(`NEW.host`)},
		{"host_changes_drill", `AFTER UPDATE ON drill_verdicts`, note(`NEW.host`)},
		{"host_changes_drill_gone", `AFTER DELETE ON drill_verdicts`, note(`OLD.host`)},
		{"host_changes_keeper_added", `AFTER INSERT ON repositories`, note(`NEW.keeper`)},
		{"host_changes_keeper", `AFTER UPDATE OF keeper, removed_at ON repositories WHEN ` + differs([]string{"keeper", "removed_at"}),
			note(`OLD.keeper`) + note(`NEW.keeper`)},
		{"host_changes_keeper_gone", `AFTER DELETE ON repositories`, note(`OLD.keeper`)},
	}
}

// GroupFacts note in group_facts_due of which source groups the facts are out of date:
// what is there changed in one of these columns of source groups, or in their snapshots
// or backups.
func GroupFacts(groupColumns []string) []Trigger {
	due := func(group string) string {
		return `INSERT INTO group_facts_due (source_group) SELECT ` + group + ` WHERE ` + group + ` <> ''
			ON CONFLICT (source_group) DO NOTHING; `
	}
	of := func(table string, columns ...string) string {
		return `AFTER UPDATE OF ` + strings.Join(columns, ", ") + ` ON ` + table + ` WHEN (` + differs(columns) + `)`
	}
	return []Trigger{
		{"group_facts_group_added", `AFTER INSERT ON source_groups`, due(`NEW.id`)},
		{"group_facts_group", of("source_groups", groupColumns...), due(`NEW.id`)},
		{"group_facts_group_gone", `AFTER DELETE ON source_groups`, due(`OLD.id`)},
		{"group_facts_snapshot_added", `AFTER INSERT ON snapshots WHEN NEW.source_group <> ''`, due(`NEW.source_group`)},
		{"group_facts_snapshot", of("snapshots", "repository", "source_group", "job", "begun_at", "ended_at", "state", "files", "bytes",
			"gone_at", "named_by", "acknowledged_at", "replaced_by"), due(`OLD.source_group`) + due(`NEW.source_group`)},
		{"group_facts_snapshot_gone", `AFTER DELETE ON snapshots WHEN OLD.source_group <> ''`, due(`OLD.source_group`)},
		{"group_facts_job_added", `AFTER INSERT ON jobs WHEN NEW.source_group <> '' AND NEW.finished_at > 0`, due(`NEW.source_group`)},
		{"group_facts_job", of("jobs", "state", "cause", "finished_at") + ` AND NEW.source_group <> '' AND NEW.finished_at > 0`,
			due(`NEW.source_group`)},
	}
}

// ScheduleChanges note in schedule_changes of which hosts schedules or source groups
// changed.
func ScheduleChanges() []Trigger {
	note := func(host string) string {
		return `INSERT INTO schedule_changes (host, n) SELECT ` + host + `, (SELECT coalesce(max(n), 0) + 1 FROM schedule_changes) WHERE ` +
			host + ` IS NOT NULL
			ON CONFLICT (host) DO UPDATE SET n = excluded.n; `
	}
	return []Trigger{
		{"schedule_changes_host_added", `AFTER INSERT ON hosts`, note(`NEW.id`)},
		{"schedule_changes_host", `AFTER UPDATE OF name, pauses ON hosts
			WHEN OLD.name <> NEW.name OR OLD.pauses <> NEW.pauses`, note(`NEW.id`)},
		{"schedule_changes_host_gone", `AFTER DELETE ON hosts`, note(`OLD.id`)},
		{"schedule_changes_added", `AFTER INSERT ON schedules`, note(`NEW.host`)},
		{"schedule_changes_changed", `AFTER UPDATE ON schedules`, note(`OLD.host`) + note(`NEW.host`)},
		{"schedule_changes_gone", `AFTER DELETE ON schedules`, note(`OLD.host`)},
		{"schedule_changes_member_added", `AFTER INSERT ON schedule_groups`, note(ofSchedule("NEW"))},
		{"schedule_changes_member_gone", `AFTER DELETE ON schedule_groups`, note(ofSchedule("OLD"))},
		{"schedule_changes_group_added", `AFTER INSERT ON source_groups`, note(`NEW.host`)},
		{"schedule_changes_group", `AFTER UPDATE OF name, host, repository ON source_groups
			WHEN OLD.name <> NEW.name OR OLD.host <> NEW.host OR OLD.repository <> NEW.repository`, note(`OLD.host`) + note(`NEW.host`)},
		{"schedule_changes_group_gone", `AFTER DELETE ON source_groups`, note(`OLD.host`)},
	}
}

// FormerPlans note what schedules were before they were changed or removed: hosts that
// were away still begin slots by it.
func FormerPlans() []Trigger {
	const note = `INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at)
		VALUES (OLD.id, OLD.host, OLD.cron, OLD.zone, OLD.created_at, CAST(unixepoch('subsec') * 1000 AS INTEGER))
		ON CONFLICT (schedule, cron, zone) DO UPDATE SET until_at = excluded.until_at; `
	return []Trigger{
		{"former_plans_changed", `AFTER UPDATE OF cron, zone ON schedules WHEN ` + differs([]string{"cron", "zone"}), note},
		{"former_plans_gone", `AFTER DELETE ON schedules`, note},
	}
}

// Tallies keep the counts that pages show: counting a year of jobs of ten thousand
// hosts takes half a second each time.
func Tallies() []Trigger {
	jobs := func(row, hour, by string) string {
		return fmt.Sprintf(`INSERT INTO job_tallies (hour, state, kind, jobs) SELECT %s, %s.state, %s.kind, %s WHERE %s.finished_at > 0
			ON CONFLICT (hour, state, kind) DO UPDATE SET jobs = jobs + excluded.jobs; `, hour, row, row, by, row)
	}
	ended := func(row, by string) string { return jobs(row, row+`.finished_at / 3600000`, by) + jobs(row, `-1`, by) }
	held := func(row, by string) string {
		return fmt.Sprintf(`INSERT INTO snapshot_tallies (repository, snapshots, foreign_n) SELECT %s.repository, %s,
			%s * (%s.job = '') WHERE %s.gone_at = 0
			ON CONFLICT (repository) DO UPDATE SET snapshots = snapshots + excluded.snapshots,
				foreign_n = foreign_n + excluded.foreign_n; `, row, by, by, row, row)
	}
	exists := func(row, by string) string { // as facts counts them
		return fmt.Sprintf(`INSERT INTO group_tallies (source_group, repository, snapshots) SELECT %s.source_group, %s.repository, %s
			WHERE %s.gone_at = 0 AND %s.replaced_by = '' AND %s.job <> '' AND %s.source_group <> ''
			ON CONFLICT (source_group, repository) DO UPDATE SET snapshots = snapshots + excluded.snapshots; `, row, row, by, row, row, row, row)
	}
	logs := func(row, by string) string {
		return fmt.Sprintf(`UPDATE log_tally SET bytes = bytes + %s * %s.log_bytes, jobs = jobs + %s * (%s.log_bytes > 0)
			WHERE %s.log_bytes <> 0; `, by, row, by, row, row)
	}
	// The first ending counts; that one is told again, or otherwise, is no other job.
	over := `INSERT INTO ended_counts (kind, state, jobs, millis) VALUES (NEW.kind, NEW.state, 1,
		CASE WHEN NEW.started_at > 0 THEN max(NEW.finished_at - NEW.started_at, 0) ELSE 0 END)
		ON CONFLICT (kind, state) DO UPDATE SET jobs = jobs + 1, millis = millis + excluded.millis; `
	return []Trigger{
		{"ended_counts_added", `AFTER INSERT ON jobs WHEN NEW.finished_at > 0`, over},
		{"ended_counts", `AFTER UPDATE OF finished_at ON jobs WHEN OLD.finished_at = 0 AND NEW.finished_at > 0`, over},
		{"job_tallies_added", `AFTER INSERT ON jobs`, ended("NEW", "1") + logs("NEW", "1")},
		{"job_tallies_gone", `AFTER DELETE ON jobs`, ended("OLD", "-1") + logs("OLD", "-1")},
		{"job_tallies_changed", `AFTER UPDATE OF finished_at, state, kind ON jobs WHEN (OLD.finished_at > 0 OR NEW.finished_at > 0)
			AND (OLD.finished_at <> NEW.finished_at OR OLD.state <> NEW.state OR OLD.kind <> NEW.kind)`, ended("OLD",
			"-1") + ended("NEW", "1")},
		{"log_tally_changed", `AFTER UPDATE OF log_bytes ON jobs WHEN OLD.log_bytes <> NEW.log_bytes`, logs("OLD", "-1") + logs("NEW",
			"1")},
		{"snapshot_tallies_added", `AFTER INSERT ON snapshots`, held("NEW", "1")},
		{"snapshot_tallies_gone", `AFTER DELETE ON snapshots`, held("OLD", "-1")},
		{"snapshot_tallies_changed", `AFTER UPDATE OF repository, job, gone_at ON snapshots WHEN OLD.repository <> NEW.repository
			OR (OLD.job = '') <> (NEW.job = '') OR (OLD.gone_at = 0) <> (NEW.gone_at = 0)`, held("OLD", "-1") + held("NEW", "1")},
		{"group_tallies_added", `AFTER INSERT ON snapshots`, exists("NEW", "1")},
		{"group_tallies_gone", `AFTER DELETE ON snapshots`, exists("OLD", "-1")},
		{"group_tallies_changed", `AFTER UPDATE OF repository, source_group, job, gone_at, replaced_by ON snapshots
			WHEN OLD.repository <> NEW.repository OR OLD.source_group <> NEW.source_group OR (OLD.job = '') <> (NEW.job = '')
			OR (OLD.gone_at = 0) <> (NEW.gone_at = 0) OR (OLD.replaced_by = '') <> (NEW.replaced_by = '')`,
			exists("OLD", "-1") + exists("NEW", "1")},
	}
}

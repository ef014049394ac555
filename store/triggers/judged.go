package triggers

import "strings"

// Judged note in judged_changes of which repositories and source groups, and of whose jobs'
// ends, something changed that alerts are judged by: what store.JudgedSince reads.
func Judged() []Trigger {
	note := func(kind, subjects string) string {
		return `INSERT INTO judged_changes (kind, subject, n) SELECT '` + kind + `', subject, (SELECT coalesce(max(n), 0) + 1 FROM judged_changes)
			FROM (` + subjects + `) WHERE subject IS NOT NULL ON CONFLICT (kind, subject) DO UPDATE SET n = excluded.n; `
	}
	one := func(kind, subject string) string { return note(kind, `SELECT `+subject+` AS subject`) }
	repository := func(id string) string { return one("repository", id) }
	all := repository(`''`)
	group := func(id string) string { return one("group", id) }
	members := func(schedule string) string {
		return note("group", `SELECT source_group AS subject FROM schedule_groups WHERE schedule = `+schedule)
	}
	of := func(table string, columns ...string) string {
		return `AFTER UPDATE OF ` + strings.Join(columns, ", ") + ` ON ` + table + ` WHEN (` + differs(columns) + `)`
	}
	planned := func(schedule string) string { // the repositories that a schedule backs up into
		return note("repository", `SELECT DISTINCT g.repository AS subject FROM schedule_groups m JOIN source_groups g ON g.id = m.source_group
			WHERE m.schedule = `+schedule)
	}
	into := func(group string) string {
		return note("repository", `SELECT repository AS subject FROM source_groups WHERE id = `+group)
	}
	// A lock that a job of ours holds is no trouble while the job is at work.
	held := func(job string) string {
		return note("repository", `SELECT `+job+`.repository AS subject WHERE EXISTS
			(SELECT 1 FROM repository_locks WHERE repository = `+job+`.repository)`)
	}
	at := func(host string) string {
		return note("ending", `SELECT DISTINCT subject FROM endings WHERE place = `+host)
	}
	list := []Trigger{
		{"judged_host_added", `AFTER INSERT ON hosts`, all + at(`NEW.id`)},
		{"judged_host", of("hosts", "name", "hostname", "revoked_at", "removed_at", "retired_at"), all + at(`NEW.id`)},
		{"judged_host_gone", `AFTER DELETE ON hosts`, all + at(`OLD.id`)},
		{"judged_key_added", `AFTER INSERT ON data_keys`, all},
		{"judged_key", `AFTER UPDATE ON data_keys`, all},
		{"judged_key_gone", `AFTER DELETE ON data_keys`, all},
		{"judged_repository_added", `AFTER INSERT ON repositories`, repository(`NEW.id`)},
		{"judged_repository", of("repositories", "name", "location", "keeper", "created_at", "ready_at", "checked_at", "locks_at", "removed_at",
			"url", "password", "env", "maintenance", "files", "stored_bytes", "measured_at", "pruned_at", "check_errors"), repository(`NEW.id`)},
		{"judged_repository_gone", `AFTER DELETE ON repositories`, repository(`OLD.id`)},
		{"judged_duty_added", `AFTER INSERT ON maintenance_duties`, repository(`NEW.repository`)},
		{"judged_duty", of("maintenance_duties", "kind", "paused", "weekday"), repository(`NEW.repository`)},
		{"judged_duty_gone", `AFTER DELETE ON maintenance_duties`, repository(`OLD.repository`)},
		{"judged_snapshot_added", `AFTER INSERT ON snapshots WHEN NEW.job = '' OR NEW.gone_at > 0`, repository(`NEW.repository`)},
		{"judged_snapshot", of("snapshots", "repository", "job", "known_at", "gone_at", "named_by", "replaced_by", "acknowledged_at"),
			repository(`OLD.repository`) + repository(`NEW.repository`)},
		{"judged_snapshot_gone", `AFTER DELETE ON snapshots WHEN OLD.job = '' OR OLD.gone_at > 0`, repository(`OLD.repository`)},
		{"judged_job_added", `AFTER INSERT ON jobs`, held("NEW")},
		{"judged_job", of("jobs", "state", "finished_at", "repository", "host", "kind"), held("OLD") + held("NEW")},
		{"judged_job_gone", `AFTER DELETE ON jobs`, held("OLD")},
		{"judged_schedule_added", `AFTER INSERT ON schedules`, planned(`NEW.id`) + members(`NEW.id`)},
		{"judged_schedule", of("schedules", "cron", "zone", "enabled"), planned(`NEW.id`)},
		{"judged_schedule_gone", `BEFORE DELETE ON schedules`, planned(`OLD.id`) + members(`OLD.id`)},
		{"judged_member_added", `AFTER INSERT ON schedule_groups`, into(`NEW.source_group`) + group(`NEW.source_group`)},
		{"judged_member", of("schedule_groups", "schedule", "source_group", "settled"), into(`OLD.source_group`) + into(`NEW.source_group`) +
			group(`OLD.source_group`) + group(`NEW.source_group`)},
		{"judged_member_gone", `AFTER DELETE ON schedule_groups`, into(`OLD.source_group`) + group(`OLD.source_group`)},
		{"judged_pending_added", `AFTER INSERT ON pending_runs`, members(`NEW.schedule`)},
		{"judged_pending", of("pending_runs", "schedule", "slot"), members(`OLD.schedule`) + members(`NEW.schedule`)},
		{"judged_pending_gone", `AFTER DELETE ON pending_runs`, members(`OLD.schedule`)},
		{"judged_group_added", `AFTER INSERT ON source_groups`, group(`NEW.id`) + repository(`NEW.repository`)},
		{"judged_group", of("source_groups", "host", "name", "repository", "created_at", "allow_empty"), group(`NEW.id`) +
			repository(`OLD.repository`) + repository(`NEW.repository`)},
		{"judged_group_gone", `AFTER DELETE ON source_groups`, group(`OLD.id`) + repository(`OLD.repository`)},
		{"judged_facts_added", `AFTER INSERT ON group_facts`, group(`NEW.source_group`)},
		{"judged_facts", of("group_facts", "source_group", "measure_since", "failed_since"), group(`OLD.source_group`) +
			group(`NEW.source_group`)},
		{"judged_facts_gone", `AFTER DELETE ON group_facts`, group(`OLD.source_group`)},
		{"judged_ending_added", `AFTER INSERT ON endings`, one("ending", `NEW.subject`)},
		{"judged_ending", `AFTER UPDATE ON endings`, one("ending", `OLD.subject`) + one("ending", `NEW.subject`)},
		{"judged_ending_gone", `AFTER DELETE ON endings`, one("ending", `OLD.subject`)},
	}
	for _, table := range []string{"repository_keys", "repository_looks", "repository_damage", "repository_locks", "repository_days",
		"places"} {
		list = append(list,
			Trigger{"judged_" + table + "_added", `AFTER INSERT ON ` + table, repository(`NEW.repository`)},
			Trigger{"judged_" + table, `AFTER UPDATE ON ` + table, repository(`OLD.repository`) + repository(`NEW.repository`)},
			Trigger{"judged_" + table + "_gone", `AFTER DELETE ON ` + table, repository(`OLD.repository`)})
	}
	return list
}

package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A step is one statement of filling.
type step struct {
	what, sql string
	args      []any
}

// chance is a number below 1000 that looks like chance and is the same each time:
// of one group, on one day.
const chance = `((((u.n * 367 + d.d) * 2654435761) >> 11) % 1000)`

// history are the statements that write what happened on each day.
func (f *filler) history() []step {
	days := step{"days", `CREATE TEMP TABLE day AS WITH RECURSIVE d(d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM d WHERE d + 1 < ?1)
		SELECT d, ?2 + d * 86400000 AS begins FROM d`, []any{f.size.Days, f.began.UnixMilli()}}
	// The last day's runs lie before now, like all others.
	runs := step{"runs", `CREATE TEMP TABLE run AS SELECT u.n, d.d, d.begins + u.minute * 60000 + u.n % 60000 AS at,
		20 + ` + chance + ` AS took,
			CASE WHEN d.d >= u.fails_from OR ` + chance + ` < 8 THEN 'failed' WHEN u.warns OR ` + chance + ` < 18 THEN 'warnings'
				WHEN ` + chance + ` < 20 THEN 'cancelled' ELSE 'succeeded' END AS state,
			` + chance + ` AS r, (((u.n * 367 + d.d) * 2654435761) & 4294967295) AS noise
		FROM day d CROSS JOIN unit u WHERE d.d <= u.last_day AND d.d % u.every = u.n % u.every AND (u.asleep = 0
			OR ` + chance + ` % 10 >= u.asleep)`, nil}
	// How many of the newest jobs still have their logs, and which of those with
	// lines: two days are enough to read in.
	keep := f.size.LogBytes / logBytes
	kept := `(SELECT coalesce((SELECT at FROM run ORDER BY at DESC LIMIT 1 OFFSET ?2), 0))`
	jobs := step{"backups", `INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, started_at,
		finished_at, not_after, accepted,
			attempts, restic_version, cause, message, exit_code, snapshot_id, summary, schedule, slot, fired, heard_at, lines,
				log_bytes, log_dropped_at)
		SELECT ` + idSQL("x.at") + ` || printf('j%07x%08x', u.n, x.d), u.host, 'backup', u.source_group, u.repository, x.state,
			CASE WHEN x.r BETWEEN 500 AND 520 THEN '` + User + `' ELSE 'schedule:' || u.schedule_name END,
			x.at, x.at, x.at + x.took * 1000, x.at + 86400000, 1,
			1, '0.17.3', CASE x.state WHEN 'failed' THEN 'unreachable' ELSE '' END,
			CASE x.state WHEN 'failed' THEN 'Fatal: unable to open repository: dial tcp 127.0.0.1:9: connection refused' ELSE '' END,
			CASE x.state WHEN 'failed' THEN 1 WHEN 'warnings' THEN 3 WHEN 'cancelled' THEN 130 ELSE 0 END,
			CASE WHEN x.state IN ('succeeded', 'warnings') 
				THEN printf('%08x%08x%024x%024x', x.noise, u.n * 8191 + x.d, u.n, x.d) ELSE '' END,
			CASE WHEN x.state IN ('succeeded', 'warnings') 
				THEN printf('{"files_new":%d,"files_changed":200,"files_unmodified":100000,"data_added":%d,"total_files":100300' ||
					',"total_bytes":%d,"seconds":%d}',
				x.r, x.noise >> 8, (x.noise << 5) + 1073741824, x.took) ELSE '' END,
			CASE WHEN x.r BETWEEN 500 AND 520 THEN '' ELSE u.schedule END, CASE WHEN x.r BETWEEN 500 AND 520 THEN 0 ELSE x.at END, 1, x.at,
			?1, CASE WHEN x.at >= k.at THEN ?3 ELSE 0 END, CASE WHEN x.at >= k.at THEN 0 ELSE x.at + 30 * 86400000 END
		FROM (SELECT ` + kept + ` AS at) k JOIN run x JOIN unit u ON u.n = x.n ORDER BY x.at, x.n`, []any{logLines, keep, logBytes}}
	snapshots := step{"snapshots", `INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes,
		source_group, username, tree, seen_at, gone_at, named_by, requested_by, queued_at, begun_at, ended_at, noted_at, state, schedule,
			slot)
		SELECT j.repository, j.snapshot_id, j.host, j.id, j.queued_at, u.hostname, '["/etc","/home","/var/lib"]', '["plan=' ||
			j.source_group || '"]', 100300,
			json_extract(j.summary, '$.total_bytes'), j.source_group, 'root', j.snapshot_id, ?1,
			CASE WHEN j.queued_at < ?1 - 31 * 86400000 AND strftime('%d', j.queued_at / 1000, 'unixepoch') <> '01'
				THEN j.queued_at + 31 * 86400000 ELSE 0 END,
			CASE WHEN j.queued_at < ?1 - 31 * 86400000 AND strftime('%d', j.queued_at / 1000, 'unixepoch') <> '01'
				THEN 'retention' ELSE '' END,
			j.requested_by, j.queued_at, j.started_at, j.finished_at, j.finished_at, j.state, j.schedule, j.slot
		FROM jobs j JOIN unit u ON u.source_group = j.source_group WHERE j.kind = 'backup' AND j.snapshot_id <> ''`, []any{f.now}}
	foreign := step{"foreign snapshots", `INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes,
		username, tree, seen_at)
		SELECT id, printf('%08x%056x', rowid * 2654435761 & 4294967295, rowid), '', '', ?1, 'somebody', '["/mnt"]', '["by-hand"]', 10,
			1000, 'root', '', ?1
		FROM repositories WHERE rowid % 7 = 3`, []any{f.now - 40*86400000}}
	lines := step{"log lines", `INSERT INTO job_lines (job, n, at, level, text)
		SELECT j.id, l.value, j.queued_at + l.value * 1000, CASE l.value WHEN 9 THEN 'warn' ELSE 'info' END, 'line ' || l.value ||
			' of what restic said about ' || j.id
		FROM jobs j JOIN (SELECT value FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12]')) l WHERE j.queued_at >= ?1
			AND j.log_dropped_at = 0`, []any{f.now - 2*86400000}}
	grown := step{"days of repositories", `INSERT INTO repository_days (repository, day, snapshots, restore_bytes, stored_bytes,
		plain_bytes)
		SELECT r.id, d.begins / 86400000, 41 * ?1, (d.d + 1) << 30, (d.d + 1) << 28, (d.d + 1) << 29 FROM repositories r JOIN day d`,
		[]any{f.size.PerRepository}}
	// Every day is measured and listed, every week forgotten, pruned and checked.
	care := step{"maintenance jobs", `INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at,
		started_at, finished_at, not_after, accepted,
			attempts, restic_version, exit_code, lines)
		SELECT ` + idSQL("d.begins + 20000000 + r.rowid % 1000000 + k.key") + ` || printf('m%07x%07x%d', r.rowid, d.d, k.key),
			r.keeper, k.value, '', r.id, 'succeeded', 'plane',
			d.begins + 20000000, d.begins + 20001000, d.begins + 20050000, d.begins + 86400000, 1, 1, '0.17.3', 0, 0
		FROM day d JOIN repositories r JOIN json_each('["stats","snapshots","forget","prune","check"]') k WHERE k.key < 2
			OR d.d % 7 = 2`, nil}
	runsOf := step{"maintenance runs", `INSERT INTO maintenance_runs (id, repository, kind, host, requested_by, slot, created_at,
		ended_at, job, removed, outcome)
		SELECT id, repository, kind, host, 'plane', queued_at, queued_at, finished_at, id, 10, 'succeeded' FROM jobs
			WHERE kind IN ('forget', 'prune', 'check')`, nil}
	open := step{"open jobs", `INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, started_at,
		not_after, accepted, attempts)
		SELECT ` + idSQL("?1 - 60000 + u.n % 1000") + ` || printf('o%015x', u.n), u.host, 'backup', u.source_group, u.repository,
			CASE WHEN u.n % 200 = 5 THEN 'running' ELSE 'queued' END,
				'` + User + `', ?1 - 60000, CASE WHEN u.n % 200 = 5 THEN ?1 - 59000 ELSE 0 END, ?1 + 86400000, u.n % 200 = 5, 1
		FROM unit u WHERE u.n % 200 IN (5, 6)`, []any{f.now}}
	return []step{days, runs, jobs, snapshots, foreign, lines, grown, care, runsOf, open}
}

// standings are the statements that write into the rows of hosts and repositories
// what their last jobs were. They need the indexes.
func (f *filler) standings() []step {
	last := `(SELECT id FROM jobs WHERE host = hosts.id AND requested_by <> 'plane' AND finished_at > 0 ORDER BY finished_at DESC,
		id DESC LIMIT 1)`
	return []step{
		{"last jobs", `UPDATE hosts SET last_job = coalesce(` + last + `, '')`, nil},
		{"how they ended", `UPDATE hosts SET last_state = coalesce((SELECT state FROM jobs WHERE id = last_job), ''),
			last_ended_at = coalesce((SELECT finished_at FROM jobs WHERE id = last_job), 0)`, nil},
		{"checks", `UPDATE repositories SET check_job = coalesce((SELECT id FROM jobs WHERE repository = repositories.id
			AND kind = 'check' AND state = 'succeeded'
			ORDER BY finished_at DESC LIMIT 1), '')`, nil},
		{"considered", `UPDATE configs_considered SET n = (SELECT max(n) FROM audit)`, nil},
	}
}

// audit adds a year of entries behind those that are there. Each hash covers the
// one before, so they are made here.
func (f *filler) audit(ctx context.Context) error {
	var n int64
	var hash []byte
	if err := f.db.QueryRowContext(ctx, `SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1`).Scan(&n, &hash); err != nil {
		return err
	}
	rows, err := f.db.QueryContext(ctx, `SELECT created_at, 'host.enrolled', id, name FROM hosts
		UNION ALL SELECT created_at, 'source_group.saved', id, name FROM source_groups UNION ALL SELECT created_at, 'schedule.saved',
			id, name FROM schedules
		UNION ALL SELECT queued_at, 'job.queued', id, 'backup on ' || host FROM jobs WHERE requested_by = '`+User+`'
		UNION ALL SELECT begins + value * 3600000, 'session.began', '`+User+`', '`+User+`' FROM day
			JOIN json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]') ORDER BY 1`)
	if err != nil {
		return err
	}
	type entry struct {
		at                     int64
		action, target, detail string
	}
	var entries []entry
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.at, &e.action, &e.target, &e.detail); err != nil {
			return err
		}
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	const batch = 100
	for len(entries) > 0 {
		some := entries[:min(batch, len(entries))]
		entries = entries[len(some):]
		args := make([]any, 0, 7*batch)
		for _, e := range some {
			n++
			b, err := json.Marshal([]any{n, e.at, User, e.action, e.target, e.detail})
			if err != nil {
				return err
			}
			sum := sha256.Sum256(append(hash[:len(hash):len(hash)], b...))
			hash = sum[:]
			args = append(args, n, e.at, User, e.action, e.target, e.detail, hash)
		}
		values := strings.TrimSuffix(strings.Repeat(`(?, ?, ?, ?, ?, ?, ?), `, len(some)), ", ")
		if _, err := tx.ExecContext(ctx, `INSERT INTO audit (n, at, actor, action, target, detail, hash) VALUES `+values,
			args...); err != nil {
			return fmt.Errorf("audit entries up to %s: %w", time.UnixMilli(some[len(some)-1].at).UTC(), err)
		}
	}
	return tx.Commit()
}

// Package fleet makes databases of large installations: so many hosts with so
// many days of jobs, snapshots and maintenance behind them. Benchmarks and the
// tests of query plans are run on them.
//
// Hosts, groups and schedules are written row by row; jobs and snapshots, of which
// there are millions, by a few statements inside SQLite.
package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A Size says how much there is. What is 0 has the value of [DefaultSize].
type Size struct {
	Hosts         int
	Days          int       // of history
	PerRepository int       // hosts that share a repository
	LogBytes      int64     // of all logs that are kept; older ones are dropped
	Now           time.Time // the last moment of the history
}

// DefaultSize is a thousand hosts and a year.
func DefaultSize() Size {
	return Size{Hosts: 1000, Days: 365, PerRepository: 10, LogBytes: 900 << 20}
}

// What a hand-made job's log weighs, and how many lines it has.
const (
	logBytes = 800
	logLines = 12
)

// Who may sign in to a generated installation.
const (
	User     = "fleet"
	Password = "ten thousand hosts"
)

// Make writes a database of this size into dir, which must not have one. The same
// size makes the same fleet, but for its keys.
func Make(ctx context.Context, dir string, size Size) error {
	def := DefaultSize()
	size.Hosts, size.Days, size.PerRepository = or(size.Hosts, def.Hosts), or(size.Days, def.Days), or(size.PerRepository,
		def.PerRepository)
	size.LogBytes = or(size.LogBytes, def.LogBytes)
	if size.Now.IsZero() {
		size.Now = time.Now()
	}
	f := &filler{size: size, now: size.Now.UnixMilli(), began: size.Now.AddDate(0, 0, -size.Days)}
	repositories, err := f.secrets(ctx, dir)
	if err != nil {
		return err
	}
	// Nothing reads the database while it is filled, and one that was filled only
	// in part is thrown away: it needs neither a journal nor to be synchronised.
	f.db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "restic-manager.db")+
		"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-600000)&_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		return err
	}
	f.db.SetMaxOpenConns(1)
	if err := f.fill(ctx, repositories); err != nil {
		_ = f.db.Close()
		return err
	}
	if err := f.db.Close(); err != nil {
		return err
	}
	return recount(ctx, dir)
}

// recount has the store count what was written past its triggers.
func recount(ctx context.Context, dir string) (err error) {
	s, err := store.Open(ctx, dir, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Recount(ctx)
}

func or[T int | int64](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

type filler struct {
	size  Size
	now   int64 // Unix milliseconds
	began time.Time
	db    *sql.DB
}

// secrets makes the database with what is sealed in it: only the store can.
func (f *filler) secrets(ctx context.Context, dir string) (ids []topics.RepositoryID, err error) {
	s, err := store.Open(ctx, dir, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	hash, err := password.Hash(Password)
	if err != nil {
		return nil, err
	}
	if err := s.AddUser(ctx, "cli", store.User{ID: id(f.began, 0, "user"), Name: User, Role: store.Admin, PasswordHash: hash,
		CreatedAt: f.began.UnixMilli()}); err != nil {
		return nil, err
	}
	for i := range (f.size.Hosts + f.size.PerRepository - 1) / f.size.PerRepository {
		r := store.Repository{ID: topics.RepositoryID(id(f.began, i, "repo")), Name: fmt.Sprintf("vault-%04d", i),
			CreatedAt: f.began.UnixMilli(), AppendOnly: i%3 == 0,
			Location: fmt.Sprintf("rest:http://127.0.0.1:9/vault-%04d", i),
			Keep:     store.JSON[store.Keep]{V: &store.Keep{WithinDaily: "30d", WithinMonthly: "1y"}}}
		access := store.RepositoryAccess{URL: topics.Secret(r.Location), Password: "of a generated repository"}
		if err := s.AddRepository(ctx, User, r, access); err != nil {
			return nil, err
		}
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// id is an ID of the usual form: it sorts by its moment.
func id(at time.Time, n int, what string) string {
	b := make([]byte, 0, 26)
	ms := uint64(at.UnixMilli()) << 2 // 48 bits and two more are ten letters
	for shift := 45; shift >= 0; shift -= 5 {
		b = append(b, "0123456789abcdefghijklmnopqrstuv"[ms>>shift&31])
	}
	return string(b) + fmt.Sprintf("%s%0*d", what, 16-len(what), n)
}

// idSQL is the ten letters of a moment, as id has them.
func idSQL(ms string) string {
	letters := make([]string, 0, 10)
	for shift := 45; shift >= 0; shift -= 5 {
		letters = append(letters, fmt.Sprintf("substr('0123456789abcdefghijklmnopqrstuv', (((%s) << 2 >> %d) & 31) + 1, 1)", ms, shift))
	}
	return strings.Join(letters, " || ")
}

// filled are the tables that get millions of rows. Their indexes are made again
// afterwards, which is several times faster.
const filled = `('jobs', 'snapshots', 'job_lines', 'repository_days', 'maintenance_runs')`

func (f *filler) fill(ctx context.Context, repositories []topics.RepositoryID) error {
	again, err := f.setAside(ctx)
	if err != nil {
		return err
	}
	if err := f.hosts(ctx, repositories); err != nil {
		return fmt.Errorf("hosts: %w", err)
	}
	for _, step := range f.history() {
		if _, err := f.db.ExecContext(ctx, step.sql, step.args...); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	for _, text := range again {
		if _, err := f.db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	for _, step := range f.standings() {
		if _, err := f.db.ExecContext(ctx, step.sql, step.args...); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return f.audit(ctx)
}

// setAside drops the indexes and triggers of the large tables, and answers with
// the statements that make them again.
func (f *filler) setAside(ctx context.Context) (again []string, err error) {
	rows, err := f.db.QueryContext(ctx, `SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger')
		AND sql IS NOT NULL AND tbl_name IN `+filled)
	if err != nil {
		return nil, err
	}
	var drop []string
	for rows.Next() {
		var kind, name, text string
		if err := rows.Scan(&kind, &name, &text); err != nil {
			return nil, err
		}
		drop, again = append(drop, "DROP "+kind+" "+name), append(again, text)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, text := range drop {
		if _, err := f.db.ExecContext(ctx, text); err != nil {
			return nil, err
		}
	}
	return again, nil
}

// hosts writes what there is one of for each host, and in temp.unit one row for
// each source group with how its backups usually go.
func (f *filler) hosts(ctx context.Context, repositories []topics.RepositoryID) error {
	if _, err := f.db.ExecContext(ctx, `CREATE TEMP TABLE unit (n INTEGER PRIMARY KEY, host TEXT, hostname TEXT, source_group TEXT,
		repository TEXT, schedule TEXT,
		schedule_name TEXT, every INTEGER, minute INTEGER, last_day INTEGER, fails_from INTEGER, warns INTEGER,
			asleep INTEGER)`); err != nil {
		return err
	}
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var failed error
	exec := func(query string, args ...any) {
		if failed == nil {
			_, failed = tx.ExecContext(ctx, query, args...)
		}
	}
	began := f.began.UnixMilli()
	units := 0
	unit := func(i int, host, name string, repository topics.RepositoryID, group, schedule, scheduleName string, every int) {
		lastDay, fails, warns, asleep := f.size.Days-1, f.size.Days, 0, 0
		switch {
		case i%100 == 42: // nothing was ever backed up
			lastDay = -1
		case i%25 == 3: // offline since
			lastDay = f.size.Days - 1 - 3 - i%9
		case i%40 == 11 && scheduleName == "nightly":
			fails = f.size.Days - 1 - i%5
		case i%50 == 17:
			warns = 1
		case i%10 == 7: // a laptop
			asleep = 4
		}
		exec(`INSERT INTO unit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, units, host, name, group, string(repository),
			schedule, scheduleName, every, i%300, lastDay, fails, warns, asleep)
		units++
	}
	for i := range f.size.Hosts {
		host, name := id(f.began, i, "host"), fmt.Sprintf("%s-%05d", []string{"web", "db", "mail", "nas", "build"}[i%5], i)
		repository := repositories[i/f.size.PerRepository]
		if i%10 == 7 {
			name = fmt.Sprintf("laptop-%05d", i)
		}
		seen := f.now - int64(i%50)*1000
		if i%25 == 3 {
			seen = f.now - int64(3+i%9)*24*3600*1000
		}
		exec(`INSERT INTO hosts (id, name, created_at, seal_key, serial, certified_until, hostname, os, arch, platform, agent_version,
			restic_version, policy,
				config_revision, config_applied, config_applied_at, intermittent, overdue_days, last_seen, birth_epoch, birth_n,
					death_epoch, death_n, hello_epoch, hello_n)
			VALUES (?, ?, ?, x'00', ?, ?, ?, 'linux', 'amd64', 'Debian GNU/Linux 12 (bookworm)', 'v0.9.0', '0.17.3', 'managed', 1, 1,
				?, ?, ?, ?, 1, 1, 1, 1, 1, 1)`,
			host, name, began, fmt.Sprintf("%x", i+1), f.now+80*24*3600*1000, name, began, i%10 == 7, i%10/7*14, seen)
		group, schedule := id(f.began, i, "group"), id(f.began, i, "sched")
		exec(`INSERT INTO source_groups (id, host, name, repository, paths, excludes, one_file_system, created_at)
			VALUES (?, ?, 'system', ?, '["/etc","/home","/var/lib"]', '["*.tmp"]', 0, ?)`, group, host, string(repository), began)
		exec(`INSERT INTO schedules (id, host, name, cron, zone, jitter_seconds, enabled, retry_max, created_at, since, last_slot)
			VALUES (?, ?, 'nightly', ?, 'Europe/Berlin', 600, ?, 3, ?, ?, ?)`, schedule, host, fmt.Sprintf("%d %d * * *", i%60,
			1+i%5), i%33 != 5, began, f.now, f.now)
		exec(`INSERT INTO schedule_groups (schedule, source_group, settled, fired) VALUES (?, ?, ?, ?)`, schedule, group, f.now, f.now)
		unit(i, host, name, repository, group, schedule, "nightly", 1)
		if i%4 == 1 {
			group, schedule := id(f.began, i, "dbs"), id(f.began, i, "weekly")
			exec(`INSERT INTO source_groups (id, host, name, repository, paths, excludes, one_file_system, created_at)
				VALUES (?, ?, 'databases', ?, '["/var/lib/postgresql"]', '[]', 1, ?)`, group, host, string(repository), began)
			exec(`INSERT INTO schedules (id, host, name, cron, zone, jitter_seconds, enabled, retry_max, created_at, since, last_slot)
				VALUES (?, ?, 'weekly', '0 6 * * 0', 'UTC', 0, 1, 3, ?, ?, ?)`, schedule, host, began, f.now, f.now)
			exec(`INSERT INTO schedule_groups (schedule, source_group, settled, fired) VALUES (?, ?, ?, ?)`, schedule, group, f.now,
				f.now)
			unit(i, host, name, repository, group, schedule, "weekly", 7)
		}
	}
	for i, r := range repositories {
		keeper := id(f.began, i*f.size.PerRepository, "host")
		exec(`UPDATE repositories SET ready_at = ?, keeper = ?, listed_at = ?, measured_at = ?, restore_bytes = ?, stored_bytes = ?,
			plain_bytes = ?, forgot_at = ?,
			pruned_at = ?, checked_at = ?, check_errors = ?, locks_at = ?, keys_at = ? WHERE id = ?`, began, keeper, f.now, f.now,
			int64(i+1)<<40, int64(i+1)<<36,
			int64(i+1)<<37, f.now, f.now, f.now, i%97/96, f.now, f.now, string(r))
		exec(`INSERT INTO places (repository, host, ready_at) VALUES (?, '', ?)`, string(r), began)
		exec(`INSERT INTO repository_keys (repository, id, username, hostname, created, first_seen, trusted) VALUES (?, ?, 'root',
			'web', ?, ?, 1)`,
			string(r), fmt.Sprintf("%064x", i+1), began, began)
		for _, kind := range []topics.JobKind{topics.ForgetJob, topics.PruneJob, topics.CheckJob} {
			exec(`INSERT INTO maintenance_duties (repository, kind, paused, weekday, minute, slices, served) VALUES (?, ?, 0, 6, 300,
				12, ?)`, string(r), string(kind), f.now)
		}
		if i%20 == 1 {
			exec(`INSERT INTO mirrors (repository, target, host, cron, zone, since, served, good_at) VALUES (?, ?, ?, '15 4 * * *', 'UTC', ?, ?, ?)`,
				string(r), string(repositories[i-1]), keeper, f.now, f.now, f.now)
		}
		if i%20 == 4 {
			exec(`INSERT INTO repository_locks (repository, id, time, exclusive, hostname, username, pid, alive, job, looked_by)
				VALUES (?, ?, ?, 0, 'web', 'root', 7, 0, '', ?)`,
				string(r), fmt.Sprintf("%064x", i+1), f.now, keeper)
		}
	}
	if failed != nil {
		return failed
	}
	return tx.Commit()
}

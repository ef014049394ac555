package store

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/joblog"
	"github.com/restic-manager/restic-manager/store/sweep"
	"github.com/restic-manager/restic-manager/topics"
)

// LogLines is the default number of log lines kept per job: the first half, which
// shows what was asked for, and the last half, which shows what went wrong.
const LogLines = 20_000

// A LogEntry is a log line, or a gap.
type LogEntry = joblog.Entry

// A LevelCount is how many lines of a level a log has, and the last of them.
type LevelCount = joblog.LevelCount

// Log reads a job's log after line number after, at most limit entries.
func (s *Store) Log(ctx context.Context, id topics.JobID, after, limit int) ([]LogEntry, error) {
	return all[LogEntry](ctx, s.r, `SELECT n, at, level, text, 0 AS gap_to FROM job_lines WHERE job = $1 AND n > $2
		UNION ALL SELECT n, 0, '', reason, last FROM job_gaps WHERE job = $1 AND last > $2
		ORDER BY n LIMIT $3`, id, after, limit)
}

// LogLevels counts the lines of a job's log by level. Gaps do not count.
func (s *Store) LogLevels(ctx context.Context, id topics.JobID) ([]LevelCount, error) {
	return all[LevelCount](ctx, s.r, `SELECT level, count(*) AS lines, max(n) AS last FROM job_lines WHERE job = $1 GROUP BY level`, id)
}

// Retention limits the logs and reports of ended jobs.
type Retention = sweep.Retention

// SearchAge is how long what a search found is kept after its end.
const SearchAge = sweep.SearchAge

// DefaultRetention keeps logs for a year, and a GiB of them.
func DefaultRetention() Retention { return sweep.DefaultRetention() }

// LogSize returns how many bytes of logs and reports are stored, and for how many
// jobs.
func (s *Store) LogSize(ctx context.Context) (bytes int64, jobs int, err error) {
	type size struct {
		Bytes int64 `db:"bytes"`
		Jobs  int   `db:"jobs"`
	}
	v, err := get[size](ctx, s.r, `SELECT bytes, jobs FROM log_tally`)
	return v.Bytes, v.Jobs, err
}

// SweepLogs removes logs that are too old, and the oldest ones beyond the limit in
// bytes, and returns how many.
func (s *Store) SweepLogs(ctx context.Context, r Retention) (removed int, err error) {
	return s.sweeper().Logs(ctx, r)
}

// SweepRecords removes the records of jobs and maintenance runs that ended longer ago
// than age, and returns how many; see [sweep.Sweeper.Records].
func (s *Store) SweepRecords(ctx context.Context, age time.Duration) (jobs, runs int, err error) {
	return s.sweeper().Records(ctx, age)
}

// sweeper returns what removes old rows in small transactions.
func (s *Store) sweeper() sweep.Sweeper {
	return sweep.Sweeper{R: s.r, Tx: s.tx, Now: s.Now, Audit: func(ctx context.Context, tx *sqlx.Tx, action, detail string) error {
		return s.audit(ctx, tx, Plane, action, "", detail)
	}}
}

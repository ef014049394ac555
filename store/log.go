package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/store/sweep"
	"github.com/restic-manager/restic-manager/topics"
)

// LogLines is the default number of log lines kept per job: the first half, which
// shows what was asked for, and the last half, which shows what went wrong.
const LogLines = 20_000

// trimSlack is by how many lines a log may exceed its limit while the job runs, so
// that not every batch has to trim.
const trimSlack = 1000

// A LogEntry is a log line, or a gap: lines N to GapTo were dropped.
type LogEntry struct {
	N     int          `db:"n"`
	At    int64        `db:"at"`
	Level topics.Level `db:"level"`
	Text  string       `db:"text"` // for a gap, the reason
	GapTo int          `db:"gap_to"`
}

// Last returns the number of the last line that an entry covers.
func (e LogEntry) Last() int { return max(e.N, e.GapTo) }

// Log reads a job's log after line number after, at most limit entries.
func (s *Store) Log(ctx context.Context, id topics.JobID, after, limit int) ([]LogEntry, error) {
	return all[LogEntry](ctx, s.r, `SELECT n, at, level, text, 0 AS gap_to FROM job_lines WHERE job = $1 AND n > $2
		UNION ALL SELECT n, 0, '', reason, last FROM job_gaps WHERE job = $1 AND last > $2
		ORDER BY n LIMIT $3`, id, after, limit)
}

// A LevelCount is how many lines of a level a log has, and the last of them.
type LevelCount struct {
	Level topics.Level `db:"level"`
	Lines int          `db:"lines"`
	Last  int          `db:"last"`
}

// LogLevels counts the lines of a job's log by level. Gaps do not count.
func (s *Store) LogLevels(ctx context.Context, id topics.JobID) ([]LevelCount, error) {
	return all[LevelCount](ctx, s.r, `SELECT level, count(*) AS lines, max(n) AS last FROM job_lines WHERE job = $1 GROUP BY level`, id)
}

// addLines inserts a hundred lines per statement, because one statement each would
// spend most of the time in the driver. The parameters have no numbers: SQLite would
// look up each, a quarter of the work.
func addLines(ctx context.Context, tx prepared.Tx, id topics.JobID, first int, lines []topics.Line) error {
	var bytes int
	for len(lines) > 0 {
		n := min(len(lines), 100)
		args := make([]any, 0, 5*n)
		for i, l := range lines[:n] {
			args = append(args, id, first+i, l.At, l.Level, l.Text)
			bytes += len(l.Text)
		}
		values := strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?), ", n), ", ")
		if _, err := tx.ExecContext(ctx, tx.Tx.Rebind(`INSERT INTO job_lines (job, n, at, level, text) VALUES `+values), args...); err != nil {
			return fmt.Errorf("lines %d to %d of job %s: %w", first, first+n-1, id, err)
		}
		lines, first = lines[n:], first+n
	}
	_, err := tx.ExecContext(ctx, `UPDATE jobs SET log_bytes = log_bytes + $1 WHERE id = $2`, bytes, id)
	return err
}

// trim removes the middle of a log that ends at line last and exceeds its limit, and
// records the gap. It merges adjacent gaps.
func trim(ctx context.Context, tx *sqlx.Tx, id topics.JobID, last, keep int) error {
	from := keep/2 + 1
	to := last - (keep - keep/2)
	if to < from {
		return nil
	}
	gaps, err := all[LogEntry](ctx, tx, `SELECT n, last AS gap_to, 0 AS at, '' AS level, reason AS text FROM job_gaps
		WHERE job = $1 AND last >= $2 AND n <= $3 ORDER BY n`, id, from-1, to+1)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		from, to = min(from, g.N), max(to, g.GapTo)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM job_gaps WHERE job = $1 AND n >= $2 AND n <= $3`, id, from, to); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE jobs SET log_bytes = log_bytes - (SELECT COALESCE(SUM(OCTET_LENGTH(text)), 0)
		FROM job_lines WHERE job = $1 AND n >= $2 AND n <= $3) WHERE id = $1`, id, from, to); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM job_lines WHERE job = $1 AND n >= $2 AND n <= $3`, id, from, to); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO job_gaps (job, n, last, reason) VALUES ($1, $2, $3, $4)`, id, from, to,
		fmt.Sprintf("only the first and last %d lines of a log are kept", keep/2))
	return err
}

// Retention limits the logs and reports of ended jobs.
type Retention = sweep.Retention

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

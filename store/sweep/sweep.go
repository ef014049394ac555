// Package sweep removes rows that are kept no longer, in transactions so small that
// nobody who writes waits for them.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Sweeper removes old rows. An interrupted sweep is continued by the next.
type Sweeper struct {
	R     sqlx.QueryerContext // reads what is to go, beside whoever writes
	Tx    func(context.Context, func(*sqlx.Tx) error) error
	Audit func(ctx context.Context, tx *sqlx.Tx, action, detail string) error
	Now   func() int64
}

func get[T any](ctx context.Context, q sqlx.QueryerContext, query string, args ...any) (v T, err error) {
	return v, sqlx.GetContext(ctx, q, &v, query, args...)
}

func all[T any](ctx context.Context, q sqlx.QueryerContext, query string, args ...any) ([]T, error) {
	rows := []T{}
	return rows, sqlx.SelectContext(ctx, q, &rows, query, args...)
}

// errNone is the error that a statement changed no row.
var errNone = errors.New("there is no such row")

// change runs a statement that has to change something.
func change(ctx context.Context, tx sqlx.ExecerContext, query string, args ...any) error {
	r, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errNone)
	}
	return nil
}

// Retention limits the logs and reports of ended jobs; 0 is no limit. The rows of the
// jobs stay, with their summaries and results.
type Retention struct {
	Age   time.Duration // since the job ended
	Bytes int64         // of text, in total
}

// DefaultRetention keeps logs for a year, and a GiB of them.
func DefaultRetention() Retention { return Retention{Age: 365 * 24 * time.Hour, Bytes: 1 << 30} }

// SearchAge is how long is kept what a search found, with its log, after the search ended.
const SearchAge = 24 * time.Hour

// Limits for one transaction of a sweep, so that no other writer waits for long: how
// many jobs it marks as removed, and how many rows it deletes.
const (
	Marks = 100
	Rows  = 2000
)

// Logs removes logs that are too old, and the oldest ones beyond the limit in
// bytes, and what searches found longer ago than SearchAge, and returns how many. It selects them on a reading connection, marks each
// job, and deletes the rows in small transactions. If it is interrupted, the next
// sweep continues.
func (s Sweeper) Logs(ctx context.Context, r Retention) (removed int, err error) {
	if err := s.shorten(ctx, r); err != nil {
		return 0, fmt.Errorf("shorten logs of jobs that go on: %w", err)
	}
	for {
		if err := s.removeMarked(ctx); err != nil {
			return removed, err
		}
		n, err := s.markSearches(ctx)
		if err == nil && n == 0 {
			n, err = s.MarkLogs(ctx, r)
		}
		removed += n
		if err != nil || n == 0 {
			return removed, err
		}
	}
}

// An oldLog is the log of a job that has ended.
type oldLog struct {
	ID    topics.JobID `db:"id"`
	Ended int64        `db:"finished_at"`
	Bytes int64        `db:"log_bytes"`
}

// OldSearches is the query for searches that ended before a time and still hold what they
// found. It goes by the index of searches, which are few, hence the plus: the one of all ends is longer.
const OldSearches = `SELECT id, finished_at, log_bytes FROM jobs WHERE kind = 'find' AND +finished_at BETWEEN 1 AND $1 - 1
	AND log_dropped_at = 0 AND (lines > 0 OR log_bytes > 0) ORDER BY id LIMIT $2`

// markSearches marks what the next few searches found as removed, if it is too old.
func (s Sweeper) markSearches(ctx context.Context) (marked int, err error) {
	list, err := all[oldLog](ctx, s.R, OldSearches, s.Now()-SearchAge.Milliseconds(), Marks)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return len(list), s.mark(ctx, list, "what %d searches found, the last ended %s")
}

// MarkLogs marks the next few logs that are too old or exceed the limit as removed.
func (s Sweeper) MarkLogs(ctx context.Context, r Retention) (marked int, err error) {
	total, err := get[int64](ctx, s.R, `SELECT bytes FROM log_tally`)
	if err != nil {
		return 0, err
	}
	whose := `1 = 1`
	if r.Bytes > 0 && total > r.Bytes {
		// Nobody's logs push out those of others: whoever has more than a share loses its own first.
		type host struct {
			ID    topics.HostID `db:"host"`
			Bytes int64         `db:"bytes"`
		}
		heaviest, err := all[host](ctx, s.R, `SELECT host, sum(log_bytes) AS bytes FROM jobs
			WHERE finished_at > 0 AND log_dropped_at = 0 AND (lines > 0 OR log_bytes > 0) GROUP BY host ORDER BY bytes DESC LIMIT 1`)
		if err != nil {
			return 0, err
		}
		if len(heaviest) > 0 && heaviest[0].Bytes > r.Bytes/share {
			whose = `host = '` + strings.ReplaceAll(string(heaviest[0].ID), "'", "''") + `'`
		}
	}
	logs, err := all[oldLog](ctx, s.R, `SELECT id, finished_at, log_bytes FROM jobs
		WHERE finished_at > 0 AND log_dropped_at = 0 AND (lines > 0 OR log_bytes > 0) AND `+whose+` ORDER BY finished_at, id LIMIT $1`, Marks)
	if err != nil {
		return 0, err
	}
	for _, l := range logs {
		if (r.Age <= 0 || l.Ended >= s.Now()-r.Age.Milliseconds()) && (r.Bytes <= 0 || total <= r.Bytes) {
			break
		}
		total -= l.Bytes
		marked++
	}
	if marked == 0 {
		return 0, nil
	}
	return marked, s.mark(ctx, logs[:marked], "logs of %d jobs, the last ended %s")
}

// mark marks logs as removed; said is the audit entry's detail, with their number and the last end.
func (s Sweeper) mark(ctx context.Context, logs []oldLog, said string) error {
	return s.Tx(ctx, func(tx *sqlx.Tx) error {
		last := int64(0)
		for _, l := range logs {
			last = max(last, l.Ended)
			if err := change(ctx, tx, `UPDATE jobs SET log_dropped_at = $1 WHERE id = $2`, s.Now(), l.ID); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO log_removals (job) VALUES ($1) ON CONFLICT (job) DO NOTHING`, l.ID); err != nil {
				return err
			}
		}
		return s.Audit(ctx, tx, "log.removed", fmt.Sprintf(said, len(logs), time.UnixMilli(last).UTC().Format(time.RFC3339)))
	})
}

// share is which part of all logs those of one host may take before they go first, and
// those of all jobs that have not ended.
const share = 4

// shorten removes the logs and reports of jobs that have not ended, the largest first, if
// together they take more than their share. Such a job goes on; its log has a gap, and
// its report is cut.
func (s Sweeper) shorten(ctx context.Context, r Retention) error {
	type log struct {
		ID    topics.JobID `db:"id"`
		Bytes int64        `db:"log_bytes"`
	}
	if r.Bytes <= 0 {
		return nil
	}
	open, err := all[log](ctx, s.R, `SELECT id, log_bytes FROM jobs WHERE finished_at = 0 AND log_bytes > 0 ORDER BY log_bytes DESC`)
	total := int64(0)
	for _, l := range open {
		total += l.Bytes
	}
	for _, l := range open {
		if err != nil || total <= r.Bytes/share {
			break
		}
		total -= l.Bytes
		err = s.Shorten(ctx, l.ID)
	}
	return err
}

// Shortened is why the lines of a log are not there that goes on.
const Shortened = "removed to make room: the jobs that had not ended logged too much together"

// Shorten removes what a job that goes on has logged and reported so far.
func (s Sweeper) Shorten(ctx context.Context, id topics.JobID) error {
	for done := 0; done == 0; {
		if err := s.Tx(ctx, func(tx *sqlx.Tx) (err error) {
			if done, err = RemoveSome(ctx, tx, []topics.JobID{id}); err != nil || done == 0 {
				return err
			}
			lines, err := get[int](ctx, tx, `SELECT lines FROM jobs WHERE id = $1`, id)
			if err != nil {
				return err
			}
			if lines > 0 {
				if _, err := tx.ExecContext(ctx, `INSERT INTO job_gaps (job, n, last, reason) VALUES ($1, 1, $2, $3)`, id, lines,
					Shortened); err != nil {
					return err
				}
			}
			if err := change(ctx, tx, `UPDATE jobs SET cut = 1 WHERE id = $1`, id); err != nil {
				return err
			}
			return s.Audit(ctx, tx, "log.removed", "the log of a job that goes on: "+string(id))
		}); err != nil {
			return err
		}
	}
	return nil
}

// removeMarked deletes the stored lines of marked logs.
func (s Sweeper) removeMarked(ctx context.Context) error {
	for {
		ids, err := all[topics.JobID](ctx, s.R, `SELECT job FROM log_removals LIMIT $1`, Marks)
		if err != nil || len(ids) == 0 {
			return err
		}
		for len(ids) > 0 {
			var done int
			if err := s.Tx(ctx, func(tx *sqlx.Tx) (err error) {
				done, err = RemoveSome(ctx, tx, ids)
				return err
			}); err != nil {
				return fmt.Errorf("remove logs: %w", err)
			}
			ids = ids[done:]
		}
	}
}

// RemoveSome deletes as much of some jobs' logs as one transaction may, and returns
// how many jobs are done.
func RemoveSome(ctx context.Context, tx *sqlx.Tx, ids []topics.JobID) (done int, err error) {
	left := int64(Rows)
	for _, id := range ids {
		for _, table := range []struct{ name, key string }{{"job_lines", "n"}, {"job_gaps", "n"}, {"job_reports", "part"}} {
			r, err := tx.ExecContext(ctx, `DELETE FROM `+table.name+` WHERE job = $1 AND `+table.key+` IN
				(SELECT `+table.key+` FROM `+table.name+` WHERE job = $1 ORDER BY `+table.key+` LIMIT $2)`, id, left)
			if err != nil {
				return done, err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return done, err
			}
			if left -= n; left <= 0 {
				return done, nil
			}
		}
		if err := change(ctx, tx, `UPDATE jobs SET log_bytes = 0 WHERE id = $1`, id); err != nil {
			return done, err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM log_removals WHERE job = $1`, id); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// Package joblog stores the lines that jobs log. Its functions are steps of a
// transaction.
package joblog

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/topics"
)

// Slack is by how many lines a log may exceed its limit while the job runs, so
// that not every batch has to trim.
const Slack = 1000

// Few is how many lines are kept of a log whose bytes come near to their limit.
const Few = 2000

// An Entry is a log line, or a gap: lines N to GapTo were dropped.
type Entry struct {
	N     int          `db:"n"`
	At    int64        `db:"at"`
	Level topics.Level `db:"level"`
	Text  string       `db:"text"` // for a gap, the reason
	GapTo int          `db:"gap_to"`
}

// Last returns the number of the last line that an entry covers.
func (e Entry) Last() int { return max(e.N, e.GapTo) }

// A LevelCount is how many lines of a level a log has, and the last of them.
type LevelCount struct {
	Level topics.Level `db:"level"`
	Lines int          `db:"lines"`
	Last  int          `db:"last"`
}

// Add inserts a hundred lines per statement, because one statement each would
// spend most of the time in the driver. The parameters have no numbers: SQLite would
// look up each, a quarter of the work.
//
// It returns how many bytes of log and report the job has now.
func Add(ctx context.Context, tx prepared.Tx, id topics.JobID, first int, lines []topics.Line) (total int64, err error) {
	var bytes int
	for len(lines) > 0 {
		n := min(len(lines), 100)
		args := make([]any, 0, 5*n)
		for i, l := range lines[:n] {
			args = append(args, id, first+i, l.At, l.Level, l.Text)
			bytes += protocol.LineBytes + len(l.Text)
		}
		values := strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?), ", n), ", ")
		if _, err := tx.ExecContext(ctx, tx.Tx.Rebind(`INSERT INTO job_lines (job, n, at, level, text) VALUES `+values), args...); err != nil {
			return 0, fmt.Errorf("lines %d to %d of job %s: %w", first, first+n-1, id, err)
		}
		lines, first = lines[n:], first+n
	}
	return weigh(ctx, tx, id, bytes)
}

type execer interface {
	sqlx.QueryerContext
	sqlx.ExecerContext
}

// weigh adds to the bytes of a job, and returns how many there are.
func weigh(ctx context.Context, tx execer, id topics.JobID, bytes int) (total int64, err error) {
	if _, err := tx.ExecContext(ctx, `UPDATE jobs SET log_bytes = log_bytes + $1 WHERE id = $2`, bytes, id); err != nil {
		return 0, err
	}
	return total, sqlx.GetContext(ctx, tx, &total, `SELECT log_bytes FROM jobs WHERE id = $1`, id)
}

// GapBytes is what a gap counts as among the bytes of a job, besides its reason.
const GapBytes = 64

// AddGap records that lines from a number on were dropped. One because the job has
// reached its bytes extends the gap that it follows, or their rows would be without
// number.
func AddGap(ctx context.Context, tx prepared.Tx, id topics.JobID, from int, g topics.Gap) error {
	if g.Reason == protocol.LogFull {
		done, err := tx.ExecContext(ctx, `UPDATE job_gaps SET last = $1 WHERE job = $2 AND last = $3`, g.To, id, from-1)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 {
			return err
		}
	}
	return addGap(ctx, tx, id, from, g)
}

func addGap(ctx context.Context, tx execer, id topics.JobID, from int, g topics.Gap) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO job_gaps (job, n, last, reason) VALUES ($1, $2, $3, $4)`, id, from, g.To,
		g.Reason); err != nil {
		return err
	}
	_, err := weigh(ctx, tx, id, GapBytes+len(g.Reason))
	return err
}

// Trim removes the middle of a log that ends at line last and exceeds its limit, and
// records the gap. It merges adjacent gaps.
func Trim(ctx context.Context, tx *sqlx.Tx, id topics.JobID, last, keep int) error {
	from := keep/2 + 1
	to := last - (keep - keep/2)
	if to < from {
		return nil
	}
	var gaps []Entry
	err := tx.SelectContext(ctx, &gaps, `SELECT n, last AS gap_to, 0 AS at, '' AS level, reason AS text FROM job_gaps
		WHERE job = $1 AND last >= $2 AND n <= $3 ORDER BY n`, id, from-1, to+1)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		from, to = min(from, g.N), max(to, g.GapTo)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE jobs SET log_bytes = max(0, log_bytes - (SELECT COALESCE(SUM(OCTET_LENGTH(text) + $4), 0)
		FROM job_lines WHERE job = $1 AND n >= $2 AND n <= $3) - (SELECT COALESCE(SUM(OCTET_LENGTH(reason) + $5), 0)
		FROM job_gaps WHERE job = $1 AND n >= $2 AND n <= $3)) WHERE id = $1`, id, from, to, protocol.LineBytes, GapBytes); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM job_gaps WHERE job = $1 AND n >= $2 AND n <= $3`, id, from, to); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM job_lines WHERE job = $1 AND n >= $2 AND n <= $3`, id, from, to); err != nil {
		return err
	}
	return addGap(ctx, tx, id, from, topics.Gap{To: to, Reason: fmt.Sprintf("only the first and last %d lines of a log are kept", keep/2)})
}

package outbox

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
)

// Most is how many things that are said once wait for an outlet that is away; the oldest go
// when there are more. Longest is how long they wait.
const (
	Most    = 10_000
	Longest = 7 * 24 * 60 * 60 * 1000 // milliseconds
)

// Waiting lists what an outlet is still to be told once after n, at most so much of it.
func (r Rows) Waiting(ctx context.Context, outlet string, n int64, most int) ([]Once, error) {
	rows := []Once{}
	err := scan.Select(ctx, r.R, &rows, `SELECT * FROM outbox_once WHERE n > $1 AND outlet IN ('', $2) ORDER BY n LIMIT $3`,
		n, outlet, most)
	if err != nil {
		return nil, fmt.Errorf("read what is to be said once: %w", err)
	}
	return rows, nil
}

// Count counts what waits to be said once.
func (r Rows) Count(ctx context.Context) (n int, err error) {
	return n, sqlx.GetContext(ctx, r.R, &n, `SELECT count(*) FROM outbox_once`)
}

// Use has an outlet be told what is said once, and returns how far it has come. One that was
// not used begins with what comes from now on.
func (r Rows) Use(ctx context.Context, outlet string) (n int64, err error) {
	err = r.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox_reached (outlet, n)
			VALUES ($1, (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox_once'))
			ON CONFLICT (outlet) DO NOTHING`, outlet); err != nil {
			return err
		}
		return tx.GetContext(ctx, &n, `SELECT n FROM outbox_reached WHERE outlet = $1`, outlet)
	})
	if err != nil {
		return 0, fmt.Errorf("how far %s has come: %w", outlet, err)
	}
	return n, nil
}

// Only forgets how far outlets have come that are not among these: nothing waits for them.
func (r Rows) Only(ctx context.Context, outlets []string) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		query, args, err := sqlx.In(`DELETE FROM outbox_reached WHERE outlet NOT IN (?)`, append([]string{""}, outlets...))
		if err == nil {
			_, err = tx.ExecContext(ctx, sqlx.Rebind(sqlx.DOLLAR, query), args...)
		}
		if err != nil {
			return fmt.Errorf("forget outlets that are not used: %w", err)
		}
		return nil
	})
}

// Reached notes how far an outlet has come, and removes what every outlet was given.
func (r Rows) Reached(ctx context.Context, outlet string, n int64) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE outbox_reached SET n = $1 WHERE outlet = $2 AND n < $1`, n, outlet)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM outbox_once WHERE n <= (SELECT coalesce(min(n), $1) FROM outbox_reached)`, n)
		}
		if err != nil {
			return fmt.Errorf("how far %s has come: %w", outlet, err)
		}
		return nil
	})
}

// Trim removes what has waited too long, or is beyond what may wait, and returns how much.
func (r Rows) Trim(ctx context.Context) (n int64, err error) {
	err = r.Tx(ctx, func(tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `DELETE FROM outbox_once WHERE at < $1 OR NOT EXISTS (SELECT 1 FROM outbox_reached)
			OR n <= coalesce((SELECT n FROM outbox_once ORDER BY n DESC LIMIT 1 OFFSET $2), 0)`, r.Now()-Longest, Most)
		if err != nil {
			return fmt.Errorf("trim what is to be said once: %w", err)
		}
		n, err = done.RowsAffected()
		return err
	})
	return n, err
}

// Package firststeps reads what the first steps are judged by, as far as rows say it, and
// keeps whether somebody wants to see them no more.
package firststeps

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// Rows reads and writes what is kept here. Audit writes an entry of the audit log.
type Rows struct {
	R     sqlx.QueryerContext
	Tx    func(context.Context, func(*sqlx.Tx) error) error
	Now   func() int64
	Audit func(ctx context.Context, tx *sqlx.Tx, actor, action, target, detail string) error
}

// Facts are what rows say. Times are Unix milliseconds, 0 for never.
type Facts struct {
	Repository     topics.RepositoryID `db:"repository"` // the oldest one in care, "" for none
	RepositoryName string              `db:"repository_name"`
	Repositories   int                 `db:"repositories"`
	KitAt          int64               `db:"kit_at"` // when an emergency kit was shown last, whichever
	KitBy          string              `db:"kit_by"`
	HiddenAt       int64               `db:"hidden_at"` // since when nobody wants to see the steps
	HiddenBy       string              `db:"hidden_by"`
}

// Facts reads them in one query.
func (r Rows) Facts(ctx context.Context) (f Facts, err error) {
	err = sqlx.GetContext(ctx, r.R, &f, `SELECT
		coalesce((SELECT id FROM repositories WHERE removed_at = 0 ORDER BY created_at, id LIMIT 1), '') AS repository,
		coalesce((SELECT name FROM repositories WHERE removed_at = 0 ORDER BY created_at, id LIMIT 1), '') AS repository_name,
		(SELECT count(*) FROM repositories WHERE removed_at = 0) AS repositories,
		coalesce((SELECT max(at) FROM kits_shown), 0) AS kit_at,
		coalesce((SELECT actor FROM kits_shown ORDER BY at DESC, kind, subject LIMIT 1), '') AS kit_by,
		coalesce((SELECT hidden_at FROM first_steps WHERE one = 1), 0) AS hidden_at,
		coalesce((SELECT hidden_by FROM first_steps WHERE one = 1), '') AS hidden_by`)
	if err != nil {
		return f, fmt.Errorf("read how far the first steps are: %w", err)
	}
	return f, nil
}

// Hide says whether anybody is shown the steps on other pages than their own.
func (r Rows) Hide(ctx context.Context, actor string, hide bool) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		at, by, action := int64(0), "", "first_steps.shown"
		if hide {
			at, by, action = r.Now(), actor, "first_steps.hidden"
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO first_steps (one, hidden_at, hidden_by) VALUES (1, $1, $2)
			ON CONFLICT (one) DO UPDATE SET hidden_at = excluded.hidden_at, hidden_by = excluded.hidden_by`, at, by); err != nil {
			return fmt.Errorf("keep whether the first steps are shown: %w", err)
		}
		return r.Audit(ctx, tx, actor, action, "", "")
	})
}

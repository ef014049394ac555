package alerts

import (
	"context"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
)

// Setting returns what is set under a name; its zero value but for the name if nobody set
// it.
func (a Alerts) Setting(ctx context.Context, name string) (Setting, error) {
	return SettingIn(ctx, a.R, name)
}

// SettingIn is Setting within a transaction.
func SettingIn(ctx context.Context, q sqlx.QueryerContext, name string) (Setting, error) {
	rows := []Setting{}
	err := scan.Select(ctx, q, &rows, `SELECT name, version, body, changed_at, changed_by FROM alert_settings WHERE name = $1`, name)
	if err != nil || len(rows) == 0 {
		return Setting{Name: name}, err
	}
	return rows[0], nil
}

// Set sets what is under a name, with an audit entry. Version is that of what was read
// before: ErrMoved if it is another by now. A body that is set already changes nothing.
func (a Alerts) Set(ctx context.Context, actor, name, body string, version int64, detail string) (now Setting, err error) {
	err = a.Tx(ctx, func(tx *sqlx.Tx) error {
		if now, err = SettingIn(ctx, tx, name); err != nil {
			return err
		}
		switch {
		case now.Version != version:
			return ErrMoved
		case now.Body == body && now.Version > 0:
			return nil
		}
		now = Setting{Name: name, Version: version + 1, Body: body, ChangedAt: a.Now(), ChangedBy: actor}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO alert_settings (name, version, body, changed_at, changed_by)
			VALUES (:name, :version, :body, :changed_at, :changed_by) ON CONFLICT (name) DO UPDATE SET version = excluded.version,
			body = excluded.body, changed_at = excluded.changed_at, changed_by = excluded.changed_by`, now); err != nil {
			return err
		}
		return a.Audit(ctx, tx, actor, "alerts."+strings.ReplaceAll(name, "-", "_")+"_changed", name, detail)
	})
	return now, err
}

// Pauses lists the pauses that end after a moment, the first to begin first.
func (a Alerts) Pauses(ctx context.Context, after int64) ([]Pause, error) {
	return PausesIn(ctx, a.R, after)
}

// PausesIn is Pauses within a transaction.
func PausesIn(ctx context.Context, q sqlx.QueryerContext, after int64) ([]Pause, error) {
	rows := []Pause{}
	return rows, scan.Select(ctx, q, &rows, `SELECT id, kind, subject, reason, from_at, until_at, created_at, created_by
		FROM alert_pauses WHERE until_at > $1 ORDER BY from_at, id`, after)
}

// AddPause adds a pause, with an audit entry that says of whom it is.
func (a Alerts) AddPause(ctx context.Context, p Pause, detail string) error {
	return a.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO alert_pauses (id, kind, subject, reason, from_at, until_at, created_at, created_by)
			VALUES (:id, :kind, :subject, :reason, :from_at, :until_at, :created_at, :created_by)`, p); err != nil {
			return err
		}
		return a.Audit(ctx, tx, p.CreatedBy, "alerts.paused", p.ID, detail)
	})
}

// EndPause ends a pause now, and returns it as it is then: ErrNone if there is none that
// has not ended. One that has not begun is removed.
func (a Alerts) EndPause(ctx context.Context, actor, id string) (p Pause, err error) {
	err = a.Tx(ctx, func(tx *sqlx.Tx) error {
		rows, err := PausesIn(ctx, tx, a.Now())
		if err != nil {
			return err
		}
		found := false
		for _, row := range rows {
			if row.ID == id {
				p, found = row, true
			}
		}
		if !found {
			return ErrNone
		}
		query, args := `UPDATE alert_pauses SET until_at = $1 WHERE id = $2`, []any{a.Now(), id}
		if p.From >= a.Now() {
			query, args = `DELETE FROM alert_pauses WHERE id = $1`, []any{id}
		}
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		p.Until = a.Now()
		return a.Audit(ctx, tx, actor, "alerts.resumed", id, p.Reason)
	})
	return p, err
}

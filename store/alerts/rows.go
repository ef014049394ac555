package alerts

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// A Tx is a transaction of the database, for steps of other packages that belong to it.
type Tx = *sqlx.Tx

// A Reader is the database, or a transaction.
type Reader = sqlx.QueryerContext

var columns = []string{"id", "condition", "on_kind", "subject", "host", "repository", "job", "severity", "opened_at", "since", "seen_at",
	"count", "began_at", "before_at", "flaps", "quiet_at", "acked_at", "acked_by", "snoozed_until", "snoozed_by", "ended_at", "ended_by",
	"ended_why", "changed", "body"}

var (
	selected = `SELECT ` + strings.Join(columns, ", ") + ` FROM alerts `
	put      = putQuery()
)

func putQuery() string {
	var sets []string
	for _, c := range columns[1:] {
		sets = append(sets, c+" = excluded."+c)
	}
	return `INSERT INTO alerts (` + strings.Join(columns, ", ") + `) VALUES (:` + strings.Join(columns, ", :") + `)
		ON CONFLICT (id) DO UPDATE SET ` + strings.Join(sets, ", ")
}

func list(ctx context.Context, q sqlx.QueryerContext, query string, args ...any) ([]Alert, error) {
	rows := []Alert{}
	err := scan.Select(ctx, q, &rows, query, args...)
	for i := range rows {
		if rows[i].Body.V == nil {
			rows[i].Body.V = &Body{}
		}
	}
	return rows, err
}

// Live lists the alerts that are not over.
func Live(ctx context.Context, q sqlx.QueryerContext) ([]Alert, error) {
	return list(ctx, q, selected+`WHERE ended_at = 0 ORDER BY id`)
}

// LiveOf is the alert of a key that is not over; false if there is none.
func LiveOf(ctx context.Context, q sqlx.QueryerContext, k Key) (Alert, bool, error) {
	return first(list(ctx, q, selected+`WHERE condition = $1 AND on_kind = $2 AND subject = $3 AND ended_at = 0`, k.Condition, k.On,
		k.Subject))
}

func first(rows []Alert, err error) (Alert, bool, error) {
	if err != nil || len(rows) == 0 {
		return Alert{}, false, err
	}
	return rows[0], true, nil
}

// Late lists alerts that are over and may go on: those that ended since a moment, and
// those that somebody ended while the condition held, which it may do to this day.
func Late(ctx context.Context, q sqlx.QueryerContext, since int64) ([]Alert, error) {
	recent, err := list(ctx, q, selected+`WHERE ended_at > 0 AND ended_at >= $1 ORDER BY ended_at, id`, since)
	if err != nil {
		return nil, err
	}
	by, err := list(ctx, q, selected+`WHERE ended_at > 0 AND ended_at < $1 AND ended_by <> 'plane' AND quiet_at = 0 ORDER BY ended_at, id`,
		since)
	return append(by, recent...), err
}

// LateOf is the latest alert of a key that is over; false if there is none.
func LateOf(ctx context.Context, q sqlx.QueryerContext, k Key) (Alert, bool, error) {
	return first(list(ctx, q, selected+`WHERE condition = $1 AND on_kind = $2 AND subject = $3 AND ended_at > 0
		ORDER BY ended_at DESC, id DESC LIMIT 1`, k.Condition, k.On, k.Subject))
}

// Put writes alerts as they are now, each as a change of its own.
func Put(ctx context.Context, tx Tx, rows []*Alert) error {
	if len(rows) == 0 {
		return nil
	}
	last, err := mark(ctx, tx)
	if err != nil {
		return err
	}
	statement, err := tx.PrepareNamedContext(ctx, put)
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }()
	for _, a := range rows {
		last++
		a.Changed = last
		if _, err := statement.ExecContext(ctx, *a); err != nil {
			return fmt.Errorf("alert %s of %s %s: %w", a.Condition, a.On, a.Subject, err)
		}
	}
	return nil
}

func mark(ctx context.Context, q sqlx.QueryerContext) (n int64, err error) {
	return n, sqlx.GetContext(ctx, q, &n, `SELECT coalesce(max(changed), 0) FROM alerts`)
}

// Mark is the number of the latest change of any alert.
func (a Alerts) Mark(ctx context.Context) (int64, error) { return mark(ctx, a.R) }

// Live lists the alerts that are not over, and a mark that is another when they may be.
func (a Alerts) Live(ctx context.Context) (rows []Alert, at int64, err error) {
	if at, err = mark(ctx, a.R); err != nil {
		return nil, 0, err
	}
	rows, err = Live(ctx, a.R)
	return rows, at, err
}

// Get returns an alert, or ErrNone.
func (a Alerts) Get(ctx context.Context, id string) (Alert, error) {
	rows, err := list(ctx, a.R, selected+`WHERE id = $1`, id)
	if err != nil || len(rows) == 0 {
		return Alert{}, orNone(err)
	}
	return rows[0], nil
}

func orNone(err error) error {
	if err == nil {
		return ErrNone
	}
	return err
}

// A Filter is which alerts a list has; its zero value is all.
type Filter struct {
	Ended      bool // only those that are over
	Host       topics.HostID
	Repository topics.RepositoryID
	Condition  string
	Severity   Severity
}

// Page lists alerts that a filter finds, the newest change first, behind the change with
// a number; 0 is from the first on.
func (a Alerts) Page(ctx context.Context, f Filter, before int64, most int) ([]Alert, error) {
	var terms []string
	var args []any
	add := func(term string, v any) {
		terms, args = append(terms, term), append(args, v)
	}
	if f.Ended {
		terms = append(terms, `ended_at > 0`)
	}
	if before > 0 {
		add(`changed < ?`, before)
	}
	if f.Host != "" {
		add(`host = ?`, f.Host)
	}
	if f.Repository != "" {
		add(`repository = ?`, f.Repository)
	}
	if f.Condition != "" {
		add(`condition = ?`, f.Condition)
	}
	if f.Severity != "" {
		add(`severity = ?`, f.Severity)
	}
	where := ""
	if len(terms) > 0 {
		where = `WHERE ` + strings.Join(terms, ` AND `)
	}
	return list(ctx, a.R, sqlx.Rebind(sqlx.DOLLAR, selected+where+` ORDER BY changed DESC LIMIT ?`), append(args, most)...)
}

// A RefusedError is that a deed on several alerts was not done, as some of them are not
// there or have ended. Nothing was changed then.
type RefusedError struct{ Unknown, Ended []string }

// Error implements error.
func (e *RefusedError) Error() string {
	var said []string
	if len(e.Unknown) > 0 {
		said = append(said, "there is no alert "+strings.Join(e.Unknown, ", "))
	}
	if len(e.Ended) > 0 {
		said = append(said, "ended already: "+strings.Join(e.Ended, ", "))
	}
	return strings.Join(said, "; ")
}

// Is reports whether it is of what was not there, or of what has ended.
func (e *RefusedError) Is(target error) bool {
	return target == ErrNone && len(e.Unknown) > 0 || target == ErrEnded && len(e.Ended) > 0
}

// A Deed is what somebody does about alerts.
type Deed struct {
	Actor, Action string
	Detail        string
	Do            func(*Alert) error // changes one
	// Also runs in the same transaction with those that were changed; nil is nothing.
	Also func(ctx context.Context, tx Tx, changed []Alert) error
}

// Change does something about alerts that are not over: about all that are named, with an
// audit entry each, or about none. A [RefusedError] names what cannot be changed.
func (a Alerts) Change(ctx context.Context, ids []string, d Deed) (changed []Alert, err error) {
	err = a.Tx(ctx, func(tx *sqlx.Tx) error {
		changed = nil
		refused := RefusedError{}
		var rows []*Alert
		for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
			found, err := list(ctx, tx, selected+`WHERE id = $1`, id)
			switch {
			case err != nil:
				return err
			case len(found) == 0:
				refused.Unknown = append(refused.Unknown, id)
			case found[0].EndedAt > 0:
				refused.Ended = append(refused.Ended, id)
			default:
				rows = append(rows, &found[0])
			}
		}
		if len(refused.Unknown)+len(refused.Ended) > 0 {
			return &refused
		}
		for _, row := range rows {
			if err := d.Do(row); err != nil {
				return err
			}
			if err := a.Audit(ctx, tx, d.Actor, d.Action, row.ID, strings.Join(slices.DeleteFunc([]string{row.Condition + " of " +
				row.Body.V.Name, d.Detail}, func(s string) bool { return s == "" }), ": ")); err != nil {
				return err
			}
		}
		if err := Put(ctx, tx, rows); err != nil {
			return err
		}
		for _, row := range rows {
			changed = append(changed, *row)
		}
		if d.Also == nil {
			return nil
		}
		return d.Also(ctx, tx, changed)
	})
	return changed, err
}

// Sweep removes what was over before a moment, at most so many rows of each kind: ended
// alerts, but for those that somebody ended and whose condition may still hold, and pauses.
func Sweep(ctx context.Context, tx sqlx.ExecerContext, before int64, most int) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE ended_at > 0 AND ended_at < $1
		AND (ended_by = 'plane' OR quiet_at > 0) LIMIT $2)`, before, most); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM alert_pauses WHERE id IN (SELECT id FROM alert_pauses WHERE until_at < $1 LIMIT $2)`, before,
		most)
	return err
}

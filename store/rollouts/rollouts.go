// Package rollouts keeps how the agents of the fleet are updated: the rollouts, the hosts
// that each has begun with, and whether they begin by themselves.
package rollouts

import (
	"context"
	"database/sql"
	"errors"
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

// A Plan is which hosts get a newer version, when, and how many together.
type Plan struct {
	Tag   string `db:"tag"`          // that the hosts have; "" is every host
	From  int    `db:"window_from"`  // minutes of the day from which updates begin
	Until int    `db:"window_until"` // and before which; as From is at any time
	Zone  string `db:"zone"`         // in which the two are read, as IANA names it
	Most  int    `db:"at_once"`      // how many hosts are updated together
}

// A Rollout brings a version to hosts. Moments are in Unix milliseconds.
type Rollout struct {
	ID      string        `db:"id"`
	Number  int64         `db:"number"` // of the release
	Version string        `db:"version"`
	Host    topics.HostID `db:"host"` // that it is about alone; "" is several
	Plan
	Automatic bool    `db:"automatic"`
	BeganBy   string  `db:"began_by"`
	BeganAt   int64   `db:"began_at"`
	Wave      int     `db:"wave"` // 1 to 3
	EndedAt   int64   `db:"ended_at"`
	Outcome   Outcome `db:"outcome"`
	EndedBy   string  `db:"ended_by"`
	Why       string  `db:"why"` // how it ended, as a sentence
}

// An Outcome is how a rollout ended.
type Outcome string

// Outcomes.
const (
	Done       Outcome = "done"       // nobody is left who can be updated
	Stopped    Outcome = "stopped"    // somebody stopped it
	Failed     Outcome = "failed"     // it stopped by itself, since updates failed
	Superseded Outcome = "superseded" // a newer version came
)

// A Member is a host that a rollout has begun with.
type Member struct {
	Rollout string        `db:"rollout"`
	Host    topics.HostID `db:"host"`
	Wave    int           `db:"wave"`
	Job     topics.JobID  `db:"job"` // "" while it is being asked for
	State   State         `db:"state"`
	Why     string        `db:"why"`
	BeganAt int64         `db:"began_at"`
	EndedAt int64         `db:"ended_at"`
}

// A State is how far a host is.
type State string

// States.
const (
	Updating  State = "updating"
	Updated   State = "updated"
	Refused   State = "failed"    // its update failed
	Cannot    State = "cannot"    // it turned out that it cannot be updated from here; that is no failure
	Cancelled State = "cancelled" // somebody cancelled its job
	Later     State = "later"     // its turn passed before it began, so it comes again
)

// Settings say whether a newer version is rolled out without being asked for.
type Settings struct {
	Automatic bool  `db:"automatic"`
	Since     int64 `db:"since"` // when that was set last
	Plan
}

// Errors.
var (
	ErrNone  = errors.New("there is no such rollout")
	ErrEnded = errors.New("the rollout has ended")
)

// Settings returns what somebody set; ok is false if nobody has.
func (r Rows) Settings(ctx context.Context) (s Settings, ok bool, err error) {
	err = sqlx.GetContext(ctx, r.R, &s, `SELECT automatic, since, tag, window_from, window_until, zone, at_once FROM update_settings
		WHERE one = 1`)
	if errors.Is(err, sql.ErrNoRows) {
		return s, false, nil
	}
	return s, err == nil, err
}

// PutSettings sets whether newer versions are rolled out without being asked for, and how.
func (r Rows) PutSettings(ctx context.Context, actor string, s Settings, says string) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO update_settings (one, automatic, since, tag, window_from, window_until, zone, at_once)
			VALUES (1, :automatic, :since, :tag, :window_from, :window_until, :zone, :at_once) ON CONFLICT (one) DO UPDATE SET
			automatic = excluded.automatic, since = excluded.since, tag = excluded.tag, window_from = excluded.window_from,
			window_until = excluded.window_until, zone = excluded.zone, at_once = excluded.at_once`, s); err != nil {
			return fmt.Errorf("set how updates begin: %w", err)
		}
		return r.Audit(ctx, tx, actor, "updates.changed", "", says)
	})
}

// Begin adds a rollout, unless against refuses it: it is given the rollouts that go on, in
// the same transaction.
func (r Rows) Begin(ctx context.Context, x Rollout, says string, against func(going []Rollout) error) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		going, err := unfinished(ctx, tx)
		if err == nil {
			err = against(going)
		}
		if err != nil {
			return err
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO rollouts (id, number, version, host, tag, window_from, window_until, zone, at_once,
			automatic, began_by, began_at, wave) VALUES (:id, :number, :version, :host, :tag, :window_from, :window_until, :zone, :at_once,
			:automatic, :began_by, :began_at, :wave)`, x); err != nil {
			return fmt.Errorf("begin a rollout: %w", err)
		}
		return r.Audit(ctx, tx, x.BeganBy, "rollout.began", x.ID, says)
	})
}

// End ends a rollout. It returns ErrEnded if it has ended, and ErrNone.
func (r Rows) End(ctx context.Context, actor, id string, outcome Outcome, why string) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		var x Rollout
		if err := sqlx.GetContext(ctx, tx, &x, `SELECT * FROM rollouts WHERE id = $1`, id); errors.Is(err, sql.ErrNoRows) {
			return ErrNone
		} else if err != nil {
			return err
		}
		if x.EndedAt > 0 {
			return ErrEnded
		}
		if _, err := tx.ExecContext(ctx, `UPDATE rollouts SET ended_at = $1, outcome = $2, ended_by = $3, why = $4 WHERE id = $5`,
			r.Now(), outcome, actor, why, id); err != nil {
			return err
		}
		return r.Audit(ctx, tx, actor, "rollout."+string(outcome), id, x.Version+": "+why)
	})
}

// Save writes hosts of a rollout, and which wave it is in.
func (r Rows) Save(ctx context.Context, id string, wave int, members []Member) error {
	return r.Tx(ctx, func(tx *sqlx.Tx) error {
		for _, m := range members {
			if _, err := tx.NamedExecContext(ctx, `INSERT INTO rollout_hosts (rollout, host, wave, job, state, why, began_at, ended_at)
				VALUES (:rollout, :host, :wave, :job, :state, :why, :began_at, :ended_at) ON CONFLICT (rollout, host) DO UPDATE SET
				wave = excluded.wave, job = excluded.job, state = excluded.state, why = excluded.why, began_at = excluded.began_at,
				ended_at = excluded.ended_at`, m); err != nil {
				return fmt.Errorf("write a host of a rollout: %w", err)
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE rollouts SET wave = $1 WHERE id = $2`, wave, id)
		return err
	})
}

func unfinished(ctx context.Context, q sqlx.QueryerContext) (list []Rollout, err error) {
	err = sqlx.SelectContext(ctx, q, &list, `SELECT * FROM rollouts WHERE ended_at = 0 ORDER BY id`)
	return list, err
}

// Going lists the rollouts that have not ended, the oldest first.
func (r Rows) Going(ctx context.Context) ([]Rollout, error) { return unfinished(ctx, r.R) }

// Trailing lists those that have ended while hosts of them are still being updated.
func (r Rows) Trailing(ctx context.Context) (list []Rollout, err error) {
	err = sqlx.SelectContext(ctx, r.R, &list, `SELECT * FROM rollouts WHERE ended_at > 0 AND id IN (
		SELECT rollout FROM rollout_hosts WHERE state = 'updating') ORDER BY id`)
	return list, err
}

// Rollout returns one, or ErrNone.
func (r Rows) Rollout(ctx context.Context, id string) (x Rollout, err error) {
	err = sqlx.GetContext(ctx, r.R, &x, `SELECT * FROM rollouts WHERE id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return x, err
}

// Latest lists rollouts, those that began last first.
func (r Rows) Latest(ctx context.Context, most int) (list []Rollout, err error) {
	err = sqlx.SelectContext(ctx, r.R, &list, `SELECT * FROM rollouts ORDER BY id DESC LIMIT $1`, most)
	return list, err
}

// Of lists the rollouts of a release, the oldest first.
func (r Rows) Of(ctx context.Context, number int64) (list []Rollout, err error) {
	err = sqlx.SelectContext(ctx, r.R, &list, `SELECT * FROM rollouts WHERE number = $1 ORDER BY id`, number)
	return list, err
}

// Members lists the hosts that a rollout has begun with, in the order in which it did.
func (r Rows) Members(ctx context.Context, id string) (list []Member, err error) {
	err = sqlx.SelectContext(ctx, r.R, &list, `SELECT * FROM rollout_hosts WHERE rollout = $1 ORDER BY began_at, host`, id)
	return list, err
}

// FailedWith are the hosts whose update to a release failed, in whichever rollout, and those
// that could not take it, or whose job somebody cancelled, since a moment.
func (r Rows) FailedWith(ctx context.Context, number, since int64) (map[topics.HostID]bool, error) {
	var list []topics.HostID
	err := sqlx.SelectContext(ctx, r.R, &list, `SELECT DISTINCT m.host FROM rollout_hosts m JOIN rollouts x ON x.id = m.rollout
		WHERE (m.state = 'failed' OR m.state IN ('cannot', 'cancelled') AND m.ended_at > $2) AND x.number = $1`, number, since)
	failed := map[topics.HostID]bool{}
	for _, h := range list {
		failed[h] = true
	}
	return failed, err
}

// Tally counts the hosts of a rollout by their states.
func (r Rows) Tally(ctx context.Context, id string) (map[State]int, error) {
	var rows []struct {
		State State `db:"state"`
		N     int   `db:"n"`
	}
	err := sqlx.SelectContext(ctx, r.R, &rows, `SELECT state, count(*) AS n FROM rollout_hosts WHERE rollout = $1 GROUP BY state`, id)
	tally := map[State]int{}
	for _, row := range rows {
		tally[row.State] = row.N
	}
	return tally, err
}

// Sweep removes a few rollouts that ended before a moment. Those of the newest release stay:
// what failed of it is not tried again without being asked for.
func Sweep(ctx context.Context, tx *sqlx.Tx, before int64, most int) error {
	var ids []string
	if err := sqlx.SelectContext(ctx, tx, &ids, `SELECT id FROM rollouts WHERE ended_at > 0 AND ended_at < $1
		AND number < (SELECT max(number) FROM rollouts) LIMIT $2`, before, max(most/100, 1)); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, `DELETE FROM rollout_hosts WHERE rollout = $1`, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM rollouts WHERE id = $1`, id); err != nil {
			return err
		}
	}
	return nil
}

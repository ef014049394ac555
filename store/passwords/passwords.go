// Package passwords keeps how the passwords of repositories are changed: how far each change
// is, at which place, and which hosts have confirmed what they hold. What comes next is a
// function of these rows, see controlplane/rekey.
package passwords

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A State is how far a change is.
type State string

// The states of a change, in their order.
const (
	Adding    State = "adding"    // the new key comes to each place, and is proven there; everybody uses the old one
	Switching State = "switching" // the repository's row has the new password, and hosts come to have it
	Removing  State = "removing"  // all have it, and the old key goes
	Done      State = "done"
	Undone    State = "undone" // called off, and what was new is gone again
)

// A Change of a repository's password. Moments are in Unix milliseconds.
type Change struct {
	ID         string              `db:"id"`
	Repository topics.RepositoryID `db:"repository"`
	State      State               `db:"state"`
	Back       bool                `db:"back"`    // it was called off: Former is the one that was to come
	Lasting    string              `db:"lasting"` // the ID of the password that stays in use
	Former     string              `db:"former"`  // the ID of the one whose keys go; "" once it is erased
	Patient    bool                `db:"patient"` // no key goes while a kept copy of the database knows Former alone
	BeganBy    string              `db:"began_by"`
	BeganAt    int64               `db:"began_at"`
	SwitchedAt int64               `db:"switched_at"` // when the repository's row got Lasting; 0 is never
	SwitchedN  int64               `db:"switched_n"`  // the number of that in the audit log
	EndedAt    int64               `db:"ended_at"`
}

// Ended reports whether nothing is to be done any more.
func (c Change) Ended() bool { return c.State == Done || c.State == Undone }

// A Place is how far a change is at one place of the repository.
type Place struct {
	Change     string              `db:"change_id"`
	Repository topics.RepositoryID `db:"repository"`
	Host       topics.HostID       `db:"host"`     // whose place it is; "" is one that all share
	AddedAt    int64               `db:"added_at"` // when the new password was proven there
	KeyID      string              `db:"key_id"`
	RemovedAt  int64               `db:"removed_at"`
	Doing      string              `db:"doing"` // what the job is to do: topics.AddKey or topics.RemoveKey
	Worker     topics.HostID       `db:"worker"`
	Job        topics.JobID        `db:"job"`   // "" while it is being asked for, or nobody is at work
	Tried      bool                `db:"tried"` // a removal was asked for
	Attempts   int                 `db:"attempts"`
	NextAt     int64               `db:"next_at"`
	Why        string              `db:"why"`        // of the last attempt that failed
	FormerKey  string              `db:"former_key"` // the key that Former opened there when the other took its place; "" is not known
	LeftBy     string              `db:"left_by"`    // who goes on without it, and when
	LeftAt     int64               `db:"left_at"`
	LeftWhy    string              `db:"left_why"`
}

// Left reports whether the change goes on without the place, and nobody has been there since.
func (p Place) Left() bool { return p.LeftBy != "" && p.RemovedAt == 0 }

// Over reports whether a change does not wait for the place any more.
func (p Place) Over() bool { return p.LeftBy != "" || p.RemovedAt > 0 }

// A Host is one that has the repository.
type Host struct {
	Change      string              `db:"change_id"`
	Repository  topics.RepositoryID `db:"repository"`
	Host        topics.HostID       `db:"host"`
	ConfirmedAt int64               `db:"confirmed_at"`
	WaivedBy    string              `db:"waived_by"`
}

// Settled reports whether the change waits for the host no longer.
func (h Host) Settled() bool { return h.ConfirmedAt > 0 || h.WaivedBy != "" }

// Errors.
var (
	ErrNone  = errors.New("the password of the repository is not being changed")
	ErrGoing = errors.New("the password of the repository is being changed already")
	ErrLate  = errors.New("a key has been removed already, or is just being removed, so the change cannot be called off any more")
)

// Open lists the changes in which something is to be done, and those whose former password
// is still kept.
func Open(ctx context.Context, q sqlx.QueryerContext) ([]Change, error) {
	rows := []Change{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM password_changes WHERE ended_at = 0 OR former <> '' ORDER BY began_at, id`)
}

// Of lists a repository's changes, the last first.
func Of(ctx context.Context, q sqlx.QueryerContext, id topics.RepositoryID) ([]Change, error) {
	rows := []Change{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM password_changes WHERE repository = $1 ORDER BY began_at DESC, id DESC
		LIMIT 50`, id)
}

// Find returns a change, or ErrNone.
func Find(ctx context.Context, q sqlx.QueryerContext, id string) (c Change, err error) {
	err = sqlx.GetContext(ctx, q, &c, `SELECT * FROM password_changes WHERE id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return c, err
}

// Going returns the change of a repository that has not come to its last step, or ErrNone.
// While it goes on, nobody else changes the password.
func Going(ctx context.Context, q sqlx.QueryerContext, id topics.RepositoryID) (c Change, err error) {
	err = sqlx.GetContext(ctx, q, &c, `SELECT * FROM password_changes WHERE repository = $1 AND state IN ('adding', 'switching')
		ORDER BY began_at DESC LIMIT 1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNone
	}
	return c, err
}

// Places lists the places of a change.
func Places(ctx context.Context, q sqlx.QueryerContext, change string) ([]Place, error) {
	rows := []Place{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM password_change_places WHERE change_id = $1 ORDER BY host`, change)
}

// Hosts lists what hosts have said in a change.
func Hosts(ctx context.Context, q sqlx.QueryerContext, change string) ([]Host, error) {
	rows := []Host{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM password_change_hosts WHERE change_id = $1 ORDER BY host`, change)
}

// PutPlace writes how far a place is.
func PutPlace(ctx context.Context, tx sqlx.ExtContext, p Place) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO password_change_places (change_id, repository, host, added_at, key_id, removed_at,
			doing, worker, job, tried, attempts, next_at, why, former_key, left_by, left_at, left_why)
		VALUES (:change_id, :repository, :host, :added_at, :key_id, :removed_at, :doing, :worker, :job, :tried, :attempts, :next_at, :why,
			:former_key, :left_by, :left_at, :left_why)
		ON CONFLICT (change_id, host) DO UPDATE SET added_at = excluded.added_at, key_id = excluded.key_id, removed_at = excluded.removed_at,
			doing = excluded.doing, worker = excluded.worker, job = excluded.job, tried = excluded.tried, attempts = excluded.attempts,
			next_at = excluded.next_at, why = excluded.why, former_key = excluded.former_key, left_by = excluded.left_by,
			left_at = excluded.left_at, left_why = excluded.left_why`, p)
	return err
}

// OldPlace is what opens a place without which a change went on before its key was there.
type OldPlace struct {
	Change string        `db:"change_id"`
	Host   topics.HostID `db:"host"`
	Former string        `db:"former"`
}

// OldPlaces lists the places of a repository that its password does not open yet, since changes
// went on without them: what opens each is the former password of the first of these.
func OldPlaces(ctx context.Context, q sqlx.QueryerContext, id topics.RepositoryID) ([]OldPlace, error) {
	rows := []OldPlace{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT p.change_id, p.host, c.former FROM password_change_places p
		JOIN password_changes c ON c.id = p.change_id
		WHERE p.repository = $1 AND p.left_by <> '' AND p.added_at = 0 AND p.removed_at = 0 AND c.switched_at > 0 AND c.back = 0
			AND c.former <> '' AND NOT EXISTS (SELECT 1 FROM password_change_places o JOIN password_changes oc ON oc.id = o.change_id
				WHERE o.repository = p.repository AND o.host = p.host AND o.left_by <> '' AND o.added_at = 0 AND o.removed_at = 0
					AND oc.switched_at > 0 AND oc.back = 0 AND oc.former <> '' AND oc.began_at < c.began_at)
		ORDER BY p.host`, id)
}

// Opener returns the ID of the password that opens the places to which the key of another is
// still to come, after the repository's row has that: "" if the row's own does.
func Opener(ctx context.Context, q sqlx.QueryerContext, id topics.RepositoryID, lasting string) (former string, err error) {
	err = sqlx.GetContext(ctx, q, &former, `SELECT former FROM password_changes WHERE repository = $1 AND lasting = $2 AND lasting <> ''
		AND switched_at > 0`, id, lasting)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return former, err
}

// PutHost writes what a host has said.
func PutHost(ctx context.Context, tx sqlx.ExtContext, h Host) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO password_change_hosts (change_id, repository, host, confirmed_at, waived_by)
		VALUES (:change_id, :repository, :host, :confirmed_at, :waived_by)
		ON CONFLICT (change_id, host) DO UPDATE SET confirmed_at = excluded.confirmed_at, waived_by = excluded.waived_by`, h)
	return err
}

// Put writes a change.
func Put(ctx context.Context, tx sqlx.ExtContext, c Change) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO password_changes (id, repository, state, back, lasting, former, patient, began_by,
			began_at, switched_at, switched_n, ended_at)
		VALUES (:id, :repository, :state, :back, :lasting, :former, :patient, :began_by, :began_at, :switched_at, :switched_n, :ended_at)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, back = excluded.back, lasting = excluded.lasting, former = excluded.former,
			switched_at = excluded.switched_at, switched_n = excluded.switched_n, ended_at = excluded.ended_at`, c)
	return err
}

package looks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/scan"
	"github.com/restic-manager/restic-manager/topics"
)

// A Look is what one host found in one kind of look. BadSince is 0 while the last one
// went well.
type Look struct {
	Repository topics.RepositoryID `db:"repository"`
	Host       topics.HostID       `db:"host"`
	Kind       Kind                `db:"kind"`
	GoodAt     int64               `db:"good_at"`   // when one last went well; 0 is never
	BadSince   int64               `db:"bad_since"` // when the first one ended that failed in the present way
	BadAt      int64               `db:"bad_at"`    // when the last one ended that failed
	Cause      topics.Cause        `db:"bad_cause"`
	Job        topics.JobID        `db:"bad_job"`

	// NeverThere is whether no job has found or made a repository yet where the host looks.
	// [Of] alone knows it, of bad looks.
	NeverThere bool `db:"never_there"`
}

// Damage is what a job found in a repository, as long as no check has cleared it.
type Damage struct {
	Repository topics.RepositoryID `db:"repository"`
	Place      topics.HostID       `db:"place"`    // the host at whose place it is; "" if all share one
	Since      int64               `db:"since"`    // when it was found first
	FoundAt    int64               `db:"found_at"` // when it was found last
	Host       topics.HostID       `db:"host"`
	Job        topics.JobID        `db:"job"`
	Kind       topics.JobKind      `db:"kind"`   // of that job
	Errors     int64               `db:"errors"` // that a check counted; 0 for other jobs
	Scope      Scope               `db:"scope"`  // a check of it clears the damage
	Clean      string              `db:"clean"`  // scopes that were found whole since, with commas
}

// believed is a moment as it was written down, and 1 for one that lies further ahead of
// now than a clock may be set back: a clock was wrong, and that it was is all it says.
func believed(at, now int64) int64 {
	if at > now+facts.FarAhead {
		return 1
	}
	return at
}

// Note writes down what the end of a job at a moment says of its repository. Where that
// makes a repository better or worse, it notes the hosts that back up into it as
// changed.
func Note(ctx context.Context, tx *sqlx.Tx, e Ended, at, now int64) error {
	worse, err := noteDamage(ctx, tx, e, at, now)
	if err != nil {
		return fmt.Errorf("damage of repository %s: %w", e.Repository, err)
	}
	for _, s := range Says(e) {
		moved, err := note(ctx, tx, e, s, at, now)
		if err != nil {
			return fmt.Errorf("look at repository %s: %w", e.Repository, err)
		}
		worse = worse || moved && s.Kind == Open
	}
	if !worse {
		return nil
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO host_changes (host, n) SELECT DISTINCT host,
		(SELECT coalesce(max(n), 0) + 1 FROM host_changes) FROM source_groups WHERE repository = $1
		ON CONFLICT (host) DO UPDATE SET n = excluded.n`, e.Repository)
	return err
}

// After returns what is known after another look of the kind, by a job that ended at a
// moment. One that is reported late changes nothing that is newer.
func (l Look) After(cause topics.Cause, job topics.JobID, at int64) Look {
	switch {
	case cause == "":
		if l.GoodAt = max(l.GoodAt, at); l.BadAt <= at {
			l.BadSince, l.BadAt, l.Cause, l.Job = 0, 0, "", ""
		}
	case at >= l.GoodAt && at >= l.BadAt:
		if l.BadSince == 0 || l.Cause != cause {
			l.BadSince = at
		}
		l.BadAt, l.Cause, l.Job = at, cause, job
	}
	return l
}

// note writes down one look. It reports whether that may change what is to be said of
// the repository, other than by the age of the look.
func note(ctx context.Context, tx *sqlx.Tx, e Ended, s Said, at, clock int64) (moved bool, err error) {
	was, _, err := one[Look](ctx, tx, `SELECT * FROM repository_looks WHERE repository = $1 AND kind = $2 AND host = $3`,
		e.Repository, s.Kind, e.Host)
	if err != nil {
		return false, err
	}
	was.Repository, was.Kind, was.Host = e.Repository, s.Kind, e.Host
	was.GoodAt, was.BadAt, was.BadSince = believed(was.GoodAt, clock), believed(was.BadAt, clock), believed(was.BadSince, clock)
	now := was.After(s.Cause, e.Job, at)
	if now == was {
		return false, nil
	}
	// Each of these takes one row from an index, however many hosts there are.
	latest, _, err := one[int64](ctx, tx, `SELECT good_at FROM repository_looks INDEXED BY repository_looks_good
		WHERE repository = $1 AND kind = $2 ORDER BY good_at DESC LIMIT 1`, e.Repository, s.Kind)
	if err != nil {
		return false, err
	}
	switch {
	case s.Cause == "": // a trouble that began since the last good look was everybody's, and is over
		// While another trouble is on record, this look contradicts it for another while.
		since := latest
		if at/day > latest/day {
			since = 0
		}
		err = sqlx.GetContext(ctx, tx, &moved, `SELECT EXISTS (SELECT 1 FROM repository_looks
			INDEXED BY repository_looks_bad WHERE repository = $1 AND kind = $2 AND bad_since > 0 AND bad_since > $3)`, e.Repository, s.Kind, since)
	case now.BadSince != was.BadSince: // where another host says the same already, nothing becomes worse
		err = sqlx.GetContext(ctx, tx, &moved, `SELECT NOT EXISTS (SELECT 1 FROM repository_looks INDEXED BY repository_looks_bad
			WHERE repository = $1 AND kind = $2 AND bad_since > 0 AND bad_since > $3 AND bad_cause = $4 AND host <> $5)`,
			e.Repository, s.Kind, latest, s.Cause, e.Host)
	}
	if err != nil {
		return false, err
	}
	_, err = tx.NamedExecContext(ctx, `INSERT INTO repository_looks (repository, host, kind, good_at, bad_since, bad_at, bad_cause, bad_job)
		VALUES (:repository, :host, :kind, :good_at, :bad_since, :bad_at, :bad_cause, :bad_job)
		ON CONFLICT (repository, kind, host) DO UPDATE SET good_at = excluded.good_at, bad_since = excluded.bad_since,
			bad_at = excluded.bad_at, bad_cause = excluded.bad_cause, bad_job = excluded.bad_job`, now)
	return moved, err
}

// day is how often good looks are noted while a host's trouble is on record.
const day = 24 * 60 * 60 * 1000

// noteDamage writes down damage, or that a check found none. It reports whether the
// repository counts as damaged now and did not before, or the other way round.
func noteDamage(ctx context.Context, tx *sqlx.Tx, e Ended, at, clock int64) (moved bool, err error) {
	found, bad := Found(e)
	whole, good := Cleared(e)
	if !bad && !good {
		return false, nil
	}
	place, err := places.At(ctx, tx, e.Repository, e.Host)
	if err != nil {
		return false, err
	}
	was, known, err := one[Damage](ctx, tx, `SELECT * FROM repository_damage WHERE repository = $1 AND place = $2`, e.Repository, place.Host)
	if err != nil || known && at < believed(was.FoundAt, clock) {
		return false, err
	}
	if bad {
		now := Damage{
			Repository: e.Repository,
			Place:      place.Host,
			Since:      at,
			FoundAt:    at,
			Host:       e.Host,
			Job:        e.Job,
			Kind:       e.Kind,
			Scope:      found,
		}
		if e.Result != nil && e.Result.Check != nil {
			now.Errors = int64(min(e.Result.Check.Errors, 1<<62))
		}
		if known {
			now.Since, now.Scope = was.Since, was.Scope.join(found)
		}
		_, err = tx.NamedExecContext(ctx, `INSERT INTO repository_damage (repository, place, since, found_at, host, job, kind, errors, scope)
			VALUES (:repository, :place, :since, :found_at, :host, :job, :kind, :errors, :scope)
			ON CONFLICT (repository, place) DO UPDATE SET since = excluded.since, found_at = excluded.found_at, host = excluded.host,
				job = excluded.job, kind = excluded.kind, errors = excluded.errors, scope = excluded.scope, clean = ''`, now)
		return !known, err
	}
	if !known {
		return false, nil
	}
	clean := was.clean()
	if slices.Contains(clean, whole) {
		return false, nil
	}
	if clean = append(clean, whole); was.Scope.Covered(clean) {
		_, err = tx.ExecContext(ctx, `DELETE FROM repository_damage WHERE repository = $1 AND place = $2`, e.Repository, place.Host)
		return true, err
	}
	if whole == Structure || len(clean) > mostClean {
		return false, nil
	}
	texts := make([]string, len(clean))
	for i, s := range clean {
		texts[i] = string(s)
	}
	_, err = tx.ExecContext(ctx, `UPDATE repository_damage SET clean = $1 WHERE repository = $2 AND place = $3`, strings.Join(texts, ","),
		e.Repository, place.Host)
	return false, err
}

// mostClean bounds how many scopes are remembered; a check may divide the data into as
// many slices.
const mostClean = 1000

func (d Damage) clean() (list []Scope) {
	for text := range strings.SplitSeq(d.Clean, ",") {
		if text != "" {
			list = append(list, Scope(text))
		}
	}
	return list
}

// one reads a row, if it is there.
func one[T any](ctx context.Context, q sqlx.QueryerContext, query string, args ...any) (row T, known bool, err error) {
	var rows []T
	if err = scan.Select(ctx, q, &rows, query, args...); err == nil && len(rows) > 0 {
		return rows[0], true, nil
	}
	return row, false, err
}

// Know acknowledges the snapshots in the first listing of a repository that are older
// than its registration: they were there when it came into our care.
func Know(ctx context.Context, tx sqlx.ExecerContext, repository topics.RepositoryID, at int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE snapshots SET known_at = $1 WHERE repository = $2 AND job = '' AND gone_at = 0 AND known_at = 0
		AND time < (SELECT created_at FROM repositories WHERE id = $2)`, at, repository)
	return err
}

// Acknowledge says of all foreign snapshots of a repository that they are known. It
// returns how many were not.
func Acknowledge(ctx context.Context, tx sqlx.ExecerContext, repository topics.RepositoryID, at int64) (int64, error) {
	done, err := tx.ExecContext(ctx, `UPDATE snapshots SET known_at = $1 WHERE repository = $2 AND job = '' AND gone_at = 0
		AND known_at = 0`, at, repository)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/having"
	"github.com/restic-manager/restic-manager/store/restored"
	"github.com/restic-manager/restic-manager/topics"
)

// PlaneOf is which control plane this database is of.
func (s *Store) PlaneOf(ctx context.Context) (restored.Plane, error) { return restored.Of(ctx, s.r) }

// Unknown is the RequestedBy of jobs that were asked for after the copy was made from
// which the control plane was restored: their hosts tell that there were such jobs, and
// nobody knows who wanted them.
const Unknown = "unknown"

// mostRecovered is how many such jobs a host may add: more than it runs in the week that
// agents remember.
const mostRecovered = 10_000

// moment is a time in an audit entry.
func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// RestoreSelf makes the database that of a control plane which is restored now from a copy
// made at copied; see [restored.Begin]. admin, if it is not empty, is the user who is
// confirmed by whoever does it, and l their link: their password, which may be an old
// one, is removed.
func (s *Store) RestoreSelf(ctx context.Context, actor string, copied int64, admin string, l PasswordLink) (p restored.Plane, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		// Whoever was disabled in the copy and is named now is asked about like the others.
		if _, err := tx.ExecContext(ctx, `UPDATE users SET disabled_at = 0 WHERE id = $1`, admin); err != nil {
			return err
		}
		if p, err = restored.Begin(ctx, tx, s.Now(), copied); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE users SET disabled_at = $1 WHERE disabled_at = 0`, s.Now()); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor, "plane.restored", fmt.Sprint(p.Epoch), "from a copy of "+moment(copied)); err != nil || admin == "" {
			return err
		}
		if err := change(ctx, tx, `UPDATE users SET password_hash = '' WHERE id = $1`, admin); err != nil {
			return err
		}
		if err := s.answer(ctx, tx, actor, restored.Question{Kind: restored.User, ID: admin}, true); err != nil {
			return err
		}
		l.User = admin
		return s.addPasswordLink(ctx, tx, actor, l)
	})
	return p, err
}

// Copying notes that a copy of the database is made now, in the database and so in the
// copy.
func (s *Store) Copying(ctx context.Context, actor, to string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := restored.Copying(ctx, tx, s.Now()); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "plane.copied", to, "")
	})
}

// Questions lists whom this control plane asks about since it was restored.
func (s *Store) Questions(ctx context.Context) ([]restored.Question, error) {
	return restored.Questions(ctx, s.r)
}

// ErrUnconfirmed is that the control plane was restored from a copy, and that nobody has
// confirmed since that somebody is trusted still.
var ErrUnconfirmed = errors.New("it is not confirmed since the control plane was restored from a copy")

// ErrNotCopied is that no copy of the database was made, and why.
var ErrNotCopied = errors.New("the control plane's database could not be copied")

// Confirmed returns ErrUnconfirmed while somebody is asked about, or was refused.
func (s *Store) Confirmed(ctx context.Context, kind, id string) error {
	waits, err := restored.Waits(ctx, s.r, kind, id)
	if err == nil && waits {
		err = ErrUnconfirmed
	}
	return err
}

// UnconfirmedHosts are those that were asked about and not confirmed.
func (s *Store) UnconfirmedHosts(ctx context.Context) (map[topics.HostID]bool, error) {
	ids, err := restored.Unanswered(ctx, s.r, restored.Host)
	held := make(map[topics.HostID]bool, len(ids))
	for _, id := range ids {
		held[topics.HostID(id)] = true
	}
	return held, err
}

// Answer confirms or refuses some of those who are asked about. Who is confirmed has
// again the rights that the copy says. A host that is refused is revoked, a user stays
// disabled, a token or consumer is removed. Questions that have an answer are passed over;
// the result is how many had none.
func (s *Store) Answer(ctx context.Context, actor string, questions []restored.Question, confirmed bool) (n int, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		n = 0
		for _, q := range questions {
			switch err := s.answer(ctx, tx, actor, q, confirmed); {
			case errors.Is(err, ErrNotFound):
			case err != nil:
				return err
			default:
				n++
			}
		}
		return nil
	})
	return n, err
}

func (s *Store) answer(ctx context.Context, tx *sqlx.Tx, actor string, q restored.Question, confirmed bool) error {
	open, err := restored.Answer(ctx, tx, q.Kind, q.ID, actor, confirmed, s.Now())
	if err != nil {
		return err
	}
	if !open {
		return ErrNotFound
	}
	action := q.Kind + ".confirmed"
	if !confirmed {
		action = q.Kind + ".refused"
	}
	if err := s.audit(ctx, tx, actor, action, q.ID, "after the control plane was restored from a copy"); err != nil {
		return err
	}
	switch {
	case q.Kind == restored.User && confirmed:
		_, err = tx.ExecContext(ctx, `UPDATE users SET disabled_at = 0 WHERE id = $1`, q.ID)
	case q.Kind == restored.Host && !confirmed:
		_, err = s.revoke(ctx, tx, actor, topics.HostID(q.ID))
	case q.Kind == restored.Token && !confirmed:
		_, err = tx.ExecContext(ctx, `DELETE FROM api_tokens WHERE id = $1`, q.ID)
	case q.Kind == restored.Consumer && !confirmed:
		_, err = tx.ExecContext(ctx, `DELETE FROM mqtt_users WHERE name = $1`, q.ID)
	}
	return ignoreMissing(err)
}

// Gaps lists the times of which hosts could not tell everything again, of one host or of
// all with "".
func (s *Store) Gaps(ctx context.Context, host topics.HostID) ([]restored.Gap, error) {
	return restored.Gaps(ctx, s.r, host)
}

// Unlisted lists the places of repositories that nobody has listed, or was asked to list,
// since the control plane was restored.
func (s *Store) Unlisted(ctx context.Context) ([]restored.Stale, error) {
	return restored.Unlisted(ctx, s.r)
}

// Adopt notes a certificate of a host that was made after the copy this control plane was
// restored from. It returns ErrSuperseded if it was not, or is older than the one in use.
func (s *Store) Adopt(ctx context.Context, id topics.HostID, serial string, made, until int64) (Host, error) {
	var h Host
	err := s.tx(ctx, func(tx *sqlx.Tx) (err error) {
		if h, err = get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, id); err != nil {
			return err
		}
		p, err := restored.Of(ctx, tx)
		if err != nil {
			return err
		}
		if h.RevokedAt > 0 || !p.Lost(made) || until <= h.CertifiedUntil {
			return ErrSuperseded
		}
		if _, err := tx.ExecContext(ctx, `UPDATE hosts SET serial = $1, next_serial = '', certified_until = $2 WHERE id = $3`, serial, until,
			id); err != nil {
			return err
		}
		h.Serial, h.NextSerial, h.CertifiedUntil = serial, "", until
		return s.audit(ctx, tx, "plane", "host.certificate_adopted", string(id), serial+", made after the copy of "+moment(p.LostFrom))
	})
	return h, err
}

// Restoring implements protocol.PlaneTx.
func (j journal) Restoring(host topics.HostID) (int64, error) {
	return restored.Restoring(j.ctx, j.q, host)
}

// Behind implements protocol.PlaneTx.
func (j journal) Behind() (map[topics.HostID]bool, error) { return restored.Behind(j.ctx, j.q) }

// CaughtUp implements protocol.PlaneTx.
func (j journal) CaughtUp(host topics.HostID, at int64) error {
	if err := restored.CaughtUp(j.ctx, j.tx, host); err != nil {
		return err
	}
	return j.s.audit(j.ctx, j.tx, "plane", "host.caught_up", string(host), "it has told what happened since the copy was made")
}

// Missing implements protocol.PlaneTx.
func (j journal) Missing(host topics.HostID, at int64) error {
	return restored.Missing(j.ctx, j.tx, host, at)
}

// Recovered implements protocol.PlaneTx. A backup has to be of a source group of the
// host, and everything else of a repository that is there.
func (j journal) Recovered(host topics.HostID, a topics.Accepted, at int64) (p protocol.PlaneJob, known bool, err error) {
	if n, err := get[int](j.ctx, j.tx, `SELECT count(*) FROM jobs WHERE host = $1 AND requested_by = $2`, host, Unknown); err != nil ||
		n >= mostRecovered {
		return p, false, err
	}
	// The host says what it is: of a repository that it has, and of a kind that it is asked
	// for there. A prune of its own making would hold up everybody's jobs there. Where its
	// backups go may have been changed after the copy was made.
	if has, err := having.Has(j.ctx, j.tx, host, a.Repository, ""); err != nil || !has && a.Kind != topics.BackupJob ||
		!slices.Contains(topics.Kinds, a.Kind) {
		return p, false, err
	}
	if keeper, err := get[topics.HostID](j.ctx, j.tx, `SELECT keeper FROM repositories WHERE id = $1`, a.Repository); err != nil ||
		a.Kind.Exclusive() && keeper != "" && keeper != host {
		return p, false, ignoreMissing(err)
	}
	job := Job{ID: a.Job, Host: host, Kind: a.Kind, Repository: a.Repository, State: topics.Dispatched, RequestedBy: Unknown, QueuedAt: at,
		NotAfter: at, SentAt: at, Accepted: true, HeardAt: j.s.Now()}
	if a.Kind == topics.BackupJob {
		g, err := get[SourceGroup](j.ctx, j.tx, `SELECT * FROM source_groups WHERE id = $1 AND host = $2`, a.Group, host)
		if err != nil {
			return p, false, ignoreMissing(err)
		}
		job.SourceGroup = g.ID
	} else {
		job.Operation.V = &topics.Operation{}
	}
	if a.Slot != nil {
		sc, err := get[Schedule](j.ctx, j.tx, `SELECT * FROM schedules WHERE id = $1 AND host = $2`, a.Slot.Schedule, host)
		if err == nil {
			job.Schedule, job.Slot, job.Attempt = sc.ID, a.Slot.At, max(a.Slot.Attempt, 0)
		} else if !errors.Is(err, ErrNotFound) {
			return p, false, err
		}
	}
	if _, err := j.tx.NamedExecContext(j.ctx, `INSERT INTO jobs (id, host, kind, source_group, repository, operation, state, requested_by,
		queued_at, not_after, sent_at, accepted, schedule, slot, attempt, heard_at)
		VALUES (:id, :host, :kind, :source_group, :repository, :operation, :state, :requested_by, :queued_at, :not_after, :sent_at, :accepted,
		:schedule, :slot, :attempt, :heard_at)`, job); err != nil {
		return p, false, fmt.Errorf("job %s, which the copy does not have: %w", job.ID, err)
	}
	if err := names(j.ctx, j.tx, job); err != nil {
		return p, false, err
	}
	if err := j.s.audit(j.ctx, j.tx, "plane", "job.recovered", string(job.ID), string(job.Kind)+" on "+string(host)); err != nil {
		return p, false, err
	}
	return j.Job(a.Job)
}

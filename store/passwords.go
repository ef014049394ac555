package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// KeyPassword returns a password of the table of those that are not, or not yet, a
// repository's own.
func (s *Store) KeyPassword(ctx context.Context, repository topics.RepositoryID, id string) (topics.Secret, error) {
	return s.keyPassword(ctx, s.r, repository, id)
}

func (s *Store) keyPassword(ctx context.Context, q sqlx.ExtContext, repository topics.RepositoryID, id string) (topics.Secret, error) {
	sealed, err := get[[]byte](ctx, q, `SELECT password FROM key_passwords WHERE id = $1 AND repository = $2`, id, repository)
	if err != nil {
		return "", fmt.Errorf("the password %s: %w", id, err)
	}
	plain, err := s.keys.open(ctx, q, keyring.Place("key_passwords", id, "password"), sealed)
	return topics.Secret(plain), err
}

func (s *Store) addKeyPassword(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, id string, p topics.Secret) error {
	sealed, err := s.keys.seal(ctx, tx, keyring.Place("key_passwords", id, "password"), []byte(p.Reveal()))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO key_passwords (id, repository, password, created_at) VALUES ($1, $2, $3, $4)`,
		id, repository, sealed, s.Now())
	return err
}

// AddKeyPassword keeps the password of a key that is to be added for somebody, until
// DropKeyPasswords finds that its job has ended.
func (s *Store) AddKeyPassword(ctx context.Context, actor string, repository topics.RepositoryID, p topics.Secret, detail string) (
	id string, err error,
) {
	id = topics.NewID(time.UnixMilli(s.Now()))
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := inCare(ctx, tx, repository); err != nil {
			return err
		}
		if err := s.addKeyPassword(ctx, tx, repository, id, p); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "repository.key_asked", string(repository), detail)
	})
	return id, err
}

// keyPasswordLasts is how long a password stays for which no job was asked: whoever was to
// ask for it has died.
const keyPasswordLasts = int64(24 * time.Hour / time.Millisecond)

// DropKeyPasswords erases the passwords of keys that were added: no change of a
// repository's password names them, and no job that has not ended.
func (s *Store) DropKeyPasswords(ctx context.Context) error {
	const unused = ` FROM key_passwords WHERE id NOT IN (SELECT lasting FROM password_changes UNION SELECT former FROM password_changes)
		AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = 'key' AND jobs.repository = key_passwords.repository AND finished_at = 0
			AND json_extract(operation, '$.key.of') = key_passwords.id)
		AND (created_at < $1 OR EXISTS (SELECT 1 FROM jobs WHERE kind = 'key' AND jobs.repository = key_passwords.repository
			AND json_extract(operation, '$.key.of') = key_passwords.id))`
	before := s.Now() - keyPasswordLasts
	if n, err := get[int](ctx, s.r, `SELECT count(*)`+unused, before); err != nil || n == 0 {
		return err
	}
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE`+unused, before)
		return err
	})
}

// BeginPassword begins to change a repository's password. It returns passwords.ErrGoing if
// another change is not over yet, and ErrSame if it is the one that it has.
func (s *Store) BeginPassword(ctx context.Context, actor string, id topics.RepositoryID, p topics.Secret, patient bool) (
	c passwords.Change, err error,
) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		r, err := repository(ctx, tx, id)
		if err != nil {
			return err
		}
		if _, err := passwords.Going(ctx, tx, id); !errors.Is(err, passwords.ErrNone) {
			if err == nil {
				err = passwords.ErrGoing
			}
			return err
		}
		a, err := s.openAccess(ctx, tx, id)
		if err != nil {
			return err
		}
		if a.Password == p {
			return ErrSame
		}
		now := s.Now()
		c = passwords.Change{ID: topics.NewID(time.UnixMilli(now)), Repository: id, State: passwords.Adding, Patient: patient,
			BeganBy: actor, BeganAt: now}
		c.Lasting, c.Former = c.ID+"-new", c.ID+"-old"
		for of, password := range map[string]topics.Secret{c.Lasting: p, c.Former: a.Password} {
			if err := s.addKeyPassword(ctx, tx, id, of, password); err != nil {
				return err
			}
		}
		if err := passwords.Put(ctx, tx, c); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "repository.password_began", string(id), r.Name)
	})
	return c, err
}

// ErrSame is that a repository's password is to be changed to the one that it has.
var ErrSame = errors.New("that is the password which the repository has")

// Passwords lists the changes of a repository's password, the last first.
func (s *Store) Passwords(ctx context.Context, id topics.RepositoryID) ([]passwords.Change, error) {
	return passwords.Of(ctx, s.r, id)
}

// OpenPasswords lists the changes of passwords of which something is left to do.
func (s *Store) OpenPasswords(ctx context.Context) ([]passwords.Change, error) {
	return passwords.Open(ctx, s.r)
}

// A PasswordLook is what is known of a change of a repository's password, at one moment.
type PasswordLook struct {
	passwords.Change
	Row    Repository
	Places []passwords.Place // of the repository, also those that the change has not met yet
	Hosts  []PasswordHost
	Jobs   map[topics.JobID]Job // of the places
	Busy   []Job                // that work in the repository with the password of before
	// Unseen says that a host that has the repository has a place of its own where no job has
	// found or made one: what is there may be opened by the former password alone.
	Unseen bool
	// Making says that a host is at work making the repository at some place, with the
	// password that its row has now.
	Making bool
}

// A PasswordHost is a host that has the repository.
type PasswordHost struct {
	passwords.Host
	Name string
	// Has says that the host holds what the row of the repository says now, as far as it has
	// told: it confirmed the revision of its config that has it, or has no config.
	Has bool
}

// LookPassword reads what is known of a change.
func (s *Store) LookPassword(ctx context.Context, id string) (l PasswordLook, err error) {
	c, err := passwords.Find(ctx, s.r, id)
	if err != nil {
		return l, ours(err)
	}
	return s.lookPassword(ctx, s.r, c)
}

func (s *Store) lookPassword(ctx context.Context, q sqlx.QueryerContext, c passwords.Change) (l PasswordLook, err error) {
	l = PasswordLook{Change: c, Jobs: map[topics.JobID]Job{}}
	if l.Row, err = get[Repository](ctx, q, `SELECT `+repositoryColumns+` FROM repositories WHERE id = $1`, c.Repository); err != nil {
		return l, err
	}
	if l.Places, err = passwords.Places(ctx, q, c.ID); err != nil {
		return l, err
	}
	met := map[topics.HostID]bool{}
	for _, p := range l.Places {
		met[p.Host] = true
	}
	fresh, err := newPlaces(ctx, q, c, places.Shared(l.Row.Location))
	if err != nil {
		return l, err
	}
	for _, h := range fresh {
		if !met[h] {
			l.Places = append(l.Places, passwords.Place{Change: c.ID, Repository: c.Repository, Host: h})
		}
	}
	for _, p := range l.Places {
		if p.Job == "" {
			continue
		}
		j, err := get[Job](ctx, q, `SELECT * FROM jobs WHERE id = $1`, p.Job)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return l, err
		} else if err == nil {
			l.Jobs[p.Job] = j
		}
	}
	type row struct {
		ID        topics.HostID `db:"id"`
		Name      string        `db:"name"`
		Confirmed int64         `db:"confirmed_at"`
		WaivedBy  string        `db:"waived_by"`
		Has       bool          `db:"has"`
	}
	rows, err := all[row](ctx, q, `SELECT h.id, h.name, coalesce(p.confirmed_at, 0) AS confirmed_at,
			coalesce(p.waived_by, '') AS waived_by,
			(h.config_applied < 0 OR (SELECT n FROM configs_considered) >= $1 AND h.config_applied = h.config_revision) AS has
		FROM hosts h LEFT JOIN password_change_hosts p ON p.change_id = $2 AND p.host = h.id
		WHERE h.removed_at = 0 AND h.retired_at = 0 AND h.revoked_at = 0 AND (h.id = $3 OR EXISTS (SELECT 1 FROM source_groups g
			WHERE g.host = h.id AND g.repository = $4)
			-- who may not know yet that it has it no more
			OR h.config_applied >= 0 AND h.config_applied < h.config_revision AND (
				EXISTS (SELECT 1 FROM snapshots n WHERE n.repository = $4 AND n.gone_at = 0 AND n.host = h.id)
				OR EXISTS (SELECT 1 FROM jobs j WHERE j.host = h.id AND j.repository = $4)))
		ORDER BY h.name`, c.SwitchedN, c.ID, l.Row.Keeper, c.Repository)
	if err != nil {
		return l, err
	}
	for _, r := range rows {
		l.Hosts = append(l.Hosts, PasswordHost{Name: r.Name, Has: r.Has, Host: passwords.Host{Change: c.ID, Repository: c.Repository,
			Host: r.ID, ConfirmedAt: r.Confirmed, WaivedBy: r.WaivedBy}})
	}
	if l.Busy, err = all[Job](ctx, q, `SELECT j.* FROM jobs j LEFT JOIN password_change_hosts p ON p.change_id = $1 AND p.host = j.host
		WHERE $2 IN (j.repository, j.other) AND j.finished_at = 0 AND j.state <> 'queued' AND j.kind <> 'update'
			AND coalesce(p.waived_by, '') = ''
			AND (j.queued_at <= $3 OR j.fired <> 0 AND j.heard_at <= coalesce(p.confirmed_at, 0))
			AND j.id NOT IN (SELECT job FROM password_change_places WHERE change_id = $1) ORDER BY j.id`,
		c.ID, c.Repository, c.SwitchedAt); err != nil {
		return l, err
	}
	if !places.Shared(l.Row.Location) {
		if l.Unseen, err = get[bool](ctx, q, `SELECT EXISTS (SELECT 1 FROM source_groups g JOIN hosts h ON h.id = g.host
				AND h.removed_at + h.retired_at + h.revoked_at = 0
			WHERE g.repository = $1 AND NOT EXISTS (SELECT 1 FROM places p WHERE p.repository = $1 AND p.host = g.host AND p.ready_at > 0))`,
			c.Repository); err != nil {
			return l, err
		}
	}
	l.Making, err = get[bool](ctx, q, `SELECT EXISTS (SELECT 1 FROM jobs WHERE repository = $1 AND kind = 'init' AND finished_at = 0
		AND state <> 'queued')`, c.Repository)
	return l, err
}

// newPlaces lists the hosts whose places a change may not have met yet. Once the row has the
// password that lasts, a place is also met where that one opens nothing: it was made or first
// seen with the other.
func newPlaces(ctx context.Context, q sqlx.QueryerContext, c passwords.Change, shared bool) (at []topics.HostID, err error) {
	if !c.Ended() && (!c.Back || c.SwitchedAt > 0) {
		at, err = all[topics.HostID](ctx, q, `SELECT host FROM places WHERE repository = $1 AND ready_at > 0 AND (host = '') = $2 ORDER BY host`,
			c.Repository, shared)
	}
	if err != nil || shared || c.SwitchedAt == 0 || c.Former == "" {
		return at, err
	}
	wrong, err := all[topics.HostID](ctx, q, `SELECT l.host FROM repository_looks l JOIN hosts h ON h.id = l.host
			AND h.removed_at + h.retired_at + h.revoked_at = 0
		WHERE l.repository = $1 AND l.kind = 'open' AND l.bad_since > 0 AND l.bad_at > $2 AND l.bad_cause = $3
			AND EXISTS (SELECT 1 FROM source_groups g WHERE g.host = l.host AND g.repository = l.repository) ORDER BY l.host`,
		c.Repository, c.SwitchedAt, topics.CausePassword)
	for _, h := range wrong {
		if !slices.Contains(at, h) {
			at = append(at, h)
		}
	}
	return at, err
}

// StepPassword takes one step of a change, in one transaction: decide is shown what is known
// in it, and returns the rows that it wants to be written and whether the repository's row
// gets the password that lasts. It may be called again after a crash at any point.
func (s *Store) StepPassword(ctx context.Context, id string, decide func(PasswordLook) (PasswordStep, error)) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		c, err := passwords.Find(ctx, tx, id)
		if err != nil {
			return err
		}
		l, err := s.lookPassword(ctx, tx, c)
		if err != nil {
			return err
		}
		step, err := decide(l)
		if err != nil {
			return err
		}
		for _, p := range step.Places {
			if slices.Contains(step.Fresh, p.Host) {
				if p.FormerKey, err = s.newKeyAt(ctx, tx, p); err != nil {
					return err
				}
			}
			if err := passwords.PutPlace(ctx, tx, p); err != nil {
				return err
			}
		}
		for _, h := range step.Hosts {
			if err := passwords.PutHost(ctx, tx, h); err != nil {
				return err
			}
		}
		was := c
		c = step.Change
		if step.Switch {
			if err := s.switchPassword(ctx, tx, &c, step.actor(), l); err != nil {
				return err
			}
		}
		if step.Erase {
			if _, err := tx.ExecContext(ctx, `DELETE FROM key_passwords WHERE id IN ($1, $2)`, c.Former, c.Lasting); err != nil {
				return err
			}
			c.Former, c.Lasting = "", ""
		}
		if c != was {
			if err := passwords.Put(ctx, tx, c); err != nil {
				return err
			}
		}
		if c != was || len(step.Places)+len(step.Hosts) > 0 || step.Erase {
			failpoint.Here("plane-password-stepped")
		}
		if step.Says == "" {
			return nil
		}
		return s.audit(ctx, tx, step.actor(), step.Action, string(c.Repository), step.Says)
	})
}

// A PasswordStep is what a step of a change writes.
type PasswordStep struct {
	Change passwords.Change // as it is from now on
	Places []passwords.Place
	Hosts  []passwords.Host
	Fresh  []topics.HostID // at whose places the password that the row has already was just proven
	Switch bool            // the repository's row gets Change.Lasting
	Erase  bool            // both passwords are erased; the repository's row has the one that lasts
	// Actor is who decided it, "" for nobody; Action and Says are of the audit log, if there
	// is anything to say.
	Actor, Action, Says string
}

func (s PasswordStep) actor() string {
	if s.Actor == "" {
		return Plane
	}
	return s.Actor
}

// switchPassword gives the repository's row the password that lasts. From then on commands
// and configs have it, and the key that it opens is tried first.
func (s *Store) switchPassword(ctx context.Context, tx *sqlx.Tx, c *passwords.Change, actor string, l PasswordLook) error {
	p, err := s.keyPassword(ctx, tx, c.Repository, c.Lasting)
	if err != nil {
		return err
	}
	sealed, err := s.keys.seal(ctx, tx, keyring.Place("repositories", string(c.Repository), "password"), []byte(p.Reveal()))
	if err != nil {
		return err
	}
	hint := ""
	for i, place := range l.Places {
		if place.AddedAt > 0 && !c.Back {
			if l.Places[i].FormerKey, err = openedAt(ctx, tx, c.Repository, place.Host); err != nil {
				return err
			}
			if err := passwords.PutPlace(ctx, tx, l.Places[i]); err != nil {
				return err
			}
		}
		if place.AddedAt == 0 {
			continue // what opened it before still does
		}
		if place.Host == "" && !c.Back {
			hint = place.KeyID
		}
		opened := place.KeyID
		if c.Back {
			opened = "" // the next listing says which one it is
		}
		if _, err := tx.ExecContext(ctx, `UPDATE repository_keys SET trusted = (trusted <> 0 OR opened <> 0 OR id = $1), opened = (id = $1)
			WHERE repository = $2 AND ($3 = '' OR place = $3)`, opened, c.Repository, place.Host); err != nil {
			return err
		}
	}
	if err := change(ctx, tx, `UPDATE repositories SET password = $1, key_hint = $2 WHERE id = $3`, sealed, hint, c.Repository); err != nil {
		return err
	}
	if err := s.audit(ctx, tx, actor, "repository.password_changed", string(c.Repository), l.Row.Name); err != nil {
		return err
	}
	c.SwitchedAt = s.Now()
	c.SwitchedN, err = get[int64](ctx, tx, `SELECT max(n) FROM audit`)
	return err
}

// openedAt is the key that our password opened at a place in the last listing, "" if unknown.
func openedAt(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, place topics.HostID) (string, error) {
	id, err := get[string](ctx, tx, `SELECT id FROM repository_keys WHERE repository = $1 AND ($2 = '' OR place = $2) AND opened <> 0
		LIMIT 1`, repository, place)
	return id, ignoreMissing(err)
}

// newKeyAt has the key of a place be the one with which it is opened, where that came after the
// repository's row had its password. It returns the key that was it before.
func (s *Store) newKeyAt(ctx context.Context, tx *sqlx.Tx, p passwords.Place) (former string, err error) {
	if former, err = openedAt(ctx, tx, p.Repository, p.Host); err != nil || former == p.KeyID {
		return "", err
	}
	_, err = tx.ExecContext(ctx, `UPDATE repository_keys SET trusted = (trusted <> 0 OR opened <> 0 OR id = $1), opened = (id = $1)
		WHERE repository = $2 AND ($3 = '' OR place = $3)`, p.KeyID, p.Repository, p.Host)
	return former, err
}

// OldPlaces says which places of a repository its password does not open, since a change of it
// went on without them.
func (s *Store) OldPlaces(ctx context.Context, id topics.RepositoryID) ([]passwords.OldPlace, error) {
	return passwords.OldPlaces(ctx, s.r, id)
}

// PasswordAt returns the password that opens a host's place where that is not the one which
// the repository has; false if it is.
func (s *Store) PasswordAt(ctx context.Context, id topics.RepositoryID, place topics.HostID) (p topics.Secret, other bool, err error) {
	list, err := passwords.OldPlaces(ctx, s.r, id)
	for _, o := range list {
		if o.Host == place {
			p, err = s.KeyPassword(ctx, id, o.Former)
			return p, err == nil, err
		}
	}
	return "", false, err
}

// ShowPasswordAt is PasswordAt for somebody who is shown it, with an entry in the audit log. It
// returns passwords.ErrNone if the place is opened by the repository's own.
func (s *Store) ShowPasswordAt(ctx context.Context, actor string, id topics.RepositoryID, place topics.HostID) (
	p topics.Secret, err error,
) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		list, err := passwords.OldPlaces(ctx, tx, id)
		if err != nil {
			return err
		}
		for _, o := range list {
			if o.Host != place {
				continue
			}
			if p, err = s.keyPassword(ctx, tx, id, o.Former); err != nil {
				return err
			}
			return s.audit(ctx, tx, actor, "repository.password_shown", string(id), "of the place of "+nameIn(ctx, tx, "hosts", string(place)))
		}
		return passwords.ErrNone
	})
	return p, err
}

// Opener returns the password with which the key of another one is to be added, "" if it is the
// repository's own: its row has the other one already.
func (s *Store) Opener(ctx context.Context, id topics.RepositoryID, lasting string) (topics.Secret, error) {
	former, err := passwords.Opener(ctx, s.r, id, lasting)
	if err != nil || former == "" {
		return "", err
	}
	return s.KeyPassword(ctx, id, former)
}

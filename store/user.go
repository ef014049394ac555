package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/store/restored"
)

// Role is what a person or a token may do.
type Role = access.Role

// The roles, each with the rights of those before it.
const (
	Viewer   = access.Viewer
	Operator = access.Operator
	Restorer = access.Restorer
	Admin    = access.Admin
)

// Roles lists the roles, the weakest first.
var Roles = access.Roles

// A User is a person with an account.
type User struct {
	ID           string `db:"id"`
	Name         string `db:"name"`
	Role         Role   `db:"role"`
	PasswordHash string `db:"password_hash"` // argon2id, in its PHC form; "" until they set one by a link
	CreatedAt    int64  `db:"created_at"`
	DisabledAt   int64  `db:"disabled_at"` // 0 unless they are disabled
	SeenAt       int64  `db:"seen_at"`     // when a session of theirs was last used
	Zone         string `db:"zone"`        // in which they see moments: an IANA name, "browser" or "server"
}

var (
	// ErrLastAdmin is the error that no administrator would be left.
	ErrLastAdmin = errors.New("it is the last administrator who can sign in")
	// ErrDisabled is the error that a user is disabled and could not use a link.
	ErrDisabled = errors.New("the user is disabled")
)

// AddUser adds a user. Names are unique without regard to case: ErrConflict.
func (s *Store) AddUser(ctx context.Context, actor string, u User) error {
	err := s.tx(ctx, func(tx *sqlx.Tx) error { return s.addUser(ctx, tx, actor, u) })
	return errors.Join(err, s.markFirst(ctx))
}

// InviteUser adds a user who has no password, and the link by which they set one.
func (s *Store) InviteUser(ctx context.Context, actor string, u User, l PasswordLink) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := s.addUser(ctx, tx, actor, u); err != nil {
			return err
		}
		l.User = u.ID
		return s.addPasswordLink(ctx, tx, actor, l)
	})
}

// AddFirstUser adds a user only if there is none yet; otherwise ErrConflict.
func (s *Store) AddFirstUser(ctx context.Context, actor string, u User) error {
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		n, err := get[int](ctx, tx, `SELECT count(*) FROM users`)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: there is a user already", ErrConflict)
		}
		return s.addUser(ctx, tx, actor, u)
	})
	return errors.Join(err, s.markFirst(ctx))
}

func (s *Store) addUser(ctx context.Context, tx *sqlx.Tx, actor string, u User) error {
	names, err := all[string](ctx, tx, `SELECT name FROM users`)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.EqualFold(name, u.Name) { // the audit log could not tell an Anna from an anna
			return fmt.Errorf("add user: %w", ErrConflict)
		}
	}
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO users (id, name, role, password_hash, created_at)
		VALUES (:id, :name, :role, :password_hash, :created_at)`, u); err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	return s.audit(ctx, tx, actor, "user.created", u.ID, u.Name+" as "+string(u.Role))
}

// UserCount counts users. While there are none, the first-run page is open to whoever
// holds its link.
func (s *Store) UserCount(ctx context.Context) (int, error) {
	return get[int](ctx, s.r, `SELECT count(*) FROM users`)
}

// Users lists everybody, by name.
func (s *Store) Users(ctx context.Context) ([]User, error) {
	return all[User](ctx, s.r, `SELECT * FROM users ORDER BY name`)
}

// UserByName returns a user by name, or ErrNotFound.
func (s *Store) UserByName(ctx context.Context, name string) (User, error) {
	return get[User](ctx, s.r, `SELECT * FROM users WHERE name = $1`, name)
}

// User returns a user by ID, or ErrNotFound.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	return get[User](ctx, s.r, `SELECT * FROM users WHERE id = $1`, id)
}

// A UserChange changes a user; nil fields stay as they are.
type UserChange struct {
	Role         *Role
	Disabled     *bool
	PasswordHash *string
	Zone         *string
	// Heir is whose their API tokens and MQTT consumers become when they are disabled;
	// nil revokes these.
	Heir *Maker
	// Stays says which of their jobs that wait they, and programs of theirs, may still
	// have; the others are cancelled. Nil is all, unless they are disabled.
	Stays Stays
}

// ChangeUser makes all changes or none, and returns the new row. Any actual change
// but that of the zone ends the user's sessions; see setRole and setDisabled for what else
// a demotion ends. It returns ErrLastAdmin for the last administrator who can sign in.
func (s *Store) ChangeUser(ctx context.Context, actor, id string, c UserChange) (u User, left Left, err error) {
	err = s.changeUser(ctx, id, func(tx *sqlx.Tx, u User) error {
		if c.Role != nil && *c.Role != u.Role {
			if err := s.setRole(ctx, tx, actor, u, *c.Role, c.Stays, &left); err != nil {
				return err
			}
		}
		if c.Disabled != nil && *c.Disabled != (u.DisabledAt != 0) {
			if err := s.setDisabled(ctx, tx, actor, u, *c.Disabled, c.Heir, &left); err != nil {
				return err
			}
		}
		if c.Zone != nil && *c.Zone != u.Zone {
			if err := change(ctx, tx, `UPDATE users SET zone = $1 WHERE id = $2`, *c.Zone, u.ID); err != nil {
				return err
			}
			if err := s.audit(ctx, tx, actor, "user.zone_set", u.ID, fmt.Sprintf("%s: %s to %s", u.Name, u.Zone, *c.Zone)); err != nil {
				return err
			}
		}
		if c.PasswordHash != nil {
			return s.setPassword(ctx, tx, actor, u, *c.PasswordHash)
		}
		return nil
	}, &u)
	return u, left, err
}

// setRole also invalidates the links and enrolment tokens that the user made, or a
// program of theirs, and cancels jobs that these may not ask for any more.
func (s *Store) setRole(ctx context.Context, tx *sqlx.Tx, actor string, u User, role Role, stays Stays, left *Left) error {
	if err := change(ctx, tx, `UPDATE users SET role = $1 WHERE id = $2`, role, u.ID); err != nil {
		return err
	}
	if err := endSessions(ctx, tx, u.ID); err != nil {
		return err
	}
	if err := s.audit(ctx, tx, actor, "user.role_changed", u.ID, fmt.Sprintf("%s: %s to %s", u.Name, u.Role, role)); err != nil {
		return err
	}
	theirs, err := access.Of(ctx, tx, u.ID)
	if err != nil {
		return err
	}
	names := append(theirs.Actors(), u.Name)
	for _, name := range names {
		if err := s.withdraw(ctx, tx, name); err != nil {
			return err
		}
	}
	if stays == nil {
		return nil
	}
	return s.callOff(ctx, tx, actor, names, stays, left)
}

// setDisabled also invalidates the user's own link, and those they made for others,
// and ends their credentials or makes them an heir's.
func (s *Store) setDisabled(ctx context.Context, tx *sqlx.Tx, actor string, u User, disabled bool, heir *Maker, left *Left) error {
	at, action := int64(0), "user.enabled"
	if disabled {
		at, action = s.Now(), "user.disabled"
	}
	if err := change(ctx, tx, `UPDATE users SET disabled_at = $1 WHERE id = $2`, at, u.ID); err != nil {
		return err
	}
	if !disabled {
		if _, err := restored.Answer(ctx, tx, restored.User, u.ID, actor, true, s.Now()); err != nil {
			return err
		}
	}
	if err := s.shutOut(ctx, tx, u); err != nil {
		return err
	}
	if err := s.audit(ctx, tx, actor, action, u.ID, u.Name); err != nil || !disabled {
		return err
	}
	return s.goes(ctx, tx, actor, u, heir, left)
}

// goes ends a person's credentials, or makes them an heir's, and cancels their jobs
// that wait.
func (s *Store) goes(ctx context.Context, tx *sqlx.Tx, actor string, u User, heir *Maker, left *Left) (err error) {
	if left.Credentials, err = access.Of(ctx, tx, u.ID); err != nil {
		return err
	}
	return s.leave(ctx, tx, actor, heir, left, nil, u.Name)
}

// callOff cancels the jobs that these people and programs asked for, that were not sent
// yet, and that they may not have any more: whatever they are, of somebody who may do
// nothing at all.
func (s *Store) callOff(ctx context.Context, tx *sqlx.Tx, actor string, names []string, stays Stays, left *Left) error {
	waiting, err := among[Job](ctx, tx, `SELECT * FROM jobs WHERE requested_by IN (?) AND finished_at = 0 AND state = 'queued'
		ORDER BY queued_at, id`, names)
	if err != nil || len(waiting) == 0 {
		return err
	}
	roles, err := access.Acting(ctx, tx)
	if err != nil {
		return err
	}
	for _, j := range waiting {
		if role := roles[j.RequestedBy]; role != "" && (stays == nil || stays(role, j)) {
			continue
		}
		if err := change(ctx, tx, `UPDATE jobs SET cancelled_by = $1 WHERE id = $2`, actor, j.ID); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor, "job.cancel_asked", string(j.ID), j.RequestedBy+" may not ask for it any more"); err != nil {
			return err
		}
		step := protocol.CancelAsked{Job: j.ID, By: actor, Now: s.Now()}
		if _, err := protocol.PlaneStep(protocol.DefaultTiming(), newJournal(ctx, s, tx), step); err != nil {
			return err
		}
		left.Jobs = append(left.Jobs, j)
	}
	return nil
}

// shutOut ends a user's sessions, and invalidates their own link and those they made.
func (s *Store) shutOut(ctx context.Context, tx *sqlx.Tx, u User) error {
	if err := endSessions(ctx, tx, u.ID); err != nil {
		return err
	}
	if err := dropLinks(ctx, tx, u.ID); err != nil {
		return err
	}
	return s.withdraw(ctx, tx, u.Name)
}

// RemoveUser removes a user, with sessions, links, drafts and credentials, unless there is an
// heir to these. What they did stays in the audit log.
func (s *Store) RemoveUser(ctx context.Context, actor, id string, heir *Maker) (left Left, err error) {
	err = s.changeUser(ctx, id, func(tx *sqlx.Tx, u User) error {
		if err := s.shutOut(ctx, tx, u); err != nil {
			return err
		}
		if err := change(ctx, tx, `DELETE FROM users WHERE id = $1`, id); err != nil {
			return err
		}
		if err := drafts.Forget(ctx, tx, id); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor, "user.removed", id, u.Name); err != nil {
			return err
		}
		return s.goes(ctx, tx, actor, u, heir, &left)
	}, nil)
	return left, err
}

// changeUser changes or removes a user, unless that would leave no administrator who
// can sign in. If now is not nil, it reads the new row into it.
func (s *Store) changeUser(ctx context.Context, id string, change func(*sqlx.Tx, User) error, now *User) error {
	const admins = `SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at = 0 AND password_hash <> ''`
	const byID = `SELECT * FROM users WHERE id = $1`
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		u, err := get[User](ctx, tx, byID, id)
		if err != nil {
			return err
		}
		before, err := get[int](ctx, tx, admins)
		if err != nil {
			return err
		}
		if err := change(tx, u); err != nil {
			return err
		}
		after, err := get[int](ctx, tx, admins)
		if err == nil && before > 0 && after == 0 {
			err = ErrLastAdmin
		}
		if err == nil && now != nil {
			*now, err = get[User](ctx, tx, byID, id)
		}
		return err
	})
}

func (s *Store) setPassword(ctx context.Context, tx *sqlx.Tx, actor string, u User, hash string) error {
	if err := change(ctx, tx, `UPDATE users SET password_hash = $1 WHERE id = $2`, hash, u.ID); err != nil {
		return err
	}
	if err := endSessions(ctx, tx, u.ID); err != nil {
		return err
	}
	if err := dropLinks(ctx, tx, u.ID); err != nil {
		return err
	}
	return s.audit(ctx, tx, actor, "user.password_set", u.ID, u.Name)
}

// RenewHash replaces a password's hash by a stronger one of the same password, unless
// the password was changed meanwhile.
func (s *Store) RenewHash(ctx context.Context, id, old, hash string) error {
	_, err := s.w.ExecContext(ctx, `UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3`, hash, id, old)
	return ours(err)
}

// A PasswordLink lets a user set their password, once. Only the hash of its key
// is kept.
type PasswordLink struct {
	KeyHash   []byte `db:"key_hash"`
	User      string `db:"user_id"`
	CreatedAt int64  `db:"created_at"`
	CreatedBy string `db:"created_by"`
	ExpiresAt int64  `db:"expires_at"`
}

// AddPasswordLink makes a user's only valid link; earlier ones become invalid. The
// password stays until the link is used. It returns ErrDisabled for a disabled user.
func (s *Store) AddPasswordLink(ctx context.Context, actor string, l PasswordLink) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return s.addPasswordLink(ctx, tx, actor, l) })
}

func (s *Store) addPasswordLink(ctx context.Context, tx *sqlx.Tx, actor string, l PasswordLink) error {
	u, err := get[User](ctx, tx, `SELECT * FROM users WHERE id = $1`, l.User)
	if err != nil {
		return err
	}
	if u.DisabledAt != 0 {
		return ErrDisabled
	}
	if err := dropLinks(ctx, tx, u.ID); err != nil {
		return err
	}
	l.CreatedBy = actor
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO password_links (key_hash, user_id, created_at, created_by, expires_at)
		VALUES (:key_hash, :user_id, :created_at, :created_by, :expires_at)`, l); err != nil {
		return fmt.Errorf("add password link: %w", err)
	}
	return s.audit(ctx, tx, actor, "user.password_link_made", u.ID, u.Name)
}

const userOfLink = `SELECT users.* FROM users JOIN password_links ON user_id = users.id
	WHERE key_hash = $1 AND expires_at > $2 AND disabled_at = 0`

// PasswordLinkUser returns the user of a valid link, or ErrNotFound.
func (s *Store) PasswordLinkUser(ctx context.Context, keyHash []byte) (User, error) {
	return get[User](ctx, s.r, userOfLink, keyHash, s.Now())
}

// UsePasswordLink sets the password of a link's user and uses the link up.
func (s *Store) UsePasswordLink(ctx context.Context, keyHash []byte, hash string) (u User, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if u, err = get[User](ctx, tx, userOfLink, keyHash, s.Now()); err != nil {
			return err
		}
		u.PasswordHash = hash
		return s.setPassword(ctx, tx, u.Name, u, hash)
	})
	return u, err
}

// withdraw invalidates the password links and enrolment tokens made by somebody who
// loses rights: they know them, and could sign in as somebody else or enrol a host.
func (s *Store) withdraw(ctx context.Context, tx *sqlx.Tx, maker string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM password_links WHERE created_by IN ($1, '')`, maker); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE enroll_tokens SET expires_at = $1
		WHERE created_by = $2 AND used_at = 0 AND expires_at > $1`, s.Now(), maker)
	return err
}

func dropLinks(ctx context.Context, tx *sqlx.Tx, user string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM password_links WHERE user_id = $1`, user)
	return err
}

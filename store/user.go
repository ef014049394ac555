package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"
)

// Role is what a person or a token may do.
type Role string

// The roles, each with the rights of those before it.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

// Roles lists the roles, the weakest first.
var Roles = []Role{Viewer, Operator, Admin}

// A User is a person who may sign in.
type User struct {
	ID           string `db:"id"`
	Name         string `db:"name"`
	Role         Role   `db:"role"`
	PasswordHash string `db:"password_hash"` // argon2id, in its PHC form; "" until they set one by a link
	CreatedAt    int64  `db:"created_at"`
	DisabledAt   int64  `db:"disabled_at"` // 0 unless they are shut out
	SeenAt       int64  `db:"seen_at"`     // when a session of theirs was last used
}

var (
	// ErrLastAdmin says that nobody would be left to administer the installation.
	ErrLastAdmin = errors.New("it is the last administrator who can sign in")
	// ErrName says that a name is not fit for a person.
	ErrName = errors.New("a user's name has 1 to 60 visible characters, no colon and no space at its ends, and is not cli, plane or nobody")
)

// CheckUserName keeps people's names apart from those the audit log uses for
// everything else: "cli", "plane", "nobody", "api:NAME", "mqtt:NAME".
func CheckUserName(name string) error {
	n := utf8.RuneCountInString(name)
	if n < 1 || n > 60 || !utf8.ValidString(name) || strings.TrimSpace(name) != name || strings.Contains(name, ":") ||
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) || slices.Contains([]string{"cli", "plane", "nobody", ".", ".."}, strings.ToLower(name)) {
		return ErrName
	}
	return nil
}

// AddUser adds a user. The name is theirs alone, however it is written, or ErrConflict.
func (s *Store) AddUser(ctx context.Context, actor string, u User) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return s.addUser(ctx, tx, actor, u) })
}

// AddFirstUser adds a user only if there is none yet; otherwise ErrConflict.
func (s *Store) AddFirstUser(ctx context.Context, actor string, u User) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		n, err := get[int](ctx, tx, `SELECT count(*) FROM users`)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: there is a user already", ErrConflict)
		}
		return s.addUser(ctx, tx, actor, u)
	})
}

func (s *Store) addUser(ctx context.Context, tx *sqlx.Tx, actor string, u User) error {
	if err := CheckUserName(u.Name); err != nil {
		return err
	}
	names, err := all[string](ctx, tx, `SELECT name FROM users`)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.EqualFold(name, u.Name) { // the audit log would have an Anna and an anna
			return fmt.Errorf("add user: %w", ErrConflict)
		}
	}
	if _, err := tx.NamedExecContext(ctx, `INSERT INTO users (id, name, role, password_hash, created_at)
		VALUES (:id, :name, :role, :password_hash, :created_at)`, u); err != nil {
		return fmt.Errorf("add user: %w", err)
	}
	return s.audit(ctx, tx, actor, "user.created", u.ID, u.Name+" as "+string(u.Role))
}

// UserCount counts users; with none, the first-run page is open to whoever holds its link.
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

// SetRole gives a user another role and ends their sessions, and the links and
// enrolment tokens they made. Their last
// administrator an installation keeps: ErrLastAdmin.
func (s *Store) SetRole(ctx context.Context, actor, id string, role Role) error {
	return s.changeUser(ctx, id, func(tx *sqlx.Tx, u User) error {
		if u.Role == role {
			return nil
		}
		if err := change(ctx, tx, `UPDATE users SET role = $1 WHERE id = $2`, role, id); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, id); err != nil {
			return err
		}
		if err := s.withdraw(ctx, tx, u.Name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "user.role_changed", id, fmt.Sprintf("%s: %s to %s", u.Name, u.Role, role))
	})
}

// DisableUser shuts a user out and ends their sessions and links, and those they
// made for others, or lets them in again.
func (s *Store) DisableUser(ctx context.Context, actor, id string, disabled bool) error {
	return s.changeUser(ctx, id, func(tx *sqlx.Tx, u User) error {
		if disabled == (u.DisabledAt != 0) {
			return nil
		}
		at, action := int64(0), "user.enabled"
		if disabled {
			at, action = s.Now(), "user.disabled"
		}
		if err := change(ctx, tx, `UPDATE users SET disabled_at = $1 WHERE id = $2`, at, id); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, id); err != nil {
			return err
		}
		if err := dropLinks(ctx, tx, id); err != nil {
			return err
		}
		if err := s.withdraw(ctx, tx, u.Name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, action, id, u.Name)
	})
}

// RemoveUser removes a user, with sessions and links. What they did stays in the
// audit log.
func (s *Store) RemoveUser(ctx context.Context, actor, id string) error {
	return s.changeUser(ctx, id, func(tx *sqlx.Tx, u User) error {
		if err := endSessions(ctx, tx, id); err != nil {
			return err
		}
		if err := dropLinks(ctx, tx, id); err != nil {
			return err
		}
		if err := change(ctx, tx, `DELETE FROM users WHERE id = $1`, id); err != nil {
			return err
		}
		if err := s.withdraw(ctx, tx, u.Name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "user.removed", id, u.Name)
	})
}

// changeUser runs a deed on a user that must leave an administrator who can
// sign in, if there was one.
func (s *Store) changeUser(ctx context.Context, id string, deed func(*sqlx.Tx, User) error) error {
	const admins = `SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at = 0 AND password_hash <> ''`
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		u, err := get[User](ctx, tx, `SELECT * FROM users WHERE id = $1`, id)
		if err != nil {
			return err
		}
		before, err := get[int](ctx, tx, admins)
		if err != nil {
			return err
		}
		if err := deed(tx, u); err != nil {
			return err
		}
		after, err := get[int](ctx, tx, admins)
		if err == nil && before > 0 && after == 0 {
			err = ErrLastAdmin
		}
		return err
	})
}

// SetPassword sets a user's password, and ends their sessions and links.
func (s *Store) SetPassword(ctx context.Context, actor, id, hash string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		u, err := get[User](ctx, tx, `SELECT * FROM users WHERE id = $1`, id)
		if err != nil {
			return err
		}
		return s.setPassword(ctx, tx, actor, u, hash)
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

// RenewHash replaces a password's hash by one of the same password that costs
// what is asked for today, unless the password was changed meanwhile.
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

// AddPasswordLink makes a user's one link; an earlier one is void. The password
// stays as it is until the link is used.
func (s *Store) AddPasswordLink(ctx context.Context, actor string, l PasswordLink) error {
	l.CreatedBy = actor
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		u, err := get[User](ctx, tx, `SELECT * FROM users WHERE id = $1`, l.User)
		if err != nil {
			return err
		}
		if err := dropLinks(ctx, tx, u.ID); err != nil {
			return err
		}
		if _, err := tx.NamedExecContext(ctx, `INSERT INTO password_links (key_hash, user_id, created_at, created_by, expires_at)
			VALUES (:key_hash, :user_id, :created_at, :created_by, :expires_at)`, l); err != nil {
			return fmt.Errorf("add password link: %w", err)
		}
		return s.audit(ctx, tx, actor, "user.password_link_made", u.ID, u.Name)
	})
}

const userOfLink = `SELECT users.* FROM users JOIN password_links ON user_id = users.id WHERE key_hash = $1 AND expires_at > $2 AND disabled_at = 0`

// PasswordLinkUser says whose link this is, while it is good; else ErrNotFound.
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

// withdraw ends what somebody made who is trusted less from now on: they saw the
// links and tokens, and could still be somebody else with one, or let a host in.
func (s *Store) withdraw(ctx context.Context, tx *sqlx.Tx, maker string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM password_links WHERE created_by IN ($1, '')`, maker); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE enroll_tokens SET expires_at = $1 WHERE created_by = $2 AND used_at = 0 AND expires_at > $1`, s.Now(), maker)
	return err
}

func dropLinks(ctx context.Context, tx *sqlx.Tx, user string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM password_links WHERE user_id = $1`, user)
	return err
}

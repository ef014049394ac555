// Package people adds, changes and removes the people who may sign in, and the
// API tokens of programs.
//
// Pages, API and command line all do it here, so the rules are the same for all.
// Each method is one transaction with its audit entry in it. Where somebody may do
// less than before, their sessions end in the same transaction, and Changed is
// called after it.
package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/zone"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/topics"
)

// Why something was not done. [store.ErrLastAdmin] and [store.ErrDisabled] are
// returned as they are, and [field.Errors] for a bad input.
var (
	ErrNoUser    = errors.New("there is no such user")
	ErrNameTaken = errors.New("there is a user of this name already")
	ErrSetUp     = errors.New("there is a first user already")
	ErrNoLink    = errors.New("this link is no longer good")
	ErrNoSession = errors.New("there is no such session")
	ErrNoToken   = errors.New("there is no such API token")
)

// MaxName is how many characters a user's name may have.
const MaxName = 60

// Service does what is asked for. The zero value of all but Store works.
type Service struct {
	Store *store.Store
	Now   func() time.Time // nil is time.Now
	// Hash makes the hash of a password; nil is [password.Hash]. It costs 64 MiB,
	// which a server limits.
	Hash       func(ctx context.Context, password string) (string, error)
	Invitation time.Duration // how long a link to set a password is good for
	Changed    func()        // called when somebody's rights or sessions have changed
}

// Maker is who asks for something, as a credential of theirs knows it.
type Maker = store.Maker

// Left is what ended with somebody's rights: credentials, and jobs that waited.
type Left = store.Left

// Input is a user as somebody wants them. What is nil stays as it is.
type Input struct {
	Name     *string // of a new user; it cannot be changed
	Role     *store.Role
	Disabled *bool
	Password *string
	Zone     *string // in which they see moments: an IANA name, "browser" or "server"
	// Keep has their API tokens and MQTT consumers become those of whoever disables
	// them; nil or false revokes these.
	Keep *bool
}

// A Link lets a user set a password, once.
type Link struct {
	Key       string
	ExpiresAt int64
}

// CheckPassword says what is wrong with a password that somebody chooses, "" if
// nothing is. Its length is the only rule.
func CheckPassword(text string) string {
	if n := utf8.RuneCountInString(text); n < password.MinLength || n > password.MaxLength {
		return fmt.Sprintf("A password has %d to %d characters.", password.MinLength, password.MaxLength)
	}
	return ""
}

// CheckRole says that there is no such role, "" if there is.
func CheckRole(role store.Role) string { return field.OneOf("role", role, store.Roles...) }

// CheckName says what is wrong with a user's name, "" if nothing is. It keeps
// people's names apart from those the audit log uses for everything else: "cli",
// "plane", "nobody", "api:NAME", "mqtt:NAME".
func CheckName(name string) string {
	if text := field.NameUpTo("name", name, MaxName); text != "" {
		return text
	}
	if strings.Contains(name, ":") || slices.Contains([]string{"cli", "plane", "nobody"}, strings.ToLower(name)) {
		return "A user's name has no colon and is not cli, plane or nobody: the audit log uses these for others."
	}
	return ""
}

// newUser checks what a new user is to be.
func (s Service) newUser(in Input) (store.User, error) {
	now := s.now()
	u := store.User{
		ID:        topics.NewID(now),
		Name:      field.Clean(value(in.Name)),
		Role:      value(in.Role),
		CreatedAt: now.UnixMilli(),
	}
	wrong := field.Errors{}
	wrong.Say("name", CheckName(u.Name))
	wrong.Say("role", CheckRole(u.Role))
	if in.Password != nil {
		wrong.Say("password", CheckPassword(*in.Password))
	}
	if value(in.Disabled) {
		wrong.Say("disabled", "A new user is not disabled.")
	}
	return u, wrong.Err()
}

// Add adds a user who has a password.
func (s Service) Add(ctx context.Context, by string, in Input) (store.User, error) {
	u, err := s.newHashed(ctx, in)
	if err != nil {
		return u, err
	}
	return u, nameTaken(s.Store.AddUser(ctx, by, u))
}

// Invite adds a user without a password, and the link by which they set one.
func (s Service) Invite(ctx context.Context, by string, in Input) (store.User, Link, error) {
	u, err := s.newUser(in)
	if err != nil {
		return u, Link{}, err
	}
	row, link := s.newLink(u.ID)
	return u, link, nameTaken(s.Store.InviteUser(ctx, by, u, row))
}

// AddFirst adds the first user, an administrator, in their own name.
func (s Service) AddFirst(ctx context.Context, name, secret string) (store.User, error) {
	admin := store.Admin
	u, err := s.newHashed(ctx, Input{Name: &name, Role: &admin, Password: &secret})
	if err != nil {
		return u, err
	}
	if err = s.Store.AddFirstUser(ctx, u.Name, u); errors.Is(err, store.ErrConflict) {
		err = fmt.Errorf("%w: %w", ErrSetUp, err)
	}
	return u, err
}

// newHashed is newUser with a password, which is hashed only if all is well: a
// hash is expensive.
func (s Service) newHashed(ctx context.Context, in Input) (store.User, error) {
	secret := value(in.Password)
	in.Password = &secret
	u, err := s.newUser(in)
	if err == nil {
		u.PasswordHash, err = s.hash(ctx, secret)
	}
	return u, err
}

// Change changes all that is asked for about a user, or nothing, and returns the
// user as they are now. Whoever is disabled loses their API tokens and MQTT consumers,
// or gives them to whoever asks for it; and jobs that wait, and that they may not ask
// for any more, are cancelled.
func (s Service) Change(ctx context.Context, by Maker, id string, in Input) (store.User, Left, error) {
	wrong := field.Errors{}
	if in.Name != nil {
		wrong.Say("name", "A user's name cannot be changed: the audit log knows them by it.")
	}
	if in.Role != nil {
		wrong.Say("role", CheckRole(*in.Role))
	}
	if in.Password != nil {
		wrong.Say("password", CheckPassword(*in.Password))
	}
	if in.Zone != nil {
		in.Zone = new(field.Clean(*in.Zone))
		wrong.Say("zone", zone.Check(*in.Zone))
	}
	if value(in.Keep) && !value(in.Disabled) {
		wrong.Say("keep", "Only who is disabled or removed leaves credentials to somebody else.")
	}
	heir, said := heirOf(by, id, value(in.Keep))
	wrong.Say("keep", said)
	if err := wrong.Err(); err != nil {
		return store.User{}, Left{}, err
	}
	change := store.UserChange{Role: in.Role, Disabled: in.Disabled, Zone: in.Zone, Heir: heir, Stays: rights.Stays}
	if in.Password != nil {
		if _, err := s.Store.User(ctx, id); err != nil {
			return store.User{}, Left{}, notFound(err, ErrNoUser) // before the expensive hash
		}
		hash, err := s.hash(ctx, *in.Password)
		if err != nil {
			return store.User{}, Left{}, err
		}
		change.PasswordHash = &hash
	}
	u, left, err := s.Store.ChangeUser(ctx, by.Name, id, change)
	return u, left, s.changed(notFound(err, ErrNoUser))
}

// heirOf is who keeps the credentials of somebody who goes, nil for nobody, and what is
// wrong with that.
func heirOf(by Maker, id string, keep bool) (*Maker, string) {
	switch {
	case !keep:
		return nil, ""
	case by.User == id:
		return nil, "Your own API tokens and MQTT consumers cannot stay with you when you go; another administrator can keep them."
	}
	return &by, ""
}

// Remove removes a user with their API tokens and MQTT consumers; with keep these
// become those of whoever asks. What they did stays in the audit log, and their jobs
// that wait are cancelled.
func (s Service) Remove(ctx context.Context, by Maker, id string, keep bool) (Left, error) {
	heir, said := heirOf(by, id, keep)
	wrong := field.Errors{}
	wrong.Say("keep", said)
	if err := wrong.Err(); err != nil {
		return Left{}, err
	}
	left, err := s.Store.RemoveUser(ctx, by.Name, id, heir)
	return left, s.changed(notFound(err, ErrNoUser))
}

// Made returns the API tokens and MQTT consumers that somebody answers for.
func (s Service) Made(ctx context.Context, id string) (access.Credentials, error) {
	return s.Store.Credentials(ctx, id)
}

// SignOut ends all sessions of a user.
func (s Service) SignOut(ctx context.Context, by, id string) error {
	return s.changed(notFound(s.Store.EndSessions(ctx, by, id), ErrNoUser))
}

// EndSession ends one session, of the given user or with "" anybody's.
func (s Service) EndSession(ctx context.Context, by, id, user string) error {
	return s.changed(notFound(s.Store.EndSession(ctx, by, id, user), ErrNoSession))
}

// NewLink makes a user's one link to set a password; an earlier one is void.
func (s Service) NewLink(ctx context.Context, by, id string) (Link, error) {
	row, link := s.newLink(id)
	return link, notFound(s.Store.AddPasswordLink(ctx, by, row), ErrNoUser)
}

func (s Service) newLink(user string) (store.PasswordLink, Link) {
	now := s.now()
	link := Link{Key: password.NewKey("rmp_"), ExpiresAt: now.Add(s.Invitation).UnixMilli()}
	return store.PasswordLink{
		KeyHash:   password.HashKey(link.Key),
		User:      user,
		CreatedAt: now.UnixMilli(),
		ExpiresAt: link.ExpiresAt,
	}, link
}

// LinkUser returns whose link a key is, while it is good.
func (s Service) LinkUser(ctx context.Context, key string) (store.User, error) {
	u, err := s.Store.PasswordLinkUser(ctx, password.HashKey(key))
	return u, notFound(err, ErrNoLink)
}

// UseLink sets the password of a link's user and uses the link up.
func (s Service) UseLink(ctx context.Context, key, secret string) (store.User, error) {
	if u, err := s.LinkUser(ctx, key); err != nil {
		return u, err
	}
	wrong := field.Errors{}
	wrong.Say("password", CheckPassword(secret))
	if err := wrong.Err(); err != nil {
		return store.User{}, err
	}
	hash, err := s.hash(ctx, secret)
	if err != nil {
		return store.User{}, err
	}
	u, err := s.Store.UsePasswordLink(ctx, password.HashKey(key), hash)
	return u, s.changed(notFound(err, ErrNoLink))
}

func (s Service) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s Service) hash(ctx context.Context, secret string) (string, error) {
	if s.Hash == nil {
		return password.Hash(secret)
	}
	return s.Hash(ctx, secret)
}

// changed has whoever listens look again, if something was done.
func (s Service) changed(err error) error {
	if err == nil && s.Changed != nil {
		s.Changed()
	}
	return err
}

// notFound says what was not found.
func notFound(err, what error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", what, err)
	}
	return err
}

func nameTaken(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrNameTaken, err)
	}
	return err
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

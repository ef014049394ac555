package session

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/words"
)

// ErrWrong says that a name and a password do not belong together.
var ErrWrong = errors.New("name and password do not belong together")

// SignIn checks a name and a password and begins a session, or returns [ErrWrong], or
// [store.ErrUnconfirmed] to somebody whom nobody has confirmed since a restore.
// Neither the error nor the time it takes tells whether a user of that name exists.
// Whoever calls it asks the limiter first.
func (m *Manager) SignIn(w http.ResponseWriter, r *http.Request, name, secret string) error {
	u, err := m.store.UserByName(r.Context(), name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	held := error(nil)
	if u.DisabledAt != 0 {
		if held = m.store.Confirmed(r.Context(), "user", u.ID); held == nil {
			u.PasswordHash = ""
		}
	}
	ok, err := m.check(r.Context(), u.PasswordHash, secret)
	if err != nil {
		return err
	}
	if ok && held != nil { // only who knows the password hears that there is such a user
		return held
	}
	if ok && password.Stale(u.PasswordHash) {
		if u, err = m.renewed(r.Context(), u, secret); err != nil {
			return err
		}
	}
	if ok {
		err = m.Enter(w, r, u)
	}
	if !ok || errors.Is(err, store.ErrNotFound) {
		m.log.Warn("sign-in refused", "remote", Remote(r))
		m.refused(r.Context(), "session.refused", u)
		return ErrWrong
	}
	return err
}

// Confirm reports whether a password is a user's own. A wrong one is recorded.
func (m *Manager) Confirm(ctx context.Context, u store.User, secret string) (bool, error) {
	ok, err := m.check(ctx, u.PasswordHash, secret)
	if err == nil && !ok {
		m.refused(ctx, "user.password_refused", u)
	}
	return ok, err
}

// refused records a failed sign-in in the audit log. It records a typed name only
// if it is a user's, because people type passwords into that field. Of many in a
// short time it records some, with the number of those left out.
func (m *Manager) refused(ctx context.Context, action string, u store.User) {
	unsaid, ok := m.refusals.say()
	if !ok {
		return
	}
	who := u.Name
	if u.ID == "" {
		who = "somebody who is not known here"
	}
	if unsaid > 0 {
		who += "; " + words.Count(uint64(unsaid), "refusal", "refusals") + " before it are not in this log"
	}
	err := m.shelf.gate.Soon(ctx, m.timing.Write, func(ctx context.Context) error {
		return m.store.Audit(ctx, "plane", action, u.ID, who)
	})
	if err != nil && ctx.Err() == nil {
		m.log.Error("recording a refused sign-in failed", "err", err)
	}
}

// renewed hashes a password again with today's cost, stores the hash, and returns
// the user with it.
func (m *Manager) renewed(ctx context.Context, u store.User, secret string) (store.User, error) {
	hash, err := m.NewHash(ctx, secret)
	if err == nil {
		err = m.shelf.gate.Soon(ctx, m.timing.Write, func(ctx context.Context) error {
			return m.store.RenewHash(ctx, u.ID, u.PasswordHash, hash)
		})
	}
	if room.Why(err) != "" {
		return u, nil // at the next sign-in
	}
	u.PasswordHash = hash
	return u, err
}

// hash waits for a hashing slot, then does the work. There are few slots,
// because each hash needs 64 MiB and a core, and few may wait for one. Who
// finds the queue full, or waits longer than Timing.Hash, gets a TooMany problem.
func (m *Manager) hash(ctx context.Context, work func() error) error {
	select {
	case m.waiting <- struct{}{}:
		defer func() { <-m.waiting }()
	default:
		return m.busy()
	}
	select {
	case m.hashing <- struct{}{}: // nobody is told to wait where one is free, however late it is looked at
	default:
		limit := time.NewTimer(m.timing.Hash)
		defer limit.Stop()
		select {
		case m.hashing <- struct{}{}:
		case <-limit.C:
			return m.busy()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-m.hashing }()
	return work()
}

func (m *Manager) busy() error {
	return &problem.Problem{Kind: problem.TooMany, Title: "Too many people sign in at once",
		Say: "Nothing was changed; your password was not looked at.", Do: "Try again in a moment.",
		After: max(m.timing.Hash, time.Second)}
}

// check reports whether a password has a hash, in a hashing slot.
func (m *Manager) check(ctx context.Context, hash, secret string) (ok bool, err error) {
	if utf8.RuneCountInString(secret) > password.MaxLength {
		return false, nil
	}
	err = m.hash(ctx, func() error {
		ok, err = m.Compare(hash, secret)
		return err
	})
	return ok, err
}

// NewHash hashes a new password, in a hashing slot.
func (m *Manager) NewHash(ctx context.Context, secret string) (hash string, err error) {
	err = m.hash(ctx, func() error {
		hash, err = m.Make(secret)
		return err
	})
	return hash, err
}

// links holds the unused sign-in links by the hash of their key.
type links struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[string]link
}

type link struct {
	user string
	till time.Time
}

func (l *links) add(hash []byte, user string, life time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		l.m = map[string]link{}
	}
	for k, v := range l.m {
		if l.now().After(v.till) {
			delete(l.m, k)
		}
	}
	l.m[string(hash)] = link{user, l.now().Add(life)}
}

// use returns the user of a link and forgets the link.
func (l *links) use(hash []byte) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.m[string(hash)]
	delete(l.m, string(hash))
	return v.user, ok && !l.now().After(v.till)
}

// SignInLink makes the key of a link that signs a user in, once, within Timing.Link.
// It is kept in memory only and does not survive a restart.
func (m *Manager) SignInLink(ctx context.Context, userID string) (key string, err error) {
	if _, err := m.store.User(ctx, userID); err != nil {
		return "", err
	}
	key = password.NewKey("rms_")
	m.links.add(password.HashKey(key), userID, m.timing.Link)
	return key, nil
}

// EnterByLink signs in whom a link's key belongs to, and uses the link up. It
// returns store.ErrNotFound if the link is not good, or its user may not sign in.
func (m *Manager) EnterByLink(w http.ResponseWriter, r *http.Request, key string) error {
	id, ok := m.links.use(password.HashKey(key))
	if !ok {
		return store.ErrNotFound
	}
	u, err := m.store.User(r.Context(), id)
	if err == nil && u.DisabledAt != 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return err
	}
	return m.Enter(w, r, u)
}

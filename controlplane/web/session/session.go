// Package session answers who sent a request: it begins, recognizes and ends the
// sessions of people, knows the tokens of programs, limits how often passwords may
// be guessed, and says which proxies and origins are believed. It knows no page.
package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/room"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Timing holds the durations of sessions and of signing in.
type Timing struct {
	Idle  time.Duration // a session unused for this long is over
	Life  time.Duration // so is one that began this long ago
	Touch time.Duration // the use of a session is written down at most this often
	Link  time.Duration // how long a sign-in link is good for
	Hash  time.Duration // how long a password waits for a hashing slot
	// Write is how long a request waits until the use, beginning or end of a session is
	// written down; then it goes on, and that is written later.
	Write time.Duration
}

// HashQueue is how many passwords may wait for a hashing slot; further ones are
// refused at once. A hash takes about a tenth of a second (RFC 9106's second choice),
// so that the last of these waits some two seconds on one core, which is also the
// default of Timing.Hash. Whoever waits costs their request, and no 64 MiB.
const HashQueue = 16

// HashSlots is how many passwords are worked on at a time: one per core, which argon2
// keeps busy, and never more than four, of 64 MiB each and as much that is collected
// later. 500 sign-ins at once on two cores took 652 MB with four slots and no queue,
// and take 313 MB now.
func HashSlots() int { return min(max(1, runtime.GOMAXPROCS(0)), 4) }

// A Manager begins, recognizes and ends sessions, and knows API tokens.
type Manager struct {
	// Tries limits how often a password may be guessed.
	Tries *Limiter
	// Compare and Make are password.Check and password.Hash unless a test puts others
	// in their place before the first request.
	Compare func(hash, secret string) (bool, error)
	Make    func(secret string) (hash string, err error)

	store    *store.Store
	log      *slog.Logger
	now      func() time.Time
	timing   Timing
	plain    *scs.SessionManager // over connections in clear
	secure   *scs.SessionManager // over TLS
	refusals refusals            // that are in the audit log
	hashing  chan struct{}       // holds a place for each password being worked on
	waiting  chan struct{}       // and one for each that is worked on or waits
	links    links
	kept     kept
	shelf    *shelf
	tokens   tokens
}

// New returns a manager of the sessions that a store holds.
func New(s *store.Store, log *slog.Logger, now func() time.Time, t Timing) *Manager {
	// scs.New would start a cleanup goroutine for an in-memory store that is not used
	// here and cannot be stopped safely.
	onShelf := &shelf{Sessions: s.Sessions(), log: log, now: now, gate: room.NewGate(), patient: t.Write}
	with := func(name string, secure bool) *scs.SessionManager {
		return &scs.SessionManager{
			Store:            onShelf,
			HashTokenInStore: true,
			Codec:            scs.GobCodec{},
			IdleTimeout:      t.Idle,
			Lifetime:         t.Life,
			Cookie: scs.SessionCookie{
				Name:     name,
				Path:     "/",
				HttpOnly: true,
				SameSite: http.SameSiteLaxMode,
				Secure:   secure,
				Persist:  true,
			},
		}
	}
	slots := HashSlots()
	return &Manager{
		Tries:    NewLimiter(now),
		Compare:  password.Check,
		Make:     password.Hash,
		store:    s,
		log:      log,
		now:      now,
		timing:   t,
		plain:    with(CookieName, false),
		secure:   with("__Host-"+CookieName, true),
		refusals: refusals{now: now},
		hashing:  make(chan struct{}, slots),
		waiting:  make(chan struct{}, slots+HashQueue),
		links:    links{now: now},
		kept:     kept{now: now},
		shelf:    onShelf,
	}
}

// CookieName is the session cookie's. Over TLS it has the prefix __Host-, so that
// no other site and no plain connection can set it.
const CookieName = "restic-manager"

// cookieAfter is how long a browser keeps the cookie of a session that is over. It
// lets nobody in any more, and tells that there was a session, and whose.
const cookieAfter = 7 * 24 * time.Hour

const (
	sessionID   = "id"
	sessionUser = "user" // ID
	sessionSeen = "seen" // Unix milliseconds, to within Timing.Touch
)

// cookie returns the session manager of scs for a request: by whether it came over
// TLS. They differ only in the cookie.
func (m *Manager) cookie(r *http.Request) *scs.SessionManager {
	if Secure(r) {
		return m.secure
	}
	return m.plain
}

// Identify authenticates a request. It returns nil for an anonymous one, which
// includes an expired session. An invalid token is an error.
func (m *Manager) Identify(r *http.Request) (*Visitor, error) {
	if bearer(r) {
		key := password.HashKey(strings.TrimSpace(r.Header.Get("Authorization")[len(scheme):]))
		t, err := m.store.APITokenByHash(r.Context(), key)
		if errors.Is(err, store.ErrNotFound) {
			return nil, &problem.Problem{Kind: problem.Unauthenticated, Title: "This token is not known here",
				Say: "It is misspelt, it was removed, or it belongs to another server.",
				Do:  "Copy it whole, or make a new one with restic-manager api-token create.", Err: err}
		}
		if err == nil && t.ExpiresAt != 0 && t.ExpiresAt <= m.now().UnixMilli() {
			return nil, &problem.Problem{Kind: problem.Unauthenticated, Title: "This token has expired",
				Say: "It was good until " + words.ISO(time.UnixMilli(t.ExpiresAt)) + ".",
				Do:  "Make a new one with restic-manager api-token create, or on the page Users."}
		}
		if err == nil && t.Acts() == "" {
			return nil, &problem.Problem{Kind: problem.Unauthenticated, Title: "This token's maker may not sign in any more",
				Say: "A token acts with no more rights than whoever made it has now.", Do: "Somebody else has to make a new one."}
		}
		return &Visitor{Name: "api:" + t.Name, Role: t.Acts(), program: &t}, err
	}
	c, err := r.Cookie(m.cookie(r).Cookie.Name)
	if err != nil || c.Value == "" {
		return nil, nil
	}
	return m.session(r.Context(), c.Value)
}

// session returns the visitor of a session token, nil if the session is over.
func (m *Manager) session(ctx context.Context, token string) (*Visitor, error) {
	in, err := m.plain.Load(ctx, token)
	if err != nil {
		return nil, err
	}
	id := m.plain.GetString(in, sessionUser)
	if id == "" {
		return nil, nil
	}
	u, err := m.store.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && u.DisabledAt != 0 {
		return nil, nil
	}
	if err == nil {
		m.kept.uses(token, u.ID)
	}
	return &Visitor{Name: u.Name, Role: u.Role, UserID: u.ID, Zone: u.Zone, data: in, ID: m.plain.GetString(in, sessionID), token: token}, err
}

// Still reports whether a visitor who was authenticated before would be now, with
// the same rights.
func (m *Manager) Still(ctx context.Context, v *Visitor) bool {
	if v.program != nil {
		t, err := m.store.APITokenByHash(ctx, v.program.KeyHash)
		return err == nil && t.Acts() == v.Role && (t.ExpiresAt == 0 || t.ExpiresAt > m.now().UnixMilli())
	}
	now, err := m.session(ctx, v.token)
	return err == nil && now != nil && now.Role == v.Role
}

// Touch extends the session that is being used, or records the use of a token.
func (m *Manager) Touch(w http.ResponseWriter, r *http.Request, v *Visitor) error {
	now, pause := m.now().UnixMilli(), m.timing.Touch.Milliseconds()
	if v.program != nil {
		if now-v.program.UsedAt < pause {
			return nil
		}
		return m.usedToken(r.Context(), v.program.ID)
	}
	if now-m.plain.GetInt64(v.data, sessionSeen) < pause {
		return nil
	}
	m.plain.Put(v.data, sessionSeen, now)
	return m.keep(v.data, w, r)
}

// tokens are the last uses of API tokens that could not be written down.
type tokens struct {
	mu    sync.Mutex
	tried map[string]time.Time // by the token's ID
}

// usedToken records the use of a token. What cannot be written is not a reason to
// refuse what is asked for: it is tried again in a while.
func (m *Manager) usedToken(ctx context.Context, id string) error {
	m.tokens.mu.Lock()
	last, failed := m.tokens.tried[id]
	m.tokens.mu.Unlock()
	if failed && m.now().Sub(last) < m.timing.Touch/10 {
		return nil
	}
	err := m.shelf.gate.Soon(ctx, m.timing.Write, func(ctx context.Context) error { return m.store.UsedAPIToken(ctx, id) })
	m.tokens.mu.Lock()
	defer m.tokens.mu.Unlock()
	delete(m.tokens.tried, id)
	if room.Why(err) == "" {
		return err
	}
	if len(m.tokens.tried) >= mostShelved || m.tokens.tried == nil {
		m.tokens.tried = map[string]time.Time{}
	}
	m.tokens.tried[id] = m.now()
	return nil
}

// Settle writes what could not be written down of sessions while the database could
// not be written. Whoever removes sessions that are over calls it before.
func (m *Manager) Settle(ctx context.Context) error { return m.shelf.settle(ctx) }

// Wait returns when no write goes on any more that a request did not wait for.
func (m *Manager) Wait() { m.shelf.gate.Wait() }

func (m *Manager) keep(session context.Context, w http.ResponseWriter, r *http.Request) error {
	token, expiry, err := m.plain.Commit(session)
	if err != nil {
		return err
	}
	m.kept.uses(token, m.plain.GetString(session, sessionUser))
	w.Header().Del("Set-Cookie") // of touch, where somebody signs in anew
	m.cookie(r).WriteSessionCookie(session, w, token, expiry.Add(cookieAfter))
	w.Header().Set("Cache-Control", "no-store")
	return nil
}

// Enter begins a session for a user and ends the one the browser had before. It
// returns store.ErrNotFound if the user was disabled, removed or given another
// password meanwhile.
func (m *Manager) Enter(w http.ResponseWriter, r *http.Request, u store.User) error {
	old := ""
	if c, err := r.Cookie(m.cookie(r).Cookie.Name); err == nil {
		old = c.Value
	}
	session, err := m.plain.Load(r.Context(), old)
	if err == nil {
		err = m.plain.RenewToken(session)
	}
	if err != nil {
		return err
	}
	n := store.Session{ID: topics.NewID(m.now()), User: u.ID, Remote: Remote(r), Browser: browser(r.UserAgent())}
	m.plain.Put(session, sessionID, n.ID)
	m.plain.Put(session, sessionUser, u.ID)
	m.plain.Put(session, sessionSeen, m.now().UnixMilli())
	if err := m.keep(store.BeginSession(session, n, u.PasswordHash), w, r); err != nil {
		return err
	}
	m.log.Info("signed in", "user", u.Name, "remote", n.Remote)
	return nil
}

// Leave ends a visitor's own session, and takes the cookie from the browser.
func (m *Manager) Leave(w http.ResponseWriter, r *http.Request, v *Visitor) error {
	if v.ID != "" {
		err := m.shelf.end(r.Context(), hashOf(v.token), func(ctx context.Context) error {
			return m.store.EndSession(ctx, v.Name, v.ID, v.UserID)
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	m.Forget(w, r)
	return nil
}

// hashOf is a token as scs hands it to its store.
func hashOf(token string) string {
	hash := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// Forget takes the cookie of a session from the browser.
func (m *Manager) Forget(w http.ResponseWriter, r *http.Request) {
	w.Header().Del("Set-Cookie") // of touch
	m.cookie(r).WriteSessionCookie(r.Context(), w, "", time.Time{})
	w.Header().Set("Cache-Control", "no-store")
}

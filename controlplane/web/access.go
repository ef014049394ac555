package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/scs/v2"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// A visitor is the authenticated sender of a request: a person with a session, or
// a program with a token.
type visitor struct {
	name    string // as the audit spells it: "anna", "api:nightly"
	role    store.Role
	user    string          // ID; "" for a program
	session context.Context //nolint:containedctx // carries scs's session data, as scs wants it
	id      string          // the session's, to tell it from others
	token   string          // the session's, which lets them in
	program *store.APIToken // nil for a person
}

func (v *visitor) may(role store.Role) bool { return rank(v.role) >= rank(role) }

// actor returns the visitor as the jobs engine knows those who ask for jobs.
func (v *visitor) actor() jobs.Actor { return jobs.Actor{Name: v.name, Role: v.role} }

func (v *visitor) rights() views.Rights {
	return views.Rights{Operate: v.may(store.Operator), Administer: v.may(store.Admin)}
}

type visitorKey struct{}

// visitorOf returns the authenticated visitor of a request; on public routes there
// may be none.
func visitorOf(ctx context.Context) *visitor {
	v, _ := ctx.Value(visitorKey{}).(*visitor)
	if v == nil {
		return &visitor{name: "nobody"}
	}
	return v
}

const (
	sessionID   = "id"
	sessionUser = "user" // ID
	sessionSeen = "seen" // Unix milliseconds, to within Timing.Touch
)

// sessionManagers differ only in the cookie: over TLS its name has the __Host-
// prefix, so that no other site and no plain connection can set it.
type sessionManagers struct {
	*scs.SessionManager
	secure *scs.SessionManager
}

// newSessions does not use scs.New, which starts a cleanup goroutine for an
// in-memory store that is not used here and cannot be stopped safely.
func newSessions(c Config) sessionManagers {
	with := func(name string, secure bool) *scs.SessionManager {
		return &scs.SessionManager{Store: c.Store.Sessions(), HashTokenInStore: true, Codec: scs.GobCodec{},
			IdleTimeout: c.Timing.Idle, Lifetime: c.Timing.Life,
			Cookie: scs.SessionCookie{Name: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure, Persist: true}}
	}
	return sessionManagers{with(plainCookie, false), with("__Host-"+plainCookie, true)}
}

const plainCookie = "restic-manager"

// of returns the manager for a request: by whether it came over TLS.
func (m sessionManagers) of(r *http.Request) *scs.SessionManager {
	if secure(r) {
		return m.secure
	}
	return m.SessionManager
}

const scheme = "Bearer "

func bearer(r *http.Request) bool {
	h := r.Header.Get("Authorization")
	return isAPI(r) && len(h) >= len(scheme) && strings.EqualFold(h[:len(scheme)], scheme)
}

// identify authenticates a request. It returns nil for an anonymous one, which
// includes an expired session. An invalid token is an error.
func (s *Server) identify(r *http.Request) (*visitor, error) {
	if bearer(r) {
		key := password.HashKey(strings.TrimSpace(r.Header.Get("Authorization")[len(scheme):]))
		t, err := s.Store.APITokenByHash(r.Context(), key)
		if errors.Is(err, store.ErrNotFound) {
			return nil, &problem.Problem{Kind: problem.Unauthenticated, Title: "This token is not known here",
				Say: "It is misspelt, it was removed, or it belongs to another server.",
				Do:  "Copy it whole, or make a new one with restic-manager api-token create.", Err: err}
		}
		if err == nil && t.ExpiresAt != 0 && t.ExpiresAt <= s.Now().UnixMilli() {
			return nil, &problem.Problem{Kind: problem.Unauthenticated, Title: "This token has expired",
				Say: "It was good until " + at(t.ExpiresAt).UTC().Format(time.RFC3339) + ".",
				Do:  "Make a new one with restic-manager api-token create, or on the page Users."}
		}
		return &visitor{name: "api:" + t.Name, role: t.Role, program: &t}, err
	}
	c, err := r.Cookie(s.sessions.of(r).Cookie.Name)
	if err != nil || c.Value == "" {
		return nil, nil
	}
	return s.session(r.Context(), c.Value)
}

// session returns the visitor of a session token, nil if the session is over.
func (s *Server) session(ctx context.Context, token string) (*visitor, error) {
	in, err := s.sessions.Load(ctx, token)
	if err != nil {
		return nil, err
	}
	id := s.sessions.GetString(in, sessionUser)
	if id == "" {
		return nil, nil
	}
	u, err := s.Store.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && u.DisabledAt != 0 {
		return nil, nil
	}
	return &visitor{name: u.Name, role: u.Role, user: u.ID, session: in, id: s.sessions.GetString(in, sessionID), token: token}, err
}

// still reports whether a visitor who was authenticated before would be now, with
// the same rights.
func (s *Server) still(ctx context.Context, v *visitor) bool {
	if v.program != nil {
		t, err := s.Store.APITokenByHash(ctx, v.program.KeyHash)
		return err == nil && t.Role == v.role && (t.ExpiresAt == 0 || t.ExpiresAt > s.Now().UnixMilli())
	}
	now, err := s.session(ctx, v.token)
	return err == nil && now != nil && now.role == v.role
}

// touch extends the session that is being used, or records the use of a token.
func (s *Server) touch(w http.ResponseWriter, r *http.Request, v *visitor) error {
	now, pause := s.Now().UnixMilli(), s.Timing.Touch.Milliseconds()
	if v.program != nil {
		if now-v.program.UsedAt < pause {
			return nil
		}
		return s.Store.UsedAPIToken(r.Context(), v.program.ID)
	}
	if now-s.sessions.GetInt64(v.session, sessionSeen) < pause {
		return nil
	}
	s.sessions.Put(v.session, sessionSeen, now)
	return s.keep(v.session, w, r)
}

func (s *Server) keep(session context.Context, w http.ResponseWriter, r *http.Request) error {
	token, expiry, err := s.sessions.Commit(session)
	if err != nil {
		return err
	}
	w.Header().Del("Set-Cookie") // of touch, where somebody signs in anew
	s.sessions.of(r).WriteSessionCookie(session, w, token, expiry)
	w.Header().Set("Cache-Control", "no-store")
	return nil
}

// enter begins a session for a user and ends the one the browser had before. It
// returns store.ErrNotFound if the user was disabled, removed or given another
// password meanwhile.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, u store.User) error {
	old := ""
	if c, err := r.Cookie(s.sessions.of(r).Cookie.Name); err == nil {
		old = c.Value
	}
	session, err := s.sessions.Load(r.Context(), old)
	if err == nil {
		err = s.sessions.RenewToken(session)
	}
	if err != nil {
		return err
	}
	n := store.Session{ID: topics.NewID(s.Now()), User: u.ID, Remote: remote(r), Browser: browser(r.UserAgent())}
	s.sessions.Put(session, sessionID, n.ID)
	s.sessions.Put(session, sessionUser, u.ID)
	s.sessions.Put(session, sessionSeen, s.Now().UnixMilli())
	if err := s.keep(store.BeginSession(session, n, u.PasswordHash), w, r); err != nil {
		return err
	}
	s.Log.Info("signed in", "user", u.Name, "remote", n.Remote)
	return nil
}

// browser names the browser and system of a user agent, such as "Firefox on Linux",
// so that users recognize their sessions in a list.
func browser(agent string) string {
	name, system := "A browser", ""
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"},
		{"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if strings.Contains(agent, b[0]) {
			name = b[1]
			break
		}
	}
	for _, o := range [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"},
		{"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, o[0]) {
			system = " on " + o[1]
			break
		}
	}
	return name + system
}

// hash waits for a hashing slot, then does the work. There are few slots, because
// each hash needs 64 MiB. After Timing.Hash it gives up with an Unavailable problem.
func (s *Server) hash(ctx context.Context, work func() error) error {
	limit := time.NewTimer(s.Timing.Hash)
	defer limit.Stop()
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
		return work()
	case <-limit.C:
		return &problem.Problem{Kind: problem.Unavailable, Title: "Too many people sign in at once",
			Say: "Nothing was changed; your password was not looked at.", Do: "Try again in a moment."}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// check reports whether a password has a hash, in a hashing slot.
func (s *Server) check(ctx context.Context, hash, secret string) (ok bool, err error) {
	if utf8.RuneCountInString(secret) > password.MaxLength {
		return false, nil
	}
	err = s.hash(ctx, func() error {
		ok, err = s.compare(hash, secret)
		return err
	})
	return ok, err
}

// newHash hashes a new password, in a hashing slot.
func (s *Server) newHash(ctx context.Context, secret string) (hash string, err error) {
	err = s.hash(ctx, func() error {
		hash, err = s.make(secret)
		return err
	})
	return hash, err
}

package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/scs/v2"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// A visitor is who sent a request: a person with a session, or a program with a
// token.
type visitor struct {
	name    string // as the audit spells it: "anna", "api:nightly"
	role    store.Role
	user    string          // ID; "" for a program
	session context.Context //nolint:containedctx // carries scs's session data, as scs wants it
	token   string          // the session's
	key     []byte          // hash of a program's key
}

func (v *visitor) may(role store.Role) bool { return rank(v.role) >= rank(role) }

type visitorKey struct{}

// visitorOf is who sent the request, on routes that are not for anybody.
func visitorOf(ctx context.Context) *visitor {
	v, _ := ctx.Value(visitorKey{}).(*visitor)
	if v == nil {
		return &visitor{name: "nobody"}
	}
	return v
}

const (
	sessionUser = "user" // ID
	sessionSeen = "seen" // Unix milliseconds, to within Timing.Touch
)

// newSessions does not use scs.New: that starts a goroutine, for a store in
// memory that nobody needs, which cannot be stopped safely.
func newSessions(c Config) *scs.SessionManager {
	m := &scs.SessionManager{Store: c.Store.Sessions(), HashTokenInStore: true, Codec: scs.GobCodec{}, IdleTimeout: c.Timing.Idle, Lifetime: c.Timing.Life,
		Cookie: scs.SessionCookie{Name: "restic-manager", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.Secure, Persist: true}}
	if c.Secure {
		m.Cookie.Name = "__Host-restic-manager"
	}
	return m
}

const scheme = "Bearer "

func bearer(r *http.Request) bool {
	h := r.Header.Get("Authorization")
	return isAPI(r) && len(h) >= len(scheme) && strings.EqualFold(h[:len(scheme)], scheme)
}

// identify says who sent the request: nil is nobody. A token that is shown and
// does not hold is an error; a session that does not hold is nobody.
func (s *Server) identify(r *http.Request) (*visitor, error) {
	if bearer(r) {
		key := password.HashKey(strings.TrimSpace(r.Header.Get("Authorization")[len(scheme):]))
		t, err := s.Store.APITokenByHash(r.Context(), key)
		if errors.Is(err, store.ErrNotFound) {
			return nil, &Problem{Status: http.StatusUnauthorized, Title: "This token is not known here",
				Say: "It is misspelt, it was removed, or it belongs to another server.", Do: "Copy it whole, or make a new one with restic-manager api-token create.", Err: err}
		}
		return &visitor{name: "api:" + t.Name, role: t.Role, key: key}, err
	}
	c, err := r.Cookie(s.sessions.Cookie.Name)
	if err != nil || c.Value == "" {
		return nil, nil
	}
	return s.session(r.Context(), c.Value)
}

// session says whose session a token is of; nil is nobody's.
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
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &visitor{name: u.Name, role: u.Role, user: u.ID, session: in, token: token}, err
}

// still asks whether a visitor who was let in would be let in now.
func (s *Server) still(ctx context.Context, v *visitor) bool {
	if v.key != nil {
		t, err := s.Store.APITokenByHash(ctx, v.key)
		return err == nil && t.Role == v.role
	}
	now, err := s.session(ctx, v.token)
	return err == nil && now != nil && now.role == v.role
}

// touch keeps a session alive that is being used.
func (s *Server) touch(w http.ResponseWriter, v *visitor) error {
	if v.session == nil {
		return nil
	}
	now := s.Now().UnixMilli()
	if now-s.sessions.GetInt64(v.session, sessionSeen) < s.Timing.Touch.Milliseconds() {
		return nil
	}
	s.sessions.Put(v.session, sessionSeen, now)
	return s.keep(v.session, w, v.user)
}

func (s *Server) keep(session context.Context, w http.ResponseWriter, user string) error {
	token, expiry, err := s.sessions.Commit(store.WithUser(session, user))
	if err != nil {
		return err
	}
	s.sessions.WriteSessionCookie(session, w, token, expiry)
	w.Header().Set("Cache-Control", "no-store")
	return nil
}

// enter begins a session for a user; one the browser had before is over.
func (s *Server) enter(w http.ResponseWriter, r *http.Request, u store.User) error {
	old := ""
	if c, err := r.Cookie(s.sessions.Cookie.Name); err == nil {
		old = c.Value
	}
	session, err := s.sessions.Load(r.Context(), old)
	if err == nil {
		err = s.sessions.RenewToken(session)
	}
	if err != nil {
		return err
	}
	s.sessions.Put(session, sessionUser, u.ID)
	s.sessions.Put(session, sessionSeen, s.Now().UnixMilli())
	s.Log.Info("signed in", "user", u.Name, "remote", r.RemoteAddr)
	return s.keep(session, w, u.ID)
}

// check compares a password, a few at a time.
func (s *Server) check(ctx context.Context, hash, secret string) (bool, error) {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return password.Check(hash, secret)
}

// signedIn sends somebody who needs no form to where they belong.
func (s *Server) signedIn(w http.ResponseWriter, r *http.Request, to string) bool {
	v, err := s.identify(r)
	if err != nil || v == nil {
		return false
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return true
}

func (s *Server) loginForm(w http.ResponseWriter, r *http.Request) error {
	next := samePlace(r.URL.Query().Get("next"))
	if s.signedIn(w, r, orFleet(next)) {
		return nil
	}
	if n, err := s.Store.UserCount(r.Context()); err != nil {
		return err
	} else if n == 0 {
		http.Redirect(w, r, "/setup", http.StatusSeeOther)
		return nil
	}
	s.render(w, r, http.StatusOK, views.LoginPage(s.shell(r, "Sign in", ""), views.Login{Server: hostOf(r), Next: next}))
	return nil
}

func orFleet(next string) string {
	if next == "" {
		return "/"
	}
	return next
}

// login takes a name and a password. What it answers, and how long it takes,
// does not tell whether there is somebody of that name.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := views.Login{Server: hostOf(r), Name: strings.TrimSpace(r.PostForm.Get("name")), Next: samePlace(r.PostForm.Get("next"))}
	again := func(status int, problem string) error {
		f.Problem = problem
		s.render(w, r, status, views.LoginPage(s.shell(r, "Sign in", ""), f))
		return nil
	}
	if !s.tries.take(network(r), f.Name) {
		w.Header().Set("Retry-After", "60")
		return again(http.StatusTooManyRequests, "Too many tries at once. Wait a minute, then try again.")
	}
	u, err := s.Store.UserByName(r.Context(), f.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	secret := r.PostForm.Get("password")
	ok := false
	if utf8.RuneCountInString(secret) <= password.MaxLength {
		if ok, err = s.check(r.Context(), u.PasswordHash, secret); err != nil {
			return err
		}
	}
	if !ok {
		s.Log.Warn("sign-in refused", "remote", r.RemoteAddr)
		return again(http.StatusUnprocessableEntity, "This name and password do not belong together. After several wrong tries there is a pause.")
	}
	if err := s.enter(w, r, u); err != nil {
		return err
	}
	http.Redirect(w, r, orFleet(f.Next), http.StatusSeeOther)
	return nil
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r.Context())
	if v.session != nil {
		if err := s.sessions.Destroy(v.session); err != nil {
			return err
		}
		w.Header().Del("Set-Cookie") // of touch
		s.sessions.WriteSessionCookie(v.session, w, "", time.Time{})
		w.Header().Set("Cache-Control", "no-store")
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// SetupPath is the page that makes the first account, with the code that proves
// the right to; "" once there is an account.
func (s *Server) SetupPath(ctx context.Context) (string, error) {
	if n, err := s.Store.UserCount(ctx); err != nil || n > 0 {
		return "", err
	}
	code, err := s.setupCode(ctx)
	return "/setup?code=" + code, err
}

func (s *Server) setupCode(ctx context.Context) (string, error) {
	b, err := s.Store.Secret(ctx, "setup_code", func() ([]byte, error) { return []byte(rand.Text()), nil })
	return string(b), err
}

func (s *Server) setupForm(w http.ResponseWriter, r *http.Request) error {
	if n, err := s.Store.UserCount(r.Context()); err != nil {
		return err
	} else if n > 0 {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	s.render(w, r, http.StatusOK, views.SetupPage(s.shell(r, "First-run setup", ""), views.Setup{Code: r.URL.Query().Get("code")}))
	return nil
}

// setup makes the first account. It needs the code from the server's log, so
// that the first to find the page cannot take the server.
func (s *Server) setup(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	ctx := r.Context()
	if n, err := s.Store.UserCount(ctx); err != nil {
		return err
	} else if n > 0 {
		return errSetUp
	}
	code := strings.TrimSpace(r.Form.Get("code"))
	f := views.Setup{Code: r.URL.Query().Get("code"), Name: strings.TrimSpace(r.PostForm.Get("name"))}
	again := func(status int) error {
		f.Problem = "The account was not made."
		s.render(w, r, status, views.SetupPage(s.shell(r, "First-run setup", ""), f))
		return nil
	}
	want, err := s.setupCode(ctx)
	if err != nil {
		return err
	}
	if !s.tries.take(network(r), "") {
		w.Header().Set("Retry-After", "60")
		f.CodeError = "Too many tries at once. Wait a minute, then try again."
		return again(http.StatusTooManyRequests)
	}
	if subtle.ConstantTimeCompare([]byte(code), []byte(want)) != 1 {
		f.Code = "" // so that it can be typed
		f.CodeError = "This is not the code in the server's log. Use the link that restic-manager serve printed."
		return again(http.StatusForbidden)
	}
	secret := r.PostForm.Get("password")
	f.NameError = checkName("name", f.Name, 1, 60)
	if n := utf8.RuneCountInString(secret); n < password.MinLength || n > password.MaxLength {
		f.SecretError = upper(password.ErrLength.Error()) + "."
	} else if r.PostForm.Get("again") != secret {
		f.AgainError = "The two are not the same."
	}
	if f.NameError != "" || f.SecretError != "" || f.AgainError != "" {
		return again(http.StatusUnprocessableEntity)
	}
	u := store.User{ID: topics.NewID(s.Now()), Name: f.Name, Role: store.Admin, CreatedAt: s.Now().UnixMilli()}
	if u.PasswordHash, err = password.Hash(secret); err != nil {
		return err
	}
	if err := s.Store.AddFirstUser(ctx, u.Name, u); errors.Is(err, store.ErrConflict) {
		return errSetUp
	} else if err != nil {
		return err
	}
	if err := s.enter(w, r, u); err != nil {
		return err
	}
	http.Redirect(w, r, "/hosts/new", http.StatusSeeOther)
	return nil
}

var errSetUp = &Problem{Status: http.StatusConflict, Title: "This server is set up already",
	Say: "There is an account, so the setup code is no longer good.", Do: "Sign in. An administrator can add others.", Link: views.Link{Text: "Sign in", URL: "/login"}}

func badForm(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return errTooLarge
	}
	return &Problem{Status: http.StatusBadRequest, Title: "The form could not be read", Say: "It did not arrive as a form.", Do: "Go back and send it again.", Err: err}
}

// links are sign-in links that were not used yet, by the hash of their key.
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

// use answers with the user of a link, once.
func (l *links) use(hash []byte) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, ok := l.m[string(hash)]
	delete(l.m, string(hash))
	return v.user, ok && !l.now().After(v.till)
}

// SignInLink makes a path that signs a user in, once, within Timing.Link. It is
// forgotten when the server stops.
func (s *Server) SignInLink(ctx context.Context, userID string) (string, error) {
	if _, err := s.Store.User(ctx, userID); err != nil {
		return "", err
	}
	key := password.NewKey("rms_")
	s.links.add(password.HashKey(key), userID, s.Timing.Link)
	return "/sign-in?key=" + key, nil
}

func (s *Server) signInByLink(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead { // whoever only looks must not use it up
		return nil
	}
	refused := &Problem{Status: http.StatusGone, Title: "This link is no longer good",
		Say: "A sign-in link works once, and not for long.", Do: "Sign in with name and password, or ask for a new link.", Link: views.Link{Text: "Sign in", URL: "/login"}}
	id, ok := s.links.use(password.HashKey(r.URL.Query().Get("key")))
	if !ok {
		return refused
	}
	u, err := s.Store.User(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return refused
	} else if err != nil {
		return err
	}
	if err := s.enter(w, r, u); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func hostOf(r *http.Request) string {
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		return h
	}
	return r.Host
}

// network is where a request comes from, as far as one person can choose it: an
// IPv4 address, or the /64 that a provider hands out.
func network(r *http.Request) string {
	h, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	ip := net.ParseIP(h)
	if ip == nil || ip.To4() != nil {
		return h
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}

// A limiter slows down guessing: each network may try a name ten times, then
// once every six seconds, and any names thirty times, then once every two. A
// name alone is never locked, so nobody can lock anybody else out. It remembers
// a bounded number of pairs.
type limiter struct {
	now   func() time.Time
	mu    sync.Mutex
	m     map[[2]string]bucket
	swept time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

const limiterSize = 10_000

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, m: map[[2]string]bucket{}}
}

// take uses up a try. Every call does, so a flood stays slow to the end.
func (l *limiter) take(network, name string) bool {
	if len(name) > 100 {
		name = name[:100]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.one([2]string{network, "name:" + name}, 10, 6*time.Second)
	return l.one([2]string{network, ""}, 30, 2*time.Second) && one
}

func (l *limiter) one(key [2]string, most float64, each time.Duration) bool {
	now := l.now()
	b, known := l.m[key]
	if !known {
		l.room(now)
		b = bucket{most, now}
	}
	b.left = min(most, b.left+float64(now.Sub(b.at))/float64(each))
	b.at = now
	ok := b.left >= 1
	if ok {
		b.left--
	}
	l.m[key] = b
	return ok
}

// room forgets what is full again by now, at most once a second, and failing
// that anything.
func (l *limiter) room(now time.Time) {
	if len(l.m) < limiterSize {
		return
	}
	if now.Sub(l.swept) >= time.Second {
		l.swept = now
		for k, b := range l.m {
			if now.Sub(b.at) > time.Minute {
				delete(l.m, k)
			}
		}
	}
	for k := range l.m {
		if len(l.m) < limiterSize {
			return
		}
		delete(l.m, k)
	}
}

func upper(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

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

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// signedIn redirects a visitor who is signed in already, and reports whether it did.
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

// login checks a name and a password. Neither its answer nor the time it takes
// tells whether a user of that name exists.
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
	if wait := s.tries.take(network(r), f.Name); wait > 0 {
		return again(http.StatusTooManyRequests, slow(w, wait))
	}
	u, err := s.Store.UserByName(r.Context(), f.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if u.DisabledAt != 0 {
		u.PasswordHash = ""
	}
	secret := r.PostForm.Get("password")
	ok, err := s.check(r.Context(), u.PasswordHash, secret)
	if err != nil {
		return err
	}
	if ok && password.Stale(u.PasswordHash) {
		if u, err = s.renewed(r.Context(), u, secret); err != nil {
			return err
		}
	}
	if ok {
		err = s.enter(w, r, u)
	}
	if !ok || errors.Is(err, store.ErrNotFound) {
		s.Log.Warn("sign-in refused", "remote", remote(r))
		s.refused(r.Context(), "session.refused", u)
		return again(http.StatusUnprocessableEntity, "This name and password do not belong together. After several wrong tries there is a pause.")
	} else if err != nil {
		return err
	}
	http.Redirect(w, r, orFleet(f.Next), http.StatusSeeOther)
	return nil
}

// refused records a failed sign-in in the audit log. It records a typed name only
// if it is a user's, because people type passwords into that field. Of many in a
// short time it records some, with the number of those left out.
func (s *Server) refused(ctx context.Context, action string, u store.User) {
	unsaid, ok := s.refusals.say()
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
	if err := s.Store.Audit(ctx, "plane", action, u.ID, who); err != nil && ctx.Err() == nil {
		s.Log.Error("recording a refused sign-in failed", "err", err)
	}
}

// renewed hashes a password again with today's cost, stores the hash, and returns
// the user with it.
func (s *Server) renewed(ctx context.Context, u store.User, secret string) (store.User, error) {
	hash, err := s.newHash(ctx, secret)
	if err == nil {
		err = s.Store.RenewHash(ctx, u.ID, u.PasswordHash, hash)
	}
	u.PasswordHash = hash
	return u, err
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	v := visitorOf(r.Context())
	if v.session != nil {
		if err := s.Store.EndSession(r.Context(), v.name, v.id, v.user); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		s.recheck()
	}
	s.leave(w, r)
	return nil
}

// leave removes the session cookie and redirects to the sign-in page.
func (s *Server) leave(w http.ResponseWriter, r *http.Request) {
	w.Header().Del("Set-Cookie") // of touch
	s.sessions.of(r).WriteSessionCookie(r.Context(), w, "", time.Time{})
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// SetupPath returns the path of the page that creates the first account, with the
// setup code in it. It returns "" once there is an account.
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

// setup creates the first account. It needs the code from the server's log, so
// that the first stranger to find the page cannot take over the server.
func (s *Server) setup(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	ctx := r.Context()
	if n, err := s.Store.UserCount(ctx); err != nil {
		return err
	} else if n > 0 {
		return people.ErrSetUp
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
	if wait := s.tries.take(network(r), ""); wait > 0 {
		f.CodeError = slow(w, wait)
		return again(http.StatusTooManyRequests)
	}
	if subtle.ConstantTimeCompare([]byte(code), []byte(want)) != 1 {
		f.Code = "" // so that it can be typed
		f.CodeError = "This is not the code in the server's log. Use the link that restic-manager serve printed."
		return again(http.StatusForbidden)
	}
	secret := r.PostForm.Get("password")
	if _, f.AgainError = checkSecret(secret, r.PostForm.Get("again")); f.AgainError != "" {
		f.NameError = people.CheckName(f.Name)
		return again(http.StatusUnprocessableEntity)
	}
	u, err := s.people().AddFirst(ctx, f.Name, secret)
	var fields field.Errors
	if errors.As(err, &fields) {
		f.NameError, f.SecretError = fields["name"], fields["password"]
		return again(http.StatusUnprocessableEntity)
	} else if err != nil {
		return err
	}
	if err := s.enter(w, r, u); err != nil {
		return err
	}
	http.Redirect(w, r, "/hosts/new", http.StatusSeeOther)
	return nil
}

// checkSecret returns what is wrong with a new password, and with its repetition.
func checkSecret(secret, again string) (wrong, different string) {
	if wrong = people.CheckPassword(secret); wrong == "" && again != secret {
		different = "The two are not the same."
	}
	return wrong, different
}

func badForm(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem.Oversized(large.Limit)
	}
	return &problem.Problem{Kind: problem.BadRequest, Title: "The form could not be read", Say: "It did not arrive as a form.",
		Do: "Go back and send it again.", Err: err}
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

// SignInLink creates a path that signs a user in, once, within Timing.Link. It is
// kept in memory only and does not survive a restart.
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
	refused := &problem.Problem{Kind: problem.Gone, Title: "This link is no longer good",
		Say: "A sign-in link works once, and not for long.",
		Do:  "Sign in with name and password, or ask for a new link.", Link: problem.Link{Text: "Sign in", URL: "/login"}}
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
	if u.DisabledAt != 0 {
		return refused
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

func upper(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

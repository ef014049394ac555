// Package accounts holds the handlers of the pages about who may sign in: setting
// up, signing in, one's own account, users, API tokens and MQTT consumers.
package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/views"
)

// Accounts holds the handlers of the pages about who may sign in: signing in, one's
// own account, users, API tokens and MQTT consumers.
type Accounts struct{ *layout.Page }

// newAccounts returns the handlers of these pages.
func New(p *layout.Page) *Accounts { return &Accounts{p} }

// signedIn redirects a visitor who is signed in already, and reports whether it did.
func (s *Accounts) signedIn(w http.ResponseWriter, r *http.Request, to string) bool {
	v, err := s.Sessions.Identify(r)
	if err != nil || v == nil {
		return false
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return true
}

func (s *Accounts) LoginForm(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	in := comingFrom(q)
	in.Ended, in.Lost = q.Get("ended") != "", q.Get("lost") != ""
	if s.signedIn(w, r, goesTo(in)) {
		return nil
	}
	if n, err := s.Store.UserCount(r.Context()); err != nil {
		return err
	} else if n == 0 {
		http.Redirect(w, r, "/setup", http.StatusSeeOther)
		return nil
	}
	s.Render(w, r, http.StatusOK, views.LoginPage(s.Shell(r, "Sign in", ""), views.Login{Server: layout.HostOf(r), SignIn: in}))
	return nil
}

// comingFrom is where the form to sign in leads, as its address or its fields say.
func comingFrom(q url.Values) views.SignIn {
	return views.SignIn{Next: base.SamePlace(q.Get("next")), Form: q.Get("form")}
}

// goesTo is where somebody goes who has signed in.
func goesTo(in views.SignIn) string {
	switch {
	case in.Form != "":
		return in.Resume()
	case in.Next != "":
		return in.Next
	}
	return "/"
}

// Login checks a name and a password. Neither its answer nor the time it takes
// tells whether a user of that name exists.
func (s *Accounts) Login(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := views.Login{Server: layout.HostOf(r), Name: strings.TrimSpace(r.PostForm.Get("name")), SignIn: comingFrom(r.PostForm)}
	again := func(status int, problem string) error {
		f.Problem = problem
		s.Render(w, r, status, views.LoginPage(s.Shell(r, "Sign in", ""), f))
		return nil
	}
	if wait := s.Sessions.Tries.Take(session.Network(r), f.Name); wait > 0 {
		return again(http.StatusTooManyRequests, slow(w, wait))
	}
	err := s.Sessions.SignIn(w, r, f.Name, r.PostForm.Get("password"))
	if p := problem.Of(err); err != nil && p.Kind == problem.TooMany {
		return again(http.StatusTooManyRequests, p.Title+". "+slow(w, p.After))
	}
	if errors.Is(err, session.ErrWrong) {
		return again(
			http.StatusUnprocessableEntity,
			"This name and password do not belong together. After several wrong tries there is a pause.",
		)
	} else if err != nil {
		return err
	}
	http.Redirect(w, r, goesTo(f.SignIn), http.StatusSeeOther)
	return nil
}

func (s *Accounts) Logout(w http.ResponseWriter, r *http.Request) error {
	if err := s.Sessions.Leave(w, r, session.Of(r.Context())); err != nil {
		return err
	}
	s.Streams.Recheck()
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// SetupPath returns the path of the page that creates the first account, with the
// setup code in it. It returns "" once there is an account.
func (s *Accounts) SetupPath(ctx context.Context) (string, error) {
	if n, err := s.Store.UserCount(ctx); err != nil || n > 0 {
		return "", err
	}
	code, err := s.setupCode(ctx)
	return "/setup?code=" + code, err
}

func (s *Accounts) setupCode(ctx context.Context) (string, error) {
	b, err := s.Store.Secret(ctx, "setup_code", func() ([]byte, error) { return []byte(rand.Text()), nil })
	return string(b), err
}

func (s *Accounts) SetupForm(w http.ResponseWriter, r *http.Request) error {
	if n, err := s.Store.UserCount(r.Context()); err != nil {
		return err
	} else if n > 0 {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	s.Render(w, r, http.StatusOK, views.SetupPage(s.Shell(r, "First-run setup", ""), views.Setup{Code: r.URL.Query().Get("code"),
		Public: s.publicAddress(r), Agents: s.agentsAddress(r)}))
	return nil
}

// publicAddress is where people find these pages as the setup form suggests it: as the
// browser does that opens it, unless that is this machine's own name for itself.
func (s *Accounts) publicAddress(r *http.Request) views.PublicAddress {
	if s.Alerts.PublicFlag != "" {
		return views.PublicAddress{URL: s.Alerts.PublicFlag, Flag: true}
	}
	if layout.Loopback(layout.HostOf(r)) {
		return views.PublicAddress{}
	}
	address, _ := alerts.CleanURL(session.URLOf(r, ""))
	return views.PublicAddress{URL: address}
}

// agentsAddress is where agents dial as the setup form suggests it: the host that the
// browser used, with the agents' port. It is kept only as somebody sends it.
func (s *Accounts) agentsAddress(r *http.Request) views.PublicAddress {
	if s.Reach.Flag != "" {
		return views.PublicAddress{URL: s.Reach.Flag, Flag: true}
	}
	host := strings.Trim(layout.HostOf(r), "[]")
	if layout.Loopback(host) {
		return views.PublicAddress{}
	}
	return views.PublicAddress{URL: s.Reach.At(host)}
}

// Setup creates the first account. It needs the code from the server's log, so
// that the first stranger to find the page cannot take over the server.
func (s *Accounts) Setup(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	if n, err := s.Store.UserCount(ctx); err != nil {
		return err
	} else if n > 0 {
		return people.ErrSetUp
	}
	code := strings.TrimSpace(r.Form.Get("code"))
	f := views.Setup{Code: r.URL.Query().Get("code"), Name: strings.TrimSpace(r.PostForm.Get("name")),
		Public: views.PublicAddress{URL: s.Alerts.PublicFlag, Flag: s.Alerts.PublicFlag != ""},
		Agents: views.PublicAddress{URL: s.Reach.Flag, Flag: s.Reach.Flag != ""}}
	if !f.Agents.Flag {
		f.Agents.URL = strings.TrimSpace(r.PostForm.Get("agents_public"))
	}
	if !f.Public.Flag {
		f.Public.URL = strings.TrimSpace(r.PostForm.Get("public_url"))
	}
	again := func(status int) error {
		f.Problem = "The account was not made."
		s.Render(w, r, status, views.SetupPage(s.Shell(r, "First-run setup", ""), f))
		return nil
	}
	want, err := s.setupCode(ctx)
	if err != nil {
		return err
	}
	if wait := s.Sessions.Tries.Take(session.Network(r), ""); wait > 0 {
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
	address, wrong := alerts.CleanURL(f.Public.URL)
	if f.Public.Error = wrong; wrong != "" {
		return again(http.StatusUnprocessableEntity)
	}
	dialled, wrong := reach.Clean(f.Agents.URL)
	if f.Agents.Error = wrong; wrong != "" {
		return again(http.StatusUnprocessableEntity)
	}
	u, err := s.People.AddFirst(ctx, f.Name, secret)
	var fields field.Errors
	if errors.As(err, &fields) {
		f.NameError, f.SecretError = fields["name"], fields["password"]
		return again(http.StatusUnprocessableEntity)
	} else if err != nil {
		return err
	}
	if err := s.Sessions.Enter(w, r, u); err != nil {
		return err
	}
	if address != "" && !f.Public.Flag {
		if err := s.Alerts.SetPublicURL(ctx, u.Name, address); err != nil {
			s.Log.Error("saving the public address failed", "err", err) // the account is there; the settings have the field, too
		}
	}
	if dialled != "" && !f.Agents.Flag {
		if err := s.Reach.Set(ctx, u.Name, dialled); err != nil {
			s.Log.Error("saving the agents' address failed", "err", err) // likewise
		}
	}
	s.Reach.Stir() // the next page says where the addresses lead
	http.Redirect(w, r, views.StartURL, http.StatusSeeOther)
	return nil
}

func (s *Accounts) SignInByLink(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead { // whoever only looks must not use it up
		return nil
	}
	err := s.Sessions.EnterByLink(w, r, r.URL.Query().Get("key"))
	if errors.Is(err, store.ErrNotFound) {
		return &problem.Problem{Kind: problem.Gone, Title: "This link is no longer good",
			Say: "A sign-in link works once, and not for long.",
			Do:  "Sign in with name and password, or ask for a new link.", Link: problem.Link{Text: "Sign in", URL: "/login"}}
	} else if err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// signedOut answers somebody whose session has ended by what they did.
func (s *Accounts) signedOut(w http.ResponseWriter, r *http.Request) error {
	s.Sessions.Forget(w, r)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// slow sets Retry-After and returns the sentence that says how long to wait.
func slow(w http.ResponseWriter, wait time.Duration) string {
	n := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(n))
	if n == 1 {
		return "Too many tries. Wait 1 second, then try again."
	}
	return "Too many tries. Wait " + strconv.Itoa(n) + " seconds, then try again."
}

// checkSecret returns what is wrong with a new password, and with its repetition.
func checkSecret(secret, again string) (wrong, different string) {
	if wrong = people.CheckPassword(secret); wrong == "" && again != secret {
		different = "The two are not the same."
	}
	return wrong, different
}

package web

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/views"
)

// ask sends somebody unknown to where they can say who they are, and back to where
// they were. A form whose sender's session has ended is kept until they are back. A
// part of a page, a stream and the API only hear that they have to.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, rt route) {
	ended := s.Sessions.Ended(r)
	p := &problem.Problem{Kind: problem.Unauthenticated, Title: "Nobody is signed in",
		Say: "This needs to know who you are.", Do: "Sign in, then try again."}
	if ended {
		p.Title, p.Say = "Your session has ended", "You were signed out, or nothing was done here for a while."
	}
	in := views.SignIn{Next: base.SamePlace(r.URL.RequestURI()), Ended: ended}
	htmx, reads := base.IsHTMX(r), r.Method == http.MethodGet || r.Method == http.MethodHead
	if htmx || !reads || r.URL.Path == "/events" {
		in.Next = pageOf(r)
	}
	p.Link = problem.Link{Text: "Sign in", URL: in.URL()}
	switch {
	case session.IsAPI(r):
		p.Do = "Send a token as Authorization: Bearer TOKEN. restic-manager api-token create makes one."
		s.fail(w, r, p)
		return
	case r.URL.Path == "/events", htmx && (reads || tries(rt)):
		s.fail(w, r, p)
		return
	case !reads && ended && rt.right != rights.Self && !tries(rt):
		if in.Form = s.keep(r, in.Next); in.Form == "" {
			in.Lost = true
		}
	}
	if htmx {
		w.Header().Set("HX-Redirect", in.URL())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, in.URL(), http.StatusSeeOther)
}

// tries reports whether a route's POST only says what a form would do.
func tries(rt route) bool { return strings.HasSuffix(rt.path, "/preview") }

// pageOf is the page that a form or a part of a page was on, "" if the browser does
// not say.
func pageOf(r *http.Request) string {
	said := r.Header.Get("HX-Current-URL")
	if said == "" {
		said = r.Header.Get("Referer")
	}
	u, err := url.Parse(said)
	if err != nil || said == "" || u.Host != "" && !strings.EqualFold(u.Host, r.Host) {
		return ""
	}
	return base.SamePlace(u.RequestURI())
}

// keep keeps a request's form for whoever's session has ended, and returns its key,
// "" if it could not be kept.
func (s *Server) keep(r *http.Request, page string) string {
	media := r.Header.Get("Content-Type")
	if r.ContentLength != 0 && !strings.HasPrefix(media, "application/x-www-form-urlencoded") {
		return ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	return s.Sessions.Keep(r, session.Form{Path: r.URL.RequestURI(), Type: media, Body: body, Page: page})
}

// gone says that a form is not kept, or is not this visitor's.
var gone = &problem.Problem{Kind: problem.Gone, Title: "This form is not kept any more",
	Say: "It was sent again already, it was too long ago, or somebody else had filled it in. Nothing was changed.",
	Do:  "Fill it in again."}

// resumeForm shows a form that was kept, and asks whether to send it.
func (s *Server) resumeForm(w http.ResponseWriter, r *http.Request) error {
	key, v := r.URL.Query().Get("form"), session.Of(r.Context())
	f, ok := s.Sessions.Kept(v, key)
	if !ok {
		if next := base.SamePlace(r.URL.Query().Get("next")); next != "" {
			return gone.With(problem.Link{Text: "Back to the page", URL: next})
		}
		return gone
	}
	page := views.Resume{Key: key, Path: f.Path, Back: f.Page}
	fields, err := url.ParseQuery(string(f.Body))
	if err != nil {
		return layout.BadForm(err)
	}
	for name, values := range fields {
		page.Fields = append(page.Fields, views.Fact{Name: name, Value: shown(name, strings.Join(values, ", ")), Mono: true})
	}
	slices.SortFunc(page.Fields, func(a, b views.Fact) int { return strings.Compare(a.Name, b.Name) })
	s.layout.Render(w, r, http.StatusOK, views.ResumePage(s.layout.Shell(r, "Go on", "", views.Link{Text: "Go on"}), page))
	return nil
}

// shown is a field's value as a page may show it: no secret.
func shown(name, value string) string {
	name = strings.ToLower(name)
	secret := name == "old" || name == "again"
	for _, part := range []string{"pass", "secret", "key", "token", "account"} {
		secret = secret || strings.Contains(name, part)
	}
	if secret && value != "" {
		return "as you typed it; not shown"
	}
	if strings.Contains(name, "url") {
		return location.Shown(value)
	}
	return value
}

// resume sends a form that was kept, as if it had just been sent by whoever is
// signed in now, who is the one who filled it in; or drops it.
func (s *Server) resume(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f, ok := s.Sessions.Take(session.Of(r.Context()), r.PostForm.Get("form"))
	if !ok {
		return gone
	}
	if r.PostForm.Get("drop") != "" {
		to := f.Page
		if to == "" {
			to = "/"
		}
		layout.Redirect(w, r, to)
		return nil
	}
	to, err := url.ParseRequestURI(f.Path)
	if err != nil {
		return err
	}
	// The mux would otherwise take it for a route below this one.
	again := r.Clone(context.WithValue(r.Context(), chi.RouteCtxKey, (*chi.Context)(nil)))
	again.URL, again.RequestURI, again.Form, again.PostForm = to, f.Path, nil, nil
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(f.Body)), int64(len(f.Body))
	again.Header.Set("Content-Type", f.Type)
	for _, name := range []string{"HX-Request", "HX-Current-URL", "Content-Length"} {
		again.Header.Del(name)
	}
	s.mux.ServeHTTP(w, again)
	return nil
}

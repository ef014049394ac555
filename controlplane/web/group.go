package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// A groupInput is a source group as somebody wants it, from a form or the API.
type groupInput struct {
	name            string
	repository      topics.RepositoryID
	paths, excludes []string
	oneFileSystem   bool
	liveFiles       *bool          // these three stay as they are where they are nil
	hooks           *topics.Hooks  //
	limits          *topics.Limits //
}

func (g groupInput) check() views.GroupErrors {
	e := views.GroupErrors{Name: checkName("name", g.name, 1, 100), Paths: checkPaths(g.paths), Excludes: checkExcludes(g.paths, g.excludes)}
	return e
}

// saveSourceGroup stores a checked source group and tells whoever watches the host.
func (s *Server) saveSourceGroup(ctx context.Context, host topics.HostID, g groupInput) (store.SourceGroup, error) {
	row, err := s.Store.PutSourceGroup(ctx, visitorOf(ctx).name, store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(s.Now())), Host: host, Name: g.name,
		Repository: g.repository, Paths: g.paths, Excludes: g.excludes, OneFileSystem: g.oneFileSystem, CreatedAt: s.Now().UnixMilli(),
		LiveFiles: store.JSON[bool]{V: g.liveFiles}, Hooks: store.JSON[topics.Hooks]{V: g.hooks}, Limits: store.JSON[topics.Limits]{V: g.limits}})
	if err == nil {
		s.Changed(host)
	}
	return row, err
}

// groupForm is the form for a host's source group as it is now: "" for a new one.
func (s *Server) groupForm(ctx context.Context, h store.Host, name string) (views.GroupForm, error) {
	f := views.GroupForm{HostID: string(h.ID), Host: h.Name, Group: name}
	showHow(&f, h, topics.SourceGroup{})
	rows, err := s.Store.Repositories(ctx)
	if err != nil {
		return f, err
	}
	for _, r := range rows {
		f.Repositories = append(f.Repositories, views.Option{Value: string(r.ID), Text: r.Name + "  ·  " + r.Location})
	}
	return f, nil
}

func (s *Server) group(ctx context.Context, h topics.HostID, name string) (store.SourceGroup, error) {
	groups, err := s.Store.SourceGroups(ctx, h)
	if err != nil {
		return store.SourceGroup{}, err
	}
	for _, g := range groups {
		if g.Name == name {
			return g, nil
		}
	}
	return store.SourceGroup{}, &problem.Problem{Kind: problem.NotFound, Title: "There is no such source group",
		Say: "The host has none of this name.", Do: "Look for it on the host's page.", Link: problem.Link{Text: "Open the host", URL: views.HostURL(string(h))}}
}

func (s *Server) groupPage(w http.ResponseWriter, r *http.Request, status int, h store.Host, f views.GroupForm) error {
	title := "What to back up"
	if f.Group != "" {
		title = "Change " + f.Group
	}
	sh := s.shell(r, title, "fleet", toFleet, views.Link{Text: h.Name, URL: views.HostURL(string(h.ID))}, views.Link{Text: title})
	s.render(w, r, status, views.GroupPage(sh, f))
	return nil
}

func (s *Server) newGroup(w http.ResponseWriter, r *http.Request) error {
	h, err := s.host(r.Context(), hostID(r))
	if err != nil {
		return err
	}
	f, err := s.groupForm(r.Context(), h, "")
	if err != nil {
		return err
	}
	return s.groupPage(w, r, http.StatusOK, h, f)
}

func (s *Server) editGroup(w http.ResponseWriter, r *http.Request) error {
	h, err := s.host(r.Context(), hostID(r))
	if err != nil {
		return err
	}
	g, err := s.group(r.Context(), h.ID, param(r, "name"))
	if err != nil {
		return err
	}
	f, err := s.groupForm(r.Context(), h, g.Name)
	if err != nil {
		return err
	}
	showHow(&f, h, g.Topic())
	f.Repository, f.Paths, f.Excludes = string(g.Repository), strings.Join(g.Paths, "\n"), strings.Join(g.Excludes, "\n")
	return s.groupPage(w, r, http.StatusOK, h, f)
}

// saveGroup takes the form: a new source group or a changed one, in a
// repository that is known or made on the way.
func (s *Server) saveGroup(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	h, err := s.host(ctx, hostID(r))
	if err != nil {
		return err
	}
	in := groupInput{name: strings.TrimSpace(r.PostForm.Get("name")), paths: lines(r.PostForm.Get("paths")), excludes: lines(r.PostForm.Get("excludes"))}
	changed, was := param(r, "name"), topics.SourceGroup{}
	if changed != "" {
		g, err := s.group(ctx, h.ID, changed)
		if err != nil {
			return err
		}
		in.name, was = g.Name, g.Topic()
	}
	f, err := s.groupForm(ctx, h, changed)
	if err != nil {
		return err
	}
	f.Name, f.Repository, f.Paths, f.Excludes = in.name, r.PostForm.Get("repository"), r.PostForm.Get("paths"), r.PostForm.Get("excludes")
	f.NewName, f.NewURL = strings.TrimSpace(r.PostForm.Get("repository_name")), strings.TrimSpace(r.PostForm.Get("repository_url"))
	again := func(status int) error {
		f.Problem = "It was not saved; look at what is marked below."
		f.NewURL = location.Shown(f.NewURL)
		return s.groupPage(w, r, status, h, f)
	}

	f.Errors = in.check()
	readHow(r.PostForm, h, was, &f, &in)
	if changed == "" && f.Errors.Name == "" {
		if _, err := s.group(ctx, h.ID, in.name); err == nil {
			f.Errors.Name = "This host has a source group of this name already."
		}
	}
	at, password := topics.Secret(f.NewURL), topics.Secret(r.PostForm.Get("repository_password"))
	if f.Repository == "new" {
		f.Errors.NewName = checkName("name", f.NewName, 1, 100)
		_, err := location.Parse(f.NewURL)
		f.Errors.NewURL = textOf(err)
		f.Errors.NewPassword = checkPassword(password.Reveal())
	} else if !slices.ContainsFunc(f.Repositories, func(o views.Option) bool { return o.Value == f.Repository }) {
		f.Errors.Repository = "Choose a repository, or make a new one."
	}
	if f.Errors != (views.GroupErrors{}) {
		return again(http.StatusUnprocessableEntity)
	}
	if f.Repository == "new" {
		made, err := PutRepository(ctx, s.Store, visitorOf(ctx).name, "", RepositoryInput{Name: &f.NewName, URL: &at, Password: &password})
		if in.repository = made.ID; errors.Is(err, errNameTaken) {
			f.Errors.NewName = "There is a repository of this name already. Choose it above, or another name."
			return again(http.StatusConflict)
		} else if err != nil {
			return err
		}
	} else {
		in.repository = topics.RepositoryID(f.Repository)
	}
	if _, err := s.saveSourceGroup(ctx, h.ID, in); err != nil {
		return err
	}
	http.Redirect(w, r, views.HostURL(string(h.ID)), http.StatusSeeOther)
	return nil
}

// lines are the lines of a text field that say something.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\r\n", "\n")) {
		// Spaces may belong to a file's name; a line of nothing else says nothing.
		if line = strings.TrimSuffix(line, "\n"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out
}

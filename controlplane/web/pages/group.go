package pages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// groupForm is the form for a host's source group as it is now: "" for a new one.
func (s *Pages) groupForm(ctx context.Context, h store.Host, name string) (views.GroupForm, error) {
	f := views.GroupForm{HostID: string(h.ID), Host: h.Name, Group: name}
	showHow(&f, h, topics.SourceGroup{})
	f.Excludes = strings.Join(sources.Usual(h.OS), "\n")
	var own []topics.RepositoryID
	if name != "" {
		g, err := s.Sources.Find(ctx, h.ID, name)
		if err != nil {
			return f, err
		}
		own = append(own, g.Repository)
	}
	rows, err := s.RepositoryChoice(ctx, own)
	if len(rows) <= views.MostRunners {
		slices.SortStableFunc(rows, func(a, b store.Repository) int { return strings.Compare(a.Name, b.Name) })
	}
	f.Repositories, f.Many = layout.RepositoryOptions(rows, func(r store.Repository) string { return r.Name + "  ·  " + r.Location })
	switch {
	case f.Many && name == "":
		f.Repository = "new" // until somebody types the name of one
	case f.Many && rows[0].ID == own[0]:
		f.Repository = rows[0].Name
	}
	return f, err
}

// group returns a host's source group. If there is none, the problem leads to the host.
func (s *Pages) group(ctx context.Context, h topics.HostID, name string) (store.SourceGroup, error) {
	g, err := s.Sources.Find(ctx, h, name)
	if errors.Is(err, sources.ErrNotFound) {
		return g, problem.Of(err).With(problem.Link{Text: "Open the host", URL: views.HostURL(string(h))})
	}
	return g, err
}

func (s *Pages) groupPage(w http.ResponseWriter, r *http.Request, status int, h store.Host, f views.GroupForm) error {
	title := "What to back up"
	if f.Group != "" {
		title = "Change " + f.Group
	}
	sh := s.Shell(r, title, "fleet", layout.ToFleet, views.Link{Text: h.Name, URL: views.HostURL(string(h.ID))}, views.Link{Text: title})
	s.Render(w, r, status, views.GroupPage(sh, f))
	return nil
}

func (s *Pages) NewGroup(w http.ResponseWriter, r *http.Request) error {
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	f, err := s.groupForm(r.Context(), h, "")
	if err != nil {
		return err
	}
	asked := r.URL.Query().Get("fits")
	f.Start = r.URL.Query().Get(views.FromStart)
	for _, fit := range sources.Fits(h.OS, h.Intermittent) {
		f.Fits = append(f.Fits, views.Option{Value: fit.Value, Text: fit.Title})
		if fit.Value == asked {
			f.Fit, f.Name = fit.Value, fit.Name
			f.Paths, f.Excludes = strings.Join(fit.Paths, "\n"), strings.Join(fit.Excludes, "\n")
		}
	}
	if paths := r.URL.Query()["path"]; len(paths) > 0 { // of snapshots that another program made
		f.Paths = strings.Join(paths, "\n")
	}
	if id := r.URL.Query().Get("repository"); slices.ContainsFunc(f.Repositories, func(o views.Option) bool { return o.Value == id }) {
		f.Repository = id
	}
	return s.groupPage(w, r, http.StatusOK, h, f)
}

func (s *Pages) EditGroup(w http.ResponseWriter, r *http.Request) error {
	h, err := s.Host(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	g, err := s.group(r.Context(), h.ID, base.Param(r, "name"))
	if err != nil {
		return err
	}
	f, err := s.groupForm(r.Context(), h, g.Name)
	if err != nil {
		return err
	}
	showHow(&f, h, g.Topic())
	if !f.Many {
		f.Repository = string(g.Repository)
	}
	f.Name, f.Warnings = g.Name, sources.Warnings(g)
	if f.LeftOut, err = s.leftOut(r.Context(), g); err != nil {
		return err
	}
	if said := sources.Broken(g); said != "" {
		f.Problem = "Every backup of this source group fails, because restic refuses a pattern of it. Change what is marked below; " +
			"nothing that was saved before is lost."
		f.Errors = map[string]string{"excludes": said}
	}
	f.Paths, f.Excludes = strings.Join(g.Paths, "\n"), strings.Join(g.Excludes, "\n")
	return s.groupPage(w, r, http.StatusOK, h, f)
}

// leftOut says what a group's backups leave out by themselves.
func (s *Pages) leftOut(ctx context.Context, g store.SourceGroup) ([]string, error) {
	row, err := s.Store.Repository(ctx, g.Repository)
	if err != nil {
		return nil, fmt.Errorf("repository of source group %s: %w", g.ID, err)
	}
	return sources.LeftOut(g, row.Location), nil
}

// AcceptSize says that a source group is meant to hold as little as the snapshot does
// that the page showed.
func (s *Pages) AcceptSize(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id := base.HostID(r)
	_, err := s.Sources.AcceptSize(r.Context(), session.Of(r.Context()).Name, id, base.Param(r, "name"), r.PostForm.Get("snapshot"))
	if err != nil {
		return problem.Of(err).With(problem.Link{Text: "Open the host", URL: views.HostURL(string(id))})
	}
	layout.Redirect(w, r, views.HostURL(string(id)))
	return nil
}

// SaveGroup takes the form: a new source group or a changed one, in a
// repository that is known or made on the way.
func (s *Pages) SaveGroup(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	h, err := s.Host(ctx, base.HostID(r))
	if err != nil {
		return err
	}
	p := r.PostForm
	name, changed, was := p.Get("name"), base.Param(r, "name"), topics.SourceGroup{}
	if changed != "" {
		g, err := s.group(ctx, h.ID, changed)
		if err != nil {
			return err
		}
		was = g.Topic()
		if !p.Has("name") {
			name = g.Name
		}
	}
	f, err := s.groupForm(ctx, h, changed)
	if err != nil {
		return err
	}
	f.Name, f.Repository, f.Paths, f.Excludes = strings.TrimSpace(name), p.Get("repository"), p.Get("paths"), p.Get("excludes")
	f.Start = p.Get(views.FromStart)
	f.NewName, f.NewURL = strings.TrimSpace(p.Get("repository_name")), strings.TrimSpace(p.Get("repository_url"))
	in := sources.Input{Paths: new(layout.Lines(f.Paths)), Excludes: new(layout.Lines(f.Excludes))}
	misread := readHow(p, h, was, &f, &in)
	if f.Many && strings.TrimSpace(f.Repository) == "" {
		f.Repository = "new"
	}
	if f.Repository == "new" {
		in.New = &repositories.Input{
			Name:     &f.NewName,
			URL:      new(topics.Secret(f.NewURL)),
			Password: new(topics.Secret(p.Get("repository_password"))),
		}
	} else {
		id, err := s.ChosenRepository(ctx, f.Repository)
		if err != nil {
			return err
		}
		in.Repository = new(string(id))
	}
	save, of := s.Sources.Add, name
	if changed != "" {
		save, of, in.Name = s.Sources.Change, changed, &name
	}
	g, err := save(ctx, session.Of(ctx).Name, h.ID, of, in)
	if err == nil {
		to := from(p, views.HostURL(string(h.ID)))
		if to == views.StartURL && changed == "" { // what comes next
			to = views.FromStartURL(views.ScheduleURL(string(h.ID), "") + "?fits=" + url.QueryEscape(p.Get("fits")))
		}
		out, err := s.leftOut(ctx, g)
		if err != nil {
			return err
		}
		if len(sources.Warnings(g)) > 0 || len(out) > 0 {
			to = views.GroupURL(string(h.ID), g.Name) // where they stand
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	wrong := problem.Of(problem.Saving("source group", err))
	f.Errors = map[string]string{}
	maps.Copy(f.Errors, wrong.Fields)
	if errors.Is(err, repositories.ErrNameTaken) {
		f.Errors = map[string]string{"repository.name": wrong.Fields["name"]}
	}
	if misread != "" {
		f.Errors["limits"] = misread
	}
	if f.Errors["excludes"] != "" {
		f.Excludes = strings.Join(*in.Excludes, "\n") // without blank lines, so that the line it names is the one that is seen
	}
	if len(f.Errors) == 0 {
		return wrong
	}
	f.Problem, f.NewURL = "It was not saved; look at what is marked below.", location.Shown(f.NewURL)
	return s.groupPage(w, r, base.StatusOf(wrong), h, f)
}

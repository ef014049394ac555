package repositorypages

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/location/storage"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// repositoryForm is the form as the database has it; r without ID is a new one.
func (s *Pages) repositoryForm(ctx context.Context, r store.Repository) (views.RepositoryForm, error) {
	f := views.RepositoryForm{ID: string(r.ID), Name: r.Name, Backend: string(storage.REST), Backends: backends(), Place: map[string]string{},
		Pastes: pastes(everyday, nil), KeeperPastes: pastes(forKeeper, nil), Options: options(nil), Lines: map[string]string{},
		AppendOnly: r.AppendOnly, Keeper: string(r.Keeper),
		Everyday: map[string]string{}, Maintenance: map[string]string{}, Keep: map[string]string{}, Errors: map[string]string{}}
	m, err := s.Moment(ctx)
	if err != nil {
		return f, err
	}
	f.Hosts = s.Choice(m, func(h *fleet.Entry) int {
		if h.ID == r.Keeper {
			return 0
		}
		return 1
	})
	if f.TestHost = string(r.Keeper); f.TestHost == "" {
		f.TestHost = s.firstToLook(m)
	}
	if r.ID == "" {
		return f, nil
	}
	a, err := s.Store.RepositoryAccess(ctx, r.ID)
	if err != nil && !errors.As(err, new(*store.UnreadableError)) {
		return f, err
	}
	f.Unread, f.PasswordUnread, f.Location = looks.PartWords(a.Unread), slices.Contains(a.Unread, "password"), r.Location
	at, env := location.SplitLogin(a.URL, a.Env)
	f.URL = location.Shown(at)
	envs := []map[string]topics.Secret{env}
	if a.Maintenance != nil {
		envs = append(envs, a.Maintenance.Env)
	}
	f.Pastes = pastes(everyday, a.Files)
	if a.Maintenance != nil {
		f.KeeperPastes = pastes(forKeeper, a.Maintenance.Files)
	}
	if r.Options.V != nil {
		f.Options = options(*r.Options.V)
	}
	kind, place := storage.Of(topics.Secret(f.URL), envs...)
	f.Backend, f.Place = string(kind), placed(kind, place)
	f.Everyday, f.Lines[everyday] = noSecrets(env), storage.Lines(env)
	if m := a.Maintenance; m != nil {
		f.HasMaintenance, f.MaintenanceURL, f.Maintenance = true, location.Shown(m.URL), noSecrets(m.Env)
		f.Lines[forKeeper] = storage.Lines(m.Env)
	}
	f.HasMaintenance = f.HasMaintenance || slices.Contains(a.Unread, "maintenance") // it can be taken away
	if k := r.Keep.V; k != nil {
		for name, text := range withinRules(k) {
			f.Keep[name] = *text
		}
		for name, n := range countRules(k) {
			if *n != 0 {
				f.Keep[name] = strconv.Itoa(*n)
			}
		}
	}
	f.Preview, err = s.RetentionView(ctx, r.ID, nil)
	return f, err
}

func noSecrets(env map[string]topics.Secret) map[string]string {
	out := map[string]string{}
	for name, value := range env {
		if v, known := location.Find(name); known && !v.Secret {
			out[name] = value.Reveal()
		}
	}
	return out
}

func (s *Pages) NewRepository(w http.ResponseWriter, r *http.Request) error {
	f, err := s.repositoryForm(r.Context(), store.Repository{})
	if err != nil {
		return err
	}
	if f.From = r.URL.Query().Get(views.FromStart); f.From != "" {
		for name, text := range withinRules(&retention.Suggested) {
			f.Keep[name] = *text
		}
	}
	return s.repositoryFormPage(w, r, http.StatusOK, f)
}

func (s *Pages) EditRepository(w http.ResponseWriter, r *http.Request) error {
	row, err := s.Repository(r.Context(), base.RepositoryID(r))
	if err != nil {
		return err
	}
	f, err := s.repositoryForm(r.Context(), row)
	if err != nil {
		return err
	}
	return s.repositoryFormPage(w, r, http.StatusOK, f)
}

func (s *Pages) repositoryFormPage(w http.ResponseWriter, r *http.Request, status int, f views.RepositoryForm) error {
	sh := s.Shell(r, "Add a repository", "repositories", layout.ToRepositories, views.Link{Text: "Add a repository"})
	if f.ID != "" {
		sh = s.Shell(
			r,
			"Change "+f.Name,
			"repositories",
			layout.ToRepositories,
			views.Link{Text: f.Name, URL: views.RepositoryURL(f.ID)},
			views.Link{Text: "Change"},
		)
	}
	s.Render(w, r, status, views.RepositoryFormPage(sh, f))
	return nil
}

// repositoryInputOf reads the form. was is the form as the database has it, for a
// new repository empty. wrong is what the fields say that make no address, or no variables.
func repositoryInputOf(p url.Values, was views.RepositoryForm, keep store.Keep) (in repositories.Input, wrong field.Errors) {
	kind, at, wrong := addressOf(p)
	in = repositories.Input{
		Name:       new(p.Get("name")),
		Keeper:     new(p.Get("keeper")),
		AppendOnly: new(p.Get("append_only") != ""),
		Everyday:   credentialOf(p, everyday, kind, at, wrong),
		Keep:       &keep,
	}
	in.Everyday.Files, in.Options = pastedOf(p, everyday, at), optionsOf(p, at)
	if at != was.URL || was.ID == "" {
		in.URL = new(topics.Secret(at))
	}
	if password := topics.Secret(p.Get("password")); password != "" || was.ID == "" {
		in.Password = &password
	}
	theirs := strings.TrimSpace(p.Get("maintenance.url"))
	in.Maintenance = credentialOf(p, forKeeper, kind, cmp.Or(theirs, at), wrong)
	in.Maintenance.Files = pastedOf(p, forKeeper, cmp.Or(theirs, at))
	switch {
	case p.Get("maintenance.none") != "":
		in.Maintenance = &repositories.Credential{URL: new(topics.Secret), Env: map[string]topics.Secret{}}
		for _, name := range location.Names() {
			in.Maintenance.Env[name] = ""
		}
		in.Maintenance.Files = map[string]topics.Secret{}
		for _, p := range location.Pastes {
			in.Maintenance.Files[p.Name] = ""
		}
	case theirs != was.MaintenanceURL:
		in.Maintenance.URL = new(topics.Secret(theirs))
	}
	return in, wrong
}

// SaveRepository takes the form: a new repository, or a changed one.
func (s *Pages) SaveRepository(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	row := store.Repository{}
	if id := base.RepositoryID(r); id != "" {
		var err error
		if row, err = s.Repository(ctx, id); err != nil {
			return err
		}
	}
	f, err := s.repositoryForm(ctx, row)
	if err != nil {
		return err
	}
	keep := keepForm(r.PostForm, row.Keep.V)
	in, unmade := repositoryInputOf(r.PostForm, f, keep)
	takeIn := row.ID == "" && r.PostForm.Get(views.TakeIn) != ""
	in.Exists = takeIn
	var saved store.Repository
	if len(unmade) > 0 {
		err = unmade
	} else if row.ID == "" {
		saved, err = s.Repositories.Add(ctx, session.Of(ctx).Name, in)
	} else {
		saved, err = s.Repositories.Change(ctx, session.Of(ctx).Name, row.ID, in)
	}
	if err == nil {
		to := views.RepositoryURL(string(saved.ID))
		if takeIn {
			// Whoever cannot be asked now is told so by the page that follows: never listed.
			_, err := s.Repositories.Refresh(ctx, session.Of(ctx).Actor(), saved.ID, "")
			if err != nil && problem.Of(err).Kind == problem.Internal {
				return err
			}
			to = views.RepositoryImportURL(string(saved.ID))
		} else if r.PostForm.Get(views.FromStart) == "start" {
			to = views.StartURL
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
	wrong := problem.Of(problem.Saving("repository", err))
	if len(wrong.Fields) == 0 {
		return wrong
	}
	typedRepository(&f, r.PostForm)
	f.Problem, f.Errors = "It was not saved; look at what is marked below.", wrong.Fields
	if row.ID != "" {
		if f.Preview, err = s.RetentionView(ctx, row.ID, &keep); err != nil {
			return err
		}
	}
	return s.repositoryFormPage(w, r, base.StatusOf(wrong), f)
}

// typedRepository fills the form with what was typed, but for secrets.
func typedRepository(f *views.RepositoryForm, p url.Values) {
	f.From = p.Get(views.FromStart)
	f.Name, f.Keeper, f.AppendOnly = strings.TrimSpace(p.Get("name")), p.Get("keeper"), p.Get("append_only") != ""
	kind, at, _ := addressOf(p)
	f.Backend, f.URL, f.MaintenanceURL = string(kind), location.Shown(at), location.Shown(strings.TrimSpace(p.Get("maintenance.url")))
	f.Place = map[string]string{}
	for _, b := range f.Backends {
		for _, x := range b.Place {
			f.Place[x.Name] = hidden(strings.TrimSpace(p.Get(x.Name)))
		}
	}
	f.TestHost = cmp.Or(p.Get("test_host"), f.TestHost)
	for _, v := range location.Variables {
		if !v.Secret {
			f.Everyday[v.Name], f.Maintenance[v.Name] = p.Get(everyday+"."+v.Name), p.Get(forKeeper+"."+v.Name)
		}
	}
	if set := optionsOf(p, at); set != nil {
		f.Options = options(*set)
	}
	for _, prefix := range []string{everyday, forKeeper} {
		f.Lines[prefix] = withoutSecrets(p.Get(prefix + ".variables"))
	}
	for _, k := range slices.Concat(views.WithinRules, views.CountRules) {
		f.Keep[k.Value] = p.Get(k.Value)
	}
}

package repositorypages

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

func (s *Pages) RetentionPage(w http.ResponseWriter, r *http.Request) error {
	v, err := s.RetentionView(r.Context(), base.RepositoryID(r), nil)
	if err != nil {
		return err
	}
	place := func(name string) int {
		n, _ := strconv.Atoi(r.URL.Query().Get(name)) // what is no number is the first page
		return n
	}
	v.Place = views.RetentionPlace{Goes: place("goes"), Waits: place("waits"), Stays: place("stays"), Flagged: place("flagged")}
	m, err := s.maintenanceView(r.Context(), base.RepositoryID(r))
	if err != nil {
		return err
	}
	sh := s.Shell(
		r,
		"Retention of "+v.Repository,
		"repositories",
		layout.ToRepositories,
		views.Link{Text: v.Repository, URL: views.RepositoryURL(v.RepositoryID)},
		views.Link{Text: "Retention"},
	)
	s.Render(w, r, http.StatusOK, views.RetentionPage(sh, v, m))
	return nil
}

// RetentionPreview answers a form that is being filled in with what its rules
// would do. Nothing is saved.
func (s *Pages) RetentionPreview(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	row, err := s.Repository(r.Context(), base.RepositoryID(r))
	if err != nil {
		return err
	}
	keep := keepForm(r.PostForm, row.Keep.V)
	v, err := s.RetentionView(r.Context(), base.RepositoryID(r), &keep)
	if err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, views.RetentionPreview(v))
	return nil
}

// keepForm reads retention rules from a form's fields, which are named as the
// API names them. What the form does not ask for stays as it was. A count that is
// no number is -1, which the rules refuse like any other that cannot be.
func keepForm(f url.Values, was *store.Keep) (k store.Keep) {
	if was != nil {
		k = *was
	}
	for name, to := range withinRules(&k) {
		if f.Has(name) {
			*to = strings.TrimSpace(f.Get(name))
		}
	}
	for name, to := range countRules(&k) {
		if !f.Has(name) {
			continue
		}
		*to = 0
		if text := strings.TrimSpace(f.Get(name)); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				n = -1
			}
			*to = n
		}
	}
	return k
}

func withinRules(k *store.Keep) map[string]*string {
	return map[string]*string{"keep_within": &k.Within, "keep_within_hourly": &k.WithinHourly, "keep_within_daily": &k.WithinDaily,
		"keep_within_weekly": &k.WithinWeekly, "keep_within_monthly": &k.WithinMonthly, "keep_within_yearly": &k.WithinYearly}
}

func countRules(k *store.Keep) map[string]*int {
	return map[string]*int{
		"keep_last":    &k.Last,
		"keep_hourly":  &k.Hourly,
		"keep_daily":   &k.Daily,
		"keep_weekly":  &k.Weekly,
		"keep_monthly": &k.Monthly,
		"keep_yearly":  &k.Yearly,
	}
}

// Maintain has a repository's keeper forget, prune or check now, and leads to
// the job.
func (s *Pages) Maintain(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	f := r.PostForm
	host, err := s.Chosen(r.Context(), f.Get("host"))
	if err != nil {
		return err
	}
	give := f.Get(layout.Give) != ""
	job, err := s.AskMaintenance(r.Context(), base.RepositoryID(r), topics.JobKind(f.Get("kind")), host, f.Get("plan"), give)
	if err != nil {
		return err
	}
	layout.Redirect(w, r, views.JobURL(string(job)))
	return nil
}

// SaveHours says when a repository is looked after.
func (s *Pages) SaveHours(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in := map[topics.JobKind]maintenance.Input{}
	for _, kind := range maintenance.Kinds {
		get := func(name string) string { return r.PostForm.Get(string(kind) + "." + name) }
		want := maintenance.Input{Weekday: new(get("weekday")), Hour: new(get("hour")), Paused: new(get("paused") != "")}
		if kind == topics.CheckJob {
			n, err := strconv.Atoi(get("slices"))
			if err != nil {
				n = -1 // what is no number is refused like one that is out of range
			}
			want.Slices = &n
		}
		in[kind] = want
	}
	if err := s.Maintenance.PutHours(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), in); err != nil {
		return layout.NotSavedHere("maintenance", err)
	}
	layout.Redirect(w, r, views.RetentionURL(base.Param(r, "id")))
	return nil
}

// maintenanceView is when a repository is looked after, and how that went.
func (s *Pages) maintenanceView(ctx context.Context, id topics.RepositoryID) (views.Maintenance, error) {
	m := views.Maintenance{RepositoryID: string(id), Zone: words.ZoneWords(s.Zone, s.Now())}
	r, err := s.Store.Repository(ctx, id)
	if err != nil {
		return m, err
	}
	hours, err := s.Maintenance.Hours(ctx, id)
	if err != nil {
		return m, err
	}
	runs, err := s.Store.Runs(ctx, id, 6)
	if err != nil {
		return m, err
	}
	now, err := s.Moment(ctx)
	if err != nil {
		return m, err
	}
	users, err := s.Store.HostsInto(ctx, id)
	if err != nil {
		return m, err
	}
	may := session.Of(ctx).May(rights.Give)
	m.Hosts = s.Choice(now, func(h *fleet.Entry) int {
		switch {
		case h.ID == r.Keeper || slices.Contains(users, h.ID):
			return 0
		case !may:
			return -1
		}
		return 1
	})
	if h := now.Host(r.Keeper); h != nil {
		m.Keeper, m.KeptBy = h.Name, []views.Runner{s.Runner(h)}
	}
	for _, kind := range maintenance.Kinds {
		d := hours[kind]
		row := views.MaintenanceHours{Kind: string(kind), Name: strings.ToUpper(string(kind[:1])) + string(kind[1:]), When: "not by itself",
			Day: base.WeekdayOf(d), Hour: base.ClockOf(d.Minute), Paused: d.Paused, Slices: strconv.Itoa(d.Slices)}
		if r.Keeper != "" && !d.Paused {
			row.Next = views.NewWhen(maintenance.NextSlot(d, s.Now()), s.Now())
		} else if d.Paused {
			row.When = "paused"
		}
		if kind == topics.CheckJob && d.Slices > 0 {
			row.Sub = fmt.Sprintf("reads 1 of %d slices of the data each time", d.Slices)
		}
		m.Hours = append(m.Hours, row)
	}
	for _, run := range runs {
		state := map[store.RunOutcome]string{"": "running", store.RunSucceeded: "succeeded", store.RunHeld: "warnings",
			store.RunFailed: "failed", store.RunCancelled: "cancelled"}[run.Outcome]
		st := views.JobStatus(state)
		if run.Outcome == store.RunHeld {
			st = st.As("Held for review")
		}
		row := views.MaintenanceRun{
			JobID:   string(run.ID),
			Kind:    string(run.Kind),
			Outcome: st,
			At:      s.When(cmp.Or(run.EndedAt, run.CreatedAt)),
			Text:    run.Message,
		}
		if run.Removed > 0 {
			row.Text = words.Count(uint64(run.Removed), "snapshot", "snapshots") + " removed"
			if run.Message != "" {
				row.Text += ". " + run.Message
			}
		}
		m.Runs = append(m.Runs, row)
	}
	return m, nil
}

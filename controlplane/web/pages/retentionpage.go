package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

func (s *Pages) RetentionPage(w http.ResponseWriter, r *http.Request) error {
	v, err := s.retentionView(r.Context(), repositoryID(r), nil)
	if err != nil {
		return err
	}
	m, err := s.maintenanceView(r.Context(), repositoryID(r))
	if err != nil {
		return err
	}
	sh := s.Shell(
		r,
		"Retention of "+v.Repository,
		"repositories",
		toRepositories,
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
	row, err := s.Repository(r.Context(), repositoryID(r))
	if err != nil {
		return err
	}
	keep := keepForm(r.PostForm, row.Keep.V)
	v, err := s.retentionView(r.Context(), repositoryID(r), &keep)
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
	job, err := s.AskMaintenance(r.Context(), repositoryID(r), topics.JobKind(f.Get("kind")), host, f.Get("plan"))
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
	if err := s.Maintenance.PutHours(r.Context(), session.Of(r.Context()).Name, repositoryID(r), in); err != nil {
		return layout.NotSavedHere("maintenance", err)
	}
	layout.Redirect(w, r, views.RetentionURL(base.Param(r, "id")))
	return nil
}

// retentionView is what a repository keeps, by its own rules or by others.
func (s *Pages) retentionView(ctx context.Context, id topics.RepositoryID, keep *store.Keep) (views.Retention, error) {
	p, err := s.Preview(ctx, id, keep)
	v := views.Retention{RepositoryID: string(id), Repository: p.Repository.Name, Rules: ruleWords(p.Keep)}
	if errors.Is(err, retention.ErrRules) {
		v.Problem = problem.Of(err).Say
		return v, nil
	} else if err != nil {
		return v, err
	}
	v.MayApprove = session.Of(ctx).May(store.Admin)
	v.Warnings, v.Unusual, v.Listed = p.Warnings, p.Plan.Unusual, s.When(p.Repository.ListedAt)
	now := s.Now()
	rows := func(list []retention.Verdict) (out []views.RetentionRow) {
		for _, n := range list {
			from := n.Hostname
			if n.Group != "" {
				from += ", " + n.Group
			}
			out = append(
				out,
				views.RetentionRow{
					ID:      n.ID,
					Taken:   s.When(n.Time),
					Age:     now.Sub(time.UnixMilli(n.Time)).Hours(),
					From:    from,
					Reasons: n.Reasons,
					Window:  strings.HasPrefix(n.Reasons[0], "within "),
				},
			)
		}
		return out
	}
	v.Keep, v.Remove, v.Flagged = rows(p.Verdicts.Keep), rows(p.Remove), rows(p.Verdicts.Flagged)
	for i := range v.Flagged {
		v.Flagged[i].From = "Snapshot of " + cmp.Or(v.Flagged[i].From, "nobody")
	}
	for _, o := range p.Oddities {
		if o.Kind == "snapshot" {
			continue
		}
		v.Odd = append(
			v.Odd,
			views.RetentionRow{
				ID:      o.ID,
				Taken:   s.When(o.Time),
				From:    map[string]string{"key": "Key", "source_group": "Source group"}[o.Kind],
				Reasons: o.Reasons,
			},
		)
	}
	if h := p.Held; h != nil {
		v.Held = &views.HeldPlan{
			Hash:    h.Hash,
			Count:   len(h.Plan.V.Remove),
			Reasons: h.Plan.V.Unusual,
			Since:   s.When(h.HeldAt),
			Until:   base.At(h.ExpiresAt).Format("2 January 15:04"),
		}
	}
	return v, nil
}

// ruleWords says rules as a person would.
func ruleWords(k store.Keep) (list []string) {
	if k.Within != "" {
		list = append(list, "everything within "+k.Within)
	}
	if k.Last > 0 {
		list = append(list, fmt.Sprintf("the last %d", k.Last))
	}
	for _, r := range []struct {
		each   string
		within string
		count  int
	}{{"hour", k.WithinHourly, k.Hourly}, {"day", k.WithinDaily, k.Daily}, {"week", k.WithinWeekly, k.Weekly},
		{"month", k.WithinMonthly, k.Monthly}, {"year", k.WithinYearly, k.Yearly}} {
		if r.within != "" {
			list = append(list, "one a "+r.each+" within "+r.within)
		}
		if r.count > 0 {
			list = append(list, fmt.Sprintf("one a %s of the last %d", r.each, r.count))
		}
	}
	return list
}

// maintenanceView is when a repository is looked after, and how that went.
func (s *Pages) maintenanceView(ctx context.Context, id topics.RepositoryID) (views.Maintenance, error) {
	m := views.Maintenance{
		RepositoryID: string(id),
		MayRun:       session.Of(ctx).May(store.Operator),
		MayChange:    session.Of(ctx).May(store.Admin),
	}
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
	m.Hosts = s.Choice(now, func(*fleet.Entry) int { return 0 })
	if h := now.Host(r.Keeper); h != nil {
		m.Keeper, m.KeptBy = h.Name, []views.Runner{s.Runner(h)}
	}
	for _, kind := range maintenance.Kinds {
		d := hours[kind]
		row := views.MaintenanceHours{Kind: string(kind), Name: strings.ToUpper(string(kind[:1])) + string(kind[1:]), When: "not by itself",
			Day: base.WeekdayOf(d), Hour: base.ClockOf(d.Minute), Paused: d.Paused, Slices: strconv.Itoa(d.Slices)}
		if r.Keeper != "" && !d.Paused {
			row.When = maintenance.NextSlot(d, s.Now()).Format("Mon 15:04")
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
			row.Text = fmt.Sprintf("%d snapshots removed", run.Removed)
		}
		m.Runs = append(m.Runs, row)
	}
	return m, nil
}

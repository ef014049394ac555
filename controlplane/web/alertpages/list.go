package alertpages

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	core "github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// How much the list shows.
const (
	ofGroup  = 5    // alerts of a group
	beside   = 10   // groups of what is acknowledged or snoozed, on the page of what is open
	lately   = 5    // of those that ended within the last day
	mostRead = 5000 // of those that are not over; who has more filters them
)

// filterOf is what the service is asked for.
func filterOf(f views.AlertFilter) core.Filter {
	x := core.Filter{Host: topics.HostID(f.Host), Repository: topics.RepositoryID(f.Repo), Condition: f.Condition,
		Severity: alerts.Severity(f.Severity), Tag: f.Tag, Text: strings.TrimSpace(f.Query), State: alerts.State(f.State)}
	if x.State == "" {
		x.State = core.Standing
	}
	return x
}

// standing lists all that is not over and fits, the worst first.
func (s *Pages) standing(ctx context.Context, f views.AlertFilter) (list []alerts.Alert, err error) {
	x := filterOf(f)
	for x.Most = core.MostListed; len(list) < mostRead; {
		page, err := s.Alerts.List(ctx, x)
		if err != nil {
			return nil, err
		}
		list = append(list, page.Alerts...)
		if page.Next == "" {
			break
		}
		x.After = page.Next
	}
	return list, nil
}

// subject is what an alert is grouped by: what it is about, or its cause.
func subject(a alerts.Alert, by string, m *fleet.Moment) (key, title string) {
	switch {
	case by == "cause":
		if c, known := conditions.Of(conditions.Name(a.Condition)); known {
			return a.Condition, c.Title
		}
		return a.Condition, a.Condition
	case a.Host != "":
		return "host " + string(a.Host), m.Name(a.Host)
	case a.Repository != "":
		return "repository " + string(a.Repository), layout.AlertBody(a).Name
	}
	return string(a.On) + " " + a.Subject, layout.AlertBody(a).Name
}

// A group is alerts about the same, or with the same cause.
type group struct {
	key, title string
	all        []alerts.Alert
}

// grouped puts alerts together; the group of the worst comes first. Where a filter leaves
// one group, each alert stands alone.
func grouped(list []alerts.Alert, f views.AlertFilter, m *fleet.Moment) (out []*group) {
	at := map[string]*group{}
	alone := f.Host != "" || f.Repo != "" || f.Condition != "" && f.By == "cause"
	for _, a := range list {
		key, title := subject(a, f.By, m)
		if alone {
			key = a.ID
		}
		g := at[key]
		if g == nil {
			g = &group{key: key, title: title}
			at[key], out = g, append(out, g)
		}
		g.all = append(g.all, a)
	}
	return out
}

// of narrows a filter to a group.
func (g *group) of(f views.AlertFilter) views.AlertFilter {
	a := g.all[0]
	switch kind, _, _ := strings.Cut(g.key, " "); {
	case f.By == "cause":
		f.Condition = a.Condition
	case kind == "host":
		f.Host, f.By = string(a.Host), "cause"
	case kind == "repository":
		f.Repo, f.By = string(a.Repository), "cause"
	}
	return f
}

// section shows some groups of alerts with the same state.
func (s *Pages) section(state, title string, total int, groups []*group, f views.AlertFilter, told map[string]string) views.AlertSection {
	v := views.AlertSection{State: state, Title: title, Total: total}
	whole := f
	whole.State = state
	headed := false
	for _, g := range groups {
		most := ofGroup
		x := views.AlertGroup{Total: len(g.all), URL: views.AlertsPath(g.of(whole), 1, "")}
		if headed = headed || len(g.all) > 1; headed { // under the heading of another it would seem to be one of its
			x.Title = g.title
		}
		for _, a := range g.all[:min(most, len(g.all))] {
			x.Rows = append(x.Rows, s.AlertRow(a, told[a.ID]))
		}
		v.Groups = append(v.Groups, x)
	}
	return v
}

var stateTitles = []struct {
	state alerts.State
	title string
}{{alerts.Open, "Open"}, {alerts.Acknowledged, "Acknowledged"}, {alerts.Snoozed, "Snoozed"}}

// list reads the page of what is not over.
func (s *Pages) list(ctx context.Context, f views.AlertFilter, page int, m *fleet.Moment, v *views.Alerts) error {
	all, err := s.standing(ctx, f)
	if err != nil {
		return err
	}
	now := s.Now().UnixMilli()
	byState := map[alerts.State][]alerts.Alert{}
	for _, a := range all {
		byState[a.State(now)] = append(byState[a.State(now)], a)
	}
	told, err := s.told(ctx, m, all)
	if err != nil {
		return err
	}
	main := alerts.State(f.State)
	if main == "" {
		main = alerts.Open
	}
	for _, t := range stateTitles {
		rows := byState[t.state]
		groups := grouped(rows, f, m)
		switch {
		case t.state == main:
			v.Paging = views.AlertPaging(len(groups), page, f)
			groups = groups[v.Paging.From:v.Paging.To]
		case f.State != "" || page > 1:
			continue
		}
		if len(rows) == 0 {
			continue
		}
		shown := len(groups)
		if t.state != main {
			shown = min(shown, beside)
		}
		x := s.section(string(t.state), t.title, len(rows), groups[:shown], f, told)
		if shown < len(groups) {
			whole := f
			whole.State = string(t.state)
			x.All = views.AlertsPath(whole, 1, "")
		}
		v.Sections = append(v.Sections, x)
	}
	if f.State == "" && page <= 1 {
		return s.lately(ctx, f, v)
	}
	return nil
}

// lately adds what ended within the last day, and when the last alert ended.
func (s *Pages) lately(ctx context.Context, f views.AlertFilter, v *views.Alerts) error {
	x := filterOf(f)
	x.State, x.Most = alerts.Ended, lately
	ended, err := s.Alerts.List(ctx, x)
	if err != nil {
		return err
	}
	g, last := views.AlertGroup{}, int64(0)
	for _, a := range ended.Alerts {
		if last < a.EndedAt {
			last, v.LastEnded = a.EndedAt, s.When(a.EndedAt)
		}
		if s.Now().UnixMilli()-a.EndedAt < (24 * time.Hour).Milliseconds() {
			g.Rows = append(g.Rows, s.AlertRow(a, ""))
		}
	}
	if len(g.Rows) == 0 || len(v.Sections) == 0 && !f.Narrow() {
		return nil // nothing needs attention, and that says when the last ended
	}
	f.State = string(alerts.Ended)
	v.Sections = append(v.Sections, views.AlertSection{State: "today", Title: "Ended lately", Groups: []views.AlertGroup{g},
		All: views.AlertsPath(f, 1, "")})
	return nil
}

// ended reads the page of what is over.
func (s *Pages) ended(ctx context.Context, f views.AlertFilter, after string, v *views.Alerts) error {
	x := filterOf(f)
	x.After, x.Most = after, views.PageSize
	page, err := s.Alerts.List(ctx, x)
	if err != nil {
		return err
	}
	g := views.AlertGroup{}
	for _, a := range page.Alerts {
		g.Rows = append(g.Rows, s.AlertRow(a, ""))
	}
	if len(g.Rows) > 0 {
		v.Sections = append(v.Sections, views.AlertSection{State: "ended", Title: "Ended", Groups: []views.AlertGroup{g}})
	}
	if page.Next != "" {
		v.Older = views.AlertsPath(f, 1, page.Next)
	}
	if after != "" {
		v.Newest = views.AlertsPath(f, 1, "")
	}
	return nil
}

// read reads all that the alerts page shows.
func (s *Pages) read(ctx context.Context, f views.AlertFilter, page int, after string, m *fleet.Moment) (views.Alerts, error) {
	v := views.Alerts{Filter: f, Snoozes: s.snoozes(), Pauses: s.PausesOf(ctx, m, ""), Back: views.AlertsPath(f, page, after)}
	for _, c := range conditions.Table() {
		v.Conditions = append(v.Conditions, views.Option{Value: string(c.Name), Text: c.Title})
	}
	if f.Host != "" {
		v.HostName = m.Name(topics.HostID(f.Host))
		v.Pauses = s.PausesOf(ctx, m, topics.HostID(f.Host))
	}
	if f.Repo != "" {
		names := map[topics.RepositoryID]string{}
		if err := s.Store.RepositoryNames(ctx, []topics.RepositoryID{topics.RepositoryID(f.Repo)}, names); err != nil {
			return v, err
		}
		v.RepoName = names[topics.RepositoryID(f.Repo)]
	}
	current := "open"
	var err error
	if f.State == "ended" {
		current, err = "ended", s.ended(ctx, f, after, &v)
	} else {
		err = s.list(ctx, f, page, m, &v)
	}
	if err != nil {
		return v, err
	}
	v.Tabs = s.tabs(ctx, current)
	if v.Delivery, err = s.lines(ctx); err != nil {
		return v, err
	}
	v.Channels, v.Heartbeat = len(v.Delivery) > 0, s.watchdog(ctx)
	return v, nil
}

// name says which alerts a page shows in which order.
func name(v views.Alerts) string {
	h := fnv.New64a()
	for _, x := range v.Sections {
		if x.State == "today" {
			continue // what ended now was on the page before
		}
		for _, g := range x.Groups {
			for _, r := range g.Rows {
				_, _ = fmt.Fprintln(h, x.State, r.ID) // never fails
			}
		}
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// List shows alerts.
func (s *Pages) List(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	f := views.AlertFilterOf(q)
	_, page := layout.ListPlace(q)
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	v, err := s.read(r.Context(), f, page, q.Get("after"), m)
	if err != nil {
		return err
	}
	sh := s.Shell(r, "Alerts", "alerts", views.Link{Text: "Alerts"})
	if f.State != "ended" {
		sh.Stream = views.AlertsStream(f, page, name(v))
	}
	s.Render(w, r, http.StatusOK, views.AlertsPage(sh, v))
	return nil
}

// A tab is the alerts page in somebody's browser.
type tab struct {
	s      *Pages
	filter views.AlertFilter
	page   int
	list   string // what the page showed at first
	mark   int64  // of the alerts that were drawn last
	shown  []string
	drawn  bool
}

// ListStream draws the rows of the alerts page again as they change.
func (s *Pages) ListStream(q url.Values) layout.Draw {
	_, page := layout.ListPlace(q)
	t := &tab{s: s, filter: views.AlertFilterOf(q), page: page, list: q.Get("list")}
	return t.draw
}

func (t *tab) draw(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
	s := t.s
	mark, err := s.Store.Alerts().Mark(ctx)
	if err != nil {
		return err
	}
	if t.drawn && mark == t.mark && !p.Full {
		lines, err := s.lines(ctx)
		if err != nil {
			return err
		}
		p.Morph("alert-delivery", views.AlertDelivery(views.Alerts{Delivery: lines}))
		p.Morph("alert-watchdog", views.AlertWatchdog(s.watchdog(ctx)))
		return nil
	}
	v, err := s.read(ctx, t.filter, t.page, "", p.Moment)
	if err != nil {
		return err
	}
	rows := map[string]views.AlertRow{}
	for _, x := range v.Sections {
		for _, g := range x.Groups {
			for _, r := range g.Rows {
				if !t.drawn {
					t.shown = append(t.shown, r.ID)
				}
				rows[r.ID] = r
			}
		}
	}
	t.mark, t.drawn = mark, true
	for _, id := range t.shown {
		row, there := rows[id]
		if !there {
			a, err := s.Alerts.Get(ctx, id)
			if err != nil {
				continue // it is kept no longer
			}
			row = s.AlertRow(a, "")
		}
		p.Morph(views.AlertRowID(id), views.AlertItem(row, v.Snoozes))
	}
	p.Morph("alert-tabs", views.AlertTabsNav(v.Tabs))
	p.Morph("alerts-changed", views.AlertsChanged(t.list != "" && name(v) != t.list))
	p.Morph("alert-pauses", views.AlertPauses(v.Pauses))
	p.Morph("alert-delivery", views.AlertDelivery(v))
	p.Morph("alert-watchdog", views.AlertWatchdog(v.Heartbeat))
	return nil
}

package layout

import (
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// AlertAbouts are what alerts may be about.
var AlertAbouts = map[alerts.On]string{alerts.OnHost: "Host", alerts.OnGroup: "Source group", alerts.OnRepository: "Repository",
	alerts.OnChannel: "Channel", alerts.OnPlane: "Control plane"}

// AlertBody is what an alert says.
func AlertBody(a alerts.Alert) alerts.Body {
	if a.Body.V == nil {
		return alerts.Body{}
	}
	return *a.Body.V
}

// AlertRow is an alert in a list; told is who was told of it, in words.
func (s *Page) AlertRow(a alerts.Alert, told string) views.AlertRow {
	b := AlertBody(a)
	r := views.AlertRow{ID: a.ID, State: string(a.State(s.Now().UnixMilli())), Severity: string(a.Severity),
		Icon: views.AlertIcon(a.Condition, string(a.Severity)), Name: b.Name, NameURL: pageOf(a), Title: b.Title,
		Cause: words.Beside(b.Title, b.Cause), Since: s.When(a.HoldsSince()), Count: int(a.Count), Told: told,
		Flaps: a.QuietAt > 0 && a.EndedAt == 0,
		Link:  views.Link{Text: b.Link, URL: base.SamePlace(b.Path)}, CanSnooze: true}
	if r.Name == "" {
		r.Name = AlertAbouts[a.On]
	}
	if c, known := conditions.Of(conditions.Name(a.Condition)); known {
		r.CanSnooze = !c.Stays
	}
	switch r.State {
	case string(alerts.Acknowledged):
		r.By, r.At = a.AckedBy, s.When(a.AckedAt)
	case string(alerts.Snoozed):
		r.By, r.Until = a.SnoozedBy, s.When(a.SnoozedUntil)
	case string(alerts.Ended):
		r.At = s.When(a.EndedAt)
		r.Lasted = words.Span(max(words.Between(a.HoldsSince(), a.EndedAt), 0))
		if a.EndedBy != alerts.Plane {
			r.By, r.Why = a.EndedBy, a.EndedWhy
		}
	}
	return r
}

// pageOf is the page of what an alert is about, "" if there is none.
func pageOf(a alerts.Alert) string {
	switch {
	case a.On == alerts.OnRepository && a.Repository != "":
		return views.RepositoryURL(string(a.Repository))
	case a.On == alerts.OnChannel:
		return views.ChannelURL(a.Subject)
	case a.Host != "":
		return views.HostURL(string(a.Host))
	}
	return ""
}

// PauseOf is a pause as pages show it.
func (s *Page) PauseOf(p alerts.Pause, m *fleet.Moment) views.AlertPause {
	v := views.AlertPause{ID: p.ID, Of: "Everything", Reason: p.Reason, By: p.CreatedBy, From: s.When(p.From), Until: s.When(p.Until),
		Current: p.From <= s.Now().UnixMilli()}
	switch p.Kind {
	case "tag":
		v.Of, v.URL = "Hosts with the tag "+p.Subject, views.FleetURL(views.FleetFilter{Tag: p.Subject}, 1)
	case "host":
		v.Of, v.URL = "Host "+m.Name(topics.HostID(p.Subject)), views.HostURL(p.Subject)
	}
	return v
}

// PausesOf are the pauses that count now for a host; those of everything for "".
func (s *Page) PausesOf(ctx context.Context, m *fleet.Moment, host topics.HostID) (out []views.AlertPause) {
	list, err := s.Alerts.Pauses(ctx)
	if err != nil {
		return nil // what is said of pauses is beside the point of a page
	}
	var tags []string
	if e := m.Host(host); e != nil {
		tags = e.Tags
	}
	for _, p := range list {
		if p.From <= s.Now().UnixMilli() && (p.Kind == "all" || host != "" && (p.Kind == "host" && p.Subject == string(host) ||
			p.Kind == "tag" && slices.Contains(tags, p.Subject))) {
			out = append(out, s.PauseOf(p, m))
		}
	}
	return out
}

// MostAlerts is how many alerts the page of what they are about shows.
const MostAlerts = 5

// alertsPanel is what the page of a host or of a repository says of its alerts.
func (s *Page) alertsPanel(list []alerts.Alert, f views.AlertFilter, pauses []views.AlertPause) views.AlertsPanel {
	v := views.AlertsPanel{Total: len(list), URL: views.AlertsPath(f, 1, ""), Pauses: pauses}
	for _, a := range list[:min(len(list), MostAlerts)] {
		v.Rows = append(v.Rows, s.AlertRow(a, ""))
	}
	return v
}

// AlertsOfHost is what a host's page says of its alerts.
func (s *Page) AlertsOfHost(ctx context.Context, id topics.HostID, m *fleet.Moment) (views.AlertsPanel, error) {
	list, err := s.Alerts.OfHost(ctx, id)
	return s.alertsPanel(list, views.AlertFilter{Host: string(id)}, s.PausesOf(ctx, m, id)), err
}

// AlertsOfRepository is what a repository's page says of its alerts.
func (s *Page) AlertsOfRepository(ctx context.Context, id topics.RepositoryID, m *fleet.Moment) (views.AlertsPanel, error) {
	list, err := s.Alerts.OfRepository(ctx, id)
	return s.alertsPanel(list, views.AlertFilter{Repo: string(id)}, s.PausesOf(ctx, m, "")), err
}

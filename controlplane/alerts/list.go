package alerts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// Standing is the state of a filter that finds whatever is not over.
const Standing alerts.State = "standing"

// A Filter is which alerts a list has; its zero value is all.
type Filter struct {
	State      alerts.State // one of [alerts.States] or Standing; "" is any
	Host       topics.HostID
	Repository topics.RepositoryID
	Condition  string
	Severity   alerts.Severity
	Tag        string // of the host it concerns
	Text       string // in its name, title or cause, in capitals or not
	After      string // the Next of the page before; "" is the first
	Most       int    // of a page; 0 is 50
}

// A Page is a part of a list.
type Page struct {
	Alerts []alerts.Alert
	Next   string // After of the next page, "" if there is none
}

// MostListed is how many alerts a page has at most.
const MostListed = 1000

// reads is how many rows of those that are over one page looks at; whoever filters them by
// a rare text gets the rest with the next.
const reads = 5000

// List lists alerts: those that are not over the worst first, all others the newest change
// first.
func (s *Service) List(ctx context.Context, f Filter) (Page, error) {
	if f.Most <= 0 {
		f.Most = 50
	}
	f.Most = min(f.Most, MostListed)
	after, err := parsePlace(f.After)
	if err != nil {
		return Page{}, err
	}
	if f.State != "" && f.State != Standing && !slices.Contains(alerts.States, f.State) {
		return Page{}, field.Errors{"state": "A state is open, acknowledged, snoozed, ended or standing."}
	}
	fits, err := s.matcher(ctx, f)
	if err != nil {
		return Page{}, err
	}
	if f.State == "" || f.State == alerts.Ended {
		return s.listChanged(ctx, f, after, fits)
	}
	live, err := s.Live(ctx)
	if err != nil {
		return Page{}, err
	}
	page := Page{Alerts: []alerts.Alert{}}
	for _, a := range live {
		switch {
		case f.After != "" && byUrgency(a, alerts.Alert{Severity: after.severity, Changed: after.changed}) <= 0, !fits(a):
		case len(page.Alerts) == f.Most:
			page.Next = placeOf(page.Alerts[f.Most-1])
			return page, nil
		default:
			page.Alerts = append(page.Alerts, a)
		}
	}
	return page, nil
}

// listChanged lists alerts by their last change, the newest first.
func (s *Service) listChanged(ctx context.Context, f Filter, after place, fits func(alerts.Alert) bool) (Page, error) {
	page := Page{Alerts: []alerts.Alert{}}
	query := alerts.Filter{Ended: f.State == alerts.Ended, Host: f.Host, Repository: f.Repository, Condition: f.Condition,
		Severity: f.Severity}
	chunk := f.Most + 1
	if f.Text != "" || f.Tag != "" {
		chunk = 500
	}
	before := after.changed
	for read := 0; ; {
		rows, err := s.rows().Page(ctx, query, before, chunk)
		if err != nil {
			return page, err
		}
		for _, a := range rows {
			if !fits(a) {
				before = a.Changed
				continue
			}
			if len(page.Alerts) == f.Most {
				page.Next = placeOf(page.Alerts[f.Most-1])
				return page, nil
			}
			before = a.Changed
			if a.EndedAt == 0 {
				a = s.sighted(a)
			}
			page.Alerts = append(page.Alerts, a)
		}
		if read += len(rows); len(rows) < chunk {
			return page, nil
		}
		if read >= reads {
			page.Next = place{changed: before}.String()
			return page, nil
		}
	}
}

// matcher returns what a filter finds, but for the place.
func (s *Service) matcher(ctx context.Context, f Filter) (func(alerts.Alert) bool, error) {
	tagged := map[topics.HostID]bool{}
	if f.Tag != "" {
		list, err := s.Store.Hosts(ctx)
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			tagged[h.ID] = slices.Contains(h.Tags, f.Tag)
		}
	}
	now, text := s.Now().UnixMilli(), strings.ToLower(f.Text)
	return func(a alerts.Alert) bool {
		b := a.Body.V
		return (f.State == "" || f.State == a.State(now) || f.State == Standing && a.EndedAt == 0) &&
			(f.Host == "" || f.Host == a.Host) &&
			(f.Repository == "" || f.Repository == a.Repository) &&
			(f.Condition == "" || f.Condition == a.Condition) &&
			(f.Severity == "" || f.Severity == a.Severity) &&
			(f.Tag == "" || tagged[a.Host]) &&
			(text == "" || strings.Contains(strings.ToLower(b.Name+"\x00"+b.Title+"\x00"+b.Cause+"\x00"+a.Condition), text))
	}, nil
}

// byUrgency puts the worst first, and of those the ones that changed last.
func byUrgency(a, b alerts.Alert) int {
	return cmp.Or(slices.Index(alerts.Severities, b.Severity)-slices.Index(alerts.Severities, a.Severity), cmp.Compare(b.Changed, a.Changed))
}

// A place is where a page ends.
type place struct {
	severity alerts.Severity
	changed  int64
}

func placeOf(a alerts.Alert) string { return place{a.Severity, a.Changed}.String() }

// String is the place as it is told.
func (p place) String() string {
	return fmt.Sprintf("%d-%d", slices.Index(alerts.Severities, p.severity)+1, p.changed)
}

func parsePlace(text string) (p place, err error) {
	if text == "" {
		return p, nil
	}
	rank, changed, _ := strings.Cut(text, "-")
	n, err := strconv.Atoi(rank)
	if err == nil {
		p.changed, err = strconv.ParseInt(changed, 10, 64)
	}
	if err != nil || n < 0 || n > len(alerts.Severities) || p.changed < 0 {
		return p, field.Errors{"after": "This is no place in the list: take it from next of the page before."}
	}
	if n > 0 {
		p.severity = alerts.Severities[n-1]
	}
	return p, nil
}

// Get returns an alert, or [alerts.ErrNone].
func (s *Service) Get(ctx context.Context, id string) (alerts.Alert, error) {
	a, err := s.rows().Get(ctx, id)
	if err == nil && a.EndedAt == 0 {
		a = s.sighted(a)
	}
	return a, err
}

// Live lists the alerts that are not over, the worst first. Nobody may change the list.
func (s *Service) Live(ctx context.Context) ([]alerts.Alert, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mark, err := s.rows().Mark(ctx)
	if err == nil && (!s.read || mark != s.mark) {
		err = s.readLive(ctx)
	}
	return s.live, err
}

func (s *Service) readLive(ctx context.Context) error {
	live, mark, err := s.rows().Live(ctx)
	if err != nil {
		return err
	}
	for i, a := range live {
		live[i].SeenAt = max(a.SeenAt, s.seen[a.ID])
	}
	slices.SortFunc(live, byUrgency)
	s.live, s.mark, s.read = live, mark, true
	return nil
}

// sighted is an alert with when it was last found to hold.
func (s *Service) sighted(a alerts.Alert) alerts.Alert {
	a.SeenAt = max(a.SeenAt, s.seenAt(a.ID))
	return a
}

func (s *Service) seenAt(id string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[id]
}

// Counts is how many alerts are in each state of those that are not over.
type Counts struct {
	Open, Acknowledged, Snoozed int
	Worst                       alerts.Severity // of those that are open; "" if none is
}

// Counts counts alerts. It answers from memory, and while the database does not answer
// with what was last known.
func (s *Service) Counts(ctx context.Context) Counts {
	live, err := s.Live(ctx)
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("counting alerts failed", "err", err)
	}
	var c Counts
	now := s.Now().UnixMilli()
	for _, a := range live {
		switch a.State(now) {
		case alerts.Open:
			if c.Open++; slices.Index(alerts.Severities, a.Severity) > slices.Index(alerts.Severities, c.Worst) {
				c.Worst = a.Severity
			}
		case alerts.Acknowledged:
			c.Acknowledged++
		case alerts.Snoozed:
			c.Snoozed++
		}
	}
	return c
}

// OfHost lists the alerts that concern a host and are not over, the worst first.
func (s *Service) OfHost(ctx context.Context, id topics.HostID) ([]alerts.Alert, error) {
	return s.of(ctx, func(a alerts.Alert) bool { return a.Host == id })
}

// OfRepository lists the alerts that concern a repository and are not over, the worst first.
func (s *Service) OfRepository(ctx context.Context, id topics.RepositoryID) ([]alerts.Alert, error) {
	return s.of(ctx, func(a alerts.Alert) bool { return a.Repository == id })
}

func (s *Service) of(ctx context.Context, fits func(alerts.Alert) bool) ([]alerts.Alert, error) {
	live, err := s.Live(ctx)
	found := []alerts.Alert{}
	for _, a := range live {
		if fits(a) {
			found = append(found, a)
		}
	}
	return found, err
}

package delivery

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
)

// A due is that a channel is to hear of an alert now.
type due struct {
	alert alerts.Alert
	event rows.Event
	since int64    // since when it could be told
	lost  bool     // a message that told it was given up
	notes []string // that it comes of
}

// settle looks what became of the notes of a channel: those that come to nothing are
// removed, and those whose time has come returned.
func (p *pass) settle(ctx context.Context, c rows.Channel) ([]due, error) {
	byAlert := map[string]map[rows.Event]rows.Note{}
	var order []string
	for _, n := range p.notes[c.ID] {
		if byAlert[n.Alert] == nil {
			byAlert[n.Alert] = map[rows.Event]rows.Note{}
			order = append(order, n.Alert)
		}
		byAlert[n.Alert][n.Event] = n
	}
	s := settling{pass: p, c: c}
	for _, id := range order {
		s.one(id, byAlert[id])
	}
	if err := p.in.Drop(ctx, s.dropped); err != nil {
		return nil, err
	}
	if err := p.in.Tell(ctx, s.learned); err != nil {
		return nil, err
	}
	if s.unsaid > 0 {
		u := rows.Unsaid{Channel: c.ID, Alerts: s.unsaid, Since: p.now}
		if was, there := p.unsaid[c.ID]; there {
			was.Alerts += u.Alerts
			p.unsaid[c.ID] = was
		} else {
			p.unsaid[c.ID] = u
		}
		if err := p.in.Unsay(ctx, u); err != nil {
			return nil, err
		}
	}
	return s.due, nil
}

type settling struct {
	*pass
	c       rows.Channel
	due     []due
	dropped []string
	learned []rows.Told
	unsaid  int64
	past    int
}

func (s *settling) drop(notes ...rows.Note) {
	for _, n := range notes {
		if n.ID != "" {
			s.dropped = append(s.dropped, n.ID)
		}
	}
}

// one decides about the notes of one alert.
func (s *settling) one(id string, notes map[rows.Event]rows.Note) {
	opened, reminded, recovered := notes[rows.Opened], notes[rows.Reminded], notes[rows.Recovered]
	a, there := s.alerts[id]
	if !there {
		s.drop(opened, reminded, recovered)
		return
	}
	rule, hears := s.hearers[id][s.c.ID]
	t, knows := s.told[s.c.ID][id]
	known := knows && t.State == rows.Known
	if a.EndedAt > 0 {
		s.drop(reminded)
		s.ended(a, rule, hears, t, opened, recovered)
		return
	}
	s.drop(recovered) // it began anew before that could be told
	if known && recovered.ID != "" && t.BeganAt != a.BeganAt {
		t.BeganAt = a.BeganAt
		s.learned = append(s.learned, t)
	}
	if !hears || a.State(s.now) != alerts.Open || knows && (t.State == rows.Telling || t.State == rows.Closing) {
		s.drop(opened, reminded)
		return
	}
	if known && !routing.Worse(a.Severity, t.Severity) {
		s.drop(opened)
		opened = rows.Note{}
	}
	switch {
	case opened.ID != "":
		s.drop(reminded)
		s.wait(a, rule, rows.Opened, s.dueAt(opened), opened)
	case reminded.ID != "" && known && (t.At <= reminded.At || s.ahead(t.At)): // else it was told meanwhile
		s.wait(a, rule, rows.Reminded, reminded.DueAt, reminded)
	default:
		s.drop(reminded)
	}
}

// ended decides about an alert that is over.
func (s *settling) ended(a alerts.Alert, rule routing.Rule, hears bool, t rows.Told, opened, recovered rows.Note) {
	switch t.State {
	case rows.Known:
		if !hears || rule.Recovered { // it is taken back also where rules lead nothing like it any more
			s.wait(a, rule, rows.Recovered, s.dueAt(recovered), opened, recovered)
			return
		}
		t.State = rows.Over
		s.learned = append(s.learned, t)
	case rows.Swallowed, rows.Lost:
		t.State = rows.Over
		s.learned = append(s.learned, t)
	case rows.Telling, rows.Closing:
		return // once it is told that it began, it is told that it is over
	default:
		lasted := time.Duration(a.EndedAt-opened.At) * time.Millisecond
		if opened.ID == "" || !hears || a.EndedBy != "plane" || lasted < s.timing().Gather+time.Duration(rule.Delay)*time.Second ||
			s.w.Hushed(a, opened.At, a.EndedAt) {
			break // it came and went before it was to be told
		}
		if a.Severity == alerts.Critical && s.past < MostPast {
			s.past++
			s.wait(a, rule, rows.Recovered, min(a.EndedAt, s.now), opened, recovered)
			return
		}
		s.unsaid++
	}
	s.drop(opened, recovered)
}

// dueAt is when a note is due. One of a time that is still to come was noted before the
// clock was set back, and is due: rather too early than in a year.
func (s *settling) dueAt(n rows.Note) int64 {
	if s.ahead(n.At) {
		return 0
	}
	return max(n.At, n.DueAt)
}

// wait lets notes wait until they are due and nothing keeps them.
func (s *settling) wait(a alerts.Alert, rule routing.Rule, event rows.Event, at int64, notes ...rows.Note) {
	if at > s.now {
		s.at(at)
		return
	}
	until := max(s.w.Paused(a, s.now), s.w.Quiet(rule, a.Severity, s.now))
	if until > s.now {
		s.at(until)
		return
	}
	d := due{alert: a, event: event, since: at, lost: s.told[s.c.ID][a.ID].State == rows.Lost}
	for _, n := range notes {
		if n.ID != "" {
			d.notes = append(d.notes, n.ID)
		}
	}
	s.due = append(s.due, d)
}

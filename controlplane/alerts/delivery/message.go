package delivery

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/words"
)

const mostExplained = 50 // names of what an alert explains that a message says

// swallow takes out of some alerts those that another one explains, of the same message or
// one that the channel knows to be open, and that is no less severe. They are returned by
// the ID of the one that explains them.
func (p *pass) swallow(c rows.Channel, all []alerts.Alert) (kept []alerts.Alert, swallowed map[string][]alerts.Alert) {
	by := map[alerts.Key]alerts.Alert{}
	for id, t := range p.told[c.ID] {
		if a, there := p.alerts[id]; there && a.EndedAt == 0 && t.State == rows.Known {
			by[a.Key] = a
		}
	}
	for _, a := range all {
		by[a.Key] = a
	}
	explained := map[string]string{}
	for _, a := range all {
		if b, is := explains(by, a); is {
			explained[a.ID] = b.ID
		}
	}
	swallowed = map[string][]alerts.Alert{}
	for _, a := range all {
		top, hops := explained[a.ID], 0
		for explained[top] != "" && hops < len(all) {
			top, hops = explained[top], hops+1
		}
		if top == "" || hops == len(all) {
			kept = append(kept, a)
		} else {
			swallowed[top] = append(swallowed[top], a)
		}
	}
	return kept, swallowed
}

// explains finds the alert that says better what another one says.
func explains(by map[alerts.Key]alerts.Alert, a alerts.Alert) (alerts.Alert, bool) {
	c, _ := conditions.Of(conditions.Name(a.Condition))
	f := conditions.Finding{Key: a.Key, Host: a.Host, Repository: a.Repository, Severity: a.Severity}
	if a.Body.V != nil {
		f.Body.Reason = a.Body.V.Reason
	}
	for _, name := range c.Explained {
		for _, k := range []alerts.Key{
			{Condition: string(name), On: a.On, Subject: a.Subject},
			{Condition: string(name), On: alerts.OnRepository, Subject: string(a.Repository)},
			{Condition: string(name), On: alerts.OnHost, Subject: string(a.Host)},
			{Condition: string(name), On: alerts.OnPlane},
		} {
			b, there := by[k]
			if there && b.ID != a.ID && !routing.Worse(a.Severity, b.Severity) && conditions.Explains(b.Key, f) &&
				(b.Body.V == nil || !conditions.Narrow(b.Body.V.Reason)) {
				return b, true
			}
		}
	}
	return alerts.Alert{}, false
}

// message is what a channel is told of some alerts: each of them if there are few, else
// how many there are of which condition, and the worst of them.
func (p *pass) message(event rows.Event, all []alerts.Alert, swallowed map[string][]alerts.Alert, u rows.Unsaid) channels.Message {
	slices.SortFunc(all, worstFirst)
	m := channels.Message{Event: string(event), Alerts: []channels.Alert{}, Rows: []channels.Row{}, At: p.now}
	for _, a := range all[:min(len(all), MostNamed)] {
		m.Alerts = append(m.Alerts, p.Said(a, p.base, time.UnixMilli(p.now)))
	}
	m.More = len(all) - len(m.Alerts)
	counts := counted(all)
	before := map[rows.Event]string{rows.Opened: "", rows.Reminded: "Still open: ", rows.Recovered: "Recovered: "}[event]
	if event == rows.Recovered && !slices.ContainsFunc(all, func(a alerts.Alert) bool { return a.EndedAt == 0 || a.EndedBy == alerts.Plane }) {
		before = "Ended by hand: "
	}
	if len(all) == 1 {
		m.Title, m.Link = before+m.Alerts[0].Title, m.Alerts[0].Link
	} else {
		m.Title = before + words.Count(uint64(len(all)), "alert", "alerts") + ": " + strings.Join(counts[:min(len(counts), 3)], ", ")
		if len(counts) > 3 {
			m.Title += " and others"
		}
		m.Link = strings.TrimSuffix(p.base, "/") + "/alerts?state=" + state(event)
	}
	var text []string
	if m.More > 0 {
		text = append(text, counts...)
		text = append(text, fmt.Sprintf("Named here are %d of them, the worst first. The list has them all.", len(m.Alerts)))
	}
	text = append(text, p.explained(all, swallowed)...)
	for _, a := range all[:min(len(all), MostNamed)] {
		if a.EndedAt > 0 && a.EndedBy != alerts.Plane {
			said := words.Line(name(a)) + " was ended by " + words.Line(a.EndedBy)
			if a.EndedWhy != "" {
				said += ": " + words.Line(words.Cut(a.EndedWhy, 200))
			}
			text = append(text, said)
		} else if a.EndedAt > 0 && a.EndedWhy != "" { // removed, or switched off: nobody mended anything
			text = append(text, words.Line(name(a))+": "+words.Line(a.EndedWhy))
		}
	}
	text = append(text, unsaid(u)...)
	m.Text = strings.Join(text, "\n")
	return m
}

// state is that of the list in which the alerts of a message stand.
func state(event rows.Event) string {
	if event == rows.Recovered {
		return string(alerts.Ended)
	}
	return string(alerts.Open)
}

// counted says how many alerts there are of each condition, the worst and most first.
func counted(all []alerts.Alert) []string {
	type count struct {
		name     string
		severity int
		n        uint64
	}
	var list []*count
	of := map[string]*count{}
	for _, a := range all {
		c := of[a.Condition]
		if c == nil {
			c = &count{name: a.Condition}
			if known, is := conditions.Of(conditions.Name(a.Condition)); is {
				c.name = known.Title
			}
			of[a.Condition], list = c, append(list, c)
		}
		c.n++
		c.severity = max(c.severity, slices.Index(alerts.Severities, a.Severity))
	}
	slices.SortStableFunc(list, func(a, b *count) int { return cmp.Or(b.severity-a.severity, cmp.Compare(b.n, a.n)) })
	var said []string
	for _, c := range list {
		said = append(said, words.Number(c.n)+" × "+words.Line(c.name))
	}
	return said
}

// explained names what alerts explain that nobody is told of by itself.
func (p *pass) explained(all []alerts.Alert, swallowed map[string][]alerts.Alert) []string {
	var said []string
	more := 0 // that are not named themselves, as those before them are the worst
	for _, a := range all {
		var names []string
		if a.Body.V != nil && a.EndedAt == 0 {
			names = append(names, a.Body.V.Swallows...)
		}
		for _, s := range swallowed[a.ID] {
			names = append(names, name(s))
		}
		slices.Sort(names)
		names = slices.Compact(names)
		if len(names) == 0 {
			continue
		}
		if len(said) == MostNamed {
			more++
			continue
		}
		shown := names[:min(len(names), mostExplained)]
		for i := range shown {
			shown[i] = words.Line(shown[i])
		}
		line := words.Line(name(a)) + ": this explains " + strings.Join(shown, ", ")
		if rest := len(names) - len(shown); rest > 0 {
			line += fmt.Sprintf(" and %d more", rest)
		}
		said = append(said, line)
	}
	if more > 0 {
		said = append(said, words.Number(uint64(more))+" more of them explain others, which the list names with them.")
	}
	return said
}

// unsaid says what the channel was not told.
func unsaid(u rows.Unsaid) (said []string) {
	if u.Alerts > 0 {
		said = append(said, words.Count(uint64(u.Alerts), "alert", "alerts")+" came and went before this channel could be told.")
	}
	if u.Messages > 0 {
		said = append(said, words.Count(uint64(u.Messages), "message", "messages")+
			" before this one could not be delivered and were given up: the channel's page shows what they said.")
	}
	return said
}

func name(a alerts.Alert) string {
	if a.Body.V == nil || a.Body.V.Name == "" {
		return a.Condition
	}
	return a.Body.V.Name
}

func body(m channels.Message) (string, error) {
	b, err := json.Marshal(m)
	return string(b), err
}

package routing

import (
	"cmp"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
)

// A World is what beside an alert itself decides who hears of it.
type World struct {
	Rules    Rules
	Channels []channels.Channel // those that are disabled hear of nothing
	Tags     map[topics.HostID][]string
	Users    map[topics.RepositoryID][]topics.HostID // the hosts that back up into a repository
	Pauses   []alerts.Pause

	quiet map[string][2]slots.Policy
}

// Plan says what channels are to hear of changes: a note for each channel and change. Of
// one that recovers, all are noted that would hear of it: whether they heard of its
// beginning is looked at when the note is due. Notes have no ID yet.
func Plan(changes []Change, w *World) []channels.Note {
	var notes []channels.Note
	for _, ch := range changes {
		for id, rule := range w.Hearers(ch.Alert) {
			n := channels.Note{Channel: id, Alert: ch.Alert.ID, Event: ch.Event, At: ch.At, DueAt: ch.At}
			if ch.Event == channels.Opened {
				n.DueAt += rule.Delay * 1000
			}
			notes = append(notes, n)
		}
	}
	slices.SortStableFunc(notes, func(a, b channels.Note) int {
		return cmp.Or(cmp.Compare(a.DueAt, b.DueAt), cmp.Compare(a.Channel, b.Channel))
	})
	return notes
}

// Hearers are the channels that are to hear of an alert, by their IDs, each with the
// first rule that leads to it. A channel does not hear that it fails itself; if no rule says
// who else does, all others do. A rule stops nothing if none of its channels is there to hear.
func (w *World) Hearers(a alerts.Alert) map[string]Rule {
	hearers, muted := map[string]Rule{}, false
	for _, rule := range w.rules() {
		if !w.covers(rule, a) {
			continue
		}
		reaches := len(rule.Channels) == 0 // it stops on purpose
		for _, c := range w.Channels {
			if !c.Enabled || a.On == alerts.OnChannel && a.Subject == c.ID || !slices.Contains(rule.Channels, c.ID) {
				continue
			}
			reaches = true
			if _, before := hearers[c.ID]; !before {
				hearers[c.ID] = rule
			}
		}
		if rule.Stop && reaches {
			muted = true
			break
		}
	}
	if a.On == alerts.OnChannel && len(hearers) == 0 && !muted {
		for _, c := range w.Channels {
			if c.Enabled && c.ID != a.Subject {
				hearers[c.ID] = spare
			}
		}
	}
	return hearers
}

// spare is how it is told that a channel fails where no rule says it.
var spare = Rule{Name: "spare", Recovered: true}

// rules are those that people set, or the one that counts where they set none.
func (w *World) rules() []Rule {
	if len(w.Rules.Rules) > 0 {
		return w.Rules.Rules
	}
	return []Rule{Usual(w.Channels)}
}

// Usual is the rule that counts where there is none.
func Usual(list []channels.Channel) Rule {
	r := Rule{Severities: []string{string(alerts.Warning), string(alerts.Critical)}, Recovered: true}
	for _, c := range list {
		r.Channels = append(r.Channels, c.ID)
	}
	return r
}

func (w *World) covers(r Rule, a alerts.Alert) bool {
	if len(r.Severities) > 0 && !slices.Contains(r.Severities, string(a.Severity)) ||
		len(r.Conditions) > 0 && !slices.Contains(r.Conditions, a.Condition) {
		return false
	}
	if len(r.Tags) == 0 && len(r.Hosts) == 0 {
		return true
	}
	about := []topics.HostID{a.Host}
	if a.Host == "" {
		about = w.Users[a.Repository]
	}
	return slices.ContainsFunc(about, func(h topics.HostID) bool { return ofHost(r, h, w.Tags[h]) })
}

// ofHost reports whether a host is one that a rule names, or has a tag that it names.
func ofHost(r Rule, host topics.HostID, tags []string) bool {
	return host != "" && (slices.Contains(r.Hosts, string(host)) ||
		slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(r.Tags, t) }))
}

// Worse reports whether a severity is above another.
func Worse(a, b alerts.Severity) bool {
	return slices.Index(alerts.Severities, a) > slices.Index(alerts.Severities, b)
}

// Paused says until when nobody is told of an alert because of a pause, in Unix
// milliseconds; 0 if no pause covers it now. A pause of a host or tag does not cover the
// repositories that the host uses, nor the control plane.
func (w *World) Paused(a alerts.Alert, now int64) (until int64) {
	for _, p := range w.Pauses {
		if p.From <= now && now < p.Until && w.pauses(p, a) {
			until = max(until, p.Until)
		}
	}
	return until
}

// Hushed reports whether a pause covered an alert at some moment between two.
func (w *World) Hushed(a alerts.Alert, from, to int64) bool {
	return slices.ContainsFunc(w.Pauses, func(p alerts.Pause) bool { return p.From <= to && from < p.Until && w.pauses(p, a) })
}

func (w *World) pauses(p alerts.Pause, a alerts.Alert) bool {
	switch p.Kind {
	case "all":
		return true
	case "host":
		return a.Host != "" && string(a.Host) == p.Subject
	case "tag":
		return a.Host != "" && slices.Contains(w.Tags[a.Host], p.Subject)
	}
	return false
}

// Quiet says until when a rule keeps quiet about something of a severity, in Unix
// milliseconds; 0 if it does not. The times are read on the clock on the wall: one that
// summer time skips comes right after the gap, and of one that comes twice the first counts.
func (w *World) Quiet(r Rule, severity alerts.Severity, now int64) (until int64) {
	if r.QuietFrom == "" || r.QuietTo == "" || severity == alerts.Critical && !r.CriticalWaits {
		return 0
	}
	key := r.QuietFrom + " " + r.QuietTo + " " + r.Zone
	between, known := w.quiet[key]
	if !known {
		from, err := daily(r.QuietFrom, r.Zone)
		if err != nil {
			return 0 // a zone that this machine forgot: rather at night than never
		}
		to, err := daily(r.QuietTo, r.Zone)
		if err != nil {
			return 0
		}
		if w.quiet == nil {
			w.quiet = map[string][2]slots.Policy{}
		}
		between = [2]slots.Policy{from, to}
		w.quiet[key] = between
	}
	at := time.UnixMilli(now)
	if end := slots.Next(between[1], at); end.Before(slots.Next(between[0], at)) {
		return end.UnixMilli()
	}
	return 0
}

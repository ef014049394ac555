package routing

import (
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Heard is that a channel would hear of a condition, and why.
type Heard struct {
	Condition conditions.Name
	Severity  alerts.Severity
	Channel   string // its ID; "" is that nobody hears of it
	Name      string // of the channel
	Rule      string // the ID of the rule; "" where there are no rules
	Why       string // as a sentence: "The rule “Servers” leads here, after 15 minutes."
}

// Preview says who would hear of what about a host that has tags, for each condition of a
// table in its order; a condition nobody would hear of is there once, without a channel.
// What is about a repository counts as one that this host alone backs up into. For host
// "" it says so of what is about no host: the control plane, and channels.
func Preview(table []conditions.Condition, rules Rules, list []channels.Channel, host topics.HostID, tags []string) []Heard {
	w := &World{Rules: rules, Channels: list, Tags: map[topics.HostID][]string{host: tags},
		Users: map[topics.RepositoryID][]topics.HostID{"": {host}}}
	var heard []Heard
	for _, c := range table {
		if plane := c.On == alerts.OnPlane || c.On == alerts.OnChannel; plane != (host == "") {
			continue
		}
		a := alerts.Alert{Key: alerts.Key{Condition: string(c.Name), On: c.On}, Severity: c.Severity, Host: host}
		if c.On == alerts.OnRepository {
			a.Host = ""
		}
		before := len(heard)
		hearers := w.Hearers(a)
		for _, ch := range list {
			if rule, does := hearers[ch.ID]; does {
				heard = append(heard, Heard{Condition: c.Name, Severity: c.Severity, Channel: ch.ID, Name: ch.Name, Rule: rule.ID,
					Why: rule.why(c.Severity)})
			}
		}
		if len(heard) == before {
			heard = append(heard, Heard{Condition: c.Name, Severity: c.Severity, Why: w.nobody(a)})
		}
	}
	return heard
}

// why is a rule in a sentence, for something of a severity.
func (r Rule) why(severity alerts.Severity) string {
	switch {
	case r.ID == "" && r.Name == spare.Name:
		return "No rule covers it, so every other channel hears that one fails, and when it works again."
	case r.ID == "":
		return "There are no rules, so every channel hears of warnings and of what is critical, and when it is over."
	}
	parts := []string{"The rule “" + words.Line(r.Name) + "” leads here"}
	if r.Delay > 0 {
		parts = append(parts, "if it is still open after "+span(r.Delay))
	}
	if r.QuietFrom != "" {
		if severity == alerts.Critical && !r.CriticalWaits {
			parts = append(parts, "also in its quiet hours")
		} else {
			parts = append(parts, fmt.Sprintf("but not from %s to %s (%s)", r.QuietFrom, r.QuietTo, r.Zone))
		}
	}
	if r.RepeatEvery > 0 {
		parts = append(parts, "again every "+span(r.RepeatEvery))
	}
	if r.Recovered {
		parts = append(parts, "and when it is over")
	}
	return strings.Join(parts, ", ") + "."
}

// nobody is why nobody hears of an alert.
func (w *World) nobody(a alerts.Alert) string {
	if len(w.Channels) == 0 {
		return "There is no channel."
	}
	for _, rule := range w.rules() {
		switch {
		case !w.covers(rule, a):
		case rule.ID == "":
			return "Every channel is disabled."
		case rule.Stop && len(rule.Channels) == 0:
			return "The rule “" + words.Line(rule.Name) + "” stops here, and no channel before it hears of this."
		default:
			return "The rule “" + words.Line(rule.Name) + "” leads to channels that are disabled or removed."
		}
	}
	if len(w.Rules.Rules) == 0 {
		return "There are no rules, and without them only warnings and what is critical are told."
	}
	return "No rule covers it."
}

// Silent says why no channel was told of an alert that is open, as a sentence; "" if one is
// about to be.
func (w *World) Silent(a alerts.Alert, now int64) string {
	hearers := w.Hearers(a)
	if len(hearers) == 0 {
		return w.nobody(a)
	}
	if w.Paused(a, now) > 0 {
		return "Alerts are paused for it now."
	}
	var waits Rule
	var until int64
	for _, rule := range hearers {
		due := max(a.OpenedAt+rule.Delay*1000, w.Quiet(rule, a.Severity, now))
		if due <= now {
			return ""
		}
		if until == 0 || due < until || due == until && rule.ID < waits.ID {
			waits, until = rule, due
		}
	}
	if w.Quiet(waits, a.Severity, now) > 0 {
		return fmt.Sprintf("The rule “%s” keeps quiet from %s to %s (%s).",
			words.Line(waits.Name), waits.QuietFrom, waits.QuietTo, waits.Zone)
	}
	return fmt.Sprintf("The rule “%s” tells only of what is still open after %s.", words.Line(waits.Name), span(waits.Delay))
}

func span(seconds int64) string { return words.Span(time.Duration(seconds) * time.Second) }

package conditions

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// The scopes of thresholds, the nearest last.
const (
	ScopeFleet = "fleet"
	ScopeTag   = "tag"
	ScopeHost  = "host"
)

// A Limit is a threshold that somebody set for a condition: for the whole fleet, for the
// hosts with a tag, or for a host.
type Limit struct {
	Condition Name   `json:"condition"`
	Scope     string `json:"scope"`             // "fleet", "tag" or "host"
	Subject   string `json:"subject,omitempty"` // the tag, or the host's ID
	Value     int64  `json:"value,omitempty"`   // in the condition's measure
	Off       bool   `json:"off,omitempty"`     // nobody is to be told at all
}

// Limits are all thresholds that somebody set.
type Limits []Limit

// Of returns the threshold that counts for a condition of a host, whether nobody is to be
// told at all, and whose it is: "" for the default, "the fleet", "the tag servers", "this
// host". The nearest wins; of several tags the strictest, for which one that is off is none.
// What has no host goes by the fleet's.
func (l Limits) Of(c Condition, host topics.HostID, tags []string) (value int64, off bool, from string) {
	var best *Limit
	for i := range l {
		n := &l[i]
		if n.Condition != c.Name || !n.covers(host, tags) {
			continue
		}
		switch {
		case best == nil, rank(n.Scope) > rank(best.Scope):
			best = n
		case rank(n.Scope) == rank(best.Scope) && stricter(c, *n, *best):
			best = n
		}
	}
	if best == nil {
		return c.Default, false, ""
	}
	if value = best.Value; value == 0 {
		value = c.Default
	}
	switch from = "this host"; best.Scope {
	case ScopeFleet:
		from = "the fleet"
	case ScopeTag:
		from = "the tag " + best.Subject
	}
	return value, best.Off, from
}

func rank(scope string) int { return slices.Index([]string{ScopeFleet, ScopeTag, ScopeHost}, scope) }

func (n Limit) covers(host topics.HostID, tags []string) bool {
	switch n.Scope {
	case ScopeFleet:
		return true
	case ScopeTag:
		return host != "" && slices.Contains(tags, n.Subject)
	case ScopeHost:
		return host != "" && n.Subject == string(host)
	}
	return false
}

// stricter reports whether a tells people earlier than b.
func stricter(c Condition, a, b Limit) bool {
	switch {
	case a.Off != b.Off:
		return !a.Off
	case c.Name == SizeAnomaly || c.Name == CertificateEnding: // more is earlier
		return a.Value > b.Value
	}
	return a.Value < b.Value
}

// A WrongLimit is what is wrong with one of the limits that somebody gave.
type WrongLimit struct {
	At  int // its place in the list
	Say string
}

// Error is what is wrong, for people.
func (e *WrongLimit) Error() string { return fmt.Sprintf("threshold %d: %s", e.At+1, e.Say) }

// Check says what is wrong with thresholds that somebody gives, as a [*WrongLimit]. host
// reports whether there is a host with an ID.
func (l Limits) Check(host func(topics.HostID) bool) error {
	seen := map[Limit]bool{}
	for i, n := range l {
		if say := n.wrong(host); say != "" {
			return &WrongLimit{At: i, Say: say}
		}
		key := Limit{Condition: n.Condition, Scope: n.Scope, Subject: n.Subject}
		if seen[key] {
			return &WrongLimit{At: i, Say: "There are two thresholds of " + string(n.Condition) + " for the same hosts. Keep one of them."}
		}
		seen[key] = true
	}
	return nil
}

func (n Limit) wrong(host func(topics.HostID) bool) string {
	c, known := Of(n.Condition)
	if !known {
		return "There is no condition " + quoted(string(n.Condition)) + ". The page Conditions and docs/ALERTS.md list them all."
	}
	switch n.Scope {
	case ScopeFleet:
		if n.Subject != "" {
			return "A threshold of the fleet has no subject."
		}
	case ScopeTag:
		if n.Subject == "" {
			return "Name the tag whose hosts the threshold is for."
		}
	case ScopeHost:
		if n.Subject == "" || host != nil && !host(topics.HostID(n.Subject)) {
			return "There is no host with the ID " + quoted(n.Subject) + "."
		}
	default:
		return "A threshold is for the fleet, a tag or a host; " + quoted(n.Scope) + " is none of them."
	}
	if n.Scope != ScopeFleet && !c.OfHost() {
		return string(n.Condition) + " is not about hosts: its threshold can be set for the fleet only."
	}
	return n.wrongValue(c)
}

func (n Limit) wrongValue(c Condition) string {
	least, most := int64(1), int64(0)
	switch c.Measure {
	case None:
		if n.Value != 0 {
			return string(n.Condition) + " has no threshold. It can only be switched off."
		}
		if !n.Off {
			return string(n.Condition) + " has no threshold: say that it is off, or leave it out."
		}
		return ""
	case Seconds:
		least, most = 10, 366*day
		if c.Name == HostOffline || c.Name == Overdue {
			least = 60
		}
	case Times:
		most = 1000
	case Percent:
		most = 99
	}
	if n.Off && n.Value == 0 {
		return ""
	}
	if n.Value < least || n.Value > most {
		return fmt.Sprintf("The threshold of %s is between %s and %s.", n.Condition, c.Words(least), c.Words(most))
	}
	return ""
}

// OfHost reports whether a condition is about hosts or their source groups, for which tags
// and hosts have thresholds of their own.
func (c Condition) OfHost() bool { return c.On == "host" || c.On == "group" }

// Words is a threshold of the condition in words: "30 min", "3 times", "50 %"; "as
// promised" for one that schedules and hosts set themselves.
func (c Condition) Words(value int64) string {
	switch c.Measure {
	case Seconds:
		if value == 0 {
			return "as promised"
		}
		return words.Span(time.Duration(value) * time.Second)
	case Times:
		return words.Count(uint64(max(value, 0)), "time", "times")
	case Percent:
		return strconv.FormatInt(value, 10) + " %"
	}
	return ""
}

// Says is what the condition is about, as a sentence with a threshold in it.
func (c Condition) Says(value int64) string {
	said := c.Words(value)
	if c.Measure == Times { // the sentences count themselves
		said = strconv.FormatInt(value, 10)
	}
	return strings.ReplaceAll(c.When, "{limit}", said)
}

// quoted is what somebody gave, in a sentence.
func quoted(text string) string { return `"` + words.Visible(words.Cut(text, 100)) + `"` }

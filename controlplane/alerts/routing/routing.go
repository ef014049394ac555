// Package routing says who hears of which alert, and when: rules of what an alert is
// about lead to channels, with delays, quiet hours and repetitions. It is pure: it is given
// the rules, the channels and the moment, and knows no database and no clock.
package routing

import (
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
)

// A Change is something that became of an alert: it was opened (or opened again, or is
// worse than it was), or it recovered. Alert is as it is after it.
type Change struct {
	Alert alerts.Alert
	Event channels.Event // Opened, Reminded or Recovered
	At    int64          // Unix milliseconds
}

// Rules are what people set of who hears of what: the setting [alerts.Rules]. Without
// any rule each channel hears of every warning and of what is critical.
type Rules struct {
	Rules   []Rule   `json:"rules"`
	Digests []Digest `json:"digests"`
}

// A Rule leads alerts to channels. What is empty does not narrow it. Of several rules that
// lead an alert to a channel, the first one says how.
type Rule struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Severities []string `json:"severities,omitempty"`
	Conditions []string `json:"conditions,omitempty"`
	// Tags and Hosts (IDs) narrow it to alerts of a host that has one of the tags, or is
	// one of the hosts. Of an alert about a repository, the hosts that back up into it count.
	Tags     []string `json:"tags,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	Channels []string `json:"channels"` // their IDs; none is for a rule that only stops
	// RepeatEvery is after how many seconds an alert that is still open is told again; 0 is never.
	RepeatEvery int64 `json:"repeat_every,omitempty"`
	// Delay is for how many seconds an alert has to be open before it is told of at all.
	Delay int64 `json:"delay,omitempty"`
	// QuietFrom and QuietTo are times on the clock in Zone, "22:00", between which nothing
	// is told, over midnight if the second is the earlier one; both are "" for none.
	QuietFrom string `json:"quiet_from,omitempty"`
	QuietTo   string `json:"quiet_to,omitempty"`
	Zone      string `json:"zone,omitempty"`
	// CriticalWaits has critical alerts wait for the end of the quiet hours, too.
	CriticalWaits bool `json:"critical_waits,omitempty"`
	Recovered     bool `json:"recovered"` // also say when it is over, where it was told that it began
	// Stop has the rules behind it not looked at, if one of its channels is there to hear, or it has none.
	Stop bool `json:"stop,omitempty"`
}

// What Every of a digest may be.
const (
	Daily  = "daily"
	Weekly = "weekly"
)

// A Digest is a summary of how everything is, which comes also when all is well.
type Digest struct {
	Channels []string `json:"channels"`
	Every    string   `json:"every"`             // daily or weekly
	At       string   `json:"at"`                // "07:00", on the clock in Zone
	Weekday  string   `json:"weekday,omitempty"` // of a weekly one: "monday"
	Zone     string   `json:"zone"`              // an IANA name, or "UTC"
}

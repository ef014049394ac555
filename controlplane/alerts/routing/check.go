package routing

import (
	"fmt"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/alerts"
)

// Bounds of what people set.
const (
	MaxRules   = 100
	MaxDigests = 20
	MaxDelay   = 7 * 24 * 3600  // seconds
	MinRepeat  = 5 * 60         // seconds: more often is a flood
	MaxRepeat  = 30 * 24 * 3600 // seconds
	maxList    = 1000
)

// Known is what rules may name.
type Known struct {
	Conditions []string
	Channels   []string // their IDs
	Hosts      []string // their IDs
}

// Check says what is wrong with rules, as [field.Errors]: "rules.2.delay" is the delay of
// the third rule. Tags may be any, since hosts get and lose them.
func (r Rules) Check(k Known) error {
	wrong := field.Errors{}
	if len(r.Rules) > MaxRules {
		wrong.Say("rules", fmt.Sprintf("There are at most %d rules. Put several into one: a rule may name several conditions,"+
			" tags and channels.", MaxRules))
	}
	if len(r.Digests) > MaxDigests {
		wrong.Say("digests", fmt.Sprintf("There are at most %d digests. One may go to several channels.", MaxDigests))
	}
	if len(wrong) > 0 {
		return wrong
	}
	ids := map[string]bool{}
	for i, rule := range r.Rules {
		at := fmt.Sprintf("rules.%d.", i)
		if rule.ID == "" || ids[rule.ID] || !field.Visible(rule.ID) || len(rule.ID) > field.MaxName {
			wrong.Say(at+"id", "Each rule has an ID of its own of at most 100 visible characters; leave it out for a new one.")
		}
		ids[rule.ID] = true
		rule.check(wrong, at, k)
	}
	for i, d := range r.Digests {
		d.check(wrong, fmt.Sprintf("digests.%d.", i), k)
	}
	return wrong.Err()
}

func (r Rule) check(wrong field.Errors, at string, k Known) {
	wrong.Say(at+"name", field.Name("name", r.Name))
	names(wrong, at+"severities", "severity", r.Severities, []string{string(alerts.Info), string(alerts.Warning), string(alerts.Critical)})
	names(wrong, at+"conditions", "condition", r.Conditions, k.Conditions)
	names(wrong, at+"hosts", "host", r.Hosts, k.Hosts)
	names(wrong, at+"channels", "channel", r.Channels, k.Channels)
	if len(r.Tags) > maxList {
		wrong.Say(at+"tags", fmt.Sprintf("Name at most %d tags.", maxList))
	}
	if len(r.Channels) == 0 && !r.Stop {
		wrong.Say(at+"channels", "Say where it leads to: at least one channel. To have nobody told, let the rule stop here.")
	}
	if r.Delay < 0 || r.Delay > MaxDelay {
		wrong.Say(at+"delay", fmt.Sprintf("Give seconds from 0 to %d, which is a week.", MaxDelay))
	}
	if r.RepeatEvery != 0 && (r.RepeatEvery < MinRepeat || r.RepeatEvery > MaxRepeat) {
		wrong.Say(at+"repeat_every", fmt.Sprintf("Give seconds from %d, which is five minutes, to %d, which is 30 days; 0 is never.",
			MinRepeat, MaxRepeat))
	}
	if r.QuietFrom == "" && r.QuietTo == "" {
		return
	}
	if _, _, ok := clock(r.QuietFrom); !ok {
		wrong.Say(at+"quiet_from", "Give a time of day such as 22:00, or leave both times out.")
	}
	if _, _, ok := clock(r.QuietTo); !ok {
		wrong.Say(at+"quiet_to", "Give a time of day such as 07:00, or leave both times out.")
	} else if r.QuietFrom == r.QuietTo {
		wrong.Say(at+"quiet_to", "Quiet hours end at another time than they begin.")
	}
	wrong.Say(at+"zone", zoneWrong(r.Zone))
}

func (d Digest) check(wrong field.Errors, at string, k Known) {
	names(wrong, at+"channels", "channel", d.Channels, k.Channels)
	if len(d.Channels) == 0 {
		wrong.Say(at+"channels", "Say where it goes: at least one channel.")
	}
	wrong.Say(at+"every", field.OneOf("digest", d.Every, Daily, Weekly))
	if _, _, ok := clock(d.At); !ok {
		wrong.Say(at+"at", "Give a time of day such as 07:00.")
	}
	if d.Every == Weekly {
		wrong.Say(at+"weekday", field.OneOf("weekday", d.Weekday, Weekdays...))
	}
	wrong.Say(at+"zone", zoneWrong(d.Zone))
}

func zoneWrong(zone string) string {
	if _, err := slots.Parse("0 0 * * *", zone, 0, ""); err != nil {
		return "Give an IANA name such as Europe/Berlin, or UTC."
	}
	return ""
}

func names(wrong field.Errors, at, what string, said, known []string) {
	if len(said) > maxList {
		wrong.Say(at, fmt.Sprintf("Name at most %d.", maxList))
		return
	}
	for _, s := range said {
		if !slices.Contains(known, s) {
			wrong.Say(at, fmt.Sprintf("There is no %s %.100q.", what, s))
		}
	}
}

package asked

import "github.com/restic-manager/restic-manager/controlplane/alerts/routing"

// Rules say who hears of what. Without any rule each enabled channel hears of every alert
// of warning and above.
type Rules struct {
	Version int64    `json:"version,omitempty" doc:"of what was read: refused if somebody changed them since; 0 or none does not ask"`
	Rules   []Rule   `json:"rules" nullable:"false" doc:"the first that leads an alert to a channel says how"`
	Digests []Digest `json:"digests,omitempty" nullable:"false" doc:"summaries, which come also when all is well"`
}

// A Rule leads alerts to channels. What is left out does not narrow it.
type Rule struct {
	ID            string   `json:"id,omitempty" doc:"of a new rule left out"`
	Name          string   `json:"name"`
	Severities    []string `json:"severities,omitempty" enum:"info,warning,critical"`
	Conditions    []string `json:"conditions,omitempty" doc:"names of docs/ALERTS.md"`
	Tags          []string `json:"tags,omitempty" doc:"of hosts that have one of these"`
	Hosts         []string `json:"hosts,omitempty" doc:"IDs or names"`
	Channels      []string `json:"channels,omitempty" doc:"IDs or names; none is for a rule that only stops"`
	RepeatEvery   int64    `json:"repeat_every,omitempty" minimum:"0" doc:"seconds after which an open alert is told again; 0 is never"`
	Delay         int64    `json:"delay,omitempty" minimum:"0" doc:"seconds; told only if it is still open then"`
	QuietFrom     string   `json:"quiet_from,omitempty" doc:"HH:MM in zone: from then on nothing is told"`
	QuietTo       string   `json:"quiet_to,omitempty" doc:"HH:MM in zone: until then, of the next day if it is the earlier one"`
	Zone          string   `json:"zone,omitempty" doc:"IANA's name, such as Europe/Berlin"`
	CriticalWaits bool     `json:"critical_waits,omitempty" doc:"what is critical waits for the end of the quiet hours, too"`
	Recovered     *bool    `json:"recovered,omitempty" doc:"also say when it is over; true if left out"`
	Stop          bool     `json:"stop,omitempty" doc:"rules behind it are not asked about what fits this one"`
}

// A Digest is a summary of how everything is.
type Digest struct {
	Channels []string `json:"channels" nullable:"false" doc:"IDs or names"`
	Every    string   `json:"every" enum:"daily,weekly"`
	At       string   `json:"at" doc:"HH:MM in zone"`
	Weekday  string   `json:"weekday,omitempty" enum:"monday,tuesday,wednesday,thursday,friday,saturday,sunday" doc:"of a weekly one"`
	Zone     string   `json:"zone,omitempty" doc:"IANA's name; UTC if left out"`
}

// Routing is the same as it is kept, with IDs.
func (r Rules) Routing(n Names) routing.Rules {
	out := routing.Rules{Rules: []routing.Rule{}, Digests: []routing.Digest{}}
	for _, one := range r.Rules {
		out.Rules = append(out.Rules, routing.Rule{
			ID:            one.ID,
			Name:          one.Name,
			Severities:    one.Severities,
			Conditions:    one.Conditions,
			Tags:          one.Tags,
			Hosts:         each(one.Hosts, func(text string) string { return string(n.Host(text)) }),
			Channels:      each(one.Channels, n.Channel),
			RepeatEvery:   one.RepeatEvery,
			Delay:         one.Delay,
			QuietFrom:     one.QuietFrom,
			QuietTo:       one.QuietTo,
			Zone:          one.Zone,
			CriticalWaits: one.CriticalWaits,
			Recovered:     one.Recovered == nil || *one.Recovered,
			Stop:          one.Stop,
		})
	}
	for _, d := range r.Digests {
		zone := d.Zone
		if zone == "" {
			zone = "UTC"
		}
		out.Digests = append(out.Digests, routing.Digest{Channels: each(d.Channels, n.Channel), Every: d.Every, At: d.At, Weekday: d.Weekday,
			Zone: zone})
	}
	return out
}

// RulesOf is what is kept, as it is asked for.
func RulesOf(r routing.Rules, version int64) Rules {
	out := Rules{Version: version, Rules: []Rule{}, Digests: []Digest{}}
	for _, one := range r.Rules {
		out.Rules = append(out.Rules, Rule{
			ID:            one.ID,
			Name:          one.Name,
			Severities:    one.Severities,
			Conditions:    one.Conditions,
			Tags:          one.Tags,
			Hosts:         one.Hosts,
			Channels:      one.Channels,
			RepeatEvery:   one.RepeatEvery,
			Delay:         one.Delay,
			QuietFrom:     one.QuietFrom,
			QuietTo:       one.QuietTo,
			Zone:          one.Zone,
			CriticalWaits: one.CriticalWaits,
			Recovered:     new(one.Recovered),
			Stop:          one.Stop,
		})
	}
	for _, d := range r.Digests {
		out.Digests = append(out.Digests, Digest{Channels: append([]string{}, d.Channels...), Every: d.Every, At: d.At, Weekday: d.Weekday,
			Zone: d.Zone})
	}
	return out
}

package asked

import "github.com/restic-manager/restic-manager/controlplane/alerts/conditions"

// Thresholds are from when on conditions count, where that is not the default.
type Thresholds struct {
	Version    int64       `json:"version,omitempty" doc:"of what was read: refused if somebody changed them since; 0 or none does not ask"`
	Thresholds []Threshold `json:"thresholds" nullable:"false" doc:"the nearest counts: of the host, of its tags the strictest, of the fleet"`
}

// A Threshold is from when on a condition counts for a host, for every host with a tag, or
// for the fleet.
type Threshold struct {
	Condition string `json:"condition" doc:"a name of docs/ALERTS.md"`
	Scope     string `json:"scope" enum:"fleet,tag,host"`
	Subject   string `json:"subject,omitempty" doc:"the tag, or the host's ID or name"`
	Value     int64  `json:"value,omitempty" doc:"in what the condition counts: seconds, times or percent"`
	Off       bool   `json:"off,omitempty" doc:"nobody is told of the condition there"`
}

// Limits is the same as it is kept, with IDs.
func (t Thresholds) Limits(n Names) conditions.Limits {
	out := conditions.Limits{}
	for _, one := range t.Thresholds {
		subject := one.Subject
		if one.Scope == "host" {
			subject = string(n.Host(subject))
		}
		out = append(out, conditions.Limit{Condition: conditions.Name(one.Condition), Scope: one.Scope, Subject: subject, Value: one.Value,
			Off: one.Off})
	}
	return out
}

// ThresholdsOf is what is kept, as it is asked for.
func ThresholdsOf(l conditions.Limits, version int64) Thresholds {
	out := Thresholds{Version: version, Thresholds: []Threshold{}}
	for _, one := range l {
		out.Thresholds = append(out.Thresholds, Threshold{Condition: string(one.Condition), Scope: one.Scope, Subject: one.Subject,
			Value: one.Value, Off: one.Off})
	}
	return out
}

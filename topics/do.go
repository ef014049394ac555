package topics

import "time"

// Do is what a consumer sends to a do/ topic. An empty payload is the zero value, and
// ON and OFF are a pause of the usual length and its end.
//
//	rm/v1/do/{host}/{action}    consumer → plane, QoS 1, refused if retained
type Do struct {
	// Groups are the names or IDs of the source groups to back up; none is all of them.
	Groups []string `json:"groups,omitempty"`
	// Until is when a pause ends, RFC 3339; empty is after a day.
	Until string `json:"until,omitempty"`
}

// On and Off are the payloads of a switch: pause, and resume.
const (
	On  = "ON"
	Off = "OFF"
)

// DoAnswer is what became of something that a consumer asked for. Only that consumer
// reads it.
//
//	rm/v1/pub/do/{consumer}    plane → that consumer, QoS 1
type DoAnswer struct {
	Host   HostID  `json:"host"`
	Action string  `json:"action"`
	OK     bool    `json:"ok"`
	Cause  string  `json:"cause,omitempty"` // why it was not done, a stable key: not-allowed, no-host, retained, bad-payload, too-many, …
	Text   string  `json:"text"`            // what was done, or why not and what to do, in a sentence
	Jobs   []JobID `json:"jobs"`            // that were asked for or cancelled
	At     string  `json:"at"`              // RFC 3339, UTC
}

// PlaneBirth says that a control plane is there. An agent that hears one it has not
// welcomed yet comes at once.
//
//	rm/v1/bcast/plane/birth    plane → agents, QoS 1, retained
type PlaneBirth struct {
	Session Session `json:"session"` // of the control plane: another with each start
	Version string  `json:"version"`
	Spread  int64   `json:"spread_ms,omitempty"` // as in PlaneDeath
}

// PlaneDeath says that the control plane of that session is gone: its will, or its last
// word before it stops.
//
//	rm/v1/bcast/plane/death    plane → agents, QoS 1, retained, the will where the broker is another's
type PlaneDeath struct {
	Session Session `json:"session"`
	Reason  string  `json:"reason"` // lost or stopped
	// Spread is over how many milliseconds agents are to come back, each at a moment of its
	// own: the more there are, the longer it takes to let them all in. See SpreadOf.
	Spread int64 `json:"spread_ms,omitempty"`
}

// The bounds of SpreadOf: so many agents are let in each second without anybody being cut
// off for having waited too long, at some 17 ms of processor time each; and no spread is
// shorter than this, or so long that hosts count as offline before they are back.
const (
	lettingIn   = 50
	spreadLeast = time.Second
	spreadMost  = 90 * time.Second
)

// SpreadOf is over which time so many agents are to come back.
func SpreadOf(agents int) time.Duration {
	return min(max(time.Duration(agents)*time.Second/lettingIn, spreadLeast), spreadMost)
}

// Spreads is a spread as an agent takes it from a message, within the bounds.
func Spreads(milliseconds int64) time.Duration {
	return min(max(time.Duration(min(milliseconds, spreadMost.Milliseconds()))*time.Millisecond, spreadLeast), spreadMost)
}

// HostUpdate is which version of the agent a host has, and which is the newest that its
// control plane knows of. It has the keys that Home Assistant's update entity allows, and
// no other: one more makes it discard the message.
//
//	rm/v1/pub/host/{host}/update    plane → consumers, QoS 1, retained
type HostUpdate struct {
	InstalledVersion string `json:"installed_version"`
	LatestVersion    string `json:"latest_version"`
	Title            string `json:"title,omitempty"`
	ReleaseSummary   string `json:"release_summary,omitempty"`
	ReleaseURL       string `json:"release_url,omitempty"`
	InProgress       bool   `json:"in_progress"`
	UpdatePercentage *int   `json:"update_percentage"` // nil while nothing is installed
}

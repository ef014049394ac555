package channels

import "github.com/restic-manager/restic-manager/topics"

// An Alert is one as programs outside are told of it: by the API, a webhook and MQTT
// alike.
type Alert = topics.Alert

// A Subject is what an alert is about.
type Subject = topics.Subject

// A Message is what a channel is to say, once, in whatever form it has. It is kept as
// JSON while it waits.
type Message struct {
	Event  string  `json:"event"`  // opened, reminded, recovered, digest or test
	Title  string  `json:"title"`  // one line
	Text   string  `json:"text"`   // what is said beside the alerts: of a storm, or the digest's sentences; may be ""
	Alerts []Alert `json:"alerts"` // the worst first; of a storm, those that are named
	More   int     `json:"more"`   // alerts beyond those that are named
	Rows   []Row   `json:"rows"`   // a digest's figures
	Link   string  `json:"link"`   // where it leads: the alert, or the list
	At     int64   `json:"at"`     // Unix milliseconds
}

// A Row is a figure of a digest: "Protected", "22 of 24 hosts".
type Row struct {
	Name  string   `json:"name"`
	Value string   `json:"value"`
	Lines []string `json:"lines,omitempty"` // that explain it: who is not protected
}

// An Answer is what came of one try to send a message.
type Answer struct {
	OK   bool
	Text string // the status and at most 512 escaped bytes of what the other side said; or why it could not be asked
	// After is how long the other side asked to be left alone, in milliseconds; 0 is nothing.
	After int64
	// Hopeless says that the same message would be refused again.
	Hopeless bool
}

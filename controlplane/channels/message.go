package channels

// An Alert is one as programs outside are told of it: by the API, a webhook and MQTT alike.
// Moments are as everywhere in the API; "" is none.
type Alert struct {
	ID        string  `json:"id"`
	Condition string  `json:"condition"`
	Severity  string  `json:"severity"`
	Subject   Subject `json:"subject"`
	Title     string  `json:"title"` // names the subject: "db-prod-02: backups fail, repository locked"
	Cause     string  `json:"cause"`
	Do        string  `json:"do"`
	State     string  `json:"state"`
	OpenedAt  string  `json:"opened_at"`
	SeenAt    string  `json:"seen_at"`
	Count     int64   `json:"count"`
	EndedAt   string  `json:"ended_at,omitempty"`
	Link      string  `json:"link"` // of the alert's page
}

// A Subject is what an alert is about.
type Subject struct {
	Kind       string `json:"kind"` // host, group, repository, channel or plane
	ID         string `json:"id,omitempty"`
	Name       string `json:"name"`
	Host       string `json:"host,omitempty"` // the ID of the host it belongs to
	Repository string `json:"repository,omitempty"`
}

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

package views

// A Status is how one state looks everywhere: a word, an icon and a tone, always
// the three together, so that colour is never alone.
type Status struct {
	Key   string // for URLs and filters: "no-backup-yet"
	Word  string // "No backup yet"
	Icon  string // a symbol of static/icons.svg
	Tone  string // "ok", "run", "late", "warn", "over", "fail" or "idle": the class suffix
	Quiet bool   // healthy or expected: plain text with an icon, not a filled pill
	Rank  int    // most urgent first
}

var hostStatuses = []Status{
	{Key: "lost", Word: "Lost", Icon: "shield-x", Tone: "fail"},
	{Key: "failed", Word: "Failed", Icon: "octagon-x", Tone: "fail"},
	{Key: "overdue", Word: "Overdue", Icon: "calendar-x", Tone: "over"},
	{Key: "empty", Word: "Empty", Icon: "circle-minus", Tone: "over"},
	{Key: "late", Word: "Late", Icon: "clock-alert", Tone: "late"},
	{Key: "warning", Word: "Warning", Icon: "triangle-alert", Tone: "warn"},
	{Key: "no-backup-yet", Word: "No backup yet", Icon: "circle-dashed", Tone: "idle"},
	{Key: "unscheduled", Word: "Unscheduled", Icon: "calendar-off", Tone: "idle"},
	{Key: "running", Word: "Running", Icon: "loader-circle", Tone: "run"},
	{Key: "paused", Word: "Paused", Icon: "circle-pause", Tone: "idle"},
	{Key: "asleep", Word: "Asleep", Icon: "moon", Tone: "idle", Quiet: true},
	{Key: "protected", Word: "Protected", Icon: "circle-check", Tone: "ok", Quiet: true},
	{Key: "keeper", Word: "Keeper", Icon: "hard-drive", Tone: "idle", Quiet: true},
	{Key: "retired", Word: "Retired", Icon: "archive", Tone: "idle", Quiet: true},
}

func init() {
	for i := range hostStatuses {
		hostStatuses[i].Rank = i
	}
}

// HostStatuses are the words for how well a host, or a source group, is protected, most
// urgent first. docs/STATUS.md explains them.
func HostStatuses() []Status { return append([]Status(nil), hostStatuses...) }

// HostStatus is a status by its key, a word of package protection. What it does not
// know it shows as "Unknown", never as healthy.
func HostStatus(key string) Status {
	for _, s := range hostStatuses {
		if s.Key == key {
			return s
		}
	}
	return Status{Key: key, Word: "Unknown", Icon: "circle-help", Tone: "idle", Rank: 5}
}

// JobStatus is the status of a job by its state: queued, dispatched, running, stalled,
// succeeded, warnings, failed, cancelled, interrupted or abandoned. What it does
// not know it shows as "Unknown".
func JobStatus(state string) Status {
	switch state {
	case "queued":
		return Status{Key: state, Word: "Queued", Icon: "hourglass", Tone: "idle"}
	case "dispatched":
		return Status{Key: state, Word: "Waiting", Icon: "hourglass", Tone: "idle"}
	case "running":
		return Status{Key: state, Word: "Running", Icon: "loader-circle", Tone: "run"}
	case "stalled":
		return Status{Key: state, Word: "Stalled", Icon: "clock-alert", Tone: "late"}
	case "locked":
		return Status{Key: state, Word: "Waiting for a lock", Icon: "hourglass", Tone: "late"}
	case "succeeded":
		return Status{Key: state, Word: "Succeeded", Icon: "circle-check", Tone: "ok", Quiet: true}
	case "warnings":
		return Status{Key: state, Word: "Warnings", Icon: "triangle-alert", Tone: "warn"}
	case "failed":
		return Status{Key: state, Word: "Failed", Icon: "octagon-x", Tone: "fail"}
	case "cancelled":
		return Status{Key: state, Word: "Cancelled", Icon: "circle-slash", Tone: "idle"}
	case "interrupted":
		return Status{Key: state, Word: "Interrupted", Icon: "unplug", Tone: "fail"}
	case "abandoned":
		return Status{Key: state, Word: "Abandoned", Icon: "calendar-x", Tone: "over"}
	}
	return Status{Key: state, Word: "Unknown", Icon: "circle-help", Tone: "idle"}
}

// As is the same status under another word, "Backing up" for Running.
func (s Status) As(word string) Status {
	s.Word = word
	return s
}

// Instead is the status of a job that succeeded and did less than its kind says: a dry
// run, or one that found nothing to do. It is not in the tone of a success.
func (s Status) Instead(word string) Status {
	s.Word, s.Icon, s.Tone, s.Quiet = word, "circle-dashed", "idle", false
	return s
}

// A Connection is whether a host's agent is here, which is not the same as
// whether the host is protected.
type Connection struct {
	Key   string // "online", "offline" or "unknown"
	Word  string // "Agent connected"
	Since When
}

// HostConnection words a connection: online, offline, or anything else for not
// known. since may be zero.
func HostConnection(key string, since When) Connection {
	switch key {
	case "online":
		return Connection{Key: key, Word: "Agent connected", Since: since}
	case "offline":
		return Connection{Key: key, Word: "Agent offline", Since: since}
	}
	return Connection{Key: "unknown", Word: "Connection unknown", Since: since}
}

func (c Connection) dot() string {
	if c.Key == "online" {
		return "dot"
	}
	return "dot dot-off"
}

func (s Status) class(big bool) string {
	switch {
	case big:
		return "pill pill-lg pill-" + s.Tone
	case s.Quiet:
		return "st st-" + s.Tone
	}
	return "pill pill-" + s.Tone
}

func (s Status) iconClass() string {
	if s.Icon == "loader-circle" {
		return "i spin"
	}
	return "i"
}

// color is the text colour class of the tone, for an icon that stands alone.
func (s Status) color() string {
	switch s.Tone {
	case "ok":
		return "c-ok"
	case "run":
		return "c-run"
	case "warn", "late":
		return "c-warn"
	case "fail", "over":
		return "c-fail"
	}
	return "c-dim"
}

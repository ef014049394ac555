package views

// slotStatuses are the words for what became of a slot.
var slotStatuses = []Status{
	{Key: "ran", Word: "Ran", Icon: "circle-check", Tone: "ok", Quiet: true},
	{Key: "late", Word: "Ran late", Icon: "clock-alert", Tone: "late"},
	{Key: "failed", Word: "Failed", Icon: "octagon-x", Tone: "fail"},
	{Key: "missed-offline", Word: "Missed: host offline", Icon: "calendar-x", Tone: "over"},
	{Key: "missed-asleep", Word: "Missed: host asleep", Icon: "moon", Tone: "idle", Quiet: true},
	{Key: "missed-paused", Word: "Missed: paused", Icon: "circle-pause", Tone: "idle", Quiet: true},
	{Key: "missed-busy", Word: "Missed: host busy", Icon: "calendar-x", Tone: "over"},
	{Key: "missed-hours", Word: "Missed: outside hours", Icon: "circle-pause", Tone: "idle", Quiet: true},
	{Key: "missed-disk", Word: "Missed: agent's disk full", Icon: "calendar-x", Tone: "fail"},
	{Key: "waiting", Word: "Waits for its repository", Icon: "hourglass", Tone: "idle"},
}

// SlotStatus is the status of a slot by its outcome. What it does not know it shows
// as "Unknown".
func SlotStatus(outcome string) Status {
	for _, s := range slotStatuses {
		if s.Key == outcome {
			return s
		}
	}
	return Status{Key: outcome, Word: "Unknown", Icon: "circle-help", Tone: "idle"}
}

// Slots is what became of a schedule's planned runs, the newest first.
type Slots struct {
	Rows  []SlotRow
	Older string // URL of the page that follows, "" for none
	Newer string // URL of the newest, "" on that page
}

// A SlotRow is one planned run of one source group.
type SlotRow struct {
	At      When
	Group   string
	Outcome Status
	JobURL  string // of the job that served it or tried to last, "" for none
	Reason  string // why it failed or was missed, "" if there is nothing to say
}

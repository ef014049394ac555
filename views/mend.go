package views

import (
	"net/url"
	"strings"
)

// Mend is the way from a damaged repository to one that is whole, step by step.
type Mend struct {
	ID, Name   string
	Whole      bool
	Steps      []MendStep
	Keepers    []Runner // who may do it
	Unreadable []string // snapshots whose own file cannot be read
}

// A MendStep is one step.
type MendStep struct {
	Title, Text, Effect string
	State               string // "done", "now", "running", "later" or "needless"
	Found               string // what its job found
	JobURL              string // that job
	Kind                string // what is asked for: a kind of job
	Button              string
	Danger              bool
	Fields              [][2]string // what the form says besides
	Note                string      // what is to be known before, "" if nothing
}

// word is how far a step is.
func (m MendStep) word() string {
	switch m.State {
	case "done":
		return "Done"
	case "now":
		return "Next"
	case "running":
		return "Running"
	case "needless":
		return "Not needed"
	}
	return "Later"
}

func (m MendStep) tone() string {
	switch m.State {
	case "done":
		return "st st-ok"
	case "now":
		return "st st-warn"
	case "running":
		return "st st-run"
	}
	return "st"
}

func (m MendStep) icon() string {
	switch m.State {
	case "done":
		return "circle-check"
	case "now":
		return "triangle-alert"
	case "running":
		return "loader-circle"
	}
	return "circle-dashed"
}

// RepairURL is the page that leads through the repair of a repository.
func RepairURL(id string) string { return RepositoryURL(id) + "/repair" }

// ChangeURL is the page on which snapshots of a repository are tagged, and files taken out
// of them.
// It begins with one snapshot, those of one group, or what a dry run saw: name is snapshot,
// group or dry_run, "" for none.
func ChangeURL(id, name, value string) string {
	at := RepositoryURL(id) + "/change"
	if name == "" {
		return at
	}
	return at + "?" + url.Values{name: {value}}.Encode()
}

// ChangeSnapshots is tags and files of chosen snapshots.
type ChangeSnapshots struct {
	ID, Name string
	Chosen   string   // IDs, one on a line
	Tags     []string // that the chosen ones have
	Groups   []Link   // all snapshots of a source group
	Keepers  []Runner
	Seen     *ChangeSeen // the dry run that it goes on from
}

// A ChangeSeen is what a dry run of a rewrite found.
type ChangeSeen struct {
	Job, JobURL string
	Text        string // "Would take 3 files and folders out of 2 snapshots"
	Exclude     string // patterns, one on a line
	IgnoreCase  bool
	Some        bool   // there is something to take out
	Why         string // why it cannot be gone on from, "" if it can
}

func joined(list []string) string { return strings.Join(list, ", ") }

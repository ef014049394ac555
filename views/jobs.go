package views

import "net/url"

// Jobs is every job of the fleet, those that have not ended first.
type Jobs struct {
	Filter JobsFilter
	Kinds  []string // that there are
	Tabs   []Tab    // see [JobTabs]
	Rows   []JobLine
	Total  int    // that the filter finds
	Older  string // URL of the next page, "" if there is none
	Newest string // URL of the first page, "" on it
}

// A JobLine is one job in the list of the fleet's.
type JobLine struct {
	ID, Kind, Group string
	DryRun          bool
	HostID, Host    string
	Status          Status
	Percent         float64 // of a running one; below zero: not known
	At              When    // when it began; never while it waits
	Queued          string  // while it waits: what for, in three words
	Asked           When    // while it waits: since when
	Took            string  // "4 min 2 s"
	Result          string  // how far it is, what it waits for, what became of it
	ResultLink      Link    // the job it waits for, if it is one
	By              string  // "admin", "Schedule"
	CanCancel       bool
}

func periodWords(key string) string {
	for _, p := range Periods() {
		if p.Key == key {
			return p.Words
		}
	}
	return ""
}

// A JobsFilter is what the jobs page was asked for. What is empty does not narrow it.
type JobsFilter struct {
	State  string // a key of [JobTabs]
	Kind   string // "backup"
	Query  string // as typed: a host, a source group, the name of a repository, the beginning of an ID
	Period string // a key of [Periods]
}

// JobsURL is the jobs page with its filters, from behind a place in the list on
// ("" for the beginning).
func JobsURL(f JobsFilter, after string) string {
	q := f.values()
	if after != "" {
		q.Set("after", after)
	}
	if len(q) == 0 {
		return "/jobs"
	}
	return "/jobs?" + q.Encode()
}

func (f JobsFilter) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "kind": f.Kind, "q": f.Query, "period": f.Period} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// JobsStream is the URL of the jobs page's one stream. list stands for what the
// page shows, so that the server can tell when it would show something else.
func JobsStream(f JobsFilter, after, list string) string {
	q := f.values()
	q.Set("view", "jobs")
	q.Set("list", list)
	if after != "" {
		q.Set("after", after)
	}
	return "/events?" + q.Encode()
}

// A Period is how far back the jobs page looks for ended jobs.
type Period struct{ Key, Text, Words string }

// Periods are what can be chosen; the first is what is chosen if nothing is.
func Periods() []Period {
	return []Period{{"", "Last 24 hours", "in the last 24 hours"}, {"7d", "Last 7 days", "in the last 7 days"},
		{"30d", "Last 30 days", "in the last 30 days"}, {"all", "Any time", "in all"}}
}

// JobGroups are the keys of the tabs of the jobs page, in their order: running,
// queued (also sent), failed (also interrupted and abandoned), warnings,
// succeeded and cancelled.
func JobGroups() []string {
	return []string{"running", "queued", "failed", "warnings", "succeeded", "cancelled"}
}

// JobTabs are the filters above the list of jobs. counts is by the keys of [JobGroups].
func JobTabs(counts map[string]int, f JobsFilter) []Tab {
	state, total := f.State, 0
	tabs := []Tab{{Text: "All", Current: state == ""}}
	for _, key := range JobGroups() {
		s := JobStatus(key)
		f.State = key
		total += counts[key]
		tabs = append(tabs, Tab{s.Word, s.Icon, s.color(), counts[key], JobsURL(f, ""), state == key})
	}
	f.State = ""
	tabs[0].Count, tabs[0].URL = total, JobsURL(f, "")
	return tabs
}

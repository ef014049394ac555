package views

import (
	"net/url"
	"strconv"

	"github.com/restic-manager/restic-manager/words"
)

// Where the pages of alerts are.
const (
	AlertsURL          = "/alerts"
	AlertsActURL       = "/alerts/act" // takes what is done with alerts: do, with id, until and reason
	ChannelsURL        = "/alerts/channels"
	NewChannelURL      = "/alerts/channels/new"
	AlertRulesURL      = "/alerts/rules"
	AlertConditionsURL = "/alerts/conditions"
	AlertPausesURL     = "/alerts/pauses"
	HeartbeatURL       = "/alerts/heartbeat"
)

// AlertURL is an alert's page.
func AlertURL(id string) string { return AlertsURL + "/" + url.PathEscape(id) }

// ChannelURL is the page of a channel.
func ChannelURL(id string) string { return ChannelsURL + "/" + url.PathEscape(id) }

// PausesURL is the page of pauses, with the form filled in for a host.
func PausesURL(host string) string { return withQuery(AlertPausesURL, url.Values{"host": {host}}) }

// An AlertFilter is what the alerts page was asked for. What is empty does not narrow it.
type AlertFilter struct {
	State     string // "open", "acknowledged", "snoozed" or "ended"; "" is all that has not ended
	Host      string // its ID
	Repo      string // a repository's ID
	Condition string
	Severity  string // "critical", "warning" or "info"
	Tag       string // of hosts
	Query     string // as typed
	By        string // "cause" groups by the condition; "" by what the alerts are about
}

// Narrow reports whether the filter leaves alerts out that have its state.
func (f AlertFilter) Narrow() bool {
	f.State, f.By = "", ""
	return f != AlertFilter{}
}

// Values are the filter as a URL has it.
func (f AlertFilter) Values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "host": f.Host, "repository": f.Repo, "condition": f.Condition,
		"severity": f.Severity, "tag": f.Tag, "q": f.Query, "by": f.By} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// AlertFilterOf reads a filter from a URL. What is no state or grouping is left out.
func AlertFilterOf(q url.Values) AlertFilter {
	f := AlertFilter{Host: q.Get("host"), Repo: q.Get("repository"), Condition: q.Get("condition"), Severity: q.Get("severity"),
		Tag: q.Get("tag"), Query: q.Get("q")}
	switch s := q.Get("state"); s {
	case "open", "acknowledged", "snoozed", "ended":
		f.State = s
	}
	if q.Get("by") == "cause" {
		f.By = "cause"
	}
	return f
}

// AlertsPath is the alerts page with its filter: a page from 1 of what is open, or of what
// ended from behind a place on.
func AlertsPath(f AlertFilter, page int, after string) string {
	q := f.Values()
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if after != "" {
		q.Set("after", after)
	}
	if len(q) == 0 {
		return AlertsURL
	}
	return AlertsURL + "?" + q.Encode()
}

// AlertsStream is the URL of the alerts page's one stream. list stands for what it shows.
func AlertsStream(f AlertFilter, page int, list string) string {
	q := f.Values()
	q.Set("view", "alerts")
	q.Set("list", list)
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	return "/events?" + q.Encode()
}

// AlertPaging is a page of what alerts are about, or of their causes.
func AlertPaging(total, page int, f AlertFilter) Paging {
	one, many := "subject", "subjects"
	switch {
	case f.Host != "" || f.Repo != "" || f.Condition != "" && f.By == "cause":
		one, many = "alert", "alerts"
	case f.By == "cause":
		one, many = "cause", "causes"
	}
	return pagingOf(total, page, one, many, "the worst first", func(page int) string { return AlertsPath(f, page, "") })
}

// AlertStream is the URL of the one stream of an alert's page.
func AlertStream(id string) string { return "/events?view=alert&id=" + url.QueryEscape(id) }

// AlertTabs is which part of the alerts' pages is shown, and how many alerts there are.
type AlertTabs struct {
	Current string // "open", "ended", "channels", "rules", "conditions", "pauses"
	Open    int    // also acknowledged and snoozed
	Pauses  int    // that count now
}

// Alerts is the page of what is open, or of what ended.
type Alerts struct {
	Tabs       AlertTabs
	Filter     AlertFilter
	Conditions []Option // to filter by
	HostName   string   // of the filter's host
	RepoName   string   // of its repository
	Sections   []AlertSection
	LastEnded  When // of an alert; never if none ended yet
	Paging     Paging
	Older      string // URL of the next page of what ended
	Newest     string // URL of its first page
	Pauses     []AlertPause
	Snoozes    []Option // how long: value and words
	Delivery   []ChannelLine
	Channels   bool // whether there is any channel
	Heartbeat  HeartbeatLine
	Back       string // URL of this very list
}

// An AlertSection is alerts with the same state.
type AlertSection struct {
	State  string // as in [AlertFilter], or "today" for what ended lately
	Title  string
	Total  int // that there are
	Groups []AlertGroup
	All    string // URL of all of them, "" if these are all
	Form   AlertBulk
}

// An AlertBulk is what was typed to be done with several alerts, and what was wrong with it.
type AlertBulk struct {
	Reason, ReasonError string
	Problem             string
}

// An AlertGroup is alerts about the same, or with the same cause.
type AlertGroup struct {
	Title string // "" for a single alert
	Total int
	Rows  []AlertRow
	URL   string // all of them
}

// An AlertRow is an alert in a list.
type AlertRow struct {
	ID        string
	State     string // "open", "acknowledged", "snoozed" or "ended"
	Severity  string
	Icon      string // see [AlertIcon]
	Name      string // of what it is about
	NameURL   string // its page, "" for none
	Title     string
	Cause     string
	Since     When
	Count     int    // how often it began
	Told      string // "Told to Ops mail and ntfy", "Nobody is told", …
	By        string // who acknowledged, snoozed or ended it
	At        When   // when
	Until     When   // of one that is snoozed
	Lasted    string // of one that ended: "38 min"
	Why       string // of one that ended by hand
	Flaps     bool   // it comes and goes
	Link      Link   // where it is done or proven
	CanSnooze bool
	Ticked    bool // in a form that was refused
}

// AlertIcon is the sign of a condition and its severity.
func AlertIcon(condition, severity string) string {
	switch condition {
	case "overdue", "slot-missed", "never-backed-up", "drill-overdue", "check-overdue", "plane-backup-late":
		return "calendar-x"
	case "unscheduled":
		return "calendar-off"
	case "host-offline":
		return "unplug"
	case "repository-locked":
		return "lock"
	}
	switch severity {
	case "critical":
		return "octagon-x"
	case "info":
		return "info"
	}
	return "triangle-alert"
}

// tone is the tone of a severity.
func severityTone(severity string) string {
	switch severity {
	case "critical":
		return "fail"
	case "info":
		return "info"
	}
	return "warn"
}

// SeverityWord is a severity for people.
func SeverityWord(severity string) string {
	switch severity {
	case "critical":
		return "Critical"
	case "info":
		return "Information"
	}
	return "Warning"
}

// AlertSeverities are what can be chosen, the worst first.
var AlertSeverities = []Option{{"critical", "Critical"}, {"warning", "Warning"}, {"info", "Information"}}

func (r AlertRow) class() string {
	switch {
	case r.State == "ended":
		return "att att-over"
	case r.Severity == "critical":
		return "att att-fail"
	case r.Severity == "info":
		return "att att-info"
	}
	return "att att-warn"
}

// flapping says that it comes and goes, if it does.
func (r AlertRow) flapping() string {
	if r.Flaps {
		return ", comes and goes"
	}
	return ""
}

func (r AlertRow) icon() string {
	switch r.State {
	case "ended":
		return "circle-check"
	case "snoozed":
		return "bell-off"
	}
	return r.Icon
}

// AlertRowID is the id of the element that shows an alert in a list.
func AlertRowID(id string) string { return ElementID("alert", id) }

// An AlertPause is a time in which nobody is told.
type AlertPause struct {
	ID      string
	Of      string // "Everything", "Host db-prod-02", "Hosts with the tag web"
	URL     string // of the host, or of the hosts with the tag
	Reason  string
	By      string
	From    When
	Until   When
	Current bool // it has begun
}

// A ChannelLine is how a channel does, beside the alerts.
type ChannelLine struct {
	ID, Name, Kind string // Kind as people call it
	Icon           string
	To             string // where to, without secrets; "" is not said to who looks
	Enabled        bool
	LastOK         When // when it was told something last
	FailingSince   When
	Answer         string // at the last try, if that failed; "" is not said to who looks
	Waits          int    // messages that wait
}

// where is of which kind the channel is, and where it leads to.
func (c ChannelLine) where() string {
	if c.To == "" {
		return c.Kind
	}
	return c.Kind + ", " + words.Visible(c.To)
}

// A HeartbeatLine is how the outside heartbeat does.
type HeartbeatLine struct {
	On           bool
	Every        string // "5 min"
	Target       string // the host of its URL
	LastOK       When
	Answer       string // at the last try, if that failed
	FailingSince When
}

// An Alert is all of one.
type Alert struct {
	AlertRow
	Condition string // its name
	About     string // "Host", "Source group", "Repository", "Channel", "Control plane"
	Do        string // what to do
	When      string // when the condition holds, as a sentence
	Limit     string // which threshold counts and why, "" if it has none
	Ends      string // how it ends
	Effect    string // on the data, if a job proves it
	Evidence  string // restic's own line
	Job       Link   // that proves it
	Swallows  []string
	Opened    When
	Seen      When
	Host      Link // it concerns
	Repo      Link
	Pauses    []AlertPause // that keep it from being told
	Told      []AlertTold
	History   []Step
	Snoozes   []Option
	Form      AlertForm
}

// An AlertsPanel is what the page of a host or of a repository says of its alerts.
type AlertsPanel struct {
	Rows   []AlertRow
	Total  int
	URL    string // all of them
	Pauses []AlertPause
}

// An AlertForm is what was typed on an alert's page, and what was wrong with it.
type AlertForm struct {
	Until, UntilError   string
	Reason, ReasonError string
	Problem             string
}

// An AlertTold is that somebody was told of an alert, or will be.
type AlertTold struct {
	Event   string // "opened", "reminded", "recovered"
	Channel Link
	State   string // "waiting", "sent" or "given-up"
	At      When   // when it was sent, or the next try
	Answer  string // "" is not said to who looks
	Tries   []Try
}

// A Try is one attempt to send a message.
type Try struct {
	At     When
	OK     bool
	Answer string
	Took   string
}

// eventWord is what a channel is told, for people.
func eventWord(event string) string {
	switch event {
	case "opened":
		return "It began"
	case "reminded":
		return "Reminder"
	case "recovered":
		return "It is over"
	case "digest":
		return "Summary"
	case "test":
		return "Test"
	}
	return words.Visible(event)
}

// deliveryStatus is what became of a message.
func deliveryStatus(state string) Status {
	switch state {
	case "sent":
		return Status{Key: "sent", Word: "Sent", Icon: "circle-check", Tone: "ok", Quiet: true}
	case "given-up":
		return Status{Key: "given-up", Word: "Given up", Icon: "octagon-x", Tone: "fail"}
	}
	return Status{Key: "waiting", Word: "Waiting", Icon: "hourglass", Tone: "idle", Quiet: true}
}

package views

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/restic-manager/restic-manager/words"
)

// Schedules is when the fleet is backed up.
type Schedules struct {
	Rows    []ScheduleRow
	Load    Load
	Without []Without // source groups that no schedule names
	Bare    int       // the page of these that is shown, from 1 on
	Query   string    // as typed
	Paging  Paging    // see [SchedulePaging]
}

// A ScheduleRow is one schedule of one host.
type ScheduleRow struct {
	HostID, Host, Name string
	Groups             string // "letters, photos"
	On                 bool
	Words, Cron, Zone  string // "Every day at 02:30", "30 2 * * *", "Europe/Berlin"
	Next               When   // zero while it is paused
	Due                string // "due, host offline": why a run that is due does not begin; "" if there is no such
	Round              Status // how the last slot went, in the word "2 of 2"
	Copy               Copy
	Held               []HeldSlot
}

// A HeldSlot is a planned run that is due and waits for what its host is doing.
type HeldSlot struct {
	Group string
	Due   When
	Why   string // "until the host is done in this repository with the", before Job
	Job   Link
}

// A Copy says whether the host goes by the schedule as it is here.
type Copy struct {
	InForce bool
	Text    string // "The host has this schedule", "The host has none yet: it is offline"
	Title   string // what support asks for, on hover: "Revision 4"
	Problem string // what of it the agent cannot do; "" if nothing
}

// Without is a source group that nothing backs up by itself.
type Without struct {
	HostID, Host, Group string
	Paused              string // the schedule that would, were it not paused; "" for none
}

// Load is how many runs begin in each hour of the coming day.
type Load struct {
	Hours [24]int
	Zone  string
	Mark  int // the hour that stands out, -1 for the busiest
}

// SchedulesURL lists them.
const SchedulesURL = "/schedules"

// ScheduleURL is the form for a schedule of a host, "" for a new one.
func ScheduleURL(host, name string) string {
	if name == "" {
		return HostURL(host) + "/schedules/new"
	}
	return schedulePath(host, name) + "/edit"
}

// SlotsURL is the page of what became of a schedule's planned runs.
func SlotsURL(host, name string) string { return schedulePath(host, name) + "/slots" }

func schedulePath(host, name string) string {
	return HostURL(host) + "/schedules/" + url.PathEscape(name)
}

// SchedulesStream is the URL of the one stream of a page of the list.
func SchedulesStream(query string, page, unplanned int) string {
	return "/events?" + listQuery(url.Values{"view": {"schedules"}, "unplanned": {strconv.Itoa(unplanned)}}, query, page)
}

// SchedulePaging is a page (from 1) of the list of schedules.
func SchedulePaging(total, page int, query string) Paging {
	return pagingOf(total, page, "schedule", "schedules", "by name", func(page int) string { return listURL(SchedulesURL, query, page) })
}

// bare is the page of source groups without a schedule.
func (l Schedules) bare() Paging {
	return pagingOf(len(l.Without), l.Bare, "source group", "source groups", "by name", func(page int) string {
		q := url.Values{}
		if page > 1 {
			q.Set("unplanned", strconv.Itoa(page))
		}
		if text := listQuery(q, l.Query, 1); text != "" {
			return SchedulesURL + "?" + text + "#un"
		}
		return SchedulesURL + "#un"
	})
}

// ScheduleElement is the id of a schedule's row.
func ScheduleElement(r ScheduleRow) string { return ElementID("schedule", r.HostID+" "+r.Name) }

func (l Load) busiest() int {
	best := 0
	for h, n := range l.Hours {
		if n > l.Hours[best] {
			best = h
		}
	}
	return best
}

func (l Load) marked() int {
	if l.Mark >= 0 && l.Mark < 24 {
		return l.Mark
	}
	return l.busiest()
}

func (l Load) words() string {
	h := l.marked()
	if l.Hours[h] == 0 {
		return "No run begins in the next 24 hours."
	}
	return fmt.Sprintf("%s between %02d:00 and %02d:00, %s.", words.Count(uint64(l.Hours[h]), "run begins", "runs begin"), h, (h+1)%24, l.Zone)
}

func (l Load) height(h int) int {
	most := max(l.Hours[l.busiest()], 1)
	if l.Hours[h] == 0 {
		return 0
	}
	return max(2, l.Hours[h]*63/most)
}

// A ScheduleForm says when groups of a host are backed up, with what was typed
// and what was wrong with it. It posts name, group (any number), kind, every,
// first, minute, time (any number, as 02:30), day (any number, 0 for Sunday),
// month_day, cron, zone, jitter (minutes), retry_max, enabled and until.
type ScheduleForm struct {
	From                                       string // "start" if it was opened from the first steps
	HostID, Host                               string
	Schedule                                   string // the one being changed; "" for a new one, and then Name can be typed
	Name                                       string
	Groups                                     []Choice
	Kind                                       string // minutes, hours, daily, weekly, monthly or cron
	Every, First, Minute, Time, MonthDay, Cron string
	Days                                       []Choice // Monday first
	Zone, Jitter, RetryMax                     string
	Enabled                                    bool
	Until                                      string // when a pause ends, by the clock of the zone, as 2006-01-02T15:04; "" is never
	Problem                                    string // about the whole form
	Errors                                     ScheduleErrors
	Preview                                    SchedulePreview
	Copy                                       Copy
	Slots                                      Slots       // of the one being changed
	Retention                                  []Retention // of the repositories that its source groups go to
}

// A Choice is one of several that may be chosen together.
type Choice struct {
	Value, Text, Hint string
	On                bool
}

// ScheduleErrors are what is wrong with each field; "" if nothing is.
type ScheduleErrors struct{ Name, Groups, When, Zone, Jitter, RetryMax, Until string }

// A SchedulePreview is what comes of what is typed. It has a Problem, or the rest.
type SchedulePreview struct {
	Problem  string
	Sentence string // "Every day at 02:30, in Europe/Berlin."
	Cron     string
	Runs     []NextRun
	Note     string // about the zone, its next change of the clock, the jitter
	Load     Load
}

// A NextRun is one that will come, as the schedule's own zone has it.
type NextRun struct {
	Clock, Zone, In string
	At              When
}

var schedulePatterns = []Option{
	{Value: "daily", Text: "Every day"},
	{Value: "weekly", Text: "On days of the week"},
	{Value: "monthly", Text: "Once a month"},
	{Value: "hours", Text: "Every few hours"},
	{Value: "minutes", Text: "Every few minutes"},
	{Value: "cron", Text: "A cron line"},
}

// commonZones are offered while typing; any other of IANA's names will do.
var commonZones = []string{"UTC", "Europe/Berlin", "Europe/London", "Europe/Paris", "Europe/Zurich", "America/New_York", "America/Chicago",
	"America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Shanghai",
	"Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland"}

// PreviewURL answers what is typed into a schedule's form with a [Preview].
func PreviewURL(host string) string { return HostURL(host) + "/schedules/preview" }

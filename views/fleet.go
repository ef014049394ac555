package views

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/words"
)

// A FleetFilter is which hosts the fleet page lists. What is empty does not narrow it.
type FleetFilter struct {
	Status     string // the key of a status, or [NeedAttention]
	Cause      string // the key of what is wrong with them
	Connection string // "offline", "online" or "unknown"
	Tag        string // that the hosts have
	Proof      string // "proven", "not-proven" or "failed"
	Query      string // as typed
}

// NeedAttention is in the place of a status and stands for all that somebody has to do
// something about.
const NeedAttention = "attention"

// FleetURL is the fleet page with its filters, and a page from 1.
func FleetURL(f FleetFilter, page int) string {
	if q := f.Values(page); len(q) > 0 {
		return "/?" + q.Encode()
	}
	return "/"
}

// Values are a filter and a page as a URL has them.
func (f FleetFilter) Values(page int) url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"status": f.Status, "cause": f.Cause, "connection": f.Connection, "tag": f.Tag,
		"proof": f.Proof, "q": f.Query} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	return q
}

// HostURL is the page of a host.
func HostURL(id string) string { return "/hosts/" + url.PathEscape(id) }

// JobURL is the page of a job.
func JobURL(id string) string { return "/jobs/" + url.PathEscape(id) }

// A Tally counts hosts by the key of their [HostStatus].
type Tally map[string]int

// Total is the number of hosts.
func (t Tally) Total() int {
	n := 0
	for _, c := range t {
		n += c
	}
	return n
}

// active counts those that are to be backed up.
func (t Tally) active() int { return t.Total() - t["paused"] - t["keeper"] - t["retired"] }

// troubled are the keys of statuses for which somebody has to do something, worst first.
var troubled = []string{"lost", "failed", "overdue", "empty", "late", "warning"}

// trouble counts the hosts that need somebody.
func (t Tally) trouble() (n int) {
	for _, k := range troubled {
		n += t[k]
	}
	return n
}

// others says in words which hosts are in no trouble: "358 protected, 2 running".
func (t Tally) others() string {
	quiet := Tally{}
	for k, n := range t {
		if !slices.Contains(troubled, k) {
			quiet[k] = n
		}
	}
	if quiet.Total() == 0 {
		if t.Total() == 1 {
			return "It is the only one."
		}
		return "That is every host."
	}
	text := SegmentsLabel(quiet)
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// A Silence is hosts that went silent together.
type Silence struct {
	Hosts, Of int
	At        When // when the last of them was heard of
}

// NewVerdict is the first line of the fleet page. When many hosts went silent together,
// that is it; else it ranks hosts in trouble, and what is running never hides a failure.
// The numbers in it are those of the tally and add up to its total. oldest is when the
// oldest of the hosts' last good backups was made.
func NewVerdict(t Tally, silent *Silence, oldest When) Verdict {
	active, none, bad := t.active(), t["no-backup-yet"], t.trouble()
	var worst Status
	for _, k := range troubled {
		if t[k] > 0 && worst.Key == "" {
			worst = HostStatus(k)
		}
	}
	needs := words.Count(uint64(bad), "host needs attention", "hosts need attention")
	switch {
	case t.Total() == 0:
		return Verdict{Tone: "idle", Icon: "server", Title: "No hosts yet", Text: "Add the first one, and see its backups here."}
	case silent != nil:
		v := Verdict{Tone: "fail", Icon: "unplug", At: silent.At,
			Title: fmt.Sprintf("%s of %s went silent together", number(silent.Hosts),
				words.Count(uint64(silent.Of), "always-on host", "always-on hosts")),
			Text: "Look at the network or the control plane first.",
			Link: Link{"Show offline hosts", FleetURL(FleetFilter{Connection: "offline"}, 1)}}
		if bad > 0 {
			v.Text += " " + strings.ToUpper(needs[:1]) + needs[1:] + "."
		}
		return v
	case bad > 0:
		tone := "fail"
		if worst.Tone == "warn" || worst.Tone == "late" {
			tone = "warn"
		}
		return Verdict{Tone: tone, Icon: worst.Icon, Title: needs, Text: t.others()}
	case active == 0 && t["paused"] > 0:
		return Verdict{Tone: "idle", Icon: "circle-pause", Title: "All hosts are paused",
			Text: "Nothing is backed up until they are switched on again."}
	case active == 0:
		return Verdict{Tone: "idle", Icon: "circle-dashed", Title: "No host is to be backed up", Text: t.others()}
	case none == active:
		return Verdict{Tone: "idle", Icon: "circle-dashed", Title: "No backup yet", Text: "Choose what to back up on " +
			words.Count(uint64(none), "host", "hosts") + ", then start the first backup."}
	case oldest.Never() && t["running"] > 0:
		return Verdict{Tone: "idle", Icon: "hourglass", Title: "The first backup is running", Text: t.others()}
	case none > 0:
		return Verdict{Tone: "idle", Icon: "circle-dashed", Text: t.others(),
			Title: words.Count(uint64(none), "host has", "hosts have") + " no backup yet"}
	case t["unscheduled"] > 0:
		return Verdict{Tone: "idle", Icon: "calendar-off", Text: t.others(),
			Title: words.Count(uint64(t["unscheduled"]), "host has", "hosts have") + " no schedule"}
	}
	v := Verdict{Tone: "ok", Icon: "shield-check", Title: "Nothing needs attention", At: oldest,
		Text: t.others() + " The oldest good backup was made"}
	if t["protected"] == active {
		v.Title = "All " + words.Count(uint64(active), "host is protected", "hosts are protected")
		if active == 1 {
			v.Title = "1 of 1 hosts protected"
		}
	}
	return v
}

// A Segment is one piece of the fleet's meter, in per cent of its width.
type Segment struct {
	Tone     string
	X, Width float64
}

// Segments lays the hosts of a fleet out as a meter, the best first, as in the
// design: every state that occurs is wide enough to see.
func Segments(t Tally) []Segment {
	const gap, least = 0.7, 2.0
	order := []string{"protected", "asleep", "running", "unscheduled", "late", "warning", "empty", "failed", "overdue", "lost",
		"no-backup-yet", "paused", "keeper", "retired"}
	total, kinds := 0, 0
	for _, k := range order {
		if t[k] > 0 {
			total, kinds = total+t[k], kinds+1
		}
	}
	if total == 0 {
		return nil
	}
	room := 100 - gap*float64(kinds-1) - least*float64(kinds)
	var out []Segment
	x := 0.0
	for _, k := range order {
		if t[k] <= 0 {
			continue
		}
		w := least + room*float64(t[k])/float64(total)
		out = append(out, Segment{HostStatus(k).Tone, round(x), round(w)})
		x += w + gap
	}
	return out
}

func round(f float64) float64 { return math.Round(f*100) / 100 }

// SegmentsLabel says the meter in words: "15 protected, 3 running".
func SegmentsLabel(t Tally) string {
	var said []string
	for _, s := range HostStatuses() {
		if n := t[s.Key]; n > 0 {
			said = append(said, fmt.Sprintf("%d %s", n, strings.ToLower(s.Word)))
		}
	}
	if len(said) == 0 {
		return "no hosts"
	}
	return strings.Join(said, ", ")
}

// Tabs are the filters above the host table: All, what needs attention, one for each
// status that occurs or is chosen now, and a cause or a connection that is. t counts the
// hosts that the text finds; cause is the filter's in words, and found are the hosts that
// the whole filter finds.
func Tabs(t Tally, f FleetFilter, cause string, found int) []Tab {
	to := func(status string) string {
		return FleetURL(FleetFilter{Status: status, Tag: f.Tag, Query: f.Query}, 1)
	}
	tabs := []Tab{{Text: "All", Count: t.Total(), URL: to(""), Current: f == FleetFilter{Tag: f.Tag, Query: f.Query}}}
	if n := t.trouble(); n > 0 || f.Status == NeedAttention {
		tabs = append(tabs, Tab{Text: "Needs attention", Icon: "triangle-alert", Count: n, URL: to(NeedAttention),
			Current: f.Status == NeedAttention && f.Cause == "" && f.Proof == ""})
	}
	if f.Cause != "" {
		tabs = append(tabs, Tab{Text: cause, Icon: "list", Count: found, URL: FleetURL(f, 1), Current: true})
	}
	if f.Connection != "" {
		tabs = append(tabs, Tab{Text: ConnectionWord(f.Connection), Icon: "unplug", Count: found, URL: FleetURL(f, 1), Current: true})
	}
	if f.Proof != "" {
		tabs = append(tabs, Tab{Text: ProofWord(f.Proof), Icon: "archive-restore", Count: found, URL: FleetURL(f, 1), Current: true})
	}
	for _, s := range HostStatuses() {
		if t[s.Key] > 0 || s.Key == f.Status {
			tabs = append(tabs, Tab{s.Word, s.Icon, s.color(), t[s.Key], to(s.Key),
				f.Status == s.Key && f.Cause == "" && f.Connection == "" && f.Proof == ""})
		}
	}
	return tabs
}

// what names a job among several of its host: "backup letters", "set up repository".
func (j RunningJob) what() string {
	return strings.TrimSpace(strings.ToLower(KindWord(j.Kind)) + " " + words.Visible(j.Group))
}

// ConnectionWord is the tab of hosts with a connection.
func ConnectionWord(key string) string {
	switch key {
	case "online":
		return "Connected"
	case "offline":
		return "Offline"
	}
	return "Connection not known"
}

// ProofWord is the tab of hosts that are proven restorable, or not.
func ProofWord(key string) string {
	switch key {
	case "proven":
		return "Proven restorable"
	case "failed":
		return "The last drill failed"
	}
	return "Not proven restorable"
}

// PageSize is how many hosts one page of the fleet shows. A thousand rows on one
// page would take a second to lay out.
const PageSize = 50

// NewPaging is page (from 1) of a list of total hosts that match the filter.
func NewPaging(total, page int, f FleetFilter) Paging {
	return pagingOf(total, page, "host", "hosts", "most urgent first", func(page int) string { return FleetURL(f, page) })
}

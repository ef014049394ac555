package views

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/words"
)

// FleetURL is the fleet page with its filters: a status key ("" for all), a
// text, and a page from 1.
func FleetURL(status, query string, page int) string {
	q := url.Values{}
	if status != "" {
		q.Set("status", status)
	}
	if query != "" {
		q.Set("q", query)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
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

// NewVerdict is the first line of the fleet page. It ranks hosts in trouble; what is
// running never hides a failure. protected is how many
// active hosts have a good backup, of which oldest is the age of the oldest
// ("3 d 4 h ago", "" if none has one).
func NewVerdict(t Tally, protected int, oldest string) Verdict {
	active, none := t.active(), t["no-backup-yet"]
	have := fmt.Sprintf("%d of %s a good backup.", protected, words.Count(uint64(max(active, 0)), "active host has", "active hosts have"))
	if none > 0 {
		have += " " + words.Count(uint64(none), "host has", "hosts have") + " no backup yet."
	}
	bad, worst := 0, Status{}
	for _, k := range troubled {
		if bad += t[k]; t[k] > 0 && worst.Key == "" {
			worst = HostStatus(k)
		}
	}
	switch {
	case t.Total() == 0:
		return Verdict{Tone: "idle", Icon: "server", Title: "No hosts yet", Text: "Add the first one, and see its backups here."}
	case bad > 0:
		tone := "fail"
		if worst.Tone == "warn" || worst.Tone == "late" {
			tone = "warn"
		}
		return Verdict{tone, worst.Icon, words.Count(uint64(bad), "host needs attention", "hosts need attention"), have}
	case active == 0:
		return Verdict{"idle", "circle-pause", "All hosts are paused", "Nothing is backed up until they are switched on again."}
	case protected == 0 && t["running"] > 0:
		return Verdict{"idle", "hourglass", "The first backup is running", have}
	case none == active:
		return Verdict{"idle", "circle-dashed", "No backup yet", "Choose what to back up on " + words.Count(uint64(none), "host", "hosts") +
			", then start the first backup."}
	case protected < active:
		n := active - protected
		return Verdict{"idle", "circle-dashed", words.Count(uint64(n), "host is", "hosts are") + " not protected yet", have}
	case t["unscheduled"] > 0:
		return Verdict{"idle", "calendar-off", words.Count(uint64(t["unscheduled"]), "host has", "hosts have") + " no schedule", have}
	}
	title := "All " + words.Count(uint64(active), "host is protected", "hosts are protected")
	if active == 1 {
		title = "1 of 1 hosts protected"
	}
	return Verdict{"ok", "shield-check", title, "The oldest good backup is from " + oldest + "."}
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

// Tabs are the status filters above the host table, one for each status that
// occurs or is chosen now, and All.
func Tabs(t Tally, status, query string) []Tab {
	tabs := []Tab{{Text: "All", Count: t.Total(), URL: FleetURL("", query, 1), Current: status == ""}}
	for _, s := range HostStatuses() {
		if t[s.Key] > 0 || s.Key == status {
			tabs = append(tabs, Tab{s.Word, s.Icon, s.color(), t[s.Key], FleetURL(s.Key, query, 1), s.Key == status})
		}
	}
	return tabs
}

// PageSize is how many hosts one page of the fleet shows. A thousand rows on one
// page would take a second to lay out.
const PageSize = 50

// NewPaging is page (from 1) of a list of total hosts that match the filter.
func NewPaging(total, page int, status, query string) Paging {
	return pagingOf(total, page, "host", "hosts", "most urgent first", func(page int) string { return FleetURL(status, query, page) })
}

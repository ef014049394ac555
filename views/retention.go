package views

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// RetentionURL is the page of what a repository keeps and removes.
func RetentionURL(repository string) string { return RepositoryURL(repository) + "/retention" }

// shownOddities are those of the page's place, or the first few.
func (v Retention) shownOddities(all bool) []RetentionRow {
	list := v.oddities()
	if p := v.flagged(); all {
		return list[p.From:p.To]
	}
	return list[:min(len(list), fewOddities)]
}

// A RetentionPlace says which page of each of its lists the page of retention shows,
// from 1 on.
type RetentionPlace struct{ Goes, Waits, Stays, Flagged int }

// RetentionListURL is the page of retention with its lists at a place.
func RetentionListURL(repository string, p RetentionPlace) string {
	q := url.Values{}
	for name, n := range map[string]int{"goes": p.Goes, "waits": p.Waits, "stays": p.Stays, "flagged": p.Flagged} {
		if n > 1 {
			q.Set(name, strconv.Itoa(n))
		}
	}
	if len(q) == 0 {
		return RetentionURL(repository)
	}
	return RetentionURL(repository) + "?" + q.Encode()
}

// goes, waits, stays and flagged page the lists of the page of retention.
func (v Retention) goes() Paging {
	return pagingOf(len(v.Remove), v.Place.Goes, "snapshot", "snapshots", "newest first", func(page int) string {
		p := v.Place
		p.Goes = page
		return RetentionListURL(v.RepositoryID, p) + "#remove-h"
	})
}

func (v Retention) waits() Paging {
	return pagingOf(len(v.Waiting), v.Place.Waits, "snapshot", "snapshots", "newest first", func(page int) string {
		p := v.Place
		p.Waits = page
		return RetentionListURL(v.RepositoryID, p) + "#waits-h"
	})
}

func (v Retention) stays() Paging {
	return pagingOf(len(v.Keep), v.Place.Stays, "snapshot", "snapshots", "newest first", func(page int) string {
		p := v.Place
		p.Stays = page
		return RetentionListURL(v.RepositoryID, p) + "#keep-h"
	})
}

func (v Retention) flagged() Paging {
	return pagingOf(len(v.oddities()), v.Place.Flagged, "finding", "findings", "newest first", func(page int) string {
		p := v.Place
		p.Flagged = page
		return RetentionListURL(v.RepositoryID, p) + "#odd-h"
	})
}

// oddities are whatever nobody ordered, keys and groups before snapshots.
func (v Retention) oddities() []RetentionRow { return slices.Concat(v.Odd, v.Flagged) }

// A Retention is what a repository keeps, what its next forget removes, and what
// is odd about it.
type Retention struct {
	RepositoryID, Repository string
	Place                    RetentionPlace
	Rules                    []string // in words; none is that everything stays
	Problem                  string   // the rules cannot be, in words; then the rest is empty
	Warnings                 []string // rules that contradict each other or the schedules
	Unusual                  []string // why source groups of the plan are held for review
	Held                     *HeldPlan
	Keep, Remove, Flagged    []RetentionRow
	Waiting                  []RetentionRow // of source groups that are held: they stay until that is approved
	Odd                      []RetentionRow // keys and source groups that are flagged
	KeysKnown                bool           // its keys were listed
	Listed                   When           // when the repository was last listed
}

// A RetentionRow is one snapshot or key, with why it is where it is.
type RetentionRow struct {
	ID      string // whole
	Taken   When
	Age     float64 // hours before now; negative in the future
	From    string  // host and source group, or what kind of thing it is
	Reasons []string
	Window  bool // kept because it is inside the time window
	Pinned  bool // no rule keeps it: it stands for what its source group held
}

// A HeldPlan is one that waits until a person approves exactly it.
type HeldPlan struct {
	Hash    string
	Count   int
	Reasons []string
	Groups  []string // the source groups that are held, with their hosts; empty for a plan of an earlier version
	Less    []string // those of them that hold far less than before
	Since   When
	Until   When
}

func (v Retention) total() int { return len(v.Keep) + len(v.Remove) + len(v.Waiting) + len(v.Flagged) }

func (v Retention) summary() string {
	if len(v.Rules) == 0 {
		return "no rules: everything stays"
	}
	return fmt.Sprintf("next run removes %d of %d", len(v.Remove), v.total())
}

func (v Retention) counts() string {
	if v.total() == 0 {
		return "No snapshot is known yet."
	}
	text := "None stays, "
	switch n := len(v.Keep) + len(v.Waiting) + len(v.Flagged); {
	case n == 1:
		text = "1 stays, "
	case n > 1:
		text = fmt.Sprintf("%d stay, ", n)
	}
	if n := len(v.Remove); n > 0 {
		text += fmt.Sprintf("%d would be removed", n)
	} else {
		text += "none would be removed"
	}
	switch n := len(v.Waiting); {
	case n == 1:
		text += "; 1 of those that stay waits for approval to go"
	case n > 1:
		text += fmt.Sprintf("; %d of those that stay wait for approval to go", n)
	}
	switch n := len(v.Flagged); {
	case n == 1:
		text += "; 1 of those that stay is flagged"
	case n > 1:
		text += fmt.Sprintf("; %d of those that stay are flagged", n)
	}
	return text + "."
}

func shortID(id string) string { return id[:min(8, len(id))] }

// A Maintenance is when a repository is looked after, and how that went.
type Maintenance struct {
	RepositoryID string
	Keeper       string   // its name, "" for none
	KeptBy       []Runner // the keeper, if there is one
	Hosts        []Runner // where it could run without a keeper
	Hours        []MaintenanceHours
	Zone         string // the server's, by whose clock the hours are
	Runs         []MaintenanceRun
}

// runners are who may be asked to look after it.
func (m Maintenance) runners() []Runner {
	if m.Keeper != "" {
		return m.KeptBy
	}
	return m.Hosts
}

// whyNot is why some of it cannot be asked for by whoever looks, "" if all can.
func (m Maintenance) whyNot(ctx context.Context) string {
	if why := noneMay(ctx, m.runners(), "forget", "prune", "check"); why != "" {
		return why
	}
	why, names := "", []string{}
	for _, d := range m.Hours {
		if w := lacks(ctx, d.Kind); w != "" {
			why, names = w, append(names, d.Name)
		}
	}
	if why == "" {
		return ""
	}
	return strings.Join(names, ", ") + ": " + why
}

// Weekdays are the days maintenance can be due on, as the API names them.
var Weekdays = []Option{
	{"daily", "Every day"},
	{"monday", "Mondays"},
	{"tuesday", "Tuesdays"},
	{"wednesday", "Wednesdays"},
	{"thursday", "Thursdays"},
	{"friday", "Fridays"},
	{"saturday", "Saturdays"},
	{"sunday", "Sundays"},
}

// A MaintenanceHours is one kind of maintenance.
type MaintenanceHours struct {
	Kind, Name string // "forget", "Forget"
	When       string // in words, if there is no next time
	Next       When   // the next time
	Day, Hour  string // as the API has them: "daily", "04:00"
	Paused     bool
	Slices     string // check: reads one of so many; "0" reads none
	Sub        string // "reads 1 of 12 slices each time"
}

// A MaintenanceRun is one time it was done.
type MaintenanceRun struct {
	JobID, Kind string
	Outcome     Status
	At          When
	Text        string
}

// A lane is one line of the ladder: marks by age, the youngest at the left.
type lane struct {
	name, class string
	rows        []RetentionRow
	cross       bool
}

// A ladder shows what stays and what goes on a logarithmic axis of age.
type ladder struct {
	lanes []lane
	span  float64 // hours
}

const (
	ladderLeft  = 92.0
	ladderWidth = 500.0
	ladderStep  = 28
)

func (v Retention) ladder() ladder {
	var window, thinned, pinned []RetentionRow
	l := ladder{span: 24}
	for _, r := range v.Keep {
		if r.Window {
			window = append(window, r)
		} else if r.Pinned {
			pinned = append(pinned, r)
		} else {
			thinned = append(thinned, r)
		}
	}
	for _, list := range [][]RetentionRow{v.Keep, v.Remove, v.Waiting, v.Flagged} {
		for _, r := range list {
			l.span = max(l.span, r.Age*1.05)
		}
	}
	rest := "Thinned"
	if len(v.Rules) == 0 {
		rest = "Kept" // without rules everything is
	}
	for _, n := range []lane{
		{"In window", "keep", window, false},
		{rest, "keep", thinned, false},
		{"Pinned", "keep", pinned, false},
		{"To remove", "drop", v.Remove, true},
		{"Held", "odd", v.Waiting, false},
		{"Flagged", "odd", v.Flagged, false},
	} {
		if len(n.rows) > 0 {
			l.lanes = append(l.lanes, n)
		}
	}
	return l
}

func (l ladder) height() int { return len(l.lanes)*ladderStep + 28 }

func (l ladder) y(i int) int { return 16 + i*ladderStep }

// x is where an age stands, in hours.
func (l ladder) x(age float64) float64 {
	return ladderLeft + ladderWidth*math.Log1p(max(age, 0))/math.Log1p(l.span)
}

func (l ladder) dots(n lane) string {
	var b strings.Builder
	for _, r := range n.rows {
		if n.cross {
			fmt.Fprintf(&b, "m%.1f -4l8 8m0 -8l-8 8m%.1f -4", l.x(r.Age)-4, -(l.x(r.Age) - 4))
		} else {
			fmt.Fprintf(&b, "m%.1f 0h.01m%.2f 0", l.x(r.Age), -l.x(r.Age)-.01)
		}
	}
	return b.String()
}

func (l ladder) d(i int) string { return fmt.Sprintf("M0 %d%s", l.y(i), l.dots(l.lanes[i])) }

// A mark is a gridline of the axis.
type ageMark struct {
	Hours float64
	Word  string
}

func (l ladder) marks() (list []ageMark) {
	for _, m := range []ageMark{
		{6, "6 h"},
		{24, "1 day"},
		{7 * 24, "1 week"},
		{30 * 24, "1 month"},
		{182 * 24, "6 months"},
		{365 * 24, "1 year"},
		{3 * 365 * 24, "3 years"},
	} {
		if m.Hours < l.span {
			list = append(list, m)
		}
	}
	return list
}

func (v Retention) ladderLabel() string {
	return fmt.Sprintf("Snapshots by age on a logarithmic axis: %d stay, %d would be removed, %d are flagged.",
		len(v.Keep)+len(v.Waiting), len(v.Remove), len(v.Flagged))
}

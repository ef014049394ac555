package slots

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The kinds of [Plan].
const (
	Minutely = "minutes"
	Hourly   = "hours"
	Daily    = "daily"
	Weekly   = "weekly"
	Monthly  = "monthly"
	Cron     = "cron"
)

// A Plan is a cron line in people's words. Kind decides which fields count.
type Plan struct {
	Kind   string
	Every  int            // minutely, hourly: this many, from 0 o'clock or First on
	First  int            // hourly: the first hour, below Every
	Minute int            // of all but minutely
	Hours  []int          // daily, weekly, monthly
	Days   []time.Weekday // weekly
	Day    int            // monthly
	Line   string         // cron: the line itself
}

// ReadPlan reads a cron line as a plan; a line of no common form has the kind Cron. It
// does not check the line: Parse does.
func ReadPlan(line string) Plan {
	text := strings.Join(strings.Fields(line), " ")
	if w, ok := words[strings.ToLower(text)]; ok {
		text = w
	}
	cron := Plan{Kind: Cron, Line: text}
	f := strings.Split(text, " ")
	if len(f) != 5 || f[3] != "*" {
		return cron
	}
	everyDay := f[2] == "*" && f[4] == "*"
	if f[1] == "*" && everyDay {
		if n, _, ok := step(f[0], 59); ok {
			return Plan{Kind: Minutely, Every: n}
		}
	}
	minute, err := strconv.Atoi(f[0])
	if err != nil || minute < 0 || minute > 59 {
		return cron
	}
	if n, first, ok := step(f[1], 23); ok && everyDay {
		return Plan{Kind: Hourly, Every: n, First: first, Minute: minute}
	}
	hours, ok := list(f[1], 0, 23)
	if !ok {
		return cron
	}
	switch {
	case everyDay:
		return Plan{Kind: Daily, Minute: minute, Hours: hours}
	case f[2] == "*":
		if days, ok := list(f[4], 0, 6); ok {
			p := Plan{Kind: Weekly, Minute: minute, Hours: hours}
			for _, d := range days {
				p.Days = append(p.Days, time.Weekday(d))
			}
			return p
		}
	case f[4] == "*":
		if day, err := strconv.Atoi(f[2]); err == nil && day >= 1 && day <= 31 {
			return Plan{Kind: Monthly, Minute: minute, Hours: hours, Day: day}
		}
	}
	return cron
}

// step reads *, */n and first-last/n.
func step(f string, last int) (n, first int, ok bool) {
	head, tail, stepped := strings.Cut(f, "/")
	n = 1
	if stepped {
		var err error
		if n, err = strconv.Atoi(tail); err != nil || n < 1 || n > last {
			return 0, 0, false
		}
	}
	if head == "*" {
		return n, 0, true
	}
	from, to, ranged := strings.Cut(head, "-")
	first, err := strconv.Atoi(from)
	return n, first, stepped && ranged && err == nil && to == strconv.Itoa(last) && first >= 0 && first < n
}

// list reads 1,2,5-7 into a sorted list.
func list(f string, low, high int) (all []int, ok bool) {
	for _, part := range strings.Split(f, ",") {
		from, to, ranged := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if ranged && err == nil {
			b, err = strconv.Atoi(to)
		}
		if err != nil || a < low || b > high || a > b {
			return nil, false
		}
		for n := a; n <= b; n++ {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all, len(all) > 0
}

// Cron returns the plan as a cron line. An impossible plan gives a line that Parse
// refuses.
func (p Plan) Cron() string {
	var hours []string
	for _, h := range p.Hours {
		hours = append(hours, strconv.Itoa(h))
	}
	at := fmt.Sprintf("%d %s", p.Minute, strings.Join(hours, ","))
	switch p.Kind {
	case Minutely:
		if p.Every == 1 {
			return "* * * * *"
		}
		return fmt.Sprintf("*/%d * * * *", p.Every)
	case Hourly:
		switch {
		case p.Every == 1:
			return fmt.Sprintf("%d * * * *", p.Minute)
		case p.First > 0:
			return fmt.Sprintf("%d %d-23/%d * * *", p.Minute, p.First, p.Every)
		}
		return fmt.Sprintf("%d */%d * * *", p.Minute, p.Every)
	case Daily:
		return at + " * * *"
	case Weekly:
		var days []string
		for _, d := range p.Days {
			days = append(days, strconv.Itoa(int(d)))
		}
		return at + " * * " + strings.Join(days, ",")
	case Monthly:
		return fmt.Sprintf("%s %d * *", at, p.Day)
	}
	return p.Line
}

// Words returns the plan as the beginning of a sentence: "Every day at 02:30".
func (p Plan) Words() string {
	var times []string
	for _, h := range p.Hours {
		times = append(times, fmt.Sprintf("%02d:%02d", h, p.Minute))
	}
	at := " at " + and(times)
	switch p.Kind {
	case Minutely:
		if p.Every == 1 {
			return "Every minute"
		}
		return fmt.Sprintf("Every %d minutes", p.Every)
	case Hourly:
		if p.Every == 1 {
			return fmt.Sprintf("Every hour at minute %d", p.Minute)
		}
		return fmt.Sprintf("Every %d hours from %02d:%02d on", p.Every, p.First, p.Minute)
	case Daily:
		return "Every day" + at
	case Weekly:
		weekdays := []time.Weekday{1, 2, 3, 4, 5}
		if slices.Equal(p.Days, weekdays) {
			return "Every weekday" + at
		}
		if len(p.Days) == 7 {
			return "Every day" + at
		}
		var names []string
		for _, d := range append(slices.Clone(weekdays), 6, 0) { // as calendars have them
			if slices.Contains(p.Days, d) {
				names = append(names, d.String())
			}
		}
		return "Every " + and(names) + at
	case Monthly:
		return fmt.Sprintf("On day %d of every month%s", p.Day, at)
	}
	return "By the cron line " + p.Line
}

func and(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// ClockChange is the next moment after which the wall's clock in a plan's zone is
// set, and by how much; the zero time if that is not within a year.
//
// It compares what the clock shows from day to day. time.ZoneBounds would not do: where
// a zone is known by its rule alone, as in what is built into a program, the bounds are
// those of the year, too.
func (p Policy) ClockChange(after time.Time) (at time.Time, by time.Duration) {
	offset := func(unix int64) int {
		_, o := time.Unix(unix, 0).In(p.zone).Zone()
		return o
	}
	const day = 24 * 60 * 60
	first := after.Unix()
	is := offset(first)
	for begin := first; begin < first+366*day; begin += day {
		if offset(begin+day) == is {
			continue
		}
		seconds := sort.Search(day, func(n int) bool { return offset(begin+int64(n)) != is })
		end := begin + int64(seconds)
		return time.Unix(end, 0).In(p.zone), time.Duration(offset(end)-is) * time.Second
	}
	return time.Time{}, 0
}

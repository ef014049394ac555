package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A wish is what may be said of a schedule at any door. What is nil is not said.
type wish struct {
	Name       string
	Cron, Zone *string
	Jitter     *time.Duration
	Groups     *[]string
	Enabled    *bool
	Retry      *int
	Until      *time.Time // whole minutes; the zero time ends no pause
}

// input is the wish as the service takes it.
func (w wish) input() schedule.Input {
	in := schedule.Input{Cron: w.Cron, Zone: w.Zone, SourceGroups: w.Groups, Enabled: w.Enabled, RetryMax: w.Retry, PausedUntil: w.Until}
	if w.Jitter != nil {
		in.JitterSeconds = new(int(w.Jitter.Seconds()))
	}
	return in
}

// over is the wish with what another one says where it says nothing: the form always
// says everything.
func (w wish) over(was wish) wish {
	return wish{Name: w.Name, Cron: cmp.Or(w.Cron, was.Cron), Zone: cmp.Or(w.Zone, was.Zone), Jitter: cmp.Or(w.Jitter, was.Jitter),
		Groups: cmp.Or(w.Groups, was.Groups), Enabled: cmp.Or(w.Enabled, was.Enabled), Retry: cmp.Or(w.Retry, was.Retry),
		Until: cmp.Or(w.Until, was.Until)}
}

// nightly is a schedule that fits.
var nightly = wish{
	Name:    "nightly",
	Cron:    new("30 2 * * *"),
	Zone:    new("Europe/Berlin"),
	Jitter:  new(10 * time.Minute),
	Groups:  new([]string{"letters"}),
	Enabled: new(true),
	Retry:   new(3),
}

var (
	tomorrow  = time.Now().Add(24 * time.Hour).Truncate(time.Minute).UTC()
	berlin, _ = time.LoadLocation("Europe/Berlin")
)

func schedulesAt(h *house) string { return "/hosts/" + string(h.host) + "/schedules" }

// scheduleForm posts a wish to the form at an address below the schedules.
func scheduleForm(h *house, at string, w wish) (bool, string) {
	until := ""
	if w.Until != nil && !w.Until.IsZero() {
		until = w.Until.In(berlin).Format("2006-01-02T15:04")
	}
	status, text := h.ask("POST", schedulesAt(h)+at, url.Values{"until": {until}, "name": {w.Name},
		"kind": {"cron"}, "cron": {*w.Cron}, "zone": {*w.Zone},
		"group": *w.Groups, "jitter": {strconv.Itoa(int(w.Jitter.Minutes()))}, "retry_max": {strconv.Itoa(*w.Retry)},
		"enabled": {strconv.FormatBool(*w.Enabled)}})
	return status == http.StatusSeeOther, text
}

func scheduleByAPI(t *testing.T, h *house, w wish) (bool, string) {
	body := map[string]any{}
	add := func(name string, said bool, value func() any) {
		if said {
			body[name] = value()
		}
	}
	add("cron", w.Cron != nil, func() any { return *w.Cron })
	add("zone", w.Zone != nil, func() any { return *w.Zone })
	add("jitter_seconds", w.Jitter != nil, func() any { return int(w.Jitter.Seconds()) })
	add("source_groups", w.Groups != nil, func() any { return append([]string{}, *w.Groups...) })
	add("enabled", w.Enabled != nil, func() any { return *w.Enabled })
	add("retry_max", w.Retry != nil, func() any { return *w.Retry })
	add("paused_until", w.Until != nil, func() any { return *w.Until })
	status, text := h.ask("PUT", "/api"+schedulesAt(h)+"/"+url.PathEscape(w.Name), body)
	return status == http.StatusOK, detail(t, text)
}

func scheduleByCommand(_ *testing.T, h *house, w wish) (bool, string) {
	args := []string{"schedule", "set", "attic"}
	if w.Cron != nil {
		args = append(args, "--cron="+*w.Cron)
	}
	if w.Zone != nil {
		args = append(args, "--zone="+*w.Zone)
	}
	if w.Jitter != nil {
		args = append(args, "--jitter="+w.Jitter.String())
	}
	if w.Groups != nil {
		for _, g := range *w.Groups {
			args = append(args, "--group="+g)
		}
	}
	if w.Enabled != nil {
		args = append(args, fmt.Sprintf("--enabled=%t", *w.Enabled))
	}
	if w.Retry != nil {
		args = append(args, "--retry-max="+strconv.Itoa(*w.Retry))
	}
	if w.Until != nil {
		args = append(args, "--until="+w.Until.Format(time.RFC3339))
	}
	text, code := h.tell(append(args, w.Name)...)
	return code == 0, text
}

func serviceOf(h *house) *schedule.Service { return &schedule.Service{Store: h.store, Now: time.Now} }

var newSchedules = subject[wish]{
	service: func(t *testing.T, h *house, w wish) error {
		_, err := serviceOf(h).Add(t.Context(), "test", h.host, w.Name, w.input())
		return err
	},
	doors: map[string]func(*testing.T, *house, wish) (bool, string){
		theForm:        func(_ *testing.T, h *house, w wish) (bool, string) { return scheduleForm(h, "/new", w) },
		theAPI:         scheduleByAPI,
		theCommandLine: scheduleByCommand,
	},
	saved: scheduleRows,
	cases: scheduleCases(withNames(func(name string) wish { return wish{Name: name}.over(nightly) }, map[string]doorCase[wish]{
		"a slash":          {in: wish{Name: "night/ly"}.over(nightly)},
		"everything wrong": {in: wish{"..", new("x"), new("y"), new(48 * time.Hour), new([]string{"z"}), new(true), new(99), nil}, bad: "cron"},
	}), func(w wish) wish { w.Name = "nightly"; return w.over(nightly) }),
}

var changedSchedules = subject[wish]{
	before: func(t *testing.T, h *house) {
		w := nightly
		w.Jitter, w.Retry, w.Enabled = new(90*time.Second), new(7), new(false)
		if _, err := serviceOf(h).Add(t.Context(), "test", h.host, w.Name, w.input()); err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, w wish) error {
		_, err := serviceOf(h).Change(t.Context(), "test", h.host, w.Name, w.input())
		return err
	},
	doors: map[string]func(*testing.T, *house, wish) (bool, string){
		theForm: func(_ *testing.T, h *house, w wish) (bool, string) {
			was := nightly
			was.Jitter, was.Retry, was.Enabled = new(time.Minute), new(7), new(false) // as the form shows it: whole minutes
			return scheduleForm(h, "/nightly/edit", w.over(was))
		},
		theAPI:         scheduleByAPI,
		theCommandLine: scheduleByCommand,
	},
	saved: scheduleRows,
	cases: scheduleCases(map[string]doorCase[wish]{}, func(w wish) wish { w.Name = "nightly"; return w }),
}

// scheduleCases adds good and bad values of each field to other cases.
func scheduleCases(others map[string]doorCase[wish], with func(wish) wish) map[string]doorCase[wish] {
	for what, c := range map[string]doorCase[wish]{
		"all is well":           {},
		"no cron line":          {in: wish{Cron: new("")}, bad: "cron"},
		"a bad cron line":       {in: wish{Cron: new("61 2 * * *")}, bad: "cron"},
		"a day that never is":   {in: wish{Cron: new("0 2 31 4 *")}, bad: "cron"},
		"a word":                {in: wish{Cron: new(" @daily ")}},
		"no zone":               {in: wish{Zone: new("")}, bad: "zone"},
		"a bad zone":            {in: wish{Zone: new("Europe/Atlantis")}, bad: "zone"},
		"this machine's zone":   {in: wish{Zone: new("Local")}, bad: "zone"},
		"spaces around a zone":  {in: wish{Zone: new(" UTC ")}},
		"no jitter":             {in: wish{Jitter: new(time.Duration(0))}},
		"a day of jitter":       {in: wish{Jitter: new(24 * time.Hour)}},
		"more jitter":           {in: wish{Jitter: new(24*time.Hour + time.Minute)}, bad: "jitter_seconds"},
		"jitter below nothing":  {in: wish{Jitter: new(-time.Minute)}, bad: "jitter_seconds"},
		"no group":              {in: wish{Groups: new([]string{})}, bad: "source_groups"},
		"an unknown group":      {in: wish{Groups: new([]string{"letters", "wine"})}, bad: "source_groups"},
		"a group twice":         {in: wish{Groups: new([]string{"photos", "photos", "letters"})}},
		"on":                    {in: wish{Enabled: new(true)}},
		"paused":                {in: wish{Enabled: new(false)}},
		"paused for a while":    {in: wish{Enabled: new(false), Until: new(tomorrow)}},
		"paused until before":   {in: wish{Enabled: new(false), Until: new(tomorrow.AddDate(-1, 0, 0))}, bad: "paused_until"},
		"paused for an age":     {in: wish{Enabled: new(false), Until: new(tomorrow.AddDate(20, 0, 0))}, bad: "paused_until"},
		"paused without an end": {in: wish{Enabled: new(false), Until: new(time.Time{})}},
		"on, and paused":        {in: wish{Enabled: new(true), Until: new(tomorrow)}, bad: "paused_until", not: []string{theForm}},
		"no retry":              {in: wish{Retry: new(0)}},
		"too many retries":      {in: wish{Retry: new(21)}, bad: "retry_max"},
		"retries below nothing": {in: wish{Retry: new(-1)}, bad: "retry_max"},
	} {
		if c.in.Groups != nil && len(*c.in.Groups) == 0 && with(wish{}).Cron == nil {
			c.not = []string{theCommandLine} // it cannot say that a schedule has no groups any more
		}
		c.in = with(c.in)
		others[what] = c
	}
	if c, ok := others["no name"]; ok {
		c.not = []string{theAPI} // an address without a name is another one
		others["no name"] = c
	}
	return others
}

// scheduleRows removes all schedules of the host, and returns what they were.
func scheduleRows(t *testing.T, h *house) (all []string) {
	t.Helper()
	rows, err := h.store.Schedules(t.Context(), h.host)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		all = append(all, fmt.Sprintf("%q %q %s %d %v %t %t %d %d", r.Name, r.Cron, r.Zone, r.JitterSeconds, r.Groups, r.Enabled,
			r.PausedAt > 0, r.PausedUntil, r.RetryMax))
		if err := h.store.DeleteSchedule(t.Context(), "test", h.host, r.Name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// What an older version of the command line took for a name is shown so that no
// terminal obeys it, and can still be removed and paused.
func TestNamesOfBeforeAreShownAndCanGo(t *testing.T) {
	h := newHouse(t)
	const name = "..\x1b[2J\nattic"
	if _, err := h.store.PutSchedule(t.Context(), "test", h.host, name, "old-000001", func(sc *store.Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.Groups = "@daily", "UTC", true, []topics.SourceGroupID{"letters-0001"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	text, code := h.tell("schedule", "list")
	if code != 0 || strings.Contains(text, "\x1b") || strings.Count(text, "\n") != 2 {
		t.Errorf("the list, exit status %d: %q", code, text)
	}
	if text, code := h.tell("schedule", "set", "attic", name, "--no-enabled"); code != 0 {
		t.Errorf("it cannot be paused: %s", text)
	}
	if text, code := h.tell("schedule", "next", "attic", name+"x"); code != 1 || strings.Contains(text, "\x1b") {
		t.Errorf("an unknown name, exit status %d: %q", code, text)
	}
	if err := serviceOf(h).Remove(t.Context(), "test", h.host, name); err != nil {
		t.Errorf("it cannot be removed: %v", err)
	}
}

package main

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A wish is a new schedule as somebody may type it at any door.
type wish struct {
	name, cron, zone string
	jitter           time.Duration
	groups           []string
	retry            int
}

// TestEveryDoorHasTheSameRulesForSchedules: what the form, the API and the command
// line take of a schedule is what its service takes, and what they refuse is refused
// in the same sentence.
func TestEveryDoorHasTheSameRulesForSchedules(t *testing.T) {
	h := newHouse(t)
	service := &schedule.Service{Store: h.store, Now: time.Now}
	at := "/hosts/" + string(h.host) + "/schedules"
	doors := map[string]func(wish) (taken bool, said string){
		"the form": func(w wish) (bool, string) {
			status, text := h.ask("POST", at+"/new", url.Values{"name": {w.name}, "kind": {"cron"}, "cron": {w.cron}, "zone": {w.zone}, "group": w.groups,
				"jitter": {strconv.Itoa(int(w.jitter.Minutes()))}, "retry_max": {strconv.Itoa(w.retry)}, "enabled": {"true"}})
			return status == http.StatusSeeOther, html.UnescapeString(text)
		},
		"the API": func(w wish) (bool, string) {
			status, text := h.ask("PUT", "/api"+at+"/"+url.PathEscape(w.name), map[string]any{"cron": w.cron, "zone": w.zone,
				"source_groups": append([]string{}, w.groups...), "jitter_seconds": int(w.jitter.Seconds()), "retry_max": w.retry})
			var p struct{ Detail string }
			decode(t, text, &p)
			return status == http.StatusOK, p.Detail
		},
		"the command line": func(w wish) (bool, string) {
			args := []string{"schedule", "set", "attic", "--cron=" + w.cron, "--zone=" + w.zone, "--jitter=" + w.jitter.String(),
				"--retry-max=" + strconv.Itoa(w.retry)}
			for _, g := range w.groups {
				args = append(args, "--group="+g)
			}
			text, code := h.tell(append(args, w.name)...)
			return code == 0, text
		},
	}
	good := wish{name: "nightly", cron: "30 2 * * *", zone: "Europe/Berlin", jitter: 10 * time.Minute, groups: []string{"letters"}, retry: 3}
	with := func(edit func(*wish)) wish {
		w := good
		edit(&w)
		return w
	}
	for what, c := range map[string]struct {
		wish wish
		not  string // a door that has no way to ask for it
	}{
		"all is well":           {wish: good},
		"no name":               {wish: with(func(w *wish) { w.name = "" }), not: "the API"},
		"a name of spaces":      {wish: with(func(w *wish) { w.name = "  " })},
		"spaces around":         {wish: with(func(w *wish) { w.name = " nightly " })},
		"a dot":                 {wish: with(func(w *wish) { w.name = "." })},
		"two dots":              {wish: with(func(w *wish) { w.name = ".." })},
		"an escape":             {wish: with(func(w *wish) { w.name = "night\x1b[2Jly" })},
		"a line break":          {wish: with(func(w *wish) { w.name = "night\nly" })},
		"a turned direction":    {wish: with(func(w *wish) { w.name = "night\u202ely" })},
		"a slash":               {wish: with(func(w *wish) { w.name = "night/ly" })},
		"characters, not bytes": {wish: with(func(w *wish) { w.name = strings.Repeat("ü", 100) })},
		"a long name":           {wish: with(func(w *wish) { w.name = strings.Repeat("ü", 101) })},
		"no cron line":          {wish: with(func(w *wish) { w.cron = "" })},
		"a bad cron line":       {wish: with(func(w *wish) { w.cron = "61 2 * * *" })},
		"a day that never is":   {wish: with(func(w *wish) { w.cron = "0 2 31 4 *" })},
		"a word":                {wish: with(func(w *wish) { w.cron = " @daily " })},
		"no zone":               {wish: with(func(w *wish) { w.zone = "" })},
		"a bad zone":            {wish: with(func(w *wish) { w.zone = "Europe/Atlantis" })},
		"this machine's zone":   {wish: with(func(w *wish) { w.zone = "Local" })},
		"spaces around a zone":  {wish: with(func(w *wish) { w.zone = " UTC " })},
		"no jitter":             {wish: with(func(w *wish) { w.jitter = 0 })},
		"a day of jitter":       {wish: with(func(w *wish) { w.jitter = 24 * time.Hour })},
		"more jitter":           {wish: with(func(w *wish) { w.jitter = 24*time.Hour + time.Minute })},
		"jitter below nothing":  {wish: with(func(w *wish) { w.jitter = -time.Minute })},
		"no group":              {wish: with(func(w *wish) { w.groups = nil })},
		"an unknown group":      {wish: with(func(w *wish) { w.groups = []string{"letters", "wine"} })},
		"a group twice":         {wish: with(func(w *wish) { w.groups = []string{"photos", "photos", "letters"} })},
		"no retry":              {wish: with(func(w *wish) { w.retry = 0 })},
		"too many retries":      {wish: with(func(w *wish) { w.retry = 21 })},
		"retries below nothing": {wish: with(func(w *wish) { w.retry = -1 })},
		"everything wrong":      {wish: wish{name: "..", cron: "x", zone: "y", jitter: 48 * time.Hour, groups: []string{"z"}, retry: 99}},
	} {
		t.Run(what, func(t *testing.T) {
			w := c.wish
			seconds, groups := int(w.jitter.Seconds()), w.groups
			in := schedule.Input{Cron: &w.cron, Zone: &w.zone, JitterSeconds: &seconds, SourceGroups: &groups, RetryMax: &w.retry}
			_, err := service.Add(t.Context(), "test", h.host, w.name, in)
			var want field.Errors
			if err != nil && !errors.As(err, &want) {
				t.Fatal(err)
			}
			rows := h.removeSchedules(t)
			if (len(rows) == 1) != (err == nil) {
				t.Fatalf("the service saved %v and answered %v", rows, err)
			}
			for door, ask := range doors {
				if door == c.not {
					continue
				}
				taken, said := ask(w)
				got := h.removeSchedules(t)
				if taken != (want == nil) || !slices.Equal(got, rows) {
					t.Errorf("%s: taken %t, saved %v; want %v, %v\n%.2000s", door, taken, got, rows, want, said)
				}
				for name, sentence := range want {
					if !strings.Contains(said, sentence) {
						t.Errorf("%s does not say of %s %q:\n%.2000s", door, name, sentence, said)
					}
				}
				if door == "the command line" && strings.Contains(said, "\x1b") {
					t.Errorf("%s says it raw: %q", door, said)
				}
			}
		})
	}
}

// removeSchedules removes all schedules of the host, and returns what they were.
func (h *house) removeSchedules(t *testing.T) (all []string) {
	t.Helper()
	rows, err := h.store.Schedules(t.Context(), h.host)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		all = append(all, fmt.Sprintf("%q %q %s %d %v %t %d", r.Name, r.Cron, r.Zone, r.JitterSeconds, r.Groups, r.Enabled, r.RetryMax))
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
	service := &schedule.Service{Store: h.store, Now: time.Now}
	if err := service.Remove(t.Context(), "test", h.host, name); err != nil {
		t.Errorf("it cannot be removed: %v", err)
	}
}

package web

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

func TestTheAPIKeepsAHostsSchedules(t *testing.T) {
	w := newWorld(t)
	c := w.program(store.Admin)
	attic := w.enrol("attic")
	attic.group("letters")
	all := "/api/hosts/" + string(attic.id) + "/schedules"
	if r := c.do("GET", all, nil); r.text != "[]\n" {
		t.Errorf("no schedules: %q", r.text)
	}
	put := func(body any) (m map[string]any) {
		t.Helper()
		r := c.do("PUT", all+"/every%20night", body)
		if r.StatusCode != 200 {
			t.Fatalf("%s: %s", r.Status, r.text)
		}
		r.json(t, &m)
		return m
	}
	first := put(`{"cron":"30 2 * * *","zone":"Europe/Berlin","source_groups":["letters"]}`)
	for name, want := range map[string]any{
		"name":           "every night",
		"host":           string(attic.id),
		"cron":           "30 2 * * *",
		"zone":           "Europe/Berlin",
		"jitter_seconds": 0.0,
		"enabled":        true,
		"retry_max":      3.0,
		"last_slot":      nil,
		"pending":        nil,
		"source_groups":  []any{"letters"},
	} {
		if fmt.Sprint(first[name]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, first[name], want)
		}
	}
	if next, err := time.Parse(time.RFC3339, fmt.Sprint(first["next"])); err != nil || next.Before(time.Now()) ||
		next.After(time.Now().Add(25*time.Hour)) || next.Location() != time.UTC {
		t.Errorf("next is %v", first["next"])
	}
	// What is not said stays.
	second := put(`{"enabled":false,"retry_max":1,"jitter_seconds":600}`)
	if second["id"] != first["id"] || second["cron"] != "30 2 * * *" || second["zone"] != "Europe/Berlin" ||
		fmt.Sprint(second["source_groups"]) != "[letters]" || second["next"] != nil {
		t.Errorf("after a change: %v", second)
	}
	third := put(`{"jitter_seconds":0,"enabled":true}`)
	if third["retry_max"] != 1.0 {
		t.Errorf("after another: %v", third)
	}
	if r := c.do("GET", all+"/every%20night", nil); !strings.Contains(r.text, first["id"].(string)) || r.StatusCode != 200 {
		t.Errorf("one: %s %s", r.Status, r.text)
	}
	var rows []map[string]any
	if c.do("GET", all, nil).json(t, &rows); len(rows) != 1 || rows[0]["id"] != first["id"] {
		t.Errorf("all: %v", rows)
	}
	for path, status := range map[string]int{
		"/nothing":                  404,
		"/nothing/next":             404,
		"/every%20night/next?n=0":   422,
		"/every%20night/next?n=x":   422,
		"/every%20night/next?n=101": 422,
	} {
		if r := c.do("GET", all+path, nil); r.StatusCode != status {
			t.Errorf("%s: %s, want %d", path, r.Status, status)
		}
	}
	for want, status := range []int{204, 404} {
		if r := c.do("DELETE", all+"/every%20night", nil); r.StatusCode != status {
			t.Errorf("delete, time %d: %s %s", want+1, r.Status, r.text)
		}
	}
	if r := c.do("GET", all, nil); r.text != "[]\n" {
		t.Errorf("after it was removed: %q", r.text)
	}
}

func TestNextRunsAreToldInUTC(t *testing.T) {
	w := newWorld(t)
	c := w.program(store.Viewer)
	attic := w.enrol("attic")
	g := attic.group("letters")
	row, err := w.store.PutSchedule(t.Context(), "test", attic.id, "nightly", "nightly-0001", func(sc *store.Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.JitterSeconds, sc.Groups = "@hourly", "Asia/Kolkata", true, 1800, []topics.SourceGroupID{g.ID}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Next []time.Time }
	c.do("GET", "/api/hosts/"+string(attic.id)+"/schedules/nightly/next?n=3", nil).json(t, &got)
	p := must(schedule.Of(row))
	slot := time.UnixMilli(row.Since)
	var want []time.Time
	for range 3 {
		slot = slots.Next(p, slot)
		want = append(want, p.Start(slot))
	}
	if !slices.EqualFunc(got.Next, want, time.Time.Equal) || slot.Minute() != 30 || got.Next[0].Location() != time.UTC {
		t.Errorf("next %v, want %v", got.Next, want)
	}
	got.Next = nil
	if c.do("GET", "/api/hosts/"+string(attic.id)+"/schedules/nightly/next", nil).json(t, &got); len(got.Next) != 5 {
		t.Errorf("%d without n, want 5", len(got.Next))
	}
}

func TestAScheduleThatDoesNotFitIsRefusedWithWhatWould(t *testing.T) {
	w := newWorld(t)
	c := w.program(store.Admin)
	attic := w.enrol("attic")
	attic.group("letters")
	other := w.enrol("cellar")
	other.group("wine")
	at := "/api/hosts/" + string(attic.id) + "/schedules/"
	for _, k := range []struct {
		name, path, body string
		status           int
		says             []string
	}{
		{"a bad cron line", at + "x", `{"cron":"61 2 * * *","zone":"UTC","source_groups":["letters"]}`, 422, []string{"cron", "five fields"}},
		{"no cron line", at + "x", `{"zone":"UTC","source_groups":["letters"]}`, 422, []string{"cron", "five fields"}},
		{"six fields", at + "x", `{"cron":"0 0 2 * * *","source_groups":["letters"]}`, 422, []string{"cron"}},
		{"never", at + "x", `{"cron":"0 2 31 4 *","source_groups":["letters"]}`, 422, []string{"cron", "never"}},
		{"a bad zone", at + "x", `{"cron":"@daily","zone":"Europe/Atlantis","source_groups":["letters"]}`, 422,
			[]string{"zone", "Europe/Berlin"}},
		{"an empty zone", at + "x", `{"cron":"@daily","zone":"","source_groups":["letters"]}`, 422, []string{"zone"}},
		{"an unknown group", at + "x", `{"cron":"@daily","source_groups":["letters","photos"]}`, 422,
			[]string{"source_groups", "photos", `"letters"`}},
		{"another host's group", at + "x", `{"cron":"@daily","source_groups":["wine"]}`, 422, []string{"source_groups"}},
		{"no group", at + "x", `{"cron":"@daily","source_groups":[]}`, 422, []string{"source_groups"}},
		{"no groups said", at + "x", `{"cron":"@daily"}`, 422, []string{"source_groups"}},
		{"jitter below nothing", at + "x", `{"cron":"@daily","source_groups":["letters"],"jitter_seconds":-1}`, 422, []string{"jitter_seconds"}},
		{"too many tries", at + "x", `{"cron":"@daily","source_groups":["letters"],"retry_max":21}`, 422, []string{"retry_max"}},
		{"an unknown field", at + "x", `{"cron":"@daily","source_groups":["letters"],"command":"rm"}`, 422, []string{"command"}},
		{"a name too long", at + strings.Repeat("x", 101), `{"cron":"@daily","source_groups":["letters"]}`, 422, []string{"100"}},
		{"an unknown host", "/api/hosts/nobody-0001/schedules/x", `{"cron":"@daily","source_groups":["letters"]}`, 404, nil},
	} {
		r := c.do("PUT", k.path, k.body)
		var p topics.Problem
		r.json(t, &p)
		if r.StatusCode != k.status || p.Title == "" || r.Header.Get("Content-Type") != "application/problem+json" ||
			slices.ContainsFunc(k.says, func(s string) bool { return !strings.Contains(p.Detail, s) }) {
			t.Errorf("%s: %s %s; want %d, naming %q", k.name, r.Status, r.text, k.status, k.says)
		}
	}
	if rows := must(w.store.Schedules(t.Context(), "")); len(rows) != 0 {
		t.Errorf("something was saved: %+v", rows)
	}
}

// A host's copy is in force only once the host says so of the schedule as it is
// here: not while what changed has no revision yet, nor before the host has it.
func TestTheScheduleListFollowsEachHostsCopy(t *testing.T) {
	w := newWorld(t, func(c *base.Config) { c.Timing.Beat = time.Hour }) // or it would look by itself
	person := w.person(store.Viewer)
	c := w.program(store.Admin)
	attic := w.enrol("attic")
	attic.group("letters")
	attic.connect()
	attic.say(topics.Event{Configured: &topics.Configured{}}) // it can fire, and goes by nothing yet
	attic.heardOut()
	page := person.do("GET", "/schedules", nil)
	if page.StatusCode != 200 || !strings.Contains(page.text, "Nothing is scheduled") {
		t.Fatalf("the page: %s", page.Status)
	}
	f, second := person.feed(streamOf(page.text)), person.feed(streamOf(page.text))
	at := "/api/hosts/" + string(attic.id) + "/schedules/nightly"
	current := func(text string) bool { return strings.Contains(text, `"current":true`) }
	confirm := func() (revision int64) {
		t.Helper()
		await(t, "a revision that has the schedule", func() error {
			moved := must(w.store.Moved(t.Context(), must(w.store.SourceGroups(t.Context(), attic.id))))
			if slices.ContainsFunc(must(w.store.Schedules(t.Context(), attic.id)), moved) {
				return errors.New("it is not considered yet")
			}
			return nil
		})
		if r := c.do("GET", at, nil); current(r.text) {
			t.Errorf("before the host said so: %s", r.text)
		}
		h := must(w.store.Host(t.Context(), attic.id))
		attic.say(topics.Event{Configured: &topics.Configured{Revision: h.ConfigRevision, Digest: h.ConfigDigest}})
		return h.ConfigRevision
	}
	if r := c.do("PUT", at, `{"cron":"30 2 * * *","source_groups":["letters"]}`); r.StatusCode != 200 || current(r.text) {
		t.Fatalf("a new one: %s %s", r.Status, r.text)
	}
	// Until its revision is made it has just been changed; a slow page sees only what follows.
	m := f.until("nightly")
	if !strings.Contains(m.data, `hx-target="#schedules"`) || strings.Contains(m.data, "/enabled") {
		t.Errorf("a viewer is shown the new one as %s", m.data)
	}
	if !strings.Contains(m.data, "The host has none yet") {
		if !strings.Contains(m.data, "Changed just now") {
			t.Errorf("its copy is said to be something else: %s", m.data)
		}
		f.until("The host has none yet")
	}
	first := confirm()
	m = f.until(fmt.Sprintf("Revision %d\"", first))
	second.until(fmt.Sprintf("Revision %d\"", first))
	if strings.Contains(m.data, `hx-target="#schedules"`) {
		t.Error("for a row the whole list was sent")
	}
	if r := c.do("GET", at, nil); !current(r.text) {
		t.Errorf("in force: %s", r.text)
	}
	if r := c.do("PUT", at, `{"cron":"0 4 * * *"}`); current(r.text) {
		t.Errorf("changed: %s", r.text)
	}
	f.until("0 4 * * *")
	later := confirm()
	if later <= first {
		t.Errorf("revision %d after %d", later, first)
	}
	f.until(fmt.Sprintf("Revision %d\"", later))
	second.until(fmt.Sprintf("Revision %d\"", later))
	// What a schedule backs up is part of it.
	g := must(w.store.SourceGroups(t.Context(), attic.id))[0]
	g.Paths = store.List{"/letters", "/photos"}
	if _, err := w.store.PutSourceGroup(t.Context(), "test", g); err != nil {
		t.Fatal(err)
	}
	if r := c.do("GET", at, nil); current(r.text) {
		t.Errorf("with another source group: %s", r.text)
	}
	last := confirm()
	f.until(fmt.Sprintf("Revision %d\"", last))
	// A change that comes to nothing for the host is considered, too.
	c.do("PUT", at, `{"retry_max":7}`)
	await(t, "it to be considered", func() error {
		if r := c.do("GET", at, nil); !current(r.text) {
			return errors.New(r.text)
		}
		return nil
	})
	if h := must(w.store.Host(t.Context(), attic.id)); h.ConfigRevision != last {
		t.Errorf("it has the host sent revision %d, after %d", h.ConfigRevision, last)
	}
	c.do("DELETE", at, nil)
	f.until("Nothing is scheduled")
}

func TestAScheduleSaysWhatBecomesOfItsSnapshots(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	letters, photos := attic.group("letters"), attic.group("photos")
	for id, keep := range map[topics.RepositoryID]string{letters.Repository: "14d", photos.Repository: "60d"} {
		if r := w.program(store.Admin).do("PUT", "/api/repositories/"+string(id),
			`{"retention":{"keep_within":"`+keep+`"}}`); r.StatusCode != 200 {
			t.Fatalf("rules: %s %s", r.Status, r.text)
		}
	}
	admin := w.person(store.Admin)
	at := "/hosts/" + string(attic.id) + "/schedules/"
	edit := func(g store.SourceGroup) string {
		return `href="` + views.RepositoryURL(string(g.Repository)) + `/edit"`
	}
	admin.shows(at+"new", "Keeps everything within 14d", "Keeps everything within 60d", edit(letters), edit(photos))
	if r := w.program(store.Admin).do("PUT", "/api"+at+"nightly", `{"cron":"30 2 * * *","source_groups":["letters"]}`); r.StatusCode != 200 {
		t.Fatalf("a schedule: %s %s", r.Status, r.text)
	}
	if text := admin.shows(at+"nightly/edit", "Keeps everything within 14d", edit(letters)); strings.Contains(text, "within 60d") {
		t.Error("it tells of a repository that it has nothing to do with")
	}
}

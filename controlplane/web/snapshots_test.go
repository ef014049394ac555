package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// lists answers a listing that is asked of the host with what is there.
func (a *agent) lists(repository topics.RepositoryID, there ...topics.Snapshot) {
	a.w.t.Helper()
	j, _, err := a.w.engine.Ask(a.w.t.Context(), "test", a.id, topics.SnapshotsJob, repository, topics.Operation{})
	if err != nil {
		a.w.t.Fatal(err)
	}
	a.ran(j.ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: len(there)}}, topics.Report{Snapshots: there})
}

func TestARepositorysSnapshotsByPage(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	if r := w.program(store.Admin).do("PUT", "/api/repositories/"+string(g.Repository),
		`{"retention":{"keep_within":"30d"}}`); r.StatusCode != 200 {
		t.Fatalf("rules: %s %s", r.Status, r.text)
	}
	now := time.Now()
	old := topics.Snapshot{
		ID:    strings.Repeat("a", 64),
		Time:  now.AddDate(0, -3, 0).UnixMilli(),
		Host:  "host",
		Paths: []string{"/letters"},
		Tags:  []string{"plan=" + string(g.ID)},
	}
	young := topics.Snapshot{
		ID:    strings.Repeat("b", 64),
		Time:  now.UnixMilli(),
		Host:  "host",
		Paths: []string{"/letters"},
		Tags:  []string{"plan=" + string(g.ID), "by-hand"},
	}
	foreign := topics.Snapshot{
		ID:    strings.Repeat("c", 64),
		Time:  now.AddDate(0, 0, -40).UnixMilli(),
		Host:  "laptop",
		Paths: []string{"/home/anna"},
	}
	for _, n := range []topics.Snapshot{old, young} {
		attic.ran(w.backup(attic), topics.Finished{
			State:           topics.Succeeded,
			RepositoryReady: true,
			Snapshot:        &n,
			Summary:         &topics.Summary{TotalFiles: 1204, TotalBytes: 18 << 30, DataAdded: 402 << 20},
		})
	}
	attic.ran(w.backup(attic), topics.Finished{State: topics.Failed, Cause: topics.CausePassword})
	attic.lists(g.Repository, old, young, foreign)

	page := "/repositories/" + string(g.Repository)
	admin := w.person(store.Admin)
	all := admin.shows(page, "aaaaaaaa", "bbbbbbbb", "cccccccc", "18.0 GiB", "402 MiB", "within 30d", "flagged, kept", "not a job of ours",
		`<span class="tag">by-hand</span>`,
		"Not ours</option>", "Snapshots of ours kept by the day they were taken, over the last year: 2 of 2 days.", "1 kept, 1 run failed")
	if strings.Contains(all, ">plan=") {
		t.Error("our own mark is shown as a tag")
	}
	for query, want := range map[string]string{
		"q=bbbb":                   "b",
		"q=ANNA":                   "c",
		"q=by-h":                   "b",
		"host=" + string(attic.id): "ab",
		"host=foreign":             "c",
		"host=foreign&q=letters":   "",
		"q=no such":                "",
		"period=30d":               "abc",
		"period=x":                 "abc",
		"host=nobody":              "abc",
	} {
		text := admin.shows(page + "?" + strings.ReplaceAll(query, " ", "+"))
		for _, n := range []topics.Snapshot{old, young, foreign} {
			if has := strings.Contains(text, `id="`+views.ElementID("snapshot", n.ID)+`"`); has != strings.Contains(want, n.ID[:1]) {
				t.Errorf("%s: %s is shown: %t", query, n.ID[:8], has)
			}
		}
		if (want == "") != strings.Contains(text, "No snapshot matches") {
			t.Errorf("%s: the list says nothing of finding nothing", query)
		}
	}

	// A stream draws what its page shows.
	feed := admin.feed(streamOf(admin.shows(page + "?q=anna&period=90d")))
	row := func(n topics.Snapshot) string { return views.ElementID("snapshot", n.ID) }
	if m := feed.until("snapshot-list"); strings.Contains(m.data, row(old)) || !strings.Contains(m.data, row(foreign)) {
		t.Error("the stream of a narrowed list draws another")
	}

	// From a row to what can be done with it.
	operations := "/hosts/" + string(attic.id) + "/operations?snapshot=" + url.QueryEscape(string(g.Repository)+"/"+old.ID)
	if !strings.Contains(all, strings.ReplaceAll(operations, "&", "&amp;")+"#diff") ||
		!strings.Contains(all, strings.ReplaceAll(views.RestoreNewURL(string(g.Repository), old.ID, "", ""), "&", "&amp;")) {
		t.Error("no way from a snapshot to its restore")
	}
	chosen := `value="` + string(g.Repository) + "/" + old.ID + `" selected`
	if text := admin.shows(operations); strings.Count(text, chosen) != 2 {
		t.Errorf("it is chosen %d times, want for the restore and to compare from", strings.Count(text, chosen))
	}
	if text := admin.shows("/hosts/" + string(attic.id) + "/operations?snapshot=nowhere/0123"); strings.Contains(text, "selected") {
		t.Error("something was chosen for a snapshot that is not there")
	}
	if text := admin.shows(page + "?forget=aaaaaaaa"); !strings.Contains(text, ">aaaaaaaa</textarea>") {
		t.Error("the form to forget is empty")
	}
	v := views.Repository{Retention: views.Retention{Remove: []views.RetentionRow{{ID: old.ID}}}}
	if rows := must(w.web.repos.SnapshotRows(t.Context(), &v, []store.Snapshot{
		{ID: old.ID, Job: "j"},
		{ID: young.ID, Job: "j"},
	}, nil, nil)); !rows[0].Goes || rows[1].Goes {
		t.Errorf("what the next forget removes is shown as %+v", rows)
	}
	if text := w.person(store.Viewer).shows(page); strings.Contains(text, "#restore") || strings.Contains(text, "?forget=") {
		t.Error("a viewer is offered what a viewer may not do")
	}
}

// A day begins at 18:30 UTC in India.
func TestTheCalendarHasTheDaysOfTheZoneThatIsShown(t *testing.T) {
	kolkata := must(time.LoadLocation("Asia/Kolkata"))
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	now := w.web.Now().In(kolkata)
	for i, minute := range []int{-15, 15} { // from yesterday's midnight
		at := time.Date(now.Year(), now.Month(), now.Day()-1, 0, minute, 0, 0, kolkata)
		attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true,
			Snapshot: &topics.Snapshot{ID: strings.Repeat(string(rune('a'+i)), 64), Time: at.UnixMilli(), Host: "host"}})
	}
	c := must(w.web.repos.Calendar(words.WithZone(t.Context(), kolkata), g.Repository))
	for back, want := range []string{"", "1 kept", "1 kept", ""} {
		if d := c.Days[len(c.Days)-1-back]; !strings.HasSuffix(d.Title, want) || (want == "") != (d.Title == "") {
			t.Errorf("%d days ago: %q, want %q", back, d.Title, want)
		}
	}
}

func TestPrunesAreMarkedWhereTheyFreedSpace(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	for _, dry := range []bool{true, false} {
		j, _, err := w.engine.Ask(t.Context(), "test", attic.id, topics.PruneJob, g.Repository, topics.Operation{DryRun: dry})
		if err != nil {
			t.Fatal(err)
		}
		attic.ran(j.ID, topics.Finished{State: topics.Succeeded})
	}
	now := time.Now()
	days := []store.Day{
		{Day: now.AddDate(0, 0, -80).UnixMilli() / 86400000, StoredBytes: 5},
		{Day: now.AddDate(0, 0, -20).UnixMilli() / 86400000, StoredBytes: 7},
		{Day: now.AddDate(0, 0, 1).UnixMilli() / 86400000, StoredBytes: 9},
	}
	for period, want := range map[string]int{"30d": 2, "90d": 3, "": 3} {
		c := must(w.web.repos.SizeChart(t.Context(), g.Repository, days, period))
		if len(c.Rows) != want || len(c.Events) != 1 || c.Events[0].Text != "prune" {
			t.Errorf("period %q: %d days and the marks %v, want %d and the one that was no dry run", period, len(c.Rows), c.Events, want)
		}
	}
}

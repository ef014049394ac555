package web

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestMissingSnapshotsAreAcknowledgedAsTheyWereShown loses two of three snapshots, then
// the third while a page is open.
func TestMissingSnapshotsAreAcknowledgedAsTheyWereShown(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	var made []topics.Snapshot
	for _, c := range []string{"a", "b", "c"} {
		n := topics.Snapshot{ID: strings.Repeat(c, 64), Time: time.Now().UnixMilli(), Host: "host", Paths: []string{"/letters"},
			Tags: []string{"plan=" + string(g.ID)}}
		attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &n,
			Summary: &topics.Summary{TotalFiles: 7, TotalBytes: 700}})
		made = append(made, n)
	}
	admin, operator, program := w.person(store.Admin), w.person(store.Operator), w.program(store.Admin)
	page := "/repositories/" + string(g.Repository)
	list := func(left ...topics.Snapshot) {
		t.Helper()
		r := operator.do("POST", page+"/run", url.Values{"kind": {"snapshots"}, "host": {string(attic.id)}})
		id, ok := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
		if !ok {
			t.Fatalf("list: %s %s", r.Status, r.text)
		}
		attic.ran(topics.JobID(id), topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: len(left)}},
			topics.Report{Part: 1, Snapshots: left})
	}
	if r := program.do("GET", "/api"+page+"/missing", nil); r.StatusCode != 200 || strings.TrimSpace(r.text) != "[]" {
		t.Errorf("nothing is missing: %s %s", r.Status, r.text)
	}
	list(made[0])
	text := admin.shows(page, "Missing snapshots", "bbbbbbbb", "cccccccc", "I know that 2 snapshots are gone")
	until := regexp.MustCompile(`name="until" value="(\d+)"`).FindStringSubmatch(text)
	if until == nil {
		t.Fatal("the page does not say until when")
	}
	list()
	if r := operator.do("POST", page+"/missing/acknowledge", url.Values{"until": {until[1]}}); r.StatusCode != 403 {
		t.Errorf("an operator: %s", r.Status)
	}
	if r := admin.do("POST", page+"/missing/acknowledge", url.Values{"until": {until[1]}}); r.StatusCode != 303 {
		t.Errorf("acknowledge: %s %s", r.Status, r.text)
	}
	admin.shows(page, "I know that 1 snapshot is gone")
	for body, want := range map[string]int{
		`{}`:                             422,
		`{"snapshots":[]}`:               422,
		`{"snapshots":["dddd"]}`:         422, // nobody's
		`{"snapshots":[""]}`:             422,
		`{"all":true,"snapshots":["a"]}`: 422,
		`{"snapshots":["b"],"until":"2026-01-01T00:00:00Z"}`: 422,
		`{"all":true,"until":"2026-01-01T00:00:00Z"}`:        200, // nothing was missing then
	} {
		if r := program.do("POST", "/api"+page+"/missing/acknowledge", body); r.StatusCode != want ||
			want == 200 && !strings.Contains(r.text, `"acknowledged":0`) {
			t.Errorf("%s: %s %s, want %d", body, r.Status, r.text, want)
		}
	}
	admin.shows(page, "I know that 1 snapshot is gone")
	if r := program.do("POST", "/api"+page+"/missing/acknowledge", `{"snapshots":["AAAA"]}`); r.StatusCode != 200 ||
		!strings.Contains(r.text, `"acknowledged":1`) {
		t.Errorf("by the beginning of its ID: %s %s", r.Status, r.text)
	}
	if r := program.do("POST", "/api"+page+"/missing/acknowledge", nil); r.StatusCode != 200 || !strings.Contains(r.text, `"acknowledged":0`) {
		t.Errorf("all that are left, without a body: %s %s", r.Status, r.text)
	}
	if text := admin.shows(page, "Missing snapshots"); strings.Contains(text, "I know that") {
		t.Error("the page asks to acknowledge what is acknowledged")
	}
	list(made...)
	if r := program.do("GET", "/api"+page+"/missing", nil); strings.TrimSpace(r.text) != "[]" {
		t.Errorf("all are back: %s", r.text)
	}
}

package web

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestASnapshotThatIsGoneIsRefusedWithItsNeighbours loses the middle one of three, and
// sees another replaced.
func TestASnapshotThatIsGoneIsRefusedWithItsNeighbours(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	now := time.Now()
	made := map[string]topics.Snapshot{}
	snapshot := func(c string, group topics.SourceGroupID, ago time.Duration) topics.Snapshot {
		made[c] = topics.Snapshot{ID: strings.Repeat(c, 64), Time: now.Add(-ago).UnixMilli(), Host: "host", Paths: []string{"/letters"},
			Tags: []string{"plan=" + string(group)}}
		return made[c]
	}
	for _, n := range []topics.Snapshot{snapshot("a", g.ID, 4*time.Hour), snapshot("b", g.ID, 3*time.Hour), snapshot("c", g.ID, 2*time.Hour)} {
		attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &n,
			Summary: &topics.Summary{TotalFiles: 7, TotalBytes: 700}})
	}
	// One that is of no group is nearer, and is no answer.
	near := snapshot("d", "of-nobody", 3*time.Hour-time.Second)
	restorer, program := w.person(store.Restorer), w.program(store.Restorer)
	page := "/repositories/" + string(g.Repository)
	list := func(left ...topics.Snapshot) {
		t.Helper()
		r := restorer.do("POST", page+"/run", url.Values{"kind": {"snapshots"}, "host": {string(attic.id)}})
		id, ok := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
		if !ok {
			t.Fatalf("list: %s %s", r.Status, r.text)
		}
		attic.ran(topics.JobID(id), topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: len(left)}},
			topics.Report{Part: 1, Snapshots: left})
	}
	ask := func(kind string, body map[string]any) (int, topics.Problem, string) {
		t.Helper()
		body["kind"], body["repository"] = kind, g.Repository
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r := program.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", string(b))
		var p topics.Problem
		var job struct{ ID topics.JobID }
		if _ = json.Unmarshal([]byte(r.text), &p); r.StatusCode < 300 && json.Unmarshal([]byte(r.text), &job) == nil {
			attic.ran(job.ID, topics.Finished{State: topics.Failed, Cause: topics.CauseUnknown})
		}
		return r.StatusCode, p, r.text
	}
	restore := func(id string) map[string]any { return map[string]any{"snapshot": id, "target": "/back"} }

	list(made["a"], made["b"], made["c"], near)
	if status, _, text := ask("restore", restore(made["b"].ID)); status >= 300 {
		t.Fatalf("while it is there: %d %s", status, text)
	}
	list(made["a"], made["c"], near)
	for _, body := range []map[string]any{restore(made["b"].ID), restore(made["b"].ID[:8])} {
		status, p, text := ask("restore", body)
		if status != 410 || len(p.Snapshots) != 2 || p.Snapshots[0] != made["a"].ID || p.Snapshots[1] != made["c"].ID {
			t.Errorf("%v: %d %s", body, status, text)
		}
		if !strings.Contains(p.Detail, "aaaaaaaa") || !strings.Contains(p.Detail, "cccccccc") || strings.Contains(p.Detail, "dddddddd") {
			t.Errorf("%v: %s", body, p.Detail)
		}
	}
	for _, body := range []map[string]any{{"from": made["a"].ID, "to": made["b"].ID}, {"from": made["b"].ID, "to": made["c"].ID}} {
		if status, p, text := ask("diff", body); status != 410 || len(p.Snapshots) != 2 {
			t.Errorf("diff %v: %d %s", body, status, text)
		}
	}
	if status, _, text := ask("diff", map[string]any{"from": made["a"].ID, "to": made["c"].ID}); status >= 300 {
		t.Errorf("diff of two that are there: %d %s", status, text)
	}
	if status, _, text := ask("restore", restore(strings.Repeat("f", 64))); status >= 300 { // nobody knows that it is not there
		t.Errorf("an unknown one: %d %s", status, text)
	}
	run := "/hosts/" + string(attic.id) + "/run/restore"
	r := restorer.do("POST", run, url.Values{"snapshot": {string(g.Repository) + "/" + made["b"].ID}, "target": {"/back"}})
	link := "/hosts/" + string(attic.id) + "/operations?snapshot=" + url.QueryEscape(string(g.Repository)+"/"+made["a"].ID)
	if r.StatusCode != 410 || !strings.Contains(r.text, link) || !strings.Contains(r.text, "This snapshot is gone") {
		t.Errorf("the page: %s, want a link to %s\n%.3000s", r.Status, link, r.text)
	}
	gone := "/hosts/" + string(attic.id) + "/operations?snapshot=" + url.QueryEscape(string(g.Repository)+"/"+made["b"].ID)
	restorer.shows(gone, "This snapshot is gone", "nearest before it", link)

	// The one that took its place comes first.
	again := topics.Snapshot{ID: strings.Repeat("e", 64), Time: made["b"].Time, Host: "host", Paths: []string{"/letters"},
		Tags: made["b"].Tags, Original: made["b"].ID}
	list(made["a"], made["c"], near, again)
	if status, p, text := ask("restore", restore(made["b"].ID)); status != 410 || len(p.Snapshots) == 0 || p.Snapshots[0] != again.ID ||
		!strings.Contains(p.Detail, "was made of it") {
		t.Errorf("replaced: %d %s", status, text)
	}
	list()
	if status, p, text := ask("restore", restore(made["b"].ID)); status != 410 || len(p.Snapshots) != 0 ||
		!strings.Contains(p.Detail, "listed") {
		t.Errorf("all are gone: %d %s", status, text)
	}
}

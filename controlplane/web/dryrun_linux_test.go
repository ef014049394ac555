package web

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A dry run that was asked for by the API, and is of no draft, leads on to its restore: one
// button, with the host's name where the API wants it, and none when it counts no longer.
func TestADryRunOfNoDraftLeadsOnToItsRestore(t *testing.T) {
	w, h, g, _, ids := wizard(t)
	c := w.person(store.Admin)
	saw := topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Restore: &topics.Restored{Matched: 2, Restored: 2,
		Files: 2, Bytes: 2048, Digest: strings.Repeat("d", 64)}}}
	dryRun := func(target string) topics.JobID {
		r := w.program(store.Admin).do("POST", "/api/hosts/"+string(h.id)+"/jobs", map[string]any{"kind": "restore",
			"repository": g.Repository, "items": []any{map[string]any{"snapshot": ids[0], "paths": []string{"/letters"}}}, "target": target,
			"dry_run": true})
		var made struct{ ID topics.JobID }
		if r.json(t, &made); made.ID == "" {
			t.Fatalf("%s: %s", r.Status, r.text)
		}
		h.ran(made.ID, saw, topics.Report{Planned: []topics.Planned{{Action: "new", Path: "/srv/back/letters/x", Size: 2048}}})
		return made.ID
	}
	for _, target := range []string{"/srv/back", "/", ""} { // the last has a new folder of its own
		dry := dryRun(target)
		page := "/jobs/" + string(dry)
		text := c.shows(page, "Restore 2 files, 2.00 KiB", `name="write"`)
		if strings.Contains(text, `name="confirm"`) != (target == "/") || strings.Count(text, "btn-primary") != 1 {
			t.Errorf("to %q: the wrong button:\n%s", target, text)
		}
		if text := w.person(store.Viewer).shows(page); strings.Contains(text, `name="write"`) {
			t.Error("a viewer is offered the restore")
		}
		form := url.Values{"write": {"1"}}
		if target == "/" {
			if r := c.do("POST", page+"/again", form); r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "attic") {
				t.Errorf("without the host's name: %s", r.Status)
			}
			form.Set("confirm", "attic")
		}
		r := c.do("POST", page+"/again", form)
		job, found := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
		if !found || job == string(dry) {
			t.Fatalf("to %q: %s\n%s", target, r.Status, r.text)
		}
		tried, o := must(w.store.Job(t.Context(), dry)).Operation.V, must(w.store.Job(t.Context(), topics.JobID(job))).Operation.V
		if o.DryRun || o.Preview == nil || o.Preview.Job != dry || o.Preview.Digest != strings.Repeat("d", 64) || len(o.Paths) != 1 ||
			o.Target != tried.Target || o.Fresh != (target == "") {
			t.Errorf("to %q: asked for %+v", target, o)
		}
		h.ran(topics.JobID(job), topics.Finished{State: topics.Succeeded, Result: &topics.Result{Restore: &topics.Restored{Matched: 2}}})
	}
	dry := dryRun("/srv/other")
	db := beside(t, filepath.Dir(t.TempDir()), "immediate")
	defer db.Close()
	if _, err := db.Exec(`UPDATE jobs SET finished_at = finished_at - 90000000 WHERE id = $1`, dry); err != nil {
		t.Fatal(err)
	}
	if text := c.shows("/jobs/"+string(dry), "No restore goes by it any more", "older than a day"); strings.Contains(text, `name="write"`) {
		t.Error("a dry run of yesterday leads on")
	}
}

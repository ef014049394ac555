package e2e

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/world"
)

// imported is what POST /api/repositories/import answers with.
type imported struct {
	Repository string   `json:"repository"`
	ListedAt   *string  `json:"listed_at"`
	Jobs       []string `json:"jobs"`
	Waits      string   `json:"waits"`
	Import     string   `json:"import"`
	Proposals  []struct {
		Key         string   `json:"key"`
		Hostname    string   `json:"hostname"`
		Paths       []string `json:"paths"`
		Snapshots   int      `json:"snapshots"`
		SourceGroup string   `json:"source_group"`
		Why         string   `json:"why"`
	} `json:"proposals"`
	Result *struct {
		Snapshots int `json:"snapshots"`
		Go        int `json:"go"`
	} `json:"result"`
}

// TestARepositoryOfBareResticIsTakenIn: somebody has used restic by cron for months, for two
// machines. One is a host now; its snapshots count once they are confirmed by page, one of
// them is restored, and undone, they are nobody's again. Nothing of the repository changes.
func TestARepositoryOfBareResticIsTakenIn(t *testing.T) {
	w := NewWorld(t)
	rest := NewRestServer(t)
	b := NewBrowser(t, w.HTTP)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	if err := resticrepo.Make(filepath.Join(rest.Dir, "old"), password); err != nil {
		t.Fatal(err)
	}
	old := Repository{URL: "rest:http://keeper:" + maintenanceSecret + "@" + rest.Full + "/old/", Password: password}
	ago := func(d time.Duration) string { return time.Now().Add(-d).Format(time.DateTime) }
	attic.Bare(old, "backup", "--host", "attic", "--time", ago(60*24*time.Hour), attic.Home)
	attic.Bare(old, "backup", "--host", "ATTIC", "--time", ago(59*24*time.Hour), attic.Home)
	attic.Bare(old, "backup", "--host", "attic", "--tag", "nightly", "--time", ago(2*time.Hour), attic.Home)
	attic.Bare(old, "backup", "--host", "ghost", attic.Home)
	was := attic.Bare(old, "snapshots")

	// A repository that is said to be there is never made.
	register := func(name, path string) (r imported) {
		w.API("POST", "/api/repositories/import", map[string]any{"name": name, "url": "rest:http://" + rest.Full + path, "password": password,
			"keeper": "attic", "everyday": map[string]any{"username": "keeper", "password": maintenanceSecret}}, http.StatusOK, &r)
		return r
	}
	none := register("typo", "/odl/")
	for _, id := range none.Jobs {
		if j := w.AwaitState(id, "failed"); j.Cause != "repository-missing" {
			t.Errorf("where there is none, job %+v", j)
		}
	}
	if _, err := os.Stat(filepath.Join(rest.Dir, "odl")); err == nil {
		t.Error("it was made")
	}
	r := register("cron", "/old/")
	if len(r.Jobs) == 0 || r.ListedAt != nil || len(r.Proposals) != 0 {
		t.Fatalf("registered it is %+v", r)
	}
	for _, id := range r.Jobs {
		w.AwaitState(id, "succeeded")
	}
	attic.PutGroup("home", r.Repository)
	look := func(more map[string]any, status int) (r2 imported) {
		t.Helper()
		body := map[string]any{"repository": "cron"}
		for k, v := range more {
			body[k] = v
		}
		if status == http.StatusOK {
			w.API("POST", "/api/repositories/import", body, status, &r2)
		} else {
			w.API("POST", "/api/repositories/import", body, status, nil)
		}
		return r2
	}
	said := map[string]int{}
	for _, p := range look(nil, http.StatusOK).Proposals {
		if p.SourceGroup != "" {
			said[p.Hostname] += p.Snapshots
		} else if p.Hostname != "ghost" || !strings.Contains(p.Why, "No host is called ghost") {
			t.Errorf("left as it is: %+v", p)
		}
	}
	if len(said) != 2 || said["attic"] != 2 || said["ATTIC"] != 1 {
		t.Errorf("proposed are %v", said)
	}
	look(map[string]any{"confirm": []any{map[string]any{"key": "none", "source_group": "none"}}}, http.StatusUnprocessableEntity)
	look(map[string]any{"name": "other"}, http.StatusUnprocessableEntity)
	if n := len(attic.Snapshots()); n != 0 {
		t.Fatalf("before anybody confirmed, the host has %d", n)
	}

	b.signIn(w)
	b.Open("/repositories/" + r.Repository)
	b.AwaitText("#snapshot-count", "4 foreign")
	b.Press("Take them in…")
	b.AwaitText("#import-rows", "No host is called ghost")
	b.Inspect("import")
	b.Press("Look what follows")
	b.AwaitText("#import-review", "has no rules, so nothing of this is ever forgotten")
	if n := len(attic.Snapshots()); n != 0 {
		t.Fatalf("before the last word, the host has %d", n)
	}
	b.Inspect("import-review")
	b.Press("Take in 3 snapshots")
	b.AwaitText("#imports-done", "of them exist")
	b.Inspect("imports-done")
	ids := attic.Snapshots()
	if len(ids) != 3 {
		t.Fatalf("the host has %v", ids)
	}
	type protected struct {
		Status    string  `json:"status"`
		Snapshots int     `json:"snapshots"`
		LastGood  *string `json:"last_good"`
	}
	state := func() protected {
		var hosts []protected
		w.API("GET", "/api/hosts", nil, http.StatusOK, &hosts)
		return hosts[0]
	}
	host := state()
	if host.Status != "unscheduled" || host.Snapshots != 3 || host.LastGood == nil {
		t.Errorf("the host is %+v: it has a backup of two hours ago, and no schedule", host)
	}
	target := filepath.Join(attic.Dir, "restored")
	dry := attic.AskRestore(map[string]any{"repository": r.Repository, "target": target, "dry_run": true,
		"items": []map[string]any{{"snapshot": ids[len(ids)-1], "paths": []string{attic.Home}}}})
	w.AwaitState(dry, "succeeded")
	w.AwaitState(attic.AskRestore(map[string]any{"repository": r.Repository, "target": target, "dry_run_job": dry,
		"items": []map[string]any{{"snapshot": ids[len(ids)-1], "paths": []string{attic.Home}}}}), "succeeded")
	var found []string
	if err := filepath.WalkDir(target, func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == "1.txt" {
			found = append(found, path)
		}
		return err
	}); err != nil || len(found) != 1 {
		t.Errorf("restored are %v, %v", found, err)
	}

	// What comes later is nobody's, also if it is alike.
	attic.Bare(old, "backup", "--host", "attic", attic.Home)
	attic.Ask(map[string]any{"kind": "snapshots", "repository": r.Repository})
	if now := attic.Snapshots(); !slices.Equal(now, ids) {
		t.Errorf("by itself, the host has %v", now)
	}
	b.Press("Undo")
	b.AwaitText("#imports-done", "undone by")
	if n := len(attic.Snapshots()); n != 0 {
		t.Errorf("after it was undone, the host has %d", n)
	}
	if host = state(); host.Status != "no-backup-yet" || host.Snapshots != 0 {
		t.Errorf("after it was undone, the host is %+v", host)
	}
	var entries []struct {
		Action string `json:"action"`
	}
	w.API("GET", "/api/audit?"+url.Values{"target": {r.Repository}}.Encode(), nil, http.StatusOK, &entries)
	for _, action := range []string{"repository.created", "snapshots.imported", "snapshots.import_undone"} {
		if !slices.ContainsFunc(entries, func(e struct {
			Action string `json:"action"`
		}) bool {
			return e.Action == action
		}) {
			t.Errorf("the audit log has no %s", action)
		}
	}
	if now := attic.Bare(old, "snapshots"); strings.Count(now, "\n") != strings.Count(was, "\n")+1 {
		t.Errorf("the repository holds\n%s\nand held\n%s", now, was)
	}
	w.MustStopCleanly()
}

// TestARepositoryThatHoldsSnapshotsIsTakenInFromItsTest: the test of the form finds what
// somebody made before, and leads to where that is taken in.
func TestARepositoryThatHoldsSnapshotsIsTakenInFromItsTest(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic", "--policy", "managed")
	attic.Write("letters/1.txt", "dear reader")
	place := filepath.Join(attic.Dir, "vault")
	if err := resticrepo.Make(place, password); err != nil {
		t.Fatal(err)
	}
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/repositories/new")
	b.set("#backend", "local")
	b.Fill("#place-local-path", place)
	b.Fill("#name", "vault")
	b.Fill("#password", password)
	b.set("#test_host", attic.ID)
	b.Click("#test")
	b.AwaitText("#trial", "It holds no snapshot.")
	attic.Bare(Repository{URL: place, Password: password}, "backup", "--host", "attic", attic.Home)
	b.Click("#test")
	b.AwaitText("#trial", "This repository holds snapshots already: register it and import them.")
	b.AwaitText("#trial", "with 1 snapshot")
	b.Inspect("repository-holds-snapshots")
	b.set("#keeper", attic.ID)
	b.Press("Save and take them in…")
	b.AwaitText("h1", "Take in what vault holds")
	var found imported
	world.Await(t, "the repository to be listed", func() error {
		if w.API("POST", "/api/repositories/import", map[string]any{"repository": "vault"}, http.StatusOK, &found); found.ListedAt == nil {
			return errors.New("it is not")
		}
		return nil
	})
	if len(found.Proposals) != 1 || found.Proposals[0].Snapshots != 1 {
		t.Errorf("proposed are %+v", found.Proposals)
	}
	b.Open(b.Path())
	b.AwaitText("#import-rows", "No source group of the host has these paths.")
	// Once it is saved, its test leads there as long as there is something to take in.
	b.Open("/repositories/" + found.Repository + "/edit")
	b.Click("#test")
	b.Press("Take in 1 snapshot that no job here made")
	b.AwaitText("h1", "Take in what vault holds")
	w.MustStopCleanly()
}

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// TestEveryPageIsForEverybody goes through the pages as somebody does who sets a
// small fleet up, and has each of them looked at, light and dark, at a desk and on
// a phone.
func TestEveryPageIsForEverybody(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	nas, attic := w.StartKeeper("nas"), w.StartAgent("attic", "--policy", "backup")
	b.signIn(w)

	// A repository with a keeper, by its form. A host whose policy does not let it
	// delete cannot be chosen.
	b.Open("/repositories")
	b.Inspect("repositories-empty")
	b.Press("Add repository")
	b.AwaitPath("/repositories/new")
	b.Inspect("repository-new")
	if !Eval[bool](b, `[...document.querySelectorAll("#keeper option")].find((o) => o.textContent.includes("attic")).disabled`) {
		t.Error("a host that may not delete can be chosen as keeper")
	}
	where := filepath.Join(w.Dir, "vault")
	b.Fill("#name", "vault")
	b.set("#backend", "local")
	b.Fill("#place-local-path", where)
	b.Fill("#password", password)
	b.set("#keeper", nas.ID)
	b.set("#keep_within", "30d")
	b.Press("Add repository")
	b.AwaitText("h1", "vault")
	b.Inspect("repository-bare")
	page := b.Path()
	vault := Repository{ID: filepath.Base(page), URL: where, Password: password}

	// A source group with a hook that the host permits, held back by day.
	script := filepath.Join(attic.Dir, "dump.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntrue\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if r := command(t, exec.Command(program("restic-manager-agent"), "policy", "allow-hook", "dump-letters", script, "--state",
		attic.State)); r.code != 0 {
		t.Fatalf("allow-hook: %s", r.errs)
	}
	attic.MustStop()
	attic.Start() // it says what it permits
	world.Await(t, "what the host permits to be known", func() error {
		var h struct{ Permits struct{ Hooks []string } }
		if w.API("GET", "/api/hosts/"+attic.ID+"/identity", nil, http.StatusOK, &h); len(h.Permits.Hooks) == 0 {
			return errors.New("no hook is")
		}
		return nil
	})
	attic.Write("letters/1.txt", "dear reader")
	attic.Write("letters/2.txt", "dear editor")
	b.Open("/hosts/" + attic.ID + "/source-groups/new")
	b.AwaitText("table", "dump-letters")
	b.Fill("#name", "letters")
	b.Fill("#paths", attic.Home)
	b.Fill("#upload_kib", "2048")
	b.set("#limits_from", "08:00")
	b.Press("Save source group")
	b.Refused("/hosts/"+attic.ID+"/source-groups/new", 422)
	b.AwaitText("#limits-err", "Give both hours, or neither")
	b.set("#limits_to", "18:00")
	b.Click(`[name=hook_before][value="dump-letters"]`)
	b.Click("#low_priority")
	b.Inspect("group")
	b.Press("Save source group")
	b.AwaitText("#host-groups", "letters")
	b.Open("/hosts/" + attic.ID + "/source-groups/letters/edit")
	got := Eval[string](b, `["#upload_kib", "#limits_from", "#limits_to"].map((s) =>
		document.querySelector(s).value).join(" ") +
		document.querySelector("[name=hook_before]").checked + document.querySelector("#low_priority").checked`)
	if got != "2048 08:00 18:00truetrue" {
		t.Errorf("the group's form says %s", got)
	}

	// Jobs of several kinds, each with a page of its own.
	backup := attic.Backup("letters")
	id := w.AwaitState(backup, "succeeded").SnapshotID
	attic.Write("letters/2.txt", "dear editor, again")
	later := w.AwaitState(attic.Backup("letters"), "succeeded").SnapshotID
	on := func(a *Agent, request map[string]any) string {
		request["repository"] = vault.ID
		job, _ := a.Ask(request)
		return job
	}
	for name, job := range map[string]string{
		"job-backup":    backup,
		"job-snapshots": on(attic, map[string]any{"kind": "snapshots"}),
		"job-find":      on(attic, map[string]any{"kind": "find", "pattern": "*.txt"}),
		"job-diff":      on(attic, map[string]any{"kind": "diff", "from": id, "to": later}),
		"job-restore": on(attic, map[string]any{
			"kind":     "restore",
			"snapshot": later,
			"target":   filepath.Join(attic.State, "restored", "today"),
		}),
		"job-keys":   on(attic, map[string]any{"kind": "key"}),
		"job-stats":  on(attic, map[string]any{"kind": "stats"}),
		"job-check":  on(nas, map[string]any{"kind": "check"}),
		"job-forget": w.Maintain(vault.ID, "forget"),
	} {
		b.Open("/jobs/" + job)
		done := "Succeeded"
		if name == "job-forget" {
			done = "Nothing removed"
		}
		b.AwaitText("#job-header", done)
		b.Inspect(name)
	}

	// A full drill is asked for by keys alone, and names each file with its verdict.
	card := "/hosts/" + attic.ID
	b.Open(card)
	b.Press("Plan drills of this host")
	b.Inspect("host-drill-plan")
	b.Open("/settings/drills")
	b.Inspect("drills")
	b.Open(card + "#drill")
	b.TabTo("the full drill", `e.matches("#drill summary") && e.innerText.includes("full drill")`)
	b.Keys(kb.Enter)
	b.Inspect("host-drill")
	b.TabTo("its button", `e.matches("#drill button") && e.innerText.includes("full drill")`)
	b.Keys(kb.Enter)
	b.AwaitPath("/jobs/")
	drill := b.Path()
	b.AwaitText("#job-header", "Proved 2 files")
	b.Inspect("job-drill")
	b.Open(drill + "/proofs")
	b.AwaitText("table", "2.txt")
	b.Inspect("proofs")
	b.Open(drill + "/proofs?kind=failed")
	b.AwaitText("main", "All of them were proven")
	b.Open(card)
	b.AwaitText("#host-proof", "Proven restorable")

	// What a repository keeps, tried before it is saved, and when it is looked after.
	b.Open(page)
	b.AwaitText("#repository-retention", "2 stay, none would be removed")
	b.Inspect("repository")
	b.Click("#snapshot-list summary")
	b.AwaitText("#snapshot-list .pop", "Compare with…")
	b.Inspect("repository-menu")
	b.Press("Restore files…")
	b.AwaitPath("/restore/new")
	if got := Eval[string](b, `document.querySelector("[name=snapshot]:checked")?.value ?? ""`); !strings.HasPrefix(got, vault.ID+"/") {
		t.Errorf("a restore begins with %q", got)
	}
	b.Open(page)
	b.Fill("#filter", "nowhere")
	b.AwaitText("#snapshot-list", "No snapshot matches")
	if got := Eval[string](b, `location.search`); got != "?q=nowhere&host=" {
		t.Errorf("what narrows the list is not in the address: %q", got)
	}
	if got := Eval[string](b, `document.querySelector("#repository-chart .seg a").search`); got != "?period=30d&q=nowhere" {
		t.Errorf("another period would show another list: %q", got)
	}
	b.Press("Clear filters")
	b.AwaitText("#snapshot-list", "Kept as")
	b.Press("Change")
	b.AwaitPath(page + "/edit")
	b.AwaitText("#retention-preview", "2 stay")
	b.Click("section[aria-labelledby=re-h] summary.lnk")
	b.set("#keep_within", "")
	b.Fill("#keep_last", "1")
	b.AwaitText("#retention-preview", "1 stays, 1 would be removed")
	b.Inspect("repository-form")
	b.Open(page)
	b.Press("Hours…")
	b.AwaitPath(page + "/retention")
	b.set("[name='forget.hour']", "23:15")
	b.set("[name='prune.weekday']", "monday")
	b.Click("#chk-check-paused")
	b.Press("Save hours")
	b.AwaitText("aside:not(.banner)", "paused")
	var m struct {
		Forget, Prune, Check struct {
			Hour, Weekday string
			Paused        bool
		}
	}
	w.API("GET", "/api/repositories/"+vault.ID+"/maintenance", nil, http.StatusOK, &m)
	if m.Forget.Hour != "23:15" || m.Prune.Weekday != "monday" || !m.Check.Paused || m.Prune.Paused {
		t.Errorf("the hours are %+v", m)
	}
	b.Inspect("retention")
	b.Open(page)
	b.Open(page + "/keys")
	b.Inspect("repository-keys")
	b.Open(page)
	b.Press("Emergency kit")
	b.AwaitPath(page + "/kit")
	b.Inspect("kit")

	// What the host's policy forbids is grey, and says so.
	b.Open("/hosts/" + attic.ID + "/operations")
	if !Eval[bool](b, `document.querySelector("#restore-overwrite option[value=always]").disabled`) {
		t.Error("a restore may write over files that the policy protects")
	}
	b.Inspect("host-operations")
	b.Open("/hosts/" + attic.ID)
	b.Inspect("host")

	w.API("PUT", "/api/hosts/"+attic.ID+"/schedules/nightly", map[string]any{
		"cron":          "30 2 * * *",
		"zone":          "Europe/Berlin",
		"source_groups": []string{"letters"},
	}, http.StatusOK, nil)
	w.API("POST", "/api/consumers", map[string]any{"name": "home-assistant"}, http.StatusCreated, nil)
	w.API("POST", "/api/tokens", map[string]any{"name": "nightly", "role": "viewer"}, http.StatusCreated, nil)
	for path, name := range map[string]string{
		"/":             "fleet",
		"/jobs":         "jobs",
		"/repositories": "repositories",
		"/schedules":    "schedules",
		"/hosts/" + attic.ID + "/schedules/nightly/edit": "schedule-edit",
		"/users":                         "users",
		"/users/new":                     "user-new",
		"/account":                       "account",
		"/tokens/new":                    "tokens",
		"/mqtt":                          "mqtt",
		"/mqtt/new":                      "mqtt-new",
		"/audit":                         "audit",
		"/settings":                      "settings",
		"/removed":                       "removed",
		"/updates":                       "updates",
		"/updates/restic":                "updates-restic",
		"/hosts/" + attic.ID + "/remove": "host-remove",
		"/hosts/" + attic.ID + "/source-groups/letters/remove": "group-remove",
		"/repositories/" + vault.ID + "/remove":                "repository-remove",
		"/repositories/" + vault.ID + "/import":                "repository-import",
		"/hosts/new":                                           "enrol",
		"/hosts/new?for=windows":                               "enrol-windows",
		"/hosts/keys":                                          "enrol-many",
		"/hosts/" + attic.ID + "/kit":                          "kit-host",
		"/repositories/kit":                                    "kit-all",
	} {
		b.Open(path)
		b.Inspect(name)
	}
	w.MustStopCleanly()
}

// set gives a field a value that keys alone cannot: typing a time or a choice
// depends on the browser's language.
func (b *Browser) set(css, value string) {
	b.t.Helper()
	if got := Eval[string](b, fmt.Sprintf(`((x) => { x.value = %q; x.dispatchEvent(new Event("input",
		{bubbles: true})); return x.value })(document.querySelector(%q))`, value, css)); got != value {
		b.t.Errorf("%s is %q, want %q", css, got, value)
	}
}

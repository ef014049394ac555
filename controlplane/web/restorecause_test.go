package web

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestEachEndOfARestoreLeadsOn: whatever a restore failed of, its page says the cause, what
// it means for the data and what to do, with at least one thing to press or a command.
func TestEachEndOfARestoreLeadsOn(t *testing.T) {
	w, h, g, _, ids := wizard(t)
	c := w.person(store.Admin)
	for _, x := range []struct {
		state   topics.JobState
		cause   topics.Cause
		message string
		title   string
		offers  string
	}{
		{topics.Failed, topics.CausePreview, `"/back/a" is there now`, "not as the dry run saw it", "Choose files again"},
		{topics.Failed, topics.CauseNoMatch, "nothing of it is in the snapshot", "in the snapshot", "Choose files again"},
		{topics.Warnings, topics.CauseNoMatch, "one item matched nothing", "", "Choose files again"},
		{topics.Failed, topics.CauseTargetMoved, `"/back/x" leads elsewhere now`, "was replaced while the restore ran", "Restore again"},
		{topics.Failed, topics.CauseHostDisk, "write /back/a: no space left on device", "where the target is", "Restore again"},
		{topics.Failed, topics.CauseHostDisk, "make restic's cache directory: no space left on device", "on the host", "Run again"},
		{topics.Failed, topics.CauseLocked, "repository is already locked exclusively", "to itself", "Unlock and try again"},
		{topics.Failed, topics.CausePermission, "mkdir /back: permission denied", "", "Restore again"},
		{topics.Failed, topics.CausePolicy, `This host's policy backup lets restores write below /r only, and not to "/etc".`, "policy",
			"restic-manager-agent policy allow-restore"},
		{topics.Failed, topics.CausePolicy, `"/back" is not empty, and this host's policy lets no restore write over files that are there.`,
			"files in the target already", "Restore again"},
		{topics.Failed, topics.CausePassword, "wrong password or no key found", "password", "Change the password"},
		{topics.Failed, topics.CauseUnreachable, "dial tcp: refused", "could not be reached", "Open the repository"},
		{topics.Failed, topics.CauseDamaged, "ciphertext verification failed", "damaged", "Repair it step by step"},
		{topics.Warnings, topics.CauseUnreadable, "2 files could not be restored", "could not be brought back", "Restore again"},
		{topics.Interrupted, topics.CauseAgentDied, "", "", "Run again"},
		{topics.Failed, topics.CauseUsage, "", "could not do what the restore asked for", "Choose files again"},
		{topics.Failed, topics.CauseUnknown, "", "", "Run again"},
	} {
		j, _, err := w.engine.Start(t.Context(), jobs.Actor{Name: "ada", Role: store.Admin}, jobs.Request{Host: h.id, Kind: topics.RestoreJob,
			Repository: g.Repository, Operation: topics.Operation{Snapshot: ids[0], Paths: []string{"/letters"}, Target: "/back"}})
		if err != nil {
			t.Fatal(err)
		}
		h.ran(j.ID, topics.Finished{State: x.state, Cause: x.cause, Message: x.message})
		if x.cause == topics.CauseLocked {
			h.looks()
		}
		e := jobs.ExplainJob(must(w.store.Job(t.Context(), j.ID)))
		text := html.UnescapeString(c.shows("/jobs/" + string(j.ID)))
		if e.Cause == "" || e.Effect == "" || !strings.Contains(text, e.Cause) || !strings.Contains(text, e.Effect) ||
			!strings.Contains(e.Cause, x.title) {
			t.Errorf("%s: it says neither cause nor effect, or not %q: %+v", x.cause, x.title, e)
		}
		if fixes := html.UnescapeString(fixLink.FindString(text)); !strings.Contains(fixes, x.offers) {
			t.Errorf("%s (%s): nothing offers %q: %s", x.cause, x.message, x.offers, fixes)
		}
	}
}

// TestAnOldAgentRestoresIntoANewFolder: an agent that knows no baskets cannot be held to a
// dry run. Into a new folder, where nothing can be in the way, it restores without; for
// everything else page and API say what it is too old for, and what to do.
func TestAnOldAgentRestoresIntoANewFolder(t *testing.T) {
	w, h, g, _, ids := wizard(t)
	h.can = []topics.Ability{topics.AnswersQueries}
	h.connect()
	c := w.person(store.Restorer)
	dry := func(d, where, folder string) (answer, topics.JobID) {
		r := c.do("POST", d+"/destination", url.Values{"host": {string(h.id)}, "where": {where}, "folder": {folder}, "overwrite": {"never"},
			"owners": {"1"}, "version": {"99"}, "confirm": {"attic"}, "then": {"preview"}})
		for _, x := range must(w.store.Drafts().List(t.Context(), userOf(t, w, c))) {
			if strings.HasSuffix(d, x.ID) {
				return r, x.Body.V.DryRun
			}
		}
		return r, ""
	}
	begin := func(snapshots ...string) string {
		d := c.begin(g, snapshots[0])
		for i, id := range snapshots {
			c.do("POST", d+"/basket", url.Values{"snapshot": {id}, "tick": {"f1 /letters/" + string(rune('a'+i))}})
		}
		return d
	}
	run := func(d string, job topics.JobID) answer {
		text := c.shows(d + "/review")
		_, version, _ := strings.Cut(text, `name="version" value="`)
		version, _, _ = strings.Cut(version, `"`)
		return c.do("POST", d+"/run", url.Values{"version": {version}, "dry_run": {string(job)}})
	}
	end := topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Restore: &topics.Restored{Files: 1, Bytes: 3}}}

	// One snapshot, a new folder: it goes, without being held to anything.
	d := begin(ids[0])
	if r, _ := dry(d, "new", ""); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("a dry run: %s\n%s", r.Status, r.text)
	}
	_, id := dry(d, "new", "")
	h.ran(id, end)
	c.shows(d+"/review", "Restore 1 file")
	r := run(d, id)
	job, found := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
	if !found {
		t.Fatalf("a restore: %s\n%s", r.Status, r.text)
	}
	o := must(w.store.Job(t.Context(), topics.JobID(job))).Operation.V
	if o.Preview != nil || len(o.Items) > 0 || o.Snapshot != ids[0] || !o.Fresh {
		t.Errorf("asked for %+v", o)
	}
	h.ran(topics.JobID(job), end)

	// Into a folder that may hold files, or another selection since: the page says why not.
	d = begin(ids[0])
	_, id = dry(d, "folder", "/srv/back")
	h.ran(id, end)
	c.shows(d+"/review", "This dry run counts no longer", "the agent of attic was of an older version", "disabled")
	if r := run(d, id); r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "too old") {
		t.Errorf("it is held to a dry run that saw nothing: %s\n%s", r.Status, r.text)
	}
	// In place, and from several snapshots: refused at once, with what to do.
	for what, x := range map[string][2]string{"in place": {begin(ids[0]), "original"}, "several": {begin(ids[0], ids[1]), "new"}} {
		r, id := dry(x[0], x[1], "")
		if id != "" || r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "Update the agent") {
			t.Errorf("%s: %s, dry run %q: %s", what, r.Status, id, r.text)
		}
	}
	// The API says the same.
	admin := w.person(store.Admin)
	of := func(i int, name string) string {
		return `"snapshot":"` + ids[i] + `","paths":["/letters/` + name + `"]`
	}
	for what, x := range map[string]struct {
		body   string
		status int
	}{
		"the old form":      {of(0, "a"), http.StatusAccepted},
		"one item":          {`"items":[{` + of(0, "b") + `}]`, http.StatusAccepted},
		"several":           {`"items":[{` + of(0, "a") + `},{` + of(1, "b") + `}]`, http.StatusConflict},
		"in place":          {of(0, "a") + `,"in_place":true,"confirm":"attic"`, http.StatusConflict},
		"without owners":    {of(0, "a") + `,"owners":false`, http.StatusConflict},
		"held to a dry run": {of(0, "a") + `,"target":"/srv/back","dry_run_job":"` + string(id) + `"`, http.StatusConflict},
	} {
		r := admin.do("POST", "/api/hosts/"+string(h.id)+"/jobs", `{"kind":"restore","repository":"`+string(g.Repository)+`",`+x.body+`}`)
		if r.StatusCode != x.status || x.status == 409 && !strings.Contains(r.text, "old") {
			t.Errorf("%s: %s, want %d: %s", what, r.Status, x.status, r.text)
		}
	}
}

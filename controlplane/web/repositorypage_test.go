package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// shows fails unless a page is there and says all of it.
func (c *client) shows(path string, texts ...string) string {
	c.w.t.Helper()
	r := c.do("GET", path, nil)
	if r.StatusCode != 200 {
		c.w.t.Fatalf("GET %s: %s", path, r.Status)
	}
	for _, text := range texts {
		if !strings.Contains(r.text, text) {
			c.w.t.Errorf("%s does not say %q", path, text)
		}
	}
	return r.text
}

func TestARepositoryIsAddedTriedAndLookedIntoByPage(t *testing.T) {
	w := newWorld(t)
	nas := w.enrol("nas")
	nas.name = "nas"
	nas.connect()
	admin := w.person(store.Admin)
	form := url.Values{
		"name":                             {"vault"},
		"backend":                          {"rest"},
		"rest.address":                     {"http://nas:8000"},
		"rest.path":                        {"attic"},
		"s3.bucket":                        {"of another kind"},
		"password":                         {""},
		"everyday.RESTIC_REST_USERNAME":    {"attic"},
		"everyday.RESTIC_REST_PASSWORD":    {"canary-1"},
		"everyday.AWS_ACCESS_KEY_ID":       {"of another backend"},
		"maintenance.RESTIC_REST_USERNAME": {"keeper"},
		"maintenance.RESTIC_REST_PASSWORD": {"canary-2"},
		"maintenance.url":                  {"rest:http://nas:8001/attic"},
		"keeper":                           {string(nas.id)},
		"append_only":                      {"1"},
		"keep_within":                      {"30d"},
	}
	if r := admin.do("POST", "/repositories/new", form); r.StatusCode != 422 || !strings.Contains(r.text, "A repository has a password") ||
		strings.Contains(r.text, "canary") {
		t.Fatalf("without a password: %s", r.Status)
	}
	form.Set("password", "canary-3")
	r := admin.do("POST", "/repositories/new", form)
	page := r.Header.Get("Location")
	if r.StatusCode != 303 || !strings.HasPrefix(page, "/repositories/") {
		t.Fatalf("add it: %s %s", r.Status, r.text)
	}
	id := topics.RepositoryID(strings.TrimPrefix(page, "/repositories/"))
	a := must(w.store.RepositoryAccess(t.Context(), id))
	if a.Env[location.RESTPassword] != "canary-1" || len(a.Env) != 2 || a.Maintenance.URL != "rest:http://nas:8001/attic" ||
		a.Maintenance.Env[location.RESTPassword] != "canary-2" {
		t.Errorf("saved %v and %+v", a.Env, a.Maintenance)
	}
	admin.shows(page, "Not opened yet", "all for 30d")

	// Nobody is told a secret, and what is left empty stays.
	if text := admin.shows(page+"/edit", `value="keeper"`, `value="rest:http://nas:8001/attic"`); strings.Contains(text, "canary") {
		t.Error("the form holds a secret")
	}
	form = url.Values{
		"name":                             {"vault 2"},
		"backend":                          {"rest"},
		"rest.address":                     {"http://nas:8000"},
		"rest.path":                        {"attic"},
		"s3.bucket":                        {"of another kind"},
		"everyday.RESTIC_REST_USERNAME":    {"attic"},
		"append_only":                      {"1"},
		"maintenance.RESTIC_REST_USERNAME": {"keeper"},
		"maintenance.url":                  {"rest:http://nas:8001/attic"},
		"keeper":                           {string(nas.id)},
		"keep_within":                      {"60d"},
	}
	if r := admin.do("POST", page+"/edit", form); r.StatusCode != 303 {
		t.Fatalf("change it: %s", r.Status)
	}
	if b := must(w.store.RepositoryAccess(t.Context(), id)); b.Password != "canary-3" || b.Env[location.RESTPassword] != "canary-1" ||
		b.Maintenance.Env[location.RESTPassword] != "canary-2" {
		t.Error("a change took secrets away")
	}

	// A try, in words.
	try := func(f topics.Finished, parts ...topics.Report) {
		t.Helper()
		if r := admin.do("POST", page+"/run", url.Values{"kind": {"snapshots"}, "host": {string(nas.id)},
			"stay": {"1"}}); r.StatusCode != 303 || r.Header.Get("Location") != page {
			t.Fatalf("test it: %s %s", r.Status, r.text)
		}
		nas.ran(nas.asked(topics.SnapshotsJob).ID, f, parts...)
	}
	try(topics.Finished{State: topics.Failed, Cause: topics.CauseNoRepository, Message: "no config"})
	admin.shows(page, "There is none yet")
	try(topics.Finished{State: topics.Failed, Cause: topics.CausePassword, Message: "wrong password"})
	admin.shows(page, "The password does not open the repository")
	try(topics.Finished{State: topics.Failed, Cause: topics.CauseUnreachable, Message: "connection refused"})
	admin.shows(page, "could not be reached")
	feed := admin.feed("/events?view=repository&id=" + string(id) + "&after=")
	try(topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 1}},
		topics.Report{Snapshots: []topics.Snapshot{{
			ID:    strings.Repeat("a", 64),
			Time:  time.Now().UnixMilli(),
			Host:  "laptop",
			Paths: []string{"/home/<anna>"},
		}}})
	feed.until("It opens")
	admin.shows(page, "It opens", "aaaaaaaa", "not a job of ours", "/home/&lt;anna&gt;")

	// Everything at once.
	if r := admin.do("POST", page+"/refresh", nil, "HX-Request", "true"); r.StatusCode != 204 {
		t.Fatalf("refresh: %s %s", r.Status, r.text)
	}
	nas.ran(nas.asked(topics.SnapshotsJob).ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{}})
	lock := topics.Lock{ID: strings.Repeat("c", 64), Time: time.Now().UnixMilli(), Host: "laptop", User: "anna", PID: 77, Exclusive: true}
	nas.ran(nas.asked(topics.LocksJob).ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 1}},
		topics.Report{Locks: []topics.Lock{lock}})
	nas.ran(nas.asked(topics.KeyJob).ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 1}},
		topics.Report{Keys: []topics.Key{{
			ID:      strings.Repeat("1", 64),
			Current: true,
			User:    "root",
			Host:    "attic",
		}}})
	stats := nas.asked(topics.StatsJob).ID
	nas.ran(stats, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Stats: &topics.Stats{
		Snapshots:    1,
		StoredBytes:  10 << 30,
		RestoreBytes: 80 << 30,
		PlainBytes:   20 << 30,
		Files:        5,
	}}})
	admin.shows(page, "Locked", "laptop, process 77, anna", "No host of ours is known by this name", "root@attic",
		"10.0 <small>GiB</small>", "80.0 <small>GiB</small>", "8.0", "2.0 × by compression")
	admin.shows("/jobs/"+string(stats), "Stats on nas", "10.0", "Restorable")
	admin.shows("/repositories", "vault 2", "Locked", "10.0 GiB")

	// What endangers others is typed, and for administrators.
	all := url.Values{"kind": {"unlock"}, "all": {"1"}, "host": {string(nas.id)}, "confirm": {"vault"}}
	if r := admin.do("POST", page+"/run", all); r.StatusCode != 422 {
		t.Errorf("another name: %s", r.Status)
	}
	all.Set("confirm", "vault 2")
	if r := w.person(store.Operator).do("POST", page+"/run", all); r.StatusCode != 403 {
		t.Errorf("an operator removes all locks: %s", r.Status)
	}
	if r := admin.do("POST", page+"/run", all); r.StatusCode != 303 || !strings.HasPrefix(r.Header.Get("Location"), "/jobs/") {
		t.Errorf("remove all locks: %s %s", r.Status, r.text)
	}
	if j := nas.asked(topics.UnlockJob); !j.Operation.V.All {
		t.Error("not all of them")
	}
	if r := admin.do("POST", page+"/remove", url.Values{"confirm": {"vault"}}); r.StatusCode != 422 {
		t.Errorf("remove it under another name: %s", r.Status)
	}
}

func TestOperationsAreAskedForOnAHostsPageAndShowWhatTheyFound(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	ids := []string{strings.Repeat("a", 64), strings.Repeat("b", 64)}
	for _, id := range ids {
		j := w.backup(attic)
		attic.ran(j, topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &topics.Snapshot{
			ID:    id,
			Time:  time.Now().UnixMilli(),
			Host:  "host",
			Paths: []string{"/letters"},
		}})
	}
	c := w.person(store.Operator)
	restorer := w.person(store.Restorer)
	host, repository := "/hosts/"+string(attic.id), string(g.Repository)
	c.shows(host, "/restore/new?host="+string(attic.id))
	c.shows(host+"/operations", repository+"/"+ids[0], "Dry run", `name="pattern"`)
	ask := func(kind string, f url.Values) topics.JobID {
		t.Helper()
		who := c
		if kind == "restore" { // over files
			if r := c.do("POST", host+"/run/"+kind, f); r.StatusCode != 403 || !strings.Contains(r.text, "needs the role restorer") {
				t.Errorf("an operator restores over files: %s", r.Status)
			}
			who = restorer
		}
		r := who.do("POST", host+"/run/"+kind, f)
		id, ok := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
		if r.StatusCode != 303 || !ok {
			t.Fatalf("%s: %s %s", kind, r.Status, r.text)
		}
		return topics.JobID(id)
	}
	well := func(r topics.Result) topics.Finished { return topics.Finished{State: topics.Succeeded, Result: &r} }

	restore := ask("restore", url.Values{
		"snapshot":  {repository + "/" + ids[0]},
		"paths":     {"/letters/1.txt\r\n\r\n/letters/2.txt"},
		"target":    {"/var/tmp/back"},
		"overwrite": {"if-newer"},
		"dry_run":   {"1"},
	})
	if o := must(w.store.Job(t.Context(), restore)).Operation.V; o.Snapshot != ids[0] || len(o.Paths) != 2 ||
		o.Target != "/var/tmp/back" || o.Overwrite != "if-newer" || !o.DryRun {
		t.Errorf("asked for %+v", o)
	}
	attic.ran(restore, well(topics.Result{Restore: &topics.Restored{Files: 2, Bytes: 2048, Skipped: 1}}))
	c.shows("/jobs/"+string(restore), "Restore, dry run, on attic", "/var/tmp/back", "2.00", "Would restore 2 files",
		"nothing was written", "Dry run")

	find := ask("find", url.Values{"repository": {repository}, "pattern": {"*.txt"}})
	attic.ran(find, well(topics.Result{Parts: 1, Count: 1}), topics.Report{Matches: []topics.Match{{
		Snapshot: ids[1],
		Path:     "/letters/1.txt",
		Type:     "file",
		Size:     42,
	}}})
	c.shows("/jobs/"+string(find), "/letters/1.txt", "bbbbbbbb", "42 B")

	diff := ask("diff", url.Values{"from": {repository + "/" + ids[0]}, "to": {repository + "/" + ids[1]}})
	attic.ran(diff, well(topics.Result{Parts: 1, Count: 1, Diff: &topics.Diffed{AddedFiles: 1}}),
		topics.Report{Changes: []topics.Change{{Path: "/letters/3.txt", Modifier: "+"}}})
	c.shows("/jobs/"+string(diff), "/letters/3.txt", "added")

	list := ask("snapshots", url.Values{"repository": {repository}})
	attic.ran(list, well(topics.Result{Parts: 1, Count: 2}), topics.Report{Snapshots: []topics.Snapshot{
		{ID: ids[0], Host: "host"},
		{ID: ids[1], Host: "host"},
	}})
	c.shows("/jobs/"+string(list), "aaaaaaaa", "bbbbbbbb", "Done")

	check := topics.JobID("")
	r := c.do("POST", "/repositories/"+repository+"/run", url.Values{"kind": {"check"}, "host": {string(attic.id)}, "subset": {"1/12"}})
	check = topics.JobID(strings.TrimPrefix(r.Header.Get("Location"), "/jobs/"))
	attic.ran(check, topics.Finished{State: topics.Failed, Cause: topics.CauseDamaged,
		Result: &topics.Result{Check: &topics.Checked{Errors: 2, Broken: []string{ids[0]}, Suggest: []string{"repair index"}}}})
	text := c.shows("/jobs/"+string(check), "The check found damage", ids[0], "repair index", "1/12")
	if strings.Contains(text, "Nothing was saved") || strings.Contains(text, "Run the backup again") {
		t.Error("the page of a check speaks of a backup")
	}
	c.shows("/repositories/"+repository, "Damaged", "A check found 2 errors")

	// The same again is the same, and not a backup.
	r = c.do("POST", "/jobs/"+string(check)+"/again", nil)
	if j := attic.asked(topics.CheckJob); r.StatusCode != 303 || j.Operation.V.Subset != "1/12" {
		t.Errorf("again: %s %+v", r.Status, j)
	}
	for name, c := range map[string]struct {
		got  answer
		want int
	}{
		"a maintenance kind on the host's page": {c.do("POST", host+"/run/prune", url.Values{"repository": {repository}}), 404},
		"two repositories": {c.do("POST", host+"/run/diff",
			url.Values{"from": {repository + "/" + ids[0]}, "to": {"another/" + ids[1]}}), 422},
		"a target that climbs": {restorer.do("POST", host+"/run/restore", url.Values{"snapshot": {repository + "/" + ids[0]},
			"target": {"/tmp/../etc"}}), 422},
		"forget by an operator": {c.do("POST", "/repositories/"+repository+"/run",
			url.Values{"kind": {"forget"}, "snapshots": {ids[0]}}), 403},
		"a backup by the wrong door": {c.do("POST", "/repositories/"+repository+"/run", url.Values{"kind": {"backup"}}), 404},
	} {
		if c.got.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", name, c.got.Status, c.want)
		}
	}
}

package web

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestSnapshotsOfAnotherProgramAreTakenInOnceAPersonConfirmed does so by the API and by page,
// and looks at what is said before.
func TestSnapshotsOfAnotherProgramAreTakenInOnceAPersonConfirmed(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	admin, operator, program := w.person(store.Admin), w.person(store.Operator), w.program(store.Admin)
	page, vault := "/repositories/"+string(g.Repository), string(g.Repository)
	made := func(c, hostname, path string, hours int, tags ...string) topics.Snapshot {
		return topics.Snapshot{ID: strings.Repeat(c, 64), Time: time.Now().Add(-time.Duration(hours) * time.Hour).UnixMilli(), Host: hostname,
			Paths: []string{path}, Tags: tags}
	}
	ours := made("0", "attic", "/letters", 1, "plan="+string(g.ID))
	all := []topics.Snapshot{made("a", "Attic", "/letters", 90*24), made("b", "attic", "/letters", 60*24),
		made("c", "attic", "/letters", 59*24),
		made("d", "attic", "/photos", 48), made("e", "barn", "/letters", 48), made("f", "attic", "/letters", 0)}
	list := func(snapshots ...topics.Snapshot) {
		t.Helper()
		r := operator.do("POST", page+"/run", url.Values{"kind": {"snapshots"}, "host": {string(attic.id)}})
		id, ok := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
		if !ok {
			t.Fatalf("list: %s %s", r.Status, r.text)
		}
		attic.ran(topics.JobID(id), topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: len(snapshots)}},
			topics.Report{Part: 1, Snapshots: snapshots})
	}
	attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &ours,
		Summary: &topics.Summary{TotalFiles: 7, TotalBytes: 700}})
	list(append(all, ours)...)
	type proposal struct {
		Key, Hostname string
		Paths         []string
		Snapshots     int
		Newer         int
		Group         string `json:"source_group"`
		Why           string
		Digest        string
		Machine       string
		HostName      string `json:"host_name"`
	}
	type answer struct {
		Proposals []proposal
		More      int
		Result    *struct{ Snapshots, Stay, Go, Held, Ours int }
		Import    string
	}
	post := func(body string, status int) (out answer) {
		t.Helper()
		r := program.do("POST", "/api/repositories/import", body)
		if r.StatusCode != status {
			t.Fatalf("%s: %s %s, want %d", body, r.Status, r.text, status)
		}
		if status == 200 {
			if err := json.Unmarshal([]byte(r.text), &out); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	is := func(id string) store.Snapshot { return must(w.store.SnapshotByID(t.Context(), g.Repository, id)) }
	asked := post(`{"repository":"`+vault+`"}`, 200)
	key, digest := map[string]string{}, map[string]string{}
	for _, p := range asked.Proposals {
		key[p.Hostname+p.Paths[0]], digest[p.Hostname+p.Paths[0]] = p.Key, p.Digest
		if p.Hostname == "attic" && (p.Machine != "host" || p.HostName != "attic") {
			t.Errorf("its host is %+v", p)
		}
		want := map[string]proposal{"Attic/letters": {Snapshots: 1, Group: string(g.ID)},
			"attic/letters": {Snapshots: 2, Newer: 1, Group: string(g.ID)},
			"attic/photos":  {Snapshots: 1}, "barn/letters": {Snapshots: 1}}[p.Hostname+p.Paths[0]]
		if p.Snapshots != want.Snapshots || p.Newer != want.Newer || p.Group != want.Group || p.Why == "" {
			t.Errorf("proposed is %+v, want %+v", p, want)
		}
	}
	if len(key) != 4 {
		t.Fatalf("proposed are %+v", asked.Proposals)
	}
	choice := func(of, more string) string {
		return `{"key":"` + key[of] + `","source_group":"` + string(g.ID) + `"` + more + `}`
	}
	for body, status := range map[string]int{
		`{"repository":"none"}`: 404,
		`{}`:                    422,
		`{"repository":"` + vault + `","name":"x"}`:                                                                          422,
		`{"repository":"` + vault + `","dry_run":true}`:                                                                      422,
		`{"repository":"` + vault + `","confirm":[]}`:                                                                        422,
		`{"name":"x","confirm":[` + choice("attic/letters", ``) + `]}`:                                                       422,
		`{"repository":"` + vault + `","confirm":[{"key":"` + key["attic/letters"] + `","source_group":"none"}]}`:            422,
		`{"repository":"` + vault + `","confirm":[` + choice("attic/letters", ``) + `,` + choice("attic/letters", ``) + `]}`: 422,
		`{"repository":"` + vault + `","confirm":[` + choice("attic/letters", `,"snapshots":3`) + `]}`:                       409,
	} {
		post(body, status)
	}
	if some := post(`{"repository":"`+vault+`","limit":1,"offset":2}`, 200); len(some.Proposals) != 1 || some.More != 1 ||
		some.Proposals[0].Key != asked.Proposals[2].Key {
		t.Errorf("one of four is %+v", some)
	}
	if none := post(`{"repository":"`+vault+`","offset":9}`, 200); len(none.Proposals) != 0 || none.More != 0 {
		t.Errorf("beyond the end are %+v", none)
	}
	// What is confirmed is what was shown.
	list(append(all[1:], ours)...)
	if r := program.do("POST", "/api/repositories/import", `{"repository":"`+vault+`","confirm":[`+
		choice("Attic/letters", `,"digest":"`+digest["Attic/letters"]+`"`)+`]}`); r.StatusCode != 409 ||
		!strings.Contains(r.text, "0 more, 1 fewer") {
		t.Errorf("of one that is gone: %s %s", r.Status, r.text)
	}
	list(append(all, ours)...)
	post(`{"repository":"`+vault+`","confirm":[`+choice("attic/letters", `,"digest":"2.m.0"`)+`]}`, 409)
	// What the rules would do is said, and nothing is done.
	if r := program.do("PUT", "/api"+page, `{"retention":{"keep_last":2}}`); r.StatusCode != 200 {
		t.Fatalf("%s %s", r.Status, r.text)
	}
	confirm := `{"repository":"` + vault + `","confirm":[` + choice("Attic/letters", ``) + `,` +
		choice("attic/letters", `,"newer":true,"snapshots":3,"digest":"`+digest["attic/letters"]+`"`) + `]`
	dry := post(confirm+`,"dry_run":true}`, 200)
	if dry.Result == nil || dry.Result.Snapshots != 4 || dry.Result.Go+dry.Result.Held != 3 || dry.Result.Stay != 1 || dry.Import != "" ||
		!is(all[0].ID).Foreign() {
		t.Errorf("before it is done, it is said that %+v", dry.Result)
	}
	done := post(confirm+`}`, 200)
	if done.Import == "" || len(done.Proposals) != 2 || is(all[5].ID).SourceGroup != g.ID || is(all[0].ID).Host != attic.id {
		t.Errorf("taken in are %+v", done)
	}
	if r := program.do("GET", "/api/hosts/"+string(attic.id)+"/snapshots", nil); strings.Count(r.text, `"import":"`+done.Import+`"`) != 4 ||
		strings.Count(r.text, `"job":""`) != 4 {
		t.Errorf("the host has %s", r.text)
	}
	admin.shows(page, "taken in")
	admin.shows("/hosts/"+string(attic.id), "letters")
	undo := "/api" + page + "/imports/" + done.Import
	if r := program.do("GET", "/api"+page+"/imports", nil); r.StatusCode != 200 || !strings.Contains(r.text, `"left":4`) {
		t.Errorf("imports are %s %s", r.Status, r.text)
	}
	for _, status := range []int{204, 409} {
		if r := program.do("DELETE", undo, nil); r.StatusCode != status {
			t.Errorf("undo: %s %s", r.Status, r.text)
		}
	}
	if r := program.do("DELETE", "/api"+page+"/imports/none", nil); r.StatusCode != 404 {
		t.Errorf("undo what is not there: %s %s", r.Status, r.text)
	}
	if n := is(all[0].ID); !n.Foreign() || is(ours.ID).Foreign() {
		t.Errorf("after it was undone, it is %+v", n)
	}

	// By page: a form that is shown, what follows, and then the deed.
	if r := operator.do("GET", page+"/import", nil); r.StatusCode != 403 {
		t.Errorf("an operator: %s", r.Status)
	}
	admin.shows(page+"/import", "No host is called barn", "newer than the first backup here", "Make a source group of these paths")
	form := url.Values{"review": {"1"}, "g." + key["attic/letters"]: {string(g.ID)}, "g." + key["barn/letters"]: {""}}
	text := admin.shows(page+"/import?"+form.Encode(), "What follows", "Take in 2 snapshots", "rules")
	if n := is(all[1].ID); !n.Foreign() {
		t.Errorf("before the last word it is %+v", n)
	}
	send := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([gcdn]\.[0-9a-f]+)" value="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		send.Set(m[1], m[2])
	}
	stale := url.Values{}
	for name := range send {
		stale.Set(name, send.Get(name))
	}
	for name, value := range map[string]string{"c.": "7", "d.": "9.m.0"} {
		was := stale.Get(name + key["attic/letters"])
		stale.Set(name+key["attic/letters"], value)
		if r := admin.do("POST", page+"/import", stale); r.StatusCode != 409 || !is(all[1].ID).Foreign() {
			t.Errorf("of other snapshots than were shown: %s", r.Status)
		}
		stale.Set(name+key["attic/letters"], was)
	}
	// One has gone and another, which is alike, has come since the page was shown.
	swapped := made("9", "attic", "/letters", 58*24)
	list(all[0], all[1], swapped, all[3], all[4], all[5], ours)
	if r := admin.do("POST", page+"/import", send); r.StatusCode != 409 || !strings.Contains(r.text, "1 more, 1 fewer") ||
		!is(all[1].ID).Foreign() {
		t.Errorf("as many other ones: %s %s", r.Status, r.text)
	}
	list(append(all, ours)...)
	if r := admin.do("POST", page+"/import", send); r.StatusCode != 303 {
		t.Fatalf("take in: %s %s", r.Status, r.text)
	}
	if a, late := is(all[1].ID), is(all[5].ID); a.SourceGroup != g.ID || !late.Foreign() {
		t.Errorf("they are %+v and %+v", a, late)
	}
	admin.shows(page+"/import", "Taken in so far", "2 snapshots of attic, /letters: to the source group letters of attic")
	taken, _, err := w.store.Imports(t.Context(), g.Repository)
	if err != nil || len(taken) != 2 {
		t.Fatalf("imports are %+v, %v", taken, err)
	}
	if r := admin.do("POST", page+"/import/"+taken[0].ID+"/undo", nil); r.StatusCode != 303 || !is(all[1].ID).Foreign() {
		t.Errorf("undo: %s %s", r.Status, r.text)
	}
	// The form of a source group is filled in.
	admin.shows("/hosts/"+string(attic.id)+"/source-groups/new?path=%2Fphotos&repository="+vault, "/photos")
}

// TestARepositoryThatIsImportedIsNeverMade: it is registered as one that is there.
func TestARepositoryThatIsImportedIsNeverMade(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.connect()
	program := w.program(store.Admin)
	r := program.do("POST", "/api/repositories/import", `{"name":"cron","url":"rest:https://nas/cron","password":"correct horse",
		"keeper":"attic"}`)
	var out struct {
		Repository topics.RepositoryID
		Jobs       []string
	}
	if err := json.Unmarshal([]byte(r.text), &out); err != nil || r.StatusCode != 200 || len(out.Jobs) == 0 {
		t.Fatalf("%s %s", r.Status, r.text)
	}
	if row := must(w.store.Repository(t.Context(), out.Repository)); row.ReadyAt == 0 {
		t.Error("a host could be given it to make")
	}
	r = program.do("POST", "/api/repositories/import", `{"name":"lone","url":"rest:https://nas/lone","password":"correct horse"}`)
	if r.StatusCode != 200 || !strings.Contains(r.text, "No host looks after this repository") {
		t.Errorf("without anybody to list it: %s %s", r.Status, r.text)
	}
	r = program.do("POST", "/api/repositories/import", `{"name":"cron","url":"rest:https://nas/cron","password":"correct horse"}`)
	if r.StatusCode != 409 {
		t.Errorf("a second one of its name: %s %s", r.Status, r.text)
	}
}

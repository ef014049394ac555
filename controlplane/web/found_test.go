package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// awaits is shows for what comes within seconds.
func (c *client) awaits(path, text string) {
	c.w.t.Helper()
	await(c.w.t, text+" on "+path, func() error {
		if !strings.Contains(c.do("GET", path, nil).text, text) {
			return errors.New("it is not there yet")
		}
		return nil
	})
}

// A search shows what it has found while it goes on, keeps it when it is cancelled, and
// leads to the restore of each version; names of files are for those who may search.
func TestASearchShowsWhatItFindsAsItGoesOn(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	repository := string(g.Repository)
	attic.connect()
	c, viewer := w.person(store.Restorer), w.person(store.Viewer)
	c.shows("/search?repository="+repository, "Find files", "Name or pattern", "Windows")

	for what, form := range map[string]url.Values{
		"nothing to look for":    {"repository": {repository}, "pattern": {" "}},
		"a host without any":     {"repository": {repository}, "pattern": {"*.txt"}, "host": {string(attic.id)}},
		"a line break in it":     {"repository": {repository}, "pattern": {"a\nb"}},
		"no repository":          {"pattern": {"a"}},
		"an agent that is older": {"repository": {repository}, "pattern": {"a"}, "ignore_case": {"1"}},
	} {
		if r := c.do("POST", "/search", form); r.StatusCode < 400 || r.StatusCode >= 500 {
			t.Errorf("%s: %s\n%.300s", what, r.Status, r.text)
		}
	}
	r := c.do("POST", "/search", url.Values{"repository": {repository}, "pattern": {`C:\home\*.txt`}})
	text, ok := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
	if !ok {
		t.Fatalf("%s %s", r.Status, r.text)
	}
	id := topics.JobID(text)
	if o := must(w.store.Job(t.Context(), id)).Operation.V; o.Pattern != "/C/home/*.txt" {
		t.Errorf("it looks for %q", o.Pattern)
	}
	attic.start(id)
	one, two := strings.Repeat("a", 64), strings.Repeat("b", 64)
	match := func(snapshot, path string, size uint64) topics.Match {
		return topics.Match{Snapshot: snapshot, Path: path, Type: "file", Size: size, ModTime: 1_700_000_000_000}
	}
	attic.say(topics.Event{Report: &topics.Report{Job: id, Part: 1, Matches: []topics.Match{match(one, "/C/home/letter & co.txt", 42)}}})
	job, found := "/jobs/"+text, "/jobs/"+text+"/found"
	c.awaits(job, "letter &amp; co.txt")
	c.shows(job, "so far", "42 B", "/restore/new?path=%2FC%2Fhome%2Fletter+%26+co.txt&amp;repository="+repository+"&amp;snapshot="+one)
	if p := c.shows("/api/jobs/"+text+"/matches", `"next":1`, `"done":false`, "letter"); strings.Contains(p, `"truncated":true`) {
		t.Error(p)
	}
	c.shows("/api/jobs/"+text+"/matches?after=1", `"matches":[]`, `"next":1`, `"kept_until":null`, `"removed":false`)

	attic.say(topics.Event{Report: &topics.Report{Job: id, Part: 2, Matches: []topics.Match{match(two, "/C/home/letter & co.txt", 42),
		match(two, "/C/home/other.txt", 1), match(two, "/C/home/caf\uFFFD.txt", 2)}}})
	c.awaits(job, "other.txt")
	attic.finish(id, topics.Finished{State: topics.Cancelled, Cause: topics.CauseCancelled, Result: &topics.Result{Parts: 2, Count: 4}})
	c.shows(found, "the same in 2 snapshots", "3 paths", "All versions", "not UTF-8", "path=%2FC%2Fhome&amp;repository")
	if p := c.shows(found+"?q=OTHER", "other.txt"); strings.Contains(p, "letter") {
		t.Error("the filter shows what it must not")
	}
	var kept struct {
		Until *time.Time `json:"kept_until"`
	}
	if r := c.do("GET", "/api/jobs/"+text+"/matches", nil); !strings.Contains(r.text, `"next":4`) ||
		!strings.Contains(r.text, `"done":true`) || !strings.Contains(r.text, `"removed":false`) {
		t.Errorf("what was found: %s", r.text)
	} else if r.json(t, &kept); kept.Until == nil || kept.Until.UnixMilli() != must(w.store.Job(t.Context(), id)).FinishedAt+24*3_600_000 {
		t.Errorf("it is kept until %v", kept.Until)
	}
	c.shows("/search", "/C/home/*.txt")
	c.shows("/versions?repository="+repository+"&path=/C/home/other.txt", "Versions of", "/C/home/other.txt", `role="alert"`)

	c.shows(found, "Kept until ")
	c.shows(job, "Kept until ", "3 paths", "4 matches: a path counts in each snapshot that has it")
	if p := c.shows(found+"?q=OTHER", "1 path"); strings.Contains(p, "4 matches") {
		t.Error("the filter shows 1 path beside the matches of all")
	}

	if p := viewer.shows(job); strings.Contains(p, "other.txt") {
		t.Error("a viewer sees names of files")
	}
	for _, path := range []string{found, "/api/jobs/" + text + "/matches", "/api/jobs/" + text + "/report", "/search"} {
		if r := viewer.do("GET", path, nil); r.StatusCode != 403 {
			t.Errorf("a viewer gets %s of %s", r.Status, path)
		}
	}
	if r := c.do("GET", job+"/changes", nil); r.StatusCode != 404 {
		t.Errorf("changes of a search: %s", r.Status)
	}
	await(t, "the sweep to remove it", func() error {
		if n, err := w.store.SweepLogs(t.Context(), store.Retention{Age: time.Millisecond}); err != nil || n == 0 {
			return fmt.Errorf("%d, %w", n, err)
		}
		return nil
	})
	for _, path := range []string{job, found} {
		p := c.shows(path, "kept for a day, and this is gone", "/search?repository="+repository+"&amp;pattern=%2FC%2Fhome")
		if strings.Contains(p, "Kept until") {
			t.Errorf("%s: it is kept, and gone", path)
		}
	}
	c.shows("/api/jobs/"+text+"/matches", `"matches":[]`, `"done":true`, `"kept_until":null`, `"removed":true`)
}

// TestASearchIsMadeAgainAsItWas: of the same host's snapshots, and in capitals or not, once
// what it found is gone; one that found nothing has nothing to be gone.
func TestASearchIsMadeAgainAsItWas(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.can = []topics.Ability{topics.SearchesSome}
	g := attic.group("letters")
	attic.connect()
	attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, Summary: &topics.Summary{TotalFiles: 1},
		Snapshot: &topics.Snapshot{ID: strings.Repeat("a", 64), Time: time.Now().UnixMilli(), Tags: []string{"plan=" + string(g.ID)}}})
	c := w.person(store.Restorer)
	form := url.Values{"repository": {string(g.Repository)}, "host": {string(attic.id)}, "pattern": {"a&b*"}, "ignore_case": {"1"}}
	for _, found := range []int{1, 0} {
		r := c.do("POST", "/search", form)
		text, ok := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
		if !ok {
			t.Fatalf("%s %.500s", r.Status, r.text)
		}
		result, reports := topics.Result{Count: found}, []topics.Report{}
		if found > 0 {
			result.Parts = 1
			reports = append(reports, topics.Report{Matches: []topics.Match{{Snapshot: strings.Repeat("a", 64), Path: "/a&b", Type: "file"}}})
		}
		attic.ran(topics.JobID(text), topics.Finished{State: topics.Succeeded, Result: &result}, reports...)
		await(t, "the sweep to remove what it found", func() error { // of one that found nothing there is nothing to remove
			n, err := w.store.SweepLogs(t.Context(), store.Retention{Age: time.Millisecond})
			if err != nil || n == 0 && found > 0 {
				return fmt.Errorf("%d were removed: %v", n, err)
			}
			return nil
		})
		page := c.do("GET", "/jobs/"+text+"/found", nil).text
		_, again, gone := strings.Cut(page, `this is gone. <a href="`)
		if gone != (found > 0) {
			t.Fatalf("what found %d is gone: %t\n%.3000s", found, gone, page)
		}
		c.shows("/api/jobs/"+text+"/matches", fmt.Sprintf(`"removed":%t`, gone), `"kept_until":null`)
		if !gone {
			continue
		}
		again, _, _ = strings.Cut(again, `"`)
		c.shows(html.UnescapeString(again), `value="a&amp;b*"`, `name="ignore_case" value="1" checked`,
			`<option value="`+string(attic.id)+`" selected>`, `<option value="`+string(g.Repository)+`" selected>`)
	}
}

func TestADiffIsShownByFolder(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	attic.connect()
	var ids []string
	for i := range 2 {
		ids = append(ids, strings.Repeat(string(rune('c'+i)), 64))
		attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, Summary: &topics.Summary{TotalFiles: 1},
			Snapshot: &topics.Snapshot{ID: ids[i], Time: time.Now().UnixMilli() + int64(i), Tags: []string{"plan=" + string(g.ID)}}})
	}
	c := w.person(store.Restorer)
	r := c.do("POST", "/compare", url.Values{"repository": {string(g.Repository)}, "snapshot": {ids[0]}})
	if r.StatusCode != 409 || !strings.Contains(r.text, "nothing to compare it with") {
		t.Errorf("the first: %s %.300s", r.Status, r.text)
	}
	r = c.do("POST", "/compare", url.Values{"repository": {string(g.Repository)}, "snapshot": {ids[1]}})
	text, ok := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
	if !ok {
		t.Fatalf("%s %.500s", r.Status, r.text)
	}
	id := topics.JobID(text)
	if o := must(w.store.Job(t.Context(), id)).Operation.V; o.From != ids[0] || o.To != ids[1] {
		t.Errorf("it compares %+v", o)
	}
	changes := []topics.Change{{Path: "/letters/", Modifier: "U"}, {Path: "/letters/rotten", Modifier: "M?"}}
	for i := range 300 {
		changes = append(changes, topics.Change{Path: "/letters/" + strings.Repeat("n", 1+i), Modifier: "+"})
	}
	attic.ran(id, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 302, Truncated: true,
		Diff: &topics.Diffed{AddedFiles: 300}}}, topics.Report{Changes: changes})
	job := "/jobs/" + text
	c.shows(job, "1 file is damaged", "1 damaged, 300 added", "Only owner, rights or time changed", "1 to 250 of 302 changes", "first 10,000")
	if p := c.shows(job+"/changes?kind=damaged", "rotten", "1 change"); strings.Contains(p, ">nn<") {
		t.Error("what was added is shown as damaged")
	}
	c.shows(job+"/changes?page=2", "251 to 302 of 302 changes")
	c.shows(job+"/changes?q=ROTTEN", "rotten")
	if p := w.person(store.Viewer).shows(job); strings.Contains(p, "rotten") {
		t.Error("a viewer sees names of files")
	}
}

// What a dry run planned, what did not come back and what a drill took names files, too.
func TestViewersSeeNoNamesOfFilesOfRestoresAndDrills(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.can = []topics.Ability{topics.RestoresBaskets, topics.RunsDrills}
	attic.connect()
	g := attic.group("letters")
	admin, viewer := w.person(store.Admin), w.person(store.Viewer)
	for kind, c := range map[topics.JobKind]struct {
		o topics.Operation
		r topics.Report
		f topics.Result
	}{
		topics.RestoreJob: {topics.Operation{Snapshot: strings.Repeat("a", 64), Target: "/back", DryRun: true},
			topics.Report{Planned: []topics.Planned{{Action: topics.PlanNew, Path: "/back/diary"}},
				Failures: []topics.Failure{{Path: "/back/diary-2", Why: "x"}}},
			topics.Result{Parts: 1, Restore: &topics.Restored{Restored: 1, Files: 1, Failed: 1}}},
		topics.DrillJob: {topics.Operation{Drill: &topics.Drill{Seed: 1}},
			topics.Report{Proofs: []topics.Proof{{Snapshot: strings.Repeat("a", 64), Path: "/home/diary", Type: "file",
				Verdict: topics.SameAsSaved}}},
			topics.Result{Parts: 1, Count: 1, Drill: &topics.Drilled{Files: 1, Proven: 1, Complete: true}}},
	} {
		j, _, err := w.engine.Ask(t.Context(), "test", attic.id, kind, g.Repository, c.o)
		if err != nil {
			t.Fatal(kind, err)
		}
		attic.ran(j.ID, topics.Finished{State: topics.Succeeded, Result: &c.f}, c.r)
		for _, who := range []*client{admin, viewer} {
			for _, url := range []string{"/jobs/" + string(j.ID), "/api/jobs/" + string(j.ID) + "/report"} {
				if r := who.do("GET", url, nil); strings.Contains(r.text, "diary") != (who == admin) {
					t.Errorf("%s %s: a viewer: %t, names are there: %t (%s)", kind, url, who == viewer, who != admin, r.Status)
				}
			}
		}
	}
}

// A drill's table is shown a page at a time, what failed first, and can be narrowed to it.
func TestADrillsTable(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.connect()
	g := attic.group("letters")
	j, _, err := w.engine.Ask(t.Context(), "test", attic.id, topics.DrillJob, g.Repository, topics.Operation{Drill: &topics.Drill{Seed: 1}})
	if err != nil {
		t.Fatal(err)
	}
	of := strings.Repeat("a", 64)
	var proofs []topics.Proof // another agent may name what failed last
	for i := range 300 {
		proofs = append(proofs, topics.Proof{Path: fmt.Sprintf("/letters/n%d", i), Type: "file", Bytes: 1 << 20, Verdict: topics.SameAsSource})
	}
	proofs = append(proofs, topics.Proof{Snapshot: of, Path: "/letters/rotten", Type: "file", Bytes: 7, Hash: strings.Repeat("ab", 32),
		Verdict: topics.Differs, Why: "it has other content"}, topics.Proof{Snapshot: of, Path: "/letters/away", Type: "file",
		Verdict: topics.NotRestored})
	attic.ran(j.ID, topics.Finished{State: topics.Failed, Cause: topics.CauseProof, Message: "2 of 302 were not proven",
		Result: &topics.Result{Parts: 1, Count: 302, Drill: &topics.Drilled{Files: 302, Proven: 300, Failed: 2, Complete: true}}},
		topics.Report{Proofs: proofs})
	c, at := w.person(store.Operator), "/jobs/"+string(j.ID)
	for _, url := range []string{at, at + "/proofs"} {
		p := c.shows(url, "Not proven: it differs", "it has other content", strings.Repeat("ab", 32), "Proven: as the host has it")
		at := func(name string) int { return strings.Index(p, "/letters/"+name+"</code>") }
		rotten, away, first := at("rotten"), at("away"), at("n0")
		if rotten < 0 || away < rotten || first < away {
			t.Errorf("%s: what failed stands at %d and %d, what was proven at %d", url, rotten, away, first)
		}
	}
	c.shows(at, "All 302 files")
	c.shows(at+"/proofs?page=2", "251 to 302 of 302 files", words.Bytes(1<<20))
	failed := c.shows(at+"/proofs?kind=failed", "rotten", "away", "Not proven: it did not come back", "2 files")
	if strings.Contains(failed, ">/letters/n0<") {
		t.Error("what was proven is among what failed")
	}
	program := w.program(store.Operator)
	for query, want := range map[string][3]int{"": {302, 302, 302}, "?failed=true": {2, 2, 2}, "?limit=10&after=300": {2, 302, 302},
		"?limit=10": {10, 10, 302}, "?failed=true&limit=1": {1, 1, 2}, "?after=9999": {0, 302, 302}} {
		var got struct {
			Proofs      []topics.Proof
			Next, Total int
		}
		r := program.do("GET", "/api"+at+"/proofs"+query, nil)
		if err := json.Unmarshal([]byte(r.text), &got); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", query, r.Status, err)
		}
		if is := [3]int{len(got.Proofs), got.Next, got.Total}; is != want {
			t.Errorf("%s: %v, want %v", query, is, want)
		}
		if !strings.Contains(query, "after") && got.Proofs[0].Path != "/letters/rotten" {
			t.Errorf("%s: it begins with %s", query, got.Proofs[0].Path)
		}
	}
	if r := program.do("GET", "/api"+at+"/proofs?limit=0", nil); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("no limit at all: %s", r.Status)
	}
}

// TestTheListsOfARestoreComeInPages: what did not come back comes first, each list has a page
// of its own with a filter, and none weighs much.
func TestTheListsOfARestoreComeInPages(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.can = []topics.Ability{topics.RestoresBaskets}
	attic.connect()
	g := attic.group("letters")
	admin, viewer := w.person(store.Admin), w.person(store.Viewer)
	const planned, failed = 620, 310
	deep := "/back/" + strings.Repeat("a folder/", 8)
	var parts []topics.Report
	for i := 0; i < planned; i += 100 {
		var r topics.Report
		for n := i; n < min(i+100, planned); n++ {
			action := topics.PlanNew
			if n < 3 {
				action = topics.PlanOverwrite
			}
			r.Planned = append(r.Planned, topics.Planned{Action: action, Path: fmt.Sprintf("%splan-%03d <&>", deep, n), Size: 5})
			if n < failed {
				r.Failures = append(r.Failures, topics.Failure{Path: fmt.Sprintf("%sfail-%03d", deep, n), Why: "permission denied"})
			}
		}
		parts = append(parts, r)
	}
	j, _, err := w.engine.Ask(t.Context(), "test", attic.id, topics.RestoreJob, g.Repository,
		topics.Operation{Snapshot: strings.Repeat("a", 64), Target: "/back", DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	attic.ran(j.ID, topics.Finished{State: topics.Warnings, Cause: topics.CauseUnreadable, Result: &topics.Result{Parts: len(parts),
		Restore: &topics.Restored{Matched: planned, Restored: planned - 3, Overwritten: 3, Files: planned, Failed: failed}}}, parts...)
	job := "/jobs/" + string(j.ID)
	light := func(text string) string {
		if len(text) > 200<<10 {
			t.Errorf("a page weighs %d KiB", len(text)>>10)
		}
		return text
	}
	count := func(text, what string) int { return strings.Count(text, "<code>"+deep+what) }
	p := light(admin.shows(job, "Cannot be restored", "What would happen", "The first 100 of 620.", "The first 100 of 310.", "All of them",
		job+"/results?list=Cannot+be+restored", job+"/results?list=What+would+happen", "/report"))
	if count(p, "plan-") != 100 || count(p, "fail-") != 100 ||
		strings.Index(p, "Cannot be restored</h2>") > strings.Index(p, "What would happen</h2>") {
		t.Errorf("the job's page shows %d and %d", count(p, "plan-"), count(p, "fail-"))
	}
	plan := job + "/results?list=What+would+happen"
	p = light(admin.shows(plan, "1 to 250 of 620 lines", "plan-000 &lt;&amp;&gt;", "written over what is there", "page=2"))
	if n := count(p, "plan-"); n != 250 || count(p, "fail-") > 0 || strings.Contains(p, "page=0") {
		t.Errorf("its first page shows %d", n)
	}
	p = admin.shows(plan+"&page=3", "501 to 620 of 620 lines", "plan-619", "page=2")
	if n := count(p, "plan-"); n != 120 || strings.Contains(p, "page=4") {
		t.Errorf("its last page shows %d", n)
	}
	p = admin.shows(plan+"&q=PLAN-61", `value="PLAN-61"`)
	if n := count(p, "plan-"); n != 10 {
		t.Errorf("a filter leaves %d", n)
	}
	if p = admin.shows(plan + "&q=over+what"); count(p, "plan-") != 3 {
		t.Errorf("what goes over files is %d", count(p, "plan-"))
	}
	admin.shows(plan+"&q=nosuch", "No line like this.")
	admin.shows(job+"/results?list=Cannot+be+restored&page=2", "251 to 310 of 310 lines", "fail-309", "permission denied")
	for path, c := range map[string]*client{job + "/results": admin, job + "/results?list=Keys": admin, plan: viewer} {
		if r := c.do("GET", path, nil); r.StatusCode != 404 {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
}

// A full drill is asked for on the host's page; into a folder that somebody names only by who
// may restore.
func TestAFullDrillIsAskedForOnThePage(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.connect()
	attic.group("letters")
	at := "/hosts/" + string(attic.id)
	if p := w.person(store.Viewer).shows(at); strings.Contains(p, "Run a full drill") {
		t.Error("a viewer is offered a full drill")
	}
	operator, restorer := w.person(store.Operator), w.person(store.Restorer)
	if p := operator.shows(at, "Run a full drill"); strings.Contains(p, "drill-target") {
		t.Error("an operator is offered a folder")
	}
	restorer.shows(at, "Run a full drill", "drill-target")
	for _, c := range []struct {
		what string
		who  *client
		form url.Values
		want int
		says string
	}{
		{"a folder, by an operator", operator, url.Values{"full": {"true"}, "target": {"/state/restored/all"}}, http.StatusForbidden, ""},
		{"a folder of a sample", restorer, url.Values{"target": {"/state/restored/all"}}, http.StatusUnprocessableEntity, "only a full drill"},
		{"to be kept nowhere", restorer, url.Values{"full": {"true"}, "keep": {"true"}}, http.StatusUnprocessableEntity, "name a target"},
		{"in the agent's own folder", operator, url.Values{"full": {"true"}}, http.StatusSeeOther, ""},
	} {
		r := c.who.do("POST", at+"/drill/run", c.form)
		if r.StatusCode != c.want || !strings.Contains(r.text, c.says) {
			t.Errorf("%s: %s, want %d and %q: %.600s", c.what, r.Status, c.want, c.says, r.text)
		}
	}
	open := must(w.store.OpenJobs(t.Context(), attic.id))
	if len(open) != 1 || open[0].Operation.V == nil || open[0].Operation.V.Drill == nil || !open[0].Operation.V.Drill.Full {
		t.Errorf("asked for %+v", open)
	}
}

// A drill that names no repository is one job for each that the host has. The answer is the
// first and lists the rest, which wait their turn and say for what.
func TestADrillOfAHostIsAJobForEachRepository(t *testing.T) {
	w := newWorld(t)
	attic, program := w.enrol("attic"), w.program(store.Operator)
	attic.connect()
	at, first, second := "/api/hosts/"+string(attic.id)+"/jobs", attic.group("letters"), attic.group("photos")
	type ref struct {
		ID         topics.JobID
		State      topics.JobState
		Repository topics.RepositoryID
		Waiting    struct{ Reason, Text string }
	}
	ask := func(body map[string]any) (answer struct {
		ref
		Rest []ref
	}) {
		t.Helper()
		body["kind"] = "drill"
		r := program.do("POST", at, body)
		if err := json.Unmarshal([]byte(r.text), &answer); err != nil || r.StatusCode != http.StatusAccepted {
			t.Fatalf("%s, %v: %s", r.Status, err, r.text)
		}
		return answer
	}
	got := ask(map[string]any{})
	if len(got.Rest) != 1 || got.Rest[0].Repository != second.Repository {
		t.Fatalf("the answer is %+v", got)
	}
	if run := attic.told(got.ID); run.Kind != topics.DrillJob || run.Repository.ID != first.Repository {
		t.Errorf("the first is %+v", run)
	}
	rest := got.Rest[0].ID
	var j ref
	r := program.do("GET", "/api/jobs/"+string(rest), nil)
	if err := json.Unmarshal([]byte(r.text), &j); err != nil || j.State != topics.Queued || j.Repository != second.Repository ||
		j.Waiting.Reason != string(protocol.WaitBusy) || j.Waiting.Text != jobs.WaitWords(protocol.WaitBusy) {
		t.Errorf("the rest: %v: %s", err, r.text)
	}
	w.person(store.Viewer).shows("/jobs/"+string(rest), "Starts when the host has ended one of its jobs", "/jobs/"+string(got.ID))
	if again := ask(map[string]any{}); again.ID != got.ID || len(again.Rest) != 1 || again.Rest[0].ID != rest {
		t.Errorf("asked twice: %+v, then %+v", got, again)
	}
	if one := ask(map[string]any{"repository": second.Repository}); one.ID != rest || len(one.Rest) > 0 {
		t.Errorf("in one repository: %+v", one)
	}
}

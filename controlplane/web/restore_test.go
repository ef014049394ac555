package web

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// asked plays the hosts that list directories.
type asked struct {
	dirs map[string][]topics.Node
	err  error
	last queries.FilesQuery
}

func (a *asked) Files(_ context.Context, _ jobs.Actor, q queries.FilesQuery) (queries.FilesPage, error) {
	a.last = q
	if a.err != nil {
		return queries.FilesPage{}, a.err
	}
	all := a.dirs[q.Path]
	from := 0
	for q.After != "" && queries.Further("", from) != q.After && from < len(all) {
		from++
	}
	to := min(from+250, len(all))
	p := queries.FilesPage{Path: q.Path, Entries: all[from:to], Total: len(all)}
	if to < len(all) {
		p.Next = queries.Further("", to)
	}
	return p, nil
}

func (a *asked) Directories(_ context.Context, _ jobs.Actor, _ topics.HostID, path string) (queries.DirectoryPage, error) {
	if a.err != nil {
		return queries.DirectoryPage{}, a.err
	}
	free := uint64(5 << 30)
	return queries.DirectoryPage{Path: path, FreeBytes: &free, Entries: []topics.Directory{{Name: "back", Writable: true}, {Name: "etc"}}}, nil
}

func (a *asked) SSH(context.Context, jobs.Actor, topics.HostID, topics.SSHQuery) (topics.SSHState, error) {
	return topics.SSHState{}, a.err
}

const odd = "a b\n\"<b>\u202e%41 -rf"

// wizard is a world with a host, two snapshots of it, and somebody who looks for files.
func wizard(t *testing.T) (*world, *agent, store.SourceGroup, *asked, [2]string) {
	w := newWorld(t)
	a := &asked{dirs: map[string][]topics.Node{
		"/": {{Name: "letters", Path: "/letters", Type: "dir", Mode: 0o755}},
		"/letters": {{Name: "2026", Path: "/letters/2026", Type: "dir", Mode: 0o2755, User: "anna", Group: "anna"},
			{Name: odd, Path: "/letters/" + odd, Type: "file", Size: 2048, Mode: 0o4755},
			{Name: "now", Path: "/letters/now", Type: "symlink", Target: "2026", Mode: 0o777},
			{Name: "caf\uFFFD", Path: "/letters/caf\uFFFD", Type: "file", Broken: true}},
		"/letters/2026": {{Name: "1.txt", Path: "/letters/2026/1.txt", Type: "file", Size: 3}},
	}}
	w.web.restores.Asker = a
	h := w.enrol("attic")
	h.can = []topics.Ability{topics.RestoresBaskets, topics.AnswersQueries}
	h.connect()
	g := h.group("letters")
	ids := [2]string{strings.Repeat("a", 64), strings.Repeat("b", 64)}
	for i, id := range ids {
		h.ran(w.backup(h), topics.Finished{State: topics.Succeeded, RepositoryReady: true,
			Snapshot: &topics.Snapshot{ID: id, Time: w.store.Now() - int64(2-i)*60_000, Host: "attic", Paths: []string{"/letters"},
				Tags: []string{"plan=" + string(g.ID)}},
			Summary: &topics.Summary{TotalFiles: 4, TotalBytes: 4096, DataAdded: 512}})
	}
	return w, h, g, a, ids
}

// begin makes a draft with a snapshot, and returns its address.
func (c *client) begin(g store.SourceGroup, snapshot string) string {
	c.w.t.Helper()
	r := c.do("POST", "/restore/new", url.Values{"snapshot": {string(g.Repository) + "/" + snapshot}})
	to := r.Header.Get("Location")
	if r.StatusCode != http.StatusSeeOther || !strings.HasSuffix(to, "/files") {
		c.w.t.Fatalf("begin: %s to %q\n%s", r.Status, to, r.text)
	}
	return strings.TrimSuffix(to, "/files")
}

func TestARestoreIsPutTogetherPageByPage(t *testing.T) {
	w, h, g, a, ids := wizard(t)
	c := w.person(store.Restorer)
	c.shows("/restore", "You have no drafts")
	page := views.RestoreNewURL(string(g.Repository), ids[1], "", "/letters/2026")
	c.shows(page, "aaaaaaaa", "bbbbbbbb", `value="`+string(g.Repository)+"/"+ids[1]+`" checked`, "You begin with /letters/2026")

	d := c.begin(g, ids[0])
	text := c.shows(d+"/files", "letters", "Everything in /")
	if strings.Contains(text, "\u202e") {
		t.Error("a name deceives")
	}
	text = c.shows(d+"/files?path=/letters", "-rwsr-xr-x", "drwxr-sr-x anna:anna", " → 2026", "2.00 KiB", "not UTF-8")
	if strings.Contains(text, "\u202e") || !strings.Contains(text, "a b%0A&#34;&lt;b&gt;%E2%80%AE%2541 -rf") {
		t.Error("a name with anything in it is not sent back as it is")
	}
	tick := func(snapshot string, form url.Values) answer {
		form.Set("snapshot", snapshot)
		return c.do("POST", d+"/basket", form, "HX-Request", "true")
	}
	r := tick(ids[0], url.Values{"tick": {"f2048 " + views.PathCode("/letters/"+odd)}})
	if r.StatusCode != http.StatusOK || !strings.Contains(r.text, "1 file, 2.00 KiB") {
		t.Fatalf("ticked: %s\n%s", r.Status, r.text)
	}
	// The moment changes, and what was ticked stays.
	if r := c.do("POST", d+"/snapshot", url.Values{"snapshot": {string(g.Repository) + "/" + ids[1]}, "version": {"1"}}); r.StatusCode != 303 {
		t.Fatalf("another moment: %s\n%s", r.Status, r.text)
	}
	r = tick(ids[1], url.Values{"tick": {"d /letters/2026"}})
	if !strings.Contains(r.text, "1 file, 2.00 KiB, and 1 folder") {
		t.Fatalf("of another snapshot: %s", r.text)
	}
	c.shows(d+"/files?path=/letters/2026", `disabled`, "Selected") // included by the folder above
	// The same place from two snapshots cannot be in one restore.
	if r := tick(ids[0], url.Values{"tick": {"f3 /letters/2026/1.txt"}}); r.StatusCode != http.StatusConflict ||
		!strings.Contains(r.text, "would go to the same place") {
		t.Errorf("one place from two snapshots: %s\n%s", r.Status, r.text)
	}
	// Of one path a basket holds one version: a further one is refused, unless it was chosen instead.
	version := url.Values{"tick": {"f2047 " + views.PathCode("/letters/"+odd)}}
	if r := tick(ids[1], version); r.StatusCode != http.StatusConflict {
		t.Errorf("another version of a path, ticked: %s\n%s", r.Status, r.text)
	}
	version.Set("instead", "1")
	if r := tick(ids[1], version); !strings.Contains(r.text, "1 file, 2.00 KiB, and 1 folder") || strings.Contains(r.text, "aaaaaaaa") {
		t.Errorf("another version of a path, chosen: %s\n%s", r.Status, r.text)
	}
	if r := c.do("POST", "/restore/new", url.Values{"snapshot": {string(g.Repository) + "/" + ids[0]}, "type": {"file"}, "size": {"2048"},
		"path": {views.PathCode("/letters/" + odd)}, "into": {strings.TrimPrefix(d, "/restore/")}}); r.Header.Get("Location") != d+"/files" {
		t.Errorf("a version added to a restore: %s\n%s", r.Status, r.text)
	}
	moment := url.Values{"snapshot": {string(g.Repository) + "/" + ids[1]}, "version": {"99"}}
	if r := c.do("POST", d+"/snapshot", moment); r.StatusCode != 303 {
		t.Fatalf("back to the moment: %s\n%s", r.Status, r.text)
	}
	// Without a script, a form says what it changed and nothing else.
	if r := c.do("POST", d+"/basket", url.Values{"snapshot": {ids[1]}, "was": {"d /letters/2026"}, "tick": {"f1 /letters/x"},
		"back": {d + "/files?path=/letters"}}); r.Header.Get("Location") != d+"/files?path=/letters" {
		t.Errorf("without a script: %s to %q", r.Status, r.Header.Get("Location"))
	}
	c.shows(d+"/files", "2 files, 2.00 KiB")
	a.err = &queries.Refused{Cause: queries.CauseOffline, Title: "The host is offline", Say: "attic is not connected.", Do: "Start it."}
	c.shows(d+"/files", "The host is offline", "attic is not connected. Start it.", "Try again", "2 files, 2.00 KiB")
	c.shows(d+"/directories?host="+string(h.id)+"&path=/srv", "The host is offline", "Try again")
	a.err = nil
	c.shows(d+"/directories?host="+string(h.id)+"&path=/srv", "5.00 GiB free", "nothing may be written here", "path=%2Fsrv%2Fback")

	if text := c.shows(d+"/destination", "To which host?", "host", "A new folder"); !strings.Contains(text, "root of a file system") {
		t.Error("a host without limits may be restored to at the root, and nobody is asked to confirm it")
	}
	form := url.Values{"host": {string(h.id)}, "where": {"new"}, "overwrite": {"never"}, "owners": {"1"}, "version": {"9"},
		"then": {"preview"}}
	r = c.do("POST", d+"/destination", form)
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != d+"/review" {
		t.Fatalf("preview: %s to %q\n%s", r.Status, r.Header.Get("Location"), r.text)
	}
	c.shows(d+"/review", "The dry run is under way", "The dry run is still going on", "disabled")
	draft := must(w.store.Drafts().List(t.Context(), userOf(t, w, c)))[0]
	dry := draft.Body.V.DryRun
	h.ran(dry, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Restore: &topics.Restored{Matched: 3, Restored: 2,
		Skipped: 1, Files: 2, Bytes: 2048, Digest: strings.Repeat("d", 64), NeedBytes: 4096, FreeBytes: 1 << 30, Estimated: true}}},
		topics.Report{Planned: []topics.Planned{{Action: "new", Path: "/back/letters/" + odd, Size: 2048}, {Action: "keep", Path: "/back/x"}}})
	text = c.shows(d+"/review", "Restore 2 files, 2.00 KiB", "It needs 4.00 KiB; 1.00 GiB are free there", "Left as it is", "1 to 2 of 2")
	if strings.Contains(text, "disabled") {
		t.Error("the restore cannot be begun")
	}
	run := url.Values{"version": {fmt.Sprint(draft.Version)}, "dry_run": {string(dry)}, "reason": {"ticket 7"}}
	// Another tab changes the selection: the button is off there, and a page from before is refused.
	tick(ids[1], url.Values{"tick": {"f1 /letters/y"}})
	c.shows(d+"/review", "This dry run counts no longer", "The selection was changed since.", "disabled")
	if r := c.do("POST", d+"/run", run); r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "changed meanwhile") {
		t.Errorf("a page from before: %s", r.Status)
	}
	tick(ids[1], url.Values{"remove": {"/letters/y"}})
	draft = must(w.store.Drafts().List(t.Context(), draft.User))[0]
	run.Set("version", fmt.Sprint(draft.Version))
	c.shows(d+"/review", "Dry run finished")
	r = c.do("POST", d+"/run", run)
	job, found := strings.CutPrefix(r.Header.Get("Location"), "/jobs/")
	if !found {
		t.Fatalf("run: %s\n%s", r.Status, r.text)
	}
	j := must(w.store.Job(t.Context(), topics.JobID(job)))
	if o := j.Operation.V; o.Preview == nil || o.Preview.Job != dry || o.DryRun || len(o.Items) != 2 {
		t.Errorf("asked for %+v", o)
	}
	if text := w.person(store.Admin).do("GET", "/api/audit", nil).text; !strings.Contains(text, "reason: ticket 7") {
		t.Error("the reason is not in the audit log")
	}
	c.shows("/restore", "Open the job", "Discard")
	// Each of the two jobs leads on.
	c.shows("/jobs/"+string(dry), `class="btn btn-primary" href="`+d+`/review"`, "Go on to the restore")
	if text := c.shows("/jobs/"+job, "/jobs/"+string(dry)); strings.Contains(text, "Restore more") {
		t.Error("a restore that has not ended leads on")
	}
	h.ran(topics.JobID(job), topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Restore: &topics.Restored{Matched: 2,
		Restored: 2, Files: 2}}})
	text = c.shows("/jobs/"+job, `class="btn btn-primary" href="`+d+`/files"`, "Restore more", "By the dry run", "Run again")
	if strings.Count(text, "btn-primary") != 1 {
		t.Error("more than one button stands out")
	}
	if text := w.person(store.Restorer).shows("/jobs/"+job, "Restore more", "/restore/new?"); strings.Contains(text, d) {
		t.Error("somebody's draft is offered to somebody else")
	}
}

// userOf is the only person that a world has with drafts.
// TestALongPlanIsLookedAtPageByPage lets the stream of a review draw the page of planned
// changes that is looked at, and no other one over it.
func TestALongPlanIsLookedAtPageByPage(t *testing.T) {
	w, h, g, _, ids := wizard(t)
	c := w.person(store.Restorer)
	d := c.begin(g, ids[0])
	c.do("POST", d+"/basket", url.Values{"snapshot": {ids[0]}, "tick": {"d /letters/2026"}}, "HX-Request", "true")
	form := url.Values{"host": {string(h.id)}, "where": {"new"}, "overwrite": {"never"}, "owners": {"1"}, "then": {"preview"}}
	if r := c.do("POST", d+"/destination", form); r.Header.Get("Location") != d+"/review" {
		t.Fatalf("preview: %s\n%s", r.Status, r.text)
	}
	draft := must(w.store.Drafts().List(t.Context(), userOf(t, w, c)))[0]
	var planned []topics.Planned
	for i := range 120 {
		planned = append(planned, topics.Planned{Action: topics.PlanNew, Path: fmt.Sprintf("/back/%03d.txt", i), Size: 1})
	}
	h.ran(draft.Body.V.DryRun, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Restore: &topics.Restored{
		Matched: 120, Restored: 120, Files: 120, Bytes: 120, Digest: strings.Repeat("d", 64)}}}, topics.Report{Planned: planned})
	for page, holds := range []string{1: "/back/000.txt", 2: "/back/050.txt", 3: "/back/119.txt"} {
		if page == 0 {
			continue
		}
		text := c.shows(views.RestoreDryURL(draft.ID, page), holds)
		stream := views.RestoreStream(draft.ID, page)
		if !strings.Contains(text, html.EscapeString(stream)+`"`) {
			t.Errorf("page %d has another stream than %s", page, stream)
		}
		f := c.feed(stream)
		for {
			m, ok := f.next()
			if !ok {
				t.Fatalf("page %d: the stream ended", page)
			}
			if strings.Contains(m.data, "restore-dry") {
				if !strings.Contains(m.data, holds) || strings.Contains(m.data, "/back/049.txt") != (page == 1) {
					t.Errorf("page %d: the stream draws another page: %.600s", page, m.data)
				}
				break
			}
		}
	}
}

func userOf(t *testing.T, w *world, c *client) string {
	t.Helper()
	for _, u := range must(w.store.Users(t.Context())) {
		if len(must(w.store.Drafts().List(t.Context(), u.ID))) > 0 {
			return u.ID
		}
	}
	t.Fatal("nobody has a draft")
	return ""
}

// What two tabs do is not lost silently, a draft is nobody else's, and what is gone meanwhile
// is said where it matters.
func TestADraftOutlivesWhatHappensMeanwhile(t *testing.T) {
	w, h, g, _, ids := wizard(t)
	c, admin := w.person(store.Restorer), w.person(store.Admin)
	d := c.begin(g, ids[0])
	for _, page := range []string{"", "/snapshot", "/files", "/destination", "/review", "/directories"} {
		if r := admin.do("GET", d+page, nil); r.StatusCode != http.StatusNotFound || !strings.Contains(r.text, "This draft is not there") {
			t.Errorf("an administrator opens somebody's %q: %s", page, r.Status)
		}
	}
	if r := admin.do("POST", d+"/basket", url.Values{"snapshot": {ids[0]}, "tick": {"d /letters"}}); r.StatusCode != http.StatusNotFound {
		t.Errorf("an administrator changes somebody's draft: %s", r.Status)
	}
	if r := c.do("GET", "/restore/nothing/files", nil); r.StatusCode != http.StatusNotFound {
		t.Errorf("a draft that was swept: %s", r.Status)
	}
	// Two tabs choose other moments.
	choose := func(id string) answer {
		return c.do("POST", d+"/snapshot", url.Values{"snapshot": {string(g.Repository) + "/" + id}, "version": {"1"}})
	}
	if r := choose(ids[1]); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("one tab: %s", r.Status)
	}
	if r := choose(ids[0]); r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "Another tab changed the moment") ||
		!strings.Contains(r.text, `value="`+string(g.Repository)+"/"+ids[0]+`" checked`) {
		t.Errorf("the other tab: %s\n%s", r.Status, r.text)
	}
	// Both tick, and both count.
	for _, path := range []string{"/letters/a", "/letters/b"} {
		c.do("POST", d+"/basket", url.Values{"snapshot": {ids[1]}, "tick": {"f1 " + path}})
	}
	c.shows(d+"/files", "2 files")
	// Two tabs choose other places.
	place := func(folder string) answer {
		return c.do("POST", d+"/destination", url.Values{"host": {string(h.id)}, "where": {"folder"}, "folder": {folder}, "owners": {"1"},
			"overwrite": {"never"}, "version": {"4"}})
	}
	if r := place("/srv/one"); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("one tab: %s\n%s", r.Status, r.text)
	}
	if r := place("/srv/two"); r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "/srv/one on attic") ||
		!strings.Contains(r.text, `value="/srv/two"`) {
		t.Errorf("the other tab: %s\n%s", r.Status, r.text)
	}
	for form, want := range map[string]string{
		"where=folder":                           "Type a folder, or browse for one.",
		"where=folder&folder=back":               "It has to be a whole path on the host",
		"where=folder&folder=/":                  "This is the root of a file system",
		"where=original":                         "if the files are to go over the original ones",
		"where=original&confirm=other":           "if the files are to go over the original ones",
		"where=folder&folder=/x&overwrite=later": "Choose one of these.",
	} {
		q := must(url.ParseQuery(form + "&owners=1&version=9&host=" + string(h.id)))
		if r := c.do("POST", d+"/destination", q); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(r.text, want) {
			t.Errorf("%s: %s, want %q", form, r.Status, want)
		}
	}
	// The snapshot is forgotten.
	op := w.person(store.Operator)
	o := op.begin(g, ids[0])
	op.do("POST", o+"/basket", url.Values{"snapshot": {ids[0]}, "tick": {"d /letters"}})
	op.shows(o+"/destination", "It needs the role restorer.")
	h.lists(g.Repository, topics.Snapshot{ID: ids[0], Time: w.store.Now() - 120_000, Host: "attic", Paths: []string{"/letters"}})
	c.shows(d+"/files", "This snapshot is not there any more", "forgotten meanwhile", "Choose another moment")
	if r := choose(ids[1]); r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "forgotten meanwhile") {
		t.Errorf("a snapshot that is gone is chosen: %s", r.Status)
	}
	// Viewers and operators.
	if r := w.person(store.Viewer).do("GET", "/restore", nil); r.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer: %s", r.Status)
	}
	c.shows(d+"/discard", "Discard this draft?", "forgotten meanwhile", "Keep it")
	if r := c.do("GET", d, nil); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a draft that was only asked about: %s", r.Status)
	}
	c.do("POST", d+"/discard", nil)
	if r := c.do("GET", d, nil); r.StatusCode != http.StatusNotFound {
		t.Errorf("a discarded draft: %s", r.Status)
	}
}

// A folder of 10,000 entries is sent in pages, the first of them small.
func TestALargeFolderIsSentInPages(t *testing.T) {
	w, _, g, a, ids := wizard(t)
	for i := range 10_000 {
		a.dirs["/many"] = append(a.dirs["/many"], topics.Node{Name: fmt.Sprintf("a-file-with-a-name-%05d.txt", i), Type: "file",
			Path: fmt.Sprintf("/many/a-file-with-a-name-%05d.txt", i), Size: uint64(i) * 1000, Mode: 0o644, User: "anna", Group: "anna",
			ModTime: w.store.Now()})
	}
	c := w.person(store.Restorer)
	d := c.begin(g, ids[0])
	text := c.shows(d+"/files?path=/many", "10,000 entries", "Load more")
	t.Logf("the first page weighs %d KiB", len(text)>>10)
	if n := strings.Count(text, `name="tick"`); n != 251 || len(text) > 152<<10 {
		t.Errorf("%d boxes in %d bytes, want 251 in at most 152 KiB", n, len(text))
	}
	rows := c.do("GET", d+"/files?path=/many&after="+queries.Further("", 250), nil, "HX-Request", "true").text
	if strings.Contains(rows, "<html") || strings.Count(rows, `name="tick"`) != 250 || !strings.Contains(rows, "00499.txt") {
		t.Error("the page behind it is not its rows alone")
	}
	c.shows(d+"/files?path=/many&q=-09999", "a-file-with-a-name-09999.txt", "1 entry")

	// However long the names are, and whatever is in them, a page stays below 200 KiB, and none is left out.
	deep := "/" + strings.Repeat("a directory of a long name/", 40) + "x"
	for what, name := range map[string]string{"long": "a file with a long name", "quotes": strings.Repeat(`"<&>'`, 49),
		"escapes": strings.Repeat("\n\x01\u202e", 60), "wide": strings.Repeat("日本語", 28)} {
		for _, dir := range []string{"/" + what, deep + what} {
			for i := range 600 {
				e := topics.Node{Name: fmt.Sprintf("%s %04d", name, i), Type: []string{"file", "dir"}[i%2], User: "anna", Group: "anna",
					ModTime: w.store.Now()}
				e.Path = dir + "/" + e.Name
				a.dirs[dir] = append(a.dirs[dir], e)
			}
			for _, filter := range []string{"", " 0"} {
				seen, page := 0, d+"/files?"+url.Values{"path": {dir}, "q": {filter}}.Encode()
				for n := 0; page != "" && n < 700; n++ {
					text := c.do("GET", page, nil).text
					seen += strings.Count(text, `class="trow"`)
					if len(text) > 200<<10 {
						t.Fatalf("%s names: the page weighs %d KiB", what, len(text)>>10)
					}
					_, more, _ := strings.Cut(text, `<li class="tree-more">`)
					_, more, _ = strings.Cut(more, `href="`)
					more, _, _ = strings.Cut(more, `"`)
					page = html.UnescapeString(more)
				}
				if seen != 600 {
					t.Errorf("%s names, filter %q: %d are shown, want 600", what, filter, seen)
				}
			}
		}
	}
}

func TestARestoreLeadsOnWhereNoHostIsConnected(t *testing.T) {
	w, h, g, a, ids := wizard(t)
	c := w.person(store.Admin)
	d := c.begin(g, ids[0])
	kit, replace := views.KitURL(string(g.Repository)), views.ReplacementURL(string(h.id))
	for _, connected := range []bool{true, false} {
		if !connected {
			death := topics.Topic{Kind: topics.KindDeath, Host: h.id}.String()
			w.engine.Received(death, topics.Encode(topics.Death{Session: h.session, Reason: topics.Lost,
				MAC: h.channel.Sign(death, h.session.Signed(topics.Lost))}), true)
			await(t, "the host to be gone", func() error {
				if w.web.Presence.Reachable(h.id) {
					return errors.New("it is there")
				}
				return nil
			})
			a.err = &queries.Refused{Cause: queries.CauseOffline, Title: "The host is offline"}
		}
		c.do("POST", d+"/basket", url.Values{"snapshot": {ids[0]}, "tick": {"d /letters"}}, "HX-Request", "true")
		for _, page := range []string{"/files", "/destination"} {
			text := c.shows(d + page)
			if ways := strings.Contains(text, kit) && strings.Contains(text, replace); ways == connected {
				t.Errorf("%s, connected: %v: leads to the emergency kit and a replacement: %v", page, connected, ways)
			}
		}
	}
}

// In a large fleet the first page lists neither every host nor every repository: a part of a
// name finds one, without a script too, and of several it asks which.
func TestARestoreOfALargeFleetFindsItsHost(t *testing.T) {
	w, h, g, _, ids := wizard(t)
	var others []*agent
	for n := range views.MostRunners + 10 {
		others = append(others, w.enrol(fmt.Sprintf("web-%03d", n)))
		name := fmt.Sprintf("vault-%03d", n)
		if err := w.store.AddRepository(t.Context(), "test", store.Repository{ID: topics.RepositoryID(topics.NewID(time.Now())), Name: name,
			Location: "/srv/" + name}, store.RepositoryAccess{URL: topics.Secret("/srv/" + name), Password: "secret"}); err != nil {
			t.Fatal(err)
		}
	}
	c := w.person(store.Restorer)
	text := c.shows("/restore/new", "Name of a host", "Name of a repository", ids[0][:8])
	if n := strings.Count(text, `<option value="web-`) + strings.Count(text, `<option value="vault-`); n > 2*views.MostRunners {
		t.Errorf("it suggests %d hosts and repositories", n)
	}
	if len(text) > 60<<10 {
		t.Errorf("the page weighs %d KiB", len(text)>>10)
	}
	c.shows("/restore/new?host=TIC", `value="attic"`, ids[0][:8], ids[1][:8])
	c.shows("/restore/new?host="+string(h.id), `value="attic"`, ids[0][:8])
	c.shows("/restore/new?host=web-059", `value="web-059"`, "No snapshot is known here")
	c.shows("/restore/new?host=nobody", "No host is called “nobody”")
	text = c.shows("/restore/new?host=web-00&before=2026-01-02T03:04", "10 hosts hold “web-00” in their names", "before=2026-01-02",
		"host="+string(others[3].id))
	if strings.Contains(text, ids[0][:8]) || !strings.Contains(text, "disabled") {
		t.Error("of several hosts none is asked for, and snapshots are listed")
	}
	text = c.shows("/restore/new?host=web", "60 hosts hold", "Type more of the name")
	if strings.Count(text, "?host=") > views.MostRunners+10 {
		t.Error("it lists them all")
	}
	c.shows("/restore/new?repository="+string(g.Repository), ids[0][:8])
	c.shows("/restore/new?repository=vault-059", "No snapshot is known here")
}

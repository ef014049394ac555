package web

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/net/html"

	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An offer is a link or a button that a page shows enabled, with what pressing it
// sends.
type offer struct {
	method, path string
	form         url.Values // of a POST
	right        rights.Right
}

// key tells offers of one page apart. Sessions are each person's own.
func (o offer) key() string {
	path := o.path
	if strings.HasPrefix(path, "/sessions/") {
		path = "/sessions/{id}/end"
	}
	text := o.method + " " + path + " " + string(o.right)
	if k := o.form.Get("kind"); k != "" {
		text += " " + k
	}
	return text + strings.TrimSuffix(" over "+o.form.Get("overwrite"), " over ")
}

// rightOf is the right that an offer takes: its route's, and of those that ask for a
// job that of the job.
func (w *world) rightOf(method, path string, f url.Values) (right rights.Right, known bool) {
	u := must(url.Parse(path))
	rc := chi.NewRouteContext()
	if !w.web.mux.Match(rc, method, u.Path) {
		return "", false
	}
	pattern := rc.RoutePattern()
	for _, rt := range w.web.routes() {
		if rt.method == method && rt.path == pattern {
			right = rt.right
		}
	}
	o := topics.Operation{Target: f.Get("target"), Overwrite: f.Get("overwrite"), All: f.Get("all") != "", DryRun: f.Get("dry_run") != ""}
	if pattern == "/repositories/{id}" && u.Query().Has("forget") {
		return rights.Forget, true // leads to the form, filled in
	}
	switch pattern {
	case "/repositories/{id}/run", "/repositories/{id}/maintenance":
		if f.Get("plan") != "" {
			return rights.Approve, true
		}
		host := topics.HostID(f.Get("host"))
		right = rights.Of(rights.Job{Kind: topics.JobKind(f.Get("kind")), Operation: o,
			Strange: host != "" && !must(w.store.HasRepository(w.t.Context(), host, topics.RepositoryID(rc.URLParam("id")), ""))})
	case "/hosts/{id}/run/{kind}":
		in, _, _ := strings.Cut(f.Get("repository")+f.Get("snapshot")+f.Get("from"), "/")
		right = rights.Of(rights.Job{Kind: topics.JobKind(rc.URLParam("kind")), Operation: o, Outside: o.Target != "",
			Strange: !must(w.store.HasRepository(w.t.Context(), topics.HostID(rc.URLParam("id")), topics.RepositoryID(in), ""))})
	case "/jobs/{id}/again":
		j := must(w.store.Job(w.t.Context(), topics.JobID(rc.URLParam("id"))))
		again := rights.Job{Kind: j.Kind}
		if j.Operation.V != nil {
			again.Operation = *j.Operation.V
		}
		if j.Kind == topics.RestoreJob {
			n, err := w.store.SnapshotByID(w.t.Context(), j.Repository, again.Operation.Snapshot)
			again.Another = err != nil || n.Host != j.Host
			again.Outside = !again.Operation.Fresh && f.Get("elsewhere") == ""
		}
		right = rights.Of(again)
	}
	return right, true
}

// forbids reports whether the host that a form begins with allows no job of its kind. For
// an administrator there are others in the list.
func (w *world) forbids(o offer) bool {
	h, err := w.store.Host(w.t.Context(), topics.HostID(o.form.Get("host")))
	return err == nil && !h.Permits.V.Allows(topics.JobKind(o.form.Get("kind")))
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// offersOf are what a page offers, and where its links lead.
func (w *world) offersOf(at, page string) (list []offer, links []string) {
	w.t.Helper()
	here := must(url.Parse(at))
	lead := func(to string) string {
		u := here.ResolveReference(must(url.Parse(to)))
		u.Fragment = ""
		return u.RequestURI()
	}
	add := func(method, path string, f url.Values) {
		right, known := w.rightOf(method, path, f)
		if !known {
			w.t.Errorf("%s leads to %s %s, which is no route", at, method, path)
			return
		}
		list = append(list, offer{method, path, f, right})
	}
	for n := range must(html.Parse(strings.NewReader(page))).Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, name := range []string{"href", "hx-get"} {
			to, ok := attr(n, name)
			if _, download := attr(n, "download"); !ok || n.Data == "link" || n.Data == "use" || strings.HasPrefix(to, "#") || n.Data == "form" {
				continue
			} else if !download && name == "href" {
				links = append(links, lead(to))
			}
			add("GET", lead(to), nil)
		}
		if n.Data != "form" {
			continue
		}
		action, _ := attr(n, "action")
		if m, _ := attr(n, "method"); m != "post" {
			add("GET", lead(action), nil)
			continue
		}
		f, overwrites, buttons := url.Values{}, []string{""}, []*html.Node{}
		for d := range n.Descendants() {
			if d.Type != html.ElementNode {
				continue
			}
			_, disabled := attr(d, "disabled")
			name, _ := attr(d, "name")
			value, _ := attr(d, "value")
			kind, _ := attr(d, "type")
			_, checked := attr(d, "checked")
			switch {
			case d.Data == "button" && !disabled && kind != "button":
				buttons = append(buttons, d)
			case d.Data == "input" && !disabled && (kind != "checkbox" && kind != "radio" || checked):
				f.Add(name, value)
			case d.Data == "textarea" && !disabled:
				f.Set(name, text(d))
			case d.Data == "select" && !disabled:
				var values []string
				for o := range d.Descendants() {
					if _, off := attr(o, "disabled"); o.Type == html.ElementNode && o.Data == "option" && !off {
						v, _ := attr(o, "value")
						values = append(values, v)
					}
				}
				if name == "overwrite" {
					overwrites = values
				} else if len(values) > 0 {
					f.Set(name, values[0])
				}
			}
		}
		for _, b := range buttons {
			for _, over := range overwrites {
				sent := maps.Clone(f)
				if over != "" {
					sent.Set("overwrite", over)
					if over != "never" { // anywhere; without a target it goes into a new folder
						sent.Set("target", "/var/tmp/back")
					}
				}
				if name, ok := attr(b, "name"); ok {
					value, _ := attr(b, "value")
					sent.Set(name, value)
				}
				add("POST", lead(action), sent)
			}
		}
	}
	return list, links
}

// walked are the pages that somebody finds who follows every link, with what each
// offers.
func (c *client) walked() map[string][]offer {
	c.w.t.Helper()
	pages, open := map[string][]offer{}, []string{"/"}
	for len(open) > 0 {
		at := open[0]
		if open = open[1:]; pages[at] != nil {
			continue
		}
		r := c.do("GET", at, nil)
		if r.StatusCode != http.StatusOK {
			c.w.t.Errorf("%s is led to and answers %s", at, r.Status)
			pages[at] = []offer{}
			continue
		}
		pages[at] = []offer{}
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			continue
		}
		offers, links := c.w.offersOf(at, r.text)
		pages[at] = append(pages[at], offers...)
		open = append(open, links...)
	}
	return pages
}

// busyWorld has something of everything that pages speak of.
func busyWorld(t *testing.T) *world {
	w := newWorld(t)
	attic, cellar, gone, bound := w.enrol("attic"), w.enrol("cellar"), w.enrol("gone"), w.enrol("bound")
	g := attic.group("letters")
	bound.group("papers")
	lost := w.enrol("lost")
	lost.group("photos")
	w.replaced(lost)
	ctx := t.Context()
	if _, err := w.store.Revoke(ctx, "test", gone.id); err != nil {
		t.Fatal(err)
	}
	attic.can = []topics.Ability{topics.RemakesSnapshots, topics.CopiesSnapshots}
	bound.permits("linux", topics.Permits{Kinds: []topics.JobKind{topics.SnapshotsJob}})
	attic.connect()
	_ = cellar
	admin := w.person(store.Admin)
	page := "/repositories/" + string(g.Repository)
	attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &topics.Snapshot{
		ID: strings.Repeat("a", 64), Time: time.Now().UnixMilli(), Host: "host", Paths: []string{"/letters"}}})
	attic.ran(w.backup(attic), topics.Finished{State: topics.Failed, Cause: topics.CauseUnreachable, Message: "refused"})
	ask := func(kind string, f url.Values) {
		t.Helper()
		f.Set("kind", kind)
		f.Set("host", string(attic.id))
		if r := admin.do("POST", page+"/run", f); r.StatusCode != 303 {
			t.Fatalf("%s: %s %s", kind, r.Status, r.text)
		}
	}
	ask("check", url.Values{})
	attic.looks()
	attic.ran(attic.asked(topics.CheckJob).ID, topics.Finished{State: topics.Failed, Cause: topics.CauseDamaged,
		Result: &topics.Result{Check: &topics.Checked{Errors: 2}}})
	ask("locks", url.Values{})
	attic.ran(attic.asked(topics.LocksJob).ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 1}},
		topics.Report{Locks: []topics.Lock{{ID: strings.Repeat("c", 64), Time: time.Now().UnixMilli(), Host: "laptop", User: "anna", PID: 77}}})
	ask("key", url.Values{})
	attic.ran(attic.asked(topics.KeyJob).ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 2}},
		topics.Report{Keys: []topics.Key{{ID: strings.Repeat("1", 64), Current: true}, {ID: strings.Repeat("2", 64), User: "eve"}}})
	for _, o := range []topics.Operation{{Overwrite: "always"}, {}} { // one that operators may have again, and one that not
		o.Snapshot, o.Target = strings.Repeat("a", 64), "/var/tmp/back"
		j, _, err := w.engine.Ask(ctx, "test", attic.id, topics.RestoreJob, g.Repository, o)
		if err != nil {
			t.Fatal(err)
		}
		attic.ran(j.ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Restore: &topics.Restored{Files: 1}}})
	}
	attic.start(w.backup(attic)) // and goes on
	for path, body := range map[string]any{
		"/api/hosts/" + string(attic.id) + "/schedules/nightly": map[string]any{"cron": "30 2 * * *", "source_groups": []string{"letters"}},
		"/api/repositories/" + string(g.Repository) + "/mirror": map[string]any{"to": attic.group("copies").Repository, "host": attic.id},
	} {
		if r := w.program(store.Admin).do("PUT", path, body); r.StatusCode != 200 {
			t.Fatalf("%s: %s %s", path, r.Status, r.text)
		}
	}
	if r := w.program(store.Admin).do("POST", "/api/consumers", `{"name":"home"}`); r.StatusCode != 201 {
		t.Fatalf("a consumer: %s %s", r.Status, r.text)
	}
	return w
}

// Nothing that a page shows enabled answers that one may not; nothing that one may do
// is missing from a page on which an administrator finds it; and what is missing is
// refused if it is sent in spite of that.
func TestPagesOfferWhatARoleMayDo(t *testing.T) {
	w := busyWorld(t)
	people, found := map[store.Role]*client{}, map[store.Role]map[string][]offer{}
	for _, role := range store.Roles {
		people[role] = w.person(role)
	}
	for _, role := range store.Roles {
		found[role] = people[role].walked()
	}
	used := map[rights.Right]bool{}
	for _, role := range store.Roles {
		for at, offers := range found[role] {
			shown := map[string]bool{}
			for _, o := range offers {
				shown[o.key()] = true
				used[o.right] = true
				if !rights.May(role, o.right) {
					t.Errorf("%s offers %s to a %s", at, o.key(), role)
				}
			}
			for _, o := range found[store.Admin][at] {
				if rights.May(role, o.right) && !shown[o.key()] && !w.forbids(o) {
					t.Errorf("%s hides %s from a %s", at, o.key(), role)
				}
			}
		}
	}
	for at := range found[store.Admin] {
		right, _ := w.rightOf("GET", at, nil)
		for _, role := range store.Roles {
			if _, walked := found[role][at]; walked != rights.May(role, right) && right != rights.Self {
				t.Errorf("a %s finds %s: %t, and has the right %s: %t", role, at, walked, right, rights.May(role, right))
			}
		}
	}
	for _, row := range rights.Table() {
		for _, r := range row.Rights {
			if r == rights.Browse || r == rights.Places { // of the API, and of the script of a page
				continue
			}
			if !used[r] && r != rights.Approve && r != rights.Run {
				t.Errorf("no page offers what takes the right %s", r)
			}
		}
	}

	// And now for real: what the pages offered to an administrator, sent by others.
	tried := map[string]int{}
	for _, role := range []store.Role{store.Viewer, store.Operator, store.Restorer} {
		sent := map[string]bool{}
		for _, at := range slices.Sorted(maps.Keys(found[store.Admin])) {
			for _, o := range found[store.Admin][at] {
				leaves := strings.HasPrefix(o.path, "/sessions/") || o.path == "/logout" || o.path == "/account/sign-out"
				if leaves || sent[o.key()] || strings.Contains(o.path, "?forget=") {
					continue
				}
				sent[o.key()] = true
				r := people[role].do(o.method, o.path, o.form)
				if refused := r.StatusCode == http.StatusForbidden; refused == rights.May(role, o.right) {
					t.Errorf("%s by a %s: %s", o.key(), role, r.Status)
				}
				tried[fmt.Sprint(role, " ", r.StatusCode == http.StatusForbidden)]++
			}
		}
	}
	t.Logf("%d pages of an administrator, %d of a restorer, %d of an operator, %d of a viewer; sent and refused: %v", len(found[store.Admin]),
		len(found[store.Restorer]), len(found[store.Operator]), len(found[store.Viewer]), tried)
}

// A program is refused what its role may not do by the same table, whichever way it
// asks; what was asked for before the table was so goes on.
func TestTheAPIAsksTheSameTable(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	id, theirs := strings.Repeat("a", 64), strings.Repeat("b", 64)
	cellar := w.enrol("cellar")
	other := cellar.group("wine").Repository
	attic.connect()
	attic.ran(w.backup(attic), topics.Finished{State: topics.Succeeded, RepositoryReady: true, Snapshot: &topics.Snapshot{
		ID: id, Time: time.Now().UnixMilli(), Host: "host", Paths: []string{"/letters"}}})
	jobs, upkeep := "/api/hosts/"+string(attic.id)+"/jobs", "/api/repositories/"+string(g.Repository)+"/maintenance"
	type body = map[string]any
	for _, c := range []struct {
		path string
		body body
		want store.Role
	}{
		{jobs, body{"kind": "backup"}, store.Operator},
		{jobs, body{"kind": "check"}, store.Operator},
		{jobs, body{"kind": "unlock"}, store.Operator},
		{jobs, body{"kind": "unlock", "all": true}, store.Admin},
		{jobs, body{"kind": "prune"}, store.Admin},
		{jobs, body{"kind": "prune", "dry_run": true}, store.Admin},
		{jobs, body{"kind": "forget", "snapshots": []string{id}}, store.Admin},
		{jobs, body{"kind": "key"}, store.Admin},
		{jobs, body{"kind": "init"}, store.Admin},
		{jobs, body{"kind": "restore", "snapshot": id}, store.Operator},
		{jobs, body{"kind": "restore", "snapshot": theirs}, store.Restorer},
		{jobs, body{"kind": "restore", "snapshot": id, "target": "/var/tmp/back"}, store.Restorer},
		{jobs, body{"kind": "snapshots", "repository": other}, store.Admin},
		{jobs, body{"kind": "stats", "repository": other, "give_repository": true}, store.Admin},
		{jobs, body{"kind": "restore", "repository": other, "snapshot": theirs, "overwrite": "always", "target": "/etc/cron.d"}, store.Admin},
		{jobs, body{"kind": "restore", "snapshot": id, "target": "/var/tmp/back", "overwrite": "if-newer"}, store.Restorer},
		{jobs, body{"kind": "restore", "snapshot": id, "target": "/"}, store.Restorer},
		{upkeep, body{"kind": "check", "host": attic.id}, store.Operator},
		{upkeep, body{"kind": "check", "host": cellar.id}, store.Admin},
		{upkeep, body{"kind": "prune", "host": attic.id}, store.Admin},
		{upkeep, body{"kind": "forget", "host": attic.id}, store.Admin},
	} {
		if c.path == jobs && c.body["kind"] != "backup" && c.body["repository"] == nil {
			c.body["repository"] = g.Repository
		}
		for _, role := range store.Roles {
			r := w.program(role).do("POST", c.path, c.body)
			if refused := r.StatusCode == http.StatusForbidden; refused != (rankOf(role) < rankOf(c.want)) {
				t.Errorf("%s %v by a %s: %s %s", c.path, c.body, role, r.Status, r.text)
			} else if refused && !strings.Contains(r.text, "the role "+string(c.want)) && role != store.Viewer {
				t.Errorf("%s %v by a %s does not say which role it takes: %s", c.path, c.body, role, r.text)
			}
		}
	}

	repo := cellar.group("papers").Repository
	j, _, err := w.engine.Ask(t.Context(), "olga, an operator", cellar.id, topics.PruneJob, repo, topics.Operation{})
	if err != nil {
		t.Fatal(err)
	}
	cellar.connect()
	cellar.ran(j.ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{}})
}

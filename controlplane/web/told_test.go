package web

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Consumers, the engine and other people's pages hear of a change at once, and once,
// whoever made it; of what was refused they hear nothing.
func TestWhatIsSavedIsToldOnce(t *testing.T) {
	var mu sync.Mutex
	var told [][]topics.HostID
	w := newWorld(t, func(c *base.Config) {
		c.Changed = func(hosts ...topics.HostID) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, slices.Sorted(slices.Values(hosts)))
		}
		c.Desk.Changed = c.Changed
		c.Maintenance = maintenance.NewRunner(maintenance.Config{Store: c.Store, Jobs: c.Jobs.(maintenance.Jobs), Online: c.Presence.Reachable,
			Changed: c.Changed, Log: c.Log, Timing: maintenance.DefaultTiming(), Now: time.Now})
	})
	attic, nas := w.enrol("attic"), w.enrol("nas")
	g := attic.group("letters")
	vault, host := "/repositories/"+string(g.Repository), "/hosts/"+string(attic.id)
	if err := w.store.ChangeRepository(t.Context(), "test", store.Repository{
		ID:       g.Repository,
		Name:     "vault",
		Location: "/srv/vault",
		Keeper:   nas.id,
	},
		store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.AddRepository(t.Context(), "test", store.Repository{ID: "spare-0001", Name: "spare"},
		store.RepositoryAccess{URL: "/srv/spare"}); err != nil {
		t.Fatal(err)
	}
	page, program := w.person(store.Admin), w.program(store.Admin)
	none, one, both := []topics.HostID{}, []topics.HostID{attic.id}, []topics.HostID{attic.id, nas.id}
	slices.Sort(both)
	attic.connect()
	key := strings.Repeat("1", 64)
	if r := program.do("POST", "/api"+host+"/jobs", `{"kind":"key","repository":"`+string(g.Repository)+`"}`); r.StatusCode != 202 {
		t.Fatalf("%s %s", r.Status, r.text)
	}
	attic.ran(attic.asked(topics.KeyJob).ID, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: 1}},
		topics.Report{Keys: []topics.Key{{ID: key, Current: true}}})
	hours := url.Values{"check.slices": {"12"}}
	for _, kind := range []string{"forget", "prune", "check"} {
		hours.Set(kind+".weekday", "daily")
		hours.Set(kind+".hour", "04:00")
	}
	for _, c := range []struct {
		who          *client
		method, path string
		body         any
		want         []topics.HostID // nil is that nobody is told
	}{
		{page, "POST", "/repositories/new", url.Values{"name": {"cellar"}, "url": {"/srv/cellar"}, "password": {"correct horse"}}, none},
		{program, "POST", "/api/repositories", `{"name":"shed","url":"/srv/shed","password":"correct horse"}`, none},
		{program, "POST", "/api/repositories", `{"name":"shed","url":"/srv/shed","password":"correct horse"}`, nil},
		{page, "POST", vault + "/edit", url.Values{"name": {"vault"}, "url": {"/srv/vault"}, "keeper": {string(nas.id)}}, both},
		{program, "PUT", "/api" + vault, `{"append_only":true}`, both},
		{program, "PUT", "/api" + vault, `{"keeper":"nobody"}`, nil},
		{page, "POST", host + "/source-groups/new", url.Values{"name": {"photos"}, "repository": {string(g.Repository)},
			"paths": {"/photos"}}, one},
		{page, "POST", host + "/source-groups/photos/edit", url.Values{"repository": {string(g.Repository)}, "paths": {"/pictures"}}, one},
		{program, "PUT", "/api" + host + "/source-groups/photos", `{"repository":"vault","paths":["/photos"]}`, one},
		{program, "PUT", "/api" + host + "/source-groups/photos", `{"repository":"vault","paths":["photos"]}`, nil},
		{page, "POST", vault + "/keys/" + key + "/trust", nil, both},
		{program, "POST", "/api" + vault + "/keys/" + key + "/trust", nil, both},
		{program, "POST", "/api" + vault + "/keys/" + key[1:] + "/trust", nil, nil},
		{page, "POST", vault + "/maintenance/hours", hours, both},
		{program, "PUT", "/api" + vault + "/maintenance", `{"prune":{"paused":true}}`, both},
		{program, "PUT", "/api" + vault + "/maintenance", `{"prune":{"hour":"noon"}}`, nil},
		{program, "POST", "/api" + vault + "/maintenance", `{"kind":"check"}`, []topics.HostID{nas.id}},
		{page, "POST", host + "/intermittent", url.Values{"intermittent": {"true"}, "overdue_days": {"3"}}, one},
		{page, "POST", host + "/schedules/new", url.Values{
			"name":      {"nightly"},
			"kind":      {"cron"},
			"cron":      {"0 3 * * *"},
			"zone":      {"UTC"},
			"jitter":    {"0"},
			"retry_max": {"3"},
			"enabled":   {"true"},
			"group":     {"letters"},
		}, one},
		{program, "PUT", "/api" + host + "/schedules/weekly", `{"cron":"@weekly","source_groups":["letters"]}`, one},
		{program, "PUT", "/api" + host + "/schedules/weekly", `{"cron":"weekly"}`, nil},
		{page, "POST", host + "/schedules/weekly/enabled", url.Values{"on": {"false"}}, one},
		{page, "POST", host + "/schedules/nightly/delete", url.Values{"confirm": {"nightly"}}, one},
		{program, "DELETE", "/api" + host + "/schedules/weekly", nil, one},
		{program, "DELETE", "/api" + host + "/schedules/weekly", nil, nil},
		{program, "PUT", "/api" + host, `{"overdue_days":5}`, one},
		{program, "PUT", "/api" + host, `{"overdue_days":500}`, nil},
		{program, "PATCH", "/api" + host, `{"name":"attic 2"}`, one},
		{program, "PATCH", "/api" + host, `{"name":"nas"}`, nil},
		{program, "PATCH", "/api" + host, `{"retired":true}`, one},
		{program, "PATCH", "/api" + host + "/source-groups/photos", `{"name":"pictures"}`, one},
		{program, "PATCH", "/api" + host + "/source-groups/pictures", `{"name":"letters"}`, nil},
		{program, "DELETE", "/api" + host + "/source-groups/pictures?snapshots=some", nil, nil},
		{program, "DELETE", "/api" + host + "/source-groups/pictures?snapshots=retention", nil, one},
		{program, "POST", "/api" + host + "/source-groups/pictures/restore-removed", nil, one},
		{program, "POST", "/api" + host + "/source-groups/pictures/restore-removed", nil, nil},
		{program, "DELETE", "/api" + host + "?snapshots=keep", nil, one},
		{program, "DELETE", "/api" + host, nil, nil},
		{program, "POST", "/api" + host + "/restore-removed", `{"name":"nas"}`, nil},
		{program, "POST", "/api" + host + "/restore-removed", `{"name":"attic"}`, one},
		{program, "DELETE", "/api/hosts/" + string(nas.id), nil, nil}, // it is a keeper
		{page, "POST", host + "/rename", url.Values{"name": {"attic 3"}}, one},
		{page, "POST", host + "/rename", url.Values{"name": {"nas"}}, nil},
		{page, "POST", host + "/retired", url.Values{"on": {"false"}}, one},
		{page, "POST", host + "/source-groups/pictures/edit", url.Values{"name": {"photos"}, "repository": {string(g.Repository)},
			"paths": {"/photos"}}, one},
		{page, "POST", host + "/source-groups/photos/remove", url.Values{"snapshots": {"keep"}}, one},
		{page, "POST", host + "/source-groups/photos/restore", nil, one},
		{page, "POST", host + "/remove", url.Values{"snapshots": {"retention"}}, one},
		{page, "POST", host + "/restore", url.Values{"name": {"nas"}}, nil},
		{page, "POST", host + "/restore", nil, one},
		{page, "POST", "/repositories/spare-0001/remove", url.Values{"confirm": {"spare"}}, none},
		{program, "POST", "/api/repositories/spare-0001/restore-removed", nil, none},
		{program, "PATCH", "/api/repositories/spare-0001", `{"name":"spare 2"}`, none},
		{program, "DELETE", "/api" + vault, nil, nil},
		{program, "POST", "/api" + host + "/enroll-tokens", nil, one},
		{program, "POST", "/api" + host + "/revoke", nil, one},
	} {
		mu.Lock()
		told = nil
		mu.Unlock()
		r := c.who.do(c.method, c.path, c.body)
		mu.Lock()
		if taken := r.StatusCode < 400; taken != (c.want != nil) || c.want == nil && len(told) > 0 ||
			c.want != nil && (len(told) != 1 || !slices.Equal(told[0], c.want)) {
			t.Errorf("%s %s %v: %s; told %q, want %q once\n%.500s", c.method, c.path, c.body, r.Status, told, c.want, r.text)
		}
		mu.Unlock()
	}
}

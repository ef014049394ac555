package fleet

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
)

// large are the tables of which a year's worth is too much to be read for a page.
var large = []string{"jobs", "snapshots", "audit", "job_lines", "job_gaps", "job_reports", "maintenance_runs", "repository_days"}

// scans are queries that may read all of a large table, or all of one of its
// indices, with the reason. Nothing else may.
var scans = map[string]string{
	`SELECT * FROM audit WHERE ((LOWER(`:                 "a text is looked for in every column; the newest that hold it end the reading",
	`SELECT count(*) FROM audit WHERE ((LOWER(`:          "how many hold a text, only somebody who searches asks",
	`SELECT * FROM audit WHERE (NOT (`:                   "people are whoever is nobody else; the newest end the reading",
	`SELECT count(*) FROM audit WHERE (NOT (`:            "people are whoever is nobody else: only who filters asks",
	`SELECT * FROM audit ORDER BY n DESC LIMIT`:          "the newest end the reading",
	`SELECT * FROM jobs WHERE 1 = 1 ORDER BY id DESC LI`: "the newest end the reading",
	`SELECT * FROM jobs WHERE 1 = 1 AND kind = 'find' O`: "searches alone are in the index, and the newest end the reading",
}

// elsewhere are routes that send somebody who is signed in somewhere else, speak
// WebSocket, or have nothing to show here: no form was kept.
var elsewhere = map[string]bool{"/setup": true, "/login": true, "/sign-in": true, "/set-password": true, "/api/jobs/{id}/stream": true,
	"/resume": true, "/download/{name}": true,
	// Hosts are asked, and none is there; no host is being replaced, nor a password changed; no job is a search, a comparison or a drill,
	// and none has a list.
	"/api/hosts/{id}/directories": true, "/api/repositories/{id}/snapshots/{snapshot}/files": true, "/api/repositories/{id}/versions": true,
	"/api/hosts/{id}/ssh": true, "/api/repositories/{id}/password": true,
	"/versions": true, "/restore/{draft}/directories": true, "/api/hosts/{id}/replacement": true, "/jobs/{id}/found": true,
	"/jobs/{id}/changes": true, "/jobs/{id}/results": true, "/api/jobs/{id}/matches": true, "/jobs/{id}/proofs": true,
	"/api/jobs/{id}/proofs": true,
	"/restore/new":          true, "/restore/{draft}": true, "/restore/{draft}/files": true,
	"/restore/{draft}/destination": true, "/restore/{draft}/review": true}

// A recorder notes the queries of the requests that are made with it.
type recorder struct {
	mu      sync.Mutex
	queries map[string][]any // with what stood for the parameters the last time
}

func (r *recorder) context(ctx context.Context) context.Context {
	return store.WithTrace(ctx, func(query string, args []any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.queries[query] = args
	})
}

// noted returns what was noted so far. What watches over a stream may still be at
// work when its request has ended.
func (r *recorder) noted() map[string][]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.queries)
}

// A firstWord ends a request once something of its answer was written.
type firstWord struct {
	*httptest.ResponseRecorder
	end context.CancelFunc
}

func (w firstWord) Write(b []byte) (int, error) {
	defer w.end()
	return w.ResponseRecorder.Write(b)
}

// TestNoPageScansWhatGrows asks every address that can be read, as an administrator,
// and looks at how SQLite goes about each query: it must not read all of what a year
// leaves behind. A new route is asked by itself, with what stands for its parameters.
func TestNoPageScansWhatGrows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := Make(t.Context(), dir, Size{Hosts: 200, Days: 20}); err != nil {
		t.Fatal(err)
	}
	p := plane(t, dir)
	c := signedIn(t, p)
	db := must(sql.Open("sqlite", "file:"+filepath.Join(dir, "restic-manager.db")+"?mode=ro"))
	t.Cleanup(func() { _ = db.Close() })
	known, met := parameters(t, p.Store), map[string]bool{}
	for _, route := range p.Web.Addresses("GET") {
		paths, missing := pathsOf(route, known)
		if missing != "" {
			t.Errorf("%s: say what stands for %s in this test", route, missing)
			continue
		}
		for _, path := range paths {
			rec := &recorder{queries: map[string][]any{}}
			ctx, end := context.WithTimeout(rec.context(t.Context()), time.Minute)
			w := firstWord{httptest.NewRecorder(), func() {}}
			if strings.HasPrefix(path, "/events") || strings.HasSuffix(route, "/stream") {
				w.end = end
			}
			p.Web.Handler().ServeHTTP(w, c.request(path).WithContext(ctx))
			end()
			if w.Code != 200 && !elsewhere[route] {
				t.Errorf("GET %s: %d %.200s", path, w.Code, w.Body)
			}
			for query, args := range rec.noted() {
				for _, step := range plan(t, db, query, args) {
					table := scanned(query, step)
					if table == "" {
						continue
					}
					if excuse := excuse(query); excuse == "" {
						t.Errorf("GET %s reads all of %s: %s\n%.1000s", path, table, step, query)
					} else {
						met[excuse] = true
					}
				}
			}
		}
	}
	for begins := range scans {
		if !met[begins] {
			t.Errorf("nothing reads all of a large table by %q any more: take it off the list", begins)
		}
	}
}

// excuse is the beginning of the query among scans, "" if it is not among them.
func excuse(query string) string {
	query = strings.Join(strings.Fields(query), " ")
	for begins := range scans {
		if strings.HasPrefix(query, begins) {
			return begins
		}
	}
	return ""
}

// plan is how SQLite goes about a query, one step a line.
func plan(t *testing.T, db *sql.DB, query string, args []any) (steps []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Errorf("%v: %s", err, query)
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
	return steps
}

var scanStep = regexp.MustCompile(`^SCAN (\w+)`)

// scanned is the large table that a step reads all of, whether by itself or by an
// index; "" if it does not. A step names tables as the query does.
func scanned(query, step string) string {
	m := scanStep.FindStringSubmatch(step)
	if m == nil {
		return ""
	}
	for _, table := range large {
		if m[1] == table || regexp.MustCompile(`(?i)\b`+table+`\s+(AS\s+)?`+m[1]+`\b`).MatchString(query) {
			return table
		}
	}
	return ""
}

// pathsOf are the paths of a route, with everything that there is to stand for its
// parameters; or the parameter that is missing.
func pathsOf(route string, known map[string][]string) (paths []string, missing string) {
	if more, ok := known[route]; ok {
		return more, ""
	}
	paths = []string{route}
	longest := ""
	for prefix, values := range known {
		if !strings.HasPrefix(route, prefix) || !strings.Contains(prefix, "{") || len(prefix) < len(longest) {
			continue
		}
		longest, paths = prefix, nil
		for _, value := range values {
			paths = append(paths, value+strings.TrimPrefix(route, prefix))
		}
	}
	if at := strings.Index(paths[0], "{"); at >= 0 {
		return nil, paths[0][at:]
	}
	return paths, ""
}

// parameters are what stands for the beginnings of routes and for whole ones.
func parameters(t *testing.T, s *store.Store) map[string][]string {
	t.Helper()
	ctx := t.Context()
	host := must(s.Hosts(ctx))[3]
	group := must(s.SourceGroups(ctx, host.ID))[0]
	repository := string(group.Repository)
	sc := must(s.Schedules(ctx, host.ID))[0]
	job := must(s.JobsOf(ctx, host.ID, 1))[0]
	user := must(s.UserByName(ctx, User))
	if err := s.AddMQTTUser(ctx, store.Maker{Name: "test"}, store.MQTTUser{Name: "home", KeyHash: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	draft := must(s.Drafts().Add(ctx, drafts.Draft{User: user.ID, Repository: group.Repository,
		Body: column.JSON[drafts.Body]{V: &drafts.Body{Host: host.ID}}}))
	alert, channel := topics.NewID(time.Now()), topics.NewID(time.Now())
	if err := s.Alerts().Tx(ctx, func(tx alerts.Tx) error {
		return alerts.Put(ctx, tx, []*alerts.Alert{{ID: alert, Key: alerts.Key{Condition: "host-offline", On: alerts.OnHost,
			Subject: string(host.ID)},
			Host: host.ID, Severity: alerts.Warning, Count: 1, OpenedAt: s.Now(), Body: column.JSON[alerts.Body]{V: &alerts.Body{Name: host.Name}}}})
	}); err != nil {
		t.Fatal(err)
	}
	must(s.Alerts().Set(ctx, "test", alerts.Rules, `{"rules":[{"id":"r1","name":"all"}]}`, 0, ""))
	if err := s.Channels().Add(ctx, "test", channels.Channel{ID: channel, Name: "ops", Kind: "webhook", Version: 1}); err != nil {
		t.Fatal(err)
	}
	rollout := rollouts.Rollout{ID: topics.NewID(time.Now()), Number: 1, Version: "v1", BeganBy: "test", BeganAt: s.Now(), Wave: 1,
		Plan: rollouts.Plan{Zone: "UTC", Most: 10}}
	if err := s.Rollouts().Begin(ctx, rollout, "", func([]rollouts.Rollout) error { return nil }); err != nil {
		t.Fatal(err)
	}
	snapshot := "/snapshots/" + strings.Repeat("a", 64) + "/files?path=/"
	of := func(prefix string, id any) []string { return []string{prefix + fmt.Sprint(id)} }
	lists := []string{"", "?q=web-00", "?q=web", "?page=2", "?period=30d", "?period=all"}
	with := func(path string, queries ...string) (list []string) {
		for _, q := range queries {
			list = append(list, path+q)
		}
		return list
	}
	return map[string][]string{
		"/static/*": {"/static/app.js"},

		"/download/{name}": {"/download/SHA256SUMS"},
		"/jobs":            with("/jobs", append(lists, "?state=failed", "?kind=backup", "?kind=check&period=30d")...),
		"/schedules":       with("/schedules", lists...),
		"/repositories":    with("/repositories", lists...),
		"/":                with("/", lists...),
		"/go":              with("/go", "", "?q=web", "?q=restore+web-00", "?q=%2Fetc%2Fhosts"),
		"/audit": with("/audit", "", "?q=web-00", "?who=people", "?who=server", "?action=job", "?actor=cli",
			"?before=100"),
		"/hosts/{id}":                                       of("/hosts/", host.ID),
		"/api/hosts/{id}":                                   of("/api/hosts/", host.ID),
		"/hosts/{id}/source-groups/{name}":                  {"/hosts/" + string(host.ID) + "/source-groups/" + group.Name},
		"/hosts/{id}/schedules/{name}":                      {"/hosts/" + string(host.ID) + "/schedules/" + sc.Name},
		"/api/hosts/{id}/schedules/{name}":                  {"/api/hosts/" + string(host.ID) + "/schedules/" + sc.Name},
		"/repositories/{id}":                                of("/repositories/", repository),
		"/api/repositories/{id}":                            of("/api/repositories/", repository),
		"/jobs/{id}":                                        of("/jobs/", job.ID),
		"/api/jobs/{id}":                                    of("/api/jobs/", job.ID),
		"/mqtt/consumers/{name}":                            {"/mqtt/consumers/home"},
		"/restore/{draft}":                                  of("/restore/", draft.ID),
		"/versions":                                         {"/versions?path=/etc/hosts&host=" + string(host.ID) + "&repository=" + repository},
		"/api/repositories/{id}/versions":                   {"/api/repositories/" + repository + "/versions?path=/etc/hosts"},
		"/api/repositories/{id}/snapshots/{snapshot}/files": {"/api/repositories/" + repository + snapshot},
		"/users/{id}":                                       of("/users/", user.ID),
		"/updates/{id}":                                     of("/updates/", rollout.ID),
		"/api/updates/rollouts/{id}":                        of("/api/updates/rollouts/", rollout.ID),
		"/alerts": with("/alerts", "", "?state=ended", "?by=cause&q=web", "?host="+string(host.ID),
			"?severity=critical&page=2"),
		"/alerts/{id}":              of("/alerts/", alert),
		"/api/alerts/{id}":          of("/api/alerts/", alert),
		"/alerts/channels/{id}":     of("/alerts/channels/", channel),
		"/api/channels/{id}":        of("/api/channels/", channel),
		"/alerts/conditions":        with("/alerts/conditions", "", "?host="+host.Name),
		"/alerts/rules":             with("/alerts/rules", "", "?host="+host.Name),
		"/alerts/rules/edit/{rule}": {"/alerts/rules/edit/r1"},
		"/alerts/channels/new":      with("/alerts/channels/new", "", "?kind=email"),
		"/events": {"/events?view=fleet", "/events?view=alerts", "/events?view=alert&id=" + alert, "/events?view=jobs", "/events?view=host&id=" +
			string(host.ID), "/events?view=audit&after=1",
			"/events?view=schedules", "/events?view=repositories", "/events?view=repository&id=" + repository,
			"/events?view=job&id=" + string(job.ID)},
	}
}

package web

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// roleTable is who may use which address, written down a second time: a route
// that is not here, or is here with another role, fails the test. Whoever adds a
// route adds its row, and thinks of the role once more.
var roleTable = map[store.Role]string{
	"": `
		GET /healthz
		GET /readyz
		GET /static/*
		GET /metrics
		GET /install.sh
		GET /install.ps1
		GET /download/{name}
		GET /setup
		POST /setup
		GET /login
		POST /login
		GET /sign-in
		GET /set-password
		POST /set-password
		GET /api/openapi.json`,
	store.Viewer: `
		GET /api/alerts
		GET /api/alerts/{id}
		GET /api/alert-pauses
		GET /api/alert-thresholds
		GET /updates
		GET /updates/restic
		GET /updates/{id}
		GET /api/restic
		GET /api/restic/files
		GET /api/restic/hosts
		GET /api/updates
		GET /api/updates/hosts
		GET /api/updates/rollouts
		GET /api/updates/rollouts/{id}
		GET /api/public-url
		GET /api/agents-public
		GET /api/hosts/{id}/identity
		GET /api/hosts/{id}/removed-source-groups
		GET /api/removed
		GET /api/jobs/{id}/report
		GET /repositories
		GET /repositories/{id}
		GET /repositories/{id}/repair
		GET /api/repositories
		GET /api/repositories/{id}
		GET /api/repositories/{id}/snapshots
		GET /api/repositories/{id}/locks
		GET /api/repositories/{id}/keys
		GET /api/repositories/{id}/missing
		GET /api/repositories/{id}/places
		GET /api/repositories/{id}/days
		GET /resume
		POST /resume
		POST /logout
		GET /account
		POST /account/password
		POST /account/zone
		POST /account/sign-out
		POST /sessions/{id}/end
		GET /api/sessions
		DELETE /api/sessions/{id}
		GET /
		GET /hosts/{id}
		GET /hosts/{id}/replacement
		GET /api/hosts/{id}/replacement
		GET /go
		GET /hosts/choose
		GET /repositories/choose
		GET /jobs
		GET /jobs/{id}
		GET /jobs/{id}/results
		GET /jobs/{id}/log.txt
		GET /jobs/{id}/log.ndjson
		GET /settings
		GET /events
		GET /api/hosts
		GET /api/notices
		GET /alerts
		GET /alerts/{id}
		GET /alerts/pauses
		GET /alerts/conditions
		GET /mqtt
		GET /mqtt/topics
		GET /schedules
		GET /api/hosts/{id}/schedules
		GET /api/hosts/{id}/schedules/{name}
		GET /api/hosts/{id}/drill
		GET /api/drills
		GET /settings/drills
		GET /api/hosts/{id}/schedules/{name}/slots
		GET /hosts/{id}/schedules/{name}/slots
		GET /api/hosts/{id}/schedules/{name}/next
		GET /api/hosts/{id}/snapshots
		GET /api/jobs
		GET /api/jobs/{id}
		GET /api/jobs/{id}/log
		GET /api/jobs/{id}/stream
		GET /repositories/{id}/retention
		POST /repositories/{id}/retention/preview
		GET /api/repositories/{id}/retention-plan
		POST /api/repositories/{id}/retention-plan
		GET /api/repositories/{id}/imports
		GET /api/repositories/{id}/mirror
		GET /api/repositories/{id}/maintenance`,
	store.Operator: `
		POST /api/alerts/{id}/acknowledge
		POST /api/alerts/{id}/snooze
		POST /api/alerts/{id}/wake
		POST /api/alerts/{id}/end
		POST /hosts/{id}/pause
		POST /hosts/{id}/resume
		PUT /api/hosts/{id}/pause
		DELETE /api/hosts/{id}/pause
		POST /api/alert-pauses
		DELETE /api/alert-pauses/{id}
		GET /api/repositories/{id}/snapshots/{snapshot}/files
		GET /api/repositories/{id}/versions
		GET /versions
		GET /search
		POST /search
		POST /compare
		GET /jobs/{id}/found
		GET /jobs/{id}/changes
		GET /jobs/{id}/proofs
		GET /api/jobs/{id}/proofs
		GET /api/jobs/{id}/matches
		POST /hosts/{id}/run/{kind}
		GET /hosts/{id}/operations
		POST /repositories/{id}/refresh
		POST /repositories/{id}/run
		POST /jobs/{id}/again
		POST /jobs/{id}/unlock
		POST /api/repositories/{id}/refresh
		POST /hosts/{id}/run/backup
		POST /hosts/{id}/drill/run
		POST /alerts/act
		POST /alerts/pauses
		POST /alerts/pauses/end
		POST /jobs/{id}/cancel
		POST /api/hosts/{id}/jobs
		POST /api/jobs/{id}/cancel
		POST /repositories/{id}/maintenance
		POST /repositories/{id}/mirror/copy
		POST /api/repositories/{id}/maintenance
		GET /restore
		GET /restore/new
		POST /restore/new
		GET /restore/{draft}
		GET /restore/{draft}/snapshot
		POST /restore/{draft}/snapshot
		GET /restore/{draft}/files
		POST /restore/{draft}/basket
		POST /restore/{draft}/reader
		GET /restore/{draft}/destination
		POST /restore/{draft}/destination
		GET /restore/{draft}/directories
		POST /restore/{draft}/folder
		GET /restore/{draft}/commands
		GET /restore/{draft}/review
		POST /restore/{draft}/preview
		POST /restore/{draft}/run
		GET /restore/{draft}/discard
		POST /restore/{draft}/discard`,
	store.Restorer: `
		GET /api/hosts/{id}/directories
		POST /hosts/{id}/replacement/decide
		POST /api/hosts/{id}/replacement/decide`,
	store.Admin: `
		PUT /api/alert-thresholds
		GET /api/alert-rules
		PUT /api/alert-rules
		GET /api/channels
		POST /api/channels
		GET /api/channels/{id}
		PUT /api/channels/{id}
		DELETE /api/channels/{id}
		POST /api/channels/{id}/test
		GET /api/channels/{id}/deliveries
		GET /api/heartbeat
		PUT /api/heartbeat
		GET /api/uplink
		PUT /api/uplink
		POST /api/uplink/test
		DELETE /api/uplink/left/{id}
		GET /api/pings
		PUT /api/pings
		PUT /api/public-url
		PUT /api/agents-public
		POST /hosts/{id}/replacement
		POST /hosts/{id}/replacement/call-off
		POST /api/hosts/{id}/replacement
		DELETE /api/hosts/{id}/replacement
		GET /control-plane
		POST /control-plane/copy
		POST /control-plane/answer
		GET /api/control-plane
		POST /api/control-plane/copies
		POST /api/control-plane/answers
		POST /jobs/{id}/exclude
		POST /api/enroll-tokens
		POST /updates/restic/files
		POST /updates/restic/fetch
		PUT /api/restic/files/{name}
		DELETE /api/restic/files/{name}
		POST /api/restic/fetches
		POST /updates
		POST /updates/settings
		POST /updates/{id}/stop
		PUT /api/updates/settings
		POST /api/updates/rollouts
		POST /api/updates/rollouts/{id}/stop
		GET /api/enroll-keys
		POST /api/enroll-keys
		DELETE /api/enroll-keys/{id}
		GET /api/held-hosts
		POST /api/hosts/{id}/approve
		POST /api/hosts/{id}/enroll-tokens
		POST /api/hosts/{id}/revoke
		POST /hosts/{id}/enrol
		POST /hosts/{id}/revoke
		POST /hosts/{id}/twins
		GET /hosts/{id}/ssh
		POST /hosts/{id}/ssh-key
		POST /hosts/{id}/host-keys
		GET /api/hosts/{id}/ssh
		POST /api/hosts/{id}/ssh-key
		POST /api/hosts/{id}/host-keys
		POST /api/hosts/{id}/twins
		GET /audit
		GET /audit/export.csv
		POST /audit/verify
		GET /api/audit
		GET /repositories/{id}/kit
		GET /repositories/kit
		GET /hosts/{id}/kit
		GET /repositories/new
		POST /repositories/new
		GET /repositories/{id}/edit
		POST /repositories/{id}/edit
		GET /repositories/{id}/keys
		POST /repositories/{id}/keys
		POST /repositories/{id}/keys/password
		POST /repositories/{id}/keys/password/call-off
		POST /repositories/{id}/keys/password/go-on
		POST /repositories/{id}/keys/password/former
		POST /repositories/{id}/keys/{key}/remove
		POST /repositories/{id}/keys/{key}/trust
		POST /repositories/{id}/foreign/acknowledge
		GET /repositories/{id}/change
		POST /repositories/{id}/missing/acknowledge
		POST /repositories/{id}/making/release
		GET /repositories/{id}/remove
		POST /repositories/{id}/remove
		POST /repositories/{id}/restore
		GET /removed
		POST /hosts/{id}/rename
		POST /hosts/{id}/retired
		POST /hosts/{id}/tags
		GET /hosts/{id}/remove
		POST /hosts/{id}/remove
		POST /hosts/{id}/restore
		GET /hosts/{id}/source-groups/{name}/remove
		POST /hosts/{id}/source-groups/{name}/remove
		POST /hosts/{id}/source-groups/{name}/restore
		PUT /api/repositories/{id}
		PUT /api/repositories/{id}/places/{host}
		POST /repositories/{id}/places
		DELETE /api/repositories/{id}
		POST /api/repositories/{id}/keys
		DELETE /api/repositories/{id}/keys/{key}
		POST /api/repositories/{id}/password
		GET /api/repositories/{id}/password
		POST /api/repositories/{id}/password/call-off
		POST /api/repositories/{id}/password/go-on
		POST /api/repositories/{id}/password/former
		POST /api/repositories/{id}/keys/{key}/trust
		POST /api/repositories/{id}/foreign/acknowledge
		POST /api/repositories/{id}/missing/acknowledge
		POST /api/repositories/{id}/making/release
		POST /alerts/conditions
		POST /alerts/conditions/remove
		GET /alerts/channels
		GET /alerts/channels/new
		POST /alerts/channels/new
		GET /alerts/channels/{id}
		POST /alerts/channels/{id}
		POST /alerts/channels/{id}/test
		POST /alerts/channels/{id}/enabled
		POST /alerts/channels/{id}/remove
		GET /alerts/rules
		GET /alerts/rules/new
		POST /alerts/rules/new
		GET /alerts/rules/edit/{rule}
		POST /alerts/rules/edit/{rule}
		POST /alerts/rules/remove
		POST /alerts/rules/move
		POST /alerts/rules/digests
		POST /alerts/rules/digests/remove
		GET /alerts/heartbeat
		POST /alerts/heartbeat
		POST /alerts/heartbeat/pings
		POST /settings/public-url
		GET /start
		POST /start/hidden
		GET /start/address
		POST /start/address
		POST /repositories/try
		POST /repositories/url
		POST /api/repositories/test
		POST /settings/support-bundle
		POST /settings/agents-public
		GET /users
		GET /users/new
		POST /users/new
		GET /users/{id}
		POST /users/{id}/role
		POST /users/{id}/link
		POST /users/{id}/password
		POST /users/{id}/sign-out
		POST /users/{id}/disable
		POST /users/{id}/enable
		POST /users/{id}/remove
		GET /tokens/new
		POST /tokens/new
		POST /tokens/{id}/revoke
		GET /mqtt/new
		GET /mqtt/clients
		GET /mqtt/uplink
		POST /mqtt/uplink
		POST /mqtt/uplink/leave
		GET /mqtt/home-assistant
		POST /mqtt/home-assistant
		POST /mqtt/home-assistant/preview
		POST /mqtt/new
		GET /mqtt/consumers/{name}
		POST /mqtt/consumers/{name}/rights
		POST /mqtt/consumers/{name}/password
		POST /mqtt/consumers/{name}/revoke
		GET /api/users
		POST /api/users
		PATCH /api/users/{id}
		DELETE /api/users/{id}
		POST /api/users/{id}/password-link
		DELETE /api/users/{id}/sessions
		GET /api/tokens
		POST /api/tokens
		DELETE /api/tokens/{id}
		GET /api/home-assistant
		PUT /api/home-assistant
		GET /api/consumers
		POST /api/consumers
		PATCH /api/consumers/{name}
		POST /api/consumers/{name}/password
		DELETE /api/consumers/{name}
		GET /hosts/new
		GET /hosts/keys
		POST /hosts/keys
		POST /hosts/keys/{id}/withdraw
		POST /hosts/{id}/approve
		POST /hosts/new
		GET /hosts/{id}/source-groups/new
		POST /hosts/{id}/source-groups/new
		GET /hosts/{id}/source-groups/{name}/edit
		POST /hosts/{id}/source-groups/{name}/edit
		POST /api/repositories
		GET /schedules/new
		POST /hosts/{id}/source-groups/{name}/accept-size
		GET /hosts/{id}/schedules/new
		POST /hosts/{id}/schedules/new
		POST /hosts/{id}/schedules/preview
		GET /hosts/{id}/schedules/{name}/edit
		POST /hosts/{id}/schedules/{name}/edit
		POST /hosts/{id}/schedules/{name}/enabled
		POST /hosts/{id}/schedules/{name}/delete
		POST /hosts/{id}/intermittent
		POST /repositories/{id}/maintenance/hours
		PUT /api/hosts/{id}
		PATCH /api/hosts/{id}
		DELETE /api/hosts/{id}
		POST /api/hosts/{id}/restore-removed
		PATCH /api/hosts/{id}/source-groups/{name}
		DELETE /api/hosts/{id}/source-groups/{name}
		POST /api/hosts/{id}/source-groups/{name}/restore-removed
		POST /api/hosts/{id}/source-groups/{name}/accept-size
		PATCH /api/repositories/{id}
		POST /api/repositories/{id}/restore-removed
		PUT /api/hosts/{id}/source-groups/{name}
		PUT /api/hosts/{id}/schedules/{name}
		PUT /api/hosts/{id}/drill
		POST /hosts/{id}/drill
		POST /hosts/{id}/drill/inherit
		PUT /api/tags/{tag}/drill
		PUT /api/drill
		DELETE /api/drill
		DELETE /api/tags/{tag}/drill
		DELETE /api/hosts/{id}/drill
		POST /settings/drills
		POST /settings/drills/remove
		DELETE /api/hosts/{id}/schedules/{name}
		GET /identity
		POST /identity
		GET /api/identity
		POST /api/identity
		GET /repositories/{id}/import
		POST /repositories/{id}/import
		POST /repositories/{id}/import/{import}/undo
		POST /api/repositories/import
		DELETE /api/repositories/{id}/imports/{import}
		POST /repositories/{id}/mirror
		POST /repositories/{id}/mirror/remove
		PUT /api/repositories/{id}/mirror
		DELETE /api/repositories/{id}/mirror
		PUT /api/repositories/{id}/maintenance`,
}

// rows are the table's lines with their roles.
func rows() map[string]store.Role {
	m := map[string]store.Role{}
	for role, text := range roleTable {
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				m[line] = role
			}
		}
	}
	return m
}

func TestEveryRouteHasARowInTheRoleTable(t *testing.T) {
	w := newWorld(t)
	want, said := rows(), map[string]store.Role{}
	for _, rt := range w.web.routes() {
		said[rt.method+" "+rt.path] = rt.least()
	}
	if err := chi.Walk(w.web.mux, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method == http.MethodHead {
			method = http.MethodGet // each comes with its GET, behind the same guard
		}
		role, known := want[method+" "+path]
		if !known {
			t.Errorf("%s %s has no row in the role table: say in roleTable who may use it", method, path)
		} else if said[method+" "+path] != role {
			t.Errorf("%s %s is for %q and above, the role table says %q", method, path, said[method+" "+path], role)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for line := range want {
		if _, there := said[line]; !there {
			t.Errorf("the role table speaks of %s, which is no route", line)
		}
	}
}

// least is the weakest role that may use a route, "" if anybody may.
func (rt route) least() store.Role {
	if rt.right == anybody {
		return ""
	}
	return rights.Least(rt.right)
}

// at fills in a route's path.
func (rt route) at(host topics.HostID, job topics.JobID) string {
	path := strings.NewReplacer("{name}", "letters", "/static/*", "/static/app.js").Replace(rt.path)
	switch {
	case strings.Contains(path, "/jobs/{id}"):
		return strings.Replace(path, "{id}", string(job), 1)
	case strings.Contains(path, "/hosts/{id}"):
		return strings.Replace(path, "{id}", string(host), 1)
	case rt.path == "/events":
		return path + "?view=nothing" // whoever is let in hears that there is no such view
	}
	return strings.Replace(path, "{id}", "nobody-0001", 1)
}

// refused reports whether an answer says "not you" in the way its address does:
// 401 and 403 as problems in the API, a way to the login form on pages.
func refused(t *testing.T, rt route, r answer) bool {
	t.Helper()
	to := r.Header.Get("Location")
	switch {
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		if session.IsAPI(r.Request) && r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s refuses with %s", rt.method, rt.path, r.Header.Get("Content-Type"))
		}
		return true
	case r.StatusCode == http.StatusSeeOther && strings.HasPrefix(to, "/login"):
		return !strings.HasPrefix(rt.path, "/setup") && !(rt.leaves() && r.Header.Get("Set-Cookie") != "")
	}
	return false
}

// leaves reports whether a route ends the session it is used with.
func (rt route) leaves() bool { return rt.path == "/logout" || rt.path == "/account/sign-out" }

func TestEveryRouteIsForItsRoleAndThoseAbove(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	job := w.backup(attic)
	roles := append([]store.Role{""}, store.Roles...)
	people, programs := map[store.Role]*client{"": w.nobody()}, map[store.Role]*client{"": w.nobody()}
	for _, role := range store.Roles {
		people[role], programs[role] = w.person(role), w.program(role)
	}
	tried := map[string]int{}
	for _, rt := range w.web.routes() {
		for _, role := range roles {
			for kind, c := range map[string]*client{"session": people[role], "token": programs[role]} {
				if rt.leaves() && kind == "session" && role != "" {
					c = w.person(role) // it is the last they do
				}
				// A token is for the API; anywhere else it is nobody's.
				want := rankOf(role) < rankOf(rt.least())
				if kind == "token" && !strings.HasPrefix(rt.path, "/api/") {
					want = rt.right != anybody
				}
				path := rt.at(attic.id, job)
				r := c.do(rt.method, path, nil)
				if got := refused(t, rt, r); got != want {
					t.Errorf("%s %s as %q with a %s: %s, Location %q; refused is %t, want %t", rt.method, path, role, kind, r.Status,
						r.Header.Get("Location"), got, want)
				}
				if status := map[bool]int{true: 401, false: 403}[role == ""]; want && session.IsAPI(r.Request) && r.StatusCode != status {
					t.Errorf("%s %s as %q with a %s: %s, want %d", rt.method, path, role, kind, r.Status, status)
				}
				if r.StatusCode >= 500 {
					t.Errorf("%s %s as %q: %s %s", rt.method, path, role, r.Status, r.text)
				}
				tried[kind]++
			}
		}
	}
	if want := len(roles) * len(rows()); tried["session"] != want || tried["token"] != want {
		t.Errorf("%v requests were tried, want %d of each kind", tried, want)
	}
	t.Logf("%d routes, %d requests", len(rows()), tried["session"]+tried["token"])
	if r := people[store.Operator].do("GET", "/events?view=enrol&token=x", nil); r.StatusCode != 403 {
		t.Errorf("an operator who watches an enrolment: %s", r.Status)
	}
}

func TestWhatIsNotAllowedIsNotOffered(t *testing.T) {
	w := newWorld(t)
	attic, cellar := w.enrol("attic"), w.enrol("cellar")
	attic.group("letters")
	host, empty := "/hosts/"+string(attic.id), "/hosts/"+string(cellar.id)
	offers := map[string]store.Role{
		"/hosts/new": store.Admin, "/run/backup": store.Operator, "/source-groups/": store.Admin,
		`href="/users"`: store.Admin, `href="/mqtt"`: store.Viewer, `href="/account"`: store.Viewer,
	}
	seen := map[string]bool{}
	for _, role := range store.Roles {
		c := w.person(role)
		pages := map[string]string{}
		for _, path := range []string{"/", host, empty, "/jobs", "/settings", "/nonsense"} {
			pages[path] = c.do("GET", path, nil).text
		}
		f := c.feed("/events?view=host&id=" + string(attic.id))
		pages["the host's stream"] = f.until("host-groups").data
		_ = f.body.Close()
		for path, text := range pages {
			for offer, needs := range offers {
				if strings.Contains(text, offer) {
					seen[offer] = true
					if rankOf(role) < rankOf(needs) {
						t.Errorf("%s offers %q to a %s", path, offer, role)
					}
				}
			}
		}
		for _, path := range []string{"/", host, "the host's stream"} {
			if got, want := strings.Contains(pages[path], "/run/backup"), role != store.Viewer; got != want {
				t.Errorf("%s offers a backup to a %s: %t", path, role, got)
			}
		}
	}
	if want := slices.Sorted(maps.Keys(offers)); !slices.Equal(slices.Sorted(maps.Keys(seen)), want) {
		t.Errorf("seen at all: %v, want %v", seen, want)
	}
}

func TestASessionOrTokenThatNoLongerHoldsIsNobodys(t *testing.T) {
	now := time.Now()
	var ahead atomic.Int64 // the server looks at its clock by itself, too
	w := newWorld(t, func(c *base.Config) { c.Now = func() time.Time { return now.Add(time.Duration(ahead.Load())) } })
	key := password.NewKey("rma_")
	add := func(at int64) store.APIToken {
		k := store.APIToken{ID: topics.NewID(time.Now()), Name: "nightly", Role: store.Admin, KeyHash: password.HashKey(key), ExpiresAt: at}
		if _, err := w.store.AddAPIToken(t.Context(), store.Maker{Name: "test"}, k); err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := add(now.Add(time.Hour).UnixMilli())
	c := w.nobody()
	c.token = key
	if r := c.do("GET", "/api/hosts", nil); r.StatusCode != 200 {
		t.Fatalf("a token that holds: %s", r.Status)
	}
	if used := must(w.store.APITokens(t.Context()))[0].UsedAt; used == 0 {
		t.Error("its use was not noted")
	}
	ahead.Store(int64(2 * time.Hour))
	if r := c.do("GET", "/api/hosts", nil); r.StatusCode != 401 || !strings.Contains(r.text, "expired") {
		t.Errorf("an expired token: %s %s", r.Status, r.text)
	}
	if _, err := w.store.RemoveAPIToken(t.Context(), "test", k.ID); err != nil {
		t.Fatal(err)
	}
	if r := c.do("GET", "/api/hosts", nil); r.StatusCode != 401 || !strings.Contains(r.text, "not known") {
		t.Errorf("a revoked token: %s %s", r.Status, r.text)
	}
	for what, cookie := range map[string]string{"nonsense": "x", "empty": "", "a long one": strings.Repeat("x", 4000)} {
		if r := w.nobody().do("GET", "/api/hosts", nil, "Cookie", fmt.Sprintf("%s=%s", session.CookieName, cookie)); r.StatusCode != 401 {
			t.Errorf("a session that is %s: %s", what, r.Status)
		}
	}
}

func rankOf(r store.Role) int { return slices.Index(store.Roles, r) }

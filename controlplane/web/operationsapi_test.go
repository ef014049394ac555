package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestTheAPISetsUpAHostAndFollowsItsBackup(t *testing.T) {
	w := newWorld(t)
	c := w.program(store.Admin)
	if r := c.do("GET", "/api/hosts", nil); r.text != "[]\n" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("no hosts: %s %q", r.Header.Get("Content-Type"), r.text)
	}
	attic := w.enrol("attic")
	if r := c.do("GET", "/api/hosts/"+string(attic.id)+"/snapshots", nil); r.text != "[]\n" {
		t.Errorf("no snapshots: %q", r.text)
	}
	var repository struct{ ID, Location string }
	r := c.do("POST", "/api/repositories", map[string]any{
		"name":     "vault",
		"url":      "rest:https://me:hush@vault.example:8000/attic",
		"password": "hush hush",
		"env":      map[string]string{"RESTIC_REST_USERNAME": "me"},
	})
	r.json(t, &repository)
	if r.StatusCode != 201 || repository.Location != "rest:https://vault.example:8000/attic" || strings.Contains(r.text, "hush") {
		t.Fatalf("register a repository: %s %s", r.Status, r.text)
	}
	if a := must(w.store.RepositoryAccess(t.Context(),
		topics.RepositoryID(repository.ID))); a.URL.Reveal() != "rest:https://vault.example:8000/attic" ||
		a.Password.Reveal() != "hush hush" || a.Env["RESTIC_REST_USERNAME"].Reveal() != "me" || a.Env["RESTIC_REST_PASSWORD"].Reveal() != "hush" {
		t.Errorf("what the job will need: %q %d", a.URL.Reveal(), len(a.Env))
	}
	attic.found(topics.RepositoryID(repository.ID))
	var empty struct {
		Allow    bool `json:"allow_empty"`
		Warnings []string
	}
	c.do("PUT", "/api/hosts/"+string(attic.id)+"/source-groups/all%2Fletters", map[string]any{
		"repository":  "vault",
		"paths":       []string{"/letters"},
		"excludes":    []string{"/**"},
		"allow_empty": true,
	}).json(t, &empty)
	if !empty.Allow || len(empty.Warnings) != 2 || !strings.Contains(empty.Warnings[0], "save nothing") {
		t.Errorf("a source group that saves nothing: %+v", empty)
	}
	for _, by := range []string{"vault", repository.ID} { // twice the same: the second changes the first
		r = c.do("PUT", "/api/hosts/"+string(attic.id)+"/source-groups/all%2Fletters", map[string]any{
			"repository":      by,
			"paths":           []string{"/letters", "/srv/letters"},
			"one_file_system": true,
		})
		var g map[string]any
		r.json(t, &g)
		if r.StatusCode != 200 || g["name"] != "all/letters" || g["repository"] != repository.ID || g["one_file_system"] != true ||
			fmt.Sprint(g["excludes"]) != "[]" || fmt.Sprint(g["warnings"]) != "[]" || strings.Contains(r.text, "null") {
			t.Fatalf("save a source group: %s %s", r.Status, r.text)
		}
	}
	r = c.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", `{"kind":"backup","source_group":"all/letters"}`)
	var ref struct{ ID topics.JobID }
	r.json(t, &ref)
	if r.StatusCode != 202 || ref.ID == "" {
		t.Fatalf("ask for a backup: %s %s", r.Status, r.text)
	}
	var again struct{ ID topics.JobID }
	c.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", `{"kind":"backup"}`).json(t, &again)
	if again.ID != ref.ID {
		t.Errorf("asked again: %s, want the one that waits, %s", again.ID, ref.ID)
	}
	job := func() (m map[string]any) {
		c.do("GET", "/api/jobs/"+string(ref.ID), nil).json(t, &m)
		return m
	}
	for name, want := range map[string]any{
		"id":           string(ref.ID),
		"host":         string(attic.id),
		"kind":         "backup",
		"state":        "queued",
		"cause":        "",
		"message":      "",
		"exit_code":    nil,
		"lines":        0.0,
		"snapshot_id":  "",
		"started_at":   nil,
		"finished_at":  nil,
		"requested_by": "api:nightly",
		"source_group": "all/letters",
		"repository":   repository.ID,
		"summary":      nil,
	} {
		if got, there := job()[name]; !there || got != want {
			t.Errorf("the queued job's %s is %v, want %v", name, got, want)
		}
	}
	if s, _ := job()["queued_at"].(string); !strings.HasSuffix(s, "Z") {
		t.Errorf("queued at %q, want RFC 3339 in UTC", s)
	}

	attic.connect()
	attic.start(ref.ID)
	attic.logs(ref.ID, 1, 3)
	attic.say(topics.Event{Log: &topics.Log{Job: ref.ID, First: 4, Gap: &topics.Gap{To: 9, Reason: "more than 20,000 lines"}}})
	attic.say(topics.Event{Log: &topics.Log{Job: ref.ID, First: 10,
		Lines: []topics.Line{{At: 1000, Level: topics.Error, Text: "repository <is> locked"}}}})
	code := 11
	attic.finish(ref.ID, topics.Finished{
		State:    topics.Failed,
		Cause:    topics.CauseLocked,
		Message:  "repository is locked",
		ExitCode: &code,
		Lines:    10,
	})

	m := job()
	if m["state"] != "failed" || m["cause"] != "locked" || m["exit_code"] != 11.0 || m["lines"] != 10.0 || m["effect"] == "" ||
		len(m["remedies"].([]any)) == 0 || m["finished_at"] == nil {
		t.Errorf("the failed job: %v", m)
	}
	log := func(query string) (out []map[string]any) {
		r := c.do("GET", "/api/jobs/"+string(ref.ID)+"/log"+query, nil)
		if r.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("the log is %s", r.Header.Get("Content-Type"))
		}
		for line := range strings.Lines(r.text) {
			var v map[string]any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatal(err)
			}
			out = append(out, v)
		}
		return out
	}
	all := log("")
	if len(all) != 5 || all[0]["n"] != 1.0 || all[0]["text"] != "line 1" || all[0]["level"] != "info" || all[0]["at"] == nil ||
		all[3]["n"] != 4.0 || all[3]["to"] != 9.0 || all[3]["gap"] != "more than 20,000 lines" ||
		all[4]["text"] != "repository <is> locked" || all[4]["at"] != "1970-01-01T00:00:01Z" {
		t.Errorf("the log: %v", all)
	}
	if tail := log("?after=3"); !reflect.DeepEqual(tail, all[3:]) {
		t.Errorf("after line 3: %v", tail)
	}
	if tail := log("?after=10"); len(tail) != 0 {
		t.Errorf("after the last line: %v", tail)
	}
	if r := c.do("POST", "/api/jobs/"+string(ref.ID)+"/cancel", nil); r.StatusCode != 409 {
		t.Errorf("cancel an ended job: %s %s", r.Status, r.text)
	}

	attic.looks()
	c.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", `{"kind":"backup"}`).json(t, &ref)
	attic.start(ref.ID)
	if r := c.do("POST", "/api/jobs/"+string(ref.ID)+"/cancel", nil); r.StatusCode != 202 || job()["cancel_asked"] != true {
		t.Errorf("cancel a running job: %s %s", r.Status, r.text)
	}
	id := strings.Repeat("ab", 32)
	attic.finish(ref.ID, topics.Finished{State: topics.Succeeded, Summary: &topics.Summary{TotalBytes: 7, TotalFiles: 1},
		Snapshot: &topics.Snapshot{
			ID:    id,
			Time:  1000,
			Host:  "host",
			Paths: []string{"/letters"},
		}})
	if m := job(); m["snapshot_id"] != id || len(m["remedies"].([]any)) != 0 || m["effect"] != "" {
		t.Errorf("a job that succeeded all the same: %v", m)
	}
	r = c.do("GET", "/api/hosts/"+string(attic.id)+"/snapshots", nil)
	var snapshots []map[string]any
	r.json(t, &snapshots)
	if len(snapshots) != 1 || snapshots[0]["id"] != id || snapshots[0]["job"] != string(ref.ID) ||
		snapshots[0]["time"] != "1970-01-01T00:00:01Z" || strings.Contains(r.text, "null") {
		t.Errorf("snapshots: %s", r.text)
	}
	r = c.do("GET", "/api/hosts", nil)
	var hosts []map[string]any
	r.json(t, &hosts)
	if len(hosts) != 1 || hosts[0]["id"] != string(attic.id) || hosts[0]["name"] != "attic" || hosts[0]["online"] != true ||
		hosts[0]["status"] != "unscheduled" {
		t.Errorf("hosts: %s", r.text)
	}
}

func TestALongLogComesWhole(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	id := w.backup(attic)
	attic.connect()
	attic.start(id)
	const n = 2*base.LogChunk + 7
	for first := 1; first <= n; first += 500 {
		attic.logs(id, first, min(first+499, n))
	}
	attic.finish(id, topics.Finished{State: topics.Succeeded, Lines: n})
	r := w.program(store.Viewer).do("GET", "/api/jobs/"+string(id)+"/log", nil)
	if got := strings.Count(r.text, "\n"); got != n || !strings.Contains(r.text, fmt.Sprintf(`{"n":%d,`, n)) {
		t.Errorf("%d lines, want %d", got, n)
	}
}

func TestBadRequestsAreAnsweredWithAProblem(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	admin, viewer := w.program(store.Admin), w.program(store.Viewer)
	jobs, groups := "/api/hosts/"+string(attic.id)+"/jobs", "/api/hosts/"+string(attic.id)+"/source-groups/"
	group := func(paths ...string) map[string]any { return map[string]any{"repository": "nobody", "paths": paths} }
	repository := func(change ...string) map[string]any {
		m := map[string]any{"name": "vault", "url": "/srv/vault", "password": "hush"}
		for i := 0; i < len(change); i += 2 {
			m[change[i]] = change[i+1]
		}
		return m
	}
	for _, c := range []struct {
		name         string
		client       *client
		method, path string
		body         any
		headers      []string
		status       int
		says         string
	}{
		{"unknown route", admin, "GET", "/api/nonsense", nil, nil, 404, "openapi"},
		{"the root", admin, "GET", "/api", nil, nil, 404, ""},
		{"unknown job", admin, "GET", "/api/jobs/nobody-0001", nil, nil, 404, ""},
		{"an ID that is none", admin, "GET", "/api/jobs/..%2f..%2fetc", nil, nil, 404, ""},
		{"unknown job's log", admin, "GET", "/api/jobs/nobody-0001/log", nil, nil, 404, ""},
		{"unknown job's stream", admin, "GET", "/api/jobs/nobody-0001/stream", nil, nil, 404, ""},
		{"unknown host", admin, "POST", "/api/hosts/nobody-0001/jobs", `{"kind":"backup"}`, nil, 404, ""},
		{"unknown group", admin, "POST", jobs, `{"kind":"backup","source_group":"photos"}`, nil, 404, ""},
		{"unknown kind", admin, "POST", jobs, `{"kind":"explode"}`, nil, 422, "kind"},
		{"unknown field", admin, "POST", jobs, `{"kind":"backup","flags":["--force"]}`, nil, 422, "flags"},
		{"wrong method", admin, "DELETE", "/api/hosts", nil, nil, 405, "GET"},
		{"no token", w.nobody(), "GET", "/api/hosts", nil, nil, 401, "Bearer"},
		{"wrong token", admin, "GET", "/api/hosts", nil, []string{"Authorization", "Bearer rma_nonsense"}, 401, "token"},
		{"a wrong token is not made good by a session", w.person(store.Admin), "GET", "/api/hosts", nil,
			[]string{"Authorization", "Bearer rma_nonsense"}, 401, "token"},
		{"wrong scheme", admin, "GET", "/api/hosts", nil, []string{"Authorization", "Basic YTpi"}, 401, "Bearer"},
		{"role too low", viewer, "POST", jobs, `{"kind":"backup"}`, nil, 403, "operator"},
		{"malformed JSON", admin, "POST", jobs, `{"kind": `, nil, 400, ""},
		{"no JSON at all", admin, "POST", jobs, "\x00\xff", nil, 400, ""},
		{"no body", admin, "POST", jobs, "", nil, 400, ""},
		{"a list for an object", admin, "POST", "/api/repositories", `[1]`, nil, 422, ""},
		{"10 MiB", admin, "POST", "/api/repositories", `{"name":"` + strings.Repeat("x", 10<<20) + `"}`, nil, 413, "1 MiB"},
		{"10 MiB of unknown length", admin, "POST", "/api/repositories", io.MultiReader(strings.NewReader(`{"name":"`),
			bytes.NewReader(make([]byte, 10<<20))), nil, 413, "1 MiB"},
		{"wrong content type", admin, "POST", jobs, "kind=backup", []string{"Content-Type", "application/x-www-form-urlencoded"},
			415, "application/json"},
		{"after what is no number", admin, "GET", "/api/jobs/nobody-0001/log?after=yesterday", nil, nil, 422, "after"},
		{"after less than nothing", admin, "GET", "/api/jobs/nobody-0001/log?after=-1", nil, nil, 422, "after"},
		{"a stream after what is no number", admin, "GET", "/api/jobs/nobody-0001/stream?after=x", nil, nil, 422, "after"},
		{"a relative path", admin, "PUT", groups + "x", group("etc"), nil, 422, "full path"},
		{"a line break in a path", admin, "PUT", groups + "x", group("/etc\n/home"), nil, 422, "line break"},
		{"no path", admin, "PUT", groups + "x", group(), nil, 422, "at least one path"},
		{"too many paths", admin, "PUT", groups + "x", group(slices.Repeat([]string{"/x"}, 1001)...), nil, 422, "1000"},
		{"paths too long", admin, "PUT", groups + "x", group(strings.Repeat("/<", 17000)), nil, 422, "fit into a command"},
		{"a name too long", admin, "PUT", groups + strings.Repeat("x", 101), group("/etc"), nil, 422, "100 characters"},
		{"unknown repository", admin, "PUT", groups + "x", group("/etc"), nil, 422, "no repository"},
		{"no name", admin, "POST", "/api/repositories", repository("name", ""), nil, 422, "name"},
		{"a relative URL", admin, "POST", "/api/repositories", repository("url", "srv/vault"), nil, 422, "rest:https"},
		{"no password", admin, "POST", "/api/repositories", repository("password", ""), nil, 422, "password"},
		{"no URL at all", admin, "POST", "/api/repositories", `{"name":"x","password":"hush"}`, nil, 422, "url"},
		{"a variable that runs a program", admin, "POST", "/api/repositories", map[string]any{
			"name":     "x",
			"url":      "/x",
			"password": "hush",
			"env":      map[string]string{"RESTIC_PASSWORD_COMMAND": "hush"},
		}, nil, 422, "RESTIC_PASSWORD_COMMAND"},
	} {
		r := c.client.do(c.method, c.path, c.body, c.headers...)
		var p topics.Problem
		if err := json.Unmarshal([]byte(r.text), &p); err != nil || r.StatusCode != c.status ||
			p.Status != c.status || p.Title == "" || p.Detail == "" ||
			r.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: %s, %s, %.300s; want %d, saying %q", c.name, r.Status, r.Header.Get("Content-Type"), r.text, c.status, c.says)
		}
		if strings.Contains(r.text, "hush") {
			t.Errorf("%s: a secret is sent back: %s", c.name, r.text)
		}
		if c.status == 405 && r.Header.Get("Allow") != "GET" {
			t.Errorf("%s: Allow is %q", c.name, r.Header.Get("Allow"))
		}
		if c.status == 401 && r.Header.Get("WWW-Authenticate") == "" && c.name != "wrong token" && !strings.HasPrefix(c.name, "a wrong token") {
			t.Errorf("%s: it does not say how", c.name)
		}
	}
	if r := admin.do("POST", "/api/repositories", repository()); r.StatusCode != 201 {
		t.Fatalf("a good repository: %s %s", r.Status, r.text)
	}
	if r := admin.do("POST", "/api/repositories", repository()); r.StatusCode != 409 {
		t.Errorf("the name again: %s", r.Status)
	}
	person := w.person(store.Admin)
	for path, status := range map[string]int{
		"/nonsense":          404,
		"/jobs/nobody-0001":  404,
		"/jobs/%00":          404,
		"/hosts/nobody-0001": 404,
		"/hosts/" + string(attic.id) + "/source-groups/x/edit": 404,
		"/static/../web.go":  404,
		"/static/":           404,
		"/static/nothing.js": 404,
		"/hosts/" + string(attic.id) + "/run/backup": 405,
	} {
		if r := person.do("GET", path, nil); r.StatusCode != status || r.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
			!strings.Contains(r.text, "What to do") {
			t.Errorf("%s: %s %s, want %d as a page", path, r.Status, r.Header.Get("Content-Type"), status)
		}
	}
	if r := person.do("POST", "/hosts/new", url10()); r.StatusCode != 413 {
		t.Errorf("a form of 10 MiB: %s", r.Status)
	}
}

func url10() io.Reader { return bytes.NewReader(make([]byte, 10<<20)) }

func TestTheDescriptionListsEveryOperation(t *testing.T) {
	w := newWorld(t)
	r := w.program(store.Viewer).do("GET", "/api/openapi.json", nil)
	var d struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	r.json(t, &d)
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("it is OpenAPI %s", d.OpenAPI)
	}
	for _, rt := range w.web.routes() {
		if strings.HasPrefix(rt.path, "/api/") && rt.path != "/api/openapi.json" && d.Paths[rt.path][strings.ToLower(rt.method)] == nil {
			t.Errorf("%s %s is missing", rt.method, rt.path)
		}
	}
	if strings.Contains(r.text, "unpkg") || strings.Contains(r.text, "$schema") {
		t.Error("it points elsewhere")
	}
}

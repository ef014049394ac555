package web

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Every kind of job is asked for with the body that the contract has for it.
func TestEveryKindIsAskedForByTheContract(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	g := attic.group("letters")
	c := w.program(store.Admin)
	for _, body := range []string{
		`{"kind":"backup","source_group":"letters"}`,
		`{"kind":"init","repository":"ID"}`, `{"kind":"check","repository":"ID"}`, `{"kind":"prune","repository":"ID"}`,
		`{"kind":"unlock","repository":"ID"}`,
		`{"kind":"snapshots","repository":"ID"}`, `{"kind":"stats","repository":"ID"}`,
		`{"kind":"forget","repository":"ID","snapshots":["A"]}`,
		`{"kind":"diff","repository":"ID","from":"A","to":"B"}`,
		`{"kind":"restore","repository":"ID","snapshot":"A","paths":["/letters"],"target":"/restored","dry_run":false}`,
		`{"kind":"find","repository":"ID","pattern":"*.txt"}`,
	} {
		full := strings.NewReplacer("ID", string(g.Repository), `"A"`, `"`+strings.Repeat("a", 64)+`"`, `"B"`,
			`"`+strings.Repeat("b", 64)+`"`).Replace(body)
		r := c.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", full)
		var ref struct {
			ID    topics.JobID
			State topics.JobState
		}
		if r.StatusCode != 202 {
			t.Errorf("%s: %s %s", body, r.Status, r.text)
			continue
		}
		r.json(t, &ref)
		if j := must(w.store.Job(t.Context(), ref.ID)); !strings.Contains(body, `"kind":"`+string(j.Kind)+`"`) ||
			j.Repository != g.Repository || ref.State != topics.Queued || j.Held {
			t.Errorf("%s is the job %+v", body, j)
		}
	}

	path := "/api/hosts/" + string(attic.id) + "/schedules/nightly"
	if r := c.do("PUT", path,
		`{"cron":"30 2 * * *","zone":"Europe/Berlin","source_groups":["letters"],"enabled":true}`); r.StatusCode/100 != 2 {
		t.Errorf("the schedule: %s %s", r.Status, r.text)
	}
	var next struct{ Next []string }
	if c.do("GET", path+"/next?n=5", nil).json(t, &next); len(next.Next) != 5 {
		t.Errorf("the next runs are %v", next.Next)
	}
	if r := c.do("PUT", "/api/repositories/"+string(g.Repository), `{"keeper":"`+string(attic.id)+`"}`); r.StatusCode != 200 {
		t.Fatalf("the keeper: %s %s", r.Status, r.text)
	}
	for _, kind := range []string{"forget", "prune", "check"} {
		r := c.do("POST", "/api/repositories/"+string(g.Repository)+"/maintenance", `{"kind":"`+kind+`"}`)
		var ref struct{ ID topics.JobID }
		if r.StatusCode != 202 {
			t.Errorf("maintenance %s: %s %s", kind, r.Status, r.text)
			continue
		}
		r.json(t, &ref)
		if j := must(w.store.Job(t.Context(), ref.ID)); string(j.Kind) != kind || j.Host != attic.id || j.Held != (kind == "forget") {
			t.Errorf("maintenance %s is the job %+v", kind, j)
		}
	}
	// Of a repository that was taken out of care nothing is planned or due.
	gone := store.Repository{ID: "attic-0009", Name: "gone"}
	if err := w.store.AddRepository(t.Context(), "test", gone, store.RepositoryAccess{URL: "/srv/gone",
		Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.RemoveRepository(t.Context(), "test", gone.ID, false); err != nil {
		t.Fatal(err)
	}
	for _, r := range []answer{
		c.do("GET", "/api/repositories/attic-0009/retention-plan", nil), c.do("GET", "/api/repositories/attic-0009/maintenance", nil),
		c.do("PUT", "/api/repositories/attic-0009/maintenance", `{"prune":{"paused":true}}`),
		c.do("POST", "/api/repositories/attic-0009/maintenance", `{"kind":"prune"}`),
	} {
		if r.StatusCode != 404 {
			t.Errorf("%s %s: %s %s", r.Request.Method, r.Request.URL.Path, r.Status, r.text)
		}
	}
}

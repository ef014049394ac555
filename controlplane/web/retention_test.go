package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestRetentionIsShownTriedAndAskedFor(t *testing.T) {
	w := newWorld(t)
	nas := w.enrol("nas")
	ctx := t.Context()
	repo := store.Repository{ID: "vault-0009", Name: "<b>vault</b>"}
	repo.Keep.V = &store.Keep{Last: 2}
	if err := w.store.AddRepository(ctx, "test", repo, store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	admin, viewer := w.program(store.Admin), w.program(store.Viewer)
	path := "/api/repositories/vault-0009"
	var plan map[string]any
	if r := viewer.do("GET", path+"/retention-plan", nil); r.StatusCode != 200 {
		t.Fatalf("%s %s", r.Status, r.text)
	} else {
		r.json(t, &plan)
	}
	for _, list := range []string{"keep", "remove", "flagged"} {
		if l, ok := plan[list].([]any); !ok || len(l) != 0 {
			t.Errorf("%s is %v, want an empty list", list, plan[list])
		}
	}
	if r := viewer.do("POST", path+"/retention-plan", `{"retention":{"keep_within":"a while"}}`); r.StatusCode != 422 ||
		!strings.Contains(r.text, "keep_within") {
		t.Errorf("rules that cannot be: %s %s", r.Status, r.text)
	}
	if r := viewer.do("GET", "/api/repositories/nothing-here/retention-plan", nil); r.StatusCode != 404 {
		t.Errorf("no such repository: %s", r.Status)
	}
	if r := admin.do("POST", path+"/maintenance", `{"kind":"forget"}`); r.StatusCode != 409 || !strings.Contains(r.text, "right to delete") {
		t.Errorf("without a keeper: %s %s", r.Status, r.text)
	}
	if r := w.program(store.Operator).do("POST", path+"/maintenance", `{"kind":"forget","plan":"0123"}`); r.StatusCode != 403 {
		t.Errorf("an operator approves a plan: %s %s", r.Status, r.text)
	}
	if r := admin.do("PUT", path+"/maintenance",
		`{"forget":{"hour":"23:15"},"check":{"weekday":"monday","slices":52},"prune":{"paused":true}}`); r.StatusCode != 200 ||
		!strings.Contains(r.text, `"hour":"23:15"`) || !strings.Contains(r.text, `"slices":52`) || !strings.Contains(r.text, `"paused":true`) {
		t.Errorf("put when: %s %s", r.Status, r.text)
	}
	if r := admin.do("PUT", path+"/maintenance", `{"forget":{"hour":"25:15"}}`); r.StatusCode != 422 {
		t.Errorf("an hour there is not: %s %s", r.Status, r.text)
	}
	if r := admin.do("PUT", path, `{"keeper":"`+string(nas.id)+`"}`); r.StatusCode != 200 {
		t.Fatalf("%s %s", r.Status, r.text)
	}
	var made struct {
		ID    topics.JobID
		State topics.JobState
	}
	admin.do("POST", path+"/maintenance", `{"kind":"forget"}`).json(t, &made)
	if j := must(w.store.Job(ctx, made.ID)); j.Kind != topics.ForgetJob || !j.Held || j.Host != nas.id {
		t.Errorf("the job is %+v", j)
	}
	if r := admin.do("GET", "/api/jobs/"+string(made.ID), nil); !strings.Contains(r.text, `"reason":"plan"`) {
		t.Errorf("what it waits for is not said: %s", r.text)
	}
	anna := w.person(store.Admin)
	r := anna.do("GET", "/repositories/vault-0009/retention", nil)
	if r.StatusCode != 200 || strings.Contains(r.text, "<b>vault") || !strings.Contains(r.text, "the last 2") ||
		!strings.Contains(r.text, "Forget now") {
		t.Errorf("the page is %s %s", r.Status, r.text)
	}
	r = anna.do("POST", "/repositories/vault-0009/retention/preview", url.Values{"keep_last": {"x"}})
	if r.StatusCode != 200 || !strings.Contains(r.text, "keep_last: a number from 0 to 100000") {
		t.Errorf("a preview of nonsense: %s %s", r.Status, r.text)
	}
}

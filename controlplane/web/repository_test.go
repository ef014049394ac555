package web

import (
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestPutRepositoryKeepsWhatIsLeftOut(t *testing.T) {
	w := newWorld(t)
	nas := w.enrol("nas")
	c := w.program(store.Admin)
	var made map[string]any
	r := c.do("POST", "/api/repositories", map[string]any{
		"name":     "vault",
		"url":      "rest:https://attic:canary-1@nas:8000/attic",
		"password": "canary-2",
	})
	r.json(t, &made)
	id := topics.RepositoryID(fmt.Sprint(made["id"]))
	path := "/api/repositories/" + string(id)
	access := func() store.RepositoryAccess { return must(w.store.RepositoryAccess(t.Context(), id)) }

	// The contract, word for word.
	r = c.do("PUT", path, `{"maintenance":{"username":"keeper","password":"canary-3"},"keeper":"`+string(nas.id)+
		`","append_only":true,"retention":{"keep_within":"30d","keep_within_daily":"1y"}}`)
	r.json(t, &made)
	if r.StatusCode != 200 || made["keeper"] != string(nas.id) || made["append_only"] != true ||
		fmt.Sprint(made["retention"]) != "map[keep_within:30d keep_within_daily:1y]" ||
		fmt.Sprint(made["maintenance"]) != "map[certificates:[] files:[] username:keeper variables:[RESTIC_REST_PASSWORD RESTIC_REST_USERNAME]]" {
		t.Errorf("%s %s", r.Status, r.text)
	}
	a := access()
	if a.Password != "canary-2" || a.Env[location.RESTPassword] != "canary-1" || a.URL != "rest:https://nas:8000/attic" ||
		a.Maintenance.Env[location.RESTPassword] != "canary-3" {
		t.Error("what was left out did not stay")
	}
	// Another address and another name; every secret stays.
	if r = c.do("PUT", path, `{"name":"nas","url":"rest:https://nas.example:8000/attic"}`); r.StatusCode != 200 ||
		!strings.Contains(r.text, `"name":"nas"`) {
		t.Errorf("%s %s", r.Status, r.text)
	}
	if a = access(); a.Password != "canary-2" || a.Env[location.RESTPassword] != "canary-1" || a.Env[location.RESTUser] != "attic" ||
		a.Maintenance == nil {
		t.Error("the secrets did not follow to the new address")
	}
	row := must(w.store.Repository(t.Context(), id))
	if row.Keeper != nas.id || row.Keep.V.WithinDaily != "1y" || row.Location != "rest:https://nas.example:8000/attic" {
		t.Errorf("the row is %+v", row)
	}
	for _, get := range []string{path, "/api/repositories", path + "/keys", path + "/locks", path + "/snapshots", path + "/days"} {
		if r := c.do("GET", get, nil); r.StatusCode != 200 || strings.Contains(r.text, "canary") {
			t.Errorf("GET %s: %s %s", get, r.Status, r.text)
		}
	}
	for name, body := range map[string]string{
		"counts on an append-only repository": `{"retention":{"keep_daily":7}}`,
		"no duration":                         `{"retention":{"keep_within":"a while"}}`,
		"no such host":                        `{"keeper":"nobody"}`,
		"a variable that runs a program":      `{"maintenance":{"env":{"RESTIC_PASSWORD_COMMAND":"x"}}}`,
		"no URL":                              `{"url":"nas"}`,
		"an empty password":                   `{"password":""}`,
	} {
		if r := c.do("PUT", path, body); r.StatusCode != 422 || strings.Contains(r.text, "canary") {
			t.Errorf("%s: %s %s", name, r.Status, r.text)
		}
	}
	if again := must(w.store.Repository(t.Context(), id)); again != row {
		if fmt.Sprintf("%+v", again.Keep.V) != fmt.Sprintf("%+v", row.Keep.V) || again.Keeper != row.Keeper {
			t.Errorf("a refused change changed %+v", again)
		}
	}
	// Taken away by saying so.
	c.do("PUT", path, `{"maintenance":{"username":""},"keeper":"","everyday":{"username":""},"append_only":false,"retention":{}}`).json(t,
		&made)
	if a = access(); a.Maintenance != nil || len(a.Env) != 0 || made["keeper"] != "" || made["retention"] != nil ||
		made["maintenance"] != nil {
		t.Errorf("what was taken away is there: %v", made)
	}
	if r := w.program(store.Operator).do("PUT", path, `{"name":"x"}`); r.StatusCode != 403 {
		t.Errorf("an operator changes a repository: %s", r.Status)
	}
	if r := c.do("PUT", "/api/repositories/nothing-here", `{"name":"x"}`); r.StatusCode != 404 {
		t.Errorf("one that is not there: %s", r.Status)
	}
	if r := c.do("DELETE", path, nil); r.StatusCode != 204 {
		t.Errorf("remove it: %s %s", r.Status, r.text)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if r := c.do(method, path, nil); r.StatusCode != 404 {
			t.Errorf("%s one that was removed: %s", method, r.Status)
		}
	}
}

func TestMaintenanceOnAnotherHostThanTheKeeperIsRefusedInWords(t *testing.T) {
	w := newWorld(t)
	attic, nas := w.enrol("attic"), w.enrol("nas")
	r := w.kept(attic.group("letters"), nas.id)
	c, operator := w.program(store.Admin), w.program(store.Operator)
	a := c.do("POST", "/api/hosts/"+string(attic.id)+"/jobs", map[string]any{"kind": "prune", "repository": r.ID})
	if a.StatusCode != 409 || !strings.Contains(a.text, "keeper, the host nas, alone may prune") {
		t.Errorf("%s %s", a.Status, a.text)
	}
	if a := c.do("POST", "/api/hosts/"+string(nas.id)+"/jobs", map[string]any{"kind": "prune", "repository": r.ID}); a.StatusCode != 202 {
		t.Errorf("on the keeper: %s %s", a.Status, a.text)
	}
	in := operator.do("DELETE", "/api/repositories/"+string(r.ID), nil)
	if in.StatusCode != 403 {
		t.Errorf("an operator removes a repository: %s", in.Status)
	}
	if in := w.program(store.Admin).do("DELETE", "/api/repositories/"+string(r.ID), nil); in.StatusCode != 409 ||
		!strings.Contains(in.text, "in use") {
		t.Errorf("remove one in use: %s %s", in.Status, in.text)
	}
}

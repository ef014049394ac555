package web

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAPostWithNothingToSayNeedsNoBody, of all operations: if nothing has to be in the body,
// nothing at all is answered as {} is; else it is refused, and the description says so.
func TestAPostWithNothingToSayNeedsNoBody(t *testing.T) {
	w := newWorld(t)
	admin := w.program(store.Admin)
	var d struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas map[string]struct{ Required []string }
		}
	}
	admin.do("GET", "/api/openapi.json", nil).json(t, &d)
	spared, needed := 0, 0
	for path, methods := range d.Paths {
		raw, post := methods["post"]
		if !post {
			continue
		}
		var op struct {
			RequestBody *struct {
				Required bool
				Content  map[string]struct {
					Schema struct {
						Ref      string `json:"$ref"`
						Required []string
					}
				}
			}
		}
		if err := json.Unmarshal(raw, &op); err != nil {
			t.Fatal(err)
		}
		if op.RequestBody == nil {
			continue
		}
		schema := op.RequestBody.Content["application/json"].Schema
		required := len(schema.Required) > 0
		if name, ref := strings.CutPrefix(schema.Ref, "#/components/schemas/"); ref {
			required = len(d.Components.Schemas[name].Required) > 0
		}
		if op.RequestBody.Required != required {
			t.Errorf("POST %s: a body is required: %v, a field of it: %v", path, op.RequestBody.Required, required)
		}
		at := strings.NewReplacer("{id}", "none", "{name}", "none", "{key}", "none", "{host}", "none", "{to}", "none").Replace(path)
		empty := admin.do("POST", at, nil)
		if refused := strings.Contains(empty.text, "The request has no body"); refused != required {
			t.Errorf("POST %s without a body: %s %.200s", path, empty.Status, empty.text)
		}
		if required {
			needed++
			continue
		}
		spared++
		if braces := admin.do("POST", at, map[string]any{}); braces.StatusCode != empty.StatusCode || braces.StatusCode == 400 {
			t.Errorf("POST %s is answered %s without a body, and %s with {}", path, empty.Status, braces.Status)
		}
	}
	if spared < 3 || needed < 10 {
		t.Errorf("%d need no body, %d do", spared, needed)
	}
	t.Logf("%d need no body, %d do", spared, needed)
}

// TestAPasswordIsChangedWithoutABody: one is made, and told in the answer.
func TestAPasswordIsChangedWithoutABody(t *testing.T) {
	w := newWorld(t)
	admin := w.program(store.Admin)
	id := topics.RepositoryID("vault-0001")
	if err := w.store.AddRepository(t.Context(), "test", store.Repository{ID: id, Name: "vault", Location: "rest:https://nas/vault"},
		store.RepositoryAccess{URL: "rest:https://nas/vault", Password: "the first one"}); err != nil {
		t.Fatal(err)
	}
	var said struct{ State, Password string }
	r := admin.do("POST", "/api/repositories/vault-0001/password", nil)
	if r.json(t, &said); r.StatusCode != 202 || said.State != "adding" || len(said.Password) < 20 {
		t.Errorf("%s: %+v", r.Status, said)
	}
	if r := admin.do("POST", "/api/repositories/vault-0001/password/go-on", nil); r.StatusCode != 409 {
		t.Errorf("to go on where nothing is waited for: %s %.200s", r.Status, r.text)
	}
	if r := admin.do("POST", "/api/repositories/vault-0001/password/former", map[string]any{"place": "attic"}); r.StatusCode != 409 {
		t.Errorf("the password of a place that was not left: %s %.200s", r.Status, r.text)
	}
}

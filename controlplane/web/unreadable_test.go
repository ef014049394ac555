package web

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// A secret of one repository that cannot be read is said wherever that one is shown, takes
// nothing else along, and is entered again by the form.
func TestSecretsThatCannotBeReadAreSaidAndEnteredAgain(t *testing.T) {
	w := newWorld(t)
	admin := w.person(store.Admin)
	program := w.program(store.Admin)
	for i, part := range looks.Parts {
		t.Run(part.Column, func(t *testing.T) {
			id, near := topics.RepositoryID(fmt.Sprintf("vault-%04d", i)), topics.RepositoryID(fmt.Sprintf("whole-%04d", i))
			full := store.RepositoryAccess{URL: "rest:http://nas:8000/" + topics.Secret(id), Password: "canary-1",
				Env:         map[string]topics.Secret{"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": "canary-2"},
				Files:       map[string]topics.Secret{"RESTIC_CACERT": "canary-4"},
				Maintenance: &store.Maintenance{Env: map[string]topics.Secret{"RESTIC_REST_USERNAME": "keeper", "RESTIC_REST_PASSWORD": "canary-3"}}}
			for _, id := range []topics.RepositoryID{id, near} {
				if err := w.store.AddRepository(t.Context(), "test", store.Repository{ID: id, Name: string(id),
					Location: "rest:http://nas:8000/" + string(id)}, full); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.store.SlotStep(t.Context(), func(tx store.Slots) error { // that of another row
				ctx, x := tx.Tx()
				_, err := x.ExecContext(ctx, `UPDATE repositories SET `+part.Column+` = (SELECT `+part.Column+
					` FROM repositories WHERE id = $1) WHERE id = $2`, near, id)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			page, api := "/repositories/"+string(id), "/api/repositories/"+string(id)
			said := "The control plane cannot read its " + part.Words
			admin.shows(page, said, page+"/edit", "Enter it again")
			admin.shows(page+"/edit", said, "rest:http://nas:8000/"+string(id))
			admin.shows("/repositories", string(id), string(near))
			admin.shows("/repositories/" + string(near))
			for _, at := range []string{api, "/api/repositories"} {
				if r := program.do("GET", at, nil); r.StatusCode != 200 || !strings.Contains(r.text, `"unreadable":["`+part.Column+`"]`) ||
					at != api && !strings.Contains(r.text, string(near)) {
					t.Errorf("%s: %s %s", at, r.Status, r.text)
				}
			}
			if r := admin.do("GET", page+"/kit", nil); r.StatusCode != 409 || !strings.Contains(r.text, part.Words+" of the repository") ||
				strings.Contains(r.text, "canary") {
				t.Errorf("its kit: %s", r.Status)
			}
			if r := admin.do("GET", "/repositories/"+string(near)+"/kit", nil); r.StatusCode != 200 {
				t.Errorf("its neighbour's kit: %s", r.Status)
			}
			form := url.Values{"name": {string(id)}, "backend": {"other"}, "url": {full.URL.Reveal()}, "password": {"canary-1"},
				"everyday.variables":               {"RESTIC_REST_USERNAME=attic\nRESTIC_REST_PASSWORD=canary-2\n"},
				"maintenance.variables":            {"RESTIC_REST_USERNAME=keeper\nRESTIC_REST_PASSWORD=canary-3\n"},
				"everyday.file.RESTIC_CACERT.none": {"1"}}
			if r := admin.do("POST", page+"/edit", form); r.StatusCode != 303 {
				t.Fatalf("entering it again: %s %s", r.Status, r.text)
			}
			if _, err := w.store.RepositoryAccess(t.Context(), id); err != nil {
				t.Errorf("entered again: %v", err)
			}
			if text := admin.shows(page); strings.Contains(text, said) {
				t.Error("the page still says it")
			}
		})
	}
}

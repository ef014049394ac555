package web

import (
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/restored"
)

// TestWhatAHostCouldNotTellAgainIsShownWithIt: on its page and in the API, and with no other.
func TestWhatAHostCouldNotTellAgainIsShownWithIt(t *testing.T) {
	w := newWorld(t)
	attic, barn := w.enrol("attic"), w.enrol("barn")
	if err := w.store.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		if _, err := restored.Begin(ctx, x.(*sqlx.Tx), 1_700_007_200_000, 1_700_000_000_000); err != nil {
			return err
		}
		return restored.Missing(ctx, x, attic.id, 1_700_003_600_000)
	}); err != nil {
		t.Fatal(err)
	}
	const said = "jobs may be missing: the control plane was restored from a copy, and this host could not tell them again."
	page, program := w.person(store.Admin), w.program(store.Admin)
	if r := page.do("GET", "/hosts/"+string(attic.id), nil); !strings.Contains(r.text, said) || !strings.Contains(r.text, "14 Nov 2023") {
		t.Errorf("the page of the host does not say it: %s", r.Status)
	}
	if r := program.do("GET", "/api/hosts/"+string(attic.id)+"/identity", nil); !strings.Contains(r.text,
		`"say":"Between 2023-11-14T22:13:20.000Z and 2023-11-14T23:13:20.000Z `+said) ||
		!strings.Contains(r.text, `"from":"2023-11-14T22:13:20Z"`) {
		t.Errorf("the API does not: %s %s", r.Status, r.text)
	}
	if r := page.do("GET", "/hosts/"+string(barn.id), nil); r.StatusCode != 200 || strings.Contains(r.text, said) {
		t.Errorf("the page of a host that told all: %s", r.Status)
	}
	if r := program.do("GET", "/api/hosts/"+string(barn.id)+"/identity", nil); !strings.Contains(r.text, `"gaps":[]`) {
		t.Errorf("the API of one: %s %s", r.Status, r.text)
	}
}

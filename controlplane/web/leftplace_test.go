package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAChangeOfAPasswordIsHadGoOnWithoutAPlaceOnItsPage, and the password of that place is shown
// there, once the change has come so far.
func TestAChangeOfAPasswordIsHadGoOnWithoutAPlaceOnItsPage(t *testing.T) {
	w := newWorld(t)
	admin, ctx, id := w.person(store.Admin), t.Context(), topics.RepositoryID("vault-0001")
	if err := w.store.AddRepository(ctx, "test", store.Repository{ID: id, Name: "vault", Location: "rest:https://nas/{host}/"},
		store.RepositoryAccess{URL: "rest:https://nas/{host}/", Password: "the first one"}); err != nil {
		t.Fatal(err)
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if err := w.store.SlotStep(ctx, func(tx store.Slots) error {
			ctx, x := tx.Tx()
			_, err := x.ExecContext(ctx, query, args...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []topics.HostID{"gone-00001", "stays-0001"} {
		exec(`INSERT INTO places (repository, host, ready_at) VALUES ($1, $2, 1)`, id, h)
	}
	const page = "/repositories/vault-0001/keys"
	if r := admin.do("POST", page+"/password", url.Values{}); !strings.Contains(r.text, "Shown only here and only now") {
		t.Fatalf("a change does not begin: %s", r.Status)
	}
	// One of the two is done; the other is not.
	exec(`INSERT INTO password_change_places (change_id, repository, host, added_at, key_id)
		SELECT id, repository, 'stays-0001', 1, 'aaaa0000' FROM password_changes`)
	if text := admin.do("GET", page, nil).text; !strings.Contains(text, `name="place" value="gone-00001"`) ||
		strings.Contains(text, `name="place" value="stays-0001"`) {
		t.Error("the page does not offer to go on without the one place that is not reached")
	}
	admin.do("POST", page+"/password/go-on", url.Values{"place": {"gone-00001"}})
	text := admin.do("GET", page, nil).text
	if !strings.Contains(text, "Without the place of") || !strings.Contains(text, "No host that is enrolled reaches this place") ||
		strings.Contains(text, "Show the password of this place") {
		t.Error("the page does not say without what it goes on, or offers the password that all have")
	}
	exec(`UPDATE password_changes SET state = 'removing', switched_at = 5`)
	if text := admin.do("GET", page, nil).text; !strings.Contains(text, "Show the password of this place") {
		t.Error("the page does not offer the password that opens the place")
	}
	if r := admin.do("POST", page+"/password/former", url.Values{"place": {"gone-00001"}}); !strings.Contains(r.text, "the first one") {
		t.Errorf("the password is not shown: %s", r.Status)
	}
	if r := admin.do("POST", page+"/password/former", url.Values{"place": {"stays-0001"}}); r.StatusCode != 409 {
		t.Errorf("that of a place that was reached: %s", r.Status)
	}
}

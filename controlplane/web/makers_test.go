package web

import (
	"net/http"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/store"
)

// A token has never more rights than whoever made it has now: with its next request,
// and in streams that are open.
func TestATokenHasNoMoreRightsThanItsMaker(t *testing.T) {
	w := newWorld(t)
	ada, mallory := w.known("ada", store.Admin), w.known("mallory", store.Admin)
	by := store.Maker{Name: ada.Name, User: ada.ID}
	token := func(maker store.Maker) *client {
		c := w.nobody()
		_, c.token, _ = w.web.People.AddToken(t.Context(), maker, people.TokenInput{Name: new("ci"), Role: new(store.Admin)})
		return c
	}
	status := func(c *client) int { return c.do("GET", "/api/users", nil).StatusCode }
	evil, machine := token(store.Maker{Name: mallory.Name, User: mallory.ID}), token(store.Maker{Name: "cli"})
	if status(evil) != http.StatusOK {
		t.Fatal("an administrator's token is refused")
	}
	var child struct {
		Key string `json:"key"`
	}
	evil.do("POST", "/api/tokens", map[string]any{"name": "child", "role": "admin", "days": 0}).json(t, &child)
	heir := w.nobody()
	heir.token = child.Key
	change := func(in people.Input) people.Left {
		t.Helper()
		_, left, err := w.web.People.Change(t.Context(), by, mallory.ID, in)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	change(people.Input{Role: new(store.Viewer)})
	r := evil.do("GET", "/api/users", nil)
	if r.StatusCode != http.StatusForbidden || !strings.Contains(r.text, "mallory") || status(heir) != http.StatusForbidden {
		t.Errorf("a demoted person's token: %s %s; what it made: %d", r.Status, r.text, status(heir))
	}
	if s := evil.do("GET", "/api/hosts", nil).StatusCode; s != http.StatusOK {
		t.Errorf("a viewer's token reads: %d", s)
	}
	change(people.Input{Role: new(store.Admin)})
	if status(evil) != http.StatusOK {
		t.Error("the rights do not come back with the maker's")
	}
	left := change(people.Input{Disabled: new(true)})
	if len(left.Tokens) != 2 || status(evil) != http.StatusUnauthorized || status(heir) != http.StatusUnauthorized {
		t.Errorf("a disabled person's tokens: %d are said; %d, %d", len(left.Tokens), status(evil), status(heir))
	}
	if status(machine) != http.StatusOK {
		t.Error("the command line's token is refused")
	}
	change(people.Input{Disabled: new(false)})
	kept := token(store.Maker{Name: mallory.Name, User: mallory.ID})
	if left := change(people.Input{Disabled: new(true), Keep: new(true)}); !left.Kept || len(left.Tokens) != 1 {
		t.Errorf("what is kept: %+v", left)
	}
	if status(kept) != http.StatusOK {
		t.Error("what was kept is refused")
	}
	if row, err := w.store.APITokens(t.Context()); err != nil || len(row) != 2 || row[0].ExpiresAt == 0 {
		t.Errorf("tokens are %+v, %v", row, err)
	}
}

// Whoever had a token can have made others with it.
func TestWhatWasMadeWithATokenEndsWithIt(t *testing.T) {
	w := newWorld(t)
	ada := w.known("ada", store.Admin)
	parent, key, err := w.web.People.AddToken(t.Context(), store.Maker{Name: "ada", User: ada.ID},
		people.TokenInput{Name: new("short"), Role: new(store.Admin), Life: new(people.Days(1))})
	if err != nil {
		t.Fatal(err)
	}
	c := w.nobody()
	c.token = key
	c.do("POST", "/api/tokens", map[string]any{"name": "for ever", "role": "admin", "days": 0})
	c.do("POST", "/api/consumers", map[string]any{"name": "ear", "do": true})
	rows, err := w.store.APITokens(t.Context())
	if err != nil || len(rows) != 2 || rows[0].ExpiresAt != parent.ExpiresAt {
		t.Errorf("what a token makes ends when that does: %+v, %v", rows, err)
	}
	if left, err := w.web.People.RevokeToken(t.Context(), "ada", parent.ID); err != nil || len(left.Tokens) != 2 || len(left.Consumers) != 1 {
		t.Errorf("revoked are %+v, %v", left, err)
	}
}

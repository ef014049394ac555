package views_test

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/views"
)

// keysPage is the page of a repository's keys with all that can be on it.
func keysPage() views.RepositoryKeysView {
	return views.RepositoryKeysView{
		ID:       "vault-01",
		Name:     hostile,
		KeysAt:   past(time.Hour),
		Keys:     []views.KeyRow{{ID: "aa01", ShortID: "aa01", Owner: hostile, Trusted: true, Current: true}, {ID: "aa02", ShortID: "aa02"}},
		May:      true,
		Password: "correct horse",
		For:      "The password of the key for " + hostile,
		Unasked:  []views.PasswordPlace{{Host: "barn-01", Name: hostile, Why: hostile}},
		Typed:    views.PasswordTyped{User: hostile, Host: hostile},
		Change: &views.PasswordChange{
			Title:       "The password is being changed",
			Began:       past(time.Hour),
			By:          hostile,
			Waits:       []string{hostile},
			Outstanding: []string{hostile},
			Without:     []string{"attic-01"},
			Stuck:       []views.PasswordPlace{{Host: "barn-01", Name: hostile, Why: hostile}},
			Left: []views.PasswordPlace{{Host: "cellar-01", Name: hostile, Why: hostile, By: hostile, At: past(time.Hour), What: "The old one.",
				Show: true}, {Host: "loft-01", Name: "loft", Why: "Why.", By: "anna", At: past(time.Hour), What: "Both."}},
			CanCallOff: true,
		},
	}
}

// Who goes on without hosts and places names those that the page showed; the password of a place
// is offered where the former one alone opens it.
func TestAChangeGoesOnWithoutWhatWasShown(t *testing.T) {
	text := render(t, views.RepositoryPasswordPage(shell("Keys", ""), keysPage()))
	for _, want := range []string{`<input type="hidden" name="host" value="attic-01">`, `<input type="hidden" name="place" value="barn-01">`,
		`<input type="hidden" name="place" value="cellar-01">`, `The old one.`, `Add the key again with this password, typed`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Count(text, `Show the password of this place`) != 1 || strings.Contains(text, `value="loft-01"`) {
		t.Error("the password is offered where the new one opens the place, too")
	}
}

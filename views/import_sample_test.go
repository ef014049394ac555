package views_test

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/views"
)

// imported is the page of a repository that two programs filled, with all that can be on it.
func imported() views.Import {
	groups := []views.Option{{Value: "g-etc", Text: "web1 · etc"}, {Value: "g-mail", Text: hostile}}
	return views.Import{
		RepositoryID: "vault-01",
		Repository:   hostile,
		Listed:       past(time.Hour),
		More:         3,
		Wrong:        "All of the snapshots are newer.",
		Rows: []views.ImportRow{
			{Key: "aa01", Hostname: "web1", Paths: []string{"/etc", "/home"}, Tags: []string{"nightly"}, Count: 312, Oldest: past(9000 * time.Hour),
				Newest: past(time.Hour), Why: "Host name and paths are the same.", Chosen: "g-etc", Groups: groups, Newer: 12, TakeNewer: true,
				Earlier: past(50 * time.Hour)},
			{Key: "aa02", Hostname: hostile, Place: hostile, Paths: []string{hostile}, Tags: []string{hostile}, Count: 1, Oldest: past(time.Hour),
				Newest: past(time.Hour), Why: hostile, Groups: groups, NewGroup: views.NewGroupURL("web1", "vault-01", []string{"/a b", "/c&d"})},
			{Key: "aa03", Hostname: "future", Paths: []string{"/"}, Ahead: 2, Why: "They say that they were made in the future."},
			{Key: "aa04", Hostname: "builder", Paths: []string{"/src"}, Tags: []string{"ci"}, Varied: 4321, Count: 4321,
				Oldest: past(9000 * time.Hour), Newest: past(time.Hour), Why: hostile, Groups: groups, Newer: 2, Backdated: true},
		},
		Review: &views.ImportReview{Count: 301, Goes: true, Doubts: []string{hostile},
			Effect: []string{"The next forget removes 280 snapshots of these."},
			Rows: []views.ImportChoice{{Key: "aa01", Group: "g-etc", Text: hostile, Newer: true, Count: 301,
				Digest: "301.mx3qmym0.9b57"}}},
		Done: []views.ImportDone{
			{ID: "import-1", At: past(time.Hour), By: hostile, Rows: []string{hostile}, Left: 3, Snapshots: 4},
			{ID: "import-2", At: past(70 * time.Hour), By: "anna", Rows: []string{"one"}, UndoneAt: past(time.Hour),
				UndoneBy: hostile, Snapshots: 1},
			{ID: "import-3", At: past(time.Minute), By: "anna", Rows: []string{"one"}, Doing: "taking", Left: 1, Snapshots: 2},
		},
	}
}

// What is chosen is sent as it was shown: nobody confirms what came meanwhile.
func TestAnImportSendsWhatWasShown(t *testing.T) {
	text := render(t, views.ImportPage(shell("Take in", ""), imported()))
	for _, want := range []string{
		`<input type="hidden" name="g.aa01" value="g-etc">`, `<input type="hidden" name="c.aa01" value="301">`,
		`<input type="hidden" name="n.aa01" value="1">`, `<input type="hidden" name="d.aa01" value="301.mx3qmym0.9b57">`,
		`4,321 other tags that vary`, `first backup here, or came later than they say`, `goes on: taking`, `Take in 301 snapshots`,
		`<option value="g-etc" selected>web1 · etc</option>`, `<option value="">Leave as they are</option>`,
		`Also 12 snapshots that are newer than the first backup here`,
		`/hosts/web1/source-groups/new?path=%2Fa+b&amp;path=%2Fc%26d&amp;repository=vault-01`,
		`3 more rows are not shown`, `action="/repositories/vault-01/import/import-1/undo"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(text, "import-2/undo") || strings.Contains(text, "import-3/undo") {
		t.Error("what was undone can be undone again")
	}
}

package rights_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestEveryRightStandsInOneRow(t *testing.T) {
	var seen []rights.Right
	rank := 0
	for _, row := range rights.Table() {
		i := slices.Index(store.Roles, row.Least)
		if i < rank || row.Text == "" || len(row.Rights) == 0 {
			t.Errorf("row %+v: out of order, or empty", row)
		}
		rank = i
		for _, r := range row.Rights {
			if slices.Contains(seen, r) {
				t.Errorf("%s stands in two rows", r)
			}
			seen = append(seen, r)
		}
	}
	for _, k := range topics.Kinds {
		if !slices.Contains(seen, rights.Right(k)) {
			t.Errorf("who may ask for %s is not in the table", k)
		}
	}
	if rights.Least("of a later version") != store.Admin {
		t.Error("what is not known is not for administrators")
	}
}

// Each row has a neighbour of the same kind that another role may do.
func TestWhichRoleAJobTakes(t *testing.T) {
	restore := func(overwrite string) topics.Operation {
		return topics.Operation{Snapshot: "0123456789", Target: "/back", Overwrite: overwrite}
	}
	for _, c := range []struct {
		what string
		job  rights.Job
		want store.Role
	}{
		{"a backup", rights.Job{Kind: topics.BackupJob}, store.Operator},
		{"a listing", rights.Job{Kind: topics.SnapshotsJob}, store.Operator},
		{"a listing of a repository that the host does not have", rights.Job{Kind: topics.SnapshotsJob, Strange: true}, store.Admin},
		{"a listing of keys", rights.Job{Kind: topics.KeyJob}, store.Admin},
		{"a check of all data", rights.Job{Kind: topics.CheckJob, Operation: topics.Operation{ReadData: true}}, store.Operator},
		{"a forget", rights.Job{Kind: topics.ForgetJob}, store.Admin},
		{"a prune", rights.Job{Kind: topics.PruneJob}, store.Admin},
		{"a prune that only tries", rights.Job{Kind: topics.PruneJob, Operation: topics.Operation{DryRun: true}}, store.Admin},
		{"stale locks", rights.Job{Kind: topics.UnlockJob}, store.Operator},
		{"all locks", rights.Job{Kind: topics.UnlockJob, Operation: topics.Operation{All: true}}, store.Admin},
		{"a repository", rights.Job{Kind: topics.InitJob}, store.Admin},
		{"a repository where a disk seems to be missing",
			rights.Job{Kind: topics.InitJob, Operation: topics.Operation{Anyway: true}}, store.Admin},
		{"a restore into the quarantine", rights.Job{Kind: topics.RestoreJob, Operation: restore("")}, store.Operator},
		{"the same, spelt out", rights.Job{Kind: topics.RestoreJob, Operation: restore("never")}, store.Operator},
		{"over older files", rights.Job{Kind: topics.RestoreJob, Operation: restore("if-newer")}, store.Restorer},
		{"over changed files", rights.Job{Kind: topics.RestoreJob, Operation: restore("if-changed")}, store.Restorer},
		{"over all files", rights.Job{Kind: topics.RestoreJob, Operation: restore("always")}, store.Restorer},
		{"over files in some way of a later version", rights.Job{Kind: topics.RestoreJob, Operation: restore("later")}, store.Restorer},
		{"outside", rights.Job{Kind: topics.RestoreJob, Operation: restore(""), Outside: true}, store.Restorer},
		{"where it was", rights.Job{Kind: topics.RestoreJob, Operation: topics.Operation{Snapshot: "0123456789", InPlace: true}}, store.Restorer},
		{"without owners", rights.Job{Kind: topics.RestoreJob, Operation: topics.Operation{Snapshot: "0123456789", NoOwners: true}},
			store.Operator},
		{"of several snapshots", rights.Job{Kind: topics.RestoreJob, Operation: topics.Operation{Target: "/back", Items: []topics.Item{
			{Snapshot: "0123456789"}, {Snapshot: "1123456789"}}}}, store.Operator},
		{"what another host saved", rights.Job{Kind: topics.RestoreJob, Operation: restore(""), Another: true}, store.Restorer},
		{"out of a repository that the host does not have", rights.Job{Kind: topics.RestoreJob, Operation: restore("always"), Strange: true,
			Outside: true, Another: true}, store.Admin},
		{"a drill", rights.Job{Kind: topics.DrillJob}, store.Operator},
		{"a drill of everything", rights.Job{Kind: topics.DrillJob,
			Operation: topics.Operation{Drill: &topics.Drill{Full: true}}}, store.Operator},
		{"a drill of everything to another place", rights.Job{Kind: topics.DrillJob,
			Operation: topics.Operation{Drill: &topics.Drill{Full: true, Target: "/srv/back"}}}, store.Restorer},
		{"a drill in a repository that the host does not have", rights.Job{Kind: topics.DrillJob, Strange: true}, store.Admin},
		{"a kind of a later version", rights.Job{Kind: "later"}, store.Admin},
		{"restic's key add", rights.Job{Kind: "key-add"}, store.Admin},
		{"rewrite", rights.Job{Kind: "rewrite"}, store.Admin},
		{"repair", rights.Job{Kind: "repair"}, store.Admin},
	} {
		right := rights.Of(c.job)
		if got := rights.Least(right); got != c.want {
			t.Errorf("%s is for %s, want %s", c.what, got, c.want)
		}
		for i, role := range store.Roles {
			if got, want := rights.May(role, right), i >= slices.Index(store.Roles, c.want); got != want {
				t.Errorf("%s by a %s: %t, want %t", c.what, role, got, want)
			}
		}
		if rights.May("", right) || rights.May("auditor", right) {
			t.Errorf("%s by nobody, or by a role of a later version", c.what)
		}
	}
}

// What the API's description says of each kind is what the table says.
func TestTheDescriptionNamesEveryKind(t *testing.T) {
	text := rights.Asked()
	for _, k := range topics.Kinds {
		if !strings.Contains(text, string(k)) {
			t.Errorf("%q does not speak of %s", text, k)
		}
	}
	if want := "init, forget, prune, key, tag, rewrite, repair take the role admin"; !strings.Contains(text, want) {
		t.Errorf("%q does not say %q", text, want)
	}
}

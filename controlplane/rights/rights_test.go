package rights_test

import (
	"slices"
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
	restore := func(target, overwrite string) topics.Operation {
		return topics.Operation{Snapshot: "0123456789", Target: target, Overwrite: overwrite}
	}
	for _, c := range []struct {
		what string
		kind topics.JobKind
		o    topics.Operation
		want store.Role
	}{
		{"a backup", topics.BackupJob, topics.Operation{}, store.Operator},
		{"a check of all data", topics.CheckJob, topics.Operation{ReadData: true}, store.Operator},
		{"a forget", topics.ForgetJob, topics.Operation{}, store.Admin},
		{"a prune", topics.PruneJob, topics.Operation{}, store.Admin},
		{"a prune that only tries", topics.PruneJob, topics.Operation{DryRun: true}, store.Admin},
		{"stale locks", topics.UnlockJob, topics.Operation{}, store.Operator},
		{"a repository where a disk seems to be missing", topics.InitJob, topics.Operation{Anyway: true}, store.Admin},
		{"all locks", topics.UnlockJob, topics.Operation{All: true}, store.Admin},
		{"a restore elsewhere", topics.RestoreJob, restore("/tmp/back", ""), store.Operator},
		{"a restore elsewhere, spelt out", topics.RestoreJob, restore("/tmp/back", "never"), store.Operator},
		{"a restore, wherever it goes", topics.RestoreJob, topics.Operation{}, store.Operator},
		{"over older files", topics.RestoreJob, restore("/tmp/back", "if-newer"), store.Admin},
		{"over changed files", topics.RestoreJob, restore("/tmp/back", "if-changed"), store.Admin},
		{"over all files", topics.RestoreJob, restore("/tmp/back", "always"), store.Admin},
		{"in place", topics.RestoreJob, restore("/", "never"), store.Admin},
		{"in place, by a detour", topics.RestoreJob, restore("/tmp/../", ""), store.Admin},
		{"in place, with slashes", topics.RestoreJob, restore("///.", ""), store.Admin},
		{"in place, on Windows", topics.RestoreJob, restore(`C:\`, ""), store.Admin},
		{"in place, by the drive alone", topics.RestoreJob, restore(`c:`, ""), store.Admin},
		{"in place, by a device's name", topics.RestoreJob, restore(`\\?\C:\`, ""), store.Admin},
		{"in place, by a detour on Windows", topics.RestoreJob, restore(`C:\back\..`, ""), store.Admin},
		{"beside, on Windows", topics.RestoreJob, restore(`C:\back`, ""), store.Operator},
		{"by a process's root", topics.RestoreJob, restore("/proc/self/root", ""), store.Admin},
		{"by a thread's root", topics.RestoreJob, restore("/proc/1/task/1/root/", ""), store.Admin},
		{"a directory called root", topics.RestoreJob, restore("/root", ""), store.Operator},
		{"a kind of a later version", "later", topics.Operation{}, store.Admin},
	} {
		right := rights.OfJob(c.kind, c.o)
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

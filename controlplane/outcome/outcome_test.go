package outcome

import (
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAJobIsNamedByWhatItDid has each kind beside what looks like it and is not.
func TestAJobIsNamedByWhatItDid(t *testing.T) {
	dry := &topics.Operation{DryRun: true}
	for _, c := range []struct {
		kind       topics.JobKind
		o          *topics.Operation
		r          *topics.Result
		word, text string
	}{
		{topics.RestoreJob, dry, &topics.Result{Restore: &topics.Restored{Files: 1, Bytes: 50000}},
			"Dry run", "Would restore 1 file, 48.8 KiB; nothing was written"},
		{topics.RestoreJob, nil, &topics.Result{Restore: &topics.Restored{Files: 1, Bytes: 50000}}, "", "Restored 1 file, 48.8 KiB"},
		{topics.RestoreJob, dry, &topics.Result{Restore: &topics.Restored{Files: 2, Bytes: 9, Skipped: 3}},
			"Dry run", "Would restore 2 files, 9 B; 3 files would be left as they were; nothing was written"},
		{topics.RestoreJob, nil, &topics.Result{Restore: &topics.Restored{Files: 2, Bytes: 9, Skipped: 3}},
			"", "Restored 2 files, 9 B; 3 files left as they were"},
		{topics.RestoreJob, nil, &topics.Result{Restore: &topics.Restored{}},
			"Nothing restored", "Restored no file: there is none at these paths in the snapshot"},
		{topics.RestoreJob, nil, &topics.Result{Restore: &topics.Restored{Unchanged: 2}}, "Nothing restored",
			"Restored no file; 2 files were there already"},
		{topics.RestoreJob, dry, &topics.Result{Restore: &topics.Restored{Unchanged: 1, Skipped: 1}}, "Dry run",
			"Would restore no file; 1 file would be left as it was; 1 file is there already; nothing was written"},
		{topics.RestoreJob, nil, &topics.Result{Restore: &topics.Restored{Skipped: 1}},
			"Nothing restored", "Restored no file; 1 file left as it was"},
		{topics.RestoreJob, dry, &topics.Result{Restore: &topics.Restored{}}, "Dry run", "Would restore no file; nothing was written"},
		{topics.RestoreJob, dry, nil, "Dry run", "Said what would be restored; nothing was written"},
		{topics.RestoreJob, nil, nil, "", ""},

		{topics.PruneJob, dry, &topics.Result{Prune: &topics.Pruned{FreedBytes: 1 << 20}}, "Dry run", "Would free 1.00 MiB; nothing was removed"},
		{topics.PruneJob, nil, &topics.Result{Prune: &topics.Pruned{FreedBytes: 1 << 20}}, "", "Freed 1.00 MiB"},
		{topics.PruneJob, nil, &topics.Result{Prune: &topics.Pruned{}}, "Nothing freed", "Freed nothing: everything in the repository is in use"},
		{topics.PruneJob, dry, &topics.Result{Prune: &topics.Pruned{}}, "Dry run", "Would free nothing; nothing was removed"},

		{topics.ForgetJob, nil, &topics.Result{Removed: []string{"a"}}, "", "Removed 1 snapshot; prune frees the space"},
		{topics.ForgetJob, nil, &topics.Result{}, "Nothing removed", "Removed no snapshot: every one is kept by the rules, or was gone already"},

		{topics.CheckJob, nil, &topics.Result{Check: &topics.Checked{}}, "", "Checked the structure, not the data: no errors"},
		{topics.CheckJob, &topics.Operation{Subset: "1/12"}, &topics.Result{Check: &topics.Checked{}},
			"", "Checked the structure and part 1 of 12 of the data: no errors"},
		{topics.CheckJob, &topics.Operation{ReadData: true}, &topics.Result{Check: &topics.Checked{}},
			"", "Checked the structure and all data: no errors"},
		{topics.CheckJob, &topics.Operation{WithCache: true, Subset: "1/12"}, &topics.Result{Check: &topics.Checked{}},
			"", "Checked the structure and part 1 of 12 of the data, as the host's cache has the structure: no errors"},

		{topics.UnlockJob, nil, &topics.Result{Unlocked: 2}, "", "Removed 2 locks"},
		{topics.UnlockJob, nil, nil, "Nothing removed", "Removed no lock: there was none to remove"},

		{topics.InitJob, nil, &topics.Result{Made: true}, "", "Made a new, empty repository"},
		{topics.InitJob, nil, &topics.Result{}, "Was there already", "The repository was there already and opens; nothing was changed"},
		{topics.InitJob, nil, nil, "", "The repository is there and opens"},

		{topics.FindJob, nil, &topics.Result{Count: 3}, "", "Found 3 matches"},
		{topics.FindJob, nil, &topics.Result{}, "Nothing found", "Found nothing of this name in any snapshot"},
		{topics.DiffJob, nil, &topics.Result{Count: 1, Diff: &topics.Diffed{AddedFiles: 1}}, "", "Found 1 added, 0 removed and 0 changed files"},
		{topics.DiffJob, nil, &topics.Result{Diff: &topics.Diffed{}}, "No difference", "Found no difference between the two snapshots"},
		{topics.SnapshotsJob, nil, &topics.Result{Count: 14}, "", "Listed 14 snapshots"},
		{topics.SnapshotsJob, nil, &topics.Result{}, "", "Listed no snapshot"},
		{topics.KeyJob, nil, &topics.Result{Count: 1}, "", "Listed 1 key"},
		{topics.LocksJob, nil, &topics.Result{}, "", "Listed no lock"},
		{topics.StatsJob, nil, &topics.Result{Stats: &topics.Stats{Snapshots: 1, StoredBytes: 1024}}, "", "Measured 1.00 KiB in 1 snapshot"},
	} {
		j := store.Job{Kind: c.kind, State: topics.Succeeded}
		j.Operation.V, j.Result.V = c.o, c.r
		got := Of(j)
		if got.Word != c.word || got.Text != c.text || got.DryRun != (c.o == dry) {
			t.Errorf("%s %+v %+v: %+v, want %q %q", c.kind, c.o, c.r, got, c.word, c.text)
		}
		j.State = topics.Failed
		if got := Of(j); got.Word != "" || got.Text != "" {
			t.Errorf("a failed %s did %+v", c.kind, got)
		}
		j.State = topics.Running
		if got := Of(j); got.Word != "" || got.Text != "" || got.DryRun != (c.o == dry) {
			t.Errorf("a running %s did %+v", c.kind, got)
		}
	}
	for _, c := range []struct {
		state topics.JobState
		s     topics.Summary
		text  string
	}{
		{topics.Succeeded, topics.Summary{TotalFiles: 1204, TotalBytes: 1 << 30, DataAdded: 1 << 20},
			"Saved 1,204 files, 1.00 GiB; 1.00 MiB new"},
		{topics.Warnings, topics.Summary{TotalFiles: 1, TotalBytes: 2, Unreadable: 1}, "Saved 1 file, 2 B; 0 B new; 1 item was skipped"},
		{topics.Warnings, topics.Summary{}, "Saved no file"},
		{topics.Failed, topics.Summary{}, ""},
	} {
		j := store.Job{Kind: topics.BackupJob, State: c.state}
		j.Summary.V = &c.s
		if got := Of(j); got.Text != c.text || got.Word != "" {
			t.Errorf("a backup that %s: %+v, want %q", c.state, got, c.text)
		}
		if n := SavedFiles(j); n == nil || *n != c.s.TotalFiles {
			t.Errorf("a backup that %s saved %v files", c.state, n)
		}
	}
	if n := SavedFiles(store.Job{Kind: topics.RestoreJob, State: topics.Succeeded}); n != nil {
		t.Errorf("a restore saved %d files", *n)
	}
}

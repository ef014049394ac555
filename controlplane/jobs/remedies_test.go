package jobs

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// occurs reports whether a job of a kind can end for a cause.
func occurs(k topics.JobKind, c topics.Cause) bool {
	only := map[topics.Cause][]topics.JobKind{
		topics.CauseSourceMissing: {topics.BackupJob},
		topics.CauseEmptySource:   {topics.BackupJob},
		topics.CauseFewerFiles:    {topics.BackupJob},
		topics.CauseSourceMoved:   {topics.BackupJob},
		topics.CauseHook:          {topics.BackupJob},
		topics.CauseShadowCopy:    {topics.BackupJob},
		topics.CauseServed:        {topics.BackupJob},
		topics.CauseUnreadable:    {topics.BackupJob, topics.RestoreJob},
		topics.CauseAppendOnly:    {topics.ForgetJob, topics.PruneJob, topics.UnlockJob},
		topics.CauseReview:        {topics.ForgetJob},
		targetFull:                {topics.RestoreJob},
	}
	kinds, some := only[c]
	return !some || slices.Contains(kinds, k)
}

// TestEveryFailureHasARemedyThatFits looks at each kind with each cause it can end for.
func TestEveryFailureHasARemedyThatFits(t *testing.T) {
	for _, k := range topics.AllKinds {
		for _, c := range append(slices.Clone(topics.Causes), targetFull, "of a later version") {
			if !occurs(k, c) {
				continue
			}
			state := topics.Failed
			switch c {
			case topics.CauseEmptySource, topics.CauseFewerFiles, topics.CauseSourceMoved, topics.CauseUnreadable:
				state = topics.Warnings
			}
			e := Explain(k, c, state)
			text := e.Cause + " " + e.Effect + " " + strings.Join(e.Texts(), " ")
			if e.Cause == "" || e.Effect == "" || len(e.Remedies) == 0 {
				t.Errorf("%s, %s: %+v", k, c, e)
			}
			for _, r := range e.Remedies {
				if r.Cure != "" && !slices.Contains(Cures, r.Cure) || strings.Contains(r.Text, "{") {
					t.Errorf("%s, %s: %+v", k, c, r)
				}
			}
			for word, fits := range map[string]bool{
				"the backup again":    k == topics.BackupJob,
				"Nothing was saved":   k == topics.BackupJob,
				"source group":        k == topics.BackupJob || c == topics.CauseReview || c == topics.CauseNothing, // these name them
				"what is backed up":   k == topics.BackupJob,
				"where the target is": k == topics.RestoreJob,
				"update restic":       c == topics.CauseUsage && k != topics.RestoreJob,
				"Install restic":      c == topics.CauseNoRestic,
				"forgotten":           c == topics.CauseDiskFull,
			} {
				if strings.Contains(text, word) && !fits {
					t.Errorf("%s, %s says %q: %s", k, c, word, text)
				}
			}
		}
	}
}

// TestTheFullDiskIsTheRightOne: of a restore it is most often the target's, and not when
// restic could not write its lock.
func TestTheFullDiskIsTheRightOne(t *testing.T) {
	for _, c := range []struct {
		kind    topics.JobKind
		message string
		cause   string
	}{
		{topics.RestoreJob, "write /restore/a: no space left on device", "where the target is"},
		{topics.RestoreJob, "unable to create lock in backend: write /srv/repo/locks/x: no space left on device", "where the repository is"},
		{topics.RestoreJob, "Save(<lock/1>): server response unexpected: 507 Insufficient Storage (507)", "where the repository is"},
		{topics.BackupJob, "unable to save snapshot: write /srv/repo/data/00/x-tmp-1: no space left on device", "where the repository is"},
		{topics.BackupJob, "make restic's cache directory: no space left on device", "on the host"},
		{topics.BackupJob, "disk quota exceeded", "where the repository is"},
		{topics.PruneJob, "no space left on device", "where the repository is"},
		{topics.SnapshotsJob, "no space left on device", "on the host"},
		{topics.SnapshotsJob, "unable to create lock in backend: no space left on device", "where the repository is"},
	} {
		e := ExplainJob(store.Job{Kind: c.kind, State: topics.Failed, Cause: topics.CauseDiskFull, Message: c.message})
		if !strings.HasSuffix(e.Cause, c.cause) {
			t.Errorf("%s, %q: %q, want %q", c.kind, c.message, e.Cause, c.cause)
		}
	}
	for _, c := range []struct {
		kind    topics.JobKind
		message string
		cause   string
	}{
		{topics.RestoreJob, "write /restore/a: no space left on device", "where the target is"},
		{topics.RestoreJob, "make restic's cache directory: no space left on device", "on the host"},
		{topics.BackupJob, "unable to save snapshot: write /tmp/restic-temp-pack-1: no space left on device", "on the host"},
		{topics.PruneJob, "no space left on device", "on the host"},
	} {
		e := ExplainJob(store.Job{Kind: c.kind, State: topics.Failed, Cause: topics.CauseHostDisk, Message: c.message})
		if !strings.HasSuffix(e.Cause, c.cause) {
			t.Errorf("host's, %s, %q: %q, want %q", c.kind, c.message, e.Cause, c.cause)
		}
	}
}

func TestASourceThatCannotBeReadAtAllIsNoIncompleteBackup(t *testing.T) {
	some := Explain(topics.BackupJob, topics.CauseUnreadable, topics.Warnings)
	all := Explain(topics.BackupJob, topics.CauseUnreadable, topics.Failed)
	if !strings.Contains(some.Effect, "everything else") || !strings.Contains(all.Effect, "Nothing was saved") {
		t.Errorf("some: %q; all: %q", some.Effect, all.Effect)
	}
	for message, snapshot := range map[string]string{
		"Not one file could be read. 2 items could not be read, the first is /srv/a: permission denied":                     "0123",
		`Not one file could be read. C:\a: The process cannot access the file because it is being used by another process.`: "0123",
		`"/srv/closed/a" cannot be read: permission denied`:                                                                 "",
	} {
		e := ExplainJob(store.Job{Kind: topics.BackupJob, State: topics.Failed, Cause: topics.CauseUnreadable, Message: message,
			SnapshotID: snapshot})
		if !strings.HasPrefix(e.Effect, "Nothing was saved") || strings.Contains(e.Effect, "its snapshot") != (snapshot != "") {
			t.Errorf("%s: %s", message, e.Effect)
		}
	}
}

// TestASnapshotThatIsGoneSaysSo, also by the words of an agent that has no cause for it.
func TestASnapshotThatIsGoneSaysSo(t *testing.T) {
	for cause, message := range map[topics.Cause]string{
		topics.CauseNoSnapshot: "the repository has no snapshot 0123",
		topics.CauseUnknown:    "the repository has no snapshot 0123",
	} {
		for _, kind := range []topics.JobKind{topics.DiffJob, topics.RestoreJob} {
			e := ExplainJob(store.Job{Kind: kind, State: topics.Failed, Cause: cause, Message: message})
			if e.Cause != "The repository does not hold this snapshot" || !strings.Contains(strings.Join(e.Texts(), " "), "choose another") {
				t.Errorf("%s, %s: %+v", kind, cause, e)
			}
		}
	}
}

// TestOneEmptySourceOfSeveralIsNotNothing tells a snapshot that lacks a source from one
// that holds no file at all.
func TestOneEmptySourceOfSeveralIsNotNothing(t *testing.T) {
	told := func(files uint64) string {
		j := store.Job{Kind: topics.BackupJob, State: topics.Warnings, Cause: topics.CauseEmptySource}
		j.Summary.V = &topics.Summary{TotalFiles: files}
		e := ExplainJob(j)
		if len(e.Remedies) == 0 {
			t.Errorf("%d files: nothing is said to be done", files)
		}
		return e.Cause + ". " + e.Effect
	}
	if got := told(0); !strings.HasPrefix(got, "There was nothing to save. ") {
		t.Errorf("no file: %s", got)
	}
	if got := told(50); !strings.HasPrefix(got, "Nothing of one source was saved. The snapshot holds the other sources") {
		t.Errorf("50 files: %s", got)
	}
}

// TestARepositoryThatTakesNoWritesIsNamed has the neighbours, too: a server that refuses
// to delete, a target that cannot be written, and a source that cannot be read.
func TestARepositoryThatTakesNoWritesIsNamed(t *testing.T) {
	const lock = "unable to create lock in backend: "
	for _, c := range []struct {
		kind    topics.JobKind
		cause   topics.Cause
		message string
		named   bool
	}{
		{topics.BackupJob, topics.CausePermission, lock + "open /srv/repo/locks/x-tmp-1: read-only file system", true},
		{topics.BackupJob, topics.CausePermission, lock + "open /srv/repo/locks/x-tmp-1: permission denied", true},
		{topics.BackupJob, topics.CausePermission, `open D:\repo\data\0a\x-tmp-1: The media is write protected.`, true},
		{topics.BackupJob, topics.CauseAppendOnly, lock + "server response unexpected: 403 Forbidden (403)", true},
		{topics.RestoreJob, topics.CauseAppendOnly, lock + "unexpected HTTP response (403): 403 Forbidden", true},
		{topics.CheckJob, topics.CauseAppendOnly, lock + "unexpected HTTP response (403): 403 Forbidden", true},
		{topics.ForgetJob, topics.CauseAppendOnly, lock + "unexpected HTTP response (403): 403 Forbidden", true},
		{topics.InitJob, topics.CauseAppendOnly, "create repository failed: unexpected HTTP response (403): 403 Forbidden", true},
		{topics.PruneJob, topics.CausePermission, "remove /srv/repo/index/ab: read-only file system", true},

		{topics.ForgetJob, topics.CauseAppendOnly, "Remove(<snapshot/ab>) failed: unexpected HTTP response (403): 403 Forbidden", false},
		{topics.PruneJob, topics.CauseAppendOnly, "unexpected HTTP response (403): 403 Forbidden", false},
		{topics.RestoreJob, topics.CausePermission, "mkdir /restore/home: read-only file system", false},
		{topics.RestoreJob, topics.CausePermission, "mkdir /restore/home: permission denied", false},
		{topics.BackupJob, topics.CausePermission, "open /srv/repo/config: permission denied", false},
		{topics.BackupJob, topics.CauseDiskFull, lock + "write /srv/repo/locks/x-tmp-1: no space left on device", false},
		{topics.BackupJob, topics.CauseLocked, lock + "repository is already locked exclusively by PID 1 on a", false},
	} {
		e := ExplainJob(store.Job{Kind: c.kind, State: topics.Failed, Cause: c.cause, Message: c.message})
		if (e.Cause == "The repository takes no writes") != c.named {
			t.Errorf("%s, %s, %q: %q", c.kind, c.cause, c.message, e.Cause)
		}
		text := strings.Join(e.Texts(), " ")
		if c.named && (strings.Contains(text, "may delete") || !strings.Contains(text, "writable")) {
			t.Errorf("%s, %q: %s", c.kind, c.message, text)
		}
	}
}

func TestWhatWasReadWithoutALockSaysSo(t *testing.T) {
	j := store.Job{Kind: topics.RestoreJob, State: topics.Succeeded}
	j.Result.V = &topics.Result{Restore: &topics.Restored{Files: 1, Bytes: 3}}
	if text := outcome.Of(j).Text; strings.Contains(text, "lock") {
		t.Error(text)
	}
	j.Result.V.NoLock = "read-only file system"
	if text := outcome.Of(j).Text; text != "Restored 1 file, 3 B; without a lock" {
		t.Error(text)
	}
}

func TestASourceThatIsItsRepositoryIsNoUnknownFlag(t *testing.T) {
	for message, named := range map[string]bool{
		`"/srv/repo" lies in the repository "/srv/repo" that it would go into, and no backup saves that`: true,
		`"/x" lies in the agent's own files, "/x", and no backup saves those`:                            true,
		"unknown flag: --no-scan": false,
	} {
		e := ExplainJob(store.Job{Kind: topics.BackupJob, State: topics.Failed, Cause: topics.CauseUsage, Message: message})
		if strings.HasPrefix(e.Cause, "The source is the repository itself") != named {
			t.Errorf("%q: %q", message, e.Cause)
		}
	}
}

// A dry run that failed has brought nothing back, and nobody is told that it did.
func TestADryRunIsSaidToHaveWrittenNothing(t *testing.T) {
	for _, cause := range append(slices.Clone(topics.Causes), topics.CauseNone) {
		for _, state := range []topics.JobState{topics.Failed, topics.Cancelled, topics.Warnings, topics.Interrupted} {
			for _, message := range []string{"", "the target cannot be written: mkdir /back: read-only file system"} {
				j := store.Job{Kind: topics.RestoreJob, State: state, Cause: cause, Message: message,
					Operation: store.JSON[topics.Operation]{V: &topics.Operation{DryRun: true}}}
				if e := ExplainJob(j); strings.Contains(e.Effect, "in the target") || strings.Contains(e.Effect, "brought back") {
					t.Errorf("%s, %s: %s", cause, state, e.Effect)
				}
			}
		}
	}
	j := store.Job{Kind: topics.RestoreJob, State: topics.Running, Operation: store.JSON[topics.Operation]{V: &topics.Operation{}}}
	if got := CancelEffect(j); !strings.Contains(got, "back already stay") {
		t.Errorf("of a restore: %s", got)
	}
	j.Operation.V.DryRun = true
	if got := CancelEffect(j); !strings.Contains(got, "Nothing was written") {
		t.Errorf("of a dry run: %s", got)
	}
}

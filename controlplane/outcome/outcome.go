// Package outcome says in a word and a line what a job did.
package outcome

import (
	"cmp"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// An Outcome says what a job really did: its kind alone would call a dry run a restore, and
// its state a restore of nothing a success.
type Outcome struct {
	DryRun bool   // it was asked only to say what would happen
	Word   string // instead of Succeeded, where that would say too much: "Dry run", "Nothing removed"; else ""
	Text   string // one line: "Would restore 1 file, 48.8 KiB; nothing was written". "" until it ended, and where a cause says it
}

// Of returns what a job did, or is about to do.
func Of(j store.Job) Outcome {
	o := topics.Operation{}
	if j.Operation.V != nil {
		o = *j.Operation.V
	}
	d := Outcome{DryRun: o.DryRun}
	if j.Kind == topics.BackupJob {
		if j.Summary.V != nil && (j.State == topics.Succeeded || j.State == topics.Warnings) {
			d.Text = saved(*j.Summary.V)
		}
		return d
	}
	if j.State != topics.Succeeded && j.State != topics.Warnings {
		return d
	}
	r := topics.Result{}
	if j.Result.V != nil {
		r = *j.Result.V
	}
	d.Word, d.Text = did(j.Kind, o, r, j.Result.V != nil)
	if r.NoLock != "" && d.Text != "" {
		d.Text += "; without a lock"
	}
	if d.DryRun {
		d.Word = "Dry run"
	}
	if j.State == topics.Warnings {
		d.Word = "" // the warnings are what counts
	}
	return d
}

// SavedFiles returns how many files a backup saved, nil if it is none or did not say.
func SavedFiles(j store.Job) *uint64 {
	if j.Kind != topics.BackupJob || j.Summary.V == nil || !j.State.Ended() {
		return nil
	}
	return &j.Summary.V.TotalFiles
}

func saved(s topics.Summary) string {
	if s.TotalFiles == 0 {
		return "Saved no file"
	}
	text := "Saved " + files(s.TotalFiles, s.TotalBytes) + "; " + words.Bytes(s.DataAdded) + " new"
	if s.Unreadable > 0 {
		text += "; " + words.Count(s.Unreadable, "item was", "items were") + " skipped"
	}
	return text
}

func files(n, bytes uint64) string {
	return words.Count(n, "file", "files") + ", " + words.Bytes(bytes)
}

// did words a result. known is false for one that an agent did not send.
func did(kind topics.JobKind, o topics.Operation, r topics.Result, known bool) (word, text string) {
	count := uint64(max(r.Count, 0))
	switch kind {
	case topics.RestoreJob:
		return restored(o, r)
	case topics.PruneJob:
		switch {
		case r.Prune == nil:
			return "", map[bool]string{true: "Said what would be freed; nothing was removed"}[o.DryRun]
		case o.DryRun && r.Prune.FreedBytes == 0:
			return "", "Would free nothing; nothing was removed"
		case o.DryRun:
			return "", "Would free " + words.Bytes(r.Prune.FreedBytes) + "; nothing was removed"
		case r.Prune.FreedBytes == 0:
			return "Nothing freed", "Freed nothing: everything in the repository is in use"
		}
		return "", "Freed " + words.Bytes(r.Prune.FreedBytes)
	case topics.ForgetJob:
		if len(r.Removed) == 0 {
			return "Nothing removed", "Removed no snapshot: every one is kept by the rules, or was gone already"
		}
		return "", "Removed " + words.Count(uint64(len(r.Removed)), "snapshot", "snapshots") + "; prune frees the space"
	case topics.CheckJob:
		text := "Checked the structure, not the data"
		if o.ReadData {
			text = "Checked the structure and all data"
		} else if part, of, ok := strings.Cut(o.Subset, "/"); ok {
			text = "Checked the structure and part " + part + " of " + of + " of the data"
		}
		if o.WithCache {
			text += ", as the host's cache has the structure"
		}
		if r.Check != nil && r.Check.Errors == 0 {
			text += ": no errors"
		} else if r.Check != nil {
			text += ": " + words.Count(r.Check.Errors, "error", "errors")
		}
		return "", text
	case topics.UnlockJob:
		if r.Unlocked <= 0 {
			return "Nothing removed", "Removed no lock: there was none to remove"
		}
		return "", "Removed " + words.Count(uint64(r.Unlocked), "lock", "locks")
	case topics.InitJob:
		switch {
		case known && r.Made:
			return "", "Made a new, empty repository"
		case known:
			return "Was there already", "The repository was there already and opens; nothing was changed"
		}
		return "", "The repository is there and opens"
	case topics.SnapshotsJob:
		return "", "Listed " + none(count, "snapshot", "snapshots")
	case topics.DrillJob:
		return drilled(r)
	case topics.CopyJob:
		if r.Copy == nil {
			return "", ""
		}
		if r.Copy.Copied <= 0 {
			return "Nothing to copy", "Copied nothing: " + words.Count(uint64(max(r.Copy.Asked, 0)), "snapshot was", "snapshots were") +
				" there already"
		}
		return "", "Copied " + words.Count(uint64(r.Copy.Copied), "snapshot", "snapshots") + "; " +
			words.Number(uint64(max(r.Copy.Already, 0))) + " were there already"
	case topics.StatsJob:
		if r.Stats == nil {
			return "", ""
		}
		return "", "Measured " + words.Bytes(r.Stats.StoredBytes) + " in " + words.Count(r.Stats.Snapshots, "snapshot", "snapshots")
	case topics.DiffJob:
		if r.Diff == nil {
			return "", ""
		}
		if count == 0 && *r.Diff == (topics.Diffed{}) {
			return "No difference", "Found no difference between the two snapshots"
		}
		return "", "Found " + words.Number(r.Diff.AddedFiles) + " added, " + words.Number(r.Diff.RemovedFiles) + " removed and " +
			words.Number(r.Diff.ChangedFiles) + " changed files"
	case topics.FindJob:
		if count == 0 {
			return "Nothing found", "Found nothing of this name in any snapshot"
		}
		return "", "Found " + words.Count(count, "match", "matches")
	case topics.KeyJob:
		return "", "Listed " + none(count, "key", "keys")
	case topics.LocksJob:
		return "", "Listed " + none(count, "lock", "locks")
	}
	return "", ""
}

func drilled(r topics.Result) (word, text string) {
	if r.Drill == nil {
		return "", ""
	}
	d := *r.Drill
	text = "Proved " + words.Count(d.Files, "file", "files") + " and " + words.Count(d.Folders, "folder", "folders") + ", " +
		words.Bytes(d.Bytes) + ", of " + words.Count(uint64(len(d.Snapshots)), "snapshot", "snapshots")
	return "Proven", text
}

func none(n uint64, one, many string) string {
	if n == 0 {
		return "no " + one
	}
	return words.Count(n, one, many)
}

// would is how a dry run says what it found.
var would = strings.NewReplacer(" left", " would be left", " was there", " is there", " were there", " are there")

func restored(o topics.Operation, r topics.Result) (word, text string) {
	if r.Restore == nil { // from an agent that does not say
		return "", map[bool]string{true: "Said what would be restored; nothing was written"}[o.DryRun]
	}
	n, skipped := *r.Restore, ""
	if n.Skipped > 0 {
		skipped = "; " + words.Count(n.Skipped, "file left as it was", "files left as they were")
	}
	if n.Unchanged > 0 {
		skipped += "; " + words.Count(n.Unchanged, "file was there already", "files were there already")
	}
	switch {
	case o.DryRun && n.Files == 0:
		return "", "Would restore no file" + would.Replace(skipped) + "; nothing was written"
	case o.DryRun:
		return "", "Would restore " + files(n.Files, n.Bytes) + would.Replace(skipped) + "; nothing was written"
	case n.Files == 0 && n.Skipped+n.Unchanged > 0:
		return "Nothing restored", "Restored no file" + skipped
	case n.Files == 0:
		return "Nothing restored", "Restored no file: there is none at these paths in the snapshot"
	}
	to := ""
	if o.Fresh {
		to = " to " + cmp.Or(n.Target, o.Target)
	}
	return "", "Restored " + files(n.Files, n.Bytes) + to + skipped
}

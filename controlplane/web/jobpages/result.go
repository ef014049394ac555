package jobpages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// pageRows is how many rows of what a job found out its page shows.
const pageRows = 500

// resultView fills in what a job that is no backup was asked for and found out.
func (s *Pages) resultView(ctx context.Context, v *views.Job, j store.Job) error {
	if o := j.Operation.V; o != nil {
		v.Asked = askedFor(*o)
	}
	r := j.Result.V
	if !j.State.Ended() || r == nil {
		return nil
	}
	v.Figures = append(resultFigures(j.Kind, *r, v.DryRun), v.Figures...)
	if to := r.Restore; to != nil && to.Target != "" && (j.Operation.V == nil || to.Target != j.Operation.V.Target) {
		v.Facts = append(v.Facts, views.Fact{Name: "The files are in", Value: to.Target, Mono: true})
	}
	if r.NoLock != "" {
		v.Facts = append(v.Facts, views.Fact{Name: "Without a lock",
			Value: "none could be written: " + r.NoLock + ". A prune at the same time could have removed what was read"})
	}
	table := func(title string, mono int, head []string, rows [][]string) {
		t := views.ResultTable{Title: title, Count: words.Number(uint64(max(r.Count, len(rows)))), Head: head, Rows: rows, Mono: mono}
		if len(rows) > pageRows {
			t.Rows, t.AllURL = rows[:pageRows], "/api/jobs/"+string(j.ID)+"/report"
			t.Note = fmt.Sprintf("The first %d of %s.", pageRows, words.Number(uint64(len(rows))))
		}
		switch {
		case r.Truncated:
			t.Note = strings.TrimSpace(t.Note + " There was more than the report holds; the log may say more.")
		case len(rows) == 0 && r.Parts > 0:
			t.Note = "The report is kept no longer; its numbers are."
		case len(rows) == 0:
			t.Note = "None."
		}
		v.Results = append(v.Results, t)
	}
	var report topics.Report
	switch j.Kind {
	case topics.SnapshotsJob, topics.KeyJob, topics.LocksJob, topics.FindJob, topics.DiffJob:
		parts, err := s.Store.Reports(ctx, j.ID)
		if err != nil {
			return err
		}
		for _, p := range parts {
			report.Snapshots = append(report.Snapshots, p.Snapshots...)
			report.Keys = append(report.Keys, p.Keys...)
			report.Locks = append(report.Locks, p.Locks...)
			report.Matches = append(report.Matches, p.Matches...)
			report.Changes = append(report.Changes, p.Changes...)
		}
	}
	when := func(ms int64) string {
		if ms == 0 {
			return ""
		}
		return words.Stamp(ctx, base.At(ms))
	}
	var rows [][]string
	switch j.Kind {
	case topics.SnapshotsJob:
		for i := len(report.Snapshots) - 1; i >= 0; i-- { // the newest first
			n := report.Snapshots[i]
			rows = append(rows, []string{layout.Short(n.ID), when(n.Time), n.Host, strings.Join(n.Paths, ", "), strings.Join(n.Tags, ", ")})
		}
		table("Snapshots", 1, []string{"Snapshot", "Taken", "Host", "Paths", "Tags"}, rows)
	case topics.KeyJob:
		for _, k := range report.Keys {
			note := map[bool]string{true: "opens with our password"}[k.Current]
			rows = append(rows, []string{layout.Short(k.ID), k.User + "@" + k.Host, when(k.Created), note})
		}
		table("Keys", 1, []string{"Key", "Made by", "Made", "Note"}, rows)
	case topics.LocksJob:
		for _, l := range report.Locks {
			kind, alive := "shared", "not known from here"
			if l.Exclusive {
				kind = "exclusive"
			}
			if l.Alive != nil {
				alive = map[bool]string{true: "runs", false: "gone"}[*l.Alive]
			}
			rows = append(rows, []string{layout.Short(l.ID), kind, l.Host, fmt.Sprint(l.PID), alive, when(l.Time)})
		}
		table("Locks", 1, []string{"Lock", "Kind", "Host", "Process", "It", "Since"}, rows)
	case topics.FindJob:
		for _, m := range report.Matches {
			rows = append(rows, []string{m.Path, layout.Short(m.Snapshot), m.Type, words.Bytes(m.Size), when(m.ModTime)})
		}
		table("Found", 2, []string{"Path", "Snapshot", "Kind", "Size", "Changed"}, rows)
	case topics.DiffJob:
		words := map[string]string{
			"+": "added",
			"-": "removed",
			"M": "content changed",
			"U": "metadata changed",
			"T": "type changed",
			"?": "damaged",
		}
		for _, c := range report.Changes {
			word := words[c.Modifier]
			if word == "" {
				word = c.Modifier
			}
			rows = append(rows, []string{c.Path, word})
		}
		table("Changes", 1, []string{"Path", "What"}, rows)
	case topics.ForgetJob:
		for _, id := range r.Removed {
			rows = append(rows, []string{layout.Short(id), id})
		}
		table("Removed snapshots", 2, []string{"Snapshot", "Whole ID"}, rows)
	case topics.CheckJob:
		if c := r.Check; c != nil {
			for _, id := range c.Broken {
				rows = append(rows, []string{id})
			}
			if len(rows) > 0 {
				table("Damaged packs", 1, []string{"Pack"}, rows)
			}
			if len(c.Suggest) > 0 {
				v.Facts = append(v.Facts, views.Fact{Name: "restic suggests", Value: strings.Join(c.Suggest, ", ")})
			}
		}
	}
	return nil
}

// resultFigures are the numbers of a job that is no backup.
func resultFigures(k topics.JobKind, r topics.Result, dryRun bool) (f []views.Figure) {
	would := func(did, would string) string {
		if dryRun {
			return would
		}
		return did
	}
	size := func(name string, n uint64, detail string) {
		value, unit := layout.Apart(words.Bytes(n))
		f = append(f, views.Figure{Name: name, Value: value, Unit: unit, Detail: detail})
	}
	count := func(name string, n uint64, detail string) {
		f = append(f, views.Figure{Name: name, Value: words.Number(n), Detail: detail})
	}
	switch {
	case r.Stats != nil:
		size("Stored", r.Stats.StoredBytes, words.Count(r.Stats.Blobs, "blob", "blobs"))
		size("Restorable", r.Stats.RestoreBytes, words.Count(r.Stats.Files, "file", "files"))
		count("Snapshots", r.Stats.Snapshots, "")
	case r.Check != nil:
		count("Errors", r.Check.Errors, map[bool]string{true: "the repository is whole, as far as was read"}[r.Check.Errors == 0])
	case r.Restore != nil:
		count(would("Files restored", "Files to restore"), r.Restore.Files,
			words.Number(r.Restore.Skipped)+would(" left as they were", " would be left as they are"))
		size(would("Restored", "Would restore"), r.Restore.Bytes, "")
		count("Errors", r.Restore.Errors, "")
	case r.Diff != nil:
		count("Added", r.Diff.AddedFiles, words.Bytes(r.Diff.AddedBytes))
		count("Removed", r.Diff.RemovedFiles, words.Bytes(r.Diff.RemovedBytes))
		count("Changed", r.Diff.ChangedFiles, "")
	case r.Prune != nil:
		size(would("Freed", "Would free"), r.Prune.FreedBytes, "")
		size(would("Left", "Would leave"), r.Prune.LeftBytes, "")
	case k == topics.UnlockJob:
		count("Locks removed", uint64(max(r.Unlocked, 0)), "")
	}
	return f
}

// askedFor says what a job was asked for, besides its kind.
func askedFor(o topics.Operation) (f []views.Fact) {
	say := func(name, value string, mono bool) {
		if value != "" {
			f = append(f, views.Fact{Name: name, Value: value, Mono: mono})
		}
	}
	yes := map[bool]string{true: "yes"}
	say("Snapshot", layout.Short(o.Snapshot), true)
	say("From", layout.Short(o.From), true)
	say("To", layout.Short(o.To), true)
	if n := len(o.Snapshots); n > 0 {
		say("Asked to remove", words.Count(uint64(n), "snapshot", "snapshots"), false)
	}
	say("Paths", strings.Join(o.Paths, ", "), true)
	say(map[bool]string{false: "Target", true: "Target, a new folder"}[o.Fresh], o.Target, true)
	say("Files that are there", o.Overwrite, false)
	say("Pattern", o.Pattern, true)
	say("Slice", o.Subset, false)
	say("Reads all data", yes[o.ReadData], false)
	say("From the host's cache", yes[o.WithCache], false)
	say("Dry run", yes[o.DryRun], false)
	say("All locks", yes[o.All], false)
	say("Even where a disk seems to be missing", yes[o.Anyway], false)
	return f
}

// RunAgain asks for the same as an ended job did.
func (s *Pages) RunAgain(w http.ResponseWriter, r *http.Request) error {
	j, err := s.Job(r.Context(), base.JobID(r))
	if err != nil {
		return err
	}
	again, _, err := s.Jobs.RunAgain(r.Context(), session.Of(r.Context()).Actor(), j.ID, r.PostFormValue("elsewhere") != "")
	switch {
	case errors.Is(err, jobs.ErrNotAgain):
		return base.ProblemOf(err).With(problem.Link{Text: "Open the repository", URL: views.RepositoryURL(string(j.Repository))})
	case err != nil:
		return err
	}
	layout.Redirect(w, r, views.JobURL(string(again.ID)))
	return nil
}

package jobpages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// firstRows is how many rows of a list of what a job found out its own page shows.
const firstRows = 100

// resultView fills in what a job that is no backup was asked for and found out: of each
// list its first page.
func (s *Pages) resultView(ctx context.Context, v *views.Job, j store.Job) error {
	return s.results(ctx, v, j, part{page: 1})
}

// results is resultView for a page of the list that has its own.
func (s *Pages) results(ctx context.Context, v *views.Job, j store.Job, p part) error {
	if o := j.Operation.V; o != nil {
		v.Asked = askedFor(j.Kind, *o)
		if j.Other != "" {
			if err := s.otherView(ctx, v, j); err != nil {
				return err
			}
		}
	}
	if j.Kind == topics.FindJob && s.mayName(ctx) {
		f, err := s.foundView(ctx, j, part{page: 1})
		if err != nil {
			return err
		}
		v.Found = &f
	}
	r := j.Result.V
	if !j.State.Ended() || r == nil {
		return nil
	}
	if j.Kind == topics.DiffJob && s.mayName(ctx) {
		d, err := s.diffView(ctx, j, part{page: 1})
		if err != nil {
			return err
		}
		v.Diff = &d
	}
	if j.Kind == topics.DrillJob && s.mayName(ctx) {
		p, err := s.proofsView(ctx, j, part{page: 1})
		if err != nil {
			return err
		}
		v.Proofs = &p
	}
	v.Figures = append(resultFigures(j.Kind, *r, v.DryRun, j.State), v.Figures...)
	if to := r.Restore; to != nil && to.Target != "" && (j.Operation.V == nil || to.Target != j.Operation.V.Target) {
		v.Facts = append(v.Facts, views.Fact{Name: "The files are in", Value: to.Target, Mono: true})
	}
	if r.NoLock != "" {
		v.Facts = append(v.Facts, views.Fact{Name: "Without a lock",
			Value: "none could be written: " + r.NoLock + ". A prune at the same time could have removed what was read"})
	}
	table := func(title string, mono int, head []string, rows [][]string) {
		t := views.ResultTable{JobID: string(j.ID), Title: title, Count: words.Number(uint64(max(r.Count, len(rows)))), Head: head, Mono: mono,
			Query: p.query, Page: p.own}
		if len(rows) > firstRows {
			t.AllURL = "/api/jobs/" + string(j.ID) + "/report"
		}
		found := slices.DeleteFunc(slices.Clone(rows), func(row []string) bool {
			return p.query != "" && !strings.Contains(strings.ToLower(strings.Join(row, "\n")), strings.ToLower(p.query))
		})
		if p.own {
			t.Paging = views.PagingBy(len(found), p.page, views.ResultRows, "line", "lines",
				func(page int) string { return views.ResultURL(string(j.ID), title, p.query, page) })
			t.Rows = found[t.Paging.From:t.Paging.To]
		} else if t.Rows = found[:min(len(found), firstRows)]; len(t.Rows) < len(found) {
			t.Note = fmt.Sprintf("The first %d of %s.", firstRows, words.Number(uint64(len(found))))
			t.PagesURL = views.ResultURL(t.JobID, title, "", 1)
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
	if base.NamesFiles(j.Kind) && !s.mayName(ctx) {
		return nil
	}
	var report topics.Report
	switch j.Kind {
	case topics.SnapshotsJob, topics.KeyJob, topics.LocksJob, topics.RestoreJob:
		parts, err := s.Store.Reports(ctx, j.ID)
		if err != nil {
			return err
		}
		for _, p := range parts {
			report.Snapshots = append(report.Snapshots, p.Snapshots...)
			report.Keys = append(report.Keys, p.Keys...)
			report.Locks = append(report.Locks, p.Locks...)
			report.Planned = append(report.Planned, p.Planned...)
			report.Failures = append(report.Failures, p.Failures...)
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
	case topics.RestoreJob:
		restoreTables(v, *r, report, table)
	case topics.CopyJob:
		copyTable(v, r.Copy, when, table)
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

// ResultsPage is one list of what a job found out, by its title.
func (s *Pages) ResultsPage(w http.ResponseWriter, r *http.Request) error {
	j, err := s.Job(r.Context(), base.JobID(r))
	if err != nil {
		return err
	}
	var v views.Job
	v.DryRun = outcome.Of(j).DryRun
	if err := s.results(r.Context(), &v, j, partOf(r)); err != nil {
		return err
	}
	i := slices.IndexFunc(v.Results, func(t views.ResultTable) bool { return t.Title == r.URL.Query().Get("list") })
	if i < 0 {
		return problem.NoPage
	}
	sh := s.Shell(r, v.Results[i].Title, "jobs", views.Link{Text: "Job", URL: views.JobURL(string(j.ID))},
		views.Link{Text: v.Results[i].Title})
	s.Render(w, r, http.StatusOK, views.ResultPage(sh, v.Results[i]))
	return nil
}

// restoreTables lists what a restore did not bring back, and what a dry run would do.
func restoreTables(v *views.Job, r topics.Result, report topics.Report,
	table func(title string, mono int, head []string, rows [][]string)) {
	if r.Restore == nil {
		return
	}
	if len(report.Failures) > 0 || r.Restore.Failed > 0 {
		var rows [][]string
		for _, f := range report.Failures {
			rows = append(rows, []string{words.Name(f.Path), words.Line(f.Why)})
		}
		table(map[bool]string{false: "Not restored", true: "Cannot be restored"}[v.DryRun], 1, []string{"Path", "Why"}, rows)
	}
	var unmatched [][]string
	for _, item := range r.Restore.Unmatched {
		for _, p := range item.Paths {
			unmatched = append(unmatched, []string{words.Name(p), layout.Short(item.Snapshot)})
		}
	}
	if len(unmatched) > 0 {
		table("Not in the snapshot", 2, []string{"Path", "Snapshot"}, unmatched)
	}
	if v.DryRun && len(report.Planned) > 0 {
		var rows [][]string
		for _, p := range report.Planned {
			rows = append(rows, []string{words.Name(p.Path), planned[p.Action], words.Bytes(p.Size)})
		}
		table("What would happen", 1, []string{"File", "What", "Size"}, rows)
	}
}

// planned words what a restore would do with a file.
var planned = map[string]string{
	topics.PlanNew:       "new",
	topics.PlanOverwrite: "written over what is there",
	topics.PlanUnchanged: "there already",
	topics.PlanKeep:      "what is there stays",
}

// resultFigures are the numbers of a job that is no backup.
func resultFigures(k topics.JobKind, r topics.Result, dryRun bool, state topics.JobState) (f []views.Figure) {
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
		n := *r.Restore
		parts := []string{words.Number(n.Skipped) + would(" left as they were", " would be left as they are")}
		if n.Unchanged > 0 {
			parts = append(parts, words.Number(n.Unchanged)+" there already")
		}
		if n.Overwritten > 0 {
			parts = append(parts, words.Number(n.Overwritten)+would(" written over one that was there", " over one that is there"))
		}
		if n.Estimated {
			parts = append(parts, "counted by the agent on the disk")
		}
		if !dryRun && (state == topics.Cancelled || state == topics.Interrupted || state == topics.Failed) && n.Target != "" {
			// restic gives a file its time last, and no other sign tells a whole one.
			parts = append([]string{"whole ones alone: others may be there in part"}, parts...)
		}
		count(would("Files restored", "Files to restore"), n.Files, strings.Join(parts, ", "))
		size(would("Restored", "Would restore"), r.Restore.Bytes, "")
		if n.NeedBytes > 0 && dryRun {
			size("Free at the target", n.FreeBytes, words.Bytes(n.NeedBytes)+" are needed")
		}
		count(would("Not restored", "Cannot be restored"), max(n.Failed, n.Errors), "")
	case r.Diff != nil:
		count("Added", r.Diff.AddedFiles, words.Bytes(r.Diff.AddedBytes))
		count("Removed", r.Diff.RemovedFiles, words.Bytes(r.Diff.RemovedBytes))
		count("Changed", r.Diff.ChangedFiles, "")
	case r.Copy != nil:
		copyFigures(*r.Copy, count)
	case r.Prune != nil:
		size(would("Freed", "Would free"), r.Prune.FreedBytes, "")
		size(would("Left", "Would leave"), r.Prune.LeftBytes, "")
	case k == topics.UnlockJob:
		count("Locks removed", uint64(max(r.Unlocked, 0)), "")
	}
	return f
}

// askedFor says what a job was asked for, besides its kind.
func askedFor(kind topics.JobKind, o topics.Operation) (f []views.Fact) {
	say := func(name, value string, mono bool) {
		if value != "" {
			f = append(f, views.Fact{Name: name, Value: value, Mono: mono})
		}
	}
	yes := map[bool]string{true: "yes"}
	say("Snapshot", layout.Short(o.Snapshot), true)
	if kind == topics.DiffJob { // of others they are repositories
		say("From", layout.Short(o.From), true)
		say("To", layout.Short(o.To), true)
	}
	if n := len(o.Snapshots); n > 0 {
		name := map[topics.JobKind]string{topics.ForgetJob: "Asked to remove", topics.CopyJob: "Asked to copy", topics.FindJob: "Looks in"}[kind]
		say(name, words.Count(uint64(n), "snapshot", "snapshots"), false)
	}
	named := func(paths []string) string {
		var names []string
		for _, p := range paths {
			names = append(names, words.Name(p))
		}
		return strings.Join(names, ", ")
	}
	say("Paths", named(o.Paths), true)
	for _, item := range o.Items {
		what := named(item.Paths)
		if what == "" {
			what = "all of it"
		}
		say("Of snapshot "+layout.Short(item.Snapshot), words.Cut(what, 2000), true)
	}
	say("Each file to where it was", yes[o.InPlace], false)
	say("Without owners", yes[o.NoOwners], false)
	if o.Preview != nil {
		id := string(o.Preview.Job)
		f = append(f, views.Fact{Name: "By the dry run", Value: id, URL: views.JobURL(id)})
	}
	say(map[bool]string{false: "Target", true: "Target, a new folder"}[o.Fresh], o.Target, true)
	say("Files that are there", views.FilesThere(o.Overwrite), false)
	say("Pattern", o.Pattern, true)
	say("Upper and lower case ignored", yes[o.IgnoreCase], false)
	if n := len(o.Groups); n > 0 {
		say("In snapshots of", words.Count(uint64(n), "source group", "source groups"), false)
	}
	say("Slice", o.Subset, false)
	say("Reads all data", yes[o.ReadData], false)
	say("From the host's cache", yes[o.WithCache], false)
	say("Held to the host's folder for restores", yes[o.Confined], false)
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
	if o := j.Operation.V; r.PostFormValue("write") != "" && o != nil && o.DryRun && j.Kind == topics.RestoreJob {
		run, _, err := s.Jobs.Start(r.Context(), session.Of(r.Context()).Actor(), byDryRun(j, r.PostFormValue("confirm")))
		if err != nil {
			return err
		}
		layout.Redirect(w, r, views.JobURL(string(run.ID)))
		return nil
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

package restorepages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// pagePlanned is how many planned changes one page lists.
const pagePlanned = 50

// Preview asks for a dry run of a draft.
func (s *Pages) Preview(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	return s.preview(w, r, d)
}

// preview asks for a dry run and shows the last page. One that is still under way for
// the same is taken.
func (s *Pages) preview(w http.ResponseWriter, r *http.Request, d drafts.Draft) error {
	ctx, b := r.Context(), d.Body.V
	if len(b.Items) == 0 || b.Target.Host == "" {
		return &problem.Problem{Kind: problem.Conflict, Title: "It is not complete yet", Say: "Nothing was asked for.",
			Do: "Choose files and a destination first.", Link: problem.Link{Text: "Choose files", URL: views.DraftURL(d.ID, views.RestoreFiles)}}
	}
	o := operation(*b)
	o.DryRun = true
	j, _, err := s.Jobs.Start(ctx, session.Of(ctx).Actor(), jobs.Request{Host: b.Target.Host, Kind: topics.RestoreJob,
		Repository: d.Repository, Operation: o, Confirm: b.Target.Confirm, Give: r.PostForm.Get(layout.Give) != ""})
	if err != nil {
		return err
	}
	of := d.Version
	if d, err = s.change(r, func(d *drafts.Draft) ([]drafts.Part, error) {
		d.Body.V.DryRun, d.Body.V.DryRunOf = j.ID, of
		return nil, nil
	}); err != nil {
		return err
	}
	layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreReview))
	return nil
}

// ReviewPage shows what the last dry run found.
func (s *Pages) ReviewPage(w http.ResponseWriter, r *http.Request) error {
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	ctx, b := r.Context(), d.Body.V
	switch {
	case len(b.Items) == 0:
		layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreFiles))
		return nil
	case b.Target.Host == "":
		layout.Redirect(w, r, views.DraftURL(d.ID, views.RestoreDestination))
		return nil
	}
	f, err := s.frame(ctx, d, views.RestoreReview)
	if err != nil {
		return err
	}
	v := views.RestorePreview{Restore: f}
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if v.Dry, err = s.dry(ctx, d, page); err != nil {
		return err
	}
	names := map[topics.HostID]string{}
	if err := s.Store.HostNames(ctx, []topics.HostID{b.Target.Host}, names); err != nil {
		return err
	}
	t := b.Target
	say := func(name, value string, mono bool) {
		v.To = append(v.To, views.Fact{Name: name, Value: value, Mono: mono})
	}
	say("To", names[t.Host], false)
	switch {
	case t.InPlace:
		say("Place", "where each file was", false)
	case t.Folder != "":
		say("Folder", t.Folder, true)
	case v.Dry.Fresh != "":
		say("New folder", v.Dry.Fresh, true)
	default:
		say("Folder", "a new one", false)
	}
	say("Files that are there", cmp.Or(views.FilesThere(t.Overwrite), views.FilesThere("never")), false)
	say("Owners", map[bool]string{false: "kept", true: "those of the folder"}[t.NoOwners], false)
	say("Selected", v.Basket.Text, false)
	if v.Commands, err = s.commands(ctx, d); err != nil {
		return err
	}
	if h, err := s.Store.AnyHost(ctx, t.Host); err == nil && v.Note == nil {
		if text := since.Restoring(h.Name, h.ResticVersion); text != "" {
			v.Note = &views.Note{Tone: "warn", Title: "This restic's restores have faults", Text: text,
				Link: views.Link{Text: "Which restic runs where", URL: views.ResticsURL}}
		}
	}
	sh := s.shell(r, "Review")
	sh.Stream = views.RestoreStream(d.ID, page)
	s.Render(w, r, http.StatusOK, views.RestoreReviewPage(sh, v))
	return nil
}

// ReviewStream draws a draft's review again while it is open, with the page of planned
// changes that is looked at.
func (s *Pages) ReviewStream(r *http.Request, id string) (layout.Draw, error) {
	user, err := owner(r.Context())
	if err != nil {
		return nil, err
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if _, err := s.Store.Drafts().Get(r.Context(), user, id); err != nil {
		return nil, worded(err)
	}
	return func(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
		d, err := s.Store.Drafts().Get(ctx, user, id)
		if errors.Is(err, drafts.ErrNone) {
			return nil // the page says so when something is done there
		} else if err != nil {
			return err
		}
		v, err := s.dry(ctx, d, page)
		if err != nil {
			return err
		}
		p.Morph("restore-dry", views.RestoreDry(v))
		p.Morph("restore-go", views.RestoreGo(v))
		p.Morph("restore-plan", views.RestorePlan(v))
		return nil
	}, nil
}

// dry is the last dry run of a draft, with a page of what it planned.
func (s *Pages) dry(ctx context.Context, d drafts.Draft, page int) (views.DryRun, error) {
	b := d.Body.V
	v := views.DryRun{Draft: d.ID, Version: d.Version, Title: "Nothing was tried yet",
		Text: "A dry run looks what is there and says what the restore would do. It writes nothing."}
	if b.DryRun == "" {
		return v, nil
	}
	j, err := s.Store.Job(ctx, b.DryRun)
	if errors.Is(err, store.ErrNotFound) {
		v.Title = "The last dry run is kept no longer"
		return v, nil
	} else if err != nil {
		return v, err
	}
	if j.Operation.V != nil && j.Operation.V.Fresh {
		v.Fresh = j.Operation.V.Target
	}
	v.Job, v.Link = string(j.ID), views.Link{Text: "Open the job", URL: views.JobURL(string(j.ID))}
	if !j.State.Ended() {
		run := s.Running(j, "", "")
		v.State, v.Title, v.Text = "running", "The dry run is under way", "Nothing is written by it."
		v.Percent, v.Amount = run.Percent, run.Amount
		return v, nil
	}
	var found topics.Restored
	if r := j.Result.V; r != nil && r.Restore != nil {
		found = *r.Restore
	}
	if j.State != topics.Succeeded && j.State != topics.Warnings {
		e := jobs.ExplainJob(j)
		v.State, v.Title, v.Text = "failed", "The dry run did not work out: "+e.Cause, e.Effect
		var todo []string
		for _, r := range e.Remedies {
			todo = append(todo, r.Text)
		}
		v.Remedy = strings.Join(todo, " ")
		return v, nil
	}
	v.State, v.Title = "done", "Dry run finished"
	s.figures(&v, found)
	if v.Stale, err = s.stale(ctx, d, j); err != nil {
		return v, err
	}
	if v.Stale != "" {
		v.Fresh = ""
		v.Title, v.StaleDo = "This dry run counts no longer", "Preview again: nothing was written meanwhile."
	}
	return v, s.planned(ctx, &v, d.ID, j, page)
}

// figures words what a dry run counted.
func (s *Pages) figures(v *views.DryRun, f topics.Restored) {
	if f.Matched == 0 { // an agent of an older version counts files alone
		f.Restored = f.Files
	}
	write := f.Restored + f.Overwritten
	count := func(name string, n uint64, detail string) {
		v.Figures = append(v.Figures, views.Figure{Name: name, Value: words.Number(n), Detail: detail})
	}
	count("New", f.Restored, "")
	count("Replaced", f.Overwritten, "")
	count("The same already", f.Unchanged, "")
	count("Left as they are", f.Skipped, "")
	value, unit := layout.Apart(words.Bytes(f.Bytes))
	v.Figures = append(v.Figures, views.Figure{Name: "To write", Value: value, Unit: unit})
	if write > 0 {
		v.Button = "Restore " + words.Count(write, "file", "files") + ", " + words.Bytes(f.Bytes)
		v.Text = words.Count(f.Restored, "file", "files") + " would be new, " + words.Number(f.Overwritten) + " replaced."
		if f.Overwritten == 0 {
			v.Text = words.Count(f.Restored, "file", "files") + " would be new. No file that is there changes."
		}
	} else {
		v.Text = "Everything is there already, or stays as it is: there is nothing to write."
	}
	for _, i := range f.Unmatched {
		for _, p := range i.Paths {
			v.Missing = append(v.Missing, p+" of snapshot "+layout.Short(i.Snapshot))
		}
		if len(i.Paths) == 0 {
			v.Missing = append(v.Missing, "all of snapshot "+layout.Short(i.Snapshot))
		}
	}
	if f.NeedBytes > 0 {
		v.NoSpace = f.NeedBytes > f.FreeBytes
		v.Space = "It needs " + words.Bytes(f.NeedBytes) + "; " + words.Bytes(f.FreeBytes) + " are free there."
		if v.NoSpace {
			v.Space += " Free space there, or choose another destination."
		}
	}
	if f.Estimated {
		v.Estimate = "restic there has no dry run of its own: the agent compared the snapshot's listing with what is on the disk, by " +
			"size and time."
	}
}

// stale is why a restore may not go by a dry run, "" if it may.
func (s *Pages) stale(ctx context.Context, d drafts.Draft, j store.Job) (string, error) {
	b := d.Body.V
	h, err := s.Store.Host(ctx, b.Target.Host)
	if errors.Is(err, store.ErrNotFound) {
		return "The host was removed since.", nil
	} else if err != nil {
		return "", err
	}
	r, err := restores.Resolve(ctx, s.Store, h.ID, d.Repository, operation(*b))
	if err != nil {
		return problem.Of(err).Say, nil
	}
	o, err := restores.Into(ctx, s.Store, j.ID, r.Operation)
	if err != nil {
		return "", err
	}
	_, err = restores.Preview(ctx, s.Store, s.Presence, s.Now(), restores.Wish{Host: h, Repository: d.Repository, Place: r.Place,
		Operation: o, DryRun: j.ID})
	var stale *restores.StaleError
	if errors.As(err, &stale) && unbound(h, d) {
		return "", nil
	} else if stale != nil {
		return stale.Why, nil
	}
	return "", err
}

// unbound reports whether a restore goes without being held to its dry run: the agent is of
// an older version, and in a new folder nothing can be in the way.
func unbound(h store.Host, d drafts.Draft) bool {
	t := d.Body.V.Target
	return !h.Able(topics.RestoresBaskets) && t.Folder == "" && !t.InPlace && d.Body.V.DryRunOf == d.Version
}

// plannedWords are how what would become of a file is shown.
var plannedWords = map[string]views.PlannedRow{
	"new":       {Word: "New", Tone: "ok", Icon: "plus"},
	"overwrite": {Word: "Replaced", Tone: "warn", Icon: "pencil"},
	"unchanged": {Word: "The same", Tone: "idle", Icon: "circle-check"},
	"keep":      {Word: "Left as it is", Tone: "idle", Icon: "circle-pause"},
}

// planned fills in a page of what a dry run planned.
func (s *Pages) planned(ctx context.Context, v *views.DryRun, draft string, j store.Job, page int) error {
	parts, err := s.Store.Reports(ctx, j.ID)
	if err != nil {
		return err
	}
	var all []topics.Planned
	for _, p := range parts {
		all = append(all, p.Planned...)
	}
	if len(all) == 0 {
		return nil
	}
	pages := (len(all) + pagePlanned - 1) / pagePlanned
	page = min(max(page, 1), pages)
	from := (page - 1) * pagePlanned
	to := min(from+pagePlanned, len(all))
	for _, p := range all[from:to] {
		row, known := plannedWords[p.Action]
		if !known {
			row = views.PlannedRow{Word: p.Action, Tone: "idle", Icon: "info"}
		}
		row.Path, row.Size = p.Path, words.Bytes(p.Size)
		v.Planned = append(v.Planned, row)
	}
	v.Shown = fmt.Sprintf("%s to %s of %s", words.Number(uint64(from+1)), words.Number(uint64(to)), words.Number(uint64(len(all))))
	if r := j.Result.V; r != nil && r.Truncated {
		v.Shown += " that are listed; there are more"
	}
	if page > 1 {
		v.Prev = views.RestoreDryURL(draft, page-1)
	}
	if page < pages {
		v.Next = views.RestoreDryURL(draft, page+1)
	}
	return nil
}

// Run asks for the restore that the visitor has looked at.
func (s *Pages) Run(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	d, err := s.draft(r)
	if err != nil {
		return err
	}
	b := d.Body.V
	version, _ := strconv.ParseInt(r.PostForm.Get("version"), 10, 64)
	if version != d.Version || string(b.DryRun) != r.PostForm.Get("dry_run") || b.DryRun == "" {
		return &problem.Problem{Kind: problem.Conflict, Title: "This restore was changed meanwhile",
			Say: "Another tab changed what is restored, or where to, since this page was made. Nothing was restored.",
			Do:  "Look at it again.", Link: problem.Link{Text: "Look again", URL: views.DraftURL(d.ID, views.RestoreReview)}}
	}
	q := jobs.Request{Host: b.Target.Host, Kind: topics.RestoreJob, Repository: d.Repository, Operation: operation(*b),
		Confirm: b.Target.Confirm, DryRunJob: b.DryRun, Reason: strings.TrimSpace(r.PostForm.Get("reason")),
		Give: r.PostForm.Get(layout.Give) != ""}
	h, err := s.Host(ctx, q.Host)
	if err != nil {
		return err
	}
	if unbound(h, d) {
		q.DryRunJob = ""
	}
	j, _, err := s.Jobs.Start(ctx, session.Of(ctx).Actor(), q)
	if err != nil {
		return err
	}
	if _, err := s.change(r, func(d *drafts.Draft) ([]drafts.Part, error) {
		d.Body.V.Ran = j.ID
		return nil, nil
	}); err != nil && !errors.Is(err, noDraft) {
		return err
	}
	layout.Redirect(w, r, views.JobURL(string(j.ID)))
	return nil
}

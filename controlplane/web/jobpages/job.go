package jobpages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/progress"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// PageLines is how many lines a job's page shows at first, and keeps.
const PageLines = 2000

// A told job is a job with the names of what it is about.
type told struct {
	store.Job
	host       store.Host
	group      store.SourceGroup
	repository store.Repository
	elsewhere  bool   // the same restore may be asked for into a new folder
	draft      string // the visitor's, of which it is a restore or a dry run; "" if there is none
	newest     string // the newest snapshot of its group, of a backup that made far less of one than usual
}

func (s *Pages) tell(ctx context.Context, j store.Job) (told, error) {
	t := told{Job: j}
	var err error
	if t.host, err = s.Store.AnyHost(ctx, j.Host); err != nil {
		return t, fmt.Errorf("host of job %s: %w", j.ID, err)
	}
	if t.group, err = s.GroupOf(ctx, j); err != nil {
		return t, err
	}
	if t.repository, err = s.Store.Repository(ctx, j.Repository); err != nil {
		return t, fmt.Errorf("repository of job %s: %w", j.ID, err)
	}
	if user := session.Of(ctx).UserID; user != "" && j.Kind == topics.RestoreJob && j.State.Ended() {
		list, err := s.Store.Drafts().List(ctx, user)
		if err != nil {
			return t, err
		}
		for _, d := range list {
			if b := d.Body.V; b.Ran == j.ID || b.DryRun == j.ID {
				t.draft = d.ID
			}
		}
	}
	if j.Cause != topics.CauseFewerFiles {
		return t, nil
	}
	known, err := s.Store.Facts(ctx, j.Host)
	for _, f := range known {
		if f.Group == j.SourceGroup && f.MeasureFiles > 0 { // else it was accepted already
			t.newest = f.Newest.ID
		}
	}
	return t, err
}

func (s *Pages) JobPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	j, err := s.Job(ctx, base.JobID(r))
	if err != nil {
		return err
	}
	if j.ID != base.JobID(r) {
		layout.Redirect(w, r, views.JobURL(string(j.ID)))
		return nil
	}
	t, err := s.tell(ctx, j)
	if err != nil {
		return err
	}
	v, err := s.jobView(ctx, t)
	if err != nil {
		return err
	}
	last, err := s.jobLog(ctx, &v, j)
	if err != nil {
		return err
	}
	title := views.JobTitle(v.Kind, v.DryRun, t.host.Name)
	sh := s.Shell(r, title, "jobs", toJobs, views.Link{Text: t.host.Name, URL: views.HostURL(string(j.Host))},
		views.Link{Text: views.KindWords(v.Kind, v.DryRun) + " " + jobs.ShortID(ctx, s.Store, j.ID)})
	if !j.State.Ended() {
		sh.Stream = views.JobStream(string(j.ID), uint64(last))
	}
	s.Render(w, r, http.StatusOK, views.JobPage(sh, v))
	return nil
}

// jobLog fills in the log's last lines, and answers with the number of the very
// last: the stream goes on from there.
func (s *Pages) jobLog(ctx context.Context, v *views.Job, j store.Job) (last int, err error) {
	lines, err := s.Store.Log(ctx, j.ID, max(0, j.Lines-PageLines), PageLines)
	if err != nil {
		return 0, err
	}
	levels, err := s.Store.LogLevels(ctx, j.ID)
	if err != nil {
		return 0, err
	}
	v.Log.Lines = s.logLines(lines)
	for _, l := range levels {
		switch l.Level {
		case topics.Warn:
			v.Log.Warnings = l.Lines
		case topics.Error:
			v.Log.Errors = l.Lines
			if v.Ending != nil {
				v.Ending.FirstLine = uint64(l.Last)
			}
		default:
			v.Log.Info += l.Lines
		}
	}
	if len(lines) > 0 {
		last = lines[len(lines)-1].Last()
		before := v.Log.Info + v.Log.Warnings + v.Log.Errors
		for _, l := range lines {
			if l.GapTo == 0 {
				before--
			}
		}
		if before > 0 {
			v.Log.Earlier, v.Log.EarlierURL = uint64(before), views.LogURL(string(j.ID), "txt")
		}
	} else if j.LogDroppedAt > 0 {
		v.Log.Note = s.dropped(j, words.Stamp(ctx, base.At(j.LogDroppedAt)))
	} else if j.State.Ended() {
		v.Log.Note = "This job wrote no log."
	}
	return last, nil
}

func (s *Pages) logLines(entries []store.LogEntry) []views.LogLine {
	out := make([]views.LogLine, len(entries))
	for i, e := range entries {
		if e.GapTo > 0 {
			out[i] = views.NewLogGap(uint64(e.N), uint64(e.GapTo), e.Text)
		} else {
			out[i] = views.NewLogLine(uint64(e.N), base.At(e.At), string(e.Level), e.Text)
		}
	}
	return out
}

// jobView is everything about a job but its log.
func (s *Pages) jobView(ctx context.Context, t told) (views.Job, error) {
	j, who := t.Job, session.Of(ctx)
	ended := j.State.Ended()
	v := views.Job{ID: string(j.ID), ShortID: jobs.ShortID(ctx, s.Store, j.ID),
		Kind: string(j.Kind), HostID: string(j.Host), Host: t.host.Name,
		Group: t.group.Name, Repository: t.repository.Name, AtWord: "Asked for", At: s.When(j.QueuedAt),
		By: layout.AskedBy(j), Ended: ended, CanCancel: !ended && !j.CancelAsked && who.May(rights.Cancel)}
	did := outcome.Of(j)
	v.Status, v.DryRun, v.Did = layout.JobStatus(j), did.DryRun, did.Text
	if ended {
		if err := s.mayRunAgain(ctx, &v, j, t.host); err != nil {
			return v, err
		}
		_, err := s.Jobs.Again(ctx, who.Actor(), j, true)
		t.elsewhere = j.Kind == topics.RestoreJob && err == nil
		if j.Kind == topics.RestoreJob && who.May(rights.Restore) {
			v.Next = t.next()
			if err := s.writing(ctx, &v, t); err != nil {
				return v, err
			}
		}
	}
	if j.GivenBy != "" {
		v.Facts = append(v.Facts, views.Fact{Name: "Repository given for this job by", Value: j.GivenBy})
	}
	if j.StartedAt > 0 {
		v.AtWord, v.At = "Started", s.When(j.StartedAt)
		if ended {
			v.Took = "took " + words.Duration(time.Duration(j.FinishedAt-j.StartedAt)*time.Millisecond)
		} else {
			v.Took = words.Duration(max(0, s.Now().Sub(base.At(j.StartedAt)))) + " so far"
		}
	}
	if t.repository.RemovedAt == 0 {
		v.RepositoryURL = views.RepositoryURL(string(j.Repository))
	}
	v.CancelEffect = jobs.CancelEffect(j)
	online, seen := s.Presence.Connection(j.Host)
	switch j.State {
	case topics.Queued:
		m, err := s.Moment(ctx)
		if err != nil {
			return v, err
		}
		q, err := s.Queue(ctx, m, j)
		if err != nil {
			return v, err
		}
		wait := s.waiting(j, q)
		v.Waiting = &views.Waiting{Title: "Waiting for its turn", Text: wait.text + "."}
		if wait.job != "" {
			v.Waiting.Text = wait.text + " " + wait.link.Text + "."
			v.Waiting.Link = views.Link{Text: "Open that job", URL: wait.link.URL}
		} else {
			v.Waiting.Link = wait.link
		}
		if wait.reason == protocol.WaitDisk {
			v.Waiting = s.noRoom(j, t.host.Name)
		}
		if online != hosts.Online {
			v.Waiting = &views.Waiting{Title: "Queued until " + t.host.Name + " connects", Text: layout.Offline(views.NewWhen(seen, s.Now())) +
				" It starts as soon as the host is back, at the latest " + words.Clock(ctx, base.At(j.NotAfter), s.Now()) + "."}
		}
	case topics.Dispatched:
		v.Waiting = &views.Waiting{Title: "Waiting for the agent to answer", Text: "The command is on its way to " + t.host.Name + "."}
		if !j.Accepted && s.Presence.Full(j.Host) {
			v.Waiting = s.noRoom(j, t.host.Name)
		}
		if j.Accepted {
			v.Waiting = &views.Waiting{
				Title: "The agent prepares the job",
				Text:  t.host.Name + " has taken the job and is about to start restic.",
			}
		}
		s.heldMaking(ctx, &v, j, t.host.Name, who)
	case topics.Running:
		s.runningView(&v, j)
		if err := s.lockedView(ctx, &v, j, t.repository); err != nil {
			return v, err
		}
		s.heldMaking(ctx, &v, j, t.host.Name, who)
		v.Silent = s.silence(j, t.host.Name)
		if v.Waiting != nil {
			v.Silent = nil // it waits, and whoever has the lock decides for how long
		} else if _, stalled := s.Silent(j); stalled {
			v.Status = views.JobStatus("stalled")
			v.Progress.Left, v.Progress.Ends = "", views.When{} // nobody can tell
		} else if v.Trouble != nil && v.Progress != nil {
			v.Progress.Left, v.Progress.Ends = "", views.When{}
		}
	}
	if !ended && j.CancelAsked {
		v.Status = v.Status.As("Cancelling")
		if !s.Presence.Reachable(j.Host) && (v.Waiting == nil || v.Waiting.Release == "") {
			v.Waiting = nil
			v.Silent = &views.Note{Tone: "warn", Title: t.host.Name + " cannot be asked yet", Text: jobs.CancelWords(j, false)}
		}
	}
	if ended {
		s.endedView(&v, t, who)
	}
	if err := s.resultView(ctx, &v, j); err != nil {
		return v, err
	}
	v.Steps = s.steps(j)
	return v, nil
}

// next is what whoever restores goes on with, once it has ended well: from a dry run to the
// restore, and from a restore to further files.
func (t told) next() views.Link {
	ended := t.State == topics.Succeeded || t.State == topics.Warnings
	dry := t.Operation.V != nil && t.Operation.V.DryRun
	switch {
	case !ended || dry && t.draft == "":
	case dry:
		return views.Link{Text: "Go on to the restore", URL: views.DraftURL(t.draft, views.RestoreReview)}
	case t.draft != "":
		return views.Link{Text: "Restore more", URL: views.DraftURL(t.draft, views.RestoreFiles)}
	case t.repository.RemovedAt == 0:
		return views.Link{Text: "Restore more", URL: views.RestoreNewURL(string(t.Repository), t.firstSnapshot(), "", "")}
	}
	return views.Link{}
}

// writing offers the restore of a dry run that is of no draft of the visitor's, as one that
// was asked for by the API or the CLI.
func (s *Pages) writing(ctx context.Context, v *views.Job, t told) error {
	o, r := t.Operation.V, t.Result.V
	if o == nil || !o.DryRun || t.draft != "" || !v.CanRunAgain || r == nil || r.Restore == nil ||
		t.State != topics.Succeeded && t.State != topics.Warnings {
		return nil
	}
	q := byDryRun(t.Job, "")
	files := cmp.Or(r.Restore.Files, r.Restore.Folders)
	_, err := restores.Preview(ctx, s.Store, s.Presence, s.Now(), restores.Wish{Host: t.host, Repository: t.Repository, Place: t.Place,
		Operation: *o, DryRun: t.ID})
	var stale *restores.StaleError
	switch {
	case errors.As(err, &stale):
		v.Facts = append(v.Facts, views.Fact{Name: "No restore goes by it any more", Value: stale.Why})
		return nil
	case err != nil || files == 0:
		return err
	}
	v.Write = &views.Write{Text: "Restore " + words.Count(r.Restore.Files, "file", "files") + ", " + words.Bytes(r.Restore.Bytes)}
	if err := restores.Confirm(t.host, q.Operation, ""); err != nil {
		v.Write.Confirm = t.host.Name
	}
	return nil
}

// byDryRun is the request for what a dry run tried.
func byDryRun(j store.Job, confirm string) jobs.Request {
	q := jobs.Request{Host: j.Host, Kind: j.Kind, Repository: j.Repository, Operation: *j.Operation.V, DryRunJob: j.ID, Confirm: confirm}
	q.Operation.DryRun, q.Operation.Confined, q.Operation.Preview = false, false, nil
	return q
}

// noRoom says of a job that its host's disk is full, and what to do.
func (s *Pages) noRoom(j store.Job, host string) *views.Waiting {
	_, disk := s.Presence.Room(j.Host)
	return &views.Waiting{
		Title: "There is no space left on " + host,
		Text: "Its agent cannot write its journal and begins nothing: " + disk.Error + ". Make room there; the job then begins by itself " +
			"within a minute or so.",
		Link: views.Link{Text: "Open the host", URL: views.HostURL(string(j.Host))},
	}
}

// mayRunAgain fills in whether the job can be asked for again, and why not.
func (s *Pages) mayRunAgain(ctx context.Context, v *views.Job, j store.Job, h store.Host) error {
	_, err := s.Jobs.Again(ctx, session.Of(ctx).Actor(), j, false)
	var role *jobs.RoleError
	switch {
	case err == nil:
		v.CanRunAgain = true
	case errors.As(err, &role): // what a role may not do is not offered
	case errors.Is(err, jobs.ErrForbidden) && !errors.Is(err, jobs.ErrNotPinned):
		v.NotAgain = views.Forbidden(h.Name, h.Policy)
	default:
		p := base.ProblemOf(err)
		if p.Kind == problem.Internal {
			return err
		}
		v.NotAgain = p.Detail()
	}
	return nil
}

func (s *Pages) runningView(v *views.Job, j store.Job) {
	p, ok := s.Hub.Progress(j.ID)
	v.Progress = &views.Progress{Percent: -1, Headline: "restic is starting"}
	read := "read"
	if j.Kind == topics.RestoreJob {
		read = "written"
	}
	if ok {
		v.Files = p.CurrentFiles
		if p.Stage == 0 && !p.Mute && p.Waits == nil {
			v.Facts = append(v.Facts, views.Fact{Name: "Unreadable items", Value: words.Number(p.Errors)})
		}
		if p.Trouble != nil {
			title, text := jobs.TroubleWords(*p.Trouble, s.Now())
			v.Trouble = &views.Note{Tone: "warn", Title: title, Text: text}
		}
		far := progress.Of(j, p, ok, s.Now())
		v.Progress = &views.Progress{Percent: far.Percent, Headline: far.Headline, Amount: far.Amount}
		switch {
		case p.TotalBytes > 0 && p.Scanned:
			v.Progress.Amount += " " + read
			v.Progress.Files = words.Number(p.FilesDone) + " of " + words.Count(p.TotalFiles, "file", "files")
			if j.Kind == topics.RestoreJob { // restic counts both
				v.Progress.Files = words.Number(p.FilesDone) + " of " + words.Count(p.TotalFiles, "file or folder", "files and folders")
			}
		case !p.Scanned && p.TotalBytes > 0:
			v.Progress.Amount = words.Bytes(p.TotalBytes) + " found so far"
		case far.Percent >= 0:
			v.Progress.Files = far.Stage
		default:
			v.Progress.Amount, v.Progress.Files = far.Stage, far.Span
			if far.Stage == "" {
				v.Progress.Amount = far.Amount
			}
		}
		if far.Percent >= 0 {
			if v.Progress.Left = layout.Left(p); v.Progress.Left != "" {
				v.Progress.Ends = views.NewWhen(s.Now().Add(time.Duration(p.SecondsLeft)*time.Second), s.Now())
			}
		}
	}
	if j.LastTook > 0 {
		v.Facts = append(v.Facts, views.Fact{Name: "Last time took", Value: words.Duration(time.Duration(j.LastTook) * time.Millisecond)})
	}
	v.Facts = append(v.Facts, views.Fact{Name: "restic", Value: layout.Said(j.ResticVersion)})
}

// lockedView says of a job that waits for a lock who has it.
func (s *Pages) lockedView(ctx context.Context, v *views.Job, j store.Job, r store.Repository) error {
	p, ok := s.Hub.Progress(j.ID)
	if !ok || p.Waits == nil {
		return nil
	}
	holders, err := jobs.Waited(ctx, s.Store, j, *p.Waits)
	if err != nil {
		return err
	}
	w := &views.Waiting{Title: "Waiting for the repository's lock"}
	for _, h := range holders {
		w.Text = strings.TrimSpace(w.Text + " " + jobs.HolderWords(h, views.NewWhen(base.At(h.Time), s.Now()).Ago()))
		if h.OfJob != "" && w.Link.URL == "" {
			w.Link = views.Link{Text: "Open that job", URL: views.JobURL(string(h.OfJob))}
		}
	}
	if len(holders) == 0 {
		w.Text = "Another process has it; who that is cannot be read."
	}
	if p.Waits.More > 0 {
		w.Text += " " + words.Count(uint64(p.Waits.More), "further lock is", "further locks are") + " in the way."
	}
	if u := p.Waits.Until; u > 0 {
		w.Text += " Until " + words.Clock(ctx, base.At(u), s.Now()) + " it waits, and goes on by itself; then it fails and changes nothing."
	}
	w.Text += " It can be cancelled at once."
	if w.Link.URL == "" && r.RemovedAt == 0 {
		w.Link = views.Link{Text: "Open the repository", URL: views.RepositoryURL(string(j.Repository)) + "#repository-locks"}
	}
	v.Waiting, v.Progress = w, nil
	v.Status = views.JobStatus("locked")
	return nil
}

func (s *Pages) endedView(v *views.Job, t told, who *session.Visitor) {
	j := t.Job
	if sum := j.Summary.V; sum != nil {
		amount, unit := layout.Apart(words.Bytes(sum.TotalBytes))
		added, addedUnit := layout.Apart(words.Bytes(sum.DataAdded))
		how := "before compression"
		if sum.DataAddedPacked > 0 {
			how += ", " + words.Bytes(sum.DataAddedPacked) + " as stored"
		}
		v.Figures = append(v.Figures,
			views.Figure{Name: "Processed", Value: amount, Unit: unit, Detail: words.Count(sum.TotalFiles, "file", "files")},
			views.Figure{Name: "New data", Value: added, Unit: addedUnit, Detail: how},
			views.Figure{Name: "Files", Value: words.Number(sum.FilesNew), Unit: "new",
				Detail: words.Number(sum.FilesChanged) + " changed, " + words.Number(sum.FilesUnmodified) + " same"})
		v.Facts = append(v.Facts, views.Fact{Name: "Unreadable items", Value: words.Number(sum.Unreadable)})
		v.Facts = append(v.Facts, sourcesOf(*sum)...)
	}
	if j.StartedAt > 0 {
		took := time.Duration(j.FinishedAt-j.StartedAt) * time.Millisecond
		v.Figures = append(v.Figures, views.Figure{Name: "Duration", Value: words.Duration(took)})
		v.Facts = append(v.Facts, views.Fact{Name: "restic", Value: layout.Said(j.ResticVersion)})
	}
	if j.OfRestic() {
		if file := j.Operation.V.Update.Restic; file.Back {
			v.Facts = append(v.Facts, views.Fact{Name: "To be used", Value: "the restic before"})
		} else {
			v.Facts = append(v.Facts, views.Fact{Name: "To be used", Value: file.Name, Mono: true})
		}
	}
	if j.SnapshotID != "" {
		v.Restore = views.RestoreNewURL(string(j.Repository), j.SnapshotID, "", "")
		v.Figures = append(v.Figures, views.Figure{Name: "Snapshot", Value: layout.Short(j.SnapshotID), Mono: true})
	}
	if j.ExitCode.Valid {
		v.Facts = append(v.Facts, views.Fact{Name: "Exit code", Value: exitCode(j)})
	}
	if j.CancelledBy != "" {
		v.Facts = append(v.Facts, views.Fact{Name: "Cancelled by", Value: j.CancelledBy})
	}
	if j.State == topics.Succeeded {
		return
	}
	e := jobs.ExplainJob(j)
	v.Ending = &views.Ending{Status: v.Status, Title: e.Cause, Effect: e.Effect, Evidence: j.Message, ExitCode: exitCode(j)}
	for _, r := range e.Remedies {
		remedy := views.Remedy{Title: r.Text, RunAgain: r.RunAgain}
		cure(&remedy, r.Cure, t, who)
		v.Ending.Remedies = append(v.Ending.Remedies, remedy)
	}
}

// exitCode is a backup's exit code with its meaning; of a code without one only
// the number.
func exitCode(j store.Job) string {
	if !j.ExitCode.Valid {
		return ""
	}
	words := map[int64]string{
		0:   "success",
		1:   "failed",
		3:   "some items could not be read",
		10:  "no repository",
		11:  "failed to lock",
		12:  "wrong password",
		130: "interrupted",
	}
	text := fmt.Sprint(j.ExitCode.Int64)
	if w := words[j.ExitCode.Int64]; w != "" && j.Kind == topics.BackupJob {
		text += ", " + w
	}
	return text
}

func (s *Pages) steps(j store.Job) []views.Step {
	steps := []views.Step{views.DoneStep("Asked for", "by "+layout.AskedBy(j), s.When(j.QueuedAt))}
	if j.StartedAt > 0 {
		steps = append(steps, views.DoneStep("restic started", "", s.When(j.StartedAt)))
	} else if j.Accepted {
		steps = append(steps, views.DoneStep("Accepted by the agent", "", views.When{}))
	}
	if !j.State.Ended() {
		if j.CancelAsked {
			return append(steps, views.OpenStep("Ending", "cancelled by "+j.CancelledBy))
		}
		if j.Kind != topics.BackupJob {
			return append(steps, views.OpenStep("Result", ""))
		}
		return append(steps, views.OpenStep("Snapshot", ""))
	}
	end := s.When(j.FinishedAt)
	if j.Kind != topics.BackupJob && (j.State == topics.Succeeded || j.State == topics.Warnings) {
		step := views.DoneStep("Done", "", end)
		if j.State == topics.Warnings {
			step.Icon, step.Tone, step.Sub = "triangle-alert", "warn", "with warnings"
		}
		return append(steps, step)
	}
	switch j.State {
	case topics.Succeeded:
		return append(steps, views.DoneStep("Snapshot "+layout.Short(j.SnapshotID), "", end))
	case topics.Warnings:
		return append(
			steps,
			views.Step{Icon: "triangle-alert", Tone: "warn", Text: "Snapshot " + layout.Short(j.SnapshotID), Sub: "incomplete", At: end},
		)
	}
	return append(steps, views.BadStep(views.JobStatus(string(j.State)).Word, jobs.ExplainJob(j).Cause, end))
}

// CancelJob asks for the end of a job and shows it.
func (s *Pages) CancelJob(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	j, err := s.Job(r.Context(), base.JobID(r))
	if err != nil {
		return err
	}
	id := j.ID
	if err := s.Jobs.Cancel(r.Context(), session.Of(r.Context()).Name, id); err != nil && !errors.Is(err, jobs.ErrEnded) {
		return err
	}
	switch {
	case r.PostForm.Get("stay") == "":
		layout.Redirect(w, r, views.JobURL(string(id)))
	case base.IsHTMX(r): // the list it was asked for in changes by itself
		w.WriteHeader(http.StatusNoContent)
	default:
		layout.Redirect(w, r, "/jobs")
	}
	return nil
}

// heldMaking says of an init job that was sent since when its host says nothing, and
// offers to take it from that host.
func (s *Pages) heldMaking(ctx context.Context, v *views.Job, j store.Job, host string, who *session.Visitor) {
	if j.Kind != topics.InitJob || j.SentAt == 0 {
		return
	}
	switch {
	case !j.Accepted && v.Waiting != nil:
		v.Waiting.Text = host + " was asked to make the repository " + words.Clock(ctx, base.At(j.SentAt), s.Now()) +
			" and has not answered. Until it does, nobody else is, as two at once would destroy it."
	case j.Accepted && !s.Presence.Reachable(j.Host):
		v.Waiting = &views.Waiting{Title: host + " cannot be reached", Text: "It has begun to make the repository. Nobody else is given " +
			"the job until it has told how that ended, as two at once would destroy it."}
	default:
		return
	}
	if who.May(rights.Repositories) {
		v.Waiting.Release = string(j.Repository)
	}
}

package jobpages

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// cure adds to a remedy where it is carried out, as far as the visitor may.
func cure(r *views.Remedy, c jobs.Cure, t told, who *session.Visitor) {
	repository, host := views.RepositoryURL(string(t.Repository)), views.HostURL(string(t.Host))
	link := func(right rights.Right, text, url string) {
		if who.May(right) {
			r.Link = views.Link{Text: text, URL: url}
		}
	}
	inCare := t.repository.RemovedAt == 0
	switch {
	case c == jobs.CureAllow:
		r.Command = allowing(t)
	case c == jobs.CureHost:
		link(rights.See, "Open the host", host)
	case c == jobs.CureSSH:
		link(rights.Hosts, "SSH keys of the host", views.SSHURL(string(t.Host)))
		if t.HostKeys.V != nil {
			for _, k := range *t.HostKeys.V {
				r.Servers = append(r.Servers, layout.SSHServer(t.Host, topics.KnownServer{HostKey: k, Changed: t.Cause == topics.CauseHostKeyOther}))
			}
		}
	case c == jobs.CureGroup && t.group.Name != "":
		link(rights.Sources, "Change the source group", views.GroupURL(string(t.Host), t.group.Name))
	case c == jobs.CureExclude && t.group.Name != "":
		link(rights.Sources, "Change the source group", views.GroupURL(string(t.Host), t.group.Name))
		if items := unreadable(t.Job); len(items) > 0 && who.May(rights.Sources) {
			r.Exclude = items
		}
	case c == jobs.CureSize && t.group.Name != "":
		if t.newest == t.SnapshotID && who.May(rights.Sources) {
			r.Small = t.newest
		}
	case c == jobs.CureMaking:
		if id, ok := protocol.FailedMaking(t.Message); ok {
			link(rights.See, "Open the job", views.JobURL(string(id)))
		}
	case !inCare:
	case c == jobs.CureAnyway:
		if who.May(rights.Repositories) {
			r.Anyway = string(t.Repository)
		}
	case c == jobs.CureRepository && t.Cause == topics.CausePassword:
		link(rights.Repositories, "Change the password", repository+"/edit")
	case c == jobs.CureRepository:
		link(rights.Repositories, "Change the repository", repository+"/edit")
	case c == jobs.CureUnlock:
		r.Unlock = who.May(rights.Unlock)
	case c == jobs.CureSpace:
		link(rights.See, "Forget and prune", repository)
	case c == jobs.CureCheck:
		link(rights.See, "Open the repository", repository)
	case c == jobs.CureRepair:
		link(rights.See, "Repair it step by step", repository+"/repair")
	case c == jobs.CureElsewhere:
		r.Elsewhere = t.elsewhere
	case c == jobs.CureRestore:
		link(rights.Restore, "Restore again", host+"/operations")
	case (c == jobs.CurePreview || c == jobs.CureFiles) && t.draft == "":
		link(rights.Restore, "Choose files again", views.RestoreNewURL(string(t.Repository), t.firstSnapshot(), "", ""))
	case c == jobs.CurePreview:
		link(rights.Restore, "Preview again", views.DraftURL(t.draft, views.RestoreReview))
	case c == jobs.CureFiles:
		link(rights.Restore, "Back to the files", views.DraftURL(t.draft, views.RestoreFiles))
	case c == jobs.CurePlan:
		link(rights.See, "Look at the plan", repository+"/retention")
	}
}

// firstSnapshot is the snapshot of a restore, the first one if there are several.
func (t told) firstSnapshot() string {
	if o := t.Operation.V; o != nil {
		for _, i := range o.Basket() {
			return i.Snapshot
		}
	}
	return ""
}

// unreadable lists what a backup could not read, if its agent named all of it.
func unreadable(j store.Job) []string {
	if s := j.Summary.V; s != nil && uint64(len(s.Items)) == s.Unreadable {
		return s.Items
	}
	return nil
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// allowing is the command for the host that lets it do what its policy forbade.
func allowing(t told) string {
	last := ""
	if all := quoted.FindAllString(t.Message, -1); len(all) > 0 {
		if text, err := strconv.Unquote(all[len(all)-1]); err == nil {
			last = text
		}
	}
	command := func(verb string, what ...string) string { return permits.Command(t.host, verb, what...) }
	switch m := t.Message; {
	case strings.Contains(m, "allow-repository"):
		return command("allow-repository", t.repository.Location)
	case strings.Contains(m, "has no hook") && last != "":
		program := "/path/to/the/program"
		if t.host.OS == "windows" {
			program = `C:\path\to\the\program.exe`
		}
		return command("allow-hook", last, program)
	case strings.Contains(m, "lets backups read") && last != "":
		return command("allow-backup", last)
	case strings.Contains(m, "lets restores write") && t.Operation.V != nil && t.Operation.V.Target != "":
		return command("allow-restore", t.Operation.V.Target)
	case strings.Contains(m, "does not allow "+string(t.Kind)):
		return command("allow-operation", string(t.Kind))
	}
	return command("show")
}

// UnlockAndRunAgain has stale locks removed from a job's repository and asks for the job
// again behind that.
func (s *Pages) UnlockAndRunAgain(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	j, err := s.Job(ctx, base.JobID(r))
	if err != nil {
		return err
	}
	row, err := s.Store.Repository(ctx, j.Repository)
	if err != nil {
		return err
	}
	host := j.Host
	if row.Keeper != "" {
		host = row.Keeper
	}
	by := session.Of(ctx).Actor()
	if _, _, err := s.Jobs.Start(ctx, by, jobs.Request{Host: host, Kind: topics.UnlockJob, Repository: j.Repository}); err != nil {
		return err
	}
	return s.RunAgain(w, r)
}

// ExcludeUnreadable leaves out what a backup could not read, from the next one on.
func (s *Pages) ExcludeUnreadable(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	j, err := s.Job(ctx, base.JobID(r))
	if err != nil {
		return err
	}
	g, err := s.GroupOf(ctx, j)
	if err != nil {
		return err
	}
	items := unreadable(j)
	if len(items) == 0 || g.Name == "" {
		return problem.NoPage
	}
	if err := s.exclude(ctx, j, g, items); err != nil {
		return err
	}
	layout.Redirect(w, r, views.GroupURL(string(j.Host), g.Name))
	return nil
}

func (s *Pages) exclude(ctx context.Context, j store.Job, g store.SourceGroup, items []string) error {
	_, err := s.Sources.Exclude(ctx, session.Of(ctx).Name, j.Host, g.Name, items)
	if err != nil {
		return problem.Saving("source group", err)
	}
	return nil
}

// sourcesOf says what is to be known of a backup's sources.
func sourcesOf(s topics.Summary) (f []views.Fact) {
	for _, lead := range sources.Leads(s) {
		f = append(f, views.Fact{Name: "Source", Value: lead, Mono: true})
	}
	why := map[string]string{
		topics.EmptyDirectory: "an empty directory",
		topics.NoFiles:        "no file in it",
		topics.AllExcluded:    "all of it is left out by patterns",
		topics.SpecialFile:    "a FIFO, a socket or a device",
		topics.MissingSource:  "not there",
		topics.ClosedSource:   "the agent may not look at it",
		topics.OwnSource:      "it lies in what the backup goes into, in the agent's own files, or in what a process holds",
		topics.OnlyOwn:        "nothing else is in it but the repository, or the agent's own files",
	}
	for _, source := range s.Sources {
		if source.Empty != "" {
			f = append(f, views.Fact{Name: "Nothing saved of", Value: source.Path + ": " + why[source.Empty], Mono: true})
		}
	}
	for _, o := range s.Own {
		what := "the agent's own files, with its keys"
		if o.What == topics.OwnRepository {
			what = "the repository that this backup goes into"
		}
		f = append(f, views.Fact{Name: "Left out", Value: o.Path + ": " + what, Mono: true})
	}
	return f
}

package pages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// How much of the past a host's page shows.
const (
	recentJobs      = 20
	recentSnapshots = 10
)

func (s *Pages) HostPage(w http.ResponseWriter, r *http.Request) error {
	v, err := s.hostView(r.Context(), base.HostID(r))
	if err != nil {
		return err
	}
	sh := s.Shell(r, v.Name, "fleet", layout.ToFleet, views.Link{Text: v.Name})
	sh.Stream = views.HostStream(v.ID)
	s.Render(w, r, http.StatusOK, views.HostPage(sh, v))
	return nil
}

// hostView is everything a host's page shows.
func (s *Pages) hostView(ctx context.Context, id topics.HostID) (views.Host, error) {
	var none views.Host
	h, err := s.Host(ctx, id)
	if err != nil {
		return none, err
	}
	m, err := s.Moment(ctx)
	if err != nil {
		return none, err
	}
	e := m.Host(id)
	if e == nil {
		return none, store.ErrNotFound // removed since
	}
	open := e.Open
	groups, err := s.Store.SourceGroups(ctx, id)
	if err != nil {
		return none, err
	}
	repositories := map[topics.RepositoryID]string{}
	var repositoryIDs []topics.RepositoryID
	for _, g := range groups {
		repositoryIDs = append(repositoryIDs, g.Repository)
	}
	if err := s.Store.RepositoryNames(ctx, repositoryIDs, repositories); err != nil {
		return none, err
	}
	last, err := s.Store.LastJobs(ctx, id)
	if err != nil {
		return none, err
	}
	recent, err := s.Store.JobsOf(ctx, id, recentJobs)
	if err != nil {
		return none, err
	}
	snapshots, err := s.Store.Snapshots(ctx, id, recentSnapshots)
	if err != nil {
		return none, err
	}
	strips, err := s.strips(ctx, []topics.HostID{id})
	if err != nil {
		return none, err
	}

	names := map[topics.SourceGroupID]string{}
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	planned := map[string]bool{}
	busy, held := map[topics.SourceGroupID]bool{}, map[topics.SourceGroupID]fleet.Group{}
	for _, g := range e.Groups {
		held[g.ID] = g
	}
	v := views.Host{ID: string(h.ID), Name: h.Name, Connection: s.Connection(id), OS: base.System(h), Tags: h.Tags,
		LastBackup: s.When(e.LastGood),
		Status:     statusOf(e.Status), Reason: e.Reason, Since: s.When(e.Since)}
	for _, g := range e.Groups {
		for _, sc := range g.Schedules {
			planned[sc.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(planned)) {
		v.Schedules = append(v.Schedules, views.Link{Text: name, URL: views.SlotsURL(string(id), name)})
	}
	if len(open) > 0 && len(planned) > 0 {
		standings, _, err := s.Schedules.Standings(ctx, id)
		if err != nil {
			return none, err
		}
		for _, st := range standings {
			v.Held = append(v.Held, s.heldView(st)...)
		}
	}
	if h.Arch != "" && v.OS != "" {
		v.OS += ", " + h.Arch
	}
	if v.Alerts, err = s.AlertsOfHost(ctx, id, m); err != nil {
		return none, err
	}
	v.Revoked, v.Retired = s.When(h.RevokedAt), s.When(h.RetiredAt)
	v.Waits = h.RevokedAt > 0 && s.Store.Admission().Waits(ctx, id)
	if v.Removed, err = s.RemovedGroups(ctx, id); err != nil {
		return none, err
	}
	v.Moved = s.moved(h)
	if v.Twins, err = s.twins(ctx, h); err != nil {
		return none, err
	}
	if v.Away, err = s.away(ctx, e, snapshots); err != nil {
		return none, err
	}
	v.Forbids = map[string]string{}
	for _, k := range topics.Kinds {
		v.Forbids[string(k)] = s.WhyNot(h, k)
	}
	for _, j := range open {
		busy[j.SourceGroup] = true
		v.Running = append(v.Running, s.Running(j, h.Name, names[j.SourceGroup]))
	}
	if e.LastGood > 0 {
		v.LastTook = words.Duration(time.Duration(e.LastTook) * time.Second)
		v.Restorable = words.Bytes(e.Restorable)
	}
	if e.Status.Trouble() {
		if v.Problem, err = s.hostProblem(ctx, e); err != nil {
			return none, err
		}
	}
	lastOf, leads := map[topics.SourceGroupID]*views.JobRow{}, map[topics.SourceGroupID][]string{}
	for _, j := range last {
		if j.Summary.V != nil {
			leads[j.SourceGroup] = append(sources.Leads(*j.Summary.V), sources.Owned(*j.Summary.V)...)
		}
		row := s.JobRow(j, names)
		lastOf[j.SourceGroup] = &row
	}
	for _, g := range groups {
		row := views.Group{Name: g.Name, Repository: repositories[g.Repository], RepositoryID: string(g.Repository), Paths: g.Paths,
			Excludes: g.Excludes, Status: statusOf(protection.NoBackupYet), Leads: leads[g.ID], Warnings: sources.Warnings(g),
			AllowEmpty: g.AllowEmpty, LastRun: lastOf[g.ID], Busy: busy[g.ID]}
		if t := g.Tuning.V; t != nil {
			row.How = tuningWords(*t)
		}
		if k, ok := held[g.ID]; ok {
			row.Status, row.Reason, row.Since, row.LastGood = statusOf(k.Status), k.Reason, s.When(k.Since), s.When(k.LastGood())
			row.Snapshots = words.Count(uint64(max(k.Facts.Snapshots, 0)), "snapshot", "snapshots")
			if k.LastGood() > 0 {
				row.Restorable = words.Bytes(k.Good.Bytes)
			}
			if k.Cause == protection.CauseCollapsed || k.Cause == protection.CauseFewFiles {
				row.Small = k.Facts.Newest.ID
			}
		}
		v.Groups = append(v.Groups, row)
	}
	for _, j := range recent {
		v.Jobs = append(v.Jobs, s.JobRow(j, names))
	}
	if v.JobsTotal, err = s.JobsInAll(ctx, store.JobSearch{Hosts: []topics.HostID{id}}, len(open)); err != nil {
		return none, err
	}
	for _, n := range snapshots {
		v.Snapshots = append(v.Snapshots, views.Snapshot{ID: layout.Short(n.ID), Whole: n.ID, In: string(n.Repository), At: s.When(n.Time),
			Group: groupOf(n, names), Paths: n.Paths, Files: words.Number(n.Files), Size: words.Bytes(n.Bytes)})
	}
	for _, n := range snapshots {
		if !slices.Contains(repositoryIDs, n.Repository) {
			repositoryIDs = append(repositoryIDs, n.Repository) // of groups that go elsewhere now
		}
	}
	if v.SnapshotsIn, v.SnapshotsTotal, err = s.SnapshotsIn(ctx, id, repositoryIDs); err != nil {
		return none, err
	}
	runs := strips[id]
	if slices.ContainsFunc(open, func(j store.Job) bool { return j.Kind == topics.BackupJob }) {
		runs = append(runs, views.Run{At: s.Now(), Day: views.DayRunning})
	}
	v.Strip = views.NewStrip(ctx, runs, s.Now())
	v.Agent = s.agentFacts(h)
	if v.Update, err = s.agentUpdate(ctx, e); err != nil {
		return none, err
	}
	asides, err := s.Store.Asides(ctx, h.ID)
	if err != nil {
		return v, err
	}
	v.Agent = append(v.Agent, s.asideFacts(h.ID, asides)...)
	gaps, err := s.Store.Gaps(ctx, h.ID)
	if err != nil {
		return v, err
	}
	for _, g := range gaps {
		v.Agent = append(v.Agent, views.Fact{Name: "Gap",
			Value: base.GapWords(words.Stamp(ctx, words.At(g.FromAt)), words.Stamp(ctx, words.At(g.ToAt)))})
	}
	v.Pause = s.pauseOf(h)
	v.Intermittent, v.OverdueDays, v.JobsAtOnce, v.OldAgent = h.Intermittent, h.OverdueDays, h.JobsAtOnce, h.AgentJobs == 0
	if v.Copy, err = s.copyOfHost(ctx, id); err != nil {
		return none, err
	}
	if v.Drill, err = s.drillOf(ctx, h, e); err != nil {
		return none, err
	}
	return v, nil
}

// moved says that others could read the keys of a host's agent, and what became of that;
// nil if they never could, or that is long ago.
func (s *Pages) moved(h store.Host) *views.Note {
	p := h.Permits.V
	if p == nil || p.Moved == nil {
		return nil
	}
	n := &views.Note{Tone: "info", Title: "This host has new keys",
		Text: "The agent kept them in " + words.Visible(p.Moved.From) + ", where every user of that machine could read them. It has moved them " +
			"to where only its administrators can, and was given new ones. The old ones open nothing any more. Backups are not concerned. Whoever " +
			"could sign in there before may also have read the passwords of its repositories while jobs ran: change those if you do not trust them."}
	if p.Moved.Keys == 0 {
		n.Tone, n.Title = "warn", "The keys of this host could be read by others"
		n.Text = "The agent kept them in " + words.Visible(p.Moved.From) + ", where every user of that machine could read them. It has moved " +
			"them to where only its administrators can, and is given new ones now: see in its log what is in the way if this stays."
	}
	return n
}

// hostProblem says what is wrong with a host, and leads to the job that says more.
func (s *Pages) hostProblem(ctx context.Context, e *fleet.Entry) (*views.Note, error) {
	n := &views.Note{Tone: "fail", Title: e.Reason, Text: s.lastGood(ctx, e)}
	if e.Status == protection.Warning || e.Status == protection.Late {
		n.Tone = "warn"
	}
	switch e.Cause {
	case protection.CauseDiskFull:
		n.Text = "Its agent says: " + e.Disk.Error + ". Make room there; what waits then begins by itself. What was running goes on to its " +
			"end. " + n.Text
	case protection.CauseDiskLow:
		if room, _ := s.Presence.Room(e.ID); room != nil {
			n.Text = words.Bytes(room.Free) + " of " + words.Bytes(room.Total) + " are free. The agent's journal, restic's cache and its " +
				"temporary files lie there: make room. " + n.Text
		}
	}
	last := e.Worst().Facts.Last
	if last.Job == "" || string(last.Cause) != e.Cause && e.Cause != protection.CausePartEmpty {
		return n, nil
	}
	rows, err := s.Store.JobsByID(ctx, []topics.JobID{last.Job})
	if err != nil || len(rows) == 0 {
		return n, err
	}
	n.Text = jobs.ExplainJob(rows[0]).Effect + " " + n.Text
	n.Link = views.Link{Text: "Open the job", URL: views.JobURL(string(last.Job))}
	return n, nil
}

// groupOf is the source group a snapshot is of, by the tag its job gave it.
func groupOf(n store.Snapshot, names map[topics.SourceGroupID]string) string {
	for id, name := range names {
		for _, tag := range n.Tags {
			if tag == "plan="+string(id) {
				return name
			}
		}
	}
	return ""
}

// agentUpdate says which version of the agent a host has, and whether it can have a newer one.
func (s *Pages) agentUpdate(ctx context.Context, e *fleet.Entry) (v views.AgentUpdate, err error) {
	u, err := s.Rollouts.Of(ctx, e)
	if err != nil || e.AgentVersion == "" {
		return v, err
	}
	v = views.AgentUpdate{HostID: string(e.ID), Version: e.AgentVersion, Newer: u.Release.Version}
	if u.Open != nil {
		v.JobID = string(u.Open.ID)
	}
	switch {
	case u.Refused:
		v.Says, v.Why, v.Do = "The agent is refused.", u.Why, u.Do
	case u.Release.Number == 0:
		v.Says = layout.Said(e.AgentVersion) + ". Nothing newer lies on this server."
	case !u.Behind:
		v.Says = layout.Said(e.AgentVersion) + ", the newest that lies on this server, or newer."
	default:
		v.Says = layout.Said(e.AgentVersion) + ". Version " + u.Release.Version + " lies on this server."
		v.Why, v.Do = u.Why, u.Do
		v.Can = u.Why == "" && u.Release.Good()
		if u.Going != nil && v.Can {
			v.Says += " It comes with the update that goes on."
		}
	}
	if b := e.Updates.V; b != nil && b.Back != nil && v.Why == "" && u.Behind {
		v.Why = "It went back from " + layout.Said(b.Back.Version) + " " + words.Clock(ctx, base.At(b.Back.At), s.Now()) + "."
		v.Do = layout.Said(b.Back.Message)
	}
	return v, nil
}

// resticFact is which restic a host has, and how much of what is used it lacks.
func resticFact(h store.Host) views.Fact {
	f := views.Fact{Name: "restic", Value: layout.Said(h.ResticVersion)}
	list, known := restics.Lacks(h)
	switch {
	case h.AgentVersion != "" && h.ResticVersion == "":
		f.Value, f.URL = "none is found, or it does not run", views.ResticsURL
	case known && len(list) > 0:
		f.Value, f.URL = f.Value+", lacks "+words.Count(uint64(len(list)), "thing", "things")+" of what is used", views.ResticsURL
	}
	return f
}

func (s *Pages) agentFacts(h store.Host) []views.Fact {
	facts := []views.Fact{
		{Name: "Agent", Value: layout.Said(h.AgentVersion)},
		resticFact(h),
		{Name: "System", Value: layout.Said(base.System(h))},
	}
	if h.Policy != "" {
		facts = append(facts, views.Fact{Name: "Policy", Value: h.Policy})
	}
	if p := h.Permits.V; p != nil {
		facts = append(facts, views.Fact{Name: "Allows", Value: views.Allowed(layout.KindNames(h))})
		if !p.Anywhere {
			facts = append(facts, views.Fact{Name: "Restores to", Value: strings.Join(p.RestoreRoots, ", ")})
		}
		facts = append(facts, goesTo(p)...)
		if len(p.Hooks) > 0 {
			facts = append(facts, views.Fact{Name: "Hooks", Value: strings.Join(p.Hooks, ", ")})
		}
	}
	if room, _ := s.Presence.Room(h.ID); room != nil && room.Total > 0 {
		facts = append(facts, views.Fact{Name: "Its disk", Value: words.Bytes(room.Free) + " of " + words.Bytes(room.Total) + " free"})
	}
	if h.CertifiedUntil > 0 {
		facts = append(facts, views.Fact{Name: "Certificate", Value: "good until", At: s.When(h.CertifiedUntil)})
	}
	if h.Refused+h.RefusedThere > 0 {
		facts = append(
			facts,
			views.Fact{Name: "Refused messages", Value: fmt.Sprintf("%d in its name, %d in ours", h.Refused, h.RefusedThere)},
		)
	}
	if _, seen := s.Presence.Connection(h.ID); seen.UnixMilli() > 0 {
		// To the minute: it would otherwise change with every heartbeat.
		facts = append(facts, views.Fact{Name: "Last heard of", Value: words.Ago(seen, s.Now())})
	}
	return append(
		facts,
		views.Fact{Name: "Added", At: s.When(h.CreatedAt)},
		views.Fact{Name: "ID", Value: string(h.ID), Mono: true},
	)
}

// manyAsides is how many reasons the page shows, the latest first; the API has them all.
const manyAsides = 8

// asideFacts are what of the host's messages was refused, set aside or cut short.
func (s *Pages) asideFacts(id topics.HostID, list []intake.Aside) (facts []views.Fact) {
	if until := s.Presence.HeldUntil(id); !until.IsZero() {
		facts = append(facts, views.Fact{Name: "Its messages", Value: "wait, as it said more than is stored within an hour, until",
			At: s.When(until.UnixMilli())})
	}
	for _, a := range list[:min(len(list), manyAsides)] {
		facts = append(facts, views.Fact{Name: "Not taken", Value: words.Number(a.N) + " × " + jobs.AsideWords(a.Reason) + "; the last",
			At: s.When(a.LastAt)})
	}
	return facts
}

// goesTo says which repositories a host's policy lets its data go to.
func goesTo(p *topics.Permits) (facts []views.Fact) {
	var pins []string
	for _, pin := range p.Repositories {
		var as []string
		for _, who := range p.As[pin] {
			if said := location.Entry(who); said != "" {
				as = append(as, said)
			}
		}
		if len(as) > 0 {
			pin += " (" + strings.Join(as, ", ") + ")"
		}
		pins = append(pins, pin)
	}
	switch {
	case len(pins) > 0:
		facts = append(facts, views.Fact{Name: "Backs up to", Value: strings.Join(pins, ", ") +
			"; another one, to restore from it too, only if its administrator allows it there"})
	case p.BackupPins && !p.Anywhere:
		to := "the first repository that it backs up to, and no other from then on; none on its own disks"
		if len(p.RepositoryRoots) > 0 {
			to += " but below " + strings.Join(p.RepositoryRoots, ", ")
		}
		facts = append(facts, views.Fact{Name: "Backs up to", Value: to})
	}
	if len(p.RepositoryFiles) > 0 {
		facts = append(facts, views.Fact{Name: "Files for repositories", Value: strings.Join(p.RepositoryFiles, ", ")})
	}
	return facts
}

// HostStream draws a host's page again as it changes.
func (s *Pages) HostStream(id topics.HostID) layout.Draw {
	return func(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
		if !p.Full && !rang[id] {
			return nil
		}
		v, err := s.hostView(ctx, id)
		if err != nil {
			return err
		}
		p.Morph("host-header", views.HostHeader(v))
		p.Morph("host-problem", views.HostProblem(v))
		p.Morph("alerts-of", views.AlertsOf(v.Alerts))
		p.Morph("host-running", views.HostRunning(v))
		p.Morph("host-groups", views.HostGroups(v))
		p.Morph("host-proof", views.HostProof(v))
		p.Morph("host-jobs", views.HostJobs(v))
		p.Morph("host-snapshots", views.HostSnapshots(v))
		p.Morph("host-protection", views.HostProtection(v))
		p.Morph("host-pause", views.HostPaused(v))
		p.Morph("host-agent", views.HostAgent(v))
		p.Morph("host-update", views.HostUpdate(v.Update))
		return nil
	}
}

// RunBackup asks a host for a backup now, of one source group or of all, and
// follows the first job.
func (s *Pages) RunBackup(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id := base.HostID(r)
	job, _, err := s.Jobs.Start(r.Context(), session.Of(r.Context()).Actor(),
		jobs.Request{Host: id, Kind: topics.BackupJob, SourceGroup: r.PostForm.Get("source_group")})
	if err != nil {
		p := base.ProblemOf(err)
		if errors.Is(err, jobs.ErrNoGroups) || errors.Is(err, jobs.ErrNoGroup) {
			p = p.With(problem.Link{Text: "Choose what to back up", URL: views.GroupURL(string(id), "")})
		}
		return p
	}
	layout.Redirect(w, r, views.JobURL(string(job.ID)))
	return nil
}

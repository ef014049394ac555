package jobpages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// jobStates are the states that a word for many of them stands for.
var jobStates = map[string][]topics.JobState{
	"running":   {topics.Running},
	"queued":    {topics.Queued, topics.Dispatched},
	"failed":    {topics.Failed, topics.Interrupted, topics.Abandoned},
	"warnings":  {topics.Warnings},
	"succeeded": {topics.Succeeded},
	"cancelled": {topics.Cancelled},
}

// jobsFilter is what the jobs page was asked for. What it does not know narrows
// nothing.
func jobsFilter(q url.Values) (f views.JobsFilter, after string) {
	f = views.JobsFilter{State: q.Get("state"), Kind: q.Get("kind"), Query: strings.TrimSpace(q.Get("q")), Period: q.Get("period")}
	if jobStates[f.State] == nil {
		f.State = ""
	}
	if !slices.ContainsFunc(views.Periods(), func(p views.Period) bool { return p.Key == f.Period }) {
		f.Period = ""
	}
	return f, q.Get("after")
}

// filter is f as the store understands it, with the names that were meant looked
// up. It has no states: the tabs count all of them.
func (s *Pages) filter(ctx context.Context, f views.JobsFilter, m *fleet.Moment) (x store.JobFilter, err error) {
	x = store.JobFilter{Kind: topics.JobKind(f.Kind)}
	switch now := s.Now(); f.Period {
	case "":
		x.Since = now.Add(-24 * time.Hour).UnixMilli()
	case "7d":
		x.Since = now.AddDate(0, 0, -7).UnixMilli()
	case "30d":
		x.Since = now.AddDate(0, 0, -30).UnixMilli()
	}
	text := strings.ToLower(f.Query)
	if text == "" {
		return x, nil
	}
	if h := m.Find(f.Query); h != nil { // the whole name of a host means it, and not those whose names hold it, too
		x.Search = &store.JobSearch{Hosts: []topics.HostID{h.ID}}
		return x, nil
	}
	x.Search = &store.JobSearch{Hosts: m.Search(text)}
	switch r, err := s.Store.FindRepository(ctx, f.Query); {
	case err == nil:
		x.Search.Repository = r.ID
	case !errors.Is(err, store.ErrNotFound):
		return x, err
	}
	x.Search.Groups, err = s.Store.GroupsNamed(ctx, text)
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" {
		x.Search.ID = text
	}
	return x, err
}

// A place is where a job stands in the list: what runs, the newest first; what
// waits, in the order of turns; what ended, the last first. It is a cursor too:
// behind it the next page begins, whatever became of the job since.
type place struct {
	rank int
	at   int64
	id   topics.JobID
}

func placeOf(j store.Job) place {
	switch {
	case j.FinishedAt > 0:
		return place{2, j.FinishedAt, j.ID}
	case j.State == topics.Queued:
		return place{1, j.QueuedAt, j.ID}
	}
	return place{0, j.QueuedAt, j.ID}
}

func comparePlaces(a, b place) int {
	if a.rank != b.rank {
		return cmp.Compare(a.rank, b.rank)
	}
	c := cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id))
	if a.rank == 1 {
		return c
	}
	return -c
}

func (p place) String() string { return fmt.Sprintf("%d-%d-%s", p.rank, p.at, p.id) }

// parsePlace reads a cursor; the place before the first job if it is none.
func parsePlace(text string) place {
	parts := strings.SplitN(text, "-", 3)
	if len(parts) != 3 {
		return place{rank: -1}
	}
	rank, err := strconv.Atoi(parts[0])
	at, aerr := strconv.ParseInt(parts[1], 10, 64)
	id, ierr := topics.ParseJobID(parts[2])
	if err != nil || aerr != nil || ierr != nil || rank < 0 || rank > 2 {
		return place{rank: -1}
	}
	return place{rank, at, id}
}

// A jobList is one page of the list, and how many jobs of which state the filter
// finds in all.
type jobList struct {
	rows   []store.Job
	more   bool
	counts map[string]int
	kinds  []string
}

// name says which jobs a page shows in which order.
func (l jobList) name() string {
	h := fnv.New64a()
	for _, j := range l.rows {
		_, _ = h.Write([]byte(j.ID + "\n")) // never fails
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// jobsPageOf reads a page of the list.
func (s *Pages) jobsPageOf(ctx context.Context, q *base.Queue, x store.JobFilter, after place) (l jobList, err error) {
	for _, j := range q.Open {
		if x.Matches(j) && comparePlaces(placeOf(j), after) > 0 {
			l.rows = append(l.rows, j)
		}
	}
	slices.SortFunc(l.rows, func(a, b store.Job) int { return comparePlaces(placeOf(a), placeOf(b)) })
	if room := views.PageSize + 1 - len(l.rows); room > 0 && (len(x.States) == 0 || x.States[0].Ended()) {
		var behind store.Ended
		if after.rank == 2 {
			behind = store.Ended{At: after.at, ID: after.id}
		}
		ended, err := s.Store.EndedJobs(ctx, x, behind, room)
		if err != nil {
			return l, err
		}
		for _, j := range ended { // one that ended since the queue was read is there already
			if _, open := q.Job(j.ID); !open {
				l.rows = append(l.rows, j)
			}
		}
	}
	if len(l.rows) > views.PageSize {
		l.rows, l.more = l.rows[:views.PageSize], true
	}
	return l, nil
}

// countJobs fills in how many jobs there are by state, and which kinds.
func (s *Pages) countJobs(ctx context.Context, q *base.Queue, x store.JobFilter, l *jobList) error {
	kind := x.Kind
	x.Kind, x.States = "", nil
	counts, err := s.Store.CountEnded(ctx, x)
	if err != nil {
		return err
	}
	for _, j := range q.Open {
		if x.Matches(j) {
			counts = append(counts, store.JobCount{State: j.State, Kind: j.Kind, Jobs: 1})
		}
	}
	l.counts, l.kinds = map[string]int{}, []string{string(topics.BackupJob)}
	if kind != "" {
		l.kinds = append(l.kinds, string(kind))
	}
	for _, c := range counts {
		l.kinds = append(l.kinds, string(c.Kind))
		if kind != "" && c.Kind != kind {
			continue
		}
		for key, states := range jobStates {
			if slices.Contains(states, c.State) {
				l.counts[key] += c.Jobs
			}
		}
	}
	slices.Sort(l.kinds)
	l.kinds = slices.Compact(l.kinds)
	return nil
}

func (s *Pages) JobsPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	f, cursor := jobsFilter(r.URL.Query())
	after := parsePlace(cursor)
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	q, err := s.Queue(ctx, m)
	if err != nil {
		return err
	}
	x, err := s.filter(ctx, f, m)
	if err != nil {
		return err
	}
	x.States = jobStates[f.State]
	l, err := s.jobsPageOf(ctx, q, x, after)
	if err != nil {
		return err
	}
	if err := s.NameJobs(ctx, q, l.rows); err != nil {
		return err
	}
	if err := s.countJobs(ctx, q, x, &l); err != nil {
		return err
	}
	v := views.Jobs{Filter: f, Kinds: l.kinds, Tabs: views.JobTabs(l.counts, f)}
	for _, t := range v.Tabs {
		if t.Current {
			v.Total = t.Count
		}
	}
	for _, j := range l.rows {
		v.Rows = append(v.Rows, s.jobLine(j, q, session.Of(ctx)))
	}
	if l.more {
		v.Older = views.JobsURL(f, placeOf(l.rows[len(l.rows)-1]).String())
	}
	if after.rank >= 0 {
		v.Newest = views.JobsURL(f, "")
	} else {
		cursor = ""
	}
	sh := s.Shell(r, "Jobs", "jobs", views.Link{Text: "Jobs"})
	sh.Stream = views.JobsStream(f, cursor, l.name())
	s.Render(w, r, http.StatusOK, views.JobsPage(sh, v))
	return nil
}

// jobLine is a job in the list of the fleet's.
func (s *Pages) jobLine(j store.Job, q *base.Queue, who *session.Visitor) views.JobLine {
	v := views.JobLine{
		ID:        string(j.ID),
		Kind:      string(j.Kind),
		DryRun:    outcome.Of(j).DryRun,
		Group:     q.Groups[j.SourceGroup],
		HostID:    string(j.Host),
		Host:      q.Host(j.Host),
		Status:    layout.JobStatus(j),
		Percent:   -1,
		At:        s.When(max(j.StartedAt, j.QueuedAt)),
		By:        layout.Asker(j),
		CanCancel: !j.State.Ended() && !j.CancelAsked && who.May(rights.Cancel),
	}
	switch j.State {
	case topics.Queued:
		wait := s.waiting(j, q)
		v.Queued, v.Result, v.ResultLink = wait.short, wait.text, wait.link
	case topics.Dispatched:
		v.Result = "Waiting for the agent to answer"
		switch {
		case j.Accepted:
			v.Result = "The agent is about to start restic"
		case q.Waits[j.ID].Wait == protocol.WaitDisk:
			v.Result = s.waiting(j, q).text
		}
	case topics.Running:
		run := s.Running(j, v.Host, v.Group)
		v.Percent, v.Result = run.Percent, run.Amount
		if run.Left != "" {
			v.Result += ", " + run.Left
		}
		if run.Stalled {
			v.Status = views.JobStatus("stalled")
		} else if run.Locked {
			v.Status = views.JobStatus("locked")
		}
		if d := s.Now().Sub(base.At(j.StartedAt)); d >= time.Minute { // to the minute: the row would otherwise never rest
			v.Took = words.Span(d)
		}
	default:
		v.Result = cameTo(j)
		if j.StartedAt > 0 {
			v.Took = words.Duration(time.Duration(j.FinishedAt-j.StartedAt) * time.Millisecond)
		}
	}
	if !j.State.Ended() && j.CancelAsked {
		v.Status = v.Status.As("Cancelling")
		v.Percent = -1
	}
	return v
}

// cameTo is what became of a job that ended, in half a line.
func cameTo(j store.Job) string {
	did := outcome.Of(j).Text
	switch {
	case j.State == topics.Succeeded:
		return did
	case j.State == topics.Warnings && did != "" && (j.Cause == topics.CauseUnreadable || j.Cause == topics.CauseNone):
		return did
	case j.State == topics.Cancelled && j.CancelledBy != "":
		return "Cancelled by " + j.CancelledBy
	}
	text := jobs.ExplainJob(j).Cause
	if j.ExitCode.Valid {
		text += ", exit code " + strconv.FormatInt(j.ExitCode.Int64, 10)
	}
	return text
}

// A wait says what a queued job waits for.
type wait struct {
	reason protocol.Wait
	job    topics.JobID // the one it waits for, if it is one
	short  string       // "host offline"
	text   string       // "Starts when the agent connects"
	link   views.Link   // to the job it waits for
}

func (s *Pages) waiting(j store.Job, q *base.Queue) wait {
	turn := q.Waits[j.ID]
	w := wait{reason: turn.Wait, job: turn.For}
	other, _ := q.Job(turn.For)
	if turn.For != "" {
		w.link = views.Link{Text: named(other, q), URL: views.JobURL(string(turn.For))}
	}
	switch turn.Wait {
	case protocol.WaitHost:
		w.short, w.text = "host offline", "Starts when the agent connects"
		if c, _ := s.Presence.Connection(j.Host); c != hosts.Offline {
			w.short = "host not there yet"
		}
	case protocol.WaitJob:
		w.short, w.text = "host is busy there", "Starts when the host is done in this repository with the"
	case protocol.WaitBusy:
		w.short, w.text = "host is busy", "Starts when the host has ended one of its jobs: it runs as many as it may, such as the"
	case protocol.WaitRepository:
		w.short, w.text = "repository is busy", "Starts when "+q.Repos[j.Repository]+" is free again, which is used by the"
		if other.State == topics.Queued {
			w.text = "Must be alone in " + q.Repos[j.Repository] + " or behind one that must; before it comes the"
		}
	case protocol.WaitTwins:
		w.short, w.text = "two machines, one identity", "Starts when somebody says which of two machines stays this host"
		w.link = views.Link{Text: "Decide on the page of the host", URL: views.HostURL(string(j.Host))}
	case protocol.WaitUnconfirmed:
		w.short = "host is not confirmed"
		w.text = "Starts when an administrator has confirmed the host, as the control plane was restored from a copy"
	case protocol.WaitDisk:
		w.short, w.text = "no space on the host", layout.NoRoom
	case protocol.WaitPlane:
		w.short, w.text = "no space on the server", layout.NoRoomHere
	case protocol.WaitMaking:
		w.short, w.text = "repository is being made", making(turn.For, other)
	case protocol.WaitUnheard:
		w.short = "hosts have not told yet"
		w.text = "Starts when every host has told what it did since the copy that the control plane was restored from, or ten minutes after"
	case protocol.WaitPlan:
		w.short, w.text = "being planned", "Starts when the repository was listed and what goes is decided"
	case protocol.WaitLimit:
		w.short, w.text = "enough runs already", "Starts when another job has ended: as many run as may at once"
	default:
		w.short, w.text = "its turn", "Starts now"
	}
	return w
}

// named is another job in a sentence, behind "the": "backup of attic". It may have ended
// meanwhile, and is then not in the queue.
func named(other store.Job, q *base.Queue) string {
	switch {
	case other.ID == "":
		return "job that tried last"
	case other.Kind == topics.InitJob:
		return "job of " + q.Fleet.Name(other.Host)
	}
	return string(other.Kind) + " of " + q.Fleet.Name(other.Host)
}

// silence says what is to be known of a running job that says nothing, or whose
// agent cannot be reached; nil if all is well.
func (s *Pages) silence(j store.Job, host string) *views.Note {
	silence, stalled := s.Silent(j)
	c, seen := s.Presence.Connection(j.Host)
	n := &views.Note{Tone: "warn", Title: silence.Words()}
	if !stalled {
		if c != hosts.Offline {
			return nil
		}
		n.Title = "The agent is not connected"
	}
	moves := "The agent is connected, and sees that restic neither reads nor sends anything and uses no processor. "
	if silence.Last != "" {
		moves += "The last it said: " + silence.Last + ". "
	}
	switch {
	case c == hosts.Online && silence.Watched && silence.Limit > 0:
		n.Text = moves + "It ends it after " + words.Span(silence.Limit) + ", and a schedule tries again. You can cancel the job at once."
	case c == hosts.Online && silence.Watched:
		n.Text = moves + "A " + string(j.Kind) + " changes the repository, so it is never ended for that. Look at the disk and the network of " +
			host + " and of the repository; if nothing moves there, cancel the job."
	case c == hosts.Online:
		n.Text = "The agent is connected. restic may be busy with something large, or waiting for the repository. " +
			"Look at the disk and the network of " + host + "; if nothing moves there, cancel the job and run it again. " +
			"It goes on until then: the agent does not see what restic does, as those of older versions do not."
	case c == hosts.Offline:
		n.Text = layout.Offline(
			views.NewWhen(seen, s.Now()),
		) + " The job may go on there: its log and its result come as soon as the agent is back. " +
			"See whether " + host + " is switched on and reaches this server."
		if stalled {
			n.Text = "The agent is not connected. " + n.Text
		}
	default:
		n.Text = "This server has just been started and does not know yet whether the agent is connected."
	}
	return n
}

// A jobsTab is the jobs page in somebody's browser.
type jobsTab struct {
	s      *Pages
	who    *session.Visitor
	filter views.JobsFilter
	after  place
	list   string // what the page showed at first

	m       *fleet.Moment // that was drawn last
	q       *base.Queue
	counted jobList
	open    string         // which jobs had not ended when they were counted
	ids     []topics.JobID // the page's, in the order in which it began
	rows    []store.Job    // these, as they were read last
	wait    live.Progress
}

// JobsStream draws the rows of the jobs page again as they change.
func (s *Pages) JobsStream(query url.Values, who *session.Visitor) layout.Draw {
	t := &jobsTab{s: s, who: who, list: query.Get("list"), wait: live.Progress{Pause: s.Timing.Progress}}
	f, cursor := jobsFilter(query)
	t.filter, t.after = f, parsePlace(cursor)
	return t.draw
}

// draw looks only at what may have become another: everything, if anything about
// any host did, or else the progress of jobs.
func (t *jobsTab) draw(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
	moved := p.Moment != t.m || p.Full
	rang, p.Again = t.wait.Due(rang, moved)
	if moved {
		if err := t.read(ctx, p); err != nil {
			return err
		}
		t.m = p.Moment
	}
	for _, j := range t.rows {
		if moved || j.State == topics.Running && rang[j.Host] {
			p.Morph(views.ElementID("job", string(j.ID)), views.JobsRow(t.s.jobLine(j, t.q, t.who)))
		}
	}
	return nil
}

// read reads the page again, and draws what surrounds its rows.
func (t *jobsTab) read(ctx context.Context, p *layout.Painter) error {
	s := t.s
	q, err := s.Queue(ctx, p.Moment)
	if err != nil {
		return err
	}
	x, err := s.filter(ctx, t.filter, p.Moment)
	if err != nil {
		return err
	}
	x.States = jobStates[t.filter.State]
	l, err := s.jobsPageOf(ctx, q, x, t.after)
	if err != nil {
		return err
	}
	// How many ended in which way changes only when one does.
	if open := (jobList{rows: q.Open}).name(); open != t.open || p.Full {
		if err := s.countJobs(ctx, q, x, &t.counted); err != nil {
			return err
		}
		t.open = open
	}
	if t.ids == nil {
		t.ids = make([]topics.JobID, 0, len(l.rows))
		for _, j := range l.rows {
			t.ids = append(t.ids, j.ID)
		}
	}
	p.Morph("jobs-tabs", views.JobsTabs(views.JobTabs(t.counted.counts, t.filter)))
	p.Morph("jobs-changed", views.JobsChanged(t.list != "" && l.name() != t.list))
	if t.rows, err = s.Store.JobsByID(ctx, t.ids); err != nil {
		return fmt.Errorf("rows of the jobs page: %w", err)
	}
	t.q = q
	return s.NameJobs(ctx, q, t.rows)
}

// making words what a job waits for whose repository is not there yet: other is the job
// that makes it, or is in the way, or could not make it last.
func making(id topics.JobID, other store.Job) string {
	switch {
	case id == "":
		return "Waits until its repository is made: no host could begin with it yet. An agent of an older version cannot if hooks run before " +
			"its backups, or its policy does not allow init; update that agent"
	case other.ID == "":
		return "Waits until its repository is made; the last host that tried could not, and it is tried again: see the"
	case other.Kind == topics.InitJob:
		return "Waits until its repository is made, which is left to the"
	}
	return "Waits until its repository is made, and with that for the"
}

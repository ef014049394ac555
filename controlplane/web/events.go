package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// A painter draws a page of this server's: all of a drawing is of one moment.
type painter struct {
	*live.Painter
	moment *fleet.Moment // how the fleet is for this drawing
	shell  shellFacts    // as they were drawn last
}

// A draw draws a page again after some hosts rang; all of it if the painter says so.
type draw func(ctx context.Context, p *painter, rang map[topics.HostID]bool) error

// open begins the answer of a view's stream.
func (s *Server) open(w http.ResponseWriter, view string) *live.Tab {
	return live.Open(w, live.Timing{Gap: s.Timing.Gap, Beat: s.Timing.Beat, Poll: s.pollOf(view), Write: s.Timing.Write}, s.Now)
}

// events is the one stream of a browser's tab. It ends with the session, with
// the server, and when the browser goes; none of these is an error any more.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q, v := r.URL.Query(), session.Of(r.Context())
	var d draw
	switch q.Get("view") {
	case "fleet":
		d = s.fleetStream(q)
	case "jobs":
		d = s.jobsStream(q, v)
	case "host":
		if _, err := s.host(r.Context(), topics.HostID(q.Get("id"))); err != nil {
			return err
		}
		d = s.hostStream(topics.HostID(q.Get("id")))
	case "audit":
		if !v.May(store.Admin) {
			return forbidden(v, store.Admin)
		}
		var err error
		if d, err = s.auditStream(r.Context(), q); err != nil {
			return err
		}
	case "schedules":
		d = s.schedulesStream(q)
	case "repositories":
		d = s.repositoriesStream(q)
	case "repository":
		id, f := topics.RepositoryID(q.Get("id")), repositoryFilter(q)
		if _, err := s.repository(r.Context(), id); err != nil {
			return err
		}
		if _, err := s.snapshotPlace(r.Context(), id, f.After); err != nil {
			return err
		}
		d = s.repositoryStream(id, f)
	case "enrol":
		if !v.May(store.Admin) {
			return forbidden(v, store.Admin)
		}
		if err := s.hasToken(r.Context(), q.Get("token")); err != nil {
			return err
		}
		d = s.enrolStream(q.Get("token"))
	case "job":
		j, err := s.job(r.Context(), topics.JobID(q.Get("id")))
		if err != nil {
			return err
		}
		return s.jobEvents(w, r, j)
	default:
		return problem.NoPage
	}
	ctx, end, err := s.begin(r)
	if err != nil {
		return err
	}
	defer end()
	s.ended(r, live.Watch(ctx, s.Bell, s.open(w, q.Get("view")), s.drawing(r, d)))
	return nil
}

// ended logs why a stream ended, if that is worth knowing: a browser that goes,
// or does not read, is neither.
func (s *Server) ended(r *http.Request, err error) {
	if err != nil {
		s.Log.Debug("a stream ended", "path", r.URL.Path, "err", err)
	}
}

// drawing is a page's draw with what surrounds every page.
func (s *Server) drawing(r *http.Request, d draw) live.Draw {
	own := &painter{}
	return func(ctx context.Context, p *live.Painter, rang map[topics.HostID]bool) (err error) {
		own.Painter = p
		if own.moment, err = s.Fleet.Now(ctx); err != nil {
			return err
		}
		if err := d(ctx, own, rang); err != nil {
			return err
		}
		s.paintShell(own, r)
		return nil
	}
}

// shellFacts are what paintShell draws.
type shellFacts struct {
	hosts, connected, running int
	up, drawn                 bool
}

// paintShell draws what changes around every page.
func (s *Server) paintShell(p *painter, r *http.Request) {
	v := session.Of(r.Context())
	m := p.moment
	facts := shellFacts{m.Len(), m.Online, m.Running, s.broker() == nil, true}
	if facts == p.shell {
		return
	}
	p.shell = facts
	sh := views.Shell{Now: s.Now(), Version: s.Version}
	s.around(&sh, v, m)
	p.Morph("side-foot", views.Foot(sh))
	p.Morph("nav-jobs", views.NavJobs(sh))
}

// One message carries at most so many log lines and about so many bytes of
// them: over the slowest line worth having it must arrive within Timing.Write,
// or a browser that comes back for it would never have it.
const (
	maxBatch      = 1000
	maxBatchBytes = 128 << 10
)

// batch is how many of the entries go into the next message.
func batch(entries []store.LogEntry) int {
	bytes := 0
	for i, e := range entries {
		if bytes += len(e.Text) + 100; i > 0 && bytes > maxBatchBytes || i == maxBatch {
			return i
		}
	}
	return len(entries)
}

// resumeAt is the last line a browser has: what it says when it comes back
// outranks what its page was made with.
func resumeAt(r *http.Request) int {
	for _, text := range []string{r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after")} {
		if n, err := strconv.Atoi(text); err == nil && n >= 0 {
			return n
		}
	}
	return 0
}

// jobEvents tells a job's page what comes: new lines, and whatever else looks
// different. It ends when the job has.
func (s *Server) jobEvents(w http.ResponseWriter, r *http.Request, j store.Job) error {
	names, err := s.tell(r.Context(), j)
	if err != nil {
		return err
	}
	ctx, end, err := s.begin(r)
	if err != nil {
		return err
	}
	defer end()
	f := jobFeed{s: s, r: r, t: s.open(w, "job"), names: names, p: &painter{Painter: live.NewPainter()}, changed: true}
	after := resumeAt(r)
	f.t.ID = uint64(after)
	s.ended(r, f.run(ctx, after))
	return nil
}

// A jobFeed is a job's stream at work.
type jobFeed struct {
	s       *Server
	r       *http.Request
	t       *live.Tab
	names   told
	p       *painter
	lines   []store.LogEntry // not sent yet
	changed bool             // something else is to be looked at
	final   *store.Job       // it has ended, and this is its row
	over    bool             // and all of it was told
	said    string           // what people who listen were told
}

func (f *jobFeed) run(ctx context.Context, after int) error {
	s := f.s
	ctx, cancel := context.WithCancel(ctx)
	news, followed := make(chan jobs.Envelope), make(chan error, 1)
	go func() {
		followed <- jobs.Follow(ctx, s.Store, s.Hub, f.names.ID, after, func(e jobs.Envelope) error {
			select {
			case news <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(followed)
	}()
	ending := followed
	defer func() {
		cancel()
		for range followed { // until it has returned
		}
	}()
	bell := s.Bell.Watch() // rings for what Follow does not tell: sent, accepted, cancel asked for
	defer bell.Close()
	beat, gap := time.NewTicker(s.Timing.Beat), time.NewTimer(0)
	defer beat.Stop()
	defer gap.Stop()
	ready := false
	for {
		if ready && (f.changed || len(f.lines) > 0 || f.final != nil) {
			if err := f.send(ctx); err != nil || f.over {
				return err
			}
			ready = false
			gap.Reset(s.Timing.Gap)
		}
		in := news
		if len(f.lines) >= maxBatch || f.final != nil {
			in = nil // the follower waits, and reads from the store what it missed
		}
		select {
		case <-ctx.Done():
			return nil
		case e := <-in:
			f.take(e)
		case err := <-ending:
			if f.final == nil {
				return err
			}
			ending = nil
		case <-bell.C:
			f.changed = f.changed || bell.Take()[f.names.Host]
		case <-gap.C:
			ready = true
		case <-beat.C:
			f.changed = true
			if err := f.t.Beat(); err != nil {
				return err
			}
		}
	}
}

func (f *jobFeed) take(e jobs.Envelope) {
	switch e.Type {
	case jobs.LogStream:
		f.lines = append(f.lines, e.Lines...)
	case jobs.JobFinished:
		f.final = e.Job
	default:
		f.changed = true
	}
}

// send tells what came since the last message, as one.
func (f *jobFeed) send(ctx context.Context) error {
	s := f.s
	f.p.Begin(ctx)
	if n := batch(f.lines); n > 0 {
		f.p.Append("log-stream", views.LogLines(s.logLines(f.lines[:n])))
		f.t.ID = uint64(f.lines[n-1].Last())
		f.lines = f.lines[n:]
	}
	f.over = f.final != nil && len(f.lines) == 0
	if f.changed || f.over {
		if err := f.draw(ctx); err != nil {
			return err
		}
	}
	if err := f.t.Send(ctx, f.p.Painter); err != nil || !f.over {
		return err
	}
	return f.t.End()
}

func (f *jobFeed) draw(ctx context.Context) error {
	s := f.s
	f.changed = false
	t := f.names
	if f.over {
		t.Job = *f.final
	} else {
		row, err := s.Store.Job(ctx, t.ID)
		if err != nil {
			return err
		}
		t.Job = row
	}
	v, err := s.jobView(ctx, t)
	if err != nil {
		return err
	}
	if v.Ending != nil {
		levels, err := s.Store.LogLevels(ctx, t.ID)
		if err != nil {
			return err
		}
		for _, l := range levels {
			if l.Level == topics.Error {
				v.Ending.FirstLine = uint64(l.Last)
			}
		}
	}
	p := f.p
	if p.moment, err = s.Fleet.Now(ctx); err != nil {
		return err
	}
	p.Morph("job-header", views.JobHeader(v))
	p.Morph("announce", views.JobAnnounce(f.announce(v)))
	p.Morph("job-ending", views.JobEnding(v))
	p.Morph("job-figures", views.JobFigures(v))
	p.Morph("job-result", views.JobResult(v))
	p.Morph("progress", views.JobProgress(v))
	p.Morph("current-files", views.JobFiles(v))
	p.Morph("job-timeline", views.JobTimeline(v))
	p.Morph("job-facts", views.JobFacts(v))
	s.paintShell(p, f.r)
	return nil
}

// announce is what people who listen to the page are told: each ten per cent,
// and the end.
func (f *jobFeed) announce(v views.Job) string {
	switch {
	case v.Ended:
		f.said = views.JobTitle(v.Kind, v.Host) + ": " + strings.ToLower(v.Status.Word)
	case v.Progress != nil && v.Progress.Percent >= 10:
		f.said = fmt.Sprintf("%d per cent", int(v.Progress.Percent/10)*10)
	}
	return f.said
}

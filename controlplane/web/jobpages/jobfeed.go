package jobpages

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

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

// Events tells a job's page what comes: new lines, and whatever else looks
// different. It ends when the job has.
func (s *Pages) Events(w http.ResponseWriter, r *http.Request, j store.Job) error {
	names, err := s.tell(r.Context(), j)
	if err != nil {
		return err
	}
	ctx, end, err := s.Begin(r)
	if err != nil {
		return err
	}
	defer end()
	f := jobFeed{s: s, r: r, t: s.Open(w, "job"), names: names, p: &layout.Painter{Painter: live.NewPainter()}, changed: true}
	after := resumeAt(r)
	f.t.ID = uint64(after)
	s.LogEnd(r, layout.Parting(ctx, f.t, f.run(ctx, after)))
	return nil
}

// A jobFeed is a job's stream at work.
type jobFeed struct {
	s       *Pages
	r       *http.Request
	t       *live.Tab
	names   told
	p       *layout.Painter
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
		if len(f.lines) >= base.MaxBatch || f.final != nil {
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
	if n := base.BatchOf(f.lines); n > 0 {
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
	if p.Moment, err = s.Fleet.Now(ctx); err != nil {
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
	s.PaintShell(p, f.r)
	return nil
}

// announce is what people who listen to the page are told: each ten per cent,
// and the end.
func (f *jobFeed) announce(v views.Job) string {
	switch {
	case v.Ended:
		f.said = views.JobTitle(v.Kind, v.DryRun, v.Host) + ": " + strings.ToLower(v.Status.Word)
		if v.Did != "" {
			f.said += ". " + v.Did
		}
	case v.Progress != nil && v.Progress.Percent >= 10:
		f.said = fmt.Sprintf("%d per cent", int(v.Progress.Percent/10)*10)
	}
	return f.said
}

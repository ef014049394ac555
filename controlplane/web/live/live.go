// Package live keeps an open page true: it draws what changed whenever a bell
// rang, and sends it to the browser's tab. It knows no page: each gives it a
// function that draws.
package live

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// Timing holds the durations of a stream.
type Timing struct {
	Gap   time.Duration // between two messages
	Beat  time.Duration // it says something at least this often
	Poll  time.Duration // how often all is drawn, whatever rang
	Write time.Duration // how long one message may take before the browser is given up
}

// A Painter collects the parts of a page that look different now. What looks as
// it did when it was last sent is not sent again.
type Painter struct {
	Since time.Time // what is drawn must not have been read before this
	Full  bool      // everything shall be drawn, whatever rang
	Again bool      // there is more to draw soon
	End   bool      // nothing will ever change again

	ctx   context.Context //nolint:containedctx // of one drawing
	sent  map[string]string
	parts []templ.Component
	err   error
}

// NewPainter returns a painter of a page of which nothing was sent yet.
func NewPainter() *Painter { return &Painter{sent: map[string]string{}} }

// Begin begins a drawing.
func (p *Painter) Begin(ctx context.Context) { p.ctx, p.parts, p.Again = ctx, nil, false }

// ages are the words of how long ago something was. The browser keeps them true by
// itself, so a part in which nothing else changed looks as it did.
var ages = regexp.MustCompile(`(<time [^>]*data-f="(?:ago|in|span)"[^>]*>)[^<]*`)

// Morph puts a part in the place of the one with its id.
func (p *Painter) Morph(id string, c templ.Component) {
	var b strings.Builder
	if err := c.Render(p.ctx, &b); err != nil {
		p.err = fmt.Errorf("render %s: %w", id, err)
		return
	}
	looks := ages.ReplaceAllString(b.String(), "$1")
	if p.sent[id] == looks {
		return
	}
	p.sent[id] = looks
	p.parts = append(p.parts, views.Partial(id, views.Morph, templ.Raw(b.String())))
}

// Sees notes that the page shows a part, as it was sent with a larger one.
func (p *Painter) Sees(id string, c templ.Component) {
	parts := p.parts
	delete(p.sent, id)
	p.Morph(id, c)
	p.parts = parts
}

// Append puts something behind what an element holds.
func (p *Painter) Append(id string, c templ.Component) {
	p.parts = append(p.parts, views.Partial(id, views.Append, c))
}

// Prepend puts something before what an element holds.
func (p *Painter) Prepend(id string, c templ.Component) {
	p.parts = append(p.parts, views.Partial(id, views.Prepend, c))
}

// Parts is what was drawn since Begin.
func (p *Painter) Parts() ([]templ.Component, error) { return p.parts, p.err }

// A Draw draws a page again after some hosts rang; all of it if the painter says so.
type Draw func(ctx context.Context, p *Painter, rang map[topics.HostID]bool) error

// A Tab is the browser's end of a stream. A message that it does not take in
// time ends the stream: the browser comes back and is drawn everything.
type Tab struct {
	ID uint64 // of the last message

	timing Timing
	now    func() time.Time
	w      http.ResponseWriter
	rc     *http.ResponseController
}

// Open begins the answer of a stream.
func Open(w http.ResponseWriter, timing Timing, now func() time.Time) *Tab {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	t := &Tab{timing: timing, now: now, w: w, rc: http.NewResponseController(w)}
	_ = t.rc.SetReadDeadline(time.Time{}) // fails only on what is no connection
	w.WriteHeader(http.StatusOK)
	return t
}

func (t *Tab) send(write func(io.Writer) error) error {
	_ = t.rc.SetWriteDeadline(time.Now().Add(t.timing.Write)) // connections go by the wall clock
	if err := write(t.w); err != nil {
		return err
	}
	return t.rc.Flush()
}

// Send tells what a painter has drawn, as one message.
func (t *Tab) Send(ctx context.Context, p *Painter) error {
	parts, err := p.Parts()
	if err != nil || len(parts) == 0 {
		return err
	}
	return t.send(func(w io.Writer) error { return views.WriteMessage(ctx, w, t.ID, parts...) })
}

// Beat says that the stream lives.
func (t *Tab) Beat() error {
	return t.send(func(w io.Writer) error { return views.WriteBeat(w, t.now()) })
}

// End says that nothing follows, so that the browser does not come back.
func (t *Tab) End() error { return t.send(views.WriteEnd) }

// Out says that the visitor may not listen any more, and that nothing follows.
func (t *Tab) Out() error { return t.send(views.WriteOut) }

// Watch draws a page whenever the bell rang, no more often than Timing.Gap, until
// ctx ends or a drawing says that it was the last.
func Watch(ctx context.Context, rings *hosts.Bell, t *Tab, draw Draw) error {
	bell := rings.Watch() // before the first drawing, so that nothing falls between
	defer bell.Close()
	beat, poll, gap := time.NewTicker(t.timing.Beat), time.NewTicker(t.timing.Poll), time.NewTimer(0)
	defer beat.Stop()
	defer poll.Stop()
	defer gap.Stop()
	p := NewPainter()
	p.Full = true
	ready, due := false, true
	for {
		if ready && due {
			now := time.Now() // before the look, so that nothing falls between
			rang := bell.Take()
			switch {
			case len(rang) > 0:
				p.Since = now
			case p.Full: // only time has passed: what another tab has read is new enough
				p.Since = now.Add(-t.timing.Beat / 2)
			}
			if err := paint(ctx, t, p, draw, rang); err != nil || p.End {
				return err
			}
			ready, due, p.Full = false, p.Again, false
			gap.Reset(t.timing.Gap)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-bell.C:
			due = true
		case <-gap.C:
			ready = true
		case <-poll.C:
			due, p.Full = true, true
		case <-beat.C:
			if err := t.Beat(); err != nil {
				return err
			}
		}
	}
}

// paint sends what looks different now.
func paint(ctx context.Context, t *Tab, p *Painter, draw Draw, rang map[topics.HostID]bool) error {
	p.Begin(ctx)
	if err := draw(ctx, p, rang); err != nil {
		return err
	}
	t.ID = max(t.ID+1, uint64(t.now().UnixMilli()))
	if err := t.Send(ctx, p); err != nil || !p.End {
		return err
	}
	return t.End()
}

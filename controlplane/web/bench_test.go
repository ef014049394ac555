package web

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkFleet is the fleet of a thousand hosts after ten daily backups each:
// its page, and one drawing of its stream after a host rang.
func BenchmarkFleet(b *testing.B) {
	w := newWorld(b)
	ctx := b.Context()
	var hosts []topics.HostID
	for n := range 1000 {
		a := w.enrol(fmt.Sprintf("web-%03d", n))
		g := a.group("letters")
		hosts = append(hosts, a.id)
		for day := range 10 {
			j, _, err := w.store.Ask(ctx, "test", store.Job{
				ID:          topics.JobID(topics.NewID(time.Now())),
				Host:        a.id,
				Kind:        topics.BackupJob,
				SourceGroup: g.ID,
				Repository:  g.Repository,
				NotAfter:    1 << 50,
			})
			if err != nil {
				b.Fatal(err)
			}
			if err := w.store.Steps(ctx, func(tx protocol.PlaneTx) error {
				p := protocol.PlaneJob{ID: j.ID, Host: a.id, State: topics.Dispatched}
				if err := tx.PutJob(p); err != nil {
					return err
				}
				p.State = topics.Succeeded
				if err := tx.PutJob(p); err != nil {
					return err
				}
				return tx.Finished(p, topics.Finished{Job: j.ID, State: topics.Succeeded,
					Summary: &topics.Summary{TotalBytes: 1 << 30, DataAdded: 1 << 20}}, time.Now().AddDate(0, 0, -day).UnixMilli())
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	c, n := w.person(store.Viewer), 0
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if r := c.do("GET", "/", nil); r.StatusCode != 200 {
				b.Fatal(r.Status)
			}
		}
	})
	b.Run("change", func(b *testing.B) {
		t := newDrawing(w, "view=fleet")
		t.second(b, map[topics.HostID]bool{})
		for b.Loop() {
			// Whoever is revoked or made a laptop is another entry of the board.
			n++
			if _, err := w.store.PutHostSettings(ctx, "test", hosts[7], removal.HostSettings{Intermittent: new(n%2 == 0)}); err != nil {
				b.Fatal(err)
			}
			t.second(b, map[topics.HostID]bool{hosts[7]: true})
		}
	})
}

// A drawing is a stream without a browser at its end.
type drawing struct {
	w    *world
	draw layout.Draw
	p    *layout.Painter
}

func newDrawing(w *world, query string) *drawing {
	q := must(url.ParseQuery(query))
	d := &drawing{w: w, draw: w.web.pages.FleetStream(q), p: &layout.Painter{Painter: live.NewPainter()}}
	d.p.Full = true
	if q.Get("view") == "jobs" {
		d.draw = w.web.jobs.JobsStream(q, &session.Visitor{Name: "anna", Role: store.Admin})
	}
	return d
}

// second draws as often as a stream does in a second, while hosts ring; once of
// those times it draws how far their jobs are.
func (d *drawing) second(b *testing.B, rang map[topics.HostID]bool) (parts int) {
	b.Helper()
	ctx := b.Context()
	for range 4 {
		d.p.Begin(ctx)
		d.p.Moment = must(d.w.web.Fleet.Now(ctx))
		if err := d.draw(ctx, d.p, rang); err != nil {
			b.Fatal(err)
		}
		parts += len(must(d.p.Parts()))
		d.p.Full, rang = false, nil
	}
	return parts
}

// BenchmarkTab is what an open tab costs in a second in which a hundred jobs say
// how far they are. A hundredth of a core is 10 ms.
func BenchmarkTab(b *testing.B) {
	w := newWorld(b, func(c *base.Config) { c.Timing.Progress = 0 })
	var agents []*agent
	var running []topics.JobID
	rang := map[topics.HostID]bool{}
	for n := range 100 {
		a := w.enrol(fmt.Sprintf("web-%03d", n))
		a.group("letters")
		a.connect()
		id := w.backup(a)
		a.start(id)
		agents, running = append(agents, a), append(running, id)
		rang[a.id] = true
	}
	for _, view := range []string{"fleet", "jobs"} {
		b.Run(view, func(b *testing.B) {
			t, parts := newDrawing(w, "view="+view), 0
			t.second(b, rang)
			for n := uint64(0); b.Loop(); n++ {
				b.StopTimer()
				for i, a := range agents {
					a.progress(running[i], topics.Progress{Scanned: true, TotalBytes: 1 << 40, BytesDone: n << 30, TotalFiles: 1000, FilesDone: n})
				}
				await(b, "the last progress", func() error {
					if p, _ := w.hub.Progress(running[99]); p.FilesDone != n {
						return errors.New("it has not come")
					}
					return nil
				})
				b.StartTimer()
				parts += t.second(b, rang)
			}
			b.ReportMetric(float64(parts)/float64(b.N), "parts/op")
		})
	}
}

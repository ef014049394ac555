package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
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
			j, _, err := w.store.Ask(ctx, "test", store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: a.id, Kind: topics.BackupJob, SourceGroup: g.ID, Repository: g.Repository, NotAfter: 1 << 50})
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
				return tx.Finished(p, topics.Finished{Job: j.ID, State: topics.Succeeded, Summary: &topics.Summary{TotalBytes: 1 << 30, DataAdded: 1 << 20}}, time.Now().AddDate(0, 0, -day).UnixMilli())
			}); err != nil {
				b.Fatal(err)
			}
		}
	}
	c := w.person(store.Viewer)
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			if r := c.do("GET", "/", nil); r.StatusCode != 200 {
				b.Fatal(r.Status)
			}
		}
	})
	b.Run("change", func(b *testing.B) {
		d := w.web.fleetStream(nil)
		p := &painter{ctx: ctx, sent: map[string]string{}}
		for b.Loop() {
			p.parts = nil
			if err := d(ctx, p, map[topics.HostID]bool{hosts[7]: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

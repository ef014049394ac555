package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
)

// A digest is one that is due for a channel.
type digest struct {
	routing.Digest
	channel rows.Channel
	slot    int64
}

// findDigests finds the digests that are due. One that is new comes first at its next
// time; after a downtime the latest one comes, and not those before it.
func (p *pass) findDigests(ctx context.Context) error {
	kept, err := p.in.Slots(ctx)
	if err != nil {
		return err
	}
	last := map[rows.Slot]int64{}
	for _, s := range kept {
		last[rows.Slot{Channel: s.Channel, Digest: s.Digest}] = s.Slot
	}
	for _, d := range p.w.Rules.Digests {
		for _, id := range d.Channels {
			at := slices.IndexFunc(p.w.Channels, func(c rows.Channel) bool { return c.ID == id })
			if at < 0 || p.Summary == nil {
				continue
			}
			key := rows.Slot{Channel: id, Digest: d.Key()}
			since, known := last[key]
			delete(last, key)
			slot := time.Time{}
			if known && !p.ahead(since) {
				slot = d.Due(time.UnixMilli(since), time.UnixMilli(p.now))
			}
			switch {
			case slot.IsZero() && known && !p.ahead(since):
			case slot.IsZero(), !p.w.Channels[at].Enabled:
				key.Slot = p.now
				if err := p.in.PutSlot(ctx, key); err != nil {
					return err
				}
			default:
				p.digests = append(p.digests, digest{Digest: d, channel: p.w.Channels[at], slot: slot.UnixMilli()})
			}
			if next := d.Next(time.UnixMilli(p.now)); !next.IsZero() {
				p.at(next.UnixMilli())
			}
		}
	}
	for gone := range last {
		if err := p.in.DropSlot(ctx, gone); err != nil {
			return err
		}
	}
	return nil
}

// putDigests makes the digests that a pass found due, and puts them behind what waits. One
// that waits and was not tried yet says what is so now.
func (q *Queue) putDigests(ctx context.Context, p *pass) error {
	said := map[string]string{}
	for _, d := range p.digests {
		if said[d.Key()] != "" {
			continue
		}
		m, err := q.Summary(ctx, d.Digest, time.UnixMilli(d.slot).Add(-d.Span()), time.UnixMilli(p.now))
		if err != nil {
			return fmt.Errorf("make a digest: %w", err)
		}
		m.Event, m.At = string(rows.Digest), p.now
		if m.Alerts == nil {
			m.Alerts = []channels.Alert{}
		}
		if m.Rows == nil {
			m.Rows = []channels.Row{}
		}
		if said[d.Key()], err = body(m); err != nil {
			return err
		}
	}
	return q.Store.Channels().Do(ctx, func(in rows.Queue) error {
		for _, d := range p.digests {
			m := rows.Message{ID: topics.NewID(time.UnixMilli(p.now)), Channel: d.channel.ID, Event: rows.Digest, State: rows.Waiting,
				CreatedAt: p.now, NextAt: p.now, Body: said[d.Key()]}
			waiting := p.waiting[d.channel.ID]
			if i := slices.IndexFunc(waiting, func(w rows.Message) bool { return w.Event == rows.Digest && w.Tries == 0 }); i >= 0 {
				m.ID = waiting[i].ID
			}
			if err := in.Put(ctx, m); err != nil {
				return err
			}
			if err := in.PutSlot(ctx, rows.Slot{Channel: d.channel.ID, Digest: d.Key(), Slot: d.slot}); err != nil {
				return err
			}
			if _, waits := p.heads[d.channel.ID]; !waits {
				p.heads[d.channel.ID] = p.now
			}
		}
		return nil
	})
}

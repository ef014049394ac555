package controlplane

import (
	"context"
	"hash/fnv"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	rows "github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// A toldAlerts is what the public broker's consumers hear of alerts.
type toldAlerts struct{ *alerts.Service }

// Stamp implements public.Alerts.
func (t toldAlerts) Stamp(ctx context.Context) (int64, error) {
	n, err := t.Store.Alerts().Mark(ctx)
	links := fnv.New64a()
	_, _ = links.Write([]byte(t.PublicURL(ctx))) // it never fails
	return n ^ int64(links.Sum64()), err
}

// Standing implements public.Alerts.
func (t toldAlerts) Standing(ctx context.Context) ([]topics.Alert, error) {
	live, err := t.Live(ctx)
	out, address, now := make([]topics.Alert, len(live)), t.PublicURL(ctx), t.Now()
	for i, a := range live {
		out[i] = alerts.Said(a, address, now)
	}
	return out, err
}

// mostCleared is of how many alerts that ended before the start the topics are cleared.
const mostCleared = 1000

// EndedSince implements public.Alerts.
func (t toldAlerts) EndedSince(ctx context.Context, since int64) ([]topics.AlertID, error) {
	page, err := t.List(ctx, alerts.Filter{State: rows.Ended, Most: mostCleared})
	var ids []topics.AlertID
	for _, a := range page.Alerts {
		if a.EndedAt >= since {
			ids = append(ids, topics.AlertID(a.ID))
		}
	}
	return ids, err
}

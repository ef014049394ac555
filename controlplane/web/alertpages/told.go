package alertpages

import (
	"context"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// told says of alerts who knows of them, or why nobody does, in words.
func (s *Pages) told(ctx context.Context, m *fleet.Moment, list []alerts.Alert) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	w, err := s.routes(ctx, m)
	if err != nil {
		return nil, err
	}
	names := namesOf(w.Channels)
	known, err := s.Store.Channels().Know(ctx)
	if err != nil {
		return nil, err
	}
	out, now := map[string]string{}, s.Now().UnixMilli()
	for _, a := range list {
		var to []string
		for _, c := range known[a.ID] {
			if names[c] != "" {
				to = append(to, names[c])
			}
		}
		slices.Sort(to)
		why := ""
		if a.State(now) == alerts.Open {
			why = w.Silent(a, now)
		}
		switch {
		case len(to) > 0:
			out[a.ID] = "Told to " + joined(to)
		case len(names) == 0:
			out[a.ID] = "Nobody is told: there is no channel"
		case why != "":
			out[a.ID] = "Nobody was told: " + strings.ToLower(why[:1]) + strings.TrimSuffix(why[1:], ".")
		case a.EndedAt > 0:
			out[a.ID] = "Nobody was told of it"
		default:
			out[a.ID] = "Nobody was told yet"
		}
	}
	return out, nil
}

// routes are what decides who hears of what.
func (s *Pages) routes(ctx context.Context, m *fleet.Moment) (*routing.World, error) {
	w := &routing.World{Tags: map[topics.HostID][]string{}, Users: map[topics.RepositoryID][]topics.HostID{}}
	var err error
	if w.Rules, _, err = s.Alerts.Rules(ctx); err != nil {
		return nil, err
	}
	if w.Channels, err = s.Channels.List(ctx); err != nil {
		return nil, err
	}
	if w.Pauses, err = s.Alerts.Pauses(ctx); err != nil {
		return nil, err
	}
	for _, e := range m.ByName() {
		w.Tags[e.ID] = e.Tags
		for _, g := range e.Groups {
			if !slices.Contains(w.Users[g.Repository], e.ID) {
				w.Users[g.Repository] = append(w.Users[g.Repository], e.ID)
			}
		}
	}
	return w, nil
}

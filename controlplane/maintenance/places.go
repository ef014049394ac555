package maintenance

import (
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Places returns at whose places a keeper looks after a repository, "" for its own. An
// address with {host} leads it to the place of every host. Another host's path leads
// nowhere, so of a path it looks after its own.
func Places(ctx context.Context, s *store.Store, repo store.Repository, keeper topics.HostID) ([]topics.HostID, error) {
	if !location.PerHost(repo.Location) {
		return []topics.HostID{""}, nil
	}
	rows, err := s.Places(ctx, repo.ID)
	if err != nil {
		return nil, err
	}
	var list []topics.HostID
	for _, p := range rows {
		if p.Ready() && p.Name != "" && p.Host != keeper {
			list = append(list, p.Host)
		} else if p.Ready() && p.Name != "" {
			list = append(list, "")
		}
	}
	return list, nil
}

// there reports whether a repository has a keeper, and is at a place that this one reaches.
func (r *Runner) there(ctx context.Context, repo store.Repository) (bool, error) {
	if repo.Keeper == "" || repo.ReadyAt == 0 {
		return false, nil
	}
	if location.PerHost(repo.Location) { // Places lists those that are ready
		return true, nil
	}
	p, err := r.Store.PlaceOf(ctx, repo.ID, repo.Keeper)
	return p.Ready(), err
}

// left returns the places at which a slot is still to be served, those first that no run
// has been at. A run that is ending counts as it says, whatever its row does.
func (r *Runner) left(ctx context.Context, repo store.Repository, keeper topics.HostID, kind topics.JobKind, slot int64,
	ending *store.MaintenanceRun) ([]topics.HostID, error) {
	all, err := Places(ctx, r.Store, repo, keeper)
	if err != nil || !location.PerHost(repo.Location) {
		return all, err
	}
	runs, err := r.Store.RunsOfSlot(ctx, repo.ID, kind, slot)
	if err != nil {
		return nil, err
	}
	been, again := map[topics.HostID]bool{}, map[topics.HostID]bool{}
	for _, run := range runs { // the newest first
		if ending != nil && run.ID == ending.ID {
			run = *ending
		}
		if !been[run.Place] {
			been[run.Place], again[run.Place] = true, run.Again
		}
	}
	all = slices.DeleteFunc(all, func(p topics.HostID) bool { return been[p] && !again[p] })
	slices.SortStableFunc(all, func(a, b topics.HostID) int {
		switch {
		case been[a] == been[b]:
			return 0
		case been[a]:
			return 1
		}
		return -1
	})
	return all, nil
}

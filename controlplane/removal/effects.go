package removal

import (
	"context"
	"errors"
	"slices"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Effects is what a removal takes along or leaves, as it is now.
type Effects struct {
	Name      string
	Groups    []string // of a host by name; of a repository "NAME of HOST"
	Schedules []string // that go with it, by name
	Shared    []string // of a source group: schedules that go on without it
	Snapshots int      // that exist; of a host and of a group, those that its jobs made
	Into      []string // the repositories these are in, by name
	Running   int      // jobs that a host has in hand
	Queued    int      // jobs that were not sent
	Pending   int      // slots that are still to be run
	KeeperOf  []string // repositories that a host looks after
	Keeper    string   // of a repository: the host that looks after it
	Trusted   bool     // a host's certificate is good
	Waits     bool     // nobody has approved it yet

	hosts []topics.HostID // whom it concerns
}

// OfHost says what becomes of what belongs to a host.
func (s *Service) OfHost(ctx context.Context, id topics.HostID) (e Effects, err error) {
	h, err := s.Store.Host(ctx, id)
	if err != nil {
		return e, named(err, ErrNoHost)
	}
	e.Name, e.Trusted, e.hosts = h.Name, h.RevokedAt == 0, []topics.HostID{id}
	e.Waits = !e.Trusted && s.Store.Admission().Waits(ctx, id)
	groups, err := s.Store.SourceGroups(ctx, id)
	if err != nil {
		return e, err
	}
	plans, err := s.Store.Schedules(ctx, id)
	if err != nil {
		return e, err
	}
	open, err := s.Store.OpenJobs(ctx, id)
	if err != nil {
		return e, err
	}
	pending, err := s.Store.PendingRuns(ctx, id)
	if err != nil {
		return e, err
	}
	if e.Snapshots, err = s.Store.SnapshotCount(ctx, id); err != nil {
		return e, err
	}
	if e.KeeperOf, err = s.Store.KeptBy(ctx, id); err != nil {
		return e, err
	}
	var into []topics.RepositoryID
	for _, g := range groups {
		e.Groups = append(e.Groups, g.Name)
		into = append(into, g.Repository)
	}
	for _, p := range plans {
		e.Schedules = append(e.Schedules, p.Name)
	}
	e.Pending = len(pending)
	e.count(open)
	e.Into, err = s.repositories(ctx, into)
	return e, err
}

// OfGroup says what becomes of what belongs to a source group.
func (s *Service) OfGroup(ctx context.Context, host topics.HostID, name string) (e Effects, err error) {
	g, err := s.Store.SourceGroupNamed(ctx, host, name)
	if err != nil {
		return e, named(err, ErrNoGroup)
	}
	e.Name, e.hosts = g.Name, []topics.HostID{host}
	plans, err := s.Store.Schedules(ctx, host)
	if err != nil {
		return e, err
	}
	open, err := s.Store.OpenJobs(ctx, host)
	if err != nil {
		return e, err
	}
	for _, p := range plans {
		switch {
		case !slices.Contains(p.Groups, g.ID):
		case len(p.Groups) == 1:
			e.Schedules = append(e.Schedules, p.Name)
		default:
			e.Shared = append(e.Shared, p.Name)
		}
	}
	e.count(slices.DeleteFunc(open, func(j store.Job) bool { return j.SourceGroup != g.ID }))
	if e.Snapshots, err = s.Store.GroupSnapshotCount(ctx, host, g.ID); err != nil {
		return e, err
	}
	e.Into, err = s.repositories(ctx, []topics.RepositoryID{g.Repository})
	return e, err
}

// OfRepository says what becomes of what belongs to a repository.
func (s *Service) OfRepository(ctx context.Context, id topics.RepositoryID) (e Effects, err error) {
	r, err := s.Store.Repository(ctx, id)
	if err != nil || r.RemovedAt > 0 {
		return e, errors.Join(ErrNoRepository, err)
	}
	e.Name = r.Name
	groups, err := s.Store.SourceGroupsInto(ctx, id)
	if err != nil {
		return e, err
	}
	names := map[topics.HostID]string{}
	for _, g := range groups {
		e.hosts = append(e.hosts, g.Host)
	}
	if r.Keeper != "" {
		e.hosts = append(e.hosts, r.Keeper)
	}
	if err := s.Store.HostNames(ctx, e.hosts, names); err != nil {
		return e, err
	}
	e.Keeper = names[r.Keeper]
	for _, g := range groups {
		e.Groups = append(e.Groups, g.Name+" of "+names[g.Host])
	}
	tallies, err := s.Store.SnapshotTalliesOf(ctx, []topics.RepositoryID{id})
	if err != nil {
		return e, err
	}
	e.Snapshots = tallies[id].Count
	open, err := s.Store.OpenJobsOn(ctx, id)
	e.count(open)
	return e, err
}

func (e *Effects) count(open []store.Job) {
	for _, j := range open {
		if j.State == topics.Queued {
			e.Queued++
		} else {
			e.Running++
		}
	}
}

// repositories lists the names of repositories, each once.
func (s *Service) repositories(ctx context.Context, ids []topics.RepositoryID) ([]string, error) {
	slices.Sort(ids)
	names := map[topics.RepositoryID]string{}
	err := s.Store.RepositoryNames(ctx, slices.Compact(ids), names)
	var list []string
	for _, name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list, err
}

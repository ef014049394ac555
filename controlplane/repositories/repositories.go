// Package repositories adds and changes repositories, trusts their keys, and has hosts look at what they hold.
//
// Pages, API and command line all do it here, so the rules are the same for all.
// Each change is one transaction with its audit entry in it, and Changed is called
// once after it.
package repositories

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Why something was not done. Bad fields of an input are [field.Errors].
var (
	ErrNotFound  = errors.New("there is no such repository")
	ErrNameTaken = errors.New("there is a repository of this name already")
	ErrNoKey     = errors.New("there is no such key")
	ErrNoHost    = errors.New("the repository has no keeper, and no host backs up into it")
)

// Jobs is what a service asks of the jobs engine.
type Jobs interface {
	Start(ctx context.Context, by jobs.Actor, r jobs.Request) (job store.Job, fresh bool, err error)
}

// A Service does what is asked for. Its zero value with a Store does all but Refresh.
type Service struct {
	Store  *store.Store
	Jobs   Jobs
	Online func(topics.HostID) bool // whether commands can reach a host
	// Changed is told after each change, with the hosts that use the repository; none
	// if no host does. It must not block. Nil tells nobody.
	Changed func(...topics.HostID)
}

// Find returns a repository in care, or ErrNotFound.
func Find(ctx context.Context, s *store.Store, id topics.RepositoryID) (store.Repository, error) {
	r, err := s.Repository(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && r.RemovedAt > 0 {
		return store.Repository{}, ErrNotFound
	}
	return r, err
}

// Add adds a repository.
func (s *Service) Add(ctx context.Context, by string, in Input) (store.Repository, error) {
	n, err := New(ctx, s.Store, in)
	if err != nil {
		return store.Repository{}, err
	}
	if err := s.Store.AddRepository(ctx, by, n.Repository, n.RepositoryAccess); err != nil {
		return store.Repository{}, known(err)
	}
	s.changed(ctx, n.ID)
	return n.Repository, nil
}

// New works out a repository that is to be added, without adding it.
func New(ctx context.Context, s *store.Store, in Input) (*store.NewRepository, error) {
	n := &store.NewRepository{}
	n.ID, n.CreatedAt = topics.RepositoryID(topics.NewID(time.UnixMilli(s.Now()))), s.Now()
	if in.Name == nil {
		in.Name = new(string)
	}
	if in.URL == nil {
		in.URL = new(topics.Secret)
	}
	if in.Password == nil {
		in.Password = new(topics.Secret)
	}
	if in.Exists {
		n.ReadyAt = n.CreatedAt
	}
	return n, in.apply(ctx, s, &n.Repository, &n.RepositoryAccess)
}

// Change changes a repository.
func (s *Service) Change(ctx context.Context, by string, id topics.RepositoryID, in Input) (store.Repository, error) {
	var r store.Repository
	was, err := s.Store.EditRepository(ctx, by, id, func(row *store.Repository, access *store.RepositoryAccess) error {
		err := in.apply(ctx, s.Store, row, access)
		r = *row
		return err
	})
	if err != nil {
		return r, known(err)
	}
	s.changed(ctx, id, was.Keeper)
	return r, nil
}

// TrustKey notes that a key of a repository is one of ours.
func (s *Service) TrustKey(ctx context.Context, by string, id topics.RepositoryID, key string) error {
	if _, err := Find(ctx, s.Store, id); err != nil {
		return err
	}
	if err := s.Store.TrustKey(ctx, by, id, key); errors.Is(err, store.ErrNotFound) {
		return ErrNoKey
	} else if err != nil {
		return err
	}
	s.changed(ctx, id)
	return nil
}

// AcknowledgeForeign notes that all snapshots of a repository that no job of ours made
// are known: by hand, by another program. It returns how many were not.
func (s *Service) AcknowledgeForeign(ctx context.Context, by string, id topics.RepositoryID) (int64, error) {
	if _, err := Find(ctx, s.Store, id); err != nil {
		return 0, err
	}
	n, err := s.Store.AcknowledgeForeign(ctx, by, id)
	if err == nil && n > 0 {
		s.changed(ctx, id)
	}
	return n, err
}

// Refresh asks a host for everything there is to know of a repository, and returns
// the jobs. With no host it is the one that Host chooses.
func (s *Service) Refresh(ctx context.Context, by jobs.Actor, id topics.RepositoryID, host topics.HostID) ([]topics.JobID, error) {
	r, err := Find(ctx, s.Store, id)
	if err != nil {
		return nil, err
	}
	if host == "" && location.PerHost(r.Location) {
		return s.refreshAll(ctx, by, r)
	}
	if host == "" {
		if host, err = s.Host(ctx, r); err != nil {
			return nil, err
		}
	}
	return s.refresh(ctx, by, id, host)
}

// refreshAll asks each host for its own place, where {host} gives each one.
func (s *Service) refreshAll(ctx context.Context, by jobs.Actor, r store.Repository) ([]topics.JobID, error) {
	rows, err := s.Store.Places(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	all := []topics.JobID{}
	for _, p := range rows {
		if h, err := s.Store.Host(ctx, p.Host); errors.Is(err, store.ErrNotFound) || err == nil && (!p.Ready() || h.RevokedAt > 0) {
			continue
		} else if err != nil {
			return all, err
		}
		ids, err := s.refresh(ctx, by, r.ID, p.Host)
		if errors.As(err, new(*jobs.GivingError)) || errors.As(err, new(*jobs.RoleError)) { // it backs up elsewhere now
			continue
		}
		if all = append(all, ids...); err != nil {
			return all, err
		}
	}
	if len(all) == 0 {
		return nil, ErrNoHost
	}
	return all, nil
}

func (s *Service) refresh(ctx context.Context, by jobs.Actor, id topics.RepositoryID, host topics.HostID) ([]topics.JobID, error) {
	ids := []topics.JobID{}
	for _, kind := range []topics.JobKind{topics.SnapshotsJob, topics.LocksJob, topics.KeyJob, topics.StatsJob} {
		if kind != topics.SnapshotsJob && by.Lacks(rights.Right(kind)) != nil {
			continue // they see the rest
		}
		j, _, err := s.Jobs.Start(ctx, by, jobs.Request{Host: host, Kind: kind, Repository: id})
		if err != nil {
			return ids, err
		}
		ids = append(ids, j.ID)
	}
	return ids, nil
}

// Host returns who is asked about a repository if nobody was chosen: the keeper,
// else a host that backs up into it, preferably one that can be reached.
func (s *Service) Host(ctx context.Context, r store.Repository) (topics.HostID, error) {
	if r.Keeper != "" {
		return r.Keeper, nil
	}
	users, err := s.Store.HostsInto(ctx, r.ID)
	if err != nil {
		return "", err
	}
	if len(users) == 0 {
		return "", ErrNoHost
	}
	if i := slices.IndexFunc(users, s.Online); i >= 0 {
		return users[i], nil
	}
	return users[0], nil
}

// changed tells of a change that is committed: whatever fails now, it was made.
func (s *Service) changed(ctx context.Context, id topics.RepositoryID, more ...topics.HostID) {
	if s.Changed != nil {
		s.Changed(Users(context.WithoutCancel(ctx), s.Store, id, more...)...)
	}
}

// Users returns the hosts that a change of a repository concerns: its keeper, those
// that back up into it, and more. It returns none if they cannot be read.
func Users(ctx context.Context, s *store.Store, id topics.RepositoryID, more ...topics.HostID) []topics.HostID {
	users, err := s.HostsInto(ctx, id)
	if err != nil {
		return nil
	}
	if r, err := s.Repository(ctx, id); err == nil {
		more = append(more, r.Keeper)
	}
	for _, h := range more {
		if h != "" && !slices.Contains(users, h) {
			users = append(users, h)
		}
	}
	return users
}

// known turns the store's errors into this package's.
func known(err error) error {
	switch {
	case errors.Is(err, store.ErrRepositoryTaken):
		return fmt.Errorf("%w: %w", ErrNameTaken, err)
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

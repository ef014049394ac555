package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
)

// hostNamed finds a host by its ID or its name.
func hostNamed(ctx context.Context, s *store.Store, who string) (store.Host, error) {
	rows, err := s.Hosts(ctx)
	if err != nil {
		return store.Host{}, err
	}
	if h, ok := named(rows, who, func(h store.Host) (id, name string) { return string(h.ID), h.Name }); ok {
		return h, nil
	}
	return store.Host{}, fmt.Errorf("there is no host %q; the fleet page shows all, with their names", who)
}

// repositoryNamed finds a repository in care by its ID or its name.
func repositoryNamed(ctx context.Context, s *store.Store, which string) (store.Repository, error) {
	rows, err := s.Repositories(ctx)
	if err != nil {
		return store.Repository{}, err
	}
	if r, ok := named(rows, which, func(r store.Repository) (id, name string) { return string(r.ID), r.Name }); ok {
		return r, nil
	}
	return store.Repository{}, fmt.Errorf("there is no repository %q; repository list shows them", which)
}

// named finds the row of this ID; without one, that of this name, which may look
// like another row's ID.
func named[T any](rows []T, text string, of func(T) (id, name string)) (found T, ok bool) {
	for _, row := range rows {
		switch id, name := of(row); {
		case id == text:
			return row, true
		case name == text:
			found, ok = row, true
		}
	}
	return found, ok
}

// jobNamed finds a job by its ID, or by a beginning of it that no other job's has.
func jobNamed(ctx context.Context, s *store.Store, which, data string) (store.Job, error) {
	j, err := jobs.Find(ctx, s, which)
	if errors.Is(err, jobs.ErrNoJob) {
		err = fmt.Errorf("there is no job %s in %s", which, data)
	}
	return j, err
}

package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// PlaceName returns what {host} in a repository's address stands for at a host's place.
// Its first use settles that. It returns a *places.NameError if the host's name is unfit.
func (s *Store) PlaceName(ctx context.Context, repository topics.RepositoryID, host topics.HostID) (name string, err error) {
	if name, err = places.NameOf(ctx, s.r, repository, host); err != nil || name != "" {
		return name, err
	}
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		name, err = places.Settle(ctx, tx, repository, host)
		return err
	})
	return name, err
}

// PlaceFits returns a *places.NameError if a host that has no name at its place could not
// be given the one it has now.
func (s *Store) PlaceFits(ctx context.Context, repository topics.RepositoryID, host topics.HostID) error {
	name, err := places.NameOf(ctx, s.r, repository, host)
	if err != nil || name != "" {
		return err
	}
	h, err := s.Host(ctx, host)
	if err != nil {
		return err
	}
	return places.Fits(ctx, s.r, repository, host, h.Name)
}

// SetPlaceName chooses that name. It returns places.ErrUsed if the place has been used
// under another one, and a *places.NameError if the name is unfit.
func (s *Store) SetPlaceName(ctx context.Context, actor string, repository topics.RepositoryID, host topics.HostID, name string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := inCare(ctx, tx, repository); err != nil {
			return err
		}
		if err := places.SetName(ctx, tx, repository, host, name); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "repository.place_named", string(repository), nameIn(ctx, tx, "hosts", string(host))+" is "+name)
	})
}

// Places lists the places of a repository that were used or named, by host.
func (s *Store) Places(ctx context.Context, repository topics.RepositoryID) ([]places.Place, error) {
	return places.Of(ctx, s.r, repository)
}

package repositories

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// A Place is where hosts find a repository.
type Place struct {
	places.Place
	HostName string // "" of a place that all hosts share
	Address  string // with the name in it, and no secret
	Unfit    string // why no name stands for the host yet, in a sentence; "" if one does or can
	Beyond   bool   // a path of a host that is not the keeper: the keeper does not look after it
}

// Places lists the places of a repository: the one that all hosts share, or those of the
// hosts that back up into it, of its keeper, and of those that did, by the hosts' names.
func (s *Service) Places(ctx context.Context, id topics.RepositoryID) ([]Place, error) {
	r, err := Find(ctx, s.Store, id)
	if err != nil {
		return nil, err
	}
	rows, err := s.Store.Places(ctx, id)
	if err != nil {
		return nil, err
	}
	known := map[topics.HostID]places.Place{}
	for _, p := range rows {
		known[p.Host] = p
	}
	if places.Shared(r.Location) {
		p := known[""]
		p.Repository = id
		return []Place{{Place: p, Address: r.Location}}, nil
	}
	users, err := s.Store.HostsInto(ctx, id)
	if err != nil {
		return nil, err
	}
	hosts, err := s.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	list := []Place{}
	for _, h := range hosts {
		p, there := known[h.ID]
		if !there && !slices.Contains(users, h.ID) {
			continue
		}
		p.Repository, p.Host = id, h.ID
		one := Place{Place: p, HostName: h.Name, Address: r.Location, Beyond: r.Keeper != "" && r.Keeper != h.ID}
		if location.PerHost(r.Location) {
			one.Beyond = false
			name := p.Name
			if name == "" {
				name = h.Name
				if one.Unfit, err = s.unfit(ctx, id, h.ID); err != nil {
					return nil, err
				}
			}
			if one.Unfit == "" {
				one.Address = location.Expand(r.Location, name)
			}
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Place) int { return strings.Compare(a.HostName, b.HostName) })
	return list, nil
}

// unfit says why a host has no name at its place and can be given none; "" if it has one.
func (s *Service) unfit(ctx context.Context, id topics.RepositoryID, host topics.HostID) (string, error) {
	err := s.Store.PlaceFits(ctx, id, host)
	var bad *places.NameError
	if errors.As(err, &bad) {
		return Unfit(bad), nil
	}
	return "", err
}

// Unfit says in a sentence what is wrong with a name that was to stand for a host.
func Unfit(e *places.NameError) string {
	if e.Used != "" {
		return "The name " + quoted(e.Name) + " stands for " + e.Used + " there already, and no two may be alike, capitals apart. " +
			"Choose another on the repository's page, under Places."
	}
	return location.CheckName(e.Name) + " The host's own name, " + quoted(e.Name) + ", does not fit: choose one on the repository's page, " +
		"under Places."
}

// named reports whether {host} stands in a repository's address or in one of its logins.
func named(ctx context.Context, s *store.Store, r store.Repository) (bool, error) {
	if location.PerHost(r.Location) {
		return true, nil
	}
	a, err := s.RepositoryAccess(ctx, r.ID)
	if err != nil && !errors.As(err, new(*store.UnreadableError)) {
		return false, err
	}
	return a.PerHost(), nil
}

// PlaceInput is what stands for a host in a repository's address, as somebody wants it.
type PlaceInput struct {
	Name *string
}

// NamePlace chooses what {host} stands for at a host's place, before it is used. The host
// is named by ID or name, and its ID is returned. Bad input is [field.Errors].
func (s *Service) NamePlace(ctx context.Context, by string, id topics.RepositoryID, host string, in PlaceInput) (topics.HostID, error) {
	r, err := Find(ctx, s.Store, id)
	if err != nil {
		return "", err
	}
	h, err := findHost(ctx, s.Store, host)
	if err != nil {
		return "", err
	}
	perHost, err := named(ctx, s.Store, r)
	if err != nil {
		return "", err
	}
	wrong, name := field.Errors{}, ""
	if in.Name != nil {
		name = field.Clean(*in.Name)
	}
	switch {
	case h == "":
		wrong.Say("host", "There is no host with this ID or name.")
	case !perHost:
		wrong.Say("name", "The repository's address has no {host} in it, for which a name could stand.")
	default:
		wrong.Say("name", location.CheckName(name))
	}
	if err := wrong.Err(); err != nil {
		return "", err
	}
	err = s.Store.SetPlaceName(ctx, by, id, h, name)
	var bad *places.NameError
	switch {
	case errors.Is(err, places.ErrUsed):
		return "", field.Errors{"name": "A job has used the host's place under the name it has, and its snapshots are there. It keeps that name."}
	case errors.As(err, &bad):
		return "", field.Errors{"name": "The name " + quoted(name) + " stands for " + bad.Used + " there already, and no two may be alike, " +
			"capitals apart."}
	case err != nil:
		return "", known(err)
	}
	s.changed(ctx, id, h)
	return h, nil
}

// PlaceFits says why a host's name cannot stand for it in the address of a repository
// that it is to back up into, "" if it can or need not.
func PlaceFits(ctx context.Context, s *store.Store, id topics.RepositoryID, host topics.HostID) (string, error) {
	r, err := s.Repository(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if perHost, err := named(ctx, s, r); err != nil || !perHost {
		return "", err
	}
	return (&Service{Store: s}).unfit(ctx, id, host)
}

package kit

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/kits"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// A Set is what is shown at once: the kit of a repository, of all in which a host has
// something, or of all there are.
type Set struct {
	Name   string // of the repository or host, "" of all
	Kits   []Kit
	Unread []string   // of each repository whose secrets cannot be read, what to do
	Before kits.Shown // when it was last shown before this time
}

// Text returns all kits for a terminal or a file.
func (s Set) Text() (text string) {
	for _, why := range s.Unread {
		text += "# Missing here: " + plainly(why) + "\n"
	}
	for i, k := range s.Kits {
		if i > 0 || text != "" {
			text += "\n"
		}
		text += k.Text()
	}
	return text
}

// Show makes kits for an actor. The audit entries, one for each repository, are committed
// before anything is returned. Of a host that is not there, or a repository, it returns
// store.ErrNotFound. A repository whose secrets cannot be read is an error if it is the only
// one asked for.
func Show(ctx context.Context, s *store.Store, actor string, of kits.Of) (Set, error) {
	var (
		set  Set
		list []store.Repository
		host store.Host
		err  error
	)
	switch of.Kind {
	case kits.OfRepository:
		var r store.Repository
		if r, err = s.Repository(ctx, topics.RepositoryID(of.Subject)); err == nil {
			set.Name, list = r.Name, []store.Repository{r}
		}
	case kits.OfHost:
		if host, err = s.Host(ctx, topics.HostID(of.Subject)); err == nil {
			set.Name = host.Name
			list, err = repositoriesOf(ctx, s, host.ID)
		}
	default:
		list, err = s.Repositories(ctx)
	}
	if err != nil {
		return Set{}, err
	}
	shown, err := s.KitsShown(ctx)
	if err != nil {
		return Set{}, err
	}
	set.Before = shown[of]
	open := list[:0:0]
	for _, r := range list {
		all, err := kitsOf(ctx, s, r, host)
		if unread := new(store.UnreadableError); errors.As(err, &unread) && of.Kind != kits.OfRepository {
			set.Unread = append(set.Unread, unread.Say())
			continue
		} else if err != nil {
			return Set{}, err
		}
		set.Kits, open = append(set.Kits, all...), append(open, r)
	}
	name := set.Name
	if of.Kind == kits.OfAll {
		name = "all repositories"
	}
	if err := s.ShowKit(ctx, actor, of, name, open); err != nil {
		return Set{}, err
	}
	return set, nil
}

// repositoriesOf are those into which a host backs up, and those in which it has snapshots.
func repositoriesOf(ctx context.Context, s *store.Store, host topics.HostID) ([]store.Repository, error) {
	groups, err := s.SourceGroups(ctx, host)
	if err != nil {
		return nil, err
	}
	ids, err := s.RepositoriesWithSnapshots(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		ids = append(ids, g.Repository)
	}
	all, err := s.Repositories(ctx)
	return slices.DeleteFunc(all, func(r store.Repository) bool { return !slices.Contains(ids, r.ID) }), err
}

// kitsOf makes the kits of one repository: one, or one for each host if the address names
// another place to each. of is the host that is meant; without an ID, all are.
func kitsOf(ctx context.Context, s *store.Store, r store.Repository, of store.Host) ([]Kit, error) {
	a, err := s.RepositoryAccess(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	groups, err := s.SourceGroupsInto(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	hosts := []store.Host{}
	if of.ID != "" {
		hosts = append(hosts, of)
	}
	for _, g := range groups {
		if slices.ContainsFunc(hosts, func(h store.Host) bool { return h.ID == g.Host }) {
			continue
		}
		h, err := s.Host(ctx, g.Host)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	if !location.PerHost(r.Location) && !a.PerHost() {
		names := make([]Host, len(hosts))
		for i, h := range hosts {
			names[i] = Host{h.Hostname, h.Name}
		}
		k := New(r, a, names, of.Hostname)
		k.parts = partsOf(groups, hosts, of.ID)
		return []Kit{k}, nil
	}
	rows, err := s.Places(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	var list []Kit
	for _, h := range hosts {
		if of.ID != "" && h.ID != of.ID {
			continue
		}
		name := h.Name // what it will be, if it is not settled yet
		if i := slices.IndexFunc(rows, func(p places.Place) bool { return p.Host == h.ID }); i >= 0 && rows[i].Name != "" {
			name = rows[i].Name
		}
		at, access := r, a
		at.Name += ", place of " + h.Name
		at.Location, access.URL, access.Env = location.Expand(r.Location, name), location.Expand(a.URL, name), location.ExpandLogin(a.Env, name)
		if old, other, err := s.PasswordAt(ctx, r.ID, h.ID); err != nil {
			return nil, err
		} else if other {
			access.Password = old
		}
		k := New(at, access, []Host{{h.Hostname, h.Name}}, h.Hostname)
		k.parts = partsOf(groups, hosts, h.ID)
		list = append(list, k)
	}
	if len(list) == 0 { // nobody's yet
		list = append(list, New(r, a, nil, ""))
	}
	return list, nil
}

// partsOf are the source groups of a host, or of all with "", by their names.
func partsOf(groups []store.SourceGroup, hosts []store.Host, of topics.HostID) (parts []part) {
	for _, h := range slices.SortedFunc(slices.Values(hosts), func(a, b store.Host) int { return strings.Compare(a.Name, b.Name) }) {
		for _, g := range groups {
			if g.Host == h.ID && (of == "" || of == h.ID) {
				parts = append(parts, part{"the source group " + plainly(g.Name) + " of " + plainly(h.Name), "plan=" + string(g.ID)})
			}
		}
	}
	return parts
}

package discovery

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A view is what there is to be told of, as it was read last. Of a large fleet next to
// nothing that Home Assistant is told changes between two looks: what did not is not read
// again, and not compared with what was told.
type view struct {
	moment  *fleet.Moment // of the hosts; nil has them read each time
	version int64         // of the settings
	mark    int64         // of what changed about repositories
	whole   time.Time     // when all of them were read last; zero is never
	names   map[topics.RepositoryID]string
	renamed bool // names are others than those that the list was made of

	list  []device        // with the beginnings of their entity IDs
	there map[string]bool // all devices in care, whether they are told or not
	round int64           // counts how often the list was another one
}

// readAnyway is how often all repositories are read, whatever changed.
const readAnyway = time.Hour

// repositories brings the names of repositories up to date.
func (v *view) repositories(ctx context.Context, s *store.Store, now time.Time) error {
	mark := v.mark
	if since := now.Sub(v.whole); since >= readAnyway || since < 0 {
		mark = -1
	}
	c, err := s.RepositoriesSince(ctx, mark)
	if err != nil {
		return err
	}
	v.mark = c.Mark
	if !c.All && len(c.Changed) == 0 {
		return nil
	}
	was := v.names
	if v.names = maps.Clone(was); c.All {
		v.whole, v.names = now, make(map[topics.RepositoryID]string, len(c.Looks))
	}
	for _, id := range c.Changed {
		delete(v.names, id)
	}
	for _, f := range c.Looks {
		v.names[f.Repository] = f.Name
	}
	v.renamed = v.renamed || !maps.Equal(was, v.names)
	return nil
}

// look brings the view up to date. A device that is new has no beginning of its entity IDs yet.
func (s *Service) look(ctx context.Context, set Settings, version int64) error {
	v := &s.view
	if !set.Enabled {
		if v.list != nil {
			*v = view{round: v.round + 1}
		}
		return nil
	}
	if err := v.repositories(ctx, s.Store, s.Now()); err != nil {
		return err
	}
	var m *fleet.Moment
	if s.Fleet != nil {
		var err error
		if m, err = s.Fleet.Now(ctx); err != nil {
			return err
		}
	}
	if !v.renamed && m != nil && m == v.moment && version == v.version && v.list != nil {
		return nil
	}
	w, err := s.read(ctx, set, m, v.names)
	if err != nil {
		return err
	}
	list := s.devices(w)
	for i := range list {
		list[i].slug = s.names[list[i].key]
	}
	if v.moment, v.version, v.renamed = m, version, false; !maps.Equal(w.there, v.there) {
		v.there, s.named = w.there, false
	}
	if !slices.Equal(list, v.list) {
		v.list, v.round = list, v.round+1
	}
	return nil
}

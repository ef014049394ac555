package sources

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrNoSnapshot is the error that a source group has no snapshot whose size could be
// accepted.
var ErrNoSnapshot = errors.New("there is no snapshot of this source group")

// ErrNewer is the error that there is a newer snapshot than the one whose size was to be
// accepted.
var ErrNewer = errors.New("there is a newer snapshot of this source group")

// AcceptSize says that a source group is meant to hold what its newest snapshot holds,
// however much less that is than before. It returns that snapshot. If one is named in
// shown, it is accepted only while it is the newest.
func (s *Service) AcceptSize(ctx context.Context, by string, host topics.HostID, name, shown string) (facts.Snapshot, error) {
	g, err := s.Find(ctx, host, name)
	if err != nil {
		return facts.Snapshot{}, err
	}
	n, err := s.Store.AcceptSize(ctx, by, g.ID, shown)
	switch {
	case err != nil:
	case n.ID == "":
		err = ErrNoSnapshot
	case shown != "" && n.ID != shown:
		err = ErrNewer
	}
	if err == nil && s.Changed != nil {
		s.Changed(host)
	}
	return n, err
}

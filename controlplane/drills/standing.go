package drills

import (
	"context"

	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// A Group is a source group of which it is judged whether it is proven.
type Group struct {
	ID         topics.SourceGroupID
	Name       string
	Repository topics.RepositoryID
}

// Standing returns whether a host is proven, its groups, and what the last drills of them
// came to.
func (s *Service) Standing(ctx context.Context, host topics.HostID) (drills.State, []Group, []drills.Verdict, error) {
	rows, err := s.Store.SourceGroups(ctx, host)
	if err != nil {
		return drills.State{}, nil, nil, err
	}
	verdicts, err := s.Store.DrillVerdicts(ctx, host)
	if err != nil {
		return drills.State{}, nil, nil, err
	}
	groups, ids := make([]Group, len(rows)), make([]topics.SourceGroupID, len(rows))
	for i, g := range rows {
		groups[i], ids[i] = Group{ID: g.ID, Name: g.Name, Repository: g.Repository}, g.ID
	}
	return drills.Judge(ids, verdicts, s.Now()), groups, verdicts, nil
}

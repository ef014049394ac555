package gather

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/endings"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// memory is what was read of the database, as of its mark.
type memory struct {
	mark         int64
	from         int64 // the day from which on sizes of repositories are known, since 1970
	rows         kept
	groups       map[topics.SourceGroupID]endings.Group
	repositories map[topics.RepositoryID]repository
	refused      map[topics.HostID]intake.Aside
	plans        []drills.Plan
}

// A repository is what is known of one, whatever the time is.
type repository struct {
	facts    looks.Facts
	growth   *conditions.Compared
	growthAt int64
}

// kept are the rows of how jobs ended, by what they are of.
type kept map[string][]endings.Row

func keptOf(rows []endings.Row) kept {
	all := kept{}
	for _, r := range rows {
		all[r.Subject] = append(all[r.Subject], r)
	}
	return all
}

// remember reads what changed since it was called last. Of the sizes of repositories those
// of some days are known, so that with each day all are read again.
func (r *Reader) remember(ctx context.Context, now time.Time) (*memory, error) {
	const perDay = 24 * time.Hour
	first := now.Add(-(conditions.Window + 10) * perDay).UnixMilli()
	m, mark := r.memory, int64(-1)
	if from := first / perDay.Milliseconds(); m != nil && m.from == from {
		mark = m.mark
	} else {
		m = &memory{from: from}
	}
	read, err := r.Store.JudgedSince(ctx, mark, first, now.Add(-perDay).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("how jobs ended and repositories are: %w", err)
	}
	m.take(read)
	r.memory = m
	return m, nil
}

// take puts what was read in the place of what was known.
func (m *memory) take(read store.Judged) {
	m.mark, m.refused, m.plans = read.Mark, read.Refused, read.Plans
	if read.All {
		m.rows, m.groups = kept{}, make(map[topics.SourceGroupID]endings.Group, len(read.Groups))
	}
	if read.Every {
		m.repositories = make(map[topics.RepositoryID]repository, len(read.Looks))
	}
	for _, id := range read.Changed.Endings {
		delete(m.rows, id)
	}
	for _, e := range read.Endings {
		m.rows[e.Subject] = append(m.rows[e.Subject], e)
	}
	for _, id := range read.Changed.Groups {
		delete(m.groups, id)
	}
	for _, g := range read.Groups {
		m.groups[g.ID] = g
	}
	for _, id := range read.Changed.Repositories {
		delete(m.repositories, id)
	}
	days := map[topics.RepositoryID][]store.Day{}
	for _, d := range read.Days {
		days[d.Repository] = append(days[d.Repository], d)
	}
	for _, f := range read.Looks {
		n := repository{facts: f}
		n.growth, n.growthAt = growth(days[f.Repository])
		m.repositories[f.Repository] = n
	}
}

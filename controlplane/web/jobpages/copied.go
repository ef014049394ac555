package jobpages

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// otherView names the second repository of a job.
func (s *Pages) otherView(ctx context.Context, v *views.Job, j store.Job) error {
	name := "Copies to"
	if j.Kind == topics.InitJob {
		name = "Cuts files as"
	}
	r, err := s.Store.Repository(ctx, j.Other)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && r.RemovedAt > 0:
		v.Asked = append(v.Asked, views.Fact{Name: name, Value: "a repository that was removed"})
		return nil
	case err != nil:
		return err
	}
	v.Asked = append(v.Asked, views.Fact{Name: name, Value: r.Name, URL: views.RepositoryURL(string(r.ID))})
	return nil
}

// copyFigures are the numbers of a copy.
func copyFigures(c topics.Copied, count func(name string, n uint64, detail string)) {
	number := func(n int) uint64 { return uint64(max(n, 0)) }
	count("Copied", number(c.Copied), "")
	count("There already", number(c.Already), "")
	count("Not there", number(c.Left), map[bool]string{true: "each snapshot has its copy, of the same tree, time and paths"}[c.Left == 0])
}

// copyTable lists the snapshots that a copy left out, and says what two repositories that cut
// files differently mean.
func copyTable(v *views.Job, c *topics.Copied, when func(int64) string, table func(string, int, []string, [][]string)) {
	if c == nil {
		return
	}
	if c.Gone > 0 {
		v.Facts = append(v.Facts, views.Fact{Name: "Gone meanwhile",
			Value: words.Count(uint64(c.Gone), "snapshot", "snapshots") + " that the first repository does not hold any more"})
	}
	if c.OtherCuts {
		v.Facts = append(v.Facts, views.Fact{Name: "Shared data",
			Value: "none: the two repositories cut files at other places, so what is copied takes its own space beside what was backed up " +
				"into the second one directly. Only a repository that a copy makes cuts them alike"})
	}
	var rows [][]string
	for _, l := range c.Missing {
		why := "not there"
		if l.Differs != "" {
			why = "its copy has another " + map[string]string{"paths": "list of paths"}[l.Differs]
			if l.Differs != "paths" {
				why = "its copy has another " + l.Differs
			}
		}
		rows = append(rows, []string{layout.Short(l.Snapshot), when(l.Time), why})
	}
	if len(rows) > 0 {
		table("Not in the second repository", 1, []string{"Snapshot", "Taken", "Why"}, rows)
	}
}

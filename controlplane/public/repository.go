package public

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// readAnyway is how often all repositories are read, whatever changed.
const readAnyway = 5 * time.Minute

// A repository is what is known of one.
type repository struct {
	known   bool
	facts   looks.Facts
	figures store.Figures
	until   int64 // when time alone makes its verdict another one, Unix milliseconds; 0 is never
}

// repositoriesNow publishes how each repository is of which something changed, and clears
// the topics of those that were removed.
func (p *Publisher) repositoriesNow(ctx context.Context) {
	now, mark := p.Now(), p.mark
	if since := now.Sub(p.read); since >= readAnyway || since < 0 {
		mark = -1
	}
	c, err := p.Store.RepositoriesSince(ctx, mark)
	if err != nil {
		p.complain(ctx, err)
		return
	}
	p.mark = c.Mark
	gone := map[topics.RepositoryID]bool{}
	for _, id := range c.Changed {
		gone[id] = true
	}
	if c.All {
		p.read = now
		for id := range p.repositories {
			gone[id] = true
		}
	}
	for _, f := range c.Looks {
		delete(gone, f.Repository)
		if was := p.repositories[f.Repository]; !was.known || was.figures.StoredBytes != c.Figures[f.Repository].StoredBytes {
			p.resized[f.Repository] = true
		}
		p.repositories[f.Repository] = repository{known: true, facts: f, figures: c.Figures[f.Repository], until: 1}
	}
	for id := range gone {
		if p.repositories[id].known {
			delete(p.repositories, id)
			p.resized[id] = true
			p.say(topics.Topic{Kind: topics.KindRepositoryState, Repository: id}, "")
		}
	}
	for id, r := range p.repositories {
		if r.until == 0 || now.UnixMilli() < r.until {
			continue
		}
		v := health.Judge(r.facts, now)
		if r.until = v.Until; r.until > 0 && r.until <= now.UnixMilli() {
			r.until = now.Add(time.Second).UnixMilli()
		}
		p.repositories[id] = r
		s := topics.RepositoryState{
			ID:          id,
			Name:        r.facts.Name,
			Health:      string(v.Word),
			Problem:     v.Word != health.Healthy && v.Word != health.NeverLookedAt,
			Reason:      v.Reason,
			Cause:       v.Cause,
			Since:       rfc3339(v.Since),
			StoredBytes: r.figures.StoredBytes,
			MeasuredAt:  rfc3339(r.figures.MeasuredAt),
			Snapshots:   r.figures.Snapshots,
			LastCheck:   rfc3339(r.facts.CheckedAt),
			CheckErrors: r.figures.CheckErrors,
			LastPrune:   rfc3339(r.figures.PrunedAt),
			Locks:       len(r.facts.Locks),
		}
		p.say(topics.Topic{Kind: topics.KindRepositoryState, Repository: id}, string(topics.Encode(s)))
	}
}

package metrics

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// A repository is what is told of one.
type repository struct {
	looks.Facts
	store.Figures
	health.Verdict
}

func (r *repository) id() string { return string(r.Facts.Repository) }

// A repositoryFamily writes the lines of a repository.
type repositoryFamily struct {
	Family
	put func(l *lines, r *repository)
}

var onRepository = []string{"repository"}

var repositoryFamilies = []repositoryFamily{
	{Family{"repository_info", Gauge, []string{"repository", "name", "backend"},
		"1; what a repository is called, and the kind of its storage: local, rest, s3, sftp and so on"}, func(l *lines, r *repository) {
		l.put(1, r.id(), r.Name, location.Scheme(r.Location))
	}},
	{Family{"repository_health", Gauge, []string{"repository", "health"}, "1 for how the repository is, in one word of docs/STATUS.md"},
		func(l *lines, r *repository) { l.put(1, r.id(), string(r.Word)) }},
	{Family{"repository_size_bytes", Gauge, onRepository, "What it takes where it is stored, as last measured; absent until it is"},
		func(l *lines, r *repository) {
			if r.MeasuredAt > 0 {
				l.put(r.StoredBytes, r.id())
			}
		}},
	{Family{"repository_snapshots", Gauge, onRepository, "Snapshots in it, those of others too"},
		func(l *lines, r *repository) { l.put(int64(r.Snapshots), r.id()) }},
	{Family{"repository_last_check_timestamp_seconds", Gauge, onRepository, "When it was last checked; absent if it never was"},
		func(l *lines, r *repository) { l.moment(r.CheckedAt, r.id()) }},
	{Family{"repository_last_prune_timestamp_seconds", Gauge, onRepository, "When it was last pruned; absent if it never was"},
		func(l *lines, r *repository) { l.moment(r.PrunedAt, r.id()) }},
	{Family{"repository_locks", Gauge, onRepository, "Locks in it, as last listed; absent until they are"}, func(l *lines, r *repository) {
		if r.LocksAt > 0 {
			l.put(int64(len(r.Locks)), r.id())
		}
	}},
}

// repositories keeps what was read of them last, and what was written.
type repositories struct {
	since func(ctx context.Context, mark int64) (store.RepositoriesChange, error)

	mark  int64 // of what was read
	whole time.Time
	list  map[topics.RepositoryID]*repository
	parts []*part // by family
}

// wholeEvery is how often all of them are read, whatever changed.
const wholeEvery = time.Hour

// update reads those that changed. If that fails, they are as they were read before.
func (r *repositories) update(ctx context.Context, now time.Time) error {
	mark := r.mark
	if since := now.Sub(r.whole); since >= wholeEvery || since < 0 {
		mark = -1
	}
	c, err := r.since(ctx, mark)
	if err != nil {
		return err
	}
	r.mark = c.Mark
	if c.All {
		r.whole, r.list = now, make(map[topics.RepositoryID]*repository, len(c.Looks))
	}
	for _, id := range c.Changed {
		delete(r.list, id)
	}
	for _, f := range c.Looks {
		r.list[f.Repository] = &repository{Facts: f, Figures: c.Figures[f.Repository]}
	}
	return nil
}

// write writes how all of them are now, by family. What reads as before stays the same
// part.
func (r *repositories) write(now time.Time) []*part {
	sorted := make([]*repository, 0, len(r.list))
	for _, one := range r.list {
		if one.Verdict.Word == "" || one.Until > 0 && one.Until <= now.UnixMilli() {
			one.Verdict = health.Judge(one.Facts, now)
		}
		sorted = append(sorted, one)
	}
	slices.SortFunc(sorted, func(a, b *repository) int {
		return strings.Compare(string(a.Facts.Repository), string(b.Facts.Repository))
	})
	if r.parts == nil {
		r.parts = make([]*part, len(repositoryFamilies))
	}
	for i, f := range repositoryFamilies {
		l := lines{}
		l.of(f.Family)
		for _, one := range sorted {
			f.put(&l, one)
		}
		if r.parts[i] == nil || !bytes.Equal(r.parts[i].text, l.b) {
			r.parts[i] = &part{text: l.b}
		}
	}
	return r.parts
}

package snapshots

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// Few is up to how many repositories each is looked through for what a snapshot was copied
// from. Of more, it is those that were copied into the same one, and those that have one of
// some snapshots that copies were made of.
const Few = 20

// probes is how often Sources looks for a snapshot in a repository.
const probes = 2000

// Sources lists the repositories that snapshots of one may have been copied from. originals
// are what copies in it say they were made of.
func Sources(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, originals []string) (ids column.List, err error) {
	var all int
	if err := sqlx.GetContext(ctx, q, &all, `SELECT count(*) FROM repositories`); err != nil {
		return nil, err
	}
	some, err := column.List(originals[:min(len(originals), max(2, probes/max(all, 1)))]).Value()
	if err != nil {
		return nil, err
	}
	return ids, sqlx.SelectContext(ctx, q, (*[]string)(&ids), `SELECT id FROM repositories WHERE id <> $1 AND ($2
		OR id IN (SELECT repository FROM mirrors WHERE target = $1)
		OR id IN (SELECT repository FROM jobs INDEXED BY jobs_into WHERE other = $1 AND other <> '')
		OR EXISTS (SELECT 1 FROM json_each($3) i CROSS JOIN snapshots o ON o.repository = repositories.id AND o.id = i.value))
		ORDER BY id`, repository, all <= Few, some)
}

// Targets lists the repositories that snapshots of one may have been copied into, as far as
// that is known before they are listed.
func Targets(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (ids column.List, err error) {
	return ids, sqlx.SelectContext(ctx, q, (*[]string)(&ids), `SELECT id FROM repositories WHERE id <> $1 AND (
		id IN (SELECT target FROM mirrors WHERE repository = $1)
		OR id IN (SELECT other FROM jobs WHERE repository = $1 AND kind = 'copy' AND other <> '')
		OR (SELECT count(*) FROM repositories) <= $2) ORDER BY id`, repository, Few)
}

// SameAs is the condition that c holds the very same as o: whoever can write to a repository
// can write into a snapshot of which one it is a copy, but not forge that.
const SameAs = `o.tree <> '' AND o.tree = c.tree AND o.time = c.time AND o.hostname = c.hostname AND o.paths = c.paths`

// adopt gives those of some snapshots that are nobody's, and were copied from another
// repository of ours, the job, the host and the source group of the one that they are copies
// of. Nobody can claim those by adding to a repository: a copy has the same tree, time, paths
// and host name, and so the same content, as the snapshot that a job of ours made. One that
// says it was made of a snapshot of the same repository may rather be to take that one's
// place, which is known once all is listed; they are left out unless all is.
//
// Of several copies of one snapshot the first counts and the others stay nobody's: else whoever
// can add some would have the rules keep those, and nothing that is older.
func (p places) adopt(ids, originals []string, all bool) error {
	if len(ids) == 0 {
		return nil
	}
	from, err := Sources(p.ctx, p.tx, p.repository, originals)
	if err != nil || len(from) == 0 {
		return err
	}
	list, err := column.List(ids).Value()
	if err != nil {
		return err
	}
	taken := map[int64]bool{}
	for _, which := range []string{`o.id = c.original`, `o.original = c.original AND o.original <> ''`} { // an index each
		var pairs []struct {
			Copy int64 `db:"copy_row"`
			Of   int64 `db:"of_row"`
		}
		// The order of the joins is the one in which each row is found by an index.
		if err := sqlx.SelectContext(p.ctx, p.tx, &pairs, `SELECT c.rowid AS copy_row, min(o.rowid) AS of_row FROM json_each($1) i
			CROSS JOIN snapshots c ON c.repository = $2 AND c.id = i.value CROSS JOIN json_each($3) r
			CROSS JOIN snapshots o ON o.repository = r.value AND `+which+`
			WHERE c.gone_at = 0 AND c.job = '' AND c.original <> '' AND o.job <> '' AND o.copied_from = '' AND `+SameAs+`
				AND ($4 OR NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.repository = $2 AND s.id = c.original))
				AND NOT EXISTS (SELECT 1 FROM snapshots d WHERE d.repository = $2 AND d.original <> ''
					AND d.original IN (o.id, o.original) AND d.gone_at = 0 AND d.job = o.job AND d.copied_from <> '' AND d.time = o.time)
			GROUP BY c.rowid ORDER BY c.rowid`, list, p.repository, from, all); err != nil {
			return fmt.Errorf("what snapshots were copied from: %w", err)
		}
		for _, x := range pairs {
			if taken[x.Of] {
				continue
			}
			taken[x.Of] = true
			if _, err := p.tx.ExecContext(p.ctx, `UPDATE snapshots SET (host, job, source_group, requested_by, queued_at, begun_at, ended_at,
				state, schedule, slot, files, bytes, told, noted_at, imported, collapsed, copied_from) = (SELECT o.host, o.job, o.source_group,
				o.requested_by, o.queued_at, o.begun_at, o.ended_at, o.state, o.schedule, o.slot, o.files, o.bytes, o.told, o.noted_at, o.imported,
				max(o.collapsed, 0), o.repository FROM snapshots o WHERE o.rowid = $1) WHERE rowid = $2`, x.Of, x.Copy); err != nil {
				return err
			}
		}
	}
	return nil
}

package store

import (
	"context"
	"strconv"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
)

// Kins lists what a repository holds that no job of ours made and nobody took in.
func (s *Store) Kins(ctx context.Context, id topics.RepositoryID) ([]imports.Kin, error) {
	list, err := imports.Kins(ctx, s.r, id, s.Now())
	return list, ours(err)
}

// FirstBackups says when the first backup of ours of each source group into a repository
// was made.
func (s *Store) FirstBackups(ctx context.Context, id topics.RepositoryID) (map[topics.SourceGroupID]int64, error) {
	return imports.Firsts(ctx, s.r, id)
}

// Imports lists what was taken in to a repository, the last one first, and what each
// consists of.
func (s *Store) Imports(ctx context.Context, id topics.RepositoryID) ([]imports.Import, []imports.Row, error) {
	return imports.Of(ctx, s.r, id)
}

// Import gives snapshots that no job of ours made to source groups, and says how many to
// whom. It is an error of the package imports if they are others by now.
func (s *Store) Import(ctx context.Context, actor, id string, repository topics.RepositoryID, choices []imports.Choice) (
	rows []imports.Row, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := inCare(ctx, tx, repository); err != nil {
			return err
		}
		if rows, err = imports.Add(ctx, tx, imports.Import{ID: id, Repository: repository, At: s.Now(), By: actor}, choices); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "snapshots.imported", string(repository), "import "+id+": "+imports.Said(rows, func(r imports.Row) string {
			return "source group " + nameIn(ctx, tx, "source_groups", string(r.Group)) + " of host " + nameIn(ctx, tx, "hosts", string(r.Host))
		}))
	})
	return rows, err
}

// UndoImport gives what an import took in back to nobody, and returns the hosts whose it was.
func (s *Store) UndoImport(ctx context.Context, actor string, repository topics.RepositoryID, id string) (
	hosts []topics.HostID, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if hosts, err = all[topics.HostID](ctx, tx, `SELECT DISTINCT host FROM import_rows WHERE import_id = $1 ORDER BY host`, id); err != nil {
			return err
		}
		n, err := imports.Undo(ctx, tx, repository, id, actor, s.Now())
		if err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "snapshots.import_undone", string(repository),
			"import "+id+": "+strconv.Itoa(n)+" snapshots are nobody's again")
	})
	return hosts, err
}

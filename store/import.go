package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

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

// importStep is how long a step of an import holds the database before others may write.
const importStep = 100 * time.Millisecond

// Import gives snapshots that no job of ours made to source groups, and says how many to
// whom. It is an error of the package imports if they are others by now. Once it is decided
// it is done, in steps: whatever interrupts them, FinishImports goes on.
func (s *Store) Import(ctx context.Context, actor, id string, repository topics.RepositoryID, choices []imports.Choice) (
	[]imports.Row, error) {
	rows, err := s.beginImport(ctx, actor, id, repository, choices)
	if err == nil {
		err = s.finishImport(context.WithoutCancel(ctx), id)
	}
	return rows, err
}

// beginImport decides an import: nothing of it is done yet.
func (s *Store) beginImport(ctx context.Context, actor, id string, repository topics.RepositoryID, choices []imports.Choice) (
	[]imports.Row, error) {
	p, err := imports.PlanOf(ctx, s.r, imports.Import{ID: id, Repository: repository, At: s.Now(), By: actor}, choices)
	if err != nil {
		return nil, ours(err)
	}
	return p.Rows, s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := inCare(ctx, tx, repository); err != nil {
			return err
		}
		if err := imports.Begin(ctx, tx, p); err != nil {
			return err
		}
		whose := func(r imports.Row) string {
			return "source group " + nameIn(ctx, tx, "source_groups", string(r.Group)) + " of host " + nameIn(ctx, tx, "hosts", string(r.Host))
		}
		return s.audit(ctx, tx, actor, "snapshots.imported", string(repository), "import "+id+": "+imports.Said(p.Rows, whose))
	})
}

// finishImport does what an import has in hand, a step at a time.
func (s *Store) finishImport(ctx context.Context, id string) error {
	for done := false; !done; {
		began := time.Now()
		if err := s.tx(ctx, func(tx *sqlx.Tx) (err error) {
			done, err = imports.Step(ctx, tx, id, func() bool { return time.Since(began) > importStep })
			return err
		}); err != nil {
			return fmt.Errorf("go on with import %s: %w", id, err)
		}
	}
	return nil
}

// FinishImports does what imports still have in hand, of a repository or of all if none is
// named: who began that was interrupted. It returns how many it went on with.
func (s *Store) FinishImports(ctx context.Context, repository topics.RepositoryID) (n int, err error) {
	ids, err := imports.InHand(ctx, s.r, repository)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := s.finishImport(ctx, id); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// UndoImport gives what an import took in back to nobody, and returns the hosts whose it was.
// Once it is decided it is done, in steps, as Import is.
func (s *Store) UndoImport(ctx context.Context, actor string, repository topics.RepositoryID, id string) (
	hosts []topics.HostID, err error) {
	if hosts, err = s.beginUndo(ctx, actor, repository, id); err == nil {
		err = s.finishImport(context.WithoutCancel(ctx), id)
	}
	return hosts, err
}

func (s *Store) beginUndo(ctx context.Context, actor string, repository topics.RepositoryID, id string) (hosts []topics.HostID, err error) {
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

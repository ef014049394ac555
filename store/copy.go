package store

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/copies"
	"github.com/restic-manager/restic-manager/store/inspect"
	"github.com/restic-manager/restic-manager/store/mark"
	"github.com/restic-manager/restic-manager/store/migrations"
	"github.com/restic-manager/restic-manager/store/restored"
)

// Mark returns how far the database has come.
func (s *Store) Mark(ctx context.Context) (mark.Mark, error) { return mark.Of(ctx, s.r, s.Now()) }

// MarkFile is where the mark is kept.
func (s *Store) MarkFile() string { return s.mark }

// WriteMark writes down how far the database has come.
func (s *Store) WriteMark(ctx context.Context) (mark.Mark, error) {
	m, err := s.Mark(ctx)
	if err != nil {
		return m, err
	}
	return m, m.Write(s.mark)
}

// markFirst writes the mark if there is one user: without it, a database that loses all
// that was written so far would have a stranger make the first account. That it cannot
// be written is upkeep's to say.
func (s *Store) markFirst(ctx context.Context) error {
	n, err := get[int](ctx, s.r, `SELECT count(*) FROM users`)
	if err == nil && n == 1 {
		_, _ = s.WriteMark(ctx)
	}
	return err
}

// Served notes that a version of the program serves this database, so that an older one
// can name it.
func (s *Store) Served(ctx context.Context, version string) error {
	_, err := s.w.ExecContext(ctx, `INSERT INTO served (version, schema, first_at, last_at) VALUES ($1, $2, $3, $3)
		ON CONFLICT (version, schema) DO UPDATE SET last_at = excluded.last_at`, version, migrations.Newest(), s.Now())
	return err
}

// acceptRollback notes that the database has lost its end, which is as if it were restored
// from a copy made then: see [restored.Begin]. The administrator who was added first can
// sign in and is asked about the others.
func (s *Store) acceptRollback(ctx context.Context, found inspect.State) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		last, err := get[int64](ctx, tx, `SELECT coalesce(max(at), 0) FROM audit`)
		if err != nil {
			return err
		}
		admins, err := all[string](ctx, tx, `SELECT id FROM users WHERE role = $1 AND disabled_at = 0 ORDER BY created_at, id LIMIT 1`, Admin)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE installation SET id = $1, epoch = max(epoch, $2)`,
			found.Mark.Database, found.Mark.Epoch); err != nil {
			return err
		}
		p, err := restored.Begin(ctx, tx, s.Now(), last)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE users SET disabled_at = $1 WHERE disabled_at = 0`, s.Now()); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, "plane", "database.rollback_accepted", fmt.Sprint(p.Epoch), found.Lost.Error()); err != nil {
			return err
		}
		for _, id := range admins {
			if err := s.answer(ctx, tx, "plane", restored.Question{Kind: restored.User, ID: id}, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// Copy makes a copy of the database in its directory, and keeps the newest n of its
// kind, or fewer if the disk is to have spare bytes left. Nobody waits for it who reads or
// writes.
func (s *Store) Copy(ctx context.Context, kind copies.Kind, n int, spare uint64) (copies.Copy, error) {
	if spare > 0 {
		if _, err := copies.Fewer(ctx, s.r, s.dir, kind, spare); err != nil {
			return copies.Copy{}, err
		}
	}
	c, err := copies.Make(ctx, s.r, s.dir, kind, "", s.now())
	if err == nil {
		_, err = copies.Keep(s.dir, kind, n)
	}
	return c, err
}

// CopyInto makes a copy of the database as a file that is not there yet.
func (s *Store) CopyInto(ctx context.Context, path string) error { return copies.Into(ctx, s.r, path) }

// Check looks for damage in the whole database while others use it, in the indexes too
// if whole is set. It returns what it found, and says in words if even that cannot be
// read.
func (s *Store) Check(ctx context.Context, whole bool) ([]string, error) {
	look := inspect.Quick
	if whole {
		look = inspect.Whole
	}
	found, err := look(ctx, s.r)
	if err != nil {
		return nil, inspect.Words(err, s.dir, s.path())
	}
	return found, nil
}

// Damage says what to do about what Check found.
func (s *Store) Damage(found []string) error { return inspect.Damage(s.dir, s.path(), found) }

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

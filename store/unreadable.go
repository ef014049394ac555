package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// An UnreadableError says that secrets of one repository cannot be read, while the key is
// the right one: they are damaged, were sealed with a data key that is gone, or are those of
// another row. Whatever does not need them goes on; entering them again mends it.
type UnreadableError struct {
	Repository topics.RepositoryID
	Name       string
	Parts      []string // columns of [looks.Parts]
	Err        error    // why the last of them cannot be read
}

// Error implements error.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("the %s of the repository %s cannot be read: enter it again (%v)",
		looks.PartWords(e.Parts), e.Name, e.Err)
}

// Say says it in a sentence, without the error.
func (e *UnreadableError) Say() string {
	return "The " + looks.PartWords(e.Parts) + " of the repository " + e.Name + " cannot be read. Enter it again."
}

// Unwrap returns why.
func (e *UnreadableError) Unwrap() error { return e.Err }

// Everyday reports whether jobs need what cannot be read; else only the keeper's do.
func (e *UnreadableError) Everyday() bool {
	return slices.ContainsFunc(e.Parts, func(part string) bool { return part != "maintenance" })
}

// readable reports whether an error is none, or is of secrets that cannot be read alone.
func readable(err error) bool { return err == nil || errors.As(err, new(*UnreadableError)) }

// whole returns why a secret could not be opened, unless that is the secret's own fault:
// nil then. It is not if the data key that seals now cannot be opened, as nothing can be
// read or entered until the right master key is there.
func (k ring) whole(ctx context.Context, q sqlx.QueryerContext, failed error) error {
	if !errors.Is(failed, keyring.ErrKey) {
		return failed
	}
	id, err := k.current(ctx, q)
	if err == nil {
		_, err = k.key(ctx, q, id)
	}
	return err
}

// keep puts back what a row holds of parts that were not set anew.
func (a *sealedAccess) keep(ctx context.Context, tx *sqlx.Tx, id topics.RepositoryID, parts []string) error {
	if len(parts) == 0 {
		return nil
	}
	was, err := get[sealedAccess](ctx, tx, `SELECT url, password, env, maintenance, files FROM repositories WHERE id = $1`, id)
	for _, p := range parts {
		switch p {
		case "url":
			a.URL = was.URL
		case "password":
			a.Password = was.Password
		case "env":
			a.Env = was.Env
		case "maintenance":
			a.Maintenance = was.Maintenance
		case "files":
			a.Files = was.Files
		}
	}
	return err
}

// unread notes for each repository what of its secrets cannot be read.
func (s *Store) unread(ctx context.Context, tx *sqlx.Tx, facts []looks.Facts) error {
	for i := range facts {
		a, err := s.openAccess(ctx, tx, facts[i].Repository)
		if !readable(err) {
			return err
		}
		facts[i].Unread = a.Unread
	}
	return nil
}

// QueuedUnreadable lists the jobs that wait here for a repository with secrets that cannot
// be read, with the error that says so.
func (s *Store) QueuedUnreadable(ctx context.Context) (map[topics.JobID]*UnreadableError, error) {
	type row struct {
		ID         topics.JobID        `db:"id"`
		Repository topics.RepositoryID `db:"repository"`
	}
	rows, err := all[row](ctx, s.r, `SELECT id, repository FROM jobs WHERE finished_at = 0 AND state = 'queued' AND repository <> ''`)
	if err != nil {
		return nil, err
	}
	out, seen := map[topics.JobID]*UnreadableError{}, map[topics.RepositoryID]*UnreadableError{}
	for _, j := range rows {
		bad, looked := seen[j.Repository]
		if !looked {
			_, err := s.openAccess(ctx, s.r, j.Repository)
			if !errors.As(err, &bad) && err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
			seen[j.Repository] = bad
		}
		if bad != nil {
			out[j.ID] = bad
		}
	}
	return out, nil
}

package store

import (
	"context"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/topics"
)

// A Key opens a repository. Keys of the first listing are trusted; later ones are not
// until an administrator trusts them. One that our password opens is ours anyway, as
// long as listings say so.
type Key struct {
	Repository topics.RepositoryID `db:"repository"`
	ID         string              `db:"id"`
	Username   string              `db:"username"`
	Hostname   string              `db:"hostname"`
	Created    int64               `db:"created"` // by the clock of the host that made it
	FirstSeen  int64               `db:"first_seen"`
	Trusted    bool                `db:"trusted"`
	Opened     bool                `db:"opened"` // our password opened it in the last listing
}

// Ours reports whether the key is one of ours.
func (k Key) Ours() bool { return k.Trusted || k.Opened }

// Keys lists a repository's keys, those that are not ours first.
func (s *Store) Keys(ctx context.Context, id topics.RepositoryID) ([]Key, error) {
	return all[Key](ctx, s.r, `SELECT * FROM repository_keys WHERE repository = $1 ORDER BY trusted OR opened, first_seen, id`, id)
}

// ForeignKeys counts the keys by repository that are not ours.
func (s *Store) ForeignKeys(ctx context.Context) (map[topics.RepositoryID]int, error) {
	type count struct {
		Repository topics.RepositoryID `db:"repository"`
		N          int                 `db:"n"`
	}
	rows, err := all[count](ctx, s.r, `SELECT repository, count(*) AS n FROM repository_keys
		WHERE trusted = 0 AND opened = 0 GROUP BY repository`)
	counts := make(map[topics.RepositoryID]int, len(rows))
	for _, c := range rows {
		counts[c.Repository] = c.N
	}
	return counts, err
}

// TrustKey marks a key as trusted.
func (s *Store) TrustKey(ctx context.Context, actor string, repository topics.RepositoryID, key string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		if err := change(ctx, tx, `UPDATE repository_keys SET trusted = 1 WHERE repository = $1 AND id = $2`, repository, key); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "repository.key_trusted", string(repository), key)
	})
}

// keys stores a complete listing of a repository's keys, made by job j.
func keys(ctx context.Context, tx *sqlx.Tx, j Job, found []topics.Key, at int64) error {
	r, err := get[Repository](ctx, tx, `SELECT `+repositoryColumns+` FROM repositories WHERE id = $1`, j.Repository)
	if err != nil {
		return err
	}
	rows, err := all[Key](ctx, tx, `SELECT * FROM repository_keys WHERE repository = $1`, j.Repository)
	if err != nil {
		return err
	}
	had, here := map[string]Key{}, map[string]bool{}
	for _, k := range rows {
		had[k.ID] = k
	}
	hint, opened := r.KeyHint, ""
	for _, t := range found {
		if !hexDigits.MatchString(t.ID) || here[t.ID] {
			continue
		}
		here[t.ID] = true
		k, old := had[t.ID]
		if !old {
			k = Key{
				Repository: j.Repository,
				ID:         t.ID,
				Username:   t.User,
				Hostname:   t.Host,
				Created:    t.Created,
				FirstSeen:  at,
				Trusted:    r.KeysAt == 0,
			}
			if _, err := tx.NamedExecContext(ctx, `INSERT INTO repository_keys (repository, id, username, hostname, created, first_seen, trusted)
				VALUES (:repository, :id, :username, :hostname, :created, :first_seen, :trusted)`, k); err != nil {
				return err
			}
		}
		if t.Current && (opened == "" || k.Trusted) { // restic says so of one
			opened = t.ID
			// A trusted one is not given up for a new one.
			if k.Trusted || !slices.ContainsFunc(found, func(o topics.Key) bool { return o.ID == r.KeyHint }) {
				hint = t.ID
			}
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE repository_keys SET opened = (id = $1) WHERE repository = $2 AND opened <> (id = $1)`,
		opened, j.Repository); err != nil {
		return err
	}
	for _, k := range rows {
		if here[k.ID] {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM repository_keys WHERE repository = $1 AND id = $2`, j.Repository, k.ID); err != nil {
			return err
		}
	}
	return change(ctx, tx, `UPDATE repositories SET keys_at = $1, key_hint = $2 WHERE id = $3`, at, hint, j.Repository)
}

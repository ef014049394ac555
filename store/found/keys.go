package found

import (
	"context"
	"regexp"
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
	Place      topics.HostID       `db:"place"` // the host at whose place it is; "" if all share one
	Username   string              `db:"username"`
	Hostname   string              `db:"hostname"`
	Created    int64               `db:"created"` // by the clock of the host that made it
	FirstSeen  int64               `db:"first_seen"`
	Trusted    bool                `db:"trusted"`
	Opened     bool                `db:"opened"` // our password opened it in the last listing
}

// Ours reports whether the key is one of ours.
func (k Key) Ours() bool { return k.Trusted || k.Opened }

var hexDigits = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// Keys stores a complete listing of a repository's keys, at the place of a host unless all
// share one. It says nothing of the keys at other places.
func Keys(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, place topics.HostID, found []topics.Key, at int64) error {
	var r struct {
		KeysAt  int64  `db:"keys_at"`
		KeyHint string `db:"key_hint"`
	}
	if err := tx.GetContext(ctx, &r, `SELECT keys_at, key_hint FROM repositories WHERE id = $1`, repository); err != nil {
		return err
	}
	var rows []Key
	if err := tx.SelectContext(ctx, &rows, `SELECT * FROM repository_keys WHERE `+atPlace(1, 2), repository, place); err != nil {
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
				Repository: repository,
				ID:         t.ID,
				Place:      place,
				Username:   t.User,
				Hostname:   t.Host,
				Created:    t.Created,
				FirstSeen:  at,
				Trusted:    r.KeysAt == 0 || place != "" && len(rows) == 0,
			}
			if _, err := tx.NamedExecContext(ctx, `INSERT INTO repository_keys (repository, id, place, username, hostname, created, first_seen,
				trusted) VALUES (:repository, :id, :place, :username, :hostname, :created, :first_seen, :trusted)
				ON CONFLICT (repository, id) DO UPDATE SET place = excluded.place`, k); err != nil {
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
	if _, err := tx.ExecContext(ctx, `UPDATE repository_keys SET opened = (id = $1), place = $2 WHERE (opened <> (id = $1) OR place <> $2)
		AND `+atPlace(3, 2), opened, place, repository); err != nil {
		return err
	}
	for _, k := range rows {
		if here[k.ID] {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM repository_keys WHERE repository = $1 AND id = $2`, repository, k.ID); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET keys_at = $1, key_hint = $2 WHERE id = $3`, at, hint, repository)
	return err
}

// Trust notes that a key is one of ours, by the beginning of its ID: somebody here had it
// added.
func Trust(ctx context.Context, tx *sqlx.Tx, repository topics.RepositoryID, id string) error {
	if !hexDigits.MatchString(id) {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE repository_keys SET trusted = 1 WHERE repository = $1 AND id >= $2 AND id < $3`, repository, id,
		id+"g")
	return err
}

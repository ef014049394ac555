package inspect

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// A Survey is what a database of this version says of the installation, read without its
// key and without writing. No secret is in it.
type Survey struct {
	Damage  []string         // as Quick found it
	Tables  map[string]int64 // rows of each
	Hosts   []SurveyedHost   // in care
	Dial    string           // at which address agents reach the control plane, "" if nobody said
	Public  string           // where people find the pages, "" if nobody said
	Uplink  string           // the user's own broker, without its user; "" is none
	Left    int64            // brokers that were left and are still to be cleared
	Locks   []SurveyedLock   // on repositories, that no process holds any more
	Audited int64            // when something was last written into the audit log
	Keys    []SurveyedKey
}

// A SurveyedHost is a host as its agent last told of itself.
type SurveyedHost struct {
	ID       string `db:"id"`
	Name     string `db:"name"`
	OS       string `db:"os"`
	Arch     string `db:"arch"`
	Agent    string `db:"agent_version"`
	Restic   string `db:"restic_version"`
	LastSeen int64  `db:"last_seen"`
}

// A SurveyedLock is a lock on a repository.
type SurveyedLock struct {
	Repository string `db:"repository"`
	Host       string `db:"hostname"`
	Time       int64  `db:"time"`
}

// A SurveyedKey is a data key as it is sealed with a master key.
type SurveyedKey struct {
	ID      string `db:"id" json:"-"`
	Master  string `db:"master" json:"-"`
	Wrapped []byte `db:"wrapped" json:"-"`
}

// Survey reads a database that Inside found to be of this version. stale is before when a
// lock whose process nobody knows of counts as left over.
func (f Files) Survey(ctx context.Context, stale int64) (v Survey, err error) {
	db, err := f.open()
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables []string
	if err := db.SelectContext(ctx, &tables, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
		ORDER BY name`); err != nil {
		return v, Words(err, f.Data, f.Database)
	}
	v.Tables = map[string]int64{}
	for _, t := range tables {
		var n int64
		if err := db.GetContext(ctx, &n, `SELECT count(*) FROM "`+t+`"`); err != nil {
			return v, Words(fmt.Errorf("count %s: %w", t, err), f.Data, f.Database)
		}
		v.Tables[t] = n
	}
	if err := f.said(ctx, db, &v, stale); err != nil {
		return v, Words(err, f.Data, f.Database)
	}
	if v.Damage, err = Quick(ctx, db); err != nil {
		return v, Words(err, f.Data, f.Database)
	}
	return v, nil
}

func (f Files) said(ctx context.Context, db *sqlx.DB, v *Survey, stale int64) error {
	if err := db.SelectContext(ctx, &v.Hosts, `SELECT id, name, os, arch, agent_version, restic_version, last_seen FROM hosts
		WHERE removed_at = 0 ORDER BY id`); err != nil {
		return err
	}
	if err := db.SelectContext(ctx, &v.Locks, `SELECT r.name AS repository, l.hostname, l.time FROM repository_locks l
		JOIN repositories r ON r.id = l.repository WHERE l.alive = 0 OR l.alive IS NULL AND l.time < $1 ORDER BY l.time LIMIT 20`,
		stale); err != nil {
		return err
	}
	if err := db.SelectContext(ctx, &v.Keys, `SELECT id, master, wrapped FROM data_keys`); err != nil {
		return err
	}
	for _, one := range []struct {
		into any
		ask  string
	}{
		{&v.Dial, `SELECT coalesce(max(CASE WHEN flag <> '' THEN flag ELSE address END), '') FROM agents_address`},
		{&v.Public, `SELECT coalesce(max(json_extract(body, '$')), '') FROM alert_settings WHERE name = 'public-url'`},
		{&v.Uplink, `SELECT coalesce(max(url), '') FROM uplink`},
		{&v.Left, `SELECT count(*) FROM uplink_places WHERE left_at > 0`},
		{&v.Audited, `SELECT coalesce(max(at), 0) FROM audit`},
	} {
		if err := db.GetContext(ctx, one.into, one.ask); err != nil {
			return err
		}
	}
	return nil
}

package places

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
)

// ReadyAt is the column that says when a repository was first found or made at the place
// of a job, 0 if it never was. Rows of places that do not fit the address any more are
// never ready.
const ReadyAt = `coalesce((SELECT max(p.ready_at) FROM places p WHERE p.repository = jobs.repository AND 
	p.host IN ('', CASE WHEN jobs.place <> '' THEN jobs.place ELSE jobs.host END)), 0) AS ready_at`

// OtherReadyAt is ReadyAt of the second repository of a job, which lies at the place of the
// job's host; 0 if it has none.
const OtherReadyAt = `coalesce((SELECT max(p.ready_at) FROM places p WHERE jobs.other <> '' AND p.repository = jobs.other AND
	p.host IN ('', jobs.host)), 0) AS other_ready_at`

// Where returns where a repository lies, as package protocol asks. Two addresses with
// the same text may be the same place, however they are spelt.
func Where(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (protocol.Place, error) {
	var address string
	if err := sqlx.GetContext(ctx, q, &address, `SELECT location FROM repositories WHERE id = $1`, repository); err != nil {
		return protocol.Place{}, err
	}
	return protocol.Place{Address: location.Coarse(address), Path: location.Scheme(address) == location.Local}, nil
}

// MakerOf says whether the host of a source group can make a repository on its behalf.
func MakerOf(ctx context.Context, q sqlx.QueryerContext, host topics.HostID, group topics.SourceGroupID) (protocol.Maker, error) {
	var h struct {
		Makes   bool                        `db:"makes"`
		Permits column.JSON[topics.Permits] `db:"permits"`
	}
	if err := sqlx.GetContext(ctx, q, &h, `SELECT makes, permits FROM hosts WHERE id = $1 AND removed_at = 0`, host); err != nil {
		return protocol.Maker{}, err
	}
	m := protocol.Maker{Old: !h.Makes, Inits: h.Permits.V.Allows(topics.InitJob)}
	var hooks column.JSON[topics.Hooks]
	err := sqlx.GetContext(ctx, q, &hooks, `SELECT hooks FROM source_groups WHERE id = $1`, group)
	if errors.Is(err, sql.ErrNoRows) {
		return m, nil
	}
	m.Before = hooks.V != nil && len(hooks.V.Before) > 0
	return m, err
}

// TryOf returns how often a host failed to make a repository.
func TryOf(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, host topics.HostID) (t protocol.Try, err error) {
	err = sqlx.GetContext(ctx, q, &t, `SELECT * FROM making_tries WHERE repository = $1 AND host = $2`, repository, host)
	if errors.Is(err, sql.ErrNoRows) {
		return protocol.Try{}, nil
	}
	return t, err
}

// PutTry stores a host's last try.
func PutTry(ctx context.Context, tx sqlx.ExtContext, t protocol.Try) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO making_tries (repository, host, job, attempts, failed_at, next_at)
		VALUES (:repository, :host, :job, :attempts, :failed_at, :next_at)
		ON CONFLICT (repository, host) DO UPDATE SET job = excluded.job, attempts = excluded.attempts, failed_at = excluded.failed_at,
			next_at = excluded.next_at`, t)
	return err
}

// Tries lists the tries that failed at places of a repository which are not ready, the
// last first.
func Tries(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) ([]protocol.Try, error) {
	rows := []protocol.Try{}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM making_tries WHERE repository = $1 ORDER BY failed_at DESC, host`,
		repository); err != nil {
		return nil, err
	}
	known, err := Of(ctx, q, repository)
	return slices.DeleteFunc(rows, func(t protocol.Try) bool {
		return slices.ContainsFunc(known, func(p Place) bool { return p.Ready() && (p.Host == "" || p.Host == t.Host) })
	}), err
}

// A Beginning is an init job that was sent.
type Beginning struct {
	Job  topics.JobID `db:"id"`
	Host string       `db:"name"`
}

// Begun returns the host that is at work making a repository, as far as we know, and its
// job; sql.ErrNoRows if none is.
func Begun(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (by Beginning, err error) {
	return by, sqlx.GetContext(ctx, q, &by, `SELECT j.id, coalesce(h.name, j.host) AS name FROM jobs j LEFT JOIN host_names h ON h.id = j.host
		WHERE j.repository = $1 AND j.kind = 'init' AND j.finished_at = 0 AND j.state <> 'queued' ORDER BY j.id LIMIT 1`, repository)
}

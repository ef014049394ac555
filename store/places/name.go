package places

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// A NameError says that a host has no name yet that {host} in an address could stand for.
type NameError struct {
	Repository topics.RepositoryID
	Host       topics.HostID
	Name       string // the one it was to have
	Used       string // the name of another host that has it there; "" if the name itself is unfit
}

// Error implements error.
func (e *NameError) Error() string {
	if e.Used != "" {
		return fmt.Sprintf("%q stands for the host %s in the repository's address already", e.Name, e.Used)
	}
	return fmt.Sprintf("%q cannot stand for a host in the repository's address", e.Name)
}

// ErrUsed says that a place has been used under its name, and keeps it.
var ErrUsed = errors.New("the host's place has its name already, and has been used")

// NameOf returns what {host} stands for at a host's place, "" if that is not settled yet.
func NameOf(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, host topics.HostID) (name string, err error) {
	err = sqlx.GetContext(ctx, q, &name, `SELECT name FROM places WHERE repository = $1 AND host = $2`, repository, host)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return name, err
}

// Fits returns a *NameError if a name cannot stand for a host in a repository's address:
// a file system may not tell capitals from small letters, so no two may differ in those
// alone.
func Fits(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, host topics.HostID, name string) error {
	if location.CheckName(name) != "" {
		return &NameError{Repository: repository, Host: host, Name: name}
	}
	var used string
	err := sqlx.GetContext(ctx, q, &used, `SELECT coalesce(h.name, p.host) FROM places p LEFT JOIN host_names h ON h.id = p.host
		WHERE p.repository = $1 AND p.host <> $2 AND lower(p.name) = lower($3) LIMIT 1`, repository, host, name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = &NameError{Repository: repository, Host: host, Name: name, Used: used}
	}
	return err
}

// Settle returns what {host} stands for at a host's place. At its first use that becomes
// the name which the host has then; what people call the host later changes nothing. It
// returns a *NameError if that name is unfit.
func Settle(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, host topics.HostID) (name string, err error) {
	if name, err = NameOf(ctx, tx, repository, host); err != nil || name != "" {
		return name, err
	}
	if err := sqlx.GetContext(ctx, tx, &name, `SELECT name FROM host_names WHERE id = $1`, host); err != nil {
		return "", err
	}
	if err := Fits(ctx, tx, repository, host, name); err != nil {
		return "", err
	}
	return name, put(ctx, tx, repository, host, name)
}

// SetName chooses what {host} stands for at a host's place. It returns ErrUsed once there
// is a repository at the place, or a job is about to look for one, and a *NameError if
// the name is unfit.
func SetName(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, host topics.HostID, name string) error {
	var used bool
	if err := sqlx.GetContext(ctx, tx, &used, `SELECT EXISTS (SELECT 1 FROM places WHERE repository = $1 AND host = $2 AND ready_at > 0)
		OR EXISTS (SELECT 1 FROM jobs WHERE finished_at = 0 AND state <> 'queued' AND repository = $1
			AND (place = $2 OR place = '' AND host = $2))`,
		repository, host); err != nil {
		return err
	}
	was, err := NameOf(ctx, tx, repository, host)
	if err != nil || was == name && name != "" {
		return err
	}
	if used && was != "" { // without a name its address was another one
		return ErrUsed
	}
	if err := Fits(ctx, tx, repository, host, name); err != nil {
		return err
	}
	return put(ctx, tx, repository, host, name)
}

func put(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, host topics.HostID, name string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO places (repository, host, name) VALUES ($1, $2, $3)
		ON CONFLICT (repository, host) DO UPDATE SET name = excluded.name`, repository, host, name)
	return err
}

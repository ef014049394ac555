package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/store/mirrors"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// A Mirror is that a repository is copied into another one.
type Mirror = mirrors.Mirror

// Mirrors lists the mirrors of repositories in care.
func (s *Store) Mirrors(ctx context.Context) ([]Mirror, error) { return mirrors.All(ctx, s.r) }

// Mirror returns the mirror of a repository, or ErrNotFound.
func (s *Store) Mirror(ctx context.Context, repository topics.RepositoryID) (Mirror, error) {
	m, err := mirrors.Of(ctx, s.r, repository)
	return m, ours(err)
}

// MirrorsInto lists the mirrors that a repository is the second one of.
func (s *Store) MirrorsInto(ctx context.Context, target topics.RepositoryID) ([]Mirror, error) {
	return mirrors.Into(ctx, s.r, target)
}

// PutMirror has a repository copied into another. Slots before now do not count.
func (s *Store) PutMirror(ctx context.Context, actor string, m Mirror) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		for _, id := range []topics.RepositoryID{m.Repository, m.Target} {
			if err := inCare(ctx, tx, id); err != nil {
				return err
			}
		}
		was, err := mirrors.Of(ctx, tx, m.Repository)
		if err = ignoreMissing(ours(err)); err != nil {
			return err
		}
		m.Since, m.Served = s.Now(), s.Now()
		if err := mirrors.Put(ctx, tx, m); err != nil {
			return fmt.Errorf("put the mirror of %s: %w", m.Repository, err)
		}
		var l changes.List
		name := func(table, id string) string {
			if id == "" {
				return ""
			}
			return nameIn(ctx, tx, table, id)
		}
		l.Text("to", name("repositories", string(was.Target)), name("repositories", string(m.Target)))
		l.Text("host", name("hosts", string(was.Host)), name("hosts", string(m.Host)))
		l.Text("cron", was.Cron, m.Cron)
		l.Text("zone", was.Zone, m.Zone)
		return s.audit(ctx, tx, actor, "mirror.saved", string(m.Repository), l.Of(""))
	})
}

// DropMirror has a repository not copied any more; ErrNotFound if it was not. What was
// copied stays.
func (s *Store) DropMirror(ctx context.Context, actor string, repository topics.RepositoryID) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		was, err := mirrors.Of(ctx, tx, repository)
		if err != nil {
			return ours(err)
		}
		if err := mirrors.Drop(ctx, tx, repository); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "mirror.removed", string(repository), "to "+nameIn(ctx, tx, "repositories", string(was.Target)))
	})
}

// PutMirrorServed stores how far the slots of a mirror are served.
func (s *Store) PutMirrorServed(ctx context.Context, m Mirror) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return mirrors.PutServed(ctx, tx, m) })
}

// MirrorLag reads what a mirror lacks.
func (s *Store) MirrorLag(ctx context.Context, m Mirror) (mirrors.Lag, error) {
	at, err := mirrored(ctx, s.r, m)
	if err != nil {
		return mirrors.Lag{}, err
	}
	return mirrors.LagOf(ctx, s.r, m, at)
}

// MirrorSelection returns the snapshots that a copy into a mirror is to name; see
// [mirrors.Selection]. Where hosts have places of their own, it is of the place of m.Host.
func (s *Store) MirrorSelection(ctx context.Context, m Mirror) (ids []string, nothing bool, err error) {
	address, err := get[string](ctx, s.r, `SELECT location FROM repositories WHERE id = $1`, m.Repository)
	if err != nil {
		return nil, false, err
	}
	return mirrors.Selection(ctx, s.r, m, places.Key(address, m.Host), topics.MaxPaths)
}

// mirrored returns the host at whose place the first repository is copied, "" where all
// share one: another host's path leads nowhere.
func mirrored(ctx context.Context, q sqlx.QueryerContext, m Mirror) (topics.HostID, error) {
	address, err := get[string](ctx, q, `SELECT location FROM repositories WHERE id = $1`, m.Repository)
	if err != nil || places.Shared(address) || strings.Contains(address, protocol.AnyHost) {
		return "", err
	}
	return m.Host, nil
}

// copied stores what the end of a copy says of its two repositories. Of a failure it says
// something of the one alone that it was about.
func (j journal) copied(job Job, at int64) error {
	c := topics.Copied{}
	if job.Result.V != nil && job.Result.V.Copy != nil {
		c = *job.Result.V.Copy
	}
	done := job.State == topics.Succeeded || job.State == topics.Warnings
	first, second := endOf(job, false), endOf(job, false)
	first.Result = nil // it writes nothing there
	second.Repository, second.Host = job.Other, job.Host
	for _, end := range []struct {
		looks.Ended
		side string
	}{{first, topics.CopyFrom}, {second, topics.CopyTo}} {
		if !done && c.Side != end.side {
			continue
		}
		if err := looks.Note(j.ctx, j.tx, end.Ended, at, j.s.Now()); err != nil {
			return err
		}
	}
	if done || c.Into != "" {
		if err := places.Found(j.ctx, j.tx, job.Other, job.Host, "", at); err != nil {
			return fmt.Errorf("second place of job %s: %w", job.ID, err)
		}
	}
	if c.Copied > 0 { // what came is nobody's until a listing says what it was copied from
		now := j.s.Now()
		list := Job{ID: topics.JobID(topics.NewID(time.UnixMilli(now))), Host: job.Host, Kind: topics.SnapshotsJob, Repository: job.Other,
			State: topics.Queued, RequestedBy: Plane, GivenBy: job.GivenBy, QueuedAt: now, NotAfter: now + makeWithin.Milliseconds()}
		if err := j.s.queue(j.ctx, j.tx, list); err != nil {
			return err
		}
	}
	good := done && c.Left == 0
	if good {
		var err error
		if good, err = j.all(job); err != nil {
			return fmt.Errorf("what the mirror of %s lacks: %w", job.Repository, err)
		}
	}
	return mirrors.Note(j.ctx, j.tx, mirrors.Copy{Job: job.ID, Repository: job.Repository, Into: job.Other, Host: job.Host,
		Good: good, OtherCuts: c.OtherCuts, At: at})
}

// all reports whether a copy was to bring all that a mirror lacked, and not some snapshots, or
// those of one place of several.
func (j journal) all(job Job) (bool, error) {
	m := Mirror{Repository: job.Repository, Target: job.Other, Host: job.Host}
	address, err := get[string](j.ctx, j.tx, `SELECT location FROM repositories WHERE id = $1`, m.Repository)
	if err != nil {
		return false, err
	}
	at, err := mirrored(j.ctx, j.tx, m)
	if err != nil {
		return false, err
	}
	lacking, err := mirrors.Lacking(j.ctx, j.tx, m, at)
	if err != nil {
		return false, err
	}
	var brought []string
	if o := job.Operation.V; o != nil {
		brought = o.Snapshots
	}
	if len(brought) == 0 { // all that is at its place
		if brought, err = mirrors.Lacking(j.ctx, j.tx, m, places.Key(address, job.Where())); err != nil {
			return false, err
		}
	}
	came := map[string]bool{}
	for _, id := range brought {
		came[id] = true
	}
	return !slices.ContainsFunc(lacking, func(id string) bool { return !came[id] }), nil
}

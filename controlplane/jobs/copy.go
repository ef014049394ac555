package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// Reasons to refuse a copy.
var (
	ErrItself   = errors.New("a repository is not copied into itself")
	ErrManyWays = errors.New("the address of the repository that snapshots are to be copied to has {host}, so it is one for each host")
	ErrNoSecond = errors.New("there is no such repository to copy to")
)

// SharedError refuses a copy between two repositories that restic cannot have open at once.
type SharedError = location.SharedError

// ErrNothingToCopy refuses a copy of all of which our own rules have removed every copy.
var ErrNothingToCopy = errors.New("every snapshot was copied there before, and removed there by its rules")

// ErrHollow refuses a copy of all out of a repository that counts as damaged. restic copies
// a snapshot whose data is not in the index any more, as after repair index, without a word:
// its copy would lack the same data, be taken for whole, and never be copied again.
var ErrHollow = errors.New("the repository that is to be copied counts as damaged")

// CopySelection returns a copy of all snapshots as it is asked for: it names them, if some
// have been forgotten in the second repository by its own rules, which would come back
// otherwise. It returns ErrNothingToCopy if that is so of all, and ErrHollow.
func (e *Engine) CopySelection(ctx context.Context, host topics.HostID, repository topics.RepositoryID, o topics.Operation) (
	topics.Operation, error) {
	if hollow, err := e.Store.DamagedAt(ctx, repository, host); err != nil || hollow {
		return o, cmp.Or(err, ErrHollow)
	}
	ids, nothing, err := e.Store.MirrorSelection(ctx, store.Mirror{Repository: repository, Target: topics.RepositoryID(o.To), Host: host})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return o, ErrNoRepository
	case err != nil:
		return o, err
	case nothing:
		return o, ErrNothingToCopy
	}
	o.Snapshots = ids
	return o, nil
}

// other returns the second repository of a job, as its host opens it.
func (e *Engine) other(ctx context.Context, j store.Job) (topics.Repository, error) {
	r, a, err := e.at(ctx, j.Other, j.Host)
	if err != nil {
		return topics.Repository{}, err
	}
	return access(r, a, j.Host, j.Kind), nil
}

// limitsOfCopy returns the strictest limits of the source groups that a copy's host has in
// its two repositories: it is the same line.
func (e *Engine) limitsOfCopy(ctx context.Context, j store.Job) (l topics.Limits, err error) {
	groups, err := e.Store.SourceGroups(ctx, j.Host)
	if err != nil {
		return l, fmt.Errorf("limits of a copy: %w", err)
	}
	for _, g := range groups {
		if g.Repository == j.Repository || g.Repository == j.Other {
			l = l.Strictest(g.Topic().Limits)
		}
	}
	return l, nil
}

// bothSFTP refuses a copy between two SFTP servers where the host's restic reaches one alone.
func (e *Engine) bothSFTP(ctx context.Context, h store.Host, order Order, to string) error {
	old := tooOld(h, since.SSHArgs)
	if old == nil || location.Scheme(to) != "sftp" {
		return nil
	}
	from, err := e.Store.Repository(ctx, order.Repository)
	if errors.Is(err, store.ErrNotFound) || err == nil && (location.Scheme(from.Location) != "sftp" || login(from.Location) == login(to)) {
		return nil // the first is looked for elsewhere
	} else if err != nil {
		return err
	}
	return old
}

// login is the server of an SFTP address and who we are there.
func login(address string) string {
	a, err := location.Parse(address)
	if err != nil {
		return ""
	}
	if u := a.URL(); u != nil {
		return u.User.Username() + "@" + u.Host
	}
	server, _, _ := strings.Cut(a.Rest(), ":")
	return server
}

// second returns why a host may not work in the second repository of a job, nil if it may,
// or if the job has none: what Permit asks of the first.
func (e *Engine) second(ctx context.Context, h store.Host, order Order) error {
	id := topics.RepositoryID(order.Operation.To)
	switch order.Kind {
	case topics.CopyJob:
	case topics.InitJob:
		if id = topics.RepositoryID(order.Operation.From); id == "" {
			return nil
		}
	default:
		return nil
	}
	if !h.Able(topics.CopiesSnapshots) {
		return &permits.OldAgent{Name: h.Name, What: "work in two repositories at once"}
	}
	r, err := e.Store.Repository(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && r.RemovedAt > 0 {
		return ErrNoSecond
	} else if err != nil {
		return err
	}
	switch {
	case id == order.Repository:
		return ErrItself
	case order.Kind == topics.CopyJob && location.PerHost(r.Location):
		return ErrManyWays
	}
	if err := e.bothSFTP(ctx, h, order, r.Location); err != nil {
		return err
	}
	if order.GivenBy == "" {
		if err := e.Has(ctx, h.ID, order.Kind, id, ""); err != nil {
			return err
		}
	}
	if err := e.Opens(ctx, h, order.Kind, id, h.ID); err != nil {
		return err
	}
	return e.together(ctx, h.ID, order, id)
}

// together returns a *location.SharedError if the host's restic cannot have both repositories of
// an order open at once, with the credentials that they have. What cannot be read is found out
// where it is needed.
func (e *Engine) together(ctx context.Context, host topics.HostID, order Order, second topics.RepositoryID) error {
	var addresses [2]location.Address
	var logins [2]location.Login[topics.Secret]
	for i, of := range []struct {
		id    topics.RepositoryID
		place topics.HostID
	}{{order.Repository, cmp.Or(order.Place, host)}, {second, host}} {
		r, a, err := e.at(ctx, of.id, of.place)
		if errors.As(err, new(*store.UnreadableError)) || errors.As(err, new(*places.NameError)) || errors.Is(err, store.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		opened := access(r, a, host, order.Kind)
		if addresses[i], err = location.Parse(opened.URL.Reveal()); err != nil {
			return nil // it was typed before anybody looked
		}
		logins[i] = location.Login[topics.Secret]{Env: opened.Env, Files: opened.Files}
	}
	return location.Together(addresses[0], addresses[1], logins[0], logins[1])
}

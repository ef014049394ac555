// Package removal removes hosts, source groups and repositories, says before what
// becomes of what belongs to them, and brings them back.
//
// Pages, API and command line all do it here, so the rules are the same for all.
// Each change is one transaction with its audit entry in it, and Changed is called
// once after it. What was removed comes back for thirty days; then [Service.Purge]
// erases what would bring it back.
package removal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// Life is for how long what was removed can be brought back.
const Life = 30 * 24 * time.Hour

// A Kind is what can be removed.
type Kind = removal.Kind

// The kinds.
const (
	Host       = removal.Host
	Group      = removal.Group
	Repository = removal.Repository
)

// What becomes of the snapshots of a removed host or source group.
const (
	Keep      = removal.Keep      // no rule removes them
	Retention = removal.Retention // the repository's rules go on
)

// Why something was not done. Bad fields of an input are [field.Errors].
var (
	ErrNoHost       = errors.New("there is no such host")
	ErrNoGroup      = errors.New("there is no such source group")
	ErrNoRepository = errors.New("there is no such repository")
	ErrNotRemoved   = errors.New("nothing was removed under this name")
	ErrPurged       = errors.New("it was removed more than thirty days ago")
	ErrHost         = errors.New("its host was removed")
	ErrRepository   = errors.New("its repository was removed")
)

// A KeeperError refuses to remove a host that looks after repositories.
type KeeperError struct {
	Host         string
	Repositories []string // their names
}

// Error implements error.
func (e *KeeperError) Error() string {
	return fmt.Sprintf("%s is the keeper of %s", e.Host, strings.Join(e.Repositories, ", "))
}

// An InUseError refuses to remove a repository that something needs.
type InUseError struct {
	Groups []string // "NAME of HOST", of the source groups that back up into it
	Jobs   int      // that have not ended
}

// Error implements error.
func (e *InUseError) Error() string {
	return fmt.Sprintf("%d source groups back up into it, and %d jobs of it have not ended", len(e.Groups), e.Jobs)
}

// A Service does what is asked for.
type Service struct {
	Store *store.Store
	// Changed is told of the hosts that a change concerns; none if it concerns no host.
	// It must not block; nil tells nobody.
	Changed func(...topics.HostID)
}

func (s *Service) changed(hosts ...topics.HostID) {
	if s.Changed != nil {
		s.Changed(hosts...)
	}
}

// Input is how something is to be removed.
type Input struct {
	Snapshots string // Keep or Retention; "" is Keep
	Groups    string // of a repository: "remove" takes its source groups along; "" refuses while there are any
}

func (in *Input) check() error {
	wrong := field.Errors{}
	if in.Snapshots == "" {
		in.Snapshots = Keep
	}
	if in.Snapshots != Keep && in.Snapshots != Retention {
		wrong.Say("snapshots", "Snapshots stay by keep, or go on by retention.")
	}
	if in.Groups != "" && in.Groups != "remove" {
		wrong.Say("groups", "Source groups go along with remove; leave it out to keep them.")
	}
	return wrong.Err()
}

// RemoveHost takes a host out of care. Its agent is let in no more.
func (s *Service) RemoveHost(ctx context.Context, by string, id topics.HostID, in Input) error {
	if err := in.check(); err != nil {
		return err
	}
	e, err := s.OfHost(ctx, id)
	if err != nil {
		return err
	}
	if len(e.KeeperOf) > 0 {
		return &KeeperError{Host: e.Name, Repositories: e.KeeperOf}
	}
	if err := s.Store.RemoveHost(ctx, by, id, in.Snapshots); err != nil {
		return named(err, ErrNoHost)
	}
	s.changed(id)
	return nil
}

// RemoveGroup takes a source group out of its host's care. It returns what it is called
// by in [Service.Restore], and the names of the schedules that went with it.
func (s *Service) RemoveGroup(ctx context.Context, by string, host topics.HostID, name string, in Input) (
	id string, schedules []string, err error,
) {
	if err := in.check(); err != nil {
		return "", nil, err
	}
	g, err := s.Store.SourceGroupNamed(ctx, host, name)
	if err != nil {
		return "", nil, named(err, ErrNoGroup)
	}
	if schedules, err = s.Store.RemoveSourceGroup(ctx, by, g.ID, in.Snapshots); err != nil {
		return "", nil, named(err, ErrNoGroup)
	}
	s.changed(host)
	return string(g.ID), schedules, nil
}

// RemoveRepository takes a repository out of care. Nothing is done to what it holds.
func (s *Service) RemoveRepository(ctx context.Context, by string, id topics.RepositoryID, in Input) error {
	if err := in.check(); err != nil {
		return err
	}
	e, err := s.OfRepository(ctx, id)
	if err != nil {
		return err
	}
	if len(e.Groups) > 0 && in.Groups != "remove" || e.Running > 0 || e.Queued > 0 && len(e.Groups) == 0 {
		return &InUseError{Groups: e.Groups, Jobs: e.Running + e.Queued}
	}
	if err := s.Store.RemoveRepository(ctx, by, id, in.Groups == "remove"); err != nil {
		if errors.Is(err, store.ErrInUse) {
			return &InUseError{Groups: e.Groups, Jobs: e.Running + e.Queued}
		}
		return named(err, ErrNoRepository)
	}
	s.changed(e.hosts...)
	return nil
}

// Find returns what was removed, by its ID or its last name; of several with one name
// the one that was removed last. host is that of a source group, else "".
func (s *Service) Find(ctx context.Context, kind Kind, host topics.HostID, which string) (store.Removed, error) {
	r, err := s.Store.Removed(ctx, kind, which)
	if err == nil && (kind != Group || r.Host == string(host)) {
		return r, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	var list []store.Removed
	if kind == Group {
		list, err = s.Store.RemovedGroups(ctx, host)
	} else {
		list, err = s.Store.AllRemoved(ctx, kind, mostRemoved)
	}
	for _, r := range list {
		if r.Name == which {
			return r, err
		}
	}
	if err == nil {
		err = ErrNotRemoved
	}
	return r, err
}

// mostRemoved is how many removed hosts or repositories are looked through for a name.
const mostRemoved = 1000

// Back is how something is to come back.
type Back struct {
	Name *string // another name; nil is the last one
}

// Restore brings back what was removed, with what went with it. It returns the names of
// the source groups that stay removed, because their repository or host is gone.
func (s *Service) Restore(ctx context.Context, by string, r store.Removed, in Back) (left []string, err error) {
	name, wrong := "", field.Errors{}
	if in.Name != nil {
		name = field.Clean(*in.Name)
		wrong.Say("name", field.Name("name", name))
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	groups, err := s.Store.Restore(ctx, by, r.Kind, r.ID, name)
	switch {
	case errors.Is(err, removal.ErrTaken):
		return nil, field.Errors{"name": "There is another one of this name by now. Choose another name for what comes back."}
	case errors.Is(err, removal.ErrPurged):
		return nil, ErrPurged
	case errors.Is(err, removal.ErrHost):
		return nil, ErrHost
	case errors.Is(err, removal.ErrRepository):
		return nil, ErrRepository
	case err != nil:
		return nil, named(err, ErrNotRemoved)
	}
	for _, g := range groups {
		left = append(left, g.Name)
	}
	var hosts []topics.HostID
	switch r.Kind {
	case Host:
		hosts = append(hosts, topics.HostID(r.ID))
	case Group:
		hosts = append(hosts, topics.HostID(r.Host))
	default:
		hosts, _ = s.Store.HostsInto(context.WithoutCancel(ctx), topics.RepositoryID(r.ID)) // it is back, whatever fails now
	}
	s.changed(hosts...)
	return left, nil
}

// Until is when something that was removed cannot come back any more.
func Until(r store.Removed) time.Time { return time.UnixMilli(r.At).Add(Life) }

// Purge erases what was removed more than thirty days ago, and returns how much.
func (s *Service) Purge(ctx context.Context) (int, error) {
	return s.Store.PurgeRemoved(ctx, s.Store.Now()-Life.Milliseconds())
}

// named turns the store's error for nothing there into one of this package.
func named(err, none error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", none, err)
	}
	return err
}

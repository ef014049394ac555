// Package replace puts another machine in the place of a host's lost one: it begins that with
// a token for the host, says how far it has come, and takes the decision what becomes of the
// files of each source group.
//
// Pages, API and command line all do it here. Each change is one transaction with its audit
// entry in it, and Changed is called once after it. What follows from the new machine's
// enrolment, whichever token of the host it came with, is in the transaction of that: see
// package store/replacing.
package replace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

// What is decided of a source group.
const (
	Restored = replacing.Restored
	Without  = replacing.Without
)

// A Service does what is asked for.
type Service struct {
	Store *store.Store
	Desk  *enroll.Desk
	// Changed is told of the host that a change concerns. It must not block; nil tells nobody.
	Changed func(...topics.HostID)
}

// A Token is what enrols the new machine. It is shown once.
type Token struct {
	ID      string // of its row, to follow its use
	Secret  topics.EnrollToken
	Expires int64 // Unix milliseconds
}

// Begin makes a token with which another machine becomes the host, and notes that the host's
// machine is being replaced. If it is already, there is another token. A bad life is reported
// as [field.Errors].
func (s *Service) Begin(ctx context.Context, actor string, host topics.HostID, life time.Duration) (t Token, err error) {
	if life <= 0 || life > enroll.MaxTokenLife {
		return t, field.Errors{"ttl": fmt.Sprintf("A token is good for at most %g hours.", enroll.MaxTokenLife.Hours())}
	}
	if _, err = s.Store.BeginReplacement(ctx, actor, topics.NewID(time.UnixMilli(s.Store.Now())), host); err != nil {
		return t, named(err)
	}
	if t.ID, t.Secret, err = s.Desk.Reissue(ctx, actor, host, life); err != nil {
		return t, err
	}
	row, err := s.Store.EnrollToken(ctx, t.ID)
	t.Expires = row.ExpiresAt
	s.tell(host)
	return t, err
}

// CallOff ends a replacement before the new machine is enrolled, and with it the tokens that
// were made for the host: nothing has changed then.
func (s *Service) CallOff(ctx context.Context, actor string, host topics.HostID) error {
	if err := s.Store.CallOffReplacement(ctx, actor, host); err != nil {
		return named(err)
	}
	s.tell(host)
	return nil
}

// An Input is what is decided. Nil fields are left out.
type Input struct {
	Decision *string  // Restored or Without
	Groups   []string // names of source groups; none is all that wait
}

// Decide says of source groups that their files are back, or that they start without. Their
// backups and the rules of retention go on.
func (s *Service) Decide(ctx context.Context, actor string, host topics.HostID, in Input) error {
	wrong := field.Errors{}
	decision := ""
	if in.Decision != nil {
		decision = field.Clean(*in.Decision)
	}
	if decision != Restored && decision != Without {
		wrong.Say("decision", "It is "+Restored+" or "+Without+".")
	}
	rows, err := s.Store.SourceGroups(ctx, host)
	if err != nil {
		return err
	}
	var ids []topics.SourceGroupID
	for _, name := range in.Groups {
		i := slices.IndexFunc(rows, func(g store.SourceGroup) bool { return g.Name == field.Clean(name) })
		if i < 0 {
			wrong.Say("groups", fmt.Sprintf("The host has no source group %.100q.", name))
			continue
		}
		ids = append(ids, rows[i].ID)
	}
	if err := wrong.Err(); err != nil {
		return err
	}
	said := decision + ": all source groups"
	if len(in.Groups) > 0 {
		said = decision + ": " + strings.Join(in.Groups, ", ")
	}
	if _, err := s.Store.DecideReplacement(ctx, actor, host, ids, decision, said); err != nil {
		return named(err)
	}
	s.tell(host)
	return nil
}

func (s *Service) tell(host topics.HostID) {
	if s.Changed != nil {
		s.Changed(host)
	}
}

func named(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return hosts.ErrNotFound
	}
	return err
}

// A Status is how far the replacement of a host's machine has come.
type Status struct {
	replacing.Replacement
	Machine replacing.Machine // the old one
	New     store.Host        // the host as it is now: the new machine, once it is enrolled
	Groups  []Group
	Late    bool // it waits for a decision for longer than Reminded
}

// Reminded is how long a replacement may wait for its decision before people are told.
const Reminded = 14 * 24 * time.Hour

// Late reports whether a replacement waits for its decision for too long.
func Late(r replacing.Replacement, now int64) bool {
	return r.Open() && r.EnrolledAt > 0 && now-r.EnrolledAt >= Reminded.Milliseconds()
}

// A Group is what is to be decided of a source group, and what was.
type Group struct {
	replacing.Group
	Name       string
	Repository store.Repository
	Local      bool // its repository is a directory of the lost machine
	SavedAt    int64
	Files      uint64
	Bytes      uint64
	Schedules  []string    // by name
	Restores   []store.Job // of its snapshots to the new machine, the latest first
}

// Of returns how far a host's last replacement has come, or replacing.ErrNone.
func (s *Service) Of(ctx context.Context, host topics.HostID) (st Status, err error) {
	if st.New, err = s.Store.Host(ctx, host); err != nil {
		return st, named(err)
	}
	var decided []replacing.Group
	if st.Replacement, decided, err = s.Store.Replacement(ctx, host); errors.Is(err, store.ErrNotFound) {
		return st, replacing.ErrNone
	} else if err != nil {
		return st, err
	}
	if m := st.Replacement.Machine.V; m != nil {
		st.Machine = *m
	}
	st.Late = Late(st.Replacement, s.Store.Now())
	return st, s.fill(ctx, &st, decided)
}

// fill adds the source groups with what is known of each.
func (s *Service) fill(ctx context.Context, st *Status, decided []replacing.Group) error {
	host := st.New.ID
	groups, err := s.Store.SourceGroups(ctx, host)
	if err != nil {
		return err
	}
	schedules, err := s.Store.Schedules(ctx, host)
	if err != nil {
		return err
	}
	restores, err := s.restores(ctx, st.Replacement)
	if err != nil {
		return err
	}
	for _, g := range groups {
		row := Group{Name: g.Name, Group: replacing.Group{Group: g.ID, Host: host, Repository: g.Repository}, Restores: restores[g.ID]}
		i := slices.IndexFunc(decided, func(d replacing.Group) bool { return d.Group == g.ID })
		if i >= 0 {
			row.Group = decided[i]
		} else if st.EnrolledAt > 0 {
			continue // it was added since
		}
		if row.Repository, err = s.Store.Repository(ctx, row.Group.Repository); err != nil {
			return err
		}
		row.Local = location.Scheme(row.Repository.Location) == location.Local
		if row.Snapshot == "" && i < 0 {
			row.Snapshot, err = s.newest(ctx, host, g)
		}
		if err == nil && row.Snapshot != "" {
			n, nerr := s.Store.SnapshotByID(ctx, row.Group.Repository, row.Snapshot)
			if nerr != nil && !errors.Is(nerr, store.ErrNotFound) {
				err = nerr
			}
			row.SavedAt, row.Files, row.Bytes = n.Time, n.Files, n.Bytes
		}
		if err != nil {
			return err
		}
		for _, sc := range schedules {
			if slices.Contains(sc.Groups, g.ID) {
				row.Schedules = append(row.Schedules, sc.Name)
			}
		}
		st.Groups = append(st.Groups, row)
	}
	return nil
}

// newest is the newest snapshot of a source group that can be restored, "" if there is none.
func (s *Service) newest(ctx context.Context, host topics.HostID, g store.SourceGroup) (string, error) {
	list, err := s.Store.Facts(ctx, host)
	for _, f := range list {
		if f.Group == g.ID {
			for _, id := range []string{f.Good.ID, f.Whole.ID, f.Newest.ID} {
				if id != "" {
					return id, err
				}
			}
		}
	}
	return "", err
}

// looked is how many of a host's last jobs are looked through for restores.
const looked = 200

// restores lists the restores to the new machine, by the source group whose snapshot they read.
func (s *Service) restores(ctx context.Context, r replacing.Replacement) (map[topics.SourceGroupID][]store.Job, error) {
	of := map[topics.SourceGroupID][]store.Job{}
	if r.EnrolledAt == 0 {
		return of, nil
	}
	list, err := s.Store.JobsOf(ctx, r.Host, looked)
	if err != nil {
		return nil, err
	}
	for _, j := range list {
		if j.Kind != topics.RestoreJob || j.QueuedAt < r.EnrolledAt || j.Operation.V == nil {
			continue
		}
		for _, item := range j.Operation.V.Basket() {
			n, err := s.Store.SnapshotByID(ctx, j.Repository, item.Snapshot)
			if errors.Is(err, store.ErrNotFound) {
				continue
			} else if err != nil {
				return nil, err
			}
			if list := of[n.SourceGroup]; n.SourceGroup != "" && !slices.ContainsFunc(list, func(k store.Job) bool { return k.ID == j.ID }) {
				of[n.SourceGroup] = append(list, j)
			}
		}
	}
	return of, nil
}

// Waiting lists the names of the source groups of which nobody has decided.
func (s Status) Waiting() (names []string) {
	for _, g := range s.Groups {
		if g.Held {
			names = append(names, g.Name)
		}
	}
	return names
}

// Before is the status of a host whose replacement nobody has begun: what would come along.
func (s *Service) Before(ctx context.Context, h store.Host) (Status, error) {
	st := Status{New: h, Machine: replacing.Machine{OS: h.OS, Permits: h.Permits.V}}
	return st, s.fill(ctx, &st, nil)
}

// Package targets says to which hosts what a snapshot holds can be restored, and of each
// other why not, with the one command that changes that.
package targets

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// A Target is a host to which a restore may go, or why it may not.
type Target struct {
	Host   topics.HostID
	Name   string
	OS     string           // "linux", "windows", "" is not known
	Own    bool             // the snapshots are this host's
	State  hosts.Connection // of its agent
	Online bool             // commands reach it now
	Able   bool             // its agent knows baskets, dry runs by its own survey, owners and in place
	Restic string           // the version its agent reported, "" is not known

	// Why is why it cannot restore this, in sentences; "" if it can. Being offline is no such
	// reason: the job waits.
	Why     string
	Means   string // what comes of it, a sentence
	Do      string // what to do about it; it ends with a colon if there is a command
	Command string // what its administrator runs there so that it can; "" if no single command helps
	// Giving is set if the host does not have the repository, so that an administrator has to
	// give it for the job, and says what that means.
	Giving *jobs.GivingError
	// Note is what a person should know before choosing it, "" if there is nothing.
	Note string

	Root      string   // a new folder is made below this directory
	Roots     []string // its policy lets restores write below these only; nil is anywhere, as far as is known
	Overwrite bool     // its policy lets restores write over files, and in place
}

// May reports whether the host can restore it, by everything that is known here.
func (t Target) May() bool { return t.Why == "" }

// A Jobs knows what hosts may do, as the jobs engine does.
type Jobs interface {
	Opens(ctx context.Context, h store.Host, kind topics.JobKind, repository topics.RepositoryID, place topics.HostID) error
	Has(ctx context.Context, host topics.HostID, kind topics.JobKind, repository topics.RepositoryID, place topics.HostID) error
}

// A Desk is where to ask.
type Desk struct {
	Store    *store.Store
	Presence *hosts.Presence // nil: nobody knows who is connected, as on the command line
	Jobs     Jobs
}

// List returns a target for each host: of a repository's snapshots that are at the place of
// a host, "" for those of a place that all hosts share. owner is whose they are, "" if no
// job made them. The owner comes first, then those that can, then the others, each by name.
// It is store.ErrNotFound if there is no such repository.
func (d Desk) List(ctx context.Context, repository topics.RepositoryID, owner, place topics.HostID) ([]Target, error) {
	r, err := d.Store.Repository(ctx, repository)
	if err != nil {
		return nil, err
	}
	rows, err := d.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	var out []Target
	for _, h := range rows {
		if h.RevokedAt > 0 {
			continue // no agent of it gets in
		}
		t, err := d.target(ctx, h, r, owner, place)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	rank := func(t Target) int {
		switch {
		case t.Own:
			return 0
		case t.May() && t.Giving == nil:
			return 1
		case t.May():
			return 2
		}
		return 3
	}
	slices.SortStableFunc(out, func(a, b Target) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)))
	})
	return out, nil
}

func (d Desk) target(ctx context.Context, h store.Host, r store.Repository, owner, place topics.HostID) (Target, error) {
	t := Target{
		Host:      h.ID,
		Name:      h.Name,
		OS:        h.OS,
		Own:       h.ID == owner,
		State:     hosts.Unknown,
		Able:      h.Able(topics.RestoresBaskets),
		Restic:    h.ResticVersion,
		Root:      restores.Root(h),
		Overwrite: true,
	}
	if d.Presence != nil {
		t.State, _ = d.Presence.Connection(h.ID)
		t.Online = d.Presence.Reachable(h.ID)
	}
	if p := h.Permits.V; p != nil && !p.Anywhere {
		t.Roots, t.Overwrite = p.RestoreRoots, p.Overwrite
	}
	at := place
	switch {
	case places.Shared(r.Location):
		at = ""
	case !location.PerHost(r.Location):
		// A path leads each host to a disk of its own, unless both see the same one.
		if at = ""; place != "" && place != h.ID {
			t.Note = "The address is a path. On " + h.Name + " it leads to that machine's own disk; these snapshots are there only if both " +
				"machines see the same one."
		}
	}
	if at == h.ID {
		at = ""
	}
	err := permits.Kind(h, topics.RestoreJob)
	if err == nil {
		err = d.Jobs.Opens(ctx, h, topics.RestoreJob, r.ID, cmp.Or(at, h.ID))
	}
	var refusal *permits.Refusal
	switch {
	case errors.As(err, &refusal):
		t.Why, t.Do, t.Command = refusal.Words(), refusal.Do(), refusal.Command
		if t.Means = "It would refuse this restore."; refusal.Pinned {
			t.Means = "It would refuse a restore from this repository."
		}
		return t, nil
	case errors.As(err, new(*store.UnreadableError)):
		t.Why, t.Means = "The control plane cannot read the secrets of this repository.", "It has no password to give to a host."
		t.Do = "Enter them again on the repository's page."
		return t, nil
	case err != nil && !errors.As(err, new(*places.NameError)):
		return t, err
	case len(t.Roots) == 0 && h.Permits.V != nil && !h.Permits.V.Anywhere:
		t.Why, t.Means = "Its policy names no directory that a restore may write to.", "It would refuse this restore."
		t.Do = "To name one, its administrator runs there:"
		t.Command = permits.Command(h, "allow-restore", permits.State(h)+"/restored")
		return t, nil
	}
	err = d.Jobs.Has(ctx, h.ID, topics.RestoreJob, r.ID, at)
	if !errors.As(err, &t.Giving) && err != nil {
		return t, err
	}
	return t, nil
}

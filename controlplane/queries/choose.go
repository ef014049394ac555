package queries

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// repository returns one that is in care.
func (a *Asker) repository(ctx context.Context, id topics.RepositoryID) (store.Repository, error) {
	r, err := a.Store.Repository(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && r.RemovedAt > 0 {
		return r, jobs.ErrNoRepository
	}
	return r, err
}

func shared(r store.Repository) bool { return places.Shared(r.Location) }

// candidates returns who may look at a place of a repository: the host that is named alone,
// or the own host of what is looked at, the keeper, and all others that have the repository,
// in this order. It is asked of answers that are kept, too.
func (a *Asker) candidates(ctx context.Context, r store.Repository, place, own, named topics.HostID) (one *store.Host, all []store.Host,
	err error) {
	if named != "" {
		h, err := a.Store.Host(ctx, named)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil, jobs.ErrNoHost
		} else if err != nil {
			return nil, nil, err
		}
		if has, err := a.Store.HasRepository(ctx, named, r.ID, a.at(r, place, named)); err != nil {
			return nil, nil, err
		} else if !has {
			return nil, nil, &Refused{Cause: topics.CauseNotOwn, Title: "The host does not have this repository",
				Say: "The host " + h.Name + " neither backs up into the repository " + r.Name + " nor is its keeper, and is told nothing of it.",
				Do:  "Leave the host out, or name one that has the repository."}
		}
		return &h, []store.Host{h}, nil
	}
	into, err := a.Store.HostsInto(ctx, r.ID)
	if err != nil {
		return nil, nil, err
	}
	seen := map[topics.HostID]bool{"": true}
	for _, id := range append([]topics.HostID{own, r.Keeper}, into...) {
		if seen[id] {
			continue
		}
		seen[id] = true
		h, err := a.Store.Host(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		} else if err != nil {
			return nil, nil, err
		}
		if has, err := a.Store.HasRepository(ctx, id, r.ID, a.at(r, place, id)); err != nil {
			return nil, nil, err
		} else if has {
			all = append(all, h)
		}
	}
	if len(all) == 0 {
		return nil, nil, &Refused{Cause: CauseNoHost, Title: "No host has this repository",
			Say: "No host backs up into it, and it has no keeper, so there is nobody who could look.",
			Do:  "Choose a keeper for the repository, or enrol a host that backs up into it."}
	}
	return nil, all, nil
}

// at is at whose place a host looks, "" for its own.
func (a *Asker) at(r store.Repository, place, host topics.HostID) topics.HostID {
	if place == host || shared(r) {
		return ""
	}
	return place
}

// choose returns the first of the candidates that can look now, with what it needs for it;
// or why the first of them cannot.
func (a *Asker) choose(ctx context.Context, r store.Repository, named *store.Host, all []store.Host, place topics.HostID) (store.Host,
	topics.Repository, error) {
	var why error
	for _, h := range all {
		err := a.ready(h)
		var open topics.Repository
		if err == nil {
			open, err = a.Jobs.Opening(ctx, h.ID, r.ID, a.at(r, place, h.ID))
		}
		if err == nil {
			return h, open, nil
		}
		if why == nil {
			why = err
		}
		if named == nil && passes(err) {
			continue
		}
		return h, open, err
	}
	if off := (*Refused)(nil); named == nil && len(all) > 1 && errors.As(why, &off) && off.Cause == CauseOffline {
		return store.Host{}, topics.Repository{}, &Refused{Cause: CauseNoHost, Title: "No host can look now",
			Say: "Of the hosts that have this repository none is connected that may look and can.",
			Do:  "See to it that one of them is online and its agent is of this version. " + words.IfLost(all[0].Name)}
	}
	return store.Host{}, topics.Repository{}, why
}

// passes reports whether another host may be asked in the place of one that cannot.
func passes(err error) bool {
	return errors.As(err, new(*Refused)) || errors.As(err, new(*permits.Refusal)) || errors.As(err, new(*jobs.GivingError)) ||
		errors.Is(err, jobs.ErrNoPlace)
}

// ready returns why a host cannot be asked now.
func (a *Asker) ready(h store.Host) error {
	if !a.Presence.Reachable(h.ID) {
		r := &Refused{Cause: CauseOffline, Title: "The host is offline",
			Say: "The agent of " + h.Name + " is not connected, so there is nobody who could look.",
			Do: "Start the machine, or its agent. Another host that has the repository can look in its place. " +
				words.IfLost(h.Name)}
		switch c, _ := a.Presence.Connection(h.ID); {
		case a.Presence.Divided(h.ID):
			r.Cause, r.Title = topics.CauseTwins, "Several machines use the host's identity"
			r.Say, r.Do = "Nothing is asked of them before it is decided which one is "+h.Name+".", "Decide on the host's page."
		case a.Presence.Unconfirmed(h.ID):
			r.Title = "The host is not confirmed yet"
			r.Do = "Say after the restore of the control plane whether it is trusted: restic-manager confirm."
			r.Say = "Since the control plane was restored from a copy, nothing is sent to " + h.Name + "."
		case c == hosts.Unknown:
			r.Say = "The control plane was just started, and the agent of " + h.Name + " has not connected again yet."
			r.Do, r.After = "Try again in a moment.", retryAfter
		}
		return r
	}
	if !h.Able(topics.AnswersQueries) {
		return &Refused{Cause: CauseOldAgent, Title: "The host's agent is too old for this",
			Say: "The agent of " + h.Name + " is of version " + h.AgentVersion + " and answers no questions.",
			Do:  "Install the agent that came with this control plane there, and start it again."}
	}
	return nil
}

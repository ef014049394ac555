package asking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

func (s *Service) backup(ctx context.Context, c caller, h store.Host, groups []string) (deed, error) {
	asked, err := s.Jobs.AskBackups(ctx, c.actor.Name, h.ID, groups)
	if errors.Is(err, jobs.ErrQueueFull) {
		s.Jobs.Aside(h.ID, protocol.AsideQueue)
	}
	var d deed
	fresh := 0
	for _, j := range asked {
		d.jobs = append(d.jobs, j.ID)
		if j.Fresh {
			fresh++
		}
	}
	d.text = begun("backup", len(asked), fresh)
	return d, err
}

// begun says how many jobs were asked for, and how many wait or run since before.
func begun(what string, all, fresh int) string {
	number := func(n int) string {
		if n == 1 {
			return "One " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	were := map[bool]string{true: "was", false: "were"}
	switch before := all - fresh; {
	case before == 0:
		return fmt.Sprintf("%s %s asked for.", number(all), were[all == 1])
	case fresh == 0:
		return fmt.Sprintf("%s %s waiting or at work already; nothing was added.", number(all), were[all == 1])
	default:
		return fmt.Sprintf("%s %s asked for; %d %s waiting or at work already.", number(fresh), were[fresh == 1], before, were[before == 1])
	}
}

// check asks for a check of each repository that the host backs up into or looks after.
// Where another host looks after one, that one checks it, if the consumer reaches it.
func (s *Service) check(ctx context.Context, c caller, h store.Host) (d deed, err error) {
	list, err := s.repositories(ctx, h.ID)
	if err != nil {
		return d, err
	}
	if len(list) == 0 {
		return d, &Refusal{Cause: CauseNothing, Text: "The host backs up into no repository and looks after none, so there is nothing to check."}
	}
	var why error
	var not []string
	fresh := 0
	for _, r := range list {
		j, added, err := s.checkOne(ctx, c, h, r)
		if err != nil {
			if ctx.Err() != nil {
				return d, err
			}
			if errors.Is(err, jobs.ErrQueueFull) {
				s.Jobs.Aside(h.ID, protocol.AsideQueue)
			}
			refused := refusalOf(err)
			if refused.Cause == CauseOurs {
				s.Log.Error("ask for a check", "host", h.ID, "repository", r.ID, "err", err)
			}
			why, not = err, append(not, r.Name+": "+refused.Text)
			continue
		}
		if d.jobs = append(d.jobs, j.ID); added {
			fresh++
		}
	}
	if len(d.jobs) == 0 {
		return d, why
	}
	d.text = strings.Join(append([]string{begun("check", len(d.jobs), fresh)}, not...), " Not asked for: ")
	return d, nil
}

// repositories are those that a host backs up into or looks after, by name.
func (s *Service) repositories(ctx context.Context, host topics.HostID) (list []store.Repository, err error) {
	groups, err := s.Store.SourceGroups(ctx, host)
	if err != nil {
		return nil, err
	}
	all, err := s.Store.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Keeper == host || slices.ContainsFunc(groups, func(g store.SourceGroup) bool { return g.Repository == r.ID }) {
			list = append(list, r)
		}
	}
	return list, nil
}

func (s *Service) checkOne(ctx context.Context, c caller, h store.Host, r store.Repository) (store.Job, bool, error) {
	o := jobs.Order{Host: h.ID, Kind: topics.CheckJob, Repository: r.ID}
	if r.Keeper != "" && r.Keeper != h.ID {
		k, err := s.Store.Host(ctx, r.Keeper)
		if err != nil {
			return store.Job{}, false, err
		}
		if !c.reach(k.Tags) {
			return store.Job{}, false, &Refusal{Cause: CauseKeeper, Class: ErrNotAllowed,
				Text: "Another host looks after the repository and alone checks it; it is not among those of the consumer's tags."}
		}
		o.Host = k.ID
		if location.PerHost(r.Location) {
			o.Place = h.ID
		}
	}
	return s.Jobs.AskAt(ctx, c.actor.Name, o)
}

// cancel cancels what waits and runs on the host.
func (s *Service) cancel(ctx context.Context, c caller, h store.Host) (d deed, err error) {
	open, err := s.Store.OpenJobs(ctx, h.ID)
	if err != nil {
		return d, err
	}
	for _, j := range open {
		switch err := s.Jobs.Cancel(ctx, c.actor.Name, j.ID); {
		case errors.Is(err, jobs.ErrEnded), errors.Is(err, jobs.ErrNoJob): // meanwhile
		case err != nil:
			return d, err
		default:
			d.jobs = append(d.jobs, j.ID)
		}
	}
	switch n := len(d.jobs); n {
	case 0:
		d.text = "Nothing waits or runs there."
	case 1:
		d.text = "One job is cancelled."
	default:
		d.text = fmt.Sprintf("%d jobs are cancelled.", n)
	}
	return d, nil
}

func (s *Service) pause(ctx context.Context, c caller, h store.Host, until time.Time) (deed, error) {
	p, err := s.Pause.Pause(ctx, c.actor.Name, h.ID, until)
	if err != nil {
		return deed{}, err
	}
	return deed{text: "Its schedules are paused until " + words.At(p.Until).UTC().Format(time.RFC3339) + "."}, nil
}

func (s *Service) resume(ctx context.Context, c caller, h store.Host) (deed, error) {
	if _, was, err := s.Pause.Resume(ctx, c.actor.Name, h.ID); err != nil {
		return deed{}, err
	} else if !was {
		return deed{text: "It was not paused."}, nil
	}
	return deed{text: "Its schedules fire again."}, nil
}

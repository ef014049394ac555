package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// making returns whether an init job may make the repository, and the source group whose
// hooks run around it: the one whose backup waits, or for a person's job one that has
// hooks before its backups, which may be what mounts the repository.
func (e *Engine) making(ctx context.Context, j store.Job) (make bool, group topics.SourceGroup, err error) {
	place, err := e.Store.PlaceOf(ctx, j.Repository, j.Host)
	if err != nil {
		return false, group, err
	}
	if j.Behalf != "" {
		g, err := e.Store.SourceGroup(ctx, j.Behalf)
		if err != nil {
			return false, group, fmt.Errorf("the source group it is for: %w", err)
		}
		return !place.Ready(), g.Topic(), nil
	}
	groups, err := e.Store.SourceGroups(ctx, j.Host)
	for _, g := range groups {
		if g.Repository == j.Repository && g.Hooks.V != nil && len(g.Hooks.V.Before) > 0 {
			return !place.Ready(), g.Topic(), nil
		}
	}
	return !place.Ready(), group, err
}

// ErrNotHeld is the error that no host holds the making of a repository.
var ErrNotHeld = errors.New("no host has an init job of this repository that was sent and has not ended")

// Release ends the init job that was sent to a host for a repository, because a person
// says that the host is not at work on it. It returns that job, or ErrNotHeld.
func (e *Engine) Release(ctx context.Context, actor string, repository topics.RepositoryID) (topics.JobID, error) {
	open, err := e.Store.OpenJobs(ctx, "")
	if err != nil {
		return "", err
	}
	for _, j := range open {
		if j.Kind != topics.InitJob || j.Repository != repository || j.State == topics.Queued {
			continue
		}
		var effects []protocol.PlaneEffect
		err := e.Store.ReleaseMaking(ctx, actor, j.ID, func(tx protocol.PlaneTx) (err error) {
			effects, err = protocol.PlaneStep(e.Timing.Protocol, tx, protocol.Released{Job: j.ID, By: actor, Now: e.Now().UnixMilli()})
			return err
		})
		if errors.Is(err, ErrEnded) {
			continue
		}
		if err != nil {
			return "", err
		}
		e.news(effects)
		return j.ID, nil
	}
	return "", ErrNotHeld
}

// What a Making waits for.
const (
	MakingQueued = "queued"  // an init job that a person asked for has not been sent
	MakingAsked  = "asked"   // its host was sent the job and has not answered
	MakingRuns   = "runs"    // its host has taken the job
	MakingLost   = "lost"    // it had taken the job, and cannot be reached any more
	MakingFailed = "failed"  // it could not make the repository, and tries again
	MakingWaits  = "waiting" // its backup waits, and its host cannot begin
)

// A Making is how far a host is with a repository that is not there yet.
type Making struct {
	Host     topics.HostID
	HostName string
	State    string       // one of the words above
	Job      topics.JobID // the init job, or the last one that failed, or the backup that waits
	Since    int64        // since when it is so, Unix milliseconds
	Cause    topics.Cause // of a failure
	Message  string       // the same
	Tries    int          // how often the host has failed
	NextAt   int64        // no earlier does it try again, 0 if there is nothing to wait for
	Held     bool         // nobody else is given the job before the host has answered, or a person releases it
}

// Making tells who makes a repository that is not there yet, and who could not: first who
// has the job. There is none where the repository is there, or nobody needs it.
func (e *Engine) Making(ctx context.Context, repository topics.RepositoryID) ([]Making, error) {
	tries, err := e.Store.MakingTries(ctx, repository)
	if err != nil {
		return nil, err
	}
	open, err := e.Store.OpenJobs(ctx, "")
	if err != nil {
		return nil, err
	}
	unready, err := e.Store.Unready(ctx)
	if err != nil {
		return nil, err
	}
	tried := map[topics.HostID]protocol.Try{}
	for _, t := range tries {
		tried[t.Host] = t
	}
	var list, waiting []Making
	has := map[topics.HostID]bool{}
	for _, j := range open {
		if j.Repository != repository || !unready[j.ID] {
			continue
		}
		m := Making{Host: j.Host, Job: j.ID, Since: j.SentAt, Tries: tried[j.Host].Attempts}
		switch {
		case j.Kind == topics.BackupJob && j.State == topics.Queued:
			m.State, m.Since = MakingWaits, j.QueuedAt
			waiting = append(waiting, m)
			continue
		case j.Kind != topics.InitJob:
			continue
		case j.State == topics.Queued:
			m.State, m.Since = MakingQueued, j.QueuedAt
		case !j.Accepted && j.State == topics.Dispatched:
			m.State, m.Held = MakingAsked, true
		case !e.Presence.Reachable(j.Host):
			m.State, m.Held = MakingLost, true
		default:
			m.State = MakingRuns
		}
		has[j.Host] = true
		list = append(list, m)
	}
	for _, t := range tries {
		if t.Host == "" || has[t.Host] {
			continue
		}
		j, err := e.Store.Job(ctx, t.Job)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		has[t.Host] = true
		list = append(list, Making{Host: t.Host, State: MakingFailed, Job: t.Job, Since: t.FailedAt, Cause: j.Cause, Message: j.Message,
			Tries: t.Attempts, NextAt: t.NextAt})
	}
	for _, m := range waiting {
		if !has[m.Host] {
			has[m.Host], m.NextAt = true, tried[""].NextAt
			list = append(list, m)
		}
	}
	for i := range list {
		h, err := e.Store.AnyHost(ctx, list[i].Host)
		if err != nil {
			return nil, err
		}
		list[i].HostName = h.Name
	}
	return list, nil
}

// Words say of a making how it is and what it waits for, to people.
func (m Making) Words() string {
	switch m.State {
	case MakingQueued:
		return "The job to make it waits for its turn."
	case MakingAsked:
		return "It was asked to make the repository and has not answered. Until it does, nobody else is, as two at once would destroy it."
	case MakingRuns:
		return "It makes the repository. Backups of other hosts wait for that."
	case MakingLost:
		return "It had begun to make the repository and cannot be reached now. Nobody else is given the job until it has told how that ended, " +
			"as two at once would destroy it."
	case MakingFailed:
		said := "It could not make the repository: " + lower(Explain(topics.InitJob, m.Cause, topics.Failed).Cause) + "."
		if m.Cause == topics.CauseNone {
			said = "It did not get to the end of making the repository."
		}
		return said + " It tries again when a backup is due or asked for, and not before the next try is."
	}
	return "Its backup waits until the repository is made, which it could not begin with yet: it is not connected, busy, or has an agent " +
		"of an older version that cannot."
}

func lower(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/search"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

// groupsOf are the source groups to whose snapshots a search of a host's is held; none for
// all snapshots.
func (a *API) groupsOf(ctx context.Context, repository topics.RepositoryID, host topics.HostID) ([]topics.SourceGroupID, error) {
	if host == "" {
		return nil, nil
	}
	groups, err := search.Groups(ctx, a.Store, repository, host)
	if err != nil {
		err = problem.Saving("search", err)
	}
	return groups, err
}

// lacks is the error that who asks has not a right.
func (a *API) lacks(ctx context.Context, r rights.Right) error {
	return problem.Of(session.Of(ctx).Actor().Lacks(r))
}

type listMatchesIn struct {
	ID    topics.JobID `path:"id" doc:"or a beginning of it that no other job's ID has"`
	After int          `query:"after" minimum:"0" doc:"how many the client has: next of the answer before"`
	Limit int          `query:"limit" default:"1000" minimum:"1" maximum:"10000" doc:"how many at most"`
}

type listMatchesOut struct {
	Body struct {
		Matches   []topics.Match `json:"matches" nullable:"false" doc:"in the order in which they were found"`
		Next      int            `json:"next" doc:"pass it as after"`
		Done      bool           `json:"done" doc:"the search has ended, and these are the last"`
		Truncated bool           `json:"truncated" doc:"there was more than is kept"`
		KeptUntil *time.Time     `json:"kept_until" doc:"when what was found is removed; null while it goes on, and where there is nothing"`
		Removed   bool           `json:"removed" doc:"something was found, and kept for a day after the end: it is gone; search again"`
	}
}

// ListMatches answers with what a search has found so far.
func (a *API) ListMatches(ctx context.Context, in *listMatchesIn) (*listMatchesOut, error) {
	j, err := a.Job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if j.Kind != topics.FindJob {
		return nil, &problem.Problem{Kind: problem.Conflict, Title: "This job is no search",
			Say: "It is of the kind " + string(j.Kind) + ".", Do: "Ask for its report instead."}
	}
	all, err := search.Matches(ctx, a.Store, j.ID) // after the job was read: what is missing here came later
	if err != nil {
		return nil, err
	}
	out := &listMatchesOut{}
	from := min(in.After, len(all))
	to := min(from+in.Limit, len(all))
	out.Body.Matches = append([]topics.Match{}, all[from:to]...)
	out.Body.Next, out.Body.Done = to, j.State.Ended() && to == len(all)
	if r := j.Result.V; r != nil {
		out.Body.Truncated = r.Truncated
	}
	until, gone := search.Kept(j, len(all))
	out.Body.KeptUntil, out.Body.Removed = base.JSONTime(until), gone
	return out, nil
}

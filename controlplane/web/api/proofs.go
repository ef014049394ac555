package api

import (
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/topics"
)

type listProofsIn struct {
	ID     topics.JobID `path:"id" doc:"or a beginning of it that no other job's ID has"`
	Failed bool         `query:"failed" doc:"only what was not proven"`
	After  int          `query:"after" minimum:"0" doc:"how many the client has: next of the answer before"`
	Limit  int          `query:"limit" default:"1000" minimum:"1" maximum:"10000" doc:"how many at most"`
}

type listProofsOut struct {
	Body struct {
		Proofs    []topics.Proof `json:"proofs" nullable:"false" doc:"those that were not proven first"`
		Total     int            `json:"total" doc:"how many there are, of those that were asked for"`
		Next      int            `json:"next" doc:"pass it as after; less than total while there are more"`
		Truncated bool           `json:"truncated" doc:"the drill took more than its report names"`
	}
}

// ListProofs answers with what a drill found out about each file.
func (a *API) ListProofs(ctx context.Context, in *listProofsIn) (*listProofsOut, error) {
	j, err := a.Job(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if j.Kind != topics.DrillJob {
		return nil, &problem.Problem{Kind: problem.Conflict, Title: "This job is no drill",
			Say: "It is of the kind " + string(j.Kind) + ".", Do: "Ask for its report instead."}
	}
	parts, err := a.Store.Reports(ctx, j.ID)
	if err != nil {
		return nil, err
	}
	all := topics.ProofsOf(parts)
	if in.Failed {
		all = slices.DeleteFunc(all, func(f topics.Proof) bool { return f.Verdict.Proves() })
	}
	out := &listProofsOut{}
	from := min(in.After, len(all))
	out.Body.Next = min(from+in.Limit, len(all))
	out.Body.Proofs, out.Body.Total = all[from:out.Body.Next], len(all)
	if r := j.Result.V; r != nil {
		out.Body.Truncated = r.Truncated
	}
	return out, nil
}

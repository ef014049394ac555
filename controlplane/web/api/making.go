package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

// A makingJSON is how far a host is with a repository that is not there yet.
type makingJSON struct {
	Host     topics.HostID `json:"host"`
	HostName string        `json:"host_name"`
	State    string        `json:"state" enum:"queued,asked,runs,lost,failed,waiting" doc:"lost: taken, and the host is gone"`
	Text     string        `json:"text" doc:"the same in words, and what it waits for"`
	Job      topics.JobID  `json:"job" doc:"the init job; of a failed one the last; of waiting the backup"`
	Since    *time.Time    `json:"since"`
	Cause    topics.Cause  `json:"cause" doc:"of a failed one, or empty"`
	Message  string        `json:"message" doc:"of a failed one, or empty"`
	Tries    int           `json:"tries" doc:"how often the host has failed"`
	NextAt   *time.Time    `json:"next_at" doc:"no earlier does the host try again; null if it need not wait"`
	Held     bool          `json:"held" doc:"nobody else is given the job until the host has answered, or somebody releases it"`
}

func makingOf(m jobs.Making) makingJSON {
	return makingJSON{Host: m.Host, HostName: m.HostName, State: m.State, Text: m.Words(), Job: m.Job, Since: base.JSONTime(m.Since),
		Cause: m.Cause, Message: m.Message, Tries: m.Tries, NextAt: base.JSONTime(m.NextAt), Held: m.Held}
}

type releasedOut struct {
	Body struct {
		Job topics.JobID `json:"job" doc:"the init job that was taken from its host"`
	}
}

// ReleaseMaking takes the making of a repository from a host that does not answer.
func (a *API) ReleaseMaking(ctx context.Context, in *repositoryIn) (*releasedOut, error) {
	out := &releasedOut{}
	if _, err := repositories.Find(ctx, a.Store, in.ID); err != nil {
		return out, err
	}
	id, err := a.Jobs.Release(ctx, session.Of(ctx).Name, in.ID)
	out.Body.Job = id
	return out, err
}

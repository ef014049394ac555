package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/mirroring"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
)

type mirrorIn struct {
	ID topics.RepositoryID `path:"id"`
}

type putMirrorIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		To   *string `json:"to,omitempty" doc:"ID or name of the repository that the snapshots are copied to"`
		Cron *string `json:"cron,omitempty" doc:"when: five fields, as 0 6 * * *, which is usual"`
		Zone *string `json:"zone,omitempty" doc:"IANA name of the cron line's time zone; the control plane's if left out"`
		Host *string `json:"host,omitempty" doc:"ID or name of the host that copies, which has both; left out, the keeper of to, or as before"`
	}
}

// A mirrorJSON is how the mirror of a repository is.
type mirrorJSON struct {
	To        topics.RepositoryID `json:"to"`
	Cron      string              `json:"cron"`
	Zone      string              `json:"zone"`
	Host      topics.HostID       `json:"host"`
	Next      *time.Time          `json:"next"`
	Job       topics.JobID        `json:"job" doc:"the last copy, or empty"`
	State     topics.JobState     `json:"state" doc:"of that one, or empty"`
	Cause     topics.Cause        `json:"cause" doc:"of that one, or empty"`
	GoodAt    *time.Time          `json:"good_at" doc:"when a copy last ended after which every snapshot was there"`
	GoodJob   topics.JobID        `json:"good_job" doc:"that copy, or empty"`
	Behind    int                 `json:"behind" doc:"snapshots that are not in the mirror; what its own rules removed does not count"`
	Since     *time.Time          `json:"behind_since" doc:"when the oldest of them was made"`
	Held      bool                `json:"held" doc:"nothing is copied, as the first repository counts as damaged"`
	OtherCuts bool                `json:"other_cuts" doc:"the two cut files at other places, and share no data"`
}

type mirrorOut struct{ Body mirrorJSON }

// GetMirror says how the mirror of a repository is.
func (a *API) GetMirror(ctx context.Context, in *mirrorIn) (*mirrorOut, error) {
	if _, err := a.Repository(ctx, in.ID); err != nil {
		return nil, err
	}
	m, err := mirroring.Of(ctx, a.Store, in.ID, a.Now())
	if err != nil {
		return nil, err
	}
	out := &mirrorOut{Body: mirrorJSON{
		To:        m.Target,
		Cron:      m.Cron,
		Zone:      m.Zone,
		Host:      m.Host,
		GoodAt:    base.JSONTime(m.GoodAt),
		GoodJob:   m.GoodJob,
		Behind:    m.Snapshots,
		Since:     base.JSONTime(m.Oldest),
		Held:      m.Held,
		OtherCuts: m.OtherCuts,
	}}
	if !m.Next.IsZero() {
		out.Body.Next = base.JSONTime(m.Next.UnixMilli())
	}
	if m.Last != nil {
		out.Body.Job, out.Body.State, out.Body.Cause = m.Last.ID, m.Last.State, m.Last.Cause
	}
	return out, nil
}

// PutMirror has a repository copied into another.
func (a *API) PutMirror(ctx context.Context, in *putMirrorIn) (*mirrorOut, error) {
	b := in.Body
	err := a.Mirrors.Put(ctx, session.Of(ctx).Name, in.ID, mirroring.Input{To: b.To, Host: b.Host, Cron: b.Cron, Zone: b.Zone})
	if err != nil {
		return nil, problem.Saving("mirror", err)
	}
	return a.GetMirror(ctx, &mirrorIn{in.ID})
}

// DeleteMirror has a repository not copied any more.
func (a *API) DeleteMirror(ctx context.Context, in *mirrorIn) (*struct{}, error) {
	return nil, a.Mirrors.Drop(ctx, session.Of(ctx).Name, in.ID)
}

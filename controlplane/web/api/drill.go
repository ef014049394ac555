package api

import (
	"context"
	"net/url"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/drills"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	drillstore "github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// A drillPlanJSON is when a host, or every host with a tag, proves that it can be restored.
type drillPlanJSON struct {
	Of      drillstore.Kind `json:"of" enum:"host,tag,fleet" doc:"whose plan it is; a host's own counts first, the fleet's last"`
	Subject string          `json:"subject" doc:"the host's ID, the tag, or empty"`
	Said    bool            `json:"said" doc:"somebody said it; else it is the usual one, which is off"`
	Cron    string          `json:"cron"`
	Zone    string          `json:"zone"`
	Files   int             `json:"files" doc:"at most so many of each source group, besides folders"`
	Bytes   int64           `json:"bytes" doc:"at most so many of each source group"`
	Enabled bool            `json:"enabled"`
}

func drillPlanOf(p drillstore.Plan, said bool) drillPlanJSON {
	return drillPlanJSON{Of: p.Kind, Subject: p.Subject, Said: said, Cron: p.Cron, Zone: p.Zone, Files: p.Files, Bytes: p.Bytes,
		Enabled: p.Enabled}
}

// A drillVerdictJSON is what the last drill of a source group came to.
type drillVerdictJSON struct {
	SourceGroup string              `json:"source_group" doc:"its name"`
	Repository  topics.RepositoryID `json:"repository"`
	Proven      bool                `json:"proven" doc:"the last drill proved it"`
	At          *time.Time          `json:"at" doc:"of the last drill; null is none yet"`
	Job         topics.JobID        `json:"job" doc:"the last drill"`
	Why         string              `json:"why" doc:"if it did not"`
	ProvenAt    *time.Time          `json:"proven_at" doc:"when it was proven last, or null"`
}

type drillJSON struct {
	Plan     drillPlanJSON      `json:"plan" doc:"the one that counts: its own, that of the first of its tags that has one, or the fleet's"`
	Cron     string             `json:"cron"`
	Zone     string             `json:"zone"`
	Files    int                `json:"files"`
	Bytes    int64              `json:"bytes"`
	Enabled  bool               `json:"enabled"`
	Proven   drillstore.Word    `json:"proven" enum:"proven,not-proven,failed" doc:"whether it is proven that the host can be restored"`
	ProvenAt *time.Time         `json:"proven_at" doc:"since when; null while a source group never was"`
	Next     *time.Time         `json:"next" doc:"when the next begins; null while it is off"`
	Last     []drillVerdictJSON `json:"last" nullable:"false" doc:"of each source group"`
}

type drillOut struct{ Body drillJSON }

// GetDrill answers with the plan that counts for a host, and what is proven.
func (a *API) GetDrill(ctx context.Context, in *hostIn) (*drillOut, error) {
	h, err := a.Host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	plan, said, err := a.Drills.Plan(ctx, h)
	if err != nil {
		return nil, err
	}
	state, groups, verdicts, err := a.Drills.Standing(ctx, h.ID)
	if err != nil {
		return nil, err
	}
	out := &drillOut{Body: drillJSON{Plan: drillPlanOf(plan, said), Cron: plan.Cron, Zone: plan.Zone,
		Files: plan.Files, Bytes: plan.Bytes, Enabled: plan.Enabled, Proven: state.Word, ProvenAt: base.JSONTime(state.At),
		Last: make([]drillVerdictJSON, len(groups))}}
	if next := drills.Next(h, plan, a.Now()); !next.IsZero() {
		next = next.UTC()
		out.Body.Next = &next
	}
	for i, g := range groups {
		out.Body.Last[i] = drillVerdictJSON{SourceGroup: g.Name, Repository: g.Repository}
		for _, v := range verdicts {
			if v.Group == g.ID {
				out.Body.Last[i] = drillVerdictJSON{SourceGroup: g.Name, Repository: v.Repository, Proven: v.Proven,
					At: base.JSONTime(v.At), Job: v.Job, Why: v.Why, ProvenAt: base.JSONTime(v.ProvenAt)}
			}
		}
	}
	return out, nil
}

// A drillBody changes a plan.
type drillBody struct {
	Cron    *string `json:"cron,omitempty" doc:"five fields, or @daily, @weekly, @monthly; weekly unless said"`
	Zone    *string `json:"zone,omitempty" doc:"IANA's name; UTC unless said"`
	Files   *int    `json:"files,omitempty" doc:"at most so many of each source group, 1 to 5,000; 20 unless said"`
	Bytes   *int64  `json:"bytes,omitempty" doc:"at most so many of each source group; 100 MiB unless said"`
	Enabled *bool   `json:"enabled,omitempty" doc:"off unless said"`
}

func (b drillBody) input() drills.Input {
	return drills.Input{Cron: b.Cron, Zone: b.Zone, Files: b.Files, Bytes: b.Bytes, Enabled: b.Enabled}
}

type putDrillIn struct {
	ID   topics.HostID `path:"id"`
	Body drillBody
}

// PutDrill says when a host proves that it can be restored.
func (a *API) PutDrill(ctx context.Context, in *putDrillIn) (*drillOut, error) {
	h, err := a.Host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := a.Drills.Put(ctx, session.Of(ctx).Name, drillstore.OfHost, string(h.ID), in.Body.input()); err != nil {
		return nil, problem.Saving("drill", err)
	}
	return a.GetDrill(ctx, &hostIn{ID: h.ID})
}

type putTagDrillIn struct {
	Tag  string `path:"tag" doc:"percent-encoded"`
	Body drillBody
}

type drillPlanOut struct{ Body drillPlanJSON }

// PutTagDrill says when every host with a tag does that has no plan of its own.
func (a *API) PutTagDrill(ctx context.Context, in *putTagDrillIn) (*drillPlanOut, error) {
	p, err := a.Drills.Put(ctx, session.Of(ctx).Name, drillstore.OfTag, unescaped(in.Tag), in.Body.input())
	if err != nil {
		return nil, problem.Saving("drill", err)
	}
	return &drillPlanOut{Body: drillPlanOf(p, true)}, nil
}

type fleetDrillIn struct{ Body drillBody }

// PutFleetDrill says when every host does of which nothing nearer is said.
func (a *API) PutFleetDrill(ctx context.Context, in *fleetDrillIn) (*drillPlanOut, error) {
	p, err := a.Drills.Put(ctx, session.Of(ctx).Name, drillstore.OfFleet, "", in.Body.input())
	if err != nil {
		return nil, problem.Saving("drill", err)
	}
	return &drillPlanOut{Body: drillPlanOf(p, true)}, nil
}

// DropFleetDrill takes the fleet's plan back.
func (a *API) DropFleetDrill(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, a.Drills.Drop(ctx, session.Of(ctx).Name, drillstore.OfFleet, "")
}

// DropDrill takes a host's own plan back: that of a tag or of the fleet counts then.
func (a *API) DropDrill(ctx context.Context, in *hostIn) (*struct{}, error) {
	return nil, a.Drills.Drop(ctx, session.Of(ctx).Name, drillstore.OfHost, string(in.ID))
}

// DropTagDrill takes the plan of a tag back.
func (a *API) DropTagDrill(ctx context.Context, in *tagIn) (*struct{}, error) {
	return nil, a.Drills.Drop(ctx, session.Of(ctx).Name, drillstore.OfTag, unescaped(in.Tag))
}

type tagIn struct {
	Tag string `path:"tag" doc:"percent-encoded"`
}

func unescaped(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// ListDrills lists the plans of hosts and of tags.
func (a *API) ListDrills(ctx context.Context, _ *struct{}) (*list1[drillPlanJSON], error) {
	rows, err := a.Store.DrillPlans(ctx)
	out := make([]drillPlanJSON, len(rows))
	for i, p := range rows {
		out[i] = drillPlanOf(p, true)
	}
	return &list1[drillPlanJSON]{Body: out}, err
}

// askDrill asks for a drill in one repository of a host, or in each.
func (a *API) askDrill(ctx context.Context, q jobs.Request) (*jobRefOut, error) {
	all, _, err := a.Drills.Ask(ctx, session.Of(ctx).Actor(), q)
	if err != nil {
		return nil, err
	}
	out := &jobRefOut{}
	out.Body.ID, out.Body.State = all[0].ID, all[0].State
	for _, j := range all[1:] {
		out.Body.Rest = append(out.Body.Rest, jobRefOf(j))
	}
	return out, nil
}

func jobRefOf(j store.Job) jobRefJSON {
	return jobRefJSON{ID: j.ID, State: j.State, Repository: j.Repository}
}

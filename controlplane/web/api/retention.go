package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type retentionIn struct {
	ID topics.RepositoryID `path:"id"`
}

type tryRetentionIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		Retention store.Keep `json:"retention" doc:"rules as PUT /api/repositories/{id} takes them"`
	}
}

// A verdictJSON is what becomes of one snapshot, and why.
type verdictJSON struct {
	ID          string              `json:"id"`
	Time        *time.Time          `json:"time" doc:"as the snapshot has it"`
	Hostname    string              `json:"hostname"`
	SourceGroup string              `json:"source_group" doc:"its name, or empty"`
	Paths       []string            `json:"paths" nullable:"false"`
	Tags        []string            `json:"tags" nullable:"false"`
	Job         topics.JobID        `json:"job" doc:"that made it, or empty"`
	Repository  topics.RepositoryID `json:"repository"`
	Reasons     []string            `json:"reasons" nullable:"false" doc:"in words"`
	Pinned      bool                `json:"pinned" doc:"no rule keeps it: it stands for what its source group held, see reasons"`
}

// A flagJSON is something nobody ordered, or that is not as usual.
type flagJSON struct {
	Kind    string     `json:"kind" enum:"snapshot,key,source_group"`
	ID      string     `json:"id"`
	Time    *time.Time `json:"time" doc:"of a snapshot or a key, as it has it"`
	Reasons []string   `json:"reasons" nullable:"false" doc:"in words"`
}

// A heldJSON is a plan that waits for a person.
type heldJSON struct {
	Plan      string     `json:"plan" doc:"its hash: POST /api/repositories/{id}/maintenance approves exactly this plan with it"`
	Remove    []string   `json:"remove" nullable:"false" doc:"IDs of snapshots"`
	Reasons   []string   `json:"reasons" nullable:"false" doc:"why it is unusual"`
	HeldAt    *time.Time `json:"held_at"`
	ExpiresAt *time.Time `json:"expires_at"`

	Groups []heldGroupJSON `json:"groups" nullable:"false" doc:"the source groups; empty for a plan of an earlier version, which holds all"`
}

// A heldGroupJSON is a source group of which nothing is removed until that is approved.
type heldGroupJSON struct {
	ID      topics.SourceGroupID `json:"id"`
	Name    string               `json:"name" doc:"with its host"`
	Remove  int                  `json:"remove" doc:"how many snapshots the rules would remove"`
	Reasons []string             `json:"reasons" nullable:"false" doc:"in words"`
	Since   *time.Time           `json:"since"`
}

type planOut struct {
	Body struct {
		Keep     []verdictJSON `json:"keep" nullable:"false" doc:"what stays because a rule wants it, the newest first"`
		Remove   []verdictJSON `json:"remove" nullable:"false" doc:"what the next forget removes"`
		Waiting  []verdictJSON `json:"waiting" nullable:"false" doc:"of source groups that are held: stays until that is approved"`
		Flagged  []flagJSON    `json:"flagged" nullable:"false" doc:"not ours or unusual; never removed automatically"`
		Unusual  []string      `json:"unusual" nullable:"false" doc:"why source groups of it are held for a person to look at; empty if none is"`
		Warnings []string      `json:"warnings" nullable:"false" doc:"rules that contradict each other or the schedules"`
		Held     *heldJSON     `json:"held" doc:"the plan that waits for approval, or null"`
		ListedAt *time.Time    `json:"listed_at" doc:"when the repository was last listed"`
	}
}

func (a *API) RetentionPlan(ctx context.Context, in *retentionIn) (*planOut, error) {
	return a.look(ctx, in.ID, nil)
}

func (a *API) TryRetention(ctx context.Context, in *tryRetentionIn) (*planOut, error) {
	return a.look(ctx, in.ID, &in.Body.Retention)
}

func (a *API) look(ctx context.Context, id topics.RepositoryID, keep *store.Keep) (*planOut, error) {
	p, err := a.Preview(ctx, id, keep)
	if err != nil {
		return nil, err
	}
	out := &planOut{}
	b := &out.Body
	b.Keep, b.Remove, b.Flagged = verdictsOf(p.Verdicts.Keep), verdictsOf(p.Remove), []flagJSON{}
	b.Waiting = verdictsOf(p.Verdicts.Held)
	for _, o := range p.Oddities {
		b.Flagged = append(b.Flagged, flagJSON{
			Kind:    o.Kind,
			ID:      o.ID,
			Time:    base.JSONTime(o.Time),
			Reasons: o.Reasons,
		})
	}
	b.Unusual, b.Warnings, b.ListedAt = filled(p.Plan.Unusual), filled(p.Warnings), base.JSONTime(p.Repository.ListedAt)
	if h := p.Held; h != nil {
		b.Held = &heldJSON{
			Plan:      h.Hash,
			Remove:    filled(h.Plan.V.Remove),
			Reasons:   filled(h.Plan.V.Unusual),
			HeldAt:    base.JSONTime(h.HeldAt),
			ExpiresAt: base.JSONTime(h.ExpiresAt),
			Groups:    []heldGroupJSON{},
		}
		for _, g := range h.Plan.V.Held {
			b.Held.Groups = append(b.Held.Groups, heldGroupJSON{
				ID:      g.Group,
				Name:    g.Name,
				Remove:  len(g.Remove),
				Reasons: filled(g.Reasons),
				Since:   base.JSONTime(g.Since),
			})
		}
	}
	return out, nil
}

func verdictsOf(list []retention.Verdict) []verdictJSON {
	out := make([]verdictJSON, len(list))
	for i, v := range list {
		out[i] = verdictJSON{
			ID:          v.ID,
			Time:        base.JSONTime(v.Time),
			Hostname:    v.Hostname,
			SourceGroup: v.Group,
			Paths:       filled(v.Paths),
			Tags:        filled(v.Tags),
			Job:         v.Job,
			Repository:  v.Repository,
			Reasons:     filled(v.Reasons),
			Pinned:      v.Pinned,
		}
	}
	return out
}

type createMaintenanceIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		Kind string        `json:"kind" enum:"forget,prune,check"`
		Host topics.HostID `json:"host,omitempty" doc:"only without a keeper: the host to run on, which then needs the right to delete"`
		Plan string        `json:"plan,omitempty" doc:"forget: the hash of a held plan to approve and carry out; needs admin"`
		Give bool          `json:"give_repository,omitempty" doc:"the host gets a repository that it does not have, for this; needs admin"`
	}
}

// CreateMaintenance answers with the job that is the outcome. A forget's job
// waits until the repository was listed and the plan is made; an empty plan
// succeeds. Source groups that are held for a person keep their snapshots, and
// the others go on; the first time, a job that removes nothing else fails with the
// cause review.
func (a *API) CreateMaintenance(ctx context.Context, in *createMaintenanceIn) (*jobRefOut, error) {
	id, err := a.AskMaintenance(ctx, in.ID, topics.JobKind(in.Body.Kind), in.Body.Host, in.Body.Plan, in.Body.Give)
	if err != nil {
		return nil, err
	}
	j, err := a.Job(ctx, id)
	out := &jobRefOut{}
	out.Body.ID, out.Body.State = id, j.State
	return out, err
}

// hoursJSON say when one kind of maintenance is due.
type hoursJSON struct {
	Weekday string     `json:"weekday" enum:"daily,sunday,monday,tuesday,wednesday,thursday,friday,saturday"`
	Hour    string     `json:"hour" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:MM by the control plane's clock; begins within an hour"`
	Paused  bool       `json:"paused"`
	Slices  int        `json:"slices" doc:"check: reads one of so many slices of the data each time; 0 reads none"`
	Next    *time.Time `json:"next" doc:"null if nothing runs by itself"`
}

type runJSON struct {
	ID          topics.JobID     `json:"id" doc:"of the job"`
	Kind        topics.JobKind   `json:"kind"`
	Host        topics.HostID    `json:"host"`
	RequestedBy string           `json:"requested_by"`
	CreatedAt   *time.Time       `json:"created_at"`
	EndedAt     *time.Time       `json:"ended_at"`
	Outcome     store.RunOutcome `json:"outcome" enum:",succeeded,held,failed,cancelled" doc:"empty while it goes on"`
	Removed     int              `json:"removed" doc:"snapshots"`
	Message     string           `json:"message"`
}

type maintenanceOut struct {
	Body struct {
		Keeper topics.HostID `json:"keeper" doc:"or empty: then nothing runs by itself"`
		Forget hoursJSON     `json:"forget"`
		Prune  hoursJSON     `json:"prune"`
		Check  hoursJSON     `json:"check"`
		Runs   []runJSON     `json:"runs" nullable:"false" doc:"the newest first"`
	}
}

func (a *API) GetMaintenance(ctx context.Context, in *retentionIn) (*maintenanceOut, error) {
	r, err := a.Repository(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	hours, err := a.Maintenance.Hours(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	runs, err := a.Store.Runs(ctx, in.ID, 50)
	out := &maintenanceOut{}
	b := &out.Body
	b.Keeper, b.Runs = r.Keeper, []runJSON{}
	for kind, to := range map[topics.JobKind]*hoursJSON{topics.ForgetJob: &b.Forget, topics.PruneJob: &b.Prune, topics.CheckJob: &b.Check} {
		d := hours[kind]
		*to = hoursJSON{Weekday: base.WeekdayOf(d), Hour: base.ClockOf(d.Minute), Paused: d.Paused, Slices: d.Slices}
		if r.Keeper != "" && !d.Paused {
			to.Next = base.JSONTime(maintenance.NextSlot(d, a.Now()).UnixMilli())
		}
	}
	for _, run := range runs {
		b.Runs = append(b.Runs, runJSON{
			ID:          run.ID,
			Kind:        run.Kind,
			Host:        run.Host,
			RequestedBy: run.RequestedBy,
			CreatedAt:   base.JSONTime(run.CreatedAt),
			EndedAt:     base.JSONTime(run.EndedAt),
			Outcome:     run.Outcome,
			Removed:     run.Removed,
			Message:     run.Message,
		})
	}
	return out, err
}

type hoursIn struct {
	Weekday *string `json:"weekday,omitempty" doc:"daily, or sunday to saturday"`
	Hour    *string `json:"hour,omitempty" doc:"HH:MM by the control plane's clock"`
	Paused  *bool   `json:"paused,omitempty"`
	Slices  *int    `json:"slices,omitempty" doc:"check: read one of so many slices of the data each time, up to 1000; 0 reads none"`
}

type putMaintenanceIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		Forget hoursIn `json:"forget,omitzero"`
		Prune  hoursIn `json:"prune,omitzero"`
		Check  hoursIn `json:"check,omitzero"`
	}
}

func (a *API) PutMaintenance(ctx context.Context, in *putMaintenanceIn) (*maintenanceOut, error) {
	err := a.Maintenance.PutHours(ctx, session.Of(ctx).Name, in.ID, map[topics.JobKind]maintenance.Input{
		topics.ForgetJob: maintenance.Input(in.Body.Forget),
		topics.PruneJob:  maintenance.Input(in.Body.Prune),
		topics.CheckJob:  maintenance.Input(in.Body.Check),
	})
	if err != nil {
		return nil, problem.Saving("maintenance", err)
	}
	return a.GetMaintenance(ctx, &retentionIn{in.ID})
}

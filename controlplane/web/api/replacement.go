package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/replace"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

type lostMachineJSON struct {
	Hostname string     `json:"hostname"`
	OS       string     `json:"os"`
	Arch     string     `json:"arch"`
	Platform string     `json:"platform"`
	Agent    string     `json:"agent_version"`
	Restic   string     `json:"restic_version"`
	Policy   string     `json:"policy"`
	LastSeen *time.Time `json:"last_seen"`
}

func lostMachineOf(m replacing.Machine) lostMachineJSON {
	return lostMachineJSON{Hostname: m.Hostname, OS: m.OS, Arch: m.Arch, Platform: m.Platform, Agent: m.Agent, Restic: m.Restic,
		Policy: m.Policy, LastSeen: base.JSONTime(m.LastSeen)}
}

type replacedGroupJSON struct {
	ID          topics.SourceGroupID `json:"id"`
	Name        string               `json:"name"`
	Repository  topics.RepositoryID  `json:"repository" doc:"where the snapshot is"`
	Local       bool                 `json:"local" doc:"the repository is a directory of the host: it was on the lost machine"`
	Snapshot    string               `json:"snapshot" doc:"the newest from before that can be restored; empty: nothing was ever saved"`
	SavedAt     *time.Time           `json:"saved_at"`
	Files       uint64               `json:"files"`
	Bytes       uint64               `json:"bytes"`
	Schedules   []string             `json:"schedules" nullable:"false"`
	Restores    []topics.JobID       `json:"restores" nullable:"false" doc:"jobs that restore it on the new machine, the latest first"`
	Waits       bool                 `json:"waits" doc:"nobody has decided: it is not backed up, and nothing of it is forgotten"`
	Decision    string               `json:"decision" enum:",restored,start-without"`
	DecidedAt   *time.Time           `json:"decided_at"`
	DecidedBy   string               `json:"decided_by"`
	PinnedUntil *time.Time           `json:"pinned_until" doc:"until then the newest snapshots from before stay, whatever rules say"`
}

type replacementJSON struct {
	BegunAt    *time.Time          `json:"begun_at"`
	BegunBy    string              `json:"begun_by"`
	EnrolledAt *time.Time          `json:"enrolled_at" doc:"since when the new machine is the host; null: it is not yet"`
	EndedAt    *time.Time          `json:"ended_at" doc:"when all was decided, or it was called off; null: it is open"`
	CalledOff  bool                `json:"called_off"`
	Late       bool                `json:"late" doc:"it waits for a decision for more than 14 days"`
	Old        lostMachineJSON     `json:"old" doc:"what the lost machine last said of itself"`
	New        lostMachineJSON     `json:"new" doc:"what the host says of itself now"`
	Groups     []replacedGroupJSON `json:"groups" nullable:"false"`
	Warnings   []string            `json:"warnings" nullable:"false"`
}

type replacementOut struct{ Body replacementJSON }

func (a *API) replacement(ctx context.Context, id topics.HostID) (out replacementJSON, err error) {
	st, err := a.Replacing.Of(ctx, id)
	if err != nil {
		return out, err
	}
	keeps, err := a.Store.KeptBy(ctx, id)
	if err != nil {
		return out, err
	}
	h := st.New
	out = replacementJSON{BegunAt: base.JSONTime(st.BegunAt), BegunBy: st.BegunBy, EnrolledAt: base.JSONTime(st.EnrolledAt),
		EndedAt: base.JSONTime(st.EndedAt), CalledOff: st.CalledOff, Late: st.Late, Old: lostMachineOf(st.Machine),
		New: lostMachineOf(replacing.Machine{Hostname: h.Hostname, OS: h.OS, Arch: h.Arch, Platform: h.Platform, Agent: h.AgentVersion,
			Restic: h.ResticVersion, Policy: h.Policy, LastSeen: h.LastSeen}),
		Groups: []replacedGroupJSON{}, Warnings: filled(st.Warnings(keeps))}
	for _, g := range st.Groups {
		row := replacedGroupJSON{ID: g.Group.Group, Name: g.Name, Repository: g.Repository.ID, Local: g.Local, Snapshot: g.Snapshot,
			SavedAt: base.JSONTime(g.SavedAt), Files: g.Files, Bytes: g.Bytes, Schedules: filled(g.Schedules), Restores: []topics.JobID{},
			Waits: g.Held, Decision: g.Decision, DecidedAt: base.JSONTime(g.DecidedAt), DecidedBy: g.DecidedBy,
			PinnedUntil: base.JSONTime(g.PinnedUntil)}
		for _, j := range g.Restores {
			row.Restores = append(row.Restores, j.ID)
		}
		out.Groups = append(out.Groups, row)
	}
	return out, nil
}

// GetReplacement says how far the replacement of a host's machine has come.
func (a *API) GetReplacement(ctx context.Context, in *hostIn) (*replacementOut, error) {
	if _, err := a.Host(ctx, in.ID); err != nil {
		return nil, err
	}
	body, err := a.replacement(ctx, in.ID)
	if err != nil {
		return nil, problem.Of(err)
	}
	return &replacementOut{body}, nil
}

type beginReplacementOut struct {
	Body struct {
		Token       string          `json:"token" doc:"enrols the new machine; shown here and nowhere else"`
		ExpiresAt   *time.Time      `json:"expires_at"`
		Command     string          `json:"command" doc:"to run on the new machine, for the shell of the old one's system"`
		Replacement replacementJSON `json:"replacement"`
	}
}

// BeginReplacement makes a token with which another machine becomes the host.
func (a *API) BeginReplacement(ctx context.Context, in *hostIn) (*beginReplacementOut, error) {
	if _, err := a.Host(ctx, in.ID); err != nil {
		return nil, err
	}
	token, err := a.Replacing.Begin(ctx, session.Of(ctx).Name, in.ID, enroll.TokenLife)
	if err != nil {
		return nil, problem.Saving("replacement", err)
	}
	st, err := a.Replacing.Of(ctx, in.ID)
	if err != nil {
		return nil, problem.Of(err)
	}
	out := &beginReplacementOut{}
	at, err := a.Reach.Of(ctx)
	if err != nil {
		return nil, err
	}
	if out.Body.Command, err = a.Replacing.Command(ctx, st, at.Dial, token.Secret); err != nil {
		return nil, err
	}
	out.Body.Token, out.Body.ExpiresAt = token.Secret.Reveal(), base.JSONTime(token.Expires)
	out.Body.Replacement, err = a.replacement(ctx, in.ID)
	return out, err
}

type decideReplacementIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Decision *string  `json:"decision,omitempty" doc:"restored: the files are back, as far as wanted; start-without: go on without them"`
		Groups   []string `json:"groups,omitempty" doc:"names of source groups; left out, it is all that wait"`
	}
}

// DecideReplacement says what becomes of the files of source groups.
func (a *API) DecideReplacement(ctx context.Context, in *decideReplacementIn) (*replacementOut, error) {
	if _, err := a.Host(ctx, in.ID); err != nil {
		return nil, err
	}
	said := replace.Input{Decision: in.Body.Decision, Groups: in.Body.Groups}
	if err := a.Replacing.Decide(ctx, session.Of(ctx).Name, in.ID, said); err != nil {
		return nil, problem.Saving("decision", err)
	}
	return a.GetReplacement(ctx, &hostIn{ID: in.ID})
}

// CallOffReplacement ends a replacement before the new machine is enrolled.
func (a *API) CallOffReplacement(ctx context.Context, in *hostIn) (*replacementOut, error) {
	if _, err := a.Host(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := a.Replacing.CallOff(ctx, session.Of(ctx).Name, in.ID); err != nil {
		return nil, problem.Of(err)
	}
	return a.GetReplacement(ctx, in)
}

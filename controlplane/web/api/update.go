package api

import (
	"cmp"
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rollout"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
)

type releaseJSON struct {
	Version  string       `json:"version" doc:"empty if no release lies there"`
	Number   int64        `json:"number" doc:"it only rises"`
	SignedBy string       `json:"signed_by" doc:"the ID of the key"`
	Believed bool         `json:"believed" doc:"the key that this server was built with signed it; agents decide by their own"`
	Targets  []targetJSON `json:"targets"`
	Dir      string       `json:"dir"`
	Problem  string       `json:"problem" doc:"why hosts are not given it; empty if they are"`
	Remedy   string       `json:"remedy"`
}

type targetJSON struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	Name  string `json:"name"`
	There bool   `json:"there" doc:"the program that the manifest names lies there"`
}

type planJSON struct {
	Tag    string `json:"tag" doc:"of its hosts; empty is every host"`
	From   string `json:"from" doc:"HH:MM from which updates begin; empty is at any time"`
	Until  string `json:"until"`
	Zone   string `json:"zone"`
	AtOnce int    `json:"at_once" doc:"how many hosts are updated together"`
}

func planOf(p rollouts.Plan) planJSON {
	out := planJSON{Tag: p.Tag, Zone: p.Zone, AtOnce: p.Most}
	if !p.Always() {
		out.From, out.Until = rollout.Clock(p.From), rollout.Clock(p.Until)
	}
	return out
}

type updateSettingsJSON struct {
	Automatic bool `json:"automatic" doc:"a newer release begins by itself"`
	planJSON
}

type agentVersionJSON struct {
	Version string `json:"version"`
	Number  int64  `json:"number" doc:"0 is not known"`
	Hosts   int    `json:"hosts"`
	Online  int    `json:"online"`
}

type rolloutJSON struct {
	ID      string        `json:"id"`
	Version string        `json:"version"`
	Number  int64         `json:"number"`
	Host    topics.HostID `json:"host" doc:"that it is about alone; empty is several"`
	planJSON
	Automatic bool             `json:"automatic"`
	BeganBy   string           `json:"began_by"`
	BeganAt   *time.Time       `json:"began_at"`
	Wave      int              `json:"wave" doc:"1 is one host, 2 a tenth, 3 the rest"`
	EndedAt   *time.Time       `json:"ended_at"`
	Outcome   rollouts.Outcome `json:"outcome" enum:",done,stopped,failed,superseded" doc:"empty while it goes on"`
	EndedBy   string           `json:"ended_by"`
	Why       string           `json:"why"`
}

func rolloutOf(x rollouts.Rollout) rolloutJSON {
	return rolloutJSON{
		ID:        x.ID,
		Version:   x.Version,
		Number:    x.Number,
		Host:      x.Host,
		planJSON:  planOf(x.Plan),
		Automatic: x.Automatic,
		BeganBy:   x.BeganBy,
		BeganAt:   base.JSONTime(x.BeganAt),
		Wave:      x.Wave,
		EndedAt:   base.JSONTime(x.EndedAt),
		Outcome:   x.Outcome,
		EndedBy:   x.EndedBy,
		Why:       x.Why,
	}
}

type rolloutProgressJSON struct {
	rolloutJSON
	Hosts    int    `json:"hosts" doc:"that are to get the release by it, or got it"`
	Updated  int    `json:"updated"`
	Failed   int    `json:"failed"`
	Updating int    `json:"updating"`
	Waiting  int    `json:"waiting" doc:"can, and were not begun"`
	Offline  int    `json:"offline" doc:"of those"`
	Paused   int    `json:"paused" doc:"of those"`
	Had      int    `json:"had" doc:"had the release already"`
	Cannot   int    `json:"cannot" doc:"cannot be updated from here"`
	Waits    string `json:"waits" doc:"why nothing begins just now"`
}

func rolloutProgressOf(p rollout.Progress) rolloutProgressJSON {
	c := p.Count
	return rolloutProgressJSON{
		rolloutJSON: rolloutOf(p.Rollout),
		Hosts:       c.Hosts,
		Updated:     c.Updated,
		Failed:      c.Failed,
		Updating:    c.Updating,
		Waiting:     c.Waiting,
		Offline:     c.Offline,
		Paused:      c.Paused,
		Had:         c.Has,
		Cannot:      c.Cannot,
		Waits:       p.Waits,
	}
}

type updatesOut struct {
	Body struct {
		Release  releaseJSON           `json:"release"`
		Settings updateSettingsJSON    `json:"settings"`
		Versions []agentVersionJSON    `json:"versions"`
		Current  int                   `json:"current" doc:"hosts that run the release, or a newer one"`
		Behind   int                   `json:"behind" doc:"hosts that run an older one"`
		Can      int                   `json:"can" doc:"of those, how many can be updated from here"`
		Cannot   int                   `json:"cannot" doc:"hosts that cannot be updated from here; list-host-updates says why"`
		Going    []rolloutProgressJSON `json:"going" doc:"rollouts that go on"`
	}
}

// GetUpdates says how updates stand.
func (a *API) GetUpdates(ctx context.Context, _ *struct{}) (*updatesOut, error) {
	o, err := a.Rollouts.Overview(ctx)
	if err != nil {
		return nil, err
	}
	out := &updatesOut{}
	b, r := &out.Body, o.Release
	b.Release = releaseJSON{Version: r.Version, Number: r.Number, SignedBy: r.SignedBy, Believed: r.Believed, Targets: []targetJSON{},
		Dir: r.Dir, Problem: r.Say, Remedy: r.Remedy}
	for _, p := range r.Programs {
		_, there := r.For(p.OS, p.Arch)
		b.Release.Targets = append(b.Release.Targets, targetJSON{OS: p.OS, Arch: p.Arch, Name: p.Name, There: there})
	}
	b.Settings = updateSettingsJSON{Automatic: o.Settings.Automatic, planJSON: planOf(o.Settings.Plan)}
	b.Versions, b.Going = []agentVersionJSON{}, []rolloutProgressJSON{}
	for _, v := range o.Versions {
		b.Versions = append(b.Versions, agentVersionJSON{Version: v.Version, Number: v.Number, Hosts: v.Hosts, Online: v.Online})
	}
	for _, p := range o.Going {
		b.Going = append(b.Going, rolloutProgressOf(p))
	}
	b.Current, b.Behind, b.Can, b.Cannot = o.Current, o.Behind, o.Can, len(o.Cannot)
	return out, nil
}

type hostUpdateJSON struct {
	Host     topics.HostID `json:"host"`
	Name     string        `json:"name"`
	Version  string        `json:"version" doc:"of its agent"`
	Number   int64         `json:"number" doc:"0 is not known"`
	Online   bool          `json:"online"`
	Latest   string        `json:"latest" doc:"what it may be updated to from here, else its version"`
	Behind   bool          `json:"behind" doc:"what lies here is newer"`
	Cannot   string        `json:"cannot" doc:"why it cannot be updated from here; empty if it can"`
	Remedy   string        `json:"remedy"`
	Job      topics.JobID  `json:"job" doc:"an update that is under way"`
	WentBack *wentBackJSON `json:"went_back" doc:"when its agent last left a version for the one before; null is never"`
}

type wentBackJSON struct {
	Version string       `json:"version" doc:"that was left"`
	Number  int64        `json:"number"`
	At      *time.Time   `json:"at"`
	Cause   topics.Cause `json:"cause"`
	Message string       `json:"message"`
}

type listHostUpdatesIn struct {
	Limit int           `query:"limit" minimum:"0" maximum:"20000" doc:"0 is all"`
	After topics.HostID `query:"after" doc:"the ID of the last host the client has: what comes behind it by name follows"`
	Tag   string        `query:"tag"`
}

// ListHostUpdates lists the versions of agents, by the hosts' names.
func (a *API) ListHostUpdates(ctx context.Context, in *listHostUpdatesIn) (*list1[hostUpdateJSON], error) {
	m, err := a.Moment(ctx)
	if err != nil {
		return nil, err
	}
	lies := a.Rollouts.Release()
	out := []hostUpdateJSON{}
	for _, e := range m.NamedBehind(fleet.Filter{Tag: in.Tag}, in.After, cmp.Or(in.Limit, m.Len())) {
		x := hostUpdateJSON{Host: e.ID, Name: e.Name, Version: e.AgentVersion, Number: rollout.Number(e.Host),
			Online: e.Connection == hosts.Online, Latest: rollout.Latest(e.Host, lies), Behind: rollout.Behind(e.Host, lies)}
		x.Cannot, x.Remedy = a.Rollouts.Cannot(e.Host, lies)
		for _, j := range e.Open {
			if j.Kind == topics.UpdateJob && !j.OfRestic() {
				x.Job = j.ID
			}
		}
		if u := e.Updates.V; u != nil && u.Back != nil {
			x.WentBack = &wentBackJSON{Version: u.Back.Version, Number: u.Back.From, At: base.JSONTime(u.Back.At), Cause: u.Back.Cause,
				Message: u.Back.Message}
		}
		out = append(out, x)
	}
	return &list1[hostUpdateJSON]{out}, nil
}

type putUpdateSettingsIn struct {
	Body struct {
		Automatic *bool   `json:"automatic,omitempty" doc:"a newer release begins by itself"`
		Tag       *string `json:"tag,omitempty" doc:"of the hosts; empty is every host"`
		From      *string `json:"from,omitempty" doc:"HH:MM; empty, as until, is at any time"`
		Until     *string `json:"until,omitempty"`
		Zone      *string `json:"zone,omitempty" doc:"in which the hours are read, such as Europe/Berlin"`
		AtOnce    *int    `json:"at_once,omitempty"`
	}
}

type updateSettingsOut struct{ Body updateSettingsJSON }

// PutUpdateSettings sets whether rollouts begin by themselves.
func (a *API) PutUpdateSettings(ctx context.Context, in *putUpdateSettingsIn) (*updateSettingsOut, error) {
	b := in.Body
	set, err := a.Rollouts.Put(ctx, session.Of(ctx).Name, b.Automatic,
		rollout.Input{Tag: b.Tag, From: b.From, Until: b.Until, Zone: b.Zone, AtOnce: b.AtOnce})
	if err != nil {
		return nil, problem.Saving("setting", err)
	}
	return &updateSettingsOut{updateSettingsJSON{Automatic: set.Automatic, planJSON: planOf(set.Plan)}}, nil
}

type listRolloutsIn struct {
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

// ListRollouts lists rollouts.
func (a *API) ListRollouts(ctx context.Context, in *listRolloutsIn) (*list1[rolloutJSON], error) {
	rows, err := a.Store.Rollouts().Latest(ctx, in.Limit)
	out := make([]rolloutJSON, len(rows))
	for i, x := range rows {
		out[i] = rolloutOf(x)
	}
	return &list1[rolloutJSON]{out}, err
}

type createRolloutIn struct {
	Body struct {
		Host   string  `json:"host,omitempty" doc:"the ID or name of one host, and of no other"`
		Tag    *string `json:"tag,omitempty" doc:"of the hosts; every host unless said"`
		From   *string `json:"from,omitempty" doc:"HH:MM from which updates begin, in zone; at any time unless said"`
		Until  *string `json:"until,omitempty" doc:"HH:MM; may be before from, past midnight"`
		Zone   *string `json:"zone,omitempty" doc:"such as Europe/Berlin; UTC unless said"`
		AtOnce *int    `json:"at_once,omitempty" doc:"how many hosts are updated together; 10 unless said"`
	}
}

type rolloutOut struct{ Body rolloutJSON }

// CreateRollout begins a rollout of what lies here.
func (a *API) CreateRollout(ctx context.Context, in *createRolloutIn) (*rolloutOut, error) {
	b := in.Body
	x, _, err := a.Rollouts.Begin(ctx, session.Of(ctx).Name,
		rollout.Input{Host: b.Host, Tag: b.Tag, From: b.From, Until: b.Until, Zone: b.Zone, AtOnce: b.AtOnce})
	if err != nil {
		return nil, problem.Saving("update", err)
	}
	return &rolloutOut{rolloutOf(x)}, nil
}

type rolloutIn struct {
	ID string `path:"id"`
}

type rolloutHostJSON struct {
	Host    topics.HostID  `json:"host"`
	Name    string         `json:"name"`
	Wave    int            `json:"wave"`
	State   rollouts.State `json:"state" enum:"updating,updated,failed,cannot,cancelled,later"`
	Why     string         `json:"why"`
	Job     topics.JobID   `json:"job"`
	BeganAt *time.Time     `json:"began_at"`
	EndedAt *time.Time     `json:"ended_at"`
}

type getRolloutOut struct {
	Body struct {
		rolloutProgressJSON
		Members []rolloutHostJSON `json:"members" doc:"the hosts that it has begun with"`
	}
}

// GetRollout is one with its hosts.
func (a *API) GetRollout(ctx context.Context, in *rolloutIn) (*getRolloutOut, error) {
	p, err := a.Rollouts.Progress(ctx, in.ID)
	if err != nil {
		return nil, problem.Of(err)
	}
	m, err := a.Moment(ctx)
	if err != nil {
		return nil, err
	}
	out := &getRolloutOut{}
	out.Body.rolloutProgressJSON, out.Body.Members = rolloutProgressOf(p), []rolloutHostJSON{}
	for _, x := range p.Members {
		out.Body.Members = append(out.Body.Members, rolloutHostJSON{Host: x.Host, Name: m.Name(x.Host), Wave: x.Wave, State: x.State, Why: x.Why,
			Job: x.Job, BeganAt: base.JSONTime(x.BeganAt), EndedAt: base.JSONTime(x.EndedAt)})
	}
	return out, nil
}

// StopRollout ends a rollout. One that was stopped is stopped.
func (a *API) StopRollout(ctx context.Context, in *rolloutIn) (*rolloutOut, error) {
	if err := a.Rollouts.Stop(ctx, session.Of(ctx).Name, in.ID); err != nil {
		return nil, problem.Of(err)
	}
	x, err := a.Store.Rollouts().Rollout(ctx, in.ID)
	if err != nil {
		return nil, problem.Of(err)
	}
	return &rolloutOut{rolloutOf(x)}, nil
}

package api

import (
	"cmp"
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

type resticLackJSON struct {
	What    string `json:"what" doc:"as in: restic 0.14.0 is too old for"`
	Since   string `json:"since" doc:"the first restic that has it"`
	Instead string `json:"instead" doc:"what an older one does"`
	Weight  string `json:"weight" enum:"less,refused,fault" doc:"less: it goes on without; refused: it is not done; fault: it is done wrong"`
}

func lacksOf(list []since.Feature) []resticLackJSON {
	out := []resticLackJSON{}
	for _, f := range list {
		weight := map[since.Weight]string{since.Less: "less", since.Refused: "refused", since.Fault: "fault"}[f.Weight]
		out = append(out, resticLackJSON{What: f.What, Since: f.Since.String(), Instead: f.Else, Weight: weight})
	}
	return out
}

type resticVersionJSON struct {
	Version string           `json:"version"`
	Hosts   int              `json:"hosts"`
	Online  int              `json:"online"`
	Lacks   []resticLackJSON `json:"lacks" doc:"what weighs most first"`
}

type resticsOut struct {
	Body struct {
		Versions []resticVersionJSON `json:"versions" doc:"the newest first"`
		Newest   string              `json:"newest" doc:"the first restic that lacks nothing of what is used"`
		Lacking  int                 `json:"lacking" doc:"hosts whose restic lacks something"`
		Faulty   int                 `json:"faulty" doc:"of those, hosts whose restic does something wrong"`
		None     int                 `json:"none" doc:"hosts on which no restic is found, or runs; list-host-restics names them"`
	}
}

// GetRestics says which restic runs where.
func (a *API) GetRestics(ctx context.Context, _ *struct{}) (*resticsOut, error) {
	m, err := a.Moment(ctx)
	if err != nil {
		return nil, err
	}
	o, out := restics.Of(m), &resticsOut{}
	b := &out.Body
	b.Versions, b.Newest, b.Lacking, b.Faulty, b.None = []resticVersionJSON{}, o.Newest, o.Lacking, o.Faulty, len(o.None)
	for _, v := range o.Versions {
		b.Versions = append(b.Versions, resticVersionJSON{Version: v.Version, Hosts: len(v.Hosts), Online: v.Online, Lacks: lacksOf(v.Lacks)})
	}
	return out, nil
}

type hostResticJSON struct {
	Host    topics.HostID    `json:"host"`
	Name    string           `json:"name"`
	Version string           `json:"version" doc:"empty if none is found there, or it does not run"`
	Online  bool             `json:"online"`
	Known   bool             `json:"known" doc:"what it lacks is known"`
	Lacks   []resticLackJSON `json:"lacks"`
	Fetched string           `json:"fetched" doc:"the file of which its agent fetched it; empty is the host's own"`
	Problem string           `json:"problem" doc:"why one that was fetched is not used; empty if it is, or none was"`
	Cannot  string           `json:"cannot" doc:"why its agent cannot be told to fetch another; empty if it can"`
	Remedy  string           `json:"remedy"`
}

// ListHostRestics lists the restic of each host, by the hosts' names.
func (a *API) ListHostRestics(ctx context.Context, in *listHostUpdatesIn) (*list1[hostResticJSON], error) {
	m, err := a.Moment(ctx)
	if err != nil {
		return nil, err
	}
	out := []hostResticJSON{}
	for _, e := range m.NamedBehind(fleet.Filter{Tag: in.Tag}, in.After, cmp.Or(in.Limit, m.Len())) {
		list, known := restics.Lacks(e.Host)
		x := hostResticJSON{Host: e.ID, Name: e.Name, Version: e.ResticVersion, Online: e.Connection == hosts.Online, Known: known,
			Lacks: lacksOf(list)}
		x.Cannot, x.Remedy = restics.MayFetch(e.Host)
		if u := e.Updates.V; u != nil && u.Restic != nil {
			x.Fetched, x.Problem = u.Restic.Name, u.Restic.Why
		}
		out = append(out, x)
	}
	return &list1[hostResticJSON]{out}, nil
}

type resticFileJSON struct {
	Name     string     `json:"name" doc:"as restic releases it"`
	Version  string     `json:"version"`
	OS       string     `json:"os"`
	Arch     string     `json:"arch"`
	Size     int64      `json:"size"`
	SHA256   string     `json:"sha256" doc:"of what lies here; empty if it does not"`
	Listed   string     `json:"listed" doc:"its checksum as SHA256SUMS beside it has it; empty if it does not name the file"`
	Pinned   string     `json:"pinned" doc:"the checksum that was confirmed; empty if none was"`
	PinnedBy string     `json:"pinned_by"`
	PinnedAt *time.Time `json:"pinned_at"`
	Problem  string     `json:"problem" doc:"why hosts are not told to fetch it; empty if they may be"`
}

func resticFileOf(f restics.File) resticFileJSON {
	out := resticFileJSON{Name: f.Name, Version: f.Version, OS: f.OS, Arch: f.Arch, Size: f.Size, SHA256: f.SHA256, Listed: f.Listed,
		Problem: f.Say}
	if f.Pin != nil {
		out.Pinned, out.PinnedBy, out.PinnedAt = f.Pin.SHA256, f.Pin.PinnedBy, base.JSONTime(f.Pin.PinnedAt)
	}
	return out
}

// ListResticFiles lists the files with restic that lie here, and those that were confirmed.
func (a *API) ListResticFiles(ctx context.Context, _ *struct{}) (*list1[resticFileJSON], error) {
	list, err := a.Restics.Files(ctx)
	out := []resticFileJSON{}
	for _, f := range list {
		out = append(out, resticFileOf(f))
	}
	return &list1[resticFileJSON]{out}, err
}

type resticFileIn struct {
	Name string `path:"name" doc:"as restic releases it"`
}

type putResticFileIn struct {
	Name string `path:"name" doc:"as restic releases it"`
	Body struct {
		SHA256 string `json:"sha256" doc:"as restic's SHA256SUMS has it: the file that lies here has to have it"`
	}
}

type resticFileOut struct{ Body resticFileJSON }

// PutResticFile confirms the checksum of a file.
func (a *API) PutResticFile(ctx context.Context, in *putResticFileIn) (*resticFileOut, error) {
	f, err := a.Restics.Pin(ctx, session.Of(ctx).Name, in.Name, in.Body.SHA256)
	if err != nil {
		return nil, problem.Saving("checksum", err)
	}
	return &resticFileOut{resticFileOf(f)}, nil
}

// DeleteResticFile has hosts be told to fetch a file no more.
func (a *API) DeleteResticFile(ctx context.Context, in *resticFileIn) (*struct{}, error) {
	return nil, problem.Of(a.Restics.Unpin(ctx, session.Of(ctx).Name, in.Name))
}

type fetchResticIn struct {
	Body struct {
		Host    string `json:"host,omitempty" doc:"the ID or name of one host, and of no other"`
		Tag     string `json:"tag,omitempty" doc:"of the hosts"`
		All     bool   `json:"all,omitempty" doc:"every host that is in use; one of host, tag and all has to be said"`
		Version string `json:"version,omitempty" doc:"of files that lie here and were confirmed; each host gets the one for its system"`
		Older   bool   `json:"older,omitempty" doc:"it may be older than the one that a host has"`
		Back    bool   `json:"back,omitempty" doc:"instead of a version: the restic that each host used before"`
	}
}

type resticAskedJSON struct {
	Host   topics.HostID `json:"host"`
	Name   string        `json:"name"`
	Job    topics.JobID  `json:"job" doc:"empty if there is none"`
	Why    string        `json:"why" doc:"why there is none; empty if there is one"`
	Remedy string        `json:"remedy"`
}

// FetchRestic has hosts use another restic.
func (a *API) FetchRestic(ctx context.Context, in *fetchResticIn) (*list1[resticAskedJSON], error) {
	rows, err := a.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	b := in.Body
	hosts, err := restics.Wanted(rows, restics.Which{Host: b.Host, Tag: b.Tag, All: b.All})
	if err != nil {
		return nil, problem.Of(err)
	}
	list, err := a.Restics.Fetch(ctx, session.Of(ctx).Name, hosts, restics.Want{Version: b.Version, Older: b.Older, Back: b.Back})
	if err != nil {
		return nil, problem.Of(err)
	}
	out := []resticAskedJSON{}
	for _, x := range list {
		out = append(out, resticAskedJSON{Host: x.Host.ID, Name: x.Host.Name, Job: x.Job.ID, Why: x.Why, Remedy: x.Do})
	}
	return &list1[resticAskedJSON]{out}, nil
}

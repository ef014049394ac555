package api

import (
	"context"
	"net/url"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/asked"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/heartbeats"
)

// A beatJSON is how an address elsewhere is doing that is told that all is well.
type beatJSON struct {
	URL          string     `json:"url" doc:"where it is; the rest of the address is a secret, and … here. Empty if there is none"`
	Kind         string     `json:"kind" enum:",healthchecks,uptime-kuma,cronitor,plain" doc:"whose service it is"`
	LastAt       *time.Time `json:"last_at" doc:"of the last try"`
	LastOKAt     *time.Time `json:"last_ok_at" doc:"null for never"`
	LastAnswer   string     `json:"last_answer"`
	FailingSince *time.Time `json:"failing_since" doc:"null if the last try went well, or there was none"`
	Version      int64      `json:"version" doc:"rises with each change"`
}

func beatOf(address string, kind heartbeat.Kind, version int64, s heartbeat.Status) beatJSON {
	return beatJSON{URL: shownURL(address), Kind: string(kind), LastAt: base.JSONTime(s.LastAt), LastOKAt: base.JSONTime(s.LastOKAt),
		LastAnswer: s.Answer, FailingSince: base.JSONTime(s.FailingSince), Version: version}
}

// shownURL is an address without what only its owner knows.
func shownURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/…"
}

type heartbeatOut struct {
	Body struct {
		beatJSON
		Every int64 `json:"every" doc:"seconds between two pings"`
	}
}

// GetHeartbeat answers with the outside heartbeat, and how it is doing.
func (a *API) GetHeartbeat(ctx context.Context, _ *struct{}) (*heartbeatOut, error) {
	set, version, err := a.Heartbeat.Get(ctx)
	if err != nil {
		return nil, err
	}
	out := &heartbeatOut{}
	out.Body.beatJSON, out.Body.Every = beatOf(set.URL, set.Kind, version, a.Heartbeat.Status()), set.Every
	return out, nil
}

type putHeartbeatIn struct {
	Body struct {
		URL     *string `json:"url,omitempty" doc:"that is pinged while the control plane really works; empty ends it; left out stays"`
		Every   *int64  `json:"every,omitempty" doc:"seconds, 30 to 86,400; left out stays, or is 60"`
		Kind    *string `json:"kind,omitempty" enum:",healthchecks,uptime-kuma,cronitor,plain" doc:"left out is found from the address"`
		Version int64   `json:"version,omitempty" doc:"refused if it has another one; 0 or left out does not ask"`
	}
}

// PutHeartbeat says where the control plane tells that it works.
func (a *API) PutHeartbeat(ctx context.Context, in *putHeartbeatIn) (*heartbeatOut, error) {
	set, version, err := a.Heartbeat.Get(ctx)
	b := in.Body
	if err != nil && b.URL == nil { // an address that cannot be read is entered again
		return nil, err
	}
	if b.URL != nil {
		set.URL, set.Kind = *b.URL, ""
	}
	if b.Every != nil {
		set.Every = *b.Every
	}
	if b.Kind != nil {
		set.Kind = heartbeat.Kind(*b.Kind)
	}
	if b.Version != 0 {
		version = b.Version
	}
	if err := a.Heartbeat.Set(ctx, session.Of(ctx).Name, set, version); err != nil {
		return nil, problem.Saving("heartbeat", err)
	}
	return a.GetHeartbeat(ctx, nil)
}

// A pingJSON is an address that is told of good backups.
type pingJSON struct {
	beatJSON
	Scope   string `json:"scope" enum:"host,tag,schedule"`
	Subject string `json:"subject" doc:"the host's or the schedule's ID, or the tag"`
	Waiting int    `json:"waiting" doc:"how much is still to be told"`
}

type listPingsOut struct {
	Body struct {
		Pings []pingJSON `json:"pings" nullable:"false"`
	}
}

// ListPings lists the addresses that are told of good backups.
func (a *API) ListPings(ctx context.Context, _ *struct{}) (*listPingsOut, error) {
	list, err := a.Heartbeat.Pings(ctx)
	if err != nil {
		return nil, err
	}
	out := &listPingsOut{}
	out.Body.Pings = make([]pingJSON, len(list))
	for i, p := range list {
		out.Body.Pings[i] = pingJSON{beatJSON: beatOf(p.URL, p.Kind, p.Version, p.Status), Scope: string(p.Scope), Subject: p.Subject,
			Waiting: p.Waiting}
	}
	return out, nil
}

type putPingIn struct {
	Body struct {
		Scope   string `json:"scope" enum:"host,tag,schedule"`
		Subject string `json:"subject" doc:"the host's ID or name, the tag, or the schedule's ID"`
		URL     string `json:"url" doc:"that is told when backups begin, are done and fail; empty takes it away"`
		Kind    string `json:"kind,omitempty" enum:",healthchecks,uptime-kuma,cronitor,plain" doc:"left out is found from the address"`
	}
}

// PutPing says where it is told that a host, the hosts with a tag, or a schedule backs up.
func (a *API) PutPing(ctx context.Context, in *putPingIn) (*listPingsOut, error) {
	p := heartbeat.Ping{Scope: heartbeats.Scope(in.Body.Scope), Subject: in.Body.Subject, URL: in.Body.URL, Kind: heartbeat.Kind(in.Body.Kind)}
	if p.Scope == heartbeats.OfHost {
		names, err := asked.NamesOf(ctx, a.Store)
		if err != nil {
			return nil, err
		}
		p.Subject = string(names.Host(p.Subject))
	}
	list, err := a.Heartbeat.Pings(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		if one.Scope == p.Scope && one.Subject == p.Subject {
			p.Version = one.Version
		}
	}
	if err := a.Heartbeat.SetPing(ctx, session.Of(ctx).Name, p); err != nil {
		return nil, problem.Saving("heartbeat", err)
	}
	return a.ListPings(ctx, nil)
}

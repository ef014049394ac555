package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/topics"
)

// How often the control plane says that it works, in seconds.
const (
	Least   = 30
	Longest = 24 * 60 * 60
	Usual   = 60
)

// Settings are the outside heartbeat of the control plane.
type Settings struct {
	URL   string // "" is none
	Every int64  // seconds; 0 is [Usual]
	Kind  Kind   // "" is found from the address
}

// A Ping is an address that is told of the good backups of a host, of the hosts with a tag, or
// of a schedule, and how that goes.
type Ping struct {
	Scope   heartbeats.Scope
	Subject string // the host's or the schedule's ID, the tag
	URL     string // "" removes it
	Kind    Kind   // "" is found from the address
	Version int64  // that was read; 0 for a new one
	Status  Status
	Waiting int // how much is still to be said
}

// Get returns the outside heartbeat, and its version: 0 if there is none. Whoever sets it
// gives that back.
func (s *Service) Get(ctx context.Context) (Settings, int64, error) {
	h, err := s.Store.Heartbeat(ctx, heartbeats.OfPlane, "")
	switch {
	case errors.Is(err, heartbeats.ErrNone):
		return Settings{Every: Usual}, 0, nil
	case err != nil:
		return Settings{}, 0, err
	}
	set := Settings{URL: string(h.URL), Every: h.Every, Kind: Kind(h.Kind)}
	if h.Unread != nil {
		return set, h.Version, fmt.Errorf("the address of the outside heartbeat cannot be read; enter it again: %w", h.Unread)
	}
	return set, h.Version, nil
}

// Set changes the outside heartbeat, or ends it if there is no address. The next ping follows
// at once. [heartbeats.ErrMoved] is that somebody changed it since it was read;
// [field.Errors] says what is wrong with it.
func (s *Service) Set(ctx context.Context, actor string, set Settings, version int64) error {
	if set.Every == 0 {
		set.Every = Usual
	}
	wrong := field.Errors{}
	if set.Every < Least || set.Every > Longest {
		wrong.Say("every", "Between 30 seconds and a day.")
	}
	kind := checked(&set.URL, set.Kind, wrong)
	if err := wrong.Err(); err != nil {
		return err
	}
	_, err := s.Store.PutHeartbeat(ctx, actor, heartbeats.Heartbeat{Scope: heartbeats.OfPlane, Kind: string(kind),
		URL: topics.Secret(set.URL), Every: set.Every, Version: version})
	if err == nil {
		s.stir(true)
	}
	return err
}

// Pings lists the addresses that are told of backups.
func (s *Service) Pings(ctx context.Context) ([]Ping, error) {
	rows, err := s.Store.Heartbeats(ctx)
	if err != nil {
		return nil, err
	}
	waiting, err := s.Store.WaitingPings(ctx)
	if err != nil {
		return nil, err
	}
	list := []Ping{}
	for _, h := range rows {
		if h.Scope == heartbeats.OfPlane {
			continue
		}
		list = append(list, Ping{Scope: h.Scope, Subject: h.Subject, URL: string(h.URL), Kind: Kind(h.Kind), Version: h.Version,
			Status: statusOf(h), Waiting: waiting[h.ID]})
	}
	return list, nil
}

// SetPing sets the address of a scope and subject, or removes it if it is empty. Errors are
// as those of Set; [store.ErrNotFound] is that there is no such host or schedule.
func (s *Service) SetPing(ctx context.Context, actor string, p Ping) error {
	wrong := field.Errors{}
	kind := checked(&p.URL, p.Kind, wrong)
	if !slices.Contains([]heartbeats.Scope{heartbeats.OfHost, heartbeats.OfTag, heartbeats.OfSchedule}, p.Scope) {
		wrong.Say("scope", "One of host, tag and schedule.")
	} else if p.Subject == "" || !field.Visible(p.Subject) || len(p.Subject) > 200 {
		wrong.Say("subject", "Say of which "+string(p.Scope)+".")
	}
	if err := wrong.Err(); err != nil {
		return err
	}
	if p.URL != "" {
		var err error
		switch p.Scope {
		case heartbeats.OfHost:
			_, err = s.Store.Host(ctx, topics.HostID(p.Subject))
		case heartbeats.OfSchedule:
			err = s.schedule(ctx, store.ScheduleID(p.Subject))
		}
		if err != nil {
			return err
		}
	}
	_, err := s.Store.PutHeartbeat(ctx, actor, heartbeats.Heartbeat{Scope: p.Scope, Subject: p.Subject, Kind: string(kind),
		URL: topics.Secret(p.URL), Version: p.Version})
	if err == nil {
		s.stir(false)
	}
	return err
}

// schedule returns [store.ErrNotFound] if there is no such schedule.
func (s *Service) schedule(ctx context.Context, id store.ScheduleID) error {
	all, err := s.Store.Schedules(ctx, "")
	if err == nil && !slices.ContainsFunc(all, func(sc store.Schedule) bool { return sc.ID == id }) {
		err = store.ErrNotFound
	}
	return err
}

// checked says what is wrong with an address and its kind, and returns the kind that counts.
func checked(address *string, kind Kind, wrong field.Errors) Kind {
	*address = field.Clean(*address)
	if kind != "" && !slices.Contains(Kinds, kind) {
		wrong.Say("kind", "One of healthchecks, uptime-kuma, cronitor and plain.")
	}
	if *address == "" {
		return kind
	}
	u, err := url.Parse(*address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || !field.Visible(*address) || len(*address) > longest {
		wrong.Say("url", "A whole address that begins with https:// or http://, as the service shows it.")
		return kind
	}
	if kind == "" {
		kind = KindOf(u)
	}
	if kind == Kuma && KindOf(u) != Kuma {
		wrong.Say("url", "The push URL of an Uptime Kuma has /api/push/ in it.")
	}
	return kind
}

package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type hostJSON struct {
	ID            topics.HostID    `json:"id"`
	Name          string           `json:"name"`
	Online        bool             `json:"online" doc:"its agent can be reached now"`
	Connection    hosts.Connection `json:"connection" enum:"online,offline,unknown"`
	Status        hosts.Status     `json:"status" doc:"how well it is protected, in one word"`
	Platform      string           `json:"platform"`
	AgentVersion  string           `json:"agent_version"`
	ResticVersion string           `json:"restic_version"`
	LastSeen      *time.Time       `json:"last_seen"`
	LastBackup    *time.Time       `json:"last_backup" doc:"the last one that left a complete snapshot"`
	LastJob       topics.JobID     `json:"last_job" doc:"the last one that ended, or empty"`
	RunningJob    topics.JobID     `json:"running_job" doc:"or empty"`
	Intermittent  bool             `json:"intermittent" doc:"it comes and goes, as laptops do: asleep is no trouble"`
	OverdueDays   int64            `json:"overdue_days" doc:"without a good backup, until an intermittent host is overdue; 0 is never"`
	Config        configJSON       `json:"config" doc:"the host's copy of its schedules"`
}

type listHostsIn struct {
	Limit  int           `query:"limit" minimum:"1" maximum:"1000" doc:"how many at most; all if it is left out"`
	After  topics.HostID `query:"after" doc:"the ID of the last host the client has: what comes behind it by name follows"`
	Query  string        `query:"q" maxLength:"200" doc:"part of the name, the hostname, the platform or the ID, in capitals or not"`
	Status string        `query:"status" enum:"protected,running,warning,failed,no-backup-yet,overdue,asleep" doc:"only with this status"`
}

// ListHosts lists hosts by name.
func (a *API) ListHosts(ctx context.Context, in *listHostsIn) (*list1[hostJSON], error) {
	m, err := a.Moment(ctx)
	if err != nil {
		return nil, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = m.Len()
	}
	rows := m.NamedBehind(fleet.Filter{Status: hosts.Status(in.Status), Text: in.Query}, in.After, limit)
	out := make([]hostJSON, len(rows))
	for i, h := range rows {
		_, seen := a.Presence.Connection(h.ID)
		out[i] = hostJSON{ID: h.ID, Name: h.Name, Online: h.Connection == hosts.Online, Connection: h.Connection, Status: h.Status,
			Platform: base.System(
				h.Host,
			), AgentVersion: h.AgentVersion, ResticVersion: h.ResticVersion, LastSeen: base.JSONTime(max(0, seen.UnixMilli())),
			LastBackup: base.JSONTime(
				h.GoodAt,
			), LastJob: h.LastJob, Intermittent: h.Intermittent, OverdueDays: h.OverdueDays, Config: configOf(h.Host)}
		if h.Running() {
			out[i].RunningJob = h.Busy().ID
		}
	}
	return &list1[hostJSON]{out}, nil
}

type putHostIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Name         *string `json:"name,omitempty" doc:"1 to 100 characters, no other host's"`
		Retired      *bool   `json:"retired,omitempty" doc:"it keeps its snapshots and is judged no longer; none of its schedules fires"`
		Intermittent *bool   `json:"intermittent,omitempty" doc:"it comes and goes, as laptops do"`
		OverdueDays  *int64  `json:"overdue_days,omitempty" doc:"without a good backup, until it is overdue, 0 to 365; 0 is never"`
	}
}

type putHostOut struct {
	Body struct {
		Name         string `json:"name"`
		Retired      bool   `json:"retired"`
		Intermittent bool   `json:"intermittent"`
		OverdueDays  int64  `json:"overdue_days"`
	}
}

// PutHost changes a host's settings; what is left out stays as it is.
func (a *API) PutHost(ctx context.Context, in *putHostIn) (*putHostOut, error) {
	h, err := a.HostSettings.Put(
		ctx,
		session.Of(ctx).Name,
		in.ID,
		hosts.Input{Name: in.Body.Name, Retired: in.Body.Retired, Intermittent: in.Body.Intermittent, OverdueDays: in.Body.OverdueDays},
	)
	if err != nil {
		return nil, problem.Saving("host", err)
	}
	out := &putHostOut{}
	out.Body.Intermittent, out.Body.OverdueDays = h.Intermittent, h.OverdueDays
	out.Body.Name, out.Body.Retired = h.Name, h.RetiredAt > 0
	return out, nil
}

type pendingJSON struct {
	Slot          *time.Time `json:"slot" doc:"the latest that is owed"`
	Attempt       int        `json:"attempt" doc:"how many times it has been tried again"`
	NextAttemptAt *time.Time `json:"next_attempt_at" doc:"or when the host is back"`
	Reason        string     `json:"reason" doc:"host: it could not be reached; else the cause of the failure"`
}

type configJSON struct {
	Wanted    int64      `json:"wanted" doc:"revision of all that the host is to do by itself"`
	WantedAt  *time.Time `json:"wanted_at" doc:"when it became that"`
	InForce   int64      `json:"in_force" doc:"the revision the host goes by; -1 if its agent is too old, then this server fires for it"`
	InForceAt *time.Time `json:"in_force_at" doc:"when it said so"`
	Error     string     `json:"error" doc:"what of it the agent cannot do, or empty"`
}

func configOf(h store.Host) configJSON {
	return configJSON{
		Wanted:    h.ConfigRevision,
		WantedAt:  base.JSONTime(h.ConfigMadeAt),
		InForce:   h.ConfigApplied,
		InForceAt: base.JSONTime(h.ConfigAppliedAt),
		Error:     h.ConfigError,
	}
}

type hostIn struct {
	ID topics.HostID `path:"id"`
}

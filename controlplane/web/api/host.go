package api

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

type hostJSON struct {
	ID              topics.HostID     `json:"id"`
	Name            string            `json:"name"`
	Online          bool              `json:"online" doc:"its agent can be reached now"`
	Connection      hosts.Connection  `json:"connection" enum:"online,offline,unknown"`
	Status          protection.Status `json:"status" doc:"how well it is protected: the worst of its groups, in one word"`
	Reason          string            `json:"reason" doc:"why, in a sentence"`
	Cause           string            `json:"cause" doc:"a stable key of the reason, empty while protected"`
	Since           *time.Time        `json:"since" doc:"since when; null if that is not known"`
	PromisedBy      string            `json:"promised_by" doc:"what was promised: the schedules, or the limit in days; empty for nothing"`
	LastGood        *time.Time        `json:"last_good" doc:"when the newest backup ended that can be restored whole"`
	RestorableBytes uint64            `json:"restorable_bytes" doc:"what restoring the last good backup of each group would write"`
	Snapshots       int               `json:"snapshots" doc:"of its groups, in the repositories they are backed up to now"`
	Proven          drills.Word       `json:"proven" enum:"proven,not-proven,failed" doc:"whether drills proved that it can be restored"`
	ProvenAt        *time.Time        `json:"proven_at" doc:"since when; null while one of its source groups never was"`
	Groups          []groupStateJSON  `json:"groups" doc:"by name"`
	Platform        string            `json:"platform"`
	AgentVersion    string            `json:"agent_version"`
	ResticVersion   string            `json:"restic_version"`
	LastSeen        *time.Time        `json:"last_seen"`
	LastBackup      *time.Time        `json:"last_backup" doc:"the same as last_good"`
	LastResult      topics.JobState   `json:"last_result" doc:"how the last backup ended, or empty; other jobs do not count"`
	LastJob         topics.JobID      `json:"last_job" doc:"the last one that ended, of whatever kind, or empty"`
	RunningJob      topics.JobID      `json:"running_job" doc:"the one that has been at work the longest, or empty"`
	RunningMore     int               `json:"running_more" doc:"how many more are at work; list the host's jobs for them"`
	PausedUntil     *time.Time        `json:"paused_until" doc:"when its schedules go on by themselves; null while they are not paused"`
	PausedBy        string            `json:"paused_by" doc:"who paused them, or empty"`
	Intermittent    bool              `json:"intermittent" doc:"it comes and goes, as laptops do: asleep is no trouble"`
	OverdueDays     int64             `json:"overdue_days" doc:"the limit in days without a good backup; 0 is the default"`
	JobsAtOnce      int               `json:"jobs_at_once" doc:"how many jobs it may run at once, each in a repository of its own"`
	Disk            *diskJSON         `json:"disk" doc:"of its agent's state; null while it is not connected, or its agent does not say"`
	Tags            []string          `json:"tags" doc:"in order: free words, and key=value"`
	AgentJobs       int               `json:"agent_jobs" doc:"how many its agent can run at once; one of an older version runs 1"`
	Config          configJSON        `json:"config" doc:"the host's copy of its schedules"`
}

// A diskJSON is how the disk is that an agent's state lies on.
type diskJSON struct {
	Free  uint64     `json:"free" doc:"bytes"`
	Total uint64     `json:"total" doc:"bytes"`
	Full  bool       `json:"full" doc:"the agent cannot write its journal: no job begins until it can"`
	Low   bool       `json:"low" doc:"it will be full before long: less than 64 MiB, or than 1 % and 1 GiB"`
	Since *time.Time `json:"since" doc:"since when either is so"`
	Error string     `json:"error" doc:"what the agent says of it, or empty"`
}

func (a *API) diskOf(id topics.HostID) *diskJSON {
	room, wrong := a.Presence.Room(id)
	if room == nil {
		return nil
	}
	return &diskJSON{Free: room.Free, Total: room.Total, Full: wrong.Full, Low: wrong.Low, Since: base.JSONTime(wrong.Since),
		Error: wrong.Error}
}

type groupStateJSON struct {
	ID              topics.SourceGroupID `json:"id"`
	Name            string               `json:"name"`
	Repository      topics.RepositoryID  `json:"repository"`
	Status          protection.Status    `json:"status"`
	Reason          string               `json:"reason"`
	Cause           string               `json:"cause"`
	Since           *time.Time           `json:"since"`
	PromisedBy      string               `json:"promised_by"`
	LastGood        *time.Time           `json:"last_good"`
	RestorableBytes uint64               `json:"restorable_bytes"`
	Snapshots       int                  `json:"snapshots" doc:"how many there are in its repository"`
	Lost            int                  `json:"lost" doc:"how many are gone that no job of ours removed"`
	Newest          string               `json:"newest" doc:"the ID of the newest snapshot, or empty"`
	NewestFiles     uint64               `json:"newest_files"`
	LastJob         topics.JobID         `json:"last_job" doc:"the last backup that ended, or empty"`
	LastResult      topics.JobState      `json:"last_result" doc:"how it ended"`
}

func groupStatesOf(e *fleet.Entry) []groupStateJSON {
	out := make([]groupStateJSON, len(e.Groups))
	for i, g := range e.Groups {
		out[i] = groupStateJSON{ID: g.ID, Name: g.Name, Repository: g.Repository, Status: g.Status, Reason: g.Reason, Cause: g.Cause,
			Since: base.JSONTime(g.Since), PromisedBy: g.PromisedBy, LastGood: base.JSONTime(g.LastGood()), RestorableBytes: g.Good.Bytes,
			Snapshots: g.Facts.Snapshots, Lost: g.Facts.Lost, Newest: g.Facts.Newest.ID, NewestFiles: g.Facts.Newest.Files,
			LastJob: g.Facts.Last.Job, LastResult: g.Facts.Last.State}
	}
	return out
}

type listHostsIn struct {
	Limit  int           `query:"limit" minimum:"1" maximum:"1000" doc:"how many at most; all if it is left out"`
	After  topics.HostID `query:"after" doc:"the ID of the last host the client has: what comes behind it by name follows"`
	Query  string        `query:"q" maxLength:"200" doc:"part of the name, hostname or platform, or eight characters of the ID"`
	Status statusWord    `query:"status" doc:"only with this status"`
	Tag    string        `query:"tag" maxLength:"64" doc:"only those that have this tag"`
	Proven drills.Word   `query:"proven" enum:"proven,not-proven,failed" doc:"only those of which this is so"`
}

// A statusWord is a status that a client asks for.
type statusWord string

// Schema implements huma.SchemaProvider.
func (statusWord) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, w := range protection.Words {
		s.Enum = append(s.Enum, string(w))
	}
	return s
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
	rows := m.NamedBehind(fleet.Filter{Status: protection.Status(in.Status), Proof: in.Proven, Tag: strings.ToLower(in.Tag), Text: in.Query},
		in.After, limit)
	out := make([]hostJSON, len(rows))
	for i, h := range rows {
		_, seen := a.Presence.Connection(h.ID)
		good := base.JSONTime(h.LastGood)
		out[i] = hostJSON{ID: h.ID, Name: h.Name, Online: h.Connection == hosts.Online, Connection: h.Connection, Status: h.Status,
			Reason: h.Reason, Cause: h.Cause, Since: base.JSONTime(h.Since), PromisedBy: h.PromisedBy, LastGood: good,
			RestorableBytes: h.Restorable, Snapshots: h.Snapshots, Groups: groupStatesOf(h),
			Proven: h.Proof.Word, ProvenAt: base.JSONTime(h.Proof.At), Platform: base.System(h.Host),
			AgentVersion: h.AgentVersion, ResticVersion: h.ResticVersion, LastSeen: base.JSONTime(max(0, seen.UnixMilli())), LastBackup: good,
			LastResult: h.LastBackup.State, LastJob: h.LastJob, Intermittent: h.Intermittent, OverdueDays: h.OverdueDays,
			Disk: a.diskOf(h.ID), JobsAtOnce: h.JobsAtOnce, Tags: filled(h.Tags), AgentJobs: max(h.AgentJobs, 1), Config: configOf(h.Host)}
		if p, paused := h.Paused(a.Now().UnixMilli()); paused {
			out[i].PausedUntil, out[i].PausedBy = base.JSONTime(p.Until), p.By
		}
		if h.Running() {
			out[i].RunningJob, out[i].RunningMore = h.Busy().ID, h.Beside()
		}
	}
	return &list1[hostJSON]{out}, nil
}

type putHostIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Name         *string   `json:"name,omitempty" doc:"1 to 100 characters, no other host's"`
		Retired      *bool     `json:"retired,omitempty" doc:"it keeps its snapshots and is judged no longer; none of its schedules fires"`
		Intermittent *bool     `json:"intermittent,omitempty" doc:"it comes and goes, as laptops do"`
		OverdueDays  *int64    `json:"overdue_days,omitempty" doc:"the limit without a good backup, 1 to 365; 0 is the default"`
		JobsAtOnce   *int      `json:"jobs_at_once,omitempty" doc:"how many jobs it may run at once, each in a repository of its own; 1 to 16"`
		Tags         *[]string `json:"tags,omitempty" doc:"all from now on: up to 32 of 64 bytes, words and key=value"`
	}
}

type putHostOut struct {
	Body struct {
		Name         string   `json:"name"`
		Retired      bool     `json:"retired"`
		Intermittent bool     `json:"intermittent"`
		OverdueDays  int64    `json:"overdue_days"`
		JobsAtOnce   int      `json:"jobs_at_once"`
		Tags         []string `json:"tags"`
	}
}

// PutHost changes a host's settings; what is left out stays as it is.
func (a *API) PutHost(ctx context.Context, in *putHostIn) (*putHostOut, error) {
	h, err := a.HostSettings.Put(
		ctx,
		session.Of(ctx).Name,
		in.ID,
		hosts.Input{Name: in.Body.Name, Retired: in.Body.Retired, Intermittent: in.Body.Intermittent, OverdueDays: in.Body.OverdueDays,
			JobsAtOnce: in.Body.JobsAtOnce, Tags: in.Body.Tags},
	)
	if err != nil {
		return nil, problem.Saving("host", err)
	}
	out := &putHostOut{}
	out.Body.Intermittent, out.Body.OverdueDays = h.Intermittent, h.OverdueDays
	out.Body.Tags = filled(h.Tags)
	out.Body.Name, out.Body.Retired, out.Body.JobsAtOnce = h.Name, h.RetiredAt > 0, h.JobsAtOnce
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

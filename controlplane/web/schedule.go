package web

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

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

func toConfigJSON(h store.Host) configJSON {
	return configJSON{Wanted: h.ConfigRevision, WantedAt: moment(h.ConfigMadeAt), InForce: h.ConfigApplied, InForceAt: moment(h.ConfigAppliedAt),
		Error: h.ConfigError}
}

type scheduleJSON struct {
	ID            store.ScheduleID `json:"id"`
	Host          topics.HostID    `json:"host"`
	Name          string           `json:"name"`
	Cron          string           `json:"cron"`
	Zone          string           `json:"zone"`
	JitterSeconds int              `json:"jitter_seconds"`
	SourceGroups  []string         `json:"source_groups" nullable:"false" doc:"their names"`
	Enabled       bool             `json:"enabled"`
	RetryMax      int              `json:"retry_max"`
	LastSlot      *time.Time       `json:"last_slot" doc:"the latest that came due, or null"`
	Next          *time.Time       `json:"next" doc:"when it begins next; null if it is disabled"`
	Pending       *pendingJSON     `json:"pending" doc:"what it owes, or null"`
	Config        configJSON       `json:"config" doc:"the host's copy, by which it fires"`
	Current       bool             `json:"current" doc:"whether the host goes by this schedule as it is here; a change takes some seconds to become a revision"`
	CreatedAt     *time.Time       `json:"created_at"`
}

func (s *Server) scheduleJSONOf(st schedule.Standing) scheduleJSON {
	if st.Wrong != nil {
		s.Log.Error("reading a schedule failed", "host", st.Schedule.Host, "schedule", st.ID, "err", st.Wrong)
	}
	j := scheduleJSON{ID: st.ID, Host: st.Schedule.Host, Name: st.Name, Cron: st.Cron, Zone: st.Zone, JitterSeconds: st.JitterSeconds,
		SourceGroups: st.GroupNames, Enabled: st.Enabled, RetryMax: st.RetryMax, LastSlot: moment(st.LastSlot), CreatedAt: moment(st.CreatedAt),
		Config: toConfigJSON(st.Host), Current: st.Copy == schedule.CopyInForce}
	if p := st.Owed; p != nil {
		j.Pending = &pendingJSON{Slot: moment(p.Slot), Attempt: p.Attempt, NextAttemptAt: moment(p.NextAttemptAt), Reason: p.Reason}
	}
	if !st.Next.IsZero() {
		j.Next = &st.Next
	}
	return j
}

type hostIn struct {
	ID topics.HostID `path:"id"`
}

func (s *Server) listSchedules(ctx context.Context, in *hostIn) (*list1[scheduleJSON], error) {
	rows, _, err := s.schedules.Standings(ctx, in.ID)
	out := make([]scheduleJSON, len(rows))
	for i, st := range rows {
		out[i] = s.scheduleJSONOf(st)
	}
	return &list1[scheduleJSON]{Body: out}, err
}

type scheduleIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name"`
}

type scheduleOut struct{ Body scheduleJSON }

func (s *Server) getSchedule(ctx context.Context, in *scheduleIn) (*scheduleOut, error) {
	st, err := s.schedules.Standing(ctx, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	return &scheduleOut{Body: s.scheduleJSONOf(st)}, nil
}

type putScheduleIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name" doc:"1 to 100 characters, the host's own"`
	Body struct {
		Cron          *string   `json:"cron,omitempty" doc:"minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly. A new schedule needs it"`
		Zone          *string   `json:"zone,omitempty" doc:"IANA's name, such as Europe/Berlin; UTC unless said"`
		JitterSeconds *int      `json:"jitter_seconds,omitempty" doc:"it begins up to this much later, always by the same while; 0 unless said"`
		SourceGroups  *[]string `json:"source_groups,omitempty" doc:"names of the host's source groups. A new schedule needs it"`
		Enabled       *bool     `json:"enabled,omitempty" doc:"true unless said"`
		RetryMax      *int      `json:"retry_max,omitempty" doc:"how many times a slot that was missed or failed is tried again, 0 to 20; 3 unless said"`
	}
}

// putSchedule adds a schedule or changes one; what is not said stays as it is.
func (s *Server) putSchedule(ctx context.Context, in *putScheduleIn) (*scheduleOut, error) {
	b := in.Body
	row, err := s.schedules.Put(ctx, session.Of(ctx).Name, in.ID, in.Name, schedule.Input{Cron: b.Cron, Zone: b.Zone, JitterSeconds: b.JitterSeconds,
		SourceGroups: b.SourceGroups, Enabled: b.Enabled, RetryMax: b.RetryMax})
	if err != nil {
		return nil, problem.Saving("schedule", err)
	}
	return s.getSchedule(ctx, &scheduleIn{ID: in.ID, Name: row.Name})
}

func set[T any](field *T, said *T) {
	if said != nil {
		*field = *said
	}
}

func (s *Server) deleteSchedule(ctx context.Context, in *scheduleIn) (*struct{}, error) {
	return nil, s.schedules.Remove(ctx, session.Of(ctx).Name, in.ID, in.Name)
}

type nextIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name"`
	N    int           `query:"n" default:"5" minimum:"1" maximum:"100" doc:"how many"`
}

type nextOut struct {
	Body struct {
		Next []time.Time `json:"next" nullable:"false" doc:"when it begins, as planned; that it is disabled is not looked at"`
	}
}

func (s *Server) nextRuns(ctx context.Context, in *nextIn) (*nextOut, error) {
	row, err := s.schedules.Named(ctx, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	out := &nextOut{}
	out.Body.Next, err = schedule.NextStarts(row, s.Now(), in.N)
	return out, err
}

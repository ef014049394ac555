package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type scheduleJSON struct {
	ID            store.ScheduleID `json:"id"`
	Host          topics.HostID    `json:"host"`
	Name          string           `json:"name"`
	Cron          string           `json:"cron"`
	Zone          string           `json:"zone"`
	JitterSeconds int              `json:"jitter_seconds"`
	SourceGroups  []string         `json:"source_groups" nullable:"false" doc:"their names"`
	Enabled       bool             `json:"enabled"`
	PausedAt      *time.Time       `json:"paused_at" doc:"since when it is disabled, or null"`
	PausedUntil   *time.Time       `json:"paused_until" doc:"when it is enabled again by itself; null is never"`
	RetryMax      int              `json:"retry_max"`
	LastSlot      *time.Time       `json:"last_slot" doc:"the latest that came due, or null"`
	Next          *time.Time       `json:"next" doc:"when it begins next; null if it is disabled"`
	Pending       *pendingJSON     `json:"pending" doc:"what it owes, or null"`
	Held          []heldSlotJSON   `json:"held" nullable:"false" doc:"slots that are due and wait for what their host is doing"`
	Config        configJSON       `json:"config" doc:"the host's copy, by which it fires"`
	Current       bool             `json:"current" doc:"whether the host has this form of the schedule; a change takes some seconds"`
	CreatedAt     *time.Time       `json:"created_at"`
}

// A heldSlotJSON is a slot of a group that is due and not begun, because of a job that its
// host has in hand.
type heldSlotJSON struct {
	SourceGroup string        `json:"source_group" doc:"its name"`
	Slot        time.Time     `json:"slot" doc:"the planned moment, before the schedule's share of the jitter"`
	Since       time.Time     `json:"since" doc:"when it was due"`
	Reason      protocol.Wait `json:"reason" enum:"job,busy" doc:"job: in its repository; busy: the host runs as many as it may"`
	Job         topics.JobID  `json:"job" doc:"the one that it waits for, or one of them"`
}

func (a *API) scheduleOf(st schedule.Standing) scheduleJSON {
	if st.Wrong != nil {
		a.Log.Error("reading a schedule failed", "host", st.Schedule.Host, "schedule", st.ID, "err", st.Wrong)
	}
	j := scheduleJSON{ID: st.ID, Host: st.Schedule.Host, Name: st.Name, Cron: st.Cron, Zone: st.Zone, JitterSeconds: st.JitterSeconds,
		SourceGroups: st.GroupNames, Enabled: st.Enabled, RetryMax: st.RetryMax, LastSlot: base.JSONTime(st.LastSlot),
		PausedAt: base.JSONTime(st.PausedAt), PausedUntil: base.JSONTime(st.PausedUntil), CreatedAt: base.JSONTime(st.CreatedAt),
		Config: configOf(st.Host), Current: st.Copy == schedule.CopyInForce}
	j.Held = make([]heldSlotJSON, len(st.Held))
	for i, h := range st.Held {
		j.Held[i] = heldSlotJSON{
			SourceGroup: h.GroupName,
			Slot:        words.At(h.Slot).UTC(),
			Since:       h.Start.UTC(),
			Reason:      h.Wait,
			Job:         h.Job,
		}
	}
	if p := st.Owed; p != nil {
		j.Pending = &pendingJSON{
			Slot:          base.JSONTime(p.Slot),
			Attempt:       p.Attempt,
			NextAttemptAt: base.JSONTime(p.NextAttemptAt),
			Reason:        p.Reason,
		}
	}
	if !st.Next.IsZero() {
		j.Next = &st.Next
	}
	return j
}

func (a *API) ListSchedules(ctx context.Context, in *hostIn) (*list1[scheduleJSON], error) {
	rows, _, err := a.Schedules.Standings(ctx, in.ID)
	out := make([]scheduleJSON, len(rows))
	for i, st := range rows {
		out[i] = a.scheduleOf(st)
	}
	return &list1[scheduleJSON]{Body: out}, err
}

type scheduleIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name"`
}

type scheduleOut struct{ Body scheduleJSON }

func (a *API) GetSchedule(ctx context.Context, in *scheduleIn) (*scheduleOut, error) {
	st, err := a.Schedules.Standing(ctx, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	return &scheduleOut{Body: a.scheduleOf(st)}, nil
}

type putScheduleIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name" doc:"1 to 100 characters, the host's own"`
	Body struct {
		Cron          *string    `json:"cron,omitempty" doc:"five fields, or @hourly, @daily, @weekly, @monthly; a new schedule needs it"`
		Zone          *string    `json:"zone,omitempty" doc:"IANA's name, such as Europe/Berlin; UTC unless said"`
		JitterSeconds *int       `json:"jitter_seconds,omitempty" doc:"it begins up to this much later, always by the same while; 0 unless said"`
		SourceGroups  *[]string  `json:"source_groups,omitempty" doc:"names of the host's source groups. A new schedule needs it"`
		Enabled       *bool      `json:"enabled,omitempty" doc:"true unless said"`
		PausedUntil   *time.Time `json:"paused_until,omitempty" doc:"if not enabled: when it goes on by itself; 0001-01-01T00:00:00Z is never"`
		RetryMax      *int       `json:"retry_max,omitempty" doc:"retries of a slot that was missed or failed, 0 to 20; default 3"`
	}
}

// PutSchedule adds a schedule or changes one; what is not said stays as it is.
func (a *API) PutSchedule(ctx context.Context, in *putScheduleIn) (*scheduleOut, error) {
	b := in.Body
	row, err := a.Schedules.Put(
		ctx,
		session.Of(ctx).Name,
		in.ID,
		in.Name,
		schedule.Input{Cron: b.Cron, Zone: b.Zone, JitterSeconds: b.JitterSeconds,
			SourceGroups: b.SourceGroups, Enabled: b.Enabled, PausedUntil: b.PausedUntil, RetryMax: b.RetryMax},
	)
	if err != nil {
		return nil, problem.Saving("schedule", err)
	}
	return a.GetSchedule(ctx, &scheduleIn{ID: in.ID, Name: row.Name})
}

func (a *API) DeleteSchedule(ctx context.Context, in *scheduleIn) (*struct{}, error) {
	return nil, a.Schedules.Remove(ctx, session.Of(ctx).Name, in.ID, in.Name)
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

func (a *API) NextRuns(ctx context.Context, in *nextIn) (*nextOut, error) {
	row, err := a.Schedules.Named(ctx, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	out := &nextOut{}
	out.Body.Next, err = schedule.NextStarts(row, a.Now(), in.N)
	return out, err
}

type slotsIn struct {
	ID     topics.HostID `path:"id"`
	Name   string        `path:"name"`
	After  time.Time     `query:"after" doc:"only slots after this moment, the oldest first; give the last to go on"`
	Before time.Time     `query:"before" doc:"only slots before this moment, the newest first; without both, the newest"`
	Limit  int           `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"how many slots, with a row for each group"`
}

type slotJSON struct {
	Slot        time.Time       `json:"slot" doc:"the planned moment, before the schedule's share of the jitter"`
	SourceGroup string          `json:"source_group" doc:"its name, or its ID if it is gone"`
	Outcome     slotlog.Outcome `json:"outcome" doc:"ran, late, failed, waiting, or missed- with offline, asleep, paused, busy, hours or disk"`
	Job         *topics.JobID   `json:"job" doc:"the job that served it, or tried to last; null for none. Slots that meet share it"`
	Reason      string          `json:"reason" doc:"why it failed or was missed, a sentence without moments; empty if it ran"`
}

// ScheduleSlots lists what became of a schedule's slots.
func (a *API) ScheduleSlots(ctx context.Context, in *slotsIn) (*list1[slotJSON], error) {
	page := slotlog.Page{Limit: in.Limit}
	if !in.After.IsZero() {
		page.After = max(in.After.UnixMilli(), 1)
	}
	if !in.Before.IsZero() {
		page.Before = max(in.Before.UnixMilli(), 1)
	}
	rows, err := a.Schedules.Slots(ctx, in.ID, in.Name, page)
	out := make([]slotJSON, len(rows))
	for i, r := range rows {
		out[i] = slotJSON{Slot: words.At(r.Slot).UTC(), SourceGroup: r.GroupName, Outcome: r.Outcome, Reason: base.SlotReason(r)}
		if r.Job != "" {
			out[i].Job = &r.Job
		}
	}
	return &list1[slotJSON]{Body: out}, err
}

package web

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

var errNoSchedule = &problem.Problem{Kind: problem.NotFound, Title: "There is no such schedule",
	Say: "The host has none of this name.", Do: "GET /api/hosts/{id}/schedules lists what it has; PUT adds one."}

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
	return configJSON{h.ConfigRevision, moment(h.ConfigMadeAt), h.ConfigApplied, moment(h.ConfigAppliedAt), h.ConfigError}
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

// schedulesJSON tells rows of one host.
func (s *Server) schedulesJSON(ctx context.Context, host topics.HostID, rows ...store.Schedule) ([]scheduleJSON, error) {
	groups, err := s.Store.SourceGroups(ctx, host)
	if err != nil {
		return nil, err
	}
	pending, err := s.Store.PendingRuns(ctx, host)
	if err != nil {
		return nil, err
	}
	moved, err := s.Store.Moved(ctx, groups)
	if err != nil {
		return nil, err
	}
	h, err := s.Store.Host(ctx, host)
	if err != nil {
		return nil, err
	}
	out := make([]scheduleJSON, len(rows))
	for i, r := range rows {
		j := scheduleJSON{ID: r.ID, Host: r.Host, Name: r.Name, Cron: r.Cron, Zone: r.Zone, JitterSeconds: r.JitterSeconds, SourceGroups: []string{},
			Enabled: r.Enabled, RetryMax: r.RetryMax, LastSlot: moment(r.LastSlot), CreatedAt: moment(r.CreatedAt), Config: toConfigJSON(h),
			Current: h.ConfigApplied > 0 && h.ConfigApplied == h.ConfigRevision && h.ConfigError == "" && !moved(r)}
		for _, g := range groups {
			if slices.Contains(r.Groups, g.ID) {
				j.SourceGroups = append(j.SourceGroups, g.Name)
			}
		}
		for _, p := range pending {
			if p.Schedule == r.ID {
				j.Pending = &pendingJSON{moment(p.Slot), p.Attempt, moment(p.NextAttemptAt), p.Reason}
			}
		}
		if r.Enabled {
			if next, err := schedule.NextStarts(r, s.Now(), 1); err != nil {
				s.Log.Error("a schedule cannot be read", "host", r.Host, "schedule", r.ID, "err", err)
			} else if len(next) > 0 {
				j.Next = &next[0]
			}
		}
		out[i] = j
	}
	return out, nil
}

type hostIn struct {
	ID topics.HostID `path:"id"`
}

func (s *Server) listSchedules(ctx context.Context, in *hostIn) (*list1[scheduleJSON], error) {
	if _, err := s.host(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, err := s.Store.Schedules(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out, err := s.schedulesJSON(ctx, in.ID, rows...)
	return &list1[scheduleJSON]{out}, err
}

type scheduleIn struct {
	ID   topics.HostID `path:"id"`
	Name string        `path:"name"`
}

type scheduleOut struct{ Body scheduleJSON }

func (s *Server) schedule(ctx context.Context, host topics.HostID, name string) (store.Schedule, error) {
	if _, err := s.host(ctx, host); err != nil {
		return store.Schedule{}, err
	}
	row, err := s.Store.ScheduleNamed(ctx, host, name)
	if errors.Is(err, store.ErrNotFound) {
		err = errNoSchedule
	}
	return row, err
}

func (s *Server) scheduleOut(ctx context.Context, row store.Schedule) (*scheduleOut, error) {
	out, err := s.schedulesJSON(ctx, row.Host, row)
	if err != nil {
		return nil, err
	}
	return &scheduleOut{out[0]}, nil
}

func (s *Server) getSchedule(ctx context.Context, in *scheduleIn) (*scheduleOut, error) {
	row, err := s.schedule(ctx, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	return s.scheduleOut(ctx, row)
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
	if _, err := s.host(ctx, in.ID); err != nil {
		return nil, err
	}
	groups, err := s.Store.SourceGroups(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	row, err := s.Store.PutSchedule(ctx, visitorOf(ctx).name, in.ID, in.Name, store.ScheduleID(topics.NewID(s.Now())), func(row *store.Schedule) error {
		if row.Cron == "" { // a new one
			row.Zone, row.Enabled, row.RetryMax = "UTC", true, 3
		}
		set(&row.Cron, b.Cron)
		set(&row.Zone, b.Zone)
		set(&row.JitterSeconds, b.JitterSeconds)
		set(&row.Enabled, b.Enabled)
		set(&row.RetryMax, b.RetryMax)
		var noGroup string
		if b.SourceGroups != nil {
			row.Groups, noGroup = groupsNamed(groups, *b.SourceGroups)
		} else if len(row.Groups) == 0 {
			noGroup = "source_groups: name at least one of the host's source groups."
		}
		return invalid("schedule", checkName("name", in.Name, 1, 100), checkPlan(*row), noGroup, checkRetryMax(row.RetryMax))
	})
	if err != nil {
		return nil, err
	}
	s.Changed(in.ID)
	return s.scheduleOut(ctx, row)
}

func set[T any](field *T, said *T) {
	if said != nil {
		*field = *said
	}
}

func checkPlan(row store.Schedule) string {
	_, err := schedule.Of(row)
	var wrong *slots.Invalid
	if errors.As(err, &wrong) {
		return wrong.Field + ": " + wrong.Say + " " + wrong.Do
	}
	return ""
}

func checkRetryMax(n int) string {
	if n < 0 || n > 20 {
		return fmt.Sprintf("retry_max: %d is not between 0 and 20.", n)
	}
	return ""
}

// groupsNamed finds groups by their names, or says which there is not.
func groupsNamed(groups []store.SourceGroup, names []string) (ids []topics.SourceGroupID, wrong string) {
	if len(names) == 0 {
		return nil, "source_groups: name at least one of the host's source groups."
	}
	for _, name := range names {
		i := slices.IndexFunc(groups, func(g store.SourceGroup) bool { return g.Name == name })
		if i < 0 {
			return nil, fmt.Sprintf("source_groups: the host has none named %.100q. %s", name, groupHelp(groups))
		}
		if !slices.Contains(ids, groups[i].ID) {
			ids = append(ids, groups[i].ID)
		}
	}
	return ids, ""
}

func groupHelp(groups []store.SourceGroup) string {
	if len(groups) == 0 {
		return "Add it first with PUT /api/hosts/{id}/source-groups/{name}."
	}
	var names []string
	for _, g := range groups[:min(len(groups), 20)] {
		names = append(names, fmt.Sprintf("%q", g.Name))
	}
	return "It has " + strings.Join(names, ", ") + "."
}

func (s *Server) deleteSchedule(ctx context.Context, in *scheduleIn) (*struct{}, error) {
	if _, err := s.schedule(ctx, in.ID, in.Name); err != nil {
		return nil, err
	}
	err := s.Store.DeleteSchedule(ctx, visitorOf(ctx).name, in.ID, in.Name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoSchedule
	}
	s.Changed(in.ID)
	return nil, err
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
	row, err := s.schedule(ctx, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	out := &nextOut{}
	out.Body.Next, err = schedule.NextStarts(row, s.Now(), in.N)
	return out, err
}

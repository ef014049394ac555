package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// schedules is the service that pages and API use, on the database alone: a control
// plane that runs beside us notices what was changed by itself.
func schedules(s *store.Store) *schedule.Service { return &schedule.Service{Store: s, Now: time.Now} }

type scheduleListCmd struct {
	Host string `placeholder:"HOST" help:"Of this host alone."`
	database
}

// Run prints a line for each schedule: what it is, when it begins next, and
// whether its host goes by it.
func (c *scheduleListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		var host topics.HostID
		if c.Host != "" {
			h, err := hostNamed(ctx, s, c.Host)
			if err != nil {
				return err
			}
			host = h.ID
		}
		list, _, err := schedules(s).Standings(ctx, host)
		if err != nil {
			return err
		}
		slices.SortStableFunc(list, func(a, b schedule.Standing) int {
			return cmp.Or(cmp.Compare(a.Host.Name, b.Host.Name), cmp.Compare(a.Host.ID, b.Host.ID))
		})
		return columns("HOST\tSCHEDULE\tWHEN\tZONE\tNEXT\tON THE HOST", len(list), func(i int) string {
			st := list[i]
			return row(st.Host.Name, st.Name, slots.ReadPlan(st.Cron).Words(), st.Zone, nextWords(st), copyWords(st))
		})
	})
}

func nextWords(st schedule.Standing) string {
	switch {
	case !st.Enabled && st.PausedUntil > 0:
		return "paused until " + inZone(time.UnixMilli(st.PausedUntil), st.Zone).Format(time.RFC3339)
	case !st.Enabled:
		return "paused"
	case st.Wrong != nil:
		return "cannot be read: " + st.Wrong.Error()
	case st.Next.IsZero():
		return ""
	}
	return inZone(st.Next, st.Zone).Format(time.RFC3339)
}

// inZone is a moment in a zone; in UTC if this machine does not know the zone.
func inZone(at time.Time, name string) time.Time {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return at.UTC()
	}
	return at.In(zone)
}

func copyWords(st schedule.Standing) string {
	switch st.Copy {
	case schedule.CopyNone, schedule.CopyTooOld:
		return "not yet; fired by the control plane"
	case schedule.CopyChanged:
		return "changed, not sent yet"
	case schedule.CopyWaits:
		return "the host has not been told yet"
	case schedule.CopyPartly:
		return "on the host, but for: " + st.Host.ConfigError
	}
	return "on the host"
}

type scheduleSetCmd struct {
	Host     string         `arg:"" help:"Name or ID of the host."`
	Name     string         `arg:"" help:"Name of the schedule, the host's own."`
	Cron     *string        `placeholder:"LINE" help:"Minute, hour, day of month, month, day of week; or @daily. A new one needs it."`
	Zone     *string        `placeholder:"ZONE" help:"IANA's name, such as Europe/Berlin; UTC unless said."`
	Group    []string       `placeholder:"NAME,…" help:"The host's source groups. A new schedule needs them."`
	Jitter   *time.Duration `placeholder:"10m" help:"It begins up to this much later, always by the same while."`
	RetryMax *int           `placeholder:"N" help:"How many times a slot that failed is tried again, 0 to 20; 3 unless said."`
	Enabled  *bool          `negatable:"" help:"Have it on, or paused with --no-enabled."`
	Until    *time.Time     `placeholder:"TIME" help:"With --no-enabled: when it goes on by itself, such as 2027-01-31T08:00:00Z."`
	database
}

// Run adds a schedule or changes one; what is not said stays as it is.
func (c *scheduleSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		in := schedule.Input{Cron: c.Cron, Zone: c.Zone, RetryMax: c.RetryMax, Enabled: c.Enabled, PausedUntil: c.Until}
		if c.Jitter != nil {
			seconds := int(c.Jitter.Seconds())
			in.JitterSeconds = &seconds
		}
		if len(c.Group) > 0 {
			in.SourceGroups = &c.Group
		}
		saved, err := schedules(s).Put(ctx, actor, h.ID, c.Name, in)
		if err != nil {
			return err
		}
		say(os.Stderr, "%s, in %s. It reaches %s in a moment, or when the host is back.",
			slots.ReadPlan(saved.Cron).Words(), saved.Zone, row(h.Name))
		return nil
	})
}

type scheduleNextCmd struct {
	Host string `arg:"" help:"Name or ID of the host."`
	Name string `arg:"" help:"Name of the schedule."`
	N    int    `short:"n" default:"5" help:"How many, at most 100."`
	database
}

// Run prints when a schedule begins next, in its zone.
func (c *scheduleNextCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		sc, err := schedules(s).Named(ctx, h.ID, c.Name)
		if errors.Is(err, schedule.ErrNoSchedule) {
			return fmt.Errorf("host %s has no schedule %q", row(h.Name), c.Name)
		} else if err != nil {
			return err
		}
		starts, err := schedule.NextStarts(sc, time.Now(), min(max(c.N, 1), 100))
		for _, at := range starts {
			fmt.Println(inZone(at, sc.Zone).Format(time.RFC3339))
		}
		return err
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type scheduleListCmd struct {
	Host string `placeholder:"HOST" help:"Of this host alone."`
	database
}

// Run prints a line for each schedule: what it is, when it begins next, and
// whether its host goes by it.
func (c *scheduleListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		hosts, err := s.Hosts(ctx)
		if err != nil {
			return err
		}
		if c.Host != "" {
			h, err := hostNamed(ctx, s, c.Host)
			if err != nil {
				return err
			}
			hosts = []store.Host{h}
		}
		out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(out, "HOST\tSCHEDULE\tWHEN\tZONE\tNEXT\tON THE HOST")
		for _, h := range hosts {
			rows, moved, h, err := planned(ctx, s, h)
			if err != nil {
				return err
			}
			for _, row := range rows {
				next := "paused"
				if row.Enabled {
					if times, err := nextRuns(row, 1); err != nil {
						next = "cannot be read: " + err.Error()
					} else if len(times) > 0 {
						next = times[0].Format(time.RFC3339)
					}
				}
				fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", h.Name, row.Name, slots.ReadPlan(row.Cron).Words(), row.Zone, next, inForce(h, moved(row)))
			}
		}
		return out.Flush()
	})
}

// planned are a host's schedules, which of them have changed since revisions were
// given out, and the host as it is after that.
func planned(ctx context.Context, s *store.Store, h store.Host) (rows []store.Schedule, moved func(store.Schedule) bool, now store.Host, err error) {
	if rows, err = s.Schedules(ctx, h.ID); err != nil {
		return nil, nil, h, err
	}
	list, err := s.SourceGroups(ctx, h.ID)
	if err != nil {
		return nil, nil, h, err
	}
	if moved, err = s.Moved(ctx, list); err != nil {
		return nil, nil, h, err
	}
	now, err = s.Host(ctx, h.ID)
	return rows, moved, now, err
}

func inForce(h store.Host, moved bool) string {
	switch {
	case !h.Fires():
		return "not yet; fired by the control plane"
	case moved:
		return "changed, not sent yet"
	case h.ConfigApplied != h.ConfigRevision:
		return fmt.Sprintf("revision %d, waits for %d", h.ConfigApplied, h.ConfigRevision)
	case h.ConfigError != "":
		return fmt.Sprintf("revision %d: %s", h.ConfigApplied, h.ConfigError)
	}
	return fmt.Sprintf("revision %d", h.ConfigApplied)
}

// nextRuns returns when the next n runs of a schedule begin, in its zone.
func nextRuns(row store.Schedule, n int) ([]time.Time, error) {
	starts, err := schedule.NextStarts(row, time.Now(), n)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(row.Zone)
	if err != nil {
		return nil, err
	}
	for i := range starts {
		starts[i] = starts[i].In(zone)
	}
	return starts, nil
}

type scheduleSetCmd struct {
	Host     string         `arg:"" help:"Name or ID of the host."`
	Name     string         `arg:"" help:"Name of the schedule, the host's own."`
	Cron     *string        `placeholder:"LINE" help:"Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly. A new schedule needs it."`
	Zone     *string        `placeholder:"ZONE" help:"IANA's name, such as Europe/Berlin; UTC unless said."`
	Group    []string       `placeholder:"NAME,…" help:"The host's source groups. A new schedule needs them."`
	Jitter   *time.Duration `placeholder:"10m" help:"It begins up to this much later, always by the same while."`
	RetryMax *int           `placeholder:"N" help:"How many times a slot that failed is tried again, 0 to 20; 3 unless said."`
	Enabled  *bool          `negatable:"" help:"Have it on, or paused with --no-enabled."`
	database
}

// Run adds a schedule or changes one; what is not said stays as it is.
func (c *scheduleSetCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		h, err := hostNamed(ctx, s, c.Host)
		if err != nil {
			return err
		}
		if name := strings.TrimSpace(c.Name); name == "" || len(name) > 100 || name != c.Name {
			return fmt.Errorf("%q is no name for a schedule: 1 to 100 characters, no space around them", c.Name)
		}
		groups, err := s.SourceGroups(ctx, h.ID)
		if err != nil {
			return err
		}
		row, err := s.PutSchedule(ctx, actor, h.ID, c.Name, topics.ScheduleID(topics.NewID(time.Now())), func(row *store.Schedule) error {
			if row.Cron == "" { // a new one
				row.Zone, row.Enabled, row.RetryMax = "UTC", true, 3
			}
			c.change(row)
			for _, name := range c.Group {
				i := slices.IndexFunc(groups, func(g store.SourceGroup) bool { return g.Name == name })
				if i < 0 {
					return fmt.Errorf("host %s has no source group %q", h.Name, name)
				}
				if !slices.Contains(row.Groups, groups[i].ID) {
					row.Groups = append(row.Groups, groups[i].ID)
				}
			}
			if len(row.Groups) == 0 {
				return errors.New("name at least one source group with --group")
			}
			if row.RetryMax < 0 || row.RetryMax > 20 {
				return fmt.Errorf("--retry-max %d is not between 0 and 20", row.RetryMax)
			}
			var wrong *slots.Invalid
			if _, err := schedule.Of(*row); errors.As(err, &wrong) {
				return fmt.Errorf("%s: %s %s", wrong.Field, wrong.Say, wrong.Do)
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s, in %s. It reaches %s in a moment, or when the host is back.\n", slots.ReadPlan(row.Cron).Words(), row.Zone, h.Name)
		return nil
	})
}

func (c *scheduleSetCmd) change(row *store.Schedule) {
	if c.Cron != nil {
		row.Cron = *c.Cron
	}
	if c.Zone != nil {
		row.Zone = *c.Zone
	}
	if c.Jitter != nil {
		row.JitterSeconds = int(c.Jitter.Seconds())
	}
	if c.RetryMax != nil {
		row.RetryMax = *c.RetryMax
	}
	if c.Enabled != nil {
		row.Enabled = *c.Enabled
	}
	if len(c.Group) > 0 {
		row.Groups = nil
	}
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
		row, err := s.ScheduleNamed(ctx, h.ID, c.Name)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("host %s has no schedule %q", h.Name, c.Name)
		} else if err != nil {
			return err
		}
		times, err := nextRuns(row, min(max(c.N, 1), 100))
		for _, t := range times {
			fmt.Println(t.Format(time.RFC3339))
		}
		return err
	})
}

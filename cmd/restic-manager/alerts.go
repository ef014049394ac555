package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/alerts/asked"
	"github.com/restic-manager/restic-manager/controlplane/alerts/delivery"
	"github.com/restic-manager/restic-manager/store"
	rows "github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// alertService is the alerts' rooms on a database, also beside a control plane, which sees
// what was done within seconds. What is to be told goes into its queue.
func alertService(s *store.Store) *alerts.Service {
	queue := &delivery.Queue{Store: s, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	return &alerts.Service{Store: s, Now: time.Now, Log: slog.New(slog.DiscardHandler), Note: queue.Note}
}

type alertsCmd struct {
	List   alertsListCmd   `cmd:"" default:"withargs" help:"List alerts: what has not ended, the worst first, unless --state says which."`
	Show   alertsShowCmd   `cmd:"" help:"Show an alert: why, and what to do."`
	Ack    alertsAckCmd    `cmd:"" help:"Say that somebody looks after alerts: nobody is reminded of them."`
	Snooze alertsSnoozeCmd `cmd:"" help:"Have alerts be quiet for a while: then they are told again if they go on."`
	Wake   alertsWakeCmd   `cmd:"" help:"Take back that alerts were acknowledged or snoozed."`
	End    alertsEndCmd    `cmd:"" help:"End alerts by hand. They open anew only once their condition was over."`
}

type alertsListCmd struct {
	State      string `enum:",open,acknowledged,snoozed,ended,all" default:"" placeholder:"STATE" help:"Of this state, or all."`
	Host       string `help:"Only of this host: name or ID."`
	Repository string `help:"Only of this repository: name or ID."`
	Condition  string `help:"Only of this one, a name of docs/ALERTS.md."`
	Severity   string `enum:",info,warning,critical" default:"" placeholder:"SEVERITY" help:"Only info, warning or critical."`
	Tag        string `help:"Only of hosts with this tag."`
	Limit      int    `default:"100" help:"How many at most."`
	JSON       bool   `name:"json" help:"As the API answers: GET /api/alerts."`
	database
}

// Run prints a line for each alert.
func (c *alertsListCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		f := alerts.Filter{State: rows.State(c.State), Condition: c.Condition, Severity: rows.Severity(c.Severity), Tag: c.Tag,
			Most: max(c.Limit, 1)}
		switch c.State {
		case "":
			f.State = alerts.Standing
		case "all":
			f.State = ""
		}
		if c.Host != "" {
			h, err := hostNamed(ctx, s, c.Host)
			if err != nil {
				return err
			}
			f.Host = h.ID
		}
		if c.Repository != "" {
			r, err := repositoryNamed(ctx, s, c.Repository)
			if err != nil {
				return err
			}
			f.Repository = r.ID
		}
		service := alertService(s)
		page, err := service.List(ctx, f)
		if err != nil {
			return err
		}
		said := struct {
			Alerts []topics.Alert `json:"alerts"`
			Next   string         `json:"next"`
		}{Alerts: []topics.Alert{}, Next: page.Next}
		address := service.PublicURL(ctx)
		for _, a := range page.Alerts {
			said.Alerts = append(said.Alerts, alerts.Said(a, address, time.Now()))
		}
		if c.JSON {
			return printJSON(said)
		}
		err = columns("ID\tSEVERITY\tSTATE\tSINCE\tALERT", len(said.Alerts), func(i int) string {
			a := said.Alerts[i]
			return row(a.ID, a.Severity, a.State, a.Since, a.Title)
		})
		if said.Next != "" {
			say(os.Stderr, "There are more; see --limit.")
		}
		return err
	})
}

// printJSON prints a value as programs read it. Text from elsewhere is escaped by it.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type alertsShowCmd struct {
	ID   string `arg:"" help:"The alert's ID."`
	JSON bool   `name:"json" help:"As the API answers: GET /api/alerts/{id}."`
	database
}

// Run prints an alert.
func (c *alertsShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		service := alertService(s)
		a, err := service.Get(ctx, c.ID)
		if err != nil {
			return err
		}
		one := alerts.Said(a, service.PublicURL(ctx), time.Now())
		if c.JSON {
			return printJSON(one)
		}
		lines := [][2]string{
			{"Alert", one.Title}, {"Cause", one.Cause}, {"What to do", one.Do}, {"Condition", one.Condition}, {"Severity", one.Severity},
			{"State", one.State}, {"Since", one.Since}, {"Opened", one.OpenedAt}, {"Last seen", one.SeenAt},
			{"Began", fmt.Sprintf("%d×", one.Count)},
		}
		if one.EndedAt != "" {
			lines = append(lines, [2]string{"Ended", one.EndedAt + " by " + a.EndedBy}, [2]string{"Why", a.EndedWhy})
		}
		if a.AckedAt > 0 && one.State == "acknowledged" {
			lines = append(lines, [2]string{"Acknowledged", moment(a.AckedAt, "") + " by " + a.AckedBy})
		}
		if one.State == "snoozed" {
			lines = append(lines, [2]string{"Snoozed until", moment(a.SnoozedUntil, "") + " by " + a.SnoozedBy})
		}
		if a.Body.V != nil && a.Body.V.Limit != "" {
			lines = append(lines, [2]string{"Threshold", a.Body.V.Limit})
		}
		if a.Job != "" {
			lines = append(lines, [2]string{"Job", string(a.Job)})
		}
		lines = append(lines, [2]string{"Page", one.Link})
		return columns("", len(lines), func(i int) string { return row(lines[i][0], lines[i][1]) })
	})
}

// alertIDs are the alerts that something is done with, and the database.
type alertIDs struct {
	IDs []string `arg:"" name:"id" help:"IDs of alerts."`
	database
}

func (a alertIDs) do(ctx context.Context, deed func(*alerts.Service) ([]rows.Alert, error)) error {
	return a.with(ctx, func(s *store.Store) error {
		_, err := deed(alertService(s))
		return err
	})
}

type alertsAckCmd struct{ alertIDs }

func (c *alertsAckCmd) Run(ctx context.Context) error {
	return c.do(ctx, func(s *alerts.Service) ([]rows.Alert, error) { return s.Acknowledge(ctx, actor, c.IDs...) })
}

type alertsSnoozeCmd struct {
	For   time.Duration `xor:"until" required:"" help:"For how long, such as 8h."`
	Until string        `xor:"until" required:"" placeholder:"TIME" help:"Until when, as 2026-11-30T07:00:00Z."`
	alertIDs
}

func (c *alertsSnoozeCmd) Run(ctx context.Context) error {
	until, err := later(c.For, c.Until)
	if err != nil {
		return err
	}
	return c.do(ctx, func(s *alerts.Service) ([]rows.Alert, error) { return s.Snooze(ctx, actor, until, c.IDs...) })
}

// later is a moment that is said by a span from now, or as it is.
func later(span time.Duration, until string) (int64, error) {
	if until == "" {
		return time.Now().Add(span).UnixMilli(), nil
	}
	at, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return 0, fmt.Errorf("%q is no time; write it as 2026-11-30T07:00:00Z", until)
	}
	return at.UnixMilli(), nil
}

type alertsWakeCmd struct{ alertIDs }

func (c *alertsWakeCmd) Run(ctx context.Context) error {
	return c.do(ctx, func(s *alerts.Service) ([]rows.Alert, error) { return s.Wake(ctx, actor, c.IDs...) })
}

type alertsEndCmd struct {
	Reason string `required:"" help:"Why, for whoever looks later."`
	alertIDs
}

func (c *alertsEndCmd) Run(ctx context.Context) error {
	return c.do(ctx, func(s *alerts.Service) ([]rows.Alert, error) { return s.End(ctx, actor, c.Reason, c.IDs...) })
}

type alertRulesCmd struct {
	Show alertRulesShowCmd `cmd:"" default:"withargs" help:"Print who hears of what, as PUT /api/alert-rules takes it."`
	Set  alertRulesSetCmd  `cmd:"" help:"Say who hears of what, in place of all rules before."`
}

type alertRulesShowCmd struct{ database }

func (c *alertRulesShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, version, err := alertService(s).Rules(ctx)
		if err != nil {
			return err
		}
		return printJSON(asked.RulesOf(r, version))
	})
}

type alertRulesSetCmd struct {
	File string `arg:"" help:"What alert-rules prints, changed; - is standard input."`
	database
}

func (c *alertRulesSetCmd) Run(ctx context.Context) error {
	var in asked.Rules
	if err := readJSON(c.File, &in); err != nil {
		return err
	}
	return c.with(ctx, func(s *store.Store) error {
		names, err := asked.NamesOf(ctx, s)
		if err != nil {
			return err
		}
		service := alertService(s)
		version := in.Version
		if version == 0 {
			if _, version, err = service.Rules(ctx); err != nil {
				return err
			}
		}
		_, err = service.SetRules(ctx, actor, in.Routing(names), version)
		return err
	})
}

// readJSON reads a file that a person wrote: a field that is none is a mistake.
func readJSON(path string, into any) error {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return err
		}
		defer f.Close()
	}
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s is not as it has to be: %w", path, err)
	}
	return nil
}

type alertThresholdsCmd struct {
	Show alertThresholdsShowCmd `cmd:"" default:"withargs" help:"Print the thresholds that are set, as PUT /api/alert-thresholds takes them."`
	Set  alertThresholdsSetCmd  `cmd:"" help:"Say from when on conditions count, in place of all that was set before."`
}

type alertThresholdsShowCmd struct{ database }

func (c *alertThresholdsShowCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		l, version, err := alertService(s).Limits(ctx)
		if err != nil {
			return err
		}
		return printJSON(asked.ThresholdsOf(l, version))
	})
}

type alertThresholdsSetCmd struct {
	File string `arg:"" help:"What alert-thresholds prints, changed; - is standard input."`
	database
}

func (c *alertThresholdsSetCmd) Run(ctx context.Context) error {
	var in asked.Thresholds
	if err := readJSON(c.File, &in); err != nil {
		return err
	}
	return c.with(ctx, func(s *store.Store) error {
		names, err := asked.NamesOf(ctx, s)
		if err != nil {
			return err
		}
		service := alertService(s)
		version := in.Version
		if version == 0 {
			if _, version, err = service.Limits(ctx); err != nil {
				return err
			}
		}
		_, err = service.SetLimits(ctx, actor, in.Limits(names), version)
		return err
	})
}

type publicURLCmd struct {
	URL *string `arg:"" optional:"" help:"Such as https://backups.example.net; an empty one takes it away. None prints it."`
	database
}

// Run prints or sets the address that links in messages begin with.
func (c *publicURLCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		service := alertService(s)
		if c.URL != nil {
			return service.SetPublicURL(ctx, actor, *c.URL)
		}
		say(os.Stdout, "%s", service.PublicURL(ctx))
		return nil
	})
}

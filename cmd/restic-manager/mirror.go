package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/mirroring"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type repositoryMirrorCmd struct {
	Name string  `arg:"" help:"The repository's name or ID."`
	To   *string `placeholder:"REPOSITORY" help:"Copy its snapshots to this one: name or ID."`
	Host *string `placeholder:"HOST" help:"Who copies, and has both: name or ID; the keeper of the second one if never said."`
	Cron *string `placeholder:"LINE" help:"When: five fields, as 0 6 * * *, which is usual."`
	Zone *string `placeholder:"ZONE" help:"Time zone of the cron line, as Europe/Berlin."`
	Off  bool    `help:"Copy it no more. What was copied stays."`
	database
}

// Run changes what is given, and shows how the mirror is.
func (c *repositoryMirrorCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		r, err := repositoryNamed(ctx, s, c.Name)
		if err != nil {
			return err
		}
		service := &mirroring.Service{Store: s, Jobs: engine(s), Changed: func(...topics.HostID) {}, Log: slog.New(slog.DiscardHandler),
			Timing: mirroring.DefaultTiming(), Now: time.Now}
		if c.Off {
			return service.Drop(ctx, actor, r.ID)
		}
		if c.To != nil || c.Host != nil || c.Cron != nil || c.Zone != nil {
			if err := service.Put(ctx, actor, r.ID, mirroring.Input{To: c.To, Host: c.Host, Cron: c.Cron, Zone: c.Zone}); err != nil {
				return err
			}
		}
		m, err := mirroring.Of(ctx, s, r.ID, time.Now())
		if errors.Is(err, mirroring.ErrNone) {
			say(os.Stdout, "%s is not copied anywhere; --to names a repository for it.", r.Name)
			return nil
		} else if err != nil {
			return err
		}
		say(os.Stdout, "%s is copied to %s by %s, %s (%s).", r.Name, m.TargetName, m.HostName, m.Cron, m.Zone)
		say(os.Stdout, "%d of %d snapshots are not there yet; the last good copy ended %s.", m.Snapshots, m.All, ago(s, m.GoodAt))
		if m.Last != nil && m.Last.State.Ended() && m.Last.State != topics.Succeeded {
			say(os.Stdout, "The last copy, %s, %s: %s.", m.Last.ID, m.Last.State, jobs.Explain(m.Last.Kind, m.Last.Cause, m.Last.State).Cause)
		}
		return nil
	})
}

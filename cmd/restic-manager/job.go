package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type jobCancelCmd struct {
	ID string `arg:"" help:"The job's ID, as the pages and the API show it."`
	database
}

// Run asks for the end of a job in the database. A control plane that runs
// beside it sends the command; without one, it is sent when one runs again.
func (c *jobCancelCmd) Run(ctx context.Context) error {
	id, err := topics.ParseJobID(c.ID)
	if err != nil {
		return err
	}
	return c.with(ctx, func(s *store.Store) error {
		s.OnEnded(schedule.Ended) // a job that waits ends here and now
		err := s.Cancel(ctx, actor, id, func(tx protocol.PlaneTx) error {
			_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.CancelAsked{Job: id, By: actor, Now: s.Now()})
			return err
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("there is no job %s in %s", id, c.Data)
		case errors.Is(err, store.ErrEnded):
			return fmt.Errorf("job %s has already ended; there is nothing to cancel", id)
		case err != nil:
			return err
		}
		j, err := s.Job(ctx, id)
		if err != nil {
			return err
		}
		words := jobs.CancelWords(j, true)
		if !j.State.Ended() {
			words += " While the host cannot be reached, it takes until it is back."
		}
		say(os.Stderr, "%s", words)
		return nil
	})
}

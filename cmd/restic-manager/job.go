package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
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
		err := engine(s).Cancel(ctx, actor, id)
		switch {
		case errors.Is(err, jobs.ErrNoJob):
			return fmt.Errorf("there is no job %s in %s", id, c.Data)
		case errors.Is(err, jobs.ErrEnded):
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

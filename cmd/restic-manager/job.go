package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
)

type jobCancelCmd struct {
	ID string `arg:"" help:"The job's ID, as the pages and the API show it, or a beginning of it that no other job's has."`
	database
}

// Run asks for the end of a job in the database. A control plane that runs
// beside it sends the command; without one, it is sent when one runs again.
func (c *jobCancelCmd) Run(ctx context.Context) error {
	return c.with(ctx, func(s *store.Store) error {
		j, err := jobNamed(ctx, s, c.ID, c.Data)
		if err != nil {
			return err
		}
		id := j.ID
		err = engine(s).Cancel(ctx, actor, id)
		switch {
		case errors.Is(err, jobs.ErrEnded):
			return fmt.Errorf("job %s has already ended; there is nothing to cancel", id)
		case err != nil:
			return err
		}
		if j, err = s.Job(ctx, id); err != nil {
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

package alerts

import (
	"context"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
)

// Sweep looks at all facts once, and puts right what alerts say.
func (s *Service) Sweep(ctx context.Context) error { return nil }

// Run keeps alerts true until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// JobEnded judges what the end of a job decides, in the transaction that writes it.
func (s *Service) JobEnded(ctx context.Context, tx alerts.Tx, job store.Job) error { return nil }

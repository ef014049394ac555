package store

import (
	"context"

	"github.com/restic-manager/restic-manager/store/alerts"
)

// Alerts returns what somebody should be told of, and what people set about being told.
func (s *Store) Alerts() alerts.Alerts {
	return alerts.Alerts{R: s.r, Tx: s.tx, Now: s.Now, Audit: s.audit}
}

// OnJudge sets the function that is called with each job whose end was written, in the
// same transaction, behind that of [Store.OnEnded]: what it decides is there with the end or
// not at all. Call it once, before any job can end.
func (s *Store) OnJudge(f func(Slots, Job) error) { s.judge = f }

// Alerts returns the transaction, for the functions of package alerts and those that go
// with them.
func (t Slots) Alerts() (context.Context, alerts.Tx) { return t.ctx, t.tx }

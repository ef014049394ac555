package store

import "github.com/restic-manager/restic-manager/store/rollouts"

// Rollouts returns how agents are updated.
func (s *Store) Rollouts() rollouts.Rows {
	return rollouts.Rows{R: s.r, Tx: s.tx, Now: s.Now, Audit: s.audit}
}

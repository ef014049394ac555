package store

import "github.com/restic-manager/restic-manager/store/firststeps"

// FirstSteps returns what the first steps are judged by.
func (s *Store) FirstSteps() firststeps.Rows {
	return firststeps.Rows{R: s.r, Tx: s.tx, Now: s.Now, Audit: s.audit}
}

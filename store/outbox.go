package store

import "github.com/restic-manager/restic-manager/store/outbox"

// Outbox returns what is said to brokers that others listen to.
func (s *Store) Outbox() outbox.Rows { return outbox.Rows{R: s.r, Tx: s.tx, Now: s.Now} }

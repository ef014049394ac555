// Package gather reads the facts that conditions are found in: from the database, from what
// is judged already of hosts and repositories, and from who is connected.
package gather

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store"
)

// A Reader reads facts. What is nil is not known.
type Reader struct {
	Store    *store.Store
	Fleet    *fleet.Board
	Presence *hosts.Presence
	Notices  *notices.List
	Now      func() time.Time
}

// Facts reads all facts as they are now.
func (r *Reader) Facts(ctx context.Context) (conditions.Facts, error) {
	return conditions.Facts{}, nil
}

// Ended notes how a job ended and reads what its end decides: the facts about the host,
// the group and the repository of the job, for conditions.OfJob. It is called in the
// transaction of the end, after what its schedule owes was decided. The same end twice
// is noted once.
func (r *Reader) Ended(slots store.Slots, j store.Job) (conditions.Facts, error) {
	return conditions.Facts{}, nil
}

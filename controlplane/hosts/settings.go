package hosts

import (
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrNotFound is the error that there is no such host.
var ErrNotFound = errors.New("there is no such host")

// MaxOverdueDays is the largest number of days that may be set.
const MaxOverdueDays = 365

// Settings changes the settings of hosts, for pages and API.
type Settings struct {
	Store   *store.Store
	Changed func(...topics.HostID) // called after each change, may be nil; must not block
}

// Input changes a host's settings; nil fields stay as they are.
type Input struct {
	Intermittent *bool  // not always on, such as a laptop
	OverdueDays  *int64 // days without a good backup until it is overdue; 0 is never
}

// Put changes a host's settings and returns the host. It returns field.Errors for
// invalid ones.
func (s *Settings) Put(ctx context.Context, by string, id topics.HostID, in Input) (store.Host, error) {
	wrong := field.Errors{}
	if d := in.OverdueDays; d != nil && (*d < 0 || *d > MaxOverdueDays) {
		wrong.Say("overdue_days", fmt.Sprintf("The days until a host is overdue are a number from 0 to %d; 0 is never.", MaxOverdueDays))
	}
	if err := wrong.Err(); err != nil {
		return store.Host{}, err
	}
	h, err := s.Store.PutHostSettings(ctx, by, id, in.Intermittent, in.OverdueDays)
	if errors.Is(err, store.ErrNotFound) {
		return h, ErrNotFound
	} else if err != nil {
		return h, err
	}
	if s.Changed != nil {
		s.Changed(id)
	}
	return h, nil
}

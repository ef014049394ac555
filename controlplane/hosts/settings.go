package hosts

import (
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrNotFound says that there is no such host.
var ErrNotFound = errors.New("there is no such host")

// MaxOverdueDays bounds how long a host may go without a good backup.
const MaxOverdueDays = 365

// Settings changes what people decide about hosts, for pages and API alike.
type Settings struct {
	Store   *store.Store
	Changed func(...topics.HostID) // told after each change; it must not block; nil tells nobody
}

// Input is a host's settings as somebody wants them. What is nil stays as it is.
type Input struct {
	Intermittent *bool  // it comes and goes, as laptops do
	OverdueDays  *int64 // without a good backup, until it is overdue; 0 is never
}

// Put changes a host's settings and returns the host. Bad ones are field.Errors.
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

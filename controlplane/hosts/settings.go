package hosts

import (
	"context"
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// ErrNotFound is the error that there is no such host.
var ErrNotFound = errors.New("there is no such host")

// NameTaken is what is wrong with a name that another host has.
const NameTaken = "There is a host of this name already."

// MaxOverdueDays is the largest number of days that may be set.
const MaxOverdueDays = 365

// Settings changes the settings of hosts, for pages and API.
type Settings struct {
	Store   *store.Store
	Changed func(...topics.HostID) // called after each change, may be nil; must not block
}

// Input changes a host's settings; nil fields stay as they are.
type Input struct {
	Name         *string   // as long as a host of that name is there, it is taken
	Retired      *bool     // keeps its snapshots, and is judged no longer; no schedule of its fires
	Intermittent *bool     // not always on, such as a laptop
	OverdueDays  *int64    // the limit in days without a good backup; 0 is the default
	Tags         *[]string // all its tags; see cleanTags
	JobsAtOnce   *int      // how many jobs it runs at once, each in a repository of its own; 1 to topics.MaxJobsAtOnce
}

// Put changes a host's settings and returns the host. It returns field.Errors for
// invalid ones.
func (s *Settings) Put(ctx context.Context, by string, id topics.HostID, in Input) (store.Host, error) {
	wrong := field.Errors{}
	if d := in.OverdueDays; d != nil && (*d < 0 || *d > MaxOverdueDays) {
		wrong.Say("overdue_days", fmt.Sprintf("The limit is a number of days from 1 to %d; 0 is the default.", MaxOverdueDays))
	}
	if n := in.JobsAtOnce; n != nil && (*n < 1 || *n > topics.MaxJobsAtOnce) {
		wrong.Say("jobs_at_once", fmt.Sprintf("A host runs from 1 to %d jobs at once.", topics.MaxJobsAtOnce))
	}
	if in.Tags != nil {
		tags, text := cleanTags(*in.Tags)
		wrong.Say("tags", text)
		in.Tags = &tags
	}
	if in.Name != nil {
		in.Name = new(field.Clean(*in.Name))
		wrong.Say("name", field.Name("name", *in.Name))
	}
	if err := wrong.Err(); err != nil {
		return store.Host{}, err
	}
	h, err := s.Store.PutHostSettings(ctx, by, id, removal.HostSettings{Name: in.Name, Retired: in.Retired,
		Intermittent: in.Intermittent, OverdueDays: in.OverdueDays, JobsAtOnce: in.JobsAtOnce, Tags: in.Tags})
	switch {
	case errors.Is(err, store.ErrHostTaken):
		return h, field.Errors{"name": NameTaken}
	case errors.Is(err, store.ErrNotFound):
		return h, ErrNotFound
	case err != nil:
		return h, err
	}
	if s.Changed != nil {
		s.Changed(id)
	}
	return h, nil
}

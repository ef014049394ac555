package problem

import (
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/store"
)

// ofPause words an error of package pause, nil for any other.
func ofPause(err error) *Problem {
	switch {
	case errors.Is(err, pause.ErrRetired), errors.Is(err, store.ErrRetired):
		return &Problem{Kind: Conflict, Title: "This host is retired",
			Say: "None of its schedules fires, so there is nothing to pause. Nothing was changed.",
			Do:  "On its page, choose Use it again first.", Err: err}
	case errors.Is(err, hosts.ErrNotFound):
		return NoHost
	}
	return nil
}

package problem

import (
	"errors"
	"fmt"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/rollout"
)

// ofRollout words an error of package rollout, nil for any other.
func ofRollout(err error) *Problem {
	var nobody *rollout.NobodyError
	var overlap *rollout.OverlapError
	switch {
	case errors.As(err, &nobody):
		say := "Nobody would be updated"
		if nobody.Has > 0 {
			say += fmt.Sprintf(": %d of the hosts run this version or a newer one", nobody.Has)
		}
		if nobody.Cannot > 0 {
			say += fmt.Sprintf("; %d cannot be updated from here (%s)", nobody.Cannot, strings.TrimSuffix(nobody.Why, "."))
		}
		return &Problem{Kind: Conflict, Title: "No host can be updated", Say: say + ". Nothing was begun.",
			Do: "The page Updates says of each host why not, and what to do.", Err: err}
	case errors.As(err, &overlap):
		about := "every host"
		if overlap.Other.Tag != "" {
			about = "hosts tagged " + overlap.Other.Tag
		}
		return &Problem{Kind: Conflict, Title: "Another update of some of these hosts goes on",
			Say: "One to " + overlap.Other.Version + " for " + about + " has not ended, and some hosts would be in both. Nothing was begun.",
			Do:  "Wait until it has ended, or stop it first.", Link: Link{"That update", "/updates/" + overlap.Other.ID}, Err: err}
	case errors.Is(err, rollout.ErrRelease):
		return &Problem{Kind: Conflict, Title: "No release lies here that hosts may be given",
			Say: "Updates come from the directory of agents on this server, with a signed manifest. Nothing was begun.",
			Do:  "The page Updates says what is wrong with what lies there.", Err: err}
	case errors.Is(err, rollout.ErrNone):
		return &Problem{Kind: NotFound, Title: "There is no such update",
			Say: "It was never begun, or its record was removed.", Do: "Look for it on the page Updates.", Err: err}
	case errors.Is(err, rollout.ErrEnded):
		return &Problem{Kind: Conflict, Title: "This update has ended already",
			Say: "There is nothing to stop. Nothing was changed.", Do: "Its page says how it ended.", Err: err}
	case errors.Is(err, rollout.ErrNoHost):
		return NoHost
	}
	return nil
}

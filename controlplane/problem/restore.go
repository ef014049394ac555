package problem

import (
	"errors"
	"net/url"

	"github.com/restic-manager/restic-manager/controlplane/restores"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Causes of a restore that was not begun as it was asked for.
const (
	CauseConfirm  topics.Cause = "confirm-needed"
	CauseStale    topics.Cause = "stale-preview"
	CauseOldAgent topics.Cause = "old-agent"
)

// ofRestore words why a restore is not begun as it was asked for, nil if err is nothing of
// the kind.
func ofRestore(err error) *Problem {
	var confirm *restores.ConfirmError
	var stale *restores.StaleError
	var old *restores.OldAgentError
	var apart *restores.PlacesError
	switch {
	case errors.As(err, &confirm):
		p := &Problem{Kind: Conflict, Cause: CauseConfirm, Title: "This restore has to be confirmed", Err: err,
			Say: "It goes to the root of a file system of " + confirm.Name + ", and can replace the system that runs there. Nothing was begun.",
			Do:  "Type the host's name, " + words.Line(confirm.Name) + ", to confirm: the field confirm in the API, --confirm on the command line."}
		if confirm.InPlace {
			p.Say = "It puts files where they were on " + confirm.Name + ", where programs use them. Nothing was begun."
		}
		if confirm.Typed != "" {
			p.Say += " What was typed, " + words.Line(words.Cut(confirm.Typed, 60)) + ", is not its name."
		}
		return p
	case errors.As(err, &stale):
		return &Problem{Kind: Conflict, Cause: CauseStale, Title: "The dry run is stale",
			Say: stale.Why + " Nothing was begun.",
			Do:  "Do another dry run with what is to be restored now, look at what it would do, and restore by that one.", Err: err,
			Links: []Link{{Text: "See that dry run", URL: "/jobs/" + url.PathEscape(string(stale.Job))}}}
	case errors.As(err, &old):
		version := ""
		if old.Version != "" {
			version = " " + old.Version
		}
		return &Problem{Kind: Conflict, Cause: CauseOldAgent, Title: "The agent of this host is too old for this",
			Say: "The agent" + version + " of " + old.Name + " cannot " + old.What + ". Nothing was begun.",
			Do:  "Update the agent on " + old.Name + ", then ask again. " + old.Instead, Err: err}
	case errors.As(err, &apart):
		return &Problem{Kind: Invalid, Title: "These snapshots are in two repositories",
			Say: "{host} in the address gives each host a repository of its own, and snapshots " + apart.A.ID[:8] + " and " + apart.B.ID[:8] +
				" are of two hosts. Nothing was begun.",
			Do: "Restore what is of each by a job of its own.", Err: err}
	}
	return nil
}

package problem

import (
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/topics"
)

// ofRemake words why snapshots are not made anew; nil for any other error.
func ofRemake(err error) *Problem {
	var preview *jobs.PreviewError
	var old *jobs.TooOldError
	switch {
	case errors.As(err, &preview):
		p := &Problem{Kind: Conflict, Title: "Look first at what would be taken out", Say: preview.Why + " Nothing was changed.",
			Do: "Ask for a dry run of the same, look at what it lists, and go on from there: on its page, with dry_run_job in the API, with " +
				"--dry-run-job on the command line.", Err: err}
		if preview.Repository != "" {
			at := "/change"
			if preview.Kind == topics.RepairJob {
				at = "/repair"
			}
			p.Link = Link{Text: "Do the dry run", URL: "/repositories/" + string(preview.Repository) + at}
		}
		return p
	case errors.As(err, &old):
		return &Problem{Kind: Conflict, Cause: topics.CauseNoRestic, Title: "restic on " + old.Name + " is too old for this",
			Say: "It is " + old.Restic + ", and " + old.What + " takes " + old.Since + " or newer. Nothing was begun.",
			Do: "Install restic " + old.Since + " or newer on that host, have its agent fetch one that lies on this server, or have a host do " +
				"it that has one.",
			Link: Link{Text: "Which restic runs where", URL: "/updates/restic"}, Err: err}
	}
	return nil
}

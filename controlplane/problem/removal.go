package problem

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/removal"
	"github.com/restic-manager/restic-manager/store"
)

// ofRemoval words an error of package removal, nil for any other.
func ofRemoval(err error) *Problem {
	var keeper *removal.KeeperError
	var use *removal.InUseError
	switch {
	case errors.Is(err, removal.ErrNoHost):
		return NoHost
	case errors.Is(err, removal.ErrNoRepository):
		return NoRepository
	case errors.Is(err, removal.ErrNoGroup):
		return &Problem{Kind: NotFound, Title: "There is no such source group",
			Say: "The host has none of this name.", Do: "Look for it on the host's page.", Err: err}
	case errors.As(err, &keeper):
		return &Problem{Kind: Conflict, Title: "This host looks after repositories",
			Say: keeper.Host + " is the keeper of " + list(keeper.Repositories) + ": without it nothing there is forgotten, pruned or checked. " +
				"Nothing was removed.",
			Do: "Choose another keeper, or none, on the page of each of these repositories, then remove the host.", Err: err}
	case errors.As(err, &use):
		return inUse(use)
	case errors.Is(err, removal.ErrNotRemoved):
		return &Problem{Kind: NotFound, Title: "Nothing was removed under this name",
			Say: "It is there, it never was, or it was brought back already.", Do: "Look at the list of what was removed.", Err: err}
	case errors.Is(err, removal.ErrPurged):
		return &Problem{Kind: Gone, Title: "It was removed more than thirty days ago",
			Say: "What would bring it back was erased. Its snapshots are in their repositories as before.",
			Do:  "Add it anew: enrol the host again, or register the repository with its password.", Err: err}
	case errors.Is(err, removal.ErrHost):
		return &Problem{Kind: Conflict, Title: "Its host was removed, too",
			Say: "A source group cannot be without its host. Nothing was changed.", Do: "Restore the host first.", Err: err}
	case errors.Is(err, removal.ErrRepository):
		return &Problem{Kind: Conflict, Title: "Its repository was removed, too",
			Say: "A source group cannot be without its repository. Nothing was changed.", Do: "Restore the repository first.", Err: err}
	}
	return nil
}

func inUse(e *removal.InUseError) *Problem {
	p := &Problem{Kind: Conflict, Title: "The repository is in use", Err: e}
	if e.Jobs > 0 {
		p.Say = fmt.Sprintf("%d of its jobs have not ended. ", e.Jobs)
		p.Do = "Wait for its jobs, or cancel them."
	}
	if len(e.Groups) > 0 {
		p.Say += "These source groups back up into it: " + list(e.Groups) + ". "
		p.Do += " Let the source groups use another repository, or remove them with it."
	}
	p.Say, p.Do = p.Say+"Nothing was removed.", strings.TrimSpace(p.Do)
	return p
}

// HostRemoved is asking for a host that was removed.
func HostRemoved(r store.Removed) *Problem {
	p := &Problem{Kind: NotFound, Title: "This host was removed",
		Say: r.Name + " was removed by " + r.By + ". Its jobs and the audit log can still be read; its snapshots are in their repositories.",
		Do:  "It cannot be brought back any more; enrol it anew."}
	if r.Restorable() {
		p.Do, p.Link = "Restore it, or look at its jobs.", Link{Text: "What was removed", URL: "/removed"}
	}
	return p
}

// JobSwept is asking for a job that is older than jobs are kept.
func JobSwept(age time.Duration) *Problem {
	return &Problem{Kind: NotFound, Title: "The record of this job was removed",
		Say: fmt.Sprintf("Jobs are kept for %d days after their end. A snapshot it made is not touched by that.", int(age.Hours()/24)),
		Do:  "Look for the snapshot in its repository; who asked for the job is in the audit log."}
}

// list is some names in a sentence, the first few of many.
func list(names []string) string {
	const most = 8
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

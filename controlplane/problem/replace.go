package problem

import (
	"errors"

	"github.com/restic-manager/restic-manager/store/replacing"
)

// ofReplacement words an error of package replacing, nil for any other.
func ofReplacement(err error) *Problem {
	var held *replacing.HeldError
	switch {
	case errors.As(err, &held) && held.Forget:
		return &Problem{Kind: Conflict, Title: "A host's machine is being replaced",
			Say: "Everything of " + list(held.Groups) + " stays until it is decided whether the files are back. Nothing was removed.",
			Do: "Say on the page of the replacement, or with restic-manager host replaced, that the files are restored, or to start " +
				"without them; or leave these snapshots out.", Err: err}
	case errors.As(err, &held):
		return &Problem{Kind: Conflict, Title: "This host's machine is being replaced",
			Say: "Backups of " + list(held.Groups) + " wait: a backup of the new machine before its files are back would not hold them. " +
				"Nothing was changed or begun.",
			Do: "Say on the page of the replacement, or with restic-manager host replaced, that the files are restored, or to start " +
				"without them.", Err: err}
	case errors.Is(err, replacing.ErrNone):
		return &Problem{Kind: NotFound, Title: "This host is not being replaced",
			Say: "Nobody has begun to put another machine in its place, or it was decided already.",
			Do:  "Begin on the host's page, or with restic-manager host replace.", Err: err}
	case errors.Is(err, replacing.ErrEnrolled):
		return &Problem{Kind: Conflict, Title: "The new machine is enrolled",
			Say: "It is this host now, and the old one is refused: that cannot be called off. Nothing was changed.",
			Do: "Say what becomes of the files of its source groups. If it was the wrong machine, make another token and enrol the " +
				"right one.", Err: err}
	case errors.Is(err, replacing.ErrWaiting):
		return &Problem{Kind: Conflict, Title: "The new machine is not enrolled yet",
			Say: "Until then nothing has changed, and there is nothing to decide.",
			Do:  "Enrol it with the token, or call the replacement off.", Err: err}
	}
	return nil
}

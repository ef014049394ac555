package problem

import (
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/rekey"
)

// ofRekey words an error of package rekey, nil for any other.
func ofRekey(err error) *Problem {
	var blocked *rekey.BlockedError
	switch {
	case errors.As(err, &blocked):
		return &Problem{Kind: Conflict, Title: "No host can change the keys of the repository", Say: blocked.Why + " Nothing was changed.",
			Do: "The page of the repository says who its keeper is and which hosts back up into it.", Err: err}
	case errors.Is(err, rekey.ErrNotFound):
		return NoRepository
	case errors.Is(err, rekey.ErrGoing):
		return &Problem{Kind: Conflict, Title: "The password of the repository is being changed",
			Say: "Until that is over, another password would leave hosts without one that opens. Nothing was changed.",
			Do:  "See how far it is, and call it off or let it come to its end.", Err: err}
	case errors.Is(err, rekey.ErrLastPlace):
		return &Problem{Kind: Conflict, Title: "The new key would be at no place", Say: "Without this place there is none at which the new " +
			"password would open the repository. Nothing was changed.", Do: "Call the change off, or go on without fewer places.", Err: err}
	case errors.Is(err, rekey.ErrNone):
		return &Problem{Kind: Conflict, Title: "No change of the password waits for that",
			Say: "None goes on, or it is past that point. Nothing was changed.", Do: "The page of its keys says how far the last one is.",
			Err: err}
	case errors.Is(err, rekey.ErrLate):
		return &Problem{Kind: Conflict, Title: "The change of the password can no longer be called off",
			Say: "The old key is gone at some place already, or is just being removed. Nothing was changed.",
			Do:  "Let it come to its end, and change the password once more if the old one is wanted back.", Err: err}
	case errors.Is(err, rekey.ErrSame):
		return &Problem{Kind: Invalid, Title: "The repository has this password already", Say: "Nothing was changed.",
			Do: "Choose another one, or have one made.", Err: err}
	case errors.Is(err, rekey.ErrNoKey):
		return &Problem{Kind: NotFound, Title: "There is no such key", Say: "The last listing of the repository's keys does not have it.",
			Do: "Refresh the repository, and look at its keys again.", Err: err}
	case errors.Is(err, rekey.ErrOwnKey):
		return &Problem{Kind: Conflict, Title: "This key is in use",
			Say: "The password with which every host opens the repository is its. It stays.",
			Do:  "Change the password: the old key is removed when every host has the new one.", Err: err}
	}
	return nil
}

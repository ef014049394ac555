package problem

import (
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/consumers"
	"github.com/restic-manager/restic-manager/controlplane/people"
	"github.com/restic-manager/restic-manager/store"
)

// What is said of people, API tokens and consumers.
var (
	noUser = Problem{Kind: NotFound, Title: "There is no such user",
		Say: "They were never here, or have been removed.", Do: "Look for them among all users.",
		Link: Link{Text: "All users", URL: "/users"}}
	userNameTaken = Problem{Kind: Conflict, Title: "There is a user of this name already",
		Say: "Names are their own.", Do: "Choose another name."}
	lastAdmin = Problem{Kind: Conflict, Title: "Nothing was changed: this is the last administrator",
		Say: "Nobody else who can sign in may administer this server.", Do: "Make somebody else an administrator first."}
	disabled = Problem{Kind: Conflict, Title: "No link was made",
		Say: "This user is disabled.", Do: "Let them in again first."}
	setUp = Problem{Kind: Conflict, Title: "This server is set up already",
		Say: "There is an account, so the setup code is no longer good.", Do: "Sign in. An administrator can add others.",
		Link: Link{Text: "Sign in", URL: "/login"}}
	noLink = Problem{Kind: Gone, Title: "This link is no longer good",
		Say: "A password link works once, and for a day.", Do: "Ask an administrator for a new one.",
		Link: Link{Text: "Sign in", URL: "/login"}}
	noSession = Problem{Kind: NotFound, Title: "There is no such session",
		Say: "It is over already, or it is somebody else's.", Do: "Look at the list again."}
	noToken = Problem{Kind: NotFound, Title: "There is no such token",
		Say: "It was revoked already, or was never here.", Do: "Look at the list of tokens again."}
	noConsumer = Problem{Kind: NotFound, Title: "There is no such consumer",
		Say: "It was revoked, or was never here.", Do: "Look for it among all consumers.",
		Link: Link{Text: "All consumers", URL: "/mqtt"}}
	unconfirmed = Problem{Kind: Forbidden, Title: "An administrator has to confirm this account or token first",
		Say: "The control plane was restored from a copy of its database. Who was disabled or removed since the copy was made is in it as " +
			"before, so nobody is let in unseen.",
		Do: "Ask an administrator to confirm it on the page Control plane, or with restic-manager confirm."}
	notCopied = Problem{Kind: Unavailable, Title: "The control plane was not backed up",
		Say: "Nothing was lost: the database goes on, and earlier copies are kept.",
		Do: "Look whether the directory that the page Control plane names can be written by the user that restic-manager runs as, and has " +
			"room for a copy; then choose Back up now again.",
		Link: Link{Text: "Copies of the control plane", URL: "/control-plane"}}
	consumerNameTaken = Problem{Kind: Conflict, Title: "There is a consumer of this name already",
		Say: "Each has a name of its own.", Do: "Choose another name, or give that one a new password."}
)

// ofPeople words errors about people, API tokens and consumers, nil if it is none.
func ofPeople(err error) *Problem {
	switch {
	case errors.Is(err, people.ErrNoUser):
		return noUser.because(err)
	case errors.Is(err, people.ErrNameTaken):
		return userNameTaken.because(err)
	case errors.Is(err, store.ErrLastAdmin):
		return lastAdmin.because(err)
	case errors.Is(err, store.ErrUnconfirmed):
		return unconfirmed.because(err)
	case errors.Is(err, store.ErrNotCopied):
		p := notCopied.because(err)
		p.Say = err.Error() + ". " + p.Say
		return p
	case errors.Is(err, store.ErrDisabled):
		return disabled.because(err)
	case errors.Is(err, people.ErrSetUp):
		return setUp.because(err)
	case errors.Is(err, people.ErrNoLink):
		return noLink.because(err)
	case errors.Is(err, people.ErrNoSession):
		return noSession.because(err)
	case errors.Is(err, people.ErrNoToken):
		return noToken.because(err)
	case errors.Is(err, consumers.ErrNoConsumer):
		return noConsumer.because(err)
	case errors.Is(err, consumers.ErrNameTaken):
		return consumerNameTaken.because(err)
	}
	return nil
}

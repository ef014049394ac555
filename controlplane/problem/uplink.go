package problem

import (
	"errors"

	"github.com/restic-manager/restic-manager/store/uplinks"
)

// ofUplink words an error of package uplink, nil for any other.
func ofUplink(err error) *Problem {
	var flags *uplinks.FlagsError
	switch {
	case errors.As(err, &flags):
		return &Problem{Kind: Conflict, Title: "The command line names a broker of yours that cannot be used",
			Say: flags.Say + " Nothing is published there meanwhile, and nothing was changed; backups go on.",
			Do:  "Correct the file, which is read again at each attempt, or start the server with other flags.", Err: err}
	case errors.Is(err, uplinks.ErrNoPlace):
		return &Problem{Kind: NotFound, Title: "Nothing is left at such a broker",
			Say: "It was cleared or given up already, or it is the one that is used now.",
			Do:  "Look at the page MQTT, or restic-manager uplink show.", Link: Link{Text: "MQTT", URL: "/mqtt"}, Err: err}
	}
	return nil
}

package enroll

import (
	"context"
	"errors"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Stay says which of the machines that use a host's identity stays the host, by
// twins.Lane.Name, and makes a token with which another one becomes a host of its own.
// The one that stays goes on at once, and renews its certificate, so that a copy of its
// keys is good no longer. A machine that is none of them is reported as [field.Errors];
// store.ErrNoTwins is that there is nothing to decide.
func (d *Desk) Stay(ctx context.Context, actor string, host topics.HostID, machine string) (
	id string, token topics.EnrollToken, err error,
) {
	err = d.Store.DecideTwins(ctx, actor, host, machine, func(tx protocol.PlaneTx, epoch int64) error {
		// The effects are the engine's, which notices within a second, in whichever process.
		_, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.TwinsDecided{Host: host, Epoch: epoch, By: actor, Now: d.Store.Now()})
		return err
	})
	if errors.Is(err, store.ErrNoMachine) {
		return "", token, field.Errors{"instance": "None of the machines that use this host's identity is called that."}
	}
	if err != nil {
		return "", token, err
	}
	if d.Changed != nil {
		d.Changed(host)
	}
	return d.issue(ctx, actor, store.EnrollToken{}, TokenLife, field.Errors{})
}

// Again is the command by which a machine becomes a host of its own that had the
// identity of another.
func Again(server string, token topics.EnrollToken, state string) string {
	return enrol("enroll --again", server, token, state)
}

// Command is the command by which a machine becomes a host.
func Command(server string, token topics.EnrollToken, state string) string {
	return enrol("enroll", server, token, state)
}

func enrol(deed, server string, token topics.EnrollToken, state string) string {
	text := "restic-manager-agent " + deed + " --server " + server + " --token " + token.Reveal()
	if state != "" {
		text += " --state " + state
	}
	return text
}

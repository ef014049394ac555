package enroll

import (
	"context"
	"errors"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/succession"
	"github.com/restic-manager/restic-manager/words"
)

// Steps in the course of a change of the identity.
const (
	StepBegin   = "begin"    // make the next identity; hosts move to it
	StepPutOff  = "put-off"  // accept both until another moment
	StepCallOff = "call-off" // have the hosts that have moved come back
	StepGoOn    = "go-on"    // have them move after all
	StepFinish  = "finish"   // accept the one that is left no more, now
	StepReplace = "replace"  // another identity at once, as is right if this one was stolen
)

// Page is where all this is shown and asked for.
const Page = "/identity"

// ReplacePhrase is what somebody types who replaces the identity at once.
const ReplacePhrase = "enrol every host again"

// A Step is what somebody asks of the identity.
type Step struct {
	Do  string
	For time.Duration // of StepBegin and StepPutOff: how long both are accepted from now
	// Leave says of StepFinish that hosts that have not moved may be left behind.
	Leave bool
	// Confirm is ReplacePhrase, of StepReplace.
	Confirm string
}

// Take takes a step. What is wrong with it are [field.Errors]: do, for, leave_behind or
// confirm.
func (d *Desk) Take(ctx context.Context, actor string, s Step) (err error) {
	switch s.Do {
	case StepBegin:
		err = d.Succeed(ctx, actor, s.For)
	case StepPutOff:
		err = d.PutOff(ctx, actor, d.CA.now().Add(s.For))
	case StepCallOff:
		err = d.CallOff(ctx, actor)
	case StepGoOn:
		err = d.GoOn(ctx, actor)
	case StepFinish:
		if err := d.leaves(ctx, s.Leave); err != nil {
			return err
		}
		err = d.Finish(ctx, actor)
	case StepReplace:
		if field.Clean(s.Confirm) != ReplacePhrase {
			return field.Errors{"confirm": "Type “" + ReplacePhrase + "” to go on: that is what has to be done then."}
		}
		err = d.Replace(ctx, actor)
	default:
		return field.Errors{"do": "It is begin, put-off, call-off, go-on or finish."}
	}
	if errors.Is(err, succession.ErrTime) {
		return field.Errors{"for": "Both identities are accepted for an hour at least, and for 366 days at most."}
	}
	return err
}

// leaves refuses to leave hosts behind unless that was said.
func (d *Desk) leaves(ctx context.Context, may bool) error {
	s, err := d.Succession(ctx, nil)
	if err != nil || s.Plan == nil || may || len(s.Left) == 0 {
		return err
	}
	return field.Errors{"leave_behind": words.Count(uint64(len(s.Left)), "host has", "hosts have") +
		" not moved, and would have to be enrolled again. Say that they may be left behind, or wait until they have moved."}
}

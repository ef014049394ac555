package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/words"
)

// desk is the enrolment desk of a database.
func desk(ctx context.Context, s *store.Store) (*enroll.Desk, error) {
	ca, err := enroll.OpenCA(ctx, s, time.Now)
	if err != nil {
		return nil, err
	}
	if _, err := enroll.OpenSealKey(ctx, s); err != nil {
		return nil, err
	}
	return &enroll.Desk{Store: s, CA: ca}, nil
}

// rotateIdentity begins to change the CA and the sealing key, beside a control plane
// that may run.
func (c *keyRotateCmd) rotateIdentity(ctx context.Context) error {
	if c.NewKeyFile != "" {
		return errors.New("--new-key-file is for the key that encrypts secrets, and --identity for another one: leave one of the two out")
	}
	return c.with(ctx, func(s *store.Store) error {
		d, err := desk(ctx, s)
		if err != nil {
			return err
		}
		if c.Now {
			if err := d.Take(ctx, actor, enroll.Step{Do: enroll.StepReplace, Confirm: enroll.ReplacePhrase}); err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "The CA and the sealing key were replaced, and those before are accepted no more. No host is "+
				"connected: enrol each again, with\n"+
				"restic-manager enroll-token create --for HOST, and on the host restic-manager-agent enroll --again.\nTheir schedules "+
				"go on meanwhile, and nothing that was backed up is touched.")
			return nil
		}
		if err := d.Take(ctx, actor, enroll.Step{Do: enroll.StepBegin, For: c.For}); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "There is a new CA and a new sealing key. Hosts move to them by themselves when they are connected, and "+
			"both are accepted until %s.\nSee restic-manager key identity for how many have. Agents of older versions have to be updated first.\n",
			words.ISO(time.Now().Add(c.For)))
		return nil
	})
}

type keyIdentityCmd struct {
	PutOff      time.Duration `xor:"do" placeholder:"DURATION" help:"Accept both identities for so long from now."`
	CallOff     bool          `xor:"do" help:"Keep the identity from before: hosts that have moved come back."`
	GoOn        bool          `xor:"do" help:"Have hosts move after all, when that was called off."`
	Finish      bool          `xor:"do" help:"Accept the identity that is left no more, now."`
	LeaveBehind bool          `help:"With --finish: also if hosts have not moved; each has to be enrolled again."`
	database
}

// Run shows how far a change of the identity has come, or changes its course.
func (c *keyIdentityCmd) Run(ctx context.Context) error {
	step := enroll.Step{Leave: c.LeaveBehind}
	switch {
	case c.PutOff != 0:
		step.Do, step.For = enroll.StepPutOff, c.PutOff
	case c.CallOff:
		step.Do = enroll.StepCallOff
	case c.GoOn:
		step.Do = enroll.StepGoOn
	case c.Finish:
		step.Do = enroll.StepFinish
	}
	if c.LeaveBehind && !c.Finish {
		return errors.New("--leave-behind is for --finish")
	}
	return c.with(ctx, func(s *store.Store) error {
		d, err := desk(ctx, s)
		if err != nil {
			return err
		}
		if step.Do != "" {
			if err := d.Take(ctx, actor, step); err != nil {
				return err
			}
		}
		return showIdentity(ctx, d)
	})
}

func showIdentity(ctx context.Context, d *enroll.Desk) error {
	now, err := d.Succession(ctx, nil)
	if err != nil {
		return err
	}
	switch p := now.Plan; {
	case p == nil && len(now.Left) == 0:
		say(os.Stdout, "The control plane has one identity, and all %d hosts use it.", now.All)
	case p == nil:
		say(os.Stdout, "The control plane has one identity. %d of %d hosts use one from before and are refused: enrol each again, "+
			"with a token made by restic-manager enroll-token create --for HOST.", len(now.Left), now.All)
	case p.Back:
		say(os.Stdout, "A change of the identity was called off. %d of %d hosts use the one that stays; the other is accepted until %s.",
			now.Moved, now.All, words.ISO(time.UnixMilli(p.Until)))
	default:
		say(os.Stdout, "The identity is being changed. %d of %d hosts have moved; the one from before is accepted until %s.", now.Moved, now.All,
			words.ISO(time.UnixMilli(p.Until)))
	}
	if len(now.Left) == 0 {
		return nil
	}
	return columns("HOST\tAGENT", len(now.Left), func(i int) string { return row(now.Left[i].Name, now.Left[i].Agent) })
}
